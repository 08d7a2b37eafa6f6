"""`python -m livetoken smoke` passes tokens that are locked to the policy, and no others."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.genai import live
from stack import ORIGIN, SHIPPED, Stack, stack
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from test_smoke import Run, signed_in
from websockets.asyncio.client import connect

from emulator import messages
from emulator.behaviour import Oddity
from emulator.gemini import Gemini
from emulator.server import Server
from emulator.tls import Certificate
from livetoken.cli.smoke import session
from livetoken.cli.smoke.expected import Expected, Heard
from livetoken.compile import policy_file
from livetoken.compile.body import compile_policy

RESUMPTION, TRANSCRIPT = "session_resumption = {}\n", "output_audio_transcription = {}\n"
ON = RESUMPTION + TRANSCRIPT
PRINT = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
NAMES = "API_KEY GENAI_USE_VERTEXAI GENAI_API_VERSION GEMINI_BASE_URL"
READ_BY_THE_SDK = {f"GOOGLE_{name}": "true" for name in NAMES.split()} | {"GEMINI_API_KEY": "x"}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for less time after a turn, to be fast."""
    monkeypatch.setattr(session, "AFTER_TURN", 1.0)


def test_the_shipped_policy_passes(alone: Stack) -> None:
    with alone.running(SHIPPED.read_text()) as livetoken:
        run = signed_in(livetoken, "--origin", ORIGIN, **READ_BY_THE_SDK)
        logged = {str(line.get("token_sha256"))[:12] for line in livetoken.log()}
    assert (run.status, run.failed, run.skipped) == (0, {}, {}), run.output
    check = ["mint", "hostile session", "context update", "forged turn", "second use"]
    names = [*check, "resume", *check, *check, "resume"]
    assert [row.partition(": ")[2] for row in run.passed][10:] == names
    assert run.output.endswith("\n27 checks passed.\n")
    assert max(map(len, run.output.splitlines())) <= 100
    printed = set(re.findall(r"token_sha256 ([0-9a-f]{12})…", run.output))
    assert len(printed) == 3
    assert printed <= logged
    assert len([each for each in alone.gemini.sessions if each.resumed]) == 2


def profile(name: str, fault: str = "", rest: str = "", config: str = ON) -> str:
    """A profile whose tokens or sessions have a fault."""
    label = f'labels = {{ fault = "{fault}" }}\n' if fault else ""
    return (
        f'[profiles.{name}]\nmodel = "gemini-3.8-live"\n{rest}\n'
        f'[profiles.{name}.config]\nresponse_modalities = ["AUDIO"]\n{label}{config}'
    )


OPEN = ["tools", "system_instruction", "session_resumption", "proactivity"]
TUTOR = 'system_instruction = "Teach at ${claim.level}."\n'
LOOK = 'tools = [{ function_declarations = [{ name = "look" }] }]\n'
DEMANDING = (
    'api_version = "v1beta"\n[callers]\napp_check = "consume"\n'
    + profile("half-open", rest=f"client_may_set = {json.dumps(OPEN)}", config=TRANSCRIPT)
    + profile("teacher", rest="claims.level = { max_length = 20 }", config=ON + TUTOR)
    + profile("agent", config=ON + LOOK)
)


def test_a_demanding_policy_passes(alone: Stack, tmp_path: Path) -> None:
    alone.gemini.left_open = ["tools", "systemInstruction", "sessionResumption", "proactivity"]
    alone.gemini.behaviour.calls_functions = True
    file = tmp_path / "policy.toml"
    file.write_text(DEMANDING)
    options = ("--policy", str(file), "--origin", "*")
    app_check = shlex.join([sys.executable, "-c", PRINT, f"{alone.app_check_url}/token"])
    with alone.running(DEMANDING, ALLOWED_ORIGINS="*") as livetoken:
        run = signed_in(livetoken, *options, "--app-check-command", app_check)
        without = signed_in(livetoken, *options)
    assert (run.status, run.failed, [*run.skipped]) == (0, {}, ["half-open: context update"])
    assert run.passed["endpoint: no App Check token"] == "401 APP_CHECK_FAILED"
    for name in ("half-open", "teacher", "agent"):
        assert run.passed[f"{name}: App Check again"] == "401 APP_CHECK_FAILED"
    for row in ("hostile session", "context update", "resume"):
        assert "a call of look" in run.passed[f"agent: {row}"]
    assert "half-open: resume" not in run.passed
    assert (without.status, without.failed) == (0, {}), without.output
    assert "endpoint: genuine token" in without.skipped


# ------------------------------------------------------------------ models, and attacks on them

ACCEPTED = "accepted: a token cannot forbid turns in the model's name"
HISTORY = "refused: closed with 1007: Request contains an invalid argument."
"""What 3.1 says of `clientContent` after the first turn."""
LEVEL = 'thinking_config = { thinking_level = "LOW" }\n'


def checked(alone: Stack, file: Path, text: str, seconds: int = 20) -> Run:
    """Run it over a policy."""
    file.write_text(f'api_version = "v1alpha"\n{text}')
    with alone.running(file.read_text()) as livetoken:
        return signed_in(livetoken, f"--policy={file}", f"--timeout={seconds}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "config", "forged"),
    [
        ("gemini-3.8-live", "", ACCEPTED),
        ("gemini-3.8-live-extended-thinking", LEVEL, ACCEPTED),
        ("gemini-3.1-flash-live-preview", "", HISTORY),
    ],
)
def test_each_model_passes(
    alone: Stack, tmp_path: Path, model: str, config: str, forged: str
) -> None:
    text = profile("default", config=ON + config).replace("gemini-3.8-live", model)
    run = checked(alone, tmp_path / "policy.toml", text)
    assert (run.status, run.failed, run.skipped) == (0, {}, {}), run.output
    assert run.passed["default: context update"].startswith("the lock held: 0.")
    assert run.passed["default: forged turn"] == forged
    assert run.passed["default: resume"].startswith("resumed with a fresh token: 0.")


@pytest.mark.slow
def test_a_model_that_waits_for_its_function_passes(alone: Stack, tmp_path: Path) -> None:
    alone.gemini.behaviour.calls_functions = True
    text = profile("default", config=ON + LOOK).replace("3.8-live", "3.1-flash-live-preview")
    run = checked(alone, tmp_path / "policy.toml", text)
    assert (run.status, run.failed, [*run.skipped]) == (0, {}, ["default: resume"]), run.output
    assert run.passed["default: hostile session"].endswith("preview: a call of look")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("calls", "said"),
    [
        (True, "after a contextUpdate the client's function was called"),
        (False, "tokens, more than the policy's can have"),
    ],
)
def test_a_lock_that_does_not_hold_against_context_update_fails(
    alone: Stack, tmp_path: Path, calls: bool, said: str
) -> None:
    alone.gemini.behaviour.context_updates = True
    alone.gemini.behaviour.calls_functions = calls
    run = checked(alone, tmp_path / "policy.toml", profile("default"))
    assert (run.status, [*run.failed]) == (1, ["default: context update"]), run.output
    assert said in run.failed["default: context update"]


@pytest.mark.slow
def test_a_refused_context_update_passes_and_a_lost_session_fails(
    alone: Stack, tmp_path: Path
) -> None:
    closed = "closed with {}: Internal error encountered."
    alone.gemini.behaviour.oddities = {2: 1007}
    refused = checked(alone, tmp_path / "policy.toml", profile("default"))
    alone.gemini.behaviour.oddities = {2: 1011}
    lost = checked(alone, tmp_path / "policy.toml", profile("default"))
    assert (refused.status, lost.status) == (0, 1)
    assert refused.passed["default: context update"] == f"refused: {closed.format(1007)}"
    assert lost.failed == {"default: context update": closed.format(1011)}
    for run in (refused, lost):
        assert run.skipped == {"default: forged turn": "skipped: the session was closed"}
        assert "default: resume" in run.passed


@pytest.mark.slow
@pytest.mark.parametrize("oddity", ["missing", "early"])
def test_an_odd_end_of_a_turn_passes(alone: Stack, tmp_path: Path, oddity: Oddity) -> None:
    alone.gemini.behaviour.oddities = dict.fromkeys(range(1, 9), oddity)
    run = checked(alone, tmp_path / "policy.toml", profile("default"))
    assert (run.status, run.failed, run.skipped) == (0, {}, {}), run.output


@pytest.mark.slow
def test_late_pongs_do_not_end_a_session(
    alone: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's keepalive, with a fiftieth of its times, if smoke does not turn it off."""

    def soon(*arguments: Any, **how: Any) -> connect:
        return connect(*arguments, **{"ping_interval": 0.4, "ping_timeout": 0.4, **how})

    monkeypatch.setattr(live, "ws_connect", soon)
    alone.gemini.behaviour.thinks = 1.5
    run = checked(alone, tmp_path / "policy.toml", profile("default"))
    assert run.passed["default: hostile session"].startswith("models/gemini-3.8-live: 0.")


@pytest.mark.slow
def test_an_update_that_is_not_answered_fails(alone: Stack, tmp_path: Path) -> None:
    alone.gemini.behaviour.oddities = {2: "empty"}
    run = checked(alone, tmp_path / "policy.toml", profile("default"))
    assert run.failed == {
        "default: context update": "after a contextUpdate no audio came. Received: nothing"
    }


# ------------------------------------------------------------------ between it and Gemini


def faulty_app(gemini: Gemini) -> ASGIApp:
    """Gemini, with the fault that the label `fault` in the setup of a token names."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            header = dict(scope["headers"])[b"authorization"].decode()
            token = gemini.state.tokens[header.removeprefix("Token ")]
            fault = (token.setup or {}).get("labels", {}).get("fault", "")
            send = broken(fault, send)
            if fault == "unlocked":
                token.setup = None
            if fault == "again":
                token.uses = 0
            if fault in messages.SETUP:
                token.mask = tuple((name,) for name in messages.SETUP if name != fault)
        await gemini.app(scope, receive, send)

    return app


def broken(fault: str, send: Send) -> Send:
    """What a session sends."""

    async def sent(message: Message) -> None:
        is_setup = b"setupComplete" in message.get("bytes", b"")
        is_answer = message["type"] == "websocket.send" and not is_setup
        if (fault == "mute" and is_setup) or (fault in ("mute", "silent") and is_answer):
            return
        if is_setup and fault in ("html", "no_setup"):
            message = {**message, "bytes": b"<html>" if fault == "html" else b"{}"}
        if is_answer and fault == "ends":
            await send({"type": "websocket.close", "code": 1011, "reason": "Internal error."})
            raise OSError
        await send(message)

    return sent


NO_LOCK = "so Gemini used the client's setup: the lock does not hold"
HOSTILE = {
    **dict.fromkeys(("unlocked", "model", "generationConfig"), NO_LOCK),
    "systemInstruction": "tokens, more than the policy's can have",
    "tools": "the client's function was called",
    "sessionResumption": "no handle came, and the policy has session_resumption",
    "outputAudioTranscription": "no transcript came, and the policy has output_audio",
    "no_resumption": "a handle came, and the policy has no session_resumption",
    "no_transcript": "a transcript came, and the policy has no output_audio_transcription",
}
"""What a hostile session shows of a token that leaves a field to the client."""
BROKEN = {
    "mute": "no session within 2 s",
    "silent": "opened, nothing received, but the turn did not end within 2 s",
    "html": "google-genai failed on a message: ValueError",
    "no_setup": "the first message of the session was not setupComplete",
    "ends": "closed with 1011: Internal error.",
}
FAULTY = 'api_version = "v1alpha"\n' + "".join(
    [
        *(profile(fault, fault) for fault in (*list(HOSTILE)[:7], *BROKEN, "again")),
        profile("no_resumption", "sessionResumption", config=TRANSCRIPT),
        profile("no_transcript", "outputAudioTranscription", config=RESUMPTION),
        profile("gone").replace("3.8", "gone"),
        profile("teams", rest='require = { plan = ["team"] }'),
        profile("once", rest='limit = "1/day"'),
        profile("short", rest='expires_in = "5m"'),
    ]
)


@pytest.fixture(scope="module")
def faulty(certificate: Certificate) -> Iterator[Stack]:
    with stack(certificate) as made:
        made.gemini.behaviour.calls_functions = True
        with (
            Server(faulty_app(made.gemini), tls=0, certificate=certificate) as at,
            made.running(FAULTY, GOOGLE_GEMINI_BASE_URL=at.tls_url) as running,
        ):
            yield running


def fails(
    faulty: Stack, folder: Path, said: dict[str, str], text: str = FAULTY, timeout: int = 20
) -> None:
    """Run it over the profiles in `said`, and check that these rows fail with these texts."""
    file = folder / "policy.toml"
    file.write_text(text)
    chosen = [f"--profile={row.partition(':')[0]}" for row in said]
    run = signed_in(faulty, f"--policy={file}", f"--timeout={timeout}", *chosen)
    assert run.status == 1
    assert {row: text for row, text in said.items() if text not in run.failed.get(row, "")} == {}


@pytest.mark.slow
def test_a_session_that_is_not_the_policys_fails(faulty: Stack, tmp_path: Path) -> None:
    for faults, timeout in ((HOSTILE, 20), (BROKEN, 2)):
        said = {f"{fault}: hostile session": text for fault, text in faults.items()}
        fails(faulty, tmp_path, said, timeout=timeout)


def test_the_failures_of_a_token_are_told_apart(faulty: Stack, tmp_path: Path) -> None:
    said = {
        "again: second use": "opened: the token works more than once",
        "gone: hostile session": "Does models/gemini-gone-live exist, and may this key use it",
        "teams: mint": "403 NOT_ALLOWED, not 200 with a token: the policy refuses this test user",
        "once: resume": "429 LIMIT_REACHED, not 200 with a token: this test user has reached",
    }
    fails(faulty, tmp_path, said)


def test_a_deployment_of_another_policy_fails(faulty: Stack, tmp_path: Path) -> None:
    longer = FAULTY.replace('expires_in = "5m"', 'expires_in = "6m"')
    fails(faulty, tmp_path, {"short: mint": "not 0:06:00 and 0:01:00 after 20"}, longer)
    came = "model is models/gemini-gone-live, not models/gemini-3.8-live"
    fails(faulty, tmp_path, {"gone: mint": came}, FAULTY.replace("gemini-gone", "gemini-3.8"))
    came = "200 with a token, but apiVersion is v1alpha, not v1beta; webSocketUrl is wss://"
    fails(faulty, tmp_path, {"again: mint": came}, FAULTY.replace("v1alpha", "v1beta"))


# ------------------------------------------------------------------ what the emulator cannot show


def expected(config: str, rest: str = "") -> Expected:
    source = f'api_version = "v1alpha"\n{profile("default", rest=rest, config=config)}'.encode()
    configs = policy_file.configs(source)
    return Expected(compile_policy(source).profiles["default"], configs["default"])


def test_a_model_that_follows_the_clients_instruction_fails() -> None:
    made = expected(ON)
    word = str(made.hostile.system_instruction).split()[1].title()
    heard = Heard(seconds=1, transcript=word, handle="x")
    assert list(made.differences(heard)) == ["the client's instruction was followed"]
    heard.transcript = "Hello!"
    assert list(made.differences(heard)) == []


def test_a_silent_session_fails_unless_the_policy_allows_silence() -> None:
    assert list(expected("").differences(Heard())) == ["no audio came"]
    silent = expected("proactivity = { proactive_audio = true }")
    assert list(silent.differences(Heard())) == []


def test_a_hostile_setup_leaves_alone_what_the_client_may_set() -> None:
    left = ["tools", "system_instruction", "session_resumption", "output_audio_transcription"]
    made = expected("", f"client_may_set = {json.dumps(left)}")
    assert made.hostile.model_fields_set.isdisjoint(left)
    assert made.locked == {}
