"""The rules of [callers] hold in every profile, and no answer says which rule refused."""

import time
from typing import Any

import pytest
from asking import function_of, profile, refused
from policies import HEAD
from stack import Stack

from livetoken.caller import Caller
from livetoken.policy import CallerRules
from livetoken.refusals import Reason, Refused

STRICT = f"""{HEAD}
[callers]
require = {{ email_verified = [true], "team.name" = ["red", "blue"], team = {{ floor = [3] }} }}
max_auth_age = "1h"
{profile("default")}
{profile("pro", 'require = { plan = ["pro"], "team.name" = ["red"] }')}
"""
"""Rules in [callers], and a profile's on top of them."""

WELCOME = {"email_verified": True, "team": {"name": "blue", "floor": 3}}
"""Claims that meet the rules of STRICT for all callers."""

OPEN = f"""{HEAD}
callers.allow_anonymous = true
{profile("default")}
{profile("member", "require.member = [true]")}
"""
"""No rule for all callers, and one of a profile."""

strict, lax = function_of(STRICT), function_of(OPEN)


def refusal(
    stack: Stack, token: str, body: bytes | dict[str, Any] = b"{}"
) -> tuple[str | None, str | None]:
    """Ask, assert NOT_ALLOWED and no mint, return the detail and the rule in the log."""
    line = refused(stack, Reason.NOT_ALLOWED, body, token=token)
    assert line["severity"] == "NOTICE"
    return line.get("detail"), line.get("rule")


def welcome(stack: Stack, person: str = "ada", **claims: Any) -> str:
    """A token that STRICT accepts, with some claims changed."""
    return stack.issuer.id_token(person, **{**WELCOME, **claims})


# ------------------------------------------------------------------ [callers]


@pytest.mark.provokes(Reason.NOT_ALLOWED)
@pytest.mark.parametrize(
    ("claims", "rule"),
    [
        ({"email_verified": False}, "email_verified"),
        ({"email_verified": "true"}, "email_verified"),
        ({"email_verified": ...}, "email_verified"),
        ({"team": {"name": "green", "floor": 3}}, '"team.name"'),
        ({"team": {"floor": 3}, "team.name": "blue"}, '"team.name"'),
        ({"team": {"name": "blue", "floor": 4}}, "team.floor"),
        ({"team": {"name": "blue"}}, "team.floor"),
        ({"team": ...}, '"team.name"'),
    ],
)
@pytest.mark.parametrize("profile", ["default", "pro"])
def test_rules_for_all_callers_hold_in_every_profile(
    strict: Stack, claims: dict[str, Any], rule: str, profile: str
) -> None:
    refused = refusal(strict, welcome(strict, **claims), {"profile": profile})
    assert refused == ("CLAIM_NOT_ACCEPTED", f"callers.require.{rule}")


def test_a_caller_who_meets_all_rules_passes(strict: Stack) -> None:
    assert strict.ask(token=welcome(strict)).status == 200
    red = welcome(strict, plan="pro", team={"name": "red", "floor": 3})
    assert strict.ask({"profile": "pro"}, token=red).status == 200


def test_a_profiles_rules_are_added(strict: Stack) -> None:
    red = {"name": "red", "floor": 3}
    for claims, claim in (
        ({"plan": "pro"}, '"team.name"'),
        ({"plan": "basic", "team": red}, "plan"),
        ({"plan": ..., "team": red}, "plan"),
    ):
        token = welcome(strict, **claims)
        rule = f"profiles.pro.require.{claim}"
        assert refusal(strict, token, {"profile": "pro"}) == ("CLAIM_NOT_ACCEPTED", rule)
        assert strict.ask(token=token).status == 200


def test_an_anonymous_account_is_refused_unless_it_is_allowed(strict: Stack, lax: Stack) -> None:
    guest = welcome(strict, "guest", email_verified=True)
    assert refusal(strict, guest) == ("ANONYMOUS", "callers.allow_anonymous")
    assert lax.ask(token=lax.issuer.id_token("guest")).status == 200


def test_only_firebases_sign_in_provider_makes_an_account_anonymous(strict: Stack) -> None:
    provider = {"sign_in_provider": "anonymous", "identities": {"google.com": ["1"]}}
    assert refusal(strict, welcome(strict, firebase=provider))[0] == "ANONYMOUS"
    linked = {"sign_in_provider": "google.com", "identities": {}}
    token = welcome(strict, provider_id="anonymous", firebase=linked)
    assert strict.ask(token=token).status == 200
    google = welcome(strict, "grace", firebase=provider, auth_time=int(time.time()))
    assert strict.ask(token=google).status == 200


# ------------------------------------------------------------------ max_auth_age

TOO_LONG_AGO = ("SIGNED_IN_TOO_LONG_AGO", "callers.max_auth_age")


@pytest.mark.parametrize("person", ["ada", "grace"])
def test_a_sign_in_passes_until_max_auth_age(strict: Stack, person: str) -> None:
    now = int(time.time())
    for ago in (0, 60, 3590):
        assert strict.ask(token=welcome(strict, person, auth_time=now - ago)).status == 200
    for ago in (3601, 7200, now - 1):
        assert refusal(strict, welcome(strict, person, auth_time=now - ago)) == TOO_LONG_AGO


@pytest.mark.parametrize("auth_time", [..., None, "1700000000", True, 0, -1, [], {}, "fresh"])
def test_a_google_token_without_auth_time_is_refused(strict: Stack, auth_time: Any) -> None:
    assert refusal(strict, welcome(strict, "grace", auth_time=auth_time)) == TOO_LONG_AGO


def test_an_auth_time_that_is_fractional_or_in_the_future_is_refused(strict: Stack) -> None:
    now = time.time()
    for auth_time in (now - 60, float(int(now)), int(now) + 3600, int(now) + 30):
        assert refusal(strict, welcome(strict, "grace", auth_time=auth_time)) == TOO_LONG_AGO


def test_a_clock_ten_seconds_ahead_is_accepted(strict: Stack) -> None:
    ahead = int(time.time()) + 8
    assert strict.ask(token=welcome(strict, "grace", auth_time=ahead)).status == 200


def test_without_max_auth_age_no_auth_time_is_needed(lax: Stack) -> None:
    assert lax.ask(token=lax.issuer.id_token("grace", auth_time=...)).status == 200
    assert lax.ask(token=lax.issuer.id_token("ada", auth_time=1_000_000_000)).status == 200


def test_max_auth_age_is_inclusive() -> None:
    rules = CallerRules(max_auth_age=3600)
    rules.check(Caller("issuer", "sub", False, {}, 3600.0))
    for ago in (3600.001, float("inf"), None):
        with pytest.raises(Refused):
            rules.check(Caller("issuer", "sub", False, {}, ago))


# ------------------------------------------------------------------ what a caller learns


def test_the_answer_is_the_same_whichever_rule_refused(strict: Stack, lax: Stack) -> None:
    now = int(time.time())
    pro = {"profile": "pro"}
    answers = [
        strict.ask(token=welcome(strict, email_verified=False)),
        strict.ask(token=welcome(strict, team=...)),
        strict.ask(token=welcome(strict, "guest")),
        strict.ask(token=welcome(strict, auth_time=now - 4000)),
        strict.ask(token=welcome(strict, "grace")),
        strict.ask(pro, token=welcome(strict, plan="basic")),
        strict.ask({"data": pro}, token=welcome(strict, plan="basic")),
        strict.ask(pro, token=welcome(strict)),
        lax.ask({"profile": "member"}),
    ]
    assert all(answer.is_refusal(Reason.NOT_ALLOWED) for answer in answers)
    assert len({answer.body for answer in answers}) == 1
    # `connection` says only whether the body had arrived.
    not_of_the_answer = {"date", "connection"}
    same = answers[0].headers.keys() - not_of_the_answer
    assert len({tuple(answer.headers[name] for name in sorted(same)) for answer in answers}) == 1
    assert all(answer.headers.keys() - not_of_the_answer == same for answer in answers)


def test_the_log_has_no_claim_in_it(strict: Stack) -> None:
    hidden = {"name": "a claim's text", "floor": 3}
    assert refusal(strict, welcome(strict, team=hidden))[0] == "CLAIM_NOT_ACCEPTED"
    assert "a claim's text" not in strict.function.output()


# ------------------------------------------------------------------ the order

BAD_BODIES: list[bytes | dict[str, Any]] = [
    b"{",
    b"[]",
    b"a" * 9000,
    {"profile": 1},
    {"nonsense": 1},
    {"resume": "a\nb"},
    {"profile": "nobody"},
    {"profile": "pro", "resume": "a handle"},
]


@pytest.mark.parametrize("body", BAD_BODIES)
def test_rules_for_all_callers_come_before_the_body(
    strict: Stack, body: bytes | dict[str, Any]
) -> None:
    token = welcome(strict, email_verified=False)
    assert refusal(strict, token, body) == ("CLAIM_NOT_ACCEPTED", "callers.require.email_verified")


def test_rules_for_all_callers_come_before_a_body_that_is_not_sent_yet(strict: Stack) -> None:
    token = welcome(strict, email_verified=False)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n"
    began = time.monotonic()
    assert b'"NOT_ALLOWED"' in strict.send_raw(f"{head}\r\n".encode())
    assert time.monotonic() - began < 4


def test_the_body_comes_before_the_profile_and_the_profile_before_its_rules(strict: Stack) -> None:
    token = welcome(strict, plan="basic")
    before = len(strict.gemini.mints)
    for body, reason in (
        ({"profile": "nobody", "nonsense": 1}, Reason.INVALID_REQUEST),
        ({"profile": "pro", "nonsense": 1}, Reason.INVALID_REQUEST),
        ({"profile": "pro", "resume": ""}, Reason.INVALID_REQUEST),
        ({"profile": "nobody"}, Reason.UNKNOWN_PROFILE),
        ({"profile": "pro"}, Reason.NOT_ALLOWED),
    ):
        assert strict.ask(body, token=token).is_refusal(reason)
    assert len(strict.gemini.mints) == before


def test_the_id_token_comes_before_the_rules(strict: Stack) -> None:
    expired = welcome(strict, email_verified=False, exp=int(time.time()) - 60)
    assert strict.ask(token=expired).is_refusal(Reason.ID_TOKEN_EXPIRED)
    claims = strict.issuer.claims("ada", **WELCOME)
    forged = strict.issuer.sign(claims, key=strict.issuer.keys["google"][-1].private)
    assert strict.ask(token=forged).is_refusal(Reason.INVALID_ID_TOKEN)
