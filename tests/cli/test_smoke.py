"""`python -m livetoken smoke` passes a deployment that works, and no other: the endpoint.

The function is real. Faults are in its environment, or in a server in front of it.
"""

import asyncio
import io
import json
import logging
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest
from stack import ORIGIN, SHIPPED, Stack
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from emulator.function import ROOT, hold_port
from emulator.server import Server, abort
from emulator.tls import Certificate
from livetoken import answers
from livetoken.cli.main import main
from livetoken.refusals import Reason, Refused


@dataclass(frozen=True)
class Run:
    """One run: what it printed, and its rows as `group: check`; of two alike, the last."""

    status: int
    output: str
    passed: dict[str, str]
    failed: dict[str, str]
    skipped: dict[str, str]


def smoke(url: str, *options: str, **variables: str) -> Run:
    """Run it in this process, which saves two seconds, with some variables set."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(output):
        for name, value in {"POLICY_FILE": str(SHIPPED), **variables}.items():
            patch.setenv(name, value)
        try:
            status = main(["smoke", url, *options])
        finally:
            logging.disable(logging.NOTSET)
    rows: dict[str, dict[str, str]] = {"ok": {}, "FAILED": {}, "-": {}}
    group = ""
    for line in output.getvalue().replace(f"\n{' ' * 32}", " ").splitlines():
        if line.startswith("  "):
            rows[line[2:9].strip()][f"{group}: {line[9:32].strip()}"] = line[32:]
        else:
            group = line
    return Run(status, output.getvalue(), *rows.values())


def signed_in(
    livetoken: Stack, *options: str, token: str = "", url: str = "", **variables: str
) -> Run:
    """Run it as Ada, or with another token, and check that it prints no part of any token."""
    token = token or livetoken.issuer.id_token("ada")
    prints_it = ("--id-token-command", shlex.join(["echo", token]))
    run = smoke(url or livetoken.function.url, *prints_it, *options, **variables)
    tokens = {token, *livetoken.gemini.state.tokens}
    tokens |= {str(check.token) for check in livetoken.app_check.checks}
    parts = {part for each in tokens for part in re.split("[./]", each) if part != "auth_tokens"}
    assert not [part for part in parts if part in run.output]
    return run


def test_without_an_id_token_what_needs_one_is_skipped(livetoken: Stack) -> None:
    mints = len(livetoken.gemini.mints)
    run = smoke(livetoken.function.url, "--origin", ORIGIN)
    assert (run.status, run.failed) == (0, {})
    assert run.passed["endpoint: made-up token"] == "401 INVALID_ID_TOKEN"
    assert run.passed["endpoint: GET"] == "405 METHOD_NOT_ALLOWED"
    assert [*run.skipped][:2] == ["endpoint: genuine token", "default: mint and session"]
    assert run.output.endswith("\n7 checks passed, 4 skipped.\n")
    assert len(livetoken.gemini.mints) == mints


def test_the_given_origins_must_be_allowed_and_no_others(alone: Stack) -> None:
    second, foreign = "https://second.example.com", "https://livetoken-smoke.invalid"
    with alone.running(ALLOWED_ORIGINS=f"{ORIGIN},{second}") as livetoken:
        both = smoke(livetoken.function.url, "--origin", ORIGIN, "--origin", second)
        star = smoke(livetoken.function.url, "--origin", "*")
    with alone.running(ALLOWED_ORIGINS="*") as livetoken:
        wide = smoke(livetoken.function.url, "--origin", ORIGIN)
    assert (both.status, star.status, wide.status) == (0, 1, 1)
    assert both.output.count(f"204 for {second}") == both.output.count(f"204 for {ORIGIN}") == 1
    assert star.failed.keys() == {"endpoint: allowed preflight", "endpoint: allowed POST"}
    refused = f"403 ORIGIN_NOT_ALLOWED for {foreign}, not 204"
    assert star.failed["endpoint: allowed preflight"] == refused
    assert wide.failed.keys() == {"endpoint: foreign preflight", "endpoint: foreign POST"}
    accepted = f"401 NO_CREDENTIAL for {foreign}, not 403 ORIGIN_NOT_ALLOWED"
    assert wide.failed["endpoint: foreign POST"] == accepted
    assert "\n2 of 7 checks failed, 4 skipped.\n" in wide.output


def test_an_origin_that_fits_a_pattern_must_be_allowed(alone: Stack) -> None:
    pattern = "https://app--*.web.app"
    with alone.running(ALLOWED_ORIGINS=f"{ORIGIN},{pattern}") as livetoken:
        run = smoke(livetoken.function.url, "--origin", ORIGIN, "--origin", pattern)
        other = smoke(livetoken.function.url, "--origin", "https://app-*.web.app")
    assert (run.status, other.status) == (0, 1)
    assert run.output.count("204 for https://app--a.web.app") == 1
    refused = "403 ORIGIN_NOT_ALLOWED for https://app-a.web.app, not 204"
    assert other.failed["endpoint: allowed preflight"] == refused


# ------------------------------------------------------------------ in front of the function

BODY = json.loads(bytes(answers.refused(Refused(Reason.NO_CREDENTIAL), {}).body))
ANSWERS: dict[str, Response] = {
    "iam": HTMLResponse("<title>403</title>Your client does not have permission.", 403),
    "gone": HTMLResponse("<html>404. That\u2019s an error.</html>", 404),
    "sign-in": RedirectResponse("https://accounts.example/login?x=1", 302),
    "down": HTMLResponse("Service Unavailable", 503),
    "list": JSONResponse([{"error": 5}]),
    "deep": Response(b"[" * 60_000, media_type="application/json"),
    "nothing": Response(),
    "anybody": answers.refused(Refused(Reason.UNKNOWN_PROFILE), {}),
    "stored": answers.refused(Refused(Reason.NO_CREDENTIAL), {"Cache-Control": "max-age=60"}),
    "chatty": JSONResponse({**BODY, "audience": "demo-livetoken"}, 401),
}


def front_of(livetoken: Stack) -> Starlette:
    """A server that answers some paths itself, and forwards what it is asked at others."""

    async def answer(request: Request) -> Response:
        what = request.path_params["what"]
        if what == "reset":
            abort(request.scope)
        while what == "hang" and (await request.receive())["type"] != "http.disconnect":
            pass
        if what in ANSWERS:
            return ANSWERS[what]
        ours = ("content-length", "host")  # which http.client sends by itself
        sent = {name: value for name, value in request.headers.items() if name not in ours}
        if what == "any-signature" and "authorization" in sent:
            sent["authorization"] = f"Bearer {livetoken.issuer.id_token('ada')}"
        body = await request.body()
        came = await asyncio.to_thread(livetoken.send, [*sent.items()], body, request.method)
        changed = (
            {"www-authenticate": sent.get("authorization", "Bearer")} if what == "echo" else {}
        )
        return Response(came.body, came.status, {**came.headers, **changed})

    return Starlette(routes=[Route("/{what}", answer, methods=["GET", "POST", "OPTIONS"])])


@pytest.fixture
def front(livetoken: Stack, certificate: Certificate) -> Iterator[Server]:
    with Server(front_of(livetoken), tls=0, certificate=certificate) as server:
        yield server


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "iam",
            "403 with text/html: the function did not answer; perhaps IAM did: use --no-invoker",
        ),
        ("gone", "404 with text/html: no service has this URL"),
        ("sign-in", "302 with no media type: redirected to accounts.example; perhaps a sign-in"),
        ("down", "503 with text/html: the service does not start"),
        ("list", "200 with application/json: the function did not answer"),
        ("deep", "200 with application/json: the function did not answer"),
        ("nothing", "200 with no media type: the function did not answer"),
        ("reset", "no whole answer"),
        ("hang", "no whole answer within 2 s"),
        ("anybody", "404 UNKNOWN_PROFILE, not 401 NO_CREDENTIAL"),
        ("stored", "cache-control is max-age=60, not no-store"),
        ("chatty", "but audience is str, not NoneType; cache-control is missing, not no-store"),
    ],
)
def test_a_wrong_first_answer_ends_the_run(front: Server, what: str, said: str) -> None:
    run = smoke(f"{front.url}/{what}", "--origin", ORIGIN, "--timeout", "2")
    assert run.status == 1
    assert run.failed.keys() == {"endpoint: no credential"}
    assert said in run.failed["endpoint: no credential"]
    assert "endpoint: everything else" in run.skipped


def test_https_needs_a_certificate_that_the_environment_trusts(front: Server) -> None:
    assert smoke(f"{front.tls_url}/x", "--origin", ORIGIN).status == 0
    for run, said in (
        (smoke(f"{front.tls_url}/x", SSL_CERT_FILE=""), "[SSL: CERTIFICATE_VERIFY_FAILED]"),
        (smoke(front.url.replace("http://", "https://")), "[SSL"),
        (smoke(f"http://127.0.0.1:{hold_port()}"), "All connection attempts failed"),
    ):
        assert f"no whole answer: {said}" in run.failed["endpoint: no credential"]


def test_a_function_that_accepts_any_signature_fails(livetoken: Stack, front: Server) -> None:
    url, accepted = f"{front.url}/any-signature", "404 UNKNOWN_PROFILE, not 401 INVALID_ID_TOKEN"
    assert smoke(url).failed == {"endpoint: made-up token": accepted}
    run = signed_in(livetoken, "--profile", "quick", url=url)
    assert run.failed["endpoint: altered signature"] == accepted
    assert run.failed["endpoint: no signature"] == accepted
    assert run.passed["endpoint: genuine token"] == "404 UNKNOWN_PROFILE"
    another = "404 UNKNOWN_PROFILE, not 200 with a token: the deployed policy differs from this one"
    assert run.failed["quick: mint"] == another
    assert [*run.skipped] == ["quick: sessions"]


def test_a_token_that_comes_back_is_not_printed(livetoken: Stack, front: Server) -> None:
    run = signed_in(livetoken, url=f"{front.url}/echo")
    assert "but www-authenticate is Bearer …" in run.failed["endpoint: altered signature"]


# ------------------------------------------------------------------ the test user

UNACCEPTED = "see its issuer and audience at `sign in`; no service account may ask"


@pytest.mark.parametrize(
    ("person", "claims", "said"),
    [
        ("ada", {"aud": "else"}, f"401 INVALID_ID_TOKEN, not 404 UNKNOWN_PROFILE: {UNACCEPTED}"),
        ("ada", {"exp": 1_700_000_000}, "--id-token-command prints an expired token"),
        ("grace", {"azp": "109700000000000000009"}, UNACCEPTED),
        ("guest", {}, "the policy refuses this test user; choose other profiles with --profile"),
    ],
)
def test_a_refused_id_token_is_explained(
    livetoken: Stack, person: str, claims: dict[str, Any], said: str
) -> None:
    run = signed_in(livetoken, token=livetoken.issuer.id_token(person, **claims))
    assert run.status == 1
    assert run.failed.keys() == {"endpoint: genuine token"}
    assert said in run.failed["endpoint: genuine token"]
    assert "quick: mint and session" in run.skipped


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sh -c 'echo eyJh.secret; exit 7'", "the command ended with 7"),
        ("true", "the command did not print one JSON Web Token"),
        ("echo ya29.secret", "the command did not print one JSON Web Token"),
        ("printf 'a.e30.\\na'", "the command did not print one JSON Web Token"),
        ("sh -c 'echo secret; sleep 60 & wait'", "the command did not end within 2 s"),
        ("/nonexistent/secret-command", "cannot be run: No such file or directory"),
    ],
)
def test_what_a_command_prints_is_never_shown(livetoken: Stack, words: str, said: str) -> None:
    started = time.monotonic()
    run = smoke(livetoken.function.url, "--id-token-command", words, "--timeout", "2")
    assert time.monotonic() - started < 50  # it does not wait for what the command started
    assert run.status == 1
    assert run.failed.keys() == {"endpoint: sign in"}
    assert said in run.failed["endpoint: sign in"]
    assert "secret" not in run.output.replace("secret-command", "")
    assert run.passed["endpoint: made-up token"] == "401 INVALID_ID_TOKEN"
    assert "endpoint: genuine token" in run.skipped


def test_wrong_arguments_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    url = "https://livetoken.example"
    for line in (
        *("", "livetoken.example", "http://livetoken.example", "https://", f"{url}:x"),
        *("https://user@livetoken.example", f"{url}?key=x", f"{url}/a\\b", f"{url} --profile qick"),
        *(f"{url} --origin https://app.example.com/", f"{url} --id-token-command 'x"),
        *(f"{url} --app-check-command=", f"{url} --timeout 0", f"{url} --timeout soon"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["smoke", *line.split()])
        assert ended.value.code == 2
        assert "error: " in capsys.readouterr().err


def test_ctrl_c_ends_without_a_traceback(front: Server) -> None:
    command = [sys.executable, "-m", "livetoken", "smoke", f"{front.url}/hang"]
    out, both = subprocess.PIPE, subprocess.STDOUT
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    with subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=both) as run:
        assert run.stdout is not None
        assert [run.stdout.readline() for _ in range(2)] == [b"\n", b"endpoint\n"]
        run.send_signal(signal.SIGINT)
        assert (run.wait(10), run.stdout.read()) == (130, b"")
