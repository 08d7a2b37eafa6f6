"""What a deploy uploads, as gcloud lists it: what serves, and that runs by itself."""

import os
import subprocess
from pathlib import Path

import pytest
from broken import copy_work_tree
from stack import Stack
from uploaded import served, uploaded

NOT_SERVING = (
    *(".env", "notes.py", "main.pyc", "tests/main.py", "clients/livetoken/token.py"),
    *("livetoken/__main__.py", "livetoken/py.typed", "livetoken/__pycache__/keys.pyc"),
    *("livetoken/cli/__init__.py", "livetoken/cli/smoke/run.py", "livetoken/smoke/run.py"),
    *("livetoken/compile/notes.txt", "livetoken/compile/__pycache__/body.pyc"),
    *("livetoken/compile/inner/more.py", "emulator/main.py", "docs/policy.toml"),
)
"""Files that a checkout may hold, and that stay on the owner's machine."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the work tree, with files in it that nobody should find in an image."""
    root = tmp_path_factory.mktemp("upload") / "livetoken"
    copy_work_tree(root)
    for name in (*NOT_SERVING, "livetoken/compile/__init__.py", "livetoken/compile/models.toml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture(scope="module")
def listed(tree: Path) -> set[str]:
    """What gcloud would upload of it."""
    home = tree.parent / "home"
    command = ["gcloud", "meta", "list-files-for-upload", "."]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "CLOUDSDK_CONFIG": str(home)}
    done = subprocess.run(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return set(done.stdout.splitlines())


def test_a_deploy_uploads_what_serves_and_nothing_else(tree: Path, listed: set[str]) -> None:
    assert listed == served(tree)
    assert {"livetoken/service.py", "livetoken/compile/models.toml"} <= listed


@pytest.mark.parametrize("stale_lock", [False, True], ids=["fresh lock", "stale lock"])
def test_an_uploaded_tree_runs_by_itself(
    tree: Path, listed: set[str], alone: Stack, tmp_path: Path, stale_lock: bool
) -> None:
    with uploaded(listed, tmp_path, alone, root=tree, stale_lock=stale_lock) as livetoken:
        assert livetoken.ask().status == 200
        warned = "python -m livetoken lock" in livetoken.function.output()
        assert warned == stale_lock
