"""The files that serve need no others. tests/deploy asks gcloud whether a deploy uploads them."""

from pathlib import Path

import pytest
from stack import Stack
from uploaded import served, uploaded


@pytest.mark.parametrize("stale_lock", [False, True], ids=["fresh lock", "stale lock"])
def test_what_serves_runs_by_itself(alone: Stack, tmp_path: Path, stale_lock: bool) -> None:
    with uploaded(served(), tmp_path, alone, stale_lock=stale_lock) as livetoken:
        assert livetoken.ask().status == 200
        warned = "python -m livetoken lock" in livetoken.function.output()
        assert warned == stale_lock
