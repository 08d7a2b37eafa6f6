"""`make run` as a person at a terminal meets it."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from stack import SHIPPED, until

from emulator.function import ROOT, free_port


def once(**variables: str) -> subprocess.CompletedProcess[str]:
    """What the walk prints, with some variables set."""
    return subprocess.run(
        [sys.executable, "-m", "emulator", "--once"],
        cwd=ROOT,
        env={**os.environ, "POLICY_FILE": str(SHIPPED), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    ports = {name: str(free_port()) for name in ("PORT", "GEMINI_TLS_PORT", "ISSUER_PORT")}
    with (
        (tmp_path / "output").open("w+") as output,
        subprocess.Popen(
            [sys.executable, "-m", "emulator"],
            cwd=ROOT,
            env={**os.environ, **ports, "POLICY_FILE": str(SHIPPED), "TMPDIR": str(tmp_path)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as run,
    ):
        printed = Path(output.name).read_text
        until(lambda: "What it logs" in printed() or run.poll() is not None, 30)
        match = re.search(r"curl -s (http://\S+/token/ada)", printed())
        assert match, printed()
        with urllib.request.urlopen(match[1]) as answer:
            token = answer.read().decode()
        request = urllib.request.Request(f"http://127.0.0.1:{ports['PORT']}", method="POST")
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
        os.killpg(run.pid, number)
        os.killpg(run.pid, number)
        assert run.wait(15) == 0, printed()
    assert "Traceback" not in printed()
    for port in ports.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


@pytest.mark.parametrize("port", ["taken", "abc", "99999"])
def test_a_port_that_cannot_be_had_is_one_line(port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1]) if port == "taken" else port
        run = once(PORT=number)
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 2
    assert run.stderr.startswith("\nfailed: ")


def test_a_step_that_fails_fails_the_run(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    source = SHIPPED.read_text()
    policy.write_text(source.replace('model = "gemini-3.8-live"', 'model = "gemini-gone-live"', 1))
    run = once(POLICY_FILE=str(policy))
    assert run.returncode == 1
    assert "mint" in run.stdout
    assert "connect" not in run.stdout
    assert "failed: " in run.stderr
    assert "Traceback" not in run.stderr


def test_a_policy_without_a_default_profile_is_walked_by_its_first(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(SHIPPED.read_text().replace("[profiles.default", "[profiles.tutor"))
    run = once(POLICY_FILE=str(policy))
    assert run.returncode == 0, run.stderr


def test_a_policy_of_ones_own_is_walked_with_app_check_and_no_transcripts(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    source = SHIPPED.read_text()
    rules = '[callers]\napp_check = "consume"\nrequire = { plan = ["pro"] }\n'
    source = source.replace("output_audio_transcription = {}\n", "")
    policy.write_text(source.replace("[callers]\n", rules))
    run = once(POLICY_FILE=str(policy))
    assert run.returncode == 0, run.stderr
    assert "exchange      said “Hello, tutor!”, heard 0.2 s\n" in run.stdout
    assert "resume        a fresh token goes on with it, heard 0.2 s\n" in run.stdout
