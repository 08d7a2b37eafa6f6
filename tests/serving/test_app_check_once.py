"""App Check: with `consume`, each of its tokens is served once."""

import base64
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap
from typing import Any

import pytest
from app_checked import ACCOUNT_MODULES, ask, refused_as, rules, unavailable_as
from asking import function_of, imported, profile
from stack import API_KEY, Answer, Stack

from emulator.faults import SECRET
from livetoken import google_api
from livetoken.refusals import Reason

NOW = int(time.time())


PROXY = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
once = function_of(rules("consume"), PYTHONPROFILEIMPORTTIME="1", **PROXY)


BOUNDS = {
    "limit": 'limit = "1/day"',
    "budget": 'budget = "5m/day"\nexpires_in = "5m"',
    "at_once": "at_once = 1",
    "total_limit": 'total.limit = "1/day"',
    "total_budget": 'total.budget = "5m/day"\nexpires_in = "5m"',
    "total_at_once": "total.at_once = 1",
}
BOUNDED = {
    name: Reason.TOTAL_REACHED if "total" in name else Reason[f"{name.upper()}_REACHED"]
    for name in BOUNDS
}
bounded = function_of(rules("consume") + "".join(starmap(profile, BOUNDS.items())))


@pytest.fixture
def consuming(once: Stack) -> Iterator[Stack]:
    """A function that accepts each token once; the fault injection is reset.

    Its environment names a proxy that does not exist, which must not get the access token.
    """
    yield once
    once.app_check.verdict_fault = None
    once.app_check.verdict_delay = 0
    once.gemini.behaviour.fault = None
    once.gemini.behaviour.delay = 0


@pytest.mark.provokes(Reason.APP_CHECK_FAILED)
def test_a_second_use_is_refused(consuming: Stack) -> None:
    token, checks = consuming.app_check.token(), len(consuming.app_check.checks)
    assert ask(consuming, token).status == 200
    assert refused_as(consuming, token) == "ALREADY_USED"
    assert ask(consuming, token, sub="another").is_refusal(Reason.APP_CHECK_FAILED)
    (check,) = consuming.app_check.checks[checks:]
    assert check.token == token
    scheme, access_token = (check.authorization or "").split()
    assert scheme == "Bearer"
    assert access_token in consuming.metadata.access_tokens
    assert consuming.metadata.scopes == ("https://www.googleapis.com/auth/firebase",)


def test_a_replay_costs_google_nothing(consuming: Stack) -> None:
    token, checks = consuming.app_check.token(), len(consuming.app_check.checks)
    assert ask(consuming, token).status == 200
    used_elsewhere = consuming.app_check.token()
    with consuming.running(rules("consume")) as another_instance:
        assert ask(another_instance, used_elsewhere).status == 200
    for _ in range(5):
        assert refused_as(consuming, token) == "ALREADY_USED"
        assert refused_as(consuming, used_elsewhere) == "ALREADY_USED"
    assert [each.token for each in consuming.app_check.checks[checks:]] == [
        token,
        used_elsewhere,
        used_elsewhere,
    ]


@pytest.mark.parametrize("profile", BOUNDED)
def test_a_caller_who_reached_a_limit_uses_no_token_up(bounded: Stack, profile: str) -> None:
    check, asked = bounded.app_check, {"profile": profile}
    assert ask(bounded, check.token(), asked, sub=f"first-{profile}").status == 200
    token, checks = check.token(), len(check.checks)
    # All callers together have used a total up.
    sub = f"{'second' if 'total' in profile else 'first'}-{profile}"
    for _ in range(3):
        assert ask(bounded, token, asked, sub=sub).is_refusal(BOUNDED[profile])
    assert len(check.checks) == checks
    assert ask(bounded, token, sub=sub).status == 200


def test_a_token_of_another_app_is_not_used_up(alone: Stack) -> None:
    """Its app can still use it: somebody else's app must not pay for a request to us."""
    with alone.running(rules("consume", "1:123456789012:web:fedcba9876543210")) as livetoken:
        token = livetoken.app_check.token()
        assert refused_as(livetoken, token) == "APP_NOT_ACCEPTED"
        assert not livetoken.app_check.checks
        accepted = livetoken.app_check.token(sub="1:123456789012:web:fedcba9876543210")
        assert ask(livetoken, accepted).status == 200
        assert len(livetoken.app_check.checks) == 1


def test_a_used_token_has_no_other_spelling(consuming: Stack) -> None:
    """Bits that base64 leaves unused would make it another text for Google's used-once check."""
    token = consuming.app_check.token()
    assert ask(consuming, token).status == 200
    padding = base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        same = token[:-1] + last
        if base64.urlsafe_b64decode(same.rpartition(".")[2] + "==") == padding and same != token:
            assert refused_as(consuming, same) == "TOKEN_MALFORMED"


def test_one_access_token_serves_many_requests(consuming: Stack) -> None:
    assert ask(consuming, consuming.app_check.token()).status == 200
    fetches = consuming.metadata.fetches
    for _ in range(5):
        assert ask(consuming, consuming.app_check.token()).status == 200
    assert consuming.metadata.fetches == fetches


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        *((status, "STATUS") for status in (400, 401, 403, 404, 429, 500, 503)),
        *((word, "NOT_A_VERDICT") for word in ("html", "list", "badverdict")),
        ("reset", "CONNECTION"),
    ],
)
def test_an_answer_that_is_not_a_verdict_mints_nothing_and_uses_nothing_up(
    consuming: Stack, fault: int | str, detail: str
) -> None:
    token = consuming.app_check.token()
    consuming.app_check.verdict_fault = fault
    assert unavailable_as(consuming, token) == detail
    consuming.app_check.verdict_fault = None
    assert ask(consuming, token).status == 200


@pytest.mark.provokes(Reason.APP_CHECK_UNAVAILABLE)
def test_a_verdict_that_never_comes_is_awaited_for_five_seconds(consuming: Stack) -> None:
    consuming.app_check.verdict_fault = "hang"
    began = time.monotonic()
    assert unavailable_as(consuming, consuming.app_check.token()) == "NO_ANSWER"
    assert 4.5 < time.monotonic() - began < 7


def test_without_an_access_token_nothing_is_minted_until_there_is_one(alone: Stack) -> None:
    alone.metadata.fault, alone.metadata.life = 404, 1
    with alone.running(rules("consume")) as livetoken:
        token = alone.app_check.token()
        for _ in range(10):
            assert unavailable_as(livetoken, token) == "NO_ACCESS_TOKEN"
        assert alone.metadata.fetches <= 2  # of the warm-up, and of the first caller perhaps
        assert not alone.app_check.checks
        alone.metadata.fault = None
        time.sleep(google_api.RETRY_AFTER)
        assert ask(livetoken, token).status == 200
        assert refused_as(livetoken, token) == "ALREADY_USED"
        ran_out = alone.app_check.checks[-1].authorization
        time.sleep(alone.metadata.life + 0.1)
        assert ask(livetoken, alone.app_check.token()).status == 200
        assert alone.app_check.checks[-1].authorization != ran_out


@pytest.mark.parametrize(
    ("body", "claims", "reason"),
    [
        (b"{}", {"email_verified": False}, Reason.NOT_ALLOWED),
        (b"{", {}, Reason.INVALID_REQUEST),
        (b"a" * 9000, {}, Reason.BODY_TOO_LARGE),
        ({"resume": "a\nb"}, {}, Reason.INVALID_REQUEST),
        ({"resume": "a handle"}, {}, Reason.INVALID_REQUEST),
        ({"profile": "nobody"}, {}, Reason.UNKNOWN_PROFILE),
        ({"profile": "pro"}, {}, Reason.NOT_ALLOWED),
        ({"profile": "told"}, {"level": "far too long"}, Reason.NOT_ALLOWED),
        ({"profile": "told"}, {"level": ...}, Reason.NOT_ALLOWED),
    ],
)
def test_a_request_refused_before_the_check_uses_no_token_up(
    consuming: Stack, body: bytes | dict[str, Any], claims: dict[str, Any], reason: Reason
) -> None:
    token, checks = consuming.app_check.token(), len(consuming.app_check.checks)
    before = len(consuming.gemini.mints)
    assert ask(consuming, token, body, **claims).is_refusal(reason)
    assert len(consuming.gemini.mints) == before
    assert len(consuming.app_check.checks) == checks
    assert ask(consuming, token, {"profile": "told"}).status == 200


def test_an_invalid_token_is_not_sent_to_the_check(consuming: Stack) -> None:
    checks = len(consuming.app_check.checks)
    for claims in ({"aud": ["projects/another"]}, {"exp": NOW - 60}, {"sub": ""}):
        assert refused_as(consuming, consuming.app_check.token(**claims))
    assert refused_as(consuming, "x") == "TOKEN_MALFORMED"
    assert refused_as(consuming, None) == "NO_TOKEN"
    assert len(consuming.app_check.checks) == checks


def test_a_mint_that_fails_uses_the_token_up(consuming: Stack) -> None:
    token = consuming.app_check.token()
    consuming.gemini.behaviour.fault = 500
    assert ask(consuming, token).is_refusal(Reason.GEMINI_UNAVAILABLE)
    consuming.gemini.behaviour.fault = None
    assert refused_as(consuming, token) == "ALREADY_USED"


def test_twenty_requests_at_once_with_one_token_mint_once_and_ask_once(consuming: Stack) -> None:
    token, before = consuming.app_check.token(), len(consuming.gemini.mints)
    consuming.app_check.verdict_delay = consuming.gemini.behaviour.delay = 0.3
    together = threading.Barrier(20)

    def one(_: int) -> Answer:
        together.wait(10)
        return ask(consuming, token)

    checks = len(consuming.app_check.checks)
    with ThreadPoolExecutor(20) as callers:
        answers = list(callers.map(one, range(20)))
    assert len(consuming.app_check.checks) - checks == 1
    assert [answer.status for answer in answers].count(200) == 1
    refused = [answer for answer in answers if answer.status != 200]
    assert all(answer.is_refusal(Reason.APP_CHECK_FAILED) for answer in refused)
    assert len(consuming.gemini.mints) == before + 1


def test_no_output_holds_a_secret_of_app_check(consuming: Stack) -> None:
    good, used = consuming.app_check.token(), consuming.app_check.token()
    tokens = [used, consuming.app_check.token(exp=NOW - 60), consuming.app_check.token(aud="x")]
    answers = [ask(consuming, token) for token in (used, *tokens)]
    for fault in (403, 500, "html", "badverdict", "reset"):
        consuming.app_check.verdict_fault = fault
        answers.append(ask(consuming, good))
    shown = consuming.function.output().encode() + b"".join(answer.body for answer in answers)
    pieces = [piece for token in (good, *tokens) for piece in token.split(".")]
    checks = consuming.app_check.checks
    access_tokens = {(check.authorization or "").removeprefix("Bearer ") for check in checks}
    assert all(access_token.startswith("ya29") for access_token in access_tokens)
    for secret in (*pieces, *access_tokens, "ya29", API_KEY, SECRET, "Traceback"):
        assert secret.encode() not in shown


def test_a_token_that_just_expired_is_refused_as_expired(consuming: Stack) -> None:
    """Google's check allows no clock skew and answers an expired token with a bare 403."""
    token = consuming.app_check.token(exp=int(time.time()) - 2)
    assert refused_as(consuming, token) == "EXPIRY"


def test_an_access_token_that_is_refused_is_not_sent_again(consuming: Stack) -> None:
    assert ask(consuming, consuming.app_check.token()).status == 200
    consuming.metadata.access_tokens.clear()
    assert unavailable_as(consuming, consuming.app_check.token()) == "STATUS"
    assert ask(consuming, consuming.app_check.token()).status == 200


def test_consume_imports_the_client_of_the_service_account(consuming: Stack) -> None:
    assert ask(consuming, consuming.app_check.token()).status == 200
    assert imported(consuming) & {*ACCOUNT_MODULES, "google.genai"} == ACCOUNT_MODULES
