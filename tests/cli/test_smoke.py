"""`python -m livetoken smoke` proves a deployment that works, and no other.

It runs as people and scripts run it, against the real function. What is wrong is made wrong in the
function's environment, in front of it, or between it and Gemini.
"""

import asyncio
import io
import json
import logging
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stack import ORIGIN, SHIPPED, Stack, stack
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator import messages
from emulator.function import ROOT
from emulator.server import Server, abort
from emulator.tls import Certificate
from livetoken import lock
from livetoken.cli.main import main
from livetoken.cli.smoke.session import Expected, Heard
from livetoken.compile import policy_file
from livetoken.compile.body import compile_policy

SDKS_VARIABLES = {
    "GOOGLE_API_KEY": "other",
    "GEMINI_API_KEY": "another",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_API_VERSION": "v1",
    "GOOGLE_GEMINI_BASE_URL": "https://127.0.0.1:1",
}
FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"

Row = tuple[str, str]
"""A group and a check in it."""


@dataclass(frozen=True)
class Run:
    """One run: its status, and what it printed, on standard error too."""

    status: int
    output: str

    @property
    def rows(self) -> dict[Row, tuple[str, str]]:
        """The verdict and what came; of two rows alike, the last."""
        rows: dict[Row, tuple[str, str]] = {}
        group = name = ""
        for line in self.output.splitlines():
            verdict, beside = line[2:9].strip(), line[32:]
            if verdict in ("ok", "FAILED", "-") and line.startswith("  "):
                name = line[9:32].strip()
                rows[group, name] = (verdict, beside)
            elif line.startswith(" " * 32):
                verdict, came = rows[group, name]
                rows[group, name] = (verdict, f"{came} {beside}")
            else:
                group = line
        return rows

    @property
    def wrong(self) -> dict[Row, str]:
        """What came where it is not as it must be."""
        return {at: came for at, (verdict, came) in self.rows.items() if verdict == "FAILED"}

    @property
    def left_out(self) -> set[Row]:
        return {at for at, (verdict, _) in self.rows.items() if verdict == "-"}


def smoke(url: str, *options: str, **variables: str) -> Run:
    """Run it with some variables set; here, since a process of its own would take two seconds."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(output):
        for name, value in {"POLICY_FILE": str(SHIPPED), **variables}.items():
            patch.setenv(name, value)
        try:
            status = main(["smoke", url, *options])
        finally:
            logging.disable(logging.NOTSET)
    return Run(status, output.getvalue())


def signed_in(
    livetoken: Stack, *options: str, token: str = "", url: str = "", **variables: str
) -> Run:
    """Run it as Ada, or with another token. No part of any token may be in what it prints."""
    token = token or livetoken.issuer.id_token("ada")
    prints_it = ("--id-token-command", shlex.join(["echo", token]))
    run = smoke(url or livetoken.function.url, *prints_it, *options, **variables)
    tokens = {token, *livetoken.gemini.state.tokens}
    tokens |= {str(check.token) for check in livetoken.app_check.checks}
    parts = {part for each in tokens for part in re.split("[./]", each) if part != "auth_tokens"}
    assert not [part for part in parts if part in run.output]
    return run


# ------------------------------------------------------------------ deployments that work


def test_the_shipped_policy_is_proven_whole(alone: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SHIPPED.read_text()
    with alone.running(text) as livetoken:
        run = signed_in(livetoken, "--origin", ORIGIN, **SDKS_VARIABLES)
        logged = {str(line.get("token_sha256"))[:12] for line in livetoken.log()}
    assert run.wrong == {}, run.output
    assert run.status == 0
    assert list(run.rows) == [
        *(("endpoint", check) for check in ENDPOINT),
        *(("default", check) for check in (*PROFILE, "resume")),
        *(("quick", check) for check in PROFILE),
        *(("research", check) for check in (*PROFILE, "resume")),
    ]
    assert run.output.endswith("\n21 checks passed.\n")
    assert max(map(len, run.output.splitlines())) <= 100
    printed = set(re.findall(r"token_sha256 ([0-9a-f]{12})…", run.output))
    assert len(printed) == 3
    assert printed <= logged
    resumed = [session for session in alone.gemini.sessions if session.resumed]
    assert len(resumed) == 2
    assert {session.setup["model"] for session in alone.gemini.sessions} == {
        "models/gemini-3.8-live",
        "models/gemini-3.8-live-extended-thinking",
    }


ENDPOINT = (
    "no credential",
    "GET",
    "allowed preflight",
    "allowed POST",
    "foreign preflight",
    "foreign POST",
    "sign in",
    "altered signature",
    "no signature",
    "genuine token",
)
PROFILE = ("mint", "hostile session", "second use")

DEMANDING = """
api_version = "v1beta"
[callers]
app_check = "consume"
require = { email_verified = [true] }
[profiles.half-open]
model = "gemini-3.8-live"
expires_in = "90m"
client_may_set = ["tools", "system_instruction", "session_resumption", "proactivity"]
[profiles.half-open.config]
response_modalities = ["AUDIO"]
output_audio_transcription = {}
[profiles.teacher]
model = "gemini-3.8-live"
[profiles.teacher.claims]
level = { max_length = 20 }
[profiles.teacher.config]
response_modalities = ["AUDIO"]
system_instruction = "Teach at ${claim.level}."
session_resumption = {}
output_audio_transcription = {}
[profiles.agent]
model = "gemini-3.8-live"
[profiles.agent.config]
response_modalities = ["AUDIO"]
tools = [{ function_declarations = [{ name = "look_up", description = "Looks it up." }] }]
session_resumption = {}
output_audio_transcription = {}
"""


def written(folder: Path, text: str) -> str:
    """A policy's file, its lock beside it."""
    file = folder / "policy.toml"
    file.write_text(text)
    source = text.encode()
    lock.path_for(file).write_text(lock.write(source, compile_policy(source)))
    return str(file)


def test_a_demanding_policy_is_proven_whole(alone: Stack, tmp_path: Path) -> None:
    alone.gemini.left_open = ["tools", "systemInstruction", "sessionResumption", "proactivity"]
    alone.gemini.behaviour.calls_functions = True
    file = written(tmp_path, DEMANDING)
    app_check = shlex.join([sys.executable, "-c", FETCH, f"{alone.app_check_url}/token"])
    options = ("--policy", file, "--app-check-command", app_check, "--origin", "*")
    with alone.running(DEMANDING, ALLOWED_ORIGINS="*") as livetoken:
        run = signed_in(livetoken, *options)
        without = signed_in(livetoken, "--policy", file, "--origin", "*")
    assert run.wrong == {}, run.output
    assert run.status == 0
    assert run.left_out == {("agent", "resume")}
    assert run.rows["endpoint", "no App Check token"] == ("ok", "401 APP_CHECK_FAILED")
    for profile in ("half-open", "teacher", "agent"):
        assert run.rows[profile, "App Check again"] == ("ok", "401 APP_CHECK_FAILED")
    assert "a call of look_up" in run.rows["agent", "hostile session"][1]
    assert ("half-open", "resume") not in run.rows
    assert without.wrong == {}, without.output
    assert without.status == 0
    assert ("endpoint", "genuine token") in without.left_out


def test_without_an_id_token_only_what_needs_none_is_checked(livetoken: Stack) -> None:
    mints = len(livetoken.gemini.mints)
    run = smoke(livetoken.function.url, "--origin", ORIGIN)
    assert (run.status, run.wrong) == (0, {})
    assert run.rows["endpoint", "made-up token"] == ("ok", "401 INVALID_ID_TOKEN")
    assert run.left_out == {
        ("endpoint", "genuine token"),
        *((profile, "mint and session") for profile in ("default", "quick", "research")),
    }
    assert "\n7 checks passed.\nSkipped: endpoint (genuine token); default" in run.output
    assert len(livetoken.gemini.mints) == mints


def test_every_allowed_origin_is_asked_and_any_is_none_unless_it_is_said(alone: Stack) -> None:
    second = "https://second.example.com"
    with alone.running(ALLOWED_ORIGINS=f"{ORIGIN},{second}") as livetoken:
        both = smoke(livetoken.function.url, "--origin", ORIGIN, "--origin", second)
        third = smoke(livetoken.function.url, "--origin", "https://third.example.com")
        star = smoke(livetoken.function.url, "--origin", "*")
    assert both.status == 0
    assert both.output.count(f"204 for {second}") == both.output.count(f"204 for {ORIGIN}") == 1
    for run in (third, star):
        assert run.status == 1
        assert run.wrong.keys() == {
            ("endpoint", "allowed preflight"),
            ("endpoint", "allowed POST"),
        }
        assert "403 ORIGIN_NOT_ALLOWED, not 204" in run.wrong["endpoint", "allowed preflight"]


def test_an_endpoint_for_any_origin_is_caught(alone: Stack) -> None:
    with alone.running(ALLOWED_ORIGINS="*") as livetoken:
        run = smoke(livetoken.function.url, "--origin", ORIGIN)
    assert run.status == 1
    assert run.wrong.keys() == {("endpoint", "foreign preflight"), ("endpoint", "foreign POST")}
    assert "204, not 403 ORIGIN_NOT_ALLOWED" in run.wrong["endpoint", "foreign preflight"]
    assert "401 NO_CREDENTIAL, not 403" in run.wrong["endpoint", "foreign POST"]


# ------------------------------------------------------------------ in front of the function

IAM = "<html><title>403 Forbidden</title>Your client does not have permission.</html>"


class Front:
    """What answers in the function's place, or changes what it is asked, by the path."""

    def __init__(self, livetoken: Stack) -> None:
        self._livetoken = livetoken
        self.app = Starlette(routes=[Route("/{what}", self._answer, methods=METHODS)])

    async def _answer(self, request: Request) -> Response:
        what = request.path_params["what"]
        match what:
            case "iam":
                return HTMLResponse(IAM, 403)
            case "gone":
                return HTMLResponse("<html>404. That\u2019s an error.</html>", 404)
            case "sign-in":
                return RedirectResponse("https://accounts.example/login?x=1", 302)
            case "down":
                return HTMLResponse("Service Unavailable", 503)
            case "list":
                return JSONResponse([{"error": 5}])
            case "deep":
                return Response(b"[" * 60_000, media_type="application/json")
            case "long":
                return Response(b"a" * 1_000_000)
            case "nothing":
                return Response()
            case "reset":
                abort(request.scope)
            case "hang":
                while (await request.receive())["type"] != "http.disconnect":
                    pass
        return await self._forwarded(request, what)

    async def _forwarded(self, request: Request, what: str) -> Response:
        headers = without_length(request.headers)
        genuine = f"Bearer {self._livetoken.issuer.id_token('ada')}"
        if what == "any-signature" and "authorization" in headers:
            headers["authorization"] = genuine
        if what == "anybody":
            headers.setdefault("authorization", genuine)
        answer = await asyncio.to_thread(
            self._livetoken.send, list(headers.items()), await request.body(), request.method
        )
        changed = dict(answer.headers)
        if what == "stored":
            changed["cache-control"] = "public, max-age=60"
        if what == "chatty":
            error = {**answer.json["error"], "message": "The audience must be demo-livetoken."}
            return JSONResponse({"error": error}, answer.status, without_length(changed))
        return Response(answer.body, answer.status, without_length(changed))


METHODS = ["GET", "POST", "OPTIONS"]


def without_length(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "content-length"}


@pytest.fixture
def front(livetoken: Stack, certificate: Certificate) -> Iterator[Server]:
    with Server(Front(livetoken).app, tls=0, certificate=certificate) as server:
        yield server


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("iam", "403 with text/html: the function did not answer; perhaps Cloud Run's IAM"),
        ("iam", "--no-invoker-iam-check, or give allUsers the role roles/run.invoker"),
        ("gone", "404 with text/html: there is no such service"),
        ("sign-in", "302 with no media type: redirected to accounts.example; perhaps a sign-in"),
        ("down", "503 with text/html: the service does not start"),
        ("list", "200 with application/json: the function did not answer"),
        ("deep", "200 with application/json: the function did not answer"),
        ("long", "200, and over 65,536 bytes"),
        ("nothing", "200 with no media type: the function did not answer"),
        ("reset", "no whole answer"),
        ("hang", "no whole answer within 0.5 s"),
    ],
)
def test_what_is_not_the_function_is_told_and_ends_the_run(
    front: Server, what: str, said: str
) -> None:
    run = smoke(f"{front.url}/{what}", "--origin", ORIGIN, "--timeout", "0.5")
    assert run.status == 1
    (row,) = run.wrong.items()
    assert row[0] == ("endpoint", "no credential")
    assert said in row[1]
    assert ("endpoint", "everything else") in run.left_out


def test_a_function_behind_tls_is_asked_by_the_authorities_of_the_environment(
    front: Server,
) -> None:
    assert smoke(f"{front.tls_url}/x", "--origin", ORIGIN).status == 0
    stranger = smoke(f"{front.tls_url}/x", SSL_CERT_FILE="")
    assert "cannot be reached: [SSL: CERTIFICATE_VERIFY_FAILED]" in " ".join(
        stranger.output.split()
    )
    plain = smoke(front.url.replace("http://", "https://"))
    assert "cannot be reached: [SSL" in plain.output
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert "cannot be reached" in smoke(nobody).wrong["endpoint", "no credential"]


@pytest.mark.parametrize(
    ("what", "check", "said"),
    [
        ("anybody", "no credential", "404 UNKNOWN_PROFILE, not 401 NO_CREDENTIAL"),
        ("any-signature", "made-up token", "404 UNKNOWN_PROFILE, not 401 INVALID_ID_TOKEN"),
        ("stored", "no credential", "cache-control is public, max-age=60, not no-store"),
        ("chatty", "no credential", "with an unexpected body"),
    ],
)
def test_a_function_that_answers_otherwise_is_caught(
    front: Server, what: str, check: str, said: str
) -> None:
    run = smoke(f"{front.url}/{what}")
    assert run.status == 1
    assert said in run.wrong["endpoint", check]
    assert "Failed: endpoint (" in run.output


def test_a_function_that_takes_any_signature_is_caught(livetoken: Stack, front: Server) -> None:
    run = signed_in(livetoken, "--profile", "quick", url=f"{front.url}/any-signature")
    accepted = "404 UNKNOWN_PROFILE, not 401 INVALID_ID_TOKEN"
    assert run.wrong["endpoint", "altered signature"] == accepted
    assert run.wrong["endpoint", "no signature"] == accepted
    assert run.rows["endpoint", "genuine token"] == ("ok", "404 UNKNOWN_PROFILE")
    another = "404 UNKNOWN_PROFILE: the deployed policy differs from this one"
    assert run.wrong["quick", "mint"] == another
    assert run.left_out == {("quick", "sessions")}


# ------------------------------------------------------------------ who asks

SERVICE_ACCOUNT = "it is the token of a service account, which is refused; use that of a test user"


@pytest.mark.parametrize(
    ("person", "claims", "said"),
    [
        ("ada", {"aud": "else"}, "it is from https://securetoken.google.com/demo-livetoken for else"),
        ("ada", {"exp": 1_700_000_000}, "ID_TOKEN_EXPIRED: --id-token-command prints an expired token"),
        ("grace", {"azp": "109700000000000000009"}, SERVICE_ACCOUNT),
        ("grace", {"azp": "me@x.iam.gserviceaccount.com", "aud": 5}, SERVICE_ACCOUNT),
        ("guest", {}, "NOT_ALLOWED: the policy refuses this test user"),
    ],
)
def test_an_id_token_that_is_refused_is_explained(
    livetoken: Stack, person: str, claims: dict[str, Any], said: str
) -> None:
    run = signed_in(livetoken, token=livetoken.issuer.id_token(person, **claims))
    assert run.status == 1
    (row,) = run.wrong.items()
    assert row[0] == ("endpoint", "genuine token")
    assert said in row[1]
    assert ("quick", "mint and session") in run.left_out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sh -c 'echo eyJh.secret; exit 7'", "the command ended with 7"),
        ("true", "the command printed nothing"),
        ("echo ya29.secret", "the command did not print one JSON Web Token"),
        ("printf 'a.e30.b\\na.e30.secret'", "the command did not print one JSON"),
        ("yes secret", "the command did not end within 0.5 s"),
        ("sleep 60", "the command did not end within 0.5 s"),
        ("/nonexistent/secret-command", "cannot be run: No such file or directory"),
    ],
)
def test_a_command_that_prints_no_token_is_told_and_nothing_of_what_it_prints(
    livetoken: Stack, words: str, said: str
) -> None:
    run = smoke(livetoken.function.url, "--id-token-command", words, "--timeout", "0.5")
    assert run.status == 1
    (row,) = run.wrong.items()
    assert row[0] == ("endpoint", "sign in")
    assert said in row[1]
    assert "secret" not in run.output.replace("secret-command", "")
    assert run.rows["endpoint", "made-up token"] == ("ok", "401 INVALID_ID_TOKEN")
    assert ("endpoint", "genuine token") in run.left_out


@pytest.mark.parametrize(
    "arguments",
    [
        ["http://livetoken.example"],
        ["livetoken.example"],
        ["https://"],
        ["https://livetoken.example:x"],
        ["https://user@livetoken.example"],
        ["https://livetoken.example?key=x"],
        ["https://livetoken.example/a b"],
        [],
        ["https://x.example", "--origin", "https://app.example.com/"],
        ["https://x.example", "--profile", "qick"],
        ["https://x.example", "--id-token-command", "echo 'x"],
        ["https://x.example", "--app-check-command", ""],
        ["https://x.example", "--timeout", "0"],
        ["https://x.example", "--timeout", "soon"],
    ],
)
def test_bad_usage_is_2_and_asks_nothing(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["smoke", *arguments])
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_ctrl_c_ends_quietly(front: Server) -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "livetoken", "smoke", f"{front.url}/hang"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with started as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"\n"
        assert run.stdout.readline() == b"endpoint\n"
        run.send_signal(signal.SIGINT)
        assert run.wait(10) == 130
        assert run.stdout.read() == b""


# ------------------------------------------------------------------ between it and Gemini


class Faulty:
    """Gemini as it must not be: the label `fault` in the setup of a token says how."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._faults: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            token = dict(scope["headers"])[b"authorization"].decode().removeprefix("Token ")
            await self._app(scope, receive, self._broken(self._faults[token], send))
        else:
            await self._mint(scope, receive, send)

    async def _mint(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = json.loads(await Request(scope, receive).body())
        fault = asked["bidiGenerateContentSetup"].get("labels", {}).get("fault", "")
        changed = json.dumps(loosened(asked, fault)).encode()

        async def received() -> Message:
            return {"type": "http.request", "body": changed}

        async def sent(message: Message) -> None:
            if message.get("body"):
                self._faults[json.loads(message["body"])["name"]] = fault
            await send(message)

        await self._app(scope, received, sent)

    def _broken(self, fault: str, send: Send) -> Send:
        """How the socket of a token speaks."""
        ended = False

        async def sent(message: Message) -> None:
            nonlocal ended
            is_setup = b"setupComplete" in message.get("bytes", b"")
            if ended or (fault == "mute" and message["type"] == "websocket.send"):
                return
            if fault == "html" and is_setup:
                message = {**message, "bytes": b"<html>Sorry</html>"}
            if fault == "no_setup" and is_setup:
                message = {**message, "bytes": b"{}"}
            if fault in ("silent", "ends") and message["type"] == "websocket.send":
                if not is_setup and fault == "silent":
                    return
                if not is_setup:
                    ended = True
                    message = {"type": "websocket.close", "code": 1011, "reason": "Internal error."}
            await send(message)

        return sent


def loosened(asked: dict[str, Any], fault: str) -> dict[str, Any]:
    """What is minted in the place of what the function asks for."""
    if fault == "unlocked":
        return {name: value for name, value in asked.items() if name != "bidiGenerateContentSetup"}
    if fault == "again":
        return {**asked, "uses": 0}
    if fault in messages.SETUP:
        return {**asked, "fieldMask": ",".join(name for name in messages.SETUP if name != fault)}
    return asked


ON = "session_resumption = {}\noutput_audio_transcription = {}\n"
LEAKING = {
    "unlocked": "so Gemini used the client's setup: the lock does not hold",
    "model": "so Gemini used the client's setup: the lock does not hold",
    "generation": "so Gemini used the client's setup: the lock does not hold",
    "instruction": "tokens, more than the policy's can have",
    "tools": "the client's function was called",
    "resumption": "no handle to resume by came, and the policy has session_resumption",
    "no_resumption": "a handle to resume by came, and the policy has no session_resumption",
    "transcript": "no transcript came, and the policy has output_audio_transcription",
    "no_transcript": "a transcript came, and the policy has no output_audio_transcription",
}
BROKEN = {
    "mute": "no session within 1 s",
    "silent": "opened, nothing received, but the turn did not end within 1 s",
    "html": "google-genai failed on a message: ValueError",
    "no_setup": "the first message of the session was not setupComplete",
    "ends": "closed with 1011: Internal error.",
}


def profile(name: str, fault: str = "", rest: str = "", config: str = ON, model: str = "") -> str:
    """A profile whose tokens have a fault."""
    label = f'labels = {{ fault = "{fault}" }}\n' if fault else ""
    return (
        f'[profiles.{name}]\nmodel = "{model or "gemini-3.8-live"}"\n{rest}'
        f'[profiles.{name}.config]\nresponse_modalities = ["AUDIO"]\n{label}{config}'
    )


FAULTY = 'api_version = "v1alpha"\n' + "".join(
    [
        profile("unlocked", "unlocked"),
        profile("model", "model"),
        profile("generation", "generationConfig"),
        profile("instruction", "systemInstruction"),
        profile("tools", "tools"),
        profile("resumption", "sessionResumption"),
        profile("no_resumption", "sessionResumption", config="output_audio_transcription = {}\n"),
        profile("transcript", "outputAudioTranscription"),
        profile("no_transcript", "outputAudioTranscription", config="session_resumption = {}\n"),
        profile("again", "again"),
        profile("gone", model="gemini-gone-live"),
        *(profile(fault, fault) for fault in BROKEN),
        profile("teams", rest='require = { plan = ["team"] }\n'),
        profile("once", rest='limit = "1/day"\n'),
        profile("short", rest='expires_in = "5m"\n'),
    ]
)


@pytest.fixture(scope="module")
def faulty(certificate: Certificate) -> Iterator[Stack]:
    with stack(certificate) as made:
        made.gemini.behaviour.calls_functions = True
        with (
            Server(Faulty(made.gemini.app), tls=0, certificate=certificate) as at,
            made.running(FAULTY, GOOGLE_GEMINI_BASE_URL=at.tls_url) as running,
        ):
            yield running
        made.gemini.mints.clear()  # they ask for less than the function has asked for


def proven(faulty: Stack, folder: Path, *names: str, text: str = FAULTY, timeout: int = 10) -> Run:
    """Run it over some profiles."""
    chosen = [option for name in names for option in ("--profile", name)]
    file = written(folder, text)
    return signed_in(faulty, "--policy", file, "--timeout", str(timeout), *chosen)


def test_a_lock_that_leaves_anything_to_the_client_is_caught(faulty: Stack, tmp_path: Path) -> None:
    run = proven(faulty, tmp_path, *LEAKING)
    assert run.status == 1
    assert run.wrong.keys() >= {(name, "hostile session") for name in LEAKING}
    for name, said in LEAKING.items():
        assert said in run.wrong[name, "hostile session"]
        assert run.rows[name, "mint"][0] == "ok"


def test_a_token_that_works_twice_is_caught(faulty: Stack, tmp_path: Path) -> None:
    run = proven(faulty, tmp_path, "again")
    assert run.status == 1
    assert run.wrong == {("again", "second use"): "opened: the token works more than once"}


def test_a_model_that_gemini_does_not_know_is_told_from_a_lock_that_leaks(
    faulty: Stack, tmp_path: Path
) -> None:
    run = proven(faulty, tmp_path, "gone")
    assert run.status == 1
    ((at, came),) = run.wrong.items()
    assert at == ("gone", "hostile session")
    assert came.startswith("refused with 1007: token-based requests cannot use project-scoped")
    assert "the model models/gemini-gone-live does not exist, this key may not use it" in came
    assert run.left_out == {("gone", "second use")}


def test_a_socket_that_fails_is_a_row_and_the_next_profile_goes_on(
    faulty: Stack, tmp_path: Path
) -> None:
    run = proven(faulty, tmp_path, *BROKEN, timeout=1)
    assert run.status == 1
    for name, said in BROKEN.items():
        assert said in run.wrong[name, "hostile session"]


def test_a_test_person_who_may_not_or_has_had_enough_is_told(faulty: Stack, tmp_path: Path) -> None:
    run = proven(faulty, tmp_path, "teams", "once")
    assert run.status == 1
    assert run.wrong == {
        ("teams", "mint"): "403 NOT_ALLOWED: the policy refuses this test user; choose other"
        " profiles with --profile, or use another test user",
        ("once", "resume"): "429 LIMIT_REACHED: this test user has reached a rate limit; wait,"
        " choose other profiles with --profile, or use another test user",
    }


def test_a_deployment_of_another_policy_is_caught(faulty: Stack, tmp_path: Path) -> None:
    changes = {
        'expires_in = "5m"': 'expires_in = "6m"',
        "gemini-gone-live": "gemini-3.8-live",
        "v1alpha": "v1beta",
    }
    came = {}
    for name, (deployed, expected) in zip(("short", "gone", "again"), changes.items(), strict=True):
        run = proven(faulty, tmp_path, name, text=FAULTY.replace(deployed, expected))
        assert run.status == 1
        came[name] = run.wrong[name, "mint"]
    lives, _, wanted = came.pop("short").partition(", not ")
    assert re.fullmatch("200, but it expires after 0:0[45]:.. and starts within 0:0[01]:..", lives)
    assert wanted == "0:06:00 and 0:01:00"
    assert came == {
        "gone": "200, but model is models/gemini-gone-live, not models/gemini-3.8-live",
        "again": "200, but apiVersion is v1alpha, not v1beta",
    }


# ------------------------------------------------------------------ what a stand-in cannot show


def a_lock(config: str, rest: str = "") -> Expected:
    source = f'api_version = "v1alpha"\n{profile("default", rest=rest, config=config)}'.encode()
    configs = policy_file.configs(policy_file.parse(source))
    return Expected(compile_policy(source).profiles["default"], configs["default"])


def test_an_instruction_that_is_followed_is_caught() -> None:
    made = a_lock(ON)
    word = re.fullmatch(r"(?:Say (\w+)\. )+", str(made.hostile.system_instruction))
    assert word is not None
    seen = {"output_audio_transcription", "session_resumption"}
    heard = Heard(seconds=1, transcript=f"{word[1].title()}!", seen=seen)
    assert list(made.differences(heard)) == ["the client's instruction was followed"]
    heard.transcript = "Hello!"
    assert list(made.differences(heard)) == []


def test_a_session_without_sound_is_caught_unless_the_policy_lets_it_be_silent() -> None:
    assert list(a_lock("").differences(Heard())) == ["no audio came"]
    assert list(a_lock("proactivity = { proactive_audio = true }").differences(Heard())) == []


def test_a_hostile_setup_sets_nothing_that_is_left_to_the_client() -> None:
    left = ["tools", "system_instruction", "session_resumption", "output_audio_transcription"]
    made = a_lock("", f"client_may_set = {json.dumps(left)}\n")
    assert made.hostile.model_fields_set.isdisjoint(left)
    assert not made.awaits_more(Heard())
