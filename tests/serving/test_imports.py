"""What serving loads: neither google-genai nor anything that only compiles or checks a policy."""

import subprocess
import sys

NEVER = ("google.genai", "pydantic", "httpx2", "websockets", "livetoken.compile", "livetoken.cli")


def test_serving_imports_nothing_that_compiles_or_checks() -> None:
    parts = "answers, callers, constraint, request, service, worker"
    program = f"import sys; from livetoken import {parts}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = done.stdout.decode().split()
    assert "livetoken.service" in loaded
    assert [name for name in loaded if f"{name}.".startswith(tuple(f"{n}." for n in NEVER))] == []
