"""`make run`, as a developer at a terminal uses it."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from stack import SHIPPED, until
from stand_in import KEY, StandIn
from uploaded import write_policy

from emulator.__main__ import main
from emulator.function import ROOT, hold_port
from emulator.issuer import Issuer
from emulator.server import Server

pytestmark = pytest.mark.slow

READY = "The function's log:"
GEMINI = "GOOGLE_GEMINI_BASE_URL"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shipped policy with a lock, which saves the function from compiling it."""
    folder = tmp_path_factory.mktemp("policy")
    write_policy(folder, SHIPPED.read_text())
    return str(folder / "policy.toml")


def once(*options: str, **variables: str) -> tuple[int, str, str]:
    """Run the steps once in this process, which saves a second.

    Returns:
        The exit status, and what was printed on standard output and error.
    """
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.setattr(sys, "argv", ["emulator", "--once", *options])
        patch.setattr(signal, "signal", lambda *_: None)
        kept = {"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"], "POLICY_FILE": str(SHIPPED)}
        for name, value in (kept | variables).items():
            patch.setenv(name, value)
        status = main()
    return status, output.getvalue(), errors.getvalue()


@contextmanager
def running(
    folder: Path, end: signal.Signals, *options: str, **variables: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """The output of the command once it is up, and its ports; a signal must end it cleanly."""
    output = folder / "output"
    ports = {name: str(hold_port()) for name in ("PORT", "GEMINI_TLS_PORT", "ISSUER_PORT")}
    with (
        output.open("w") as written,
        subprocess.Popen(
            [sys.executable, "-m", "emulator", *options],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder), **ports, **variables},
            stdout=written,
            stderr=written,
            start_new_session=True,
        ) as run,
    ):
        try:
            until(lambda: READY in output.read_text() or run.poll() is not None, 30)
            assert run.poll() is None, output.read_text()
            yield output.read_text(), ports
            os.killpg(run.pid, end)
            os.killpg(run.pid, end)
            assert run.wait(15) == 0, output.read_text()
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGTERM)
                run.wait(15)
    assert "Traceback" not in output.read_text()
    for port in ports.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), 1)
    assert [path.name for path in folder.iterdir()] == ["output"]


def mint(url: str, token: str, **headers: str) -> int:
    """The status of one request to the function."""
    sent = {"Authorization": f"Bearer {token}", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, b"", sent)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, shipped: str, stand_in: StandIn) -> None:
    own = {"GEMINI_API_KEY": KEY, GEMINI: stand_in.server.tls_url}
    with running(tmp_path, signal.SIGINT, POLICY_FILE=shipped, **own) as (output, ports):
        match = re.search(r"curl -s (http://\S+/token/ada)", output)
        assert match, output
        with urllib.request.urlopen(match[1]) as answer:
            token = answer.read().decode()
        assert mint(f"http://127.0.0.1:{ports['PORT']}", token) == 200
        for port in ports.values():  # they listen on 127.0.0.1, not on every address
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", int(port)), 1)
    assert not stand_in.gemini.mints, "your own key is not used unless asked for"
    assert KEY not in (tmp_path / "output").read_text()


def test_users_and_web_app_of_your_own_project_are_accepted(tmp_path: Path, shipped: str) -> None:
    firebase, elsewhere = Issuer("my-project"), Issuer("my-project")
    origin = "http://localhost:5173"
    options = ("--firebase", "my-project", "--origin", origin)
    with Server(firebase.app) as at:
        variables = {"FIREBASE_KEYS_URL": f"{at.url}/keys/firebase", "POLICY_FILE": shipped}
        with running(tmp_path, signal.SIGTERM, *options, **variables) as (output, ports):
            url = f"http://127.0.0.1:{ports['PORT']}"
            assert "All 9 steps passed." in output
            assert "; users of my-project are accepted too)\n" in output
            assert mint(url, firebase.id_token("ada"), Origin=origin) == 200
            assert mint(url, firebase.id_token("ada"), Origin="http://localhost:5174") == 403
            assert mint(url, elsewhere.id_token("ada"), Origin=origin) == 401


def test_the_steps_pass_with_app_check_without_transcripts_and_without_a_default_profile(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    source = SHIPPED.read_text().replace("[profiles.default", "[profiles.tutor")
    rules = '[callers]\napp_check = "consume"\nsafety_identifier = true\n'
    rules += 'require = { plan = ["pro"] }\n'
    source = source.replace("output_audio_transcription = {}\n", "").replace("[callers]\n", rules)
    policy, folder = (tmp_path_factory.mktemp(name) for name in ("policy", "run"))
    write_policy(policy, source)
    variables = {"POLICY_FILE": str(policy / "policy.toml")}
    with running(folder, signal.SIGHUP, **variables) as (output, _):
        assert "exchange      sent “Hello, tutor!”, received 0.2 s of audio\n" in output
        assert "the same session with a new token, received 0.2 s of audio\n" in output
        assert "\n  profiles      opened a session of quick, research\n" in output
        assert "\nAll 9 steps passed.\n" in output


@pytest.mark.parametrize("port", ["taken", "abc", "99999"])
def test_a_port_that_cannot_be_used_is_one_line(port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1]) if port == "taken" else port
        status, _, errors = once(PORT=number)
    said = f"port {number}: Address already in use"
    assert status == 1
    assert errors == f"\nfailed: {said if port == 'taken' else f'PORT is not a port: {port}'}\n"


def test_a_step_that_fails_fails_the_run(tmp_path: Path) -> None:
    write_policy(tmp_path, SHIPPED.read_text().replace("gemini-3.8-live", "gemini-gone-live", 1))
    status, output, errors = once(POLICY_FILE=str(tmp_path / "policy.toml"))
    assert status == 1
    assert "mint" in output
    assert "connect" not in output
    assert "failed: Gemini closed the session with 1007: " in errors


def test_a_profile_other_than_the_default_that_is_refused_fails_the_run(tmp_path: Path) -> None:
    source = SHIPPED.read_text().replace("gemini-3.8-live", "gemini-9-live", 1)
    source = source.replace("[profiles.default", "[profiles.tutor")
    write_policy(tmp_path, source.replace("[profiles.quick", "[profiles.default"))
    status, output, errors = once(POLICY_FILE=str(tmp_path / "policy.toml"))
    assert status == 1
    assert "\n  second use " in output
    assert errors.startswith("\nfailed: profile tutor: Gemini closed the session with 1007: ")


def test_your_own_key_reaches_gemini_and_is_never_printed(stand_in: StandIn, shipped: str) -> None:
    url = stand_in.server.tls_url
    variables = {"GEMINI_API_KEY": KEY, GEMINI: url, "POLICY_FILE": shipped}
    status, output, errors = once("--gemini", "real", **variables)
    assert status == 0, errors
    assert f"Gemini    {url} (the real one, with your key)\n" in output
    assert output.endswith("\nAll 7 steps passed.\n")
    assert [mint.status for mint in stand_in.gemini.minted()] == [200] * 4
    assert KEY not in output + errors


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("made-up key", "GEMINI_API_KEY: "),
        ("made-up-key", "GEMINI_REFUSED"),
    ],
)
def test_a_key_that_does_not_work_fails_the_run(
    stand_in: StandIn, shipped: str, key: str, says: str
) -> None:
    variables = {"GEMINI_API_KEY": key, GEMINI: stand_in.server.tls_url, "POLICY_FILE": shipped}
    status, output, errors = once("--gemini", "real", **variables)
    assert status == 1
    assert says in errors
    assert key not in output + errors


def test_the_command_fails_without_the_key_that_it_was_asked_to_use() -> None:
    command = [sys.executable, "-m", "emulator", "--gemini", "real"]
    variables = {**os.environ, "GEMINI_API_KEY": "", "POLICY_FILE": str(SHIPPED)}
    run = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "\nfailed: --gemini real needs your API key in GEMINI_API_KEY\n"


def test_without_firebases_keys_nobody_is_accepted(shipped: str) -> None:
    variables = {"FIREBASE_KEYS_URL": "http://127.0.0.1:9/", "POLICY_FILE": shipped}
    status, _, errors = once("--firebase", "my-project", **variables)
    assert status == 1
    assert "KEYS_UNAVAILABLE" in errors
