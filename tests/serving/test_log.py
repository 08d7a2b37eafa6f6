"""One line per decision, without secrets and without anything that names a person."""

import asyncio
import hashlib
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from stack import API_KEY, ORIGIN, POLICY, Stack, until
from starlette.datastructures import Headers

from emulator.function import ROOT, Function
from emulator.google_errors import REFUSALS
from livetoken.decisions import Decision
from livetoken.refusals import Reason

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_minted_token_is_one_line(livetoken: Stack) -> None:
    lines = len(livetoken.log())
    answer = livetoken.ask({"profile": "short"}).json
    line = livetoken.logged(lines + 1)
    assert line.pop("latency_ms") >= line.pop("gemini_ms") > 0
    assert line == {
        "severity": "INFO",
        "message": "minted",
        "profile": "short",
        "seconds": 300,
        "resumed": False,
        "issuer": f"https://securetoken.google.com/{livetoken.issuer.firebase_project}",
        "sub": livetoken.issuer.claims("ada")["sub"],
        "token_sha256": hashlib.sha256(answer["name"].encode()).hexdigest(),
        "gemini_status": 200,
    }


def test_a_refusal_is_one_line_that_says_which_check(livetoken: Stack) -> None:
    lines = len(livetoken.log())
    livetoken.ask(token=livetoken.issuer.id_token("guest"))
    line = livetoken.logged(lines + 1)
    assert line.pop("latency_ms") > 0
    assert line == {
        "severity": "NOTICE",
        "message": "refused",
        "reason": "NOT_ALLOWED",
        "detail": "ANONYMOUS",
        "rule": "callers.allow_anonymous",
        "issuer": f"https://securetoken.google.com/{livetoken.issuer.firebase_project}",
        "sub": livetoken.issuer.claims("guest")["sub"],
    }


def test_an_unverified_caller_is_not_named(livetoken: Stack) -> None:
    lines = len(livetoken.log())
    livetoken.ask(token=livetoken.issuer.id_token("ada", aud="evil"))
    assert livetoken.logged(lines + 1).keys() == {
        "severity",
        "message",
        "reason",
        "detail",
        "latency_ms",
    }


def test_a_caller_who_disconnected_is_logged_as_such(livetoken: Stack) -> None:
    lines = len(livetoken.log())
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {livetoken.issuer.id_token('ada')}"
    with socket.create_connection(("127.0.0.1", livetoken.function.port), 5) as client:
        client.sendall(f"{head}\r\nContent-Length: 9\r\n\r\n{{".encode())
    line = livetoken.logged(lines + 1)
    assert (line["reason"], line["detail"]) == ("INVALID_REQUEST", "CALLER_LEFT")


def test_a_caller_who_disconnected_during_the_mint_is_logged_as_such(livetoken: Stack) -> None:
    lines, mints = len(livetoken.log()), len(livetoken.gemini.mints)
    livetoken.gemini.behaviour.delay = 0.5
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {livetoken.issuer.id_token('ada')}"
    with socket.create_connection(("127.0.0.1", livetoken.function.port), 5) as client:
        client.sendall(f"{head}\r\nContent-Length: 0\r\n\r\n".encode())
        until(lambda: len(livetoken.gemini.mints) > mints)
    line = livetoken.logged(lines + 1)
    assert (line["message"], line["detail"]) == ("minted", "CALLER_LEFT")
    assert line["token_sha256"]


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"{TRACE}/123;o=1", TRACE),
        (f"{TRACE}/123", TRACE),
        (TRACE, TRACE),
        (TRACE.upper(), TRACE),
        ("x", None),
        (f"{TRACE}0", None),
        (f"{TRACE}/x", None),
        (f"../{TRACE}", None),
        ('{"severity": "EMERGENCY"}', None),
    ],
)
def test_a_well_formed_trace_is_linked(livetoken: Stack, header: str, trace: str | None) -> None:
    lines = len(livetoken.log())
    livetoken.ask(headers={"X-Cloud-Trace-Context": header})
    linked = livetoken.logged(lines + 1).get("logging.googleapis.com/trace")
    project = livetoken.issuer.firebase_project
    assert linked == (trace and f"projects/{project}/traces/{trace}")


def test_a_user_id_that_is_an_email_is_hashed(livetoken: Stack) -> None:
    lines = len(livetoken.log())
    livetoken.ask(token=livetoken.issuer.id_token("ada", sub="eve@example.com"))
    digest = hashlib.sha256(b"eve@example.com").hexdigest()
    assert livetoken.logged(lines + 1)["sub"] == f"sha256:{digest}"


@pytest.mark.provokes(Reason.INTERNAL)
def test_an_unexpected_error_is_a_500_without_its_text(alone: Stack) -> None:
    source = ROOT / "tests" / "functions" / "failing.py"
    with alone.running(
        FUNCTION_SOURCE=str(source), PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}"
    ) as livetoken:
        answer = livetoken.ask(headers={"Origin": ORIGIN})
        assert answer.is_refusal(Reason.INTERNAL)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        line = livetoken.logged(1)
        assert (line["severity"], line["error_type"]) == ("ERROR", "RuntimeError")
        assert line["error_at"].startswith("functions/failing.py:")
        assert "a secret" not in livetoken.function.output()
        assert "Traceback" not in livetoken.function.output()


def test_a_log_that_cannot_be_written_does_not_fail_the_request(
    alone: Stack, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    variables = alone.environment(POLICY_FILE=str(policy), XDG_RUNTIME_DIR=str(tmp_path))
    with Path("/dev/full").open("wb") as full, Function(variables, log=full) as function:
        function.wait_until_up()
        livetoken = replace(alone)
        livetoken.function = function
        assert livetoken.ask().status == 200
        assert livetoken.ask(token=None).is_refusal(Reason.NO_CREDENTIAL)


def test_no_output_holds_a_secret(livetoken: Stack) -> None:
    """Good, bad and hostile requests, and a broken Gemini."""
    issuer = livetoken.issuer
    printed = len(livetoken.function.output())
    good, expired = issuer.id_token("ada"), issuer.id_token("ada", exp=1_700_000_000)
    tokens = [
        good,
        expired,
        issuer.id_token("bob"),
        issuer.id_token("grace"),
        issuer.id_token("guest"),
        issuer.id_token("ada", aud="evil"),
        issuer.id_token("ada", exp="tomorrow"),
        good[:-8] + "AAAAAAAA",
        good.replace(".", "..", 1),
    ]
    faults: list[int | str] = [400, 401, 403, 404, 429, 499, 500, 503, "daily", *REFUSALS]
    faults += ["html", "empty", "noname", "huge", "reset"]
    bodies = [b"{}", b"{", b'{"profile": "body-secret"}', b'{"body-secret": 1}', b"a" * 9000]
    for token in tokens:
        for body in bodies:
            livetoken.ask(body, token=token, headers={"X-Firebase-AppCheck": "check-secret"})
    for fault in faults:
        livetoken.gemini.behaviour.fault = fault
        livetoken.ask(headers={"Origin": "https://origin-secret.example"})
        livetoken.ask(path="/path-secret?query-secret")
    livetoken.gemini.behaviour.fault = None
    name = livetoken.ask().json["name"]
    decisions = len(tokens) * len(bodies) + 2 * len(faults) + 1
    until(lambda: livetoken.function.output()[printed:].count("\n") >= decisions)
    output = livetoken.function.output()[printed:]
    assert len(output.splitlines()) == decisions
    emails = [issuer.claims(person).get("email") for person in ("ada", "bob", "grace")]
    pieces = [piece for token in tokens for piece in token.split(".") if len(piece) > 8]
    for secret in [API_KEY, "secret", *filter(None, emails), *pieces, name, "Traceback"]:
        assert secret not in output
    assert all(json.loads(line) for line in output.splitlines())


@pytest.mark.parametrize(
    ("error", "detail", "error_type"),
    [
        (asyncio.CancelledError(), "SHUT_DOWN", None),
        (KeyboardInterrupt(), None, "KeyboardInterrupt"),
    ],
)
def test_a_request_that_ends_without_an_answer_is_logged(
    error: BaseException,
    detail: str | None,
    error_type: str | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(type(error)), Decision(Headers(), None):
        raise error
    line = json.loads(capfd.readouterr().out)
    assert (line["reason"], line["severity"]) == ("INTERNAL", "ERROR")
    assert (line.get("detail"), line.get("error_type")) == (detail, error_type)
