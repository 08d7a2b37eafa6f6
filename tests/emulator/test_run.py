"""`make run`, as a developer at a terminal uses it."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stack import SHIPPED, until
from stand_in import KEY, StandIn

from emulator.function import ROOT, free_port
from emulator.issuer import Issuer
from emulator.server import Server

READY = "The function's log:"


def once(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the steps once, with options and environment variables."""
    return subprocess.run(
        [sys.executable, "-m", "emulator", "--once", *options],
        cwd=ROOT,
        env={**os.environ, "POLICY_FILE": str(SHIPPED), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def running(
    folder: Path, *options: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command once it is up, and the file with its output."""
    output = folder / "output"
    with (
        output.open("w") as written,
        subprocess.Popen(
            [sys.executable, "-m", "emulator", *options],
            cwd=ROOT,
            env={**os.environ, "POLICY_FILE": str(SHIPPED), "TMPDIR": str(folder), **variables},
            stdout=written,
            stderr=written,
            start_new_session=True,
        ) as run,
    ):
        try:
            until(lambda: READY in output.read_text() or run.poll() is not None, 30)
            assert run.poll() is None, output.read_text()
            yield run, output
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGTERM)
                run.wait(15)


def mint(url: str, token: str, **headers: str) -> int:
    """The status of one request to the function."""
    sent = {"Authorization": f"Bearer {token}", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, b"", sent)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    ports = {name: str(free_port()) for name in ("PORT", "GEMINI_TLS_PORT", "ISSUER_PORT")}
    with running(tmp_path, **ports) as (run, output):
        match = re.search(r"curl -s (http://\S+/token/ada)", output.read_text())
        assert match, output.read_text()
        with urllib.request.urlopen(match[1]) as answer:
            token = answer.read().decode()
        assert mint(f"http://127.0.0.1:{ports['PORT']}", token) == 200
        for port in ports.values():  # they listen on 127.0.0.1, not on every address
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", int(port)), 1)
        os.killpg(run.pid, number)
        os.killpg(run.pid, number)
        assert run.wait(15) == 0, output.read_text()
    assert "Traceback" not in output.read_text()
    for port in ports.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


@pytest.mark.parametrize("port", ["taken", "abc", "99999"])
def test_a_port_that_cannot_be_used_is_one_line(port: str) -> None:
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
    assert "failed: Gemini closed the session with 1007: " in run.stderr
    assert "Traceback" not in run.stderr


def test_a_policy_without_a_default_profile_uses_its_first(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(SHIPPED.read_text().replace("[profiles.default", "[profiles.tutor"))
    run = once(POLICY_FILE=str(policy))
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("\nAll 8 steps passed.\n")


def test_the_steps_pass_with_app_check_and_without_transcripts(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    source = SHIPPED.read_text()
    rules = '[callers]\napp_check = "consume"\nrequire = { plan = ["pro"] }\n'
    source = source.replace("output_audio_transcription = {}\n", "")
    policy.write_text(source.replace("[callers]\n", rules))
    run = once(POLICY_FILE=str(policy))
    assert run.returncode == 0, run.stderr
    assert "exchange      sent “Hello, tutor!”, received 0.2 s of audio\n" in run.stdout
    assert "the same session with a new token, received 0.2 s of audio\n" in run.stdout


def test_your_own_key_reaches_gemini_and_is_never_printed(stand_in: StandIn) -> None:
    variables = {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": stand_in.server.tls_url}
    run = once("--gemini", "real", **variables)
    assert run.returncode == 0, run.stderr
    assert f"Gemini    {stand_in.server.tls_url} (the real one, with your key)\n" in run.stdout
    assert run.stdout.endswith("\nAll 6 steps passed.\n")
    assert [mint.status for mint in stand_in.gemini.minted()] == [200, 200]
    assert KEY not in run.stdout + run.stderr


def test_your_own_key_is_not_read_unless_asked_for(stand_in: StandIn) -> None:
    run = once(GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=stand_in.server.tls_url)
    assert run.returncode == 0, run.stderr
    assert not stand_in.gemini.mints
    assert KEY not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "--gemini real needs your API key in GEMINI_API_KEY"),
        ("made-up key", "GEMINI_API_KEY: "),
        ("made-up-key", "GEMINI_REFUSED"),
    ],
)
def test_a_key_that_does_not_work_fails_the_run(stand_in: StandIn, key: str, says: str) -> None:
    run = once(
        "--gemini", "real", GEMINI_API_KEY=key, GOOGLE_GEMINI_BASE_URL=stand_in.server.tls_url
    )
    assert run.returncode == 1
    assert says in run.stderr
    assert "Traceback" not in run.stderr
    assert not key or key not in run.stdout + run.stderr


def test_users_and_web_app_of_your_own_project_are_accepted(tmp_path: Path) -> None:
    firebase, elsewhere = Issuer("my-project"), Issuer("my-project")
    port, origin = str(free_port()), "http://localhost:5173"
    url = f"http://127.0.0.1:{port}"
    with Server(firebase.app) as at:
        variables = {"FIREBASE_KEYS_URL": f"{at.url}/keys/firebase", "PORT": port}
        options = ("--firebase", "my-project", "--origin", origin)
        with running(tmp_path, *options, **variables) as (_, output):
            assert "All 8 steps passed." in output.read_text()
            assert "; users of my-project are accepted too)\n" in output.read_text()
            assert mint(url, firebase.id_token("ada"), Origin=origin) == 200
            assert mint(url, firebase.id_token("ada"), Origin="http://localhost:5174") == 403
            assert mint(url, elsewhere.id_token("ada"), Origin=origin) == 401


def test_without_firebases_keys_nobody_is_accepted() -> None:
    run = once("--firebase", "my-project", FIREBASE_KEYS_URL="http://127.0.0.1:9/")
    assert run.returncode == 1
    assert "KEYS_UNAVAILABLE" in run.stderr
