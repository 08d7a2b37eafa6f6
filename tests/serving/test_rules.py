"""The rules of a policy about callers: who passes, who does not, and that nobody learns why."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from stack import Stack, stack

from emulator.tls import Certificate
from livetoken.caller import Caller
from livetoken.policy import CallerRules, Requirement
from livetoken.refusals import Reason, Refused

PROFILE = """
[profiles.{0}]
model = "gemini-3.8-live"
[profiles.{0}.config]
response_modalities = ["AUDIO"]
"""

STRICT = """
api_version = "v1alpha"
[callers]
require = { email_verified = [true], "team.name" = ["red", "blue"], team = { floor = [3] } }
max_auth_age = "1h"
""" + "".join(map(PROFILE.format, ("default", "pro")))
STRICT += '[profiles.pro.require]\nplan = ["pro"]\n"team.name" = ["red"]\n'
"""Rules in [callers], and a profile's on top of them."""

WELCOME = {"email_verified": True, "team": {"name": "blue", "floor": 3}}
"""The claims that STRICT wants of everybody."""

RULES = {
    "flag": "flag = [true]",
    "no_flag": "flag = [false]",
    "one": "seats = [1]",
    "zero": "seats = [0]",
    "decimal": "seats = [1.0, 2.5]",
    "text": 'word = ["pro", "team"]',
    "text_one": 'word = ["1", "true", "null"]',
    "empty": 'word = [""]',
    "mixed": 'word = ["pro", 7, true]',
    "dotted": '"org.unit.name" = ["blue"]',
    "deeper": 'org.unit.name = ["blue"]',
    "table": 'org = { unit = { name = ["blue"] } }',
    "half": 'org = { "unit.name" = ["blue"] }',
    "both": 'word = ["pro"]\nseats = [1]',
}
"""Profiles with one rule each, and one with two."""

OPEN = 'api_version = "v1alpha"\n[callers]\nallow_anonymous = true\n' + "".join(
    f"{PROFILE.format(name)}[profiles.{name}.require]\n{rule}\n" for name, rule in RULES.items()
)
OPEN += PROFILE.format("default")
"""Anybody who is signed in at all; what is refused, a profile refuses."""


@pytest.fixture(scope="module")
def strict(certificate: Certificate) -> Iterator[Stack]:
    with stack(certificate) as unstarted, unstarted.running(STRICT) as started:
        yield started


@pytest.fixture(scope="module")
def lax(certificate: Certificate) -> Iterator[Stack]:
    with stack(certificate) as unstarted, unstarted.running(OPEN) as started:
        yield started


def refusal(
    stack: Stack, token: str, body: bytes | dict[str, Any] = b"{}"
) -> tuple[str | None, str | None]:
    """Ask, assert NOT_ALLOWED and nothing at Gemini; return what the log says, detail and rule."""
    before, lines = len(stack.gemini.mints), len(stack.log())
    assert stack.ask(body, token=token).is_refusal(Reason.NOT_ALLOWED)
    assert len(stack.gemini.mints) == before
    line = stack.logged(lines + 1)
    assert (line["severity"], line["reason"]) == ("NOTICE", "NOT_ALLOWED")
    return line.get("detail"), line.get("rule")


def welcome(stack: Stack, person: str = "ada", **claims: Any) -> str:
    """A token that STRICT lets pass, but for what is changed."""
    return stack.issuer.id_token(person, **{**WELCOME, **claims})


# ------------------------------------------------------------------ one requirement

BLUE = {"org": {"unit": {"name": "blue"}}}


@pytest.mark.parametrize(
    ("profile", "claims"),
    [
        ("flag", {"flag": True}),
        ("no_flag", {"flag": False}),
        ("one", {"seats": 1}),
        ("one", {"seats": 1.0}),
        ("zero", {"seats": 0}),
        ("zero", {"seats": -0.0}),
        ("decimal", {"seats": 1}),
        ("decimal", {"seats": 2.5}),
        ("text", {"word": "pro"}),
        ("text", {"word": "team"}),
        ("text", {"word": ["team"]}),
        ("text", {"word": ["basic", "pro", 7, None, {}]}),
        ("empty", {"word": ""}),
        ("empty", {"word": ["", "x"]}),
        ("one", {"seats": [3, 2, 1]}),
        ("flag", {"flag": [1, True]}),
        ("mixed", {"word": 7.0}),
        ("mixed", {"word": True}),
        ("dotted", BLUE),
        ("deeper", BLUE),
        ("table", BLUE),
        ("half", BLUE),
        ("dotted", {"org": {"unit": {"name": ["red", "blue"]}}}),
        ("dotted", {**BLUE, "org.unit.name": "red", "org.unit": {"name": "red"}}),
        ("both", {"word": "pro", "seats": 1}),
    ],
)
def test_an_accepted_value_passes(lax: Stack, profile: str, claims: dict[str, Any]) -> None:
    token = lax.issuer.id_token("ada", **claims)
    assert lax.ask({"profile": profile}, token=token).json["profile"] == profile


@pytest.mark.parametrize(
    ("profile", "claims", "claim"),
    [
        # A missing claim, and one that is null.
        ("flag", {}, "flag"),
        ("no_flag", {}, "flag"),
        ("zero", {}, "seats"),
        ("empty", {}, "word"),
        ("dotted", {}, '"org.unit.name"'),
        ("flag", {"flag": None}, "flag"),
        ("no_flag", {"flag": None}, "flag"),
        ("zero", {"seats": None}, "seats"),
        ("empty", {"word": None}, "word"),
        ("text_one", {"word": None}, "word"),
        # Another JSON type.
        ("flag", {"flag": 1}, "flag"),
        ("flag", {"flag": 1.0}, "flag"),
        ("flag", {"flag": "true"}, "flag"),
        ("flag", {"flag": "True"}, "flag"),
        ("flag", {"flag": {"flag": True}}, "flag"),
        ("no_flag", {"flag": 0}, "flag"),
        ("no_flag", {"flag": ""}, "flag"),
        ("no_flag", {"flag": []}, "flag"),
        ("no_flag", {"flag": "false"}, "flag"),
        ("one", {"seats": True}, "seats"),
        ("one", {"seats": "1"}, "seats"),
        ("zero", {"seats": False}, "seats"),
        ("zero", {"seats": ""}, "seats"),
        ("decimal", {"seats": True}, "seats"),
        ("decimal", {"seats": "2.5"}, "seats"),
        ("text_one", {"word": 1}, "word"),
        ("text_one", {"word": True}, "word"),
        # Another value.
        ("flag", {"flag": False}, "flag"),
        ("one", {"seats": 2}, "seats"),
        ("one", {"seats": 1.0000001}, "seats"),
        ("one", {"seats": -1}, "seats"),
        ("text", {"word": "basic"}, "word"),
        ("text", {"word": ""}, "word"),
        # Nearly the value.
        ("text", {"word": "pr"}, "word"),
        ("text", {"word": "prop"}, "word"),
        ("text", {"word": "xpro"}, "word"),
        ("text", {"word": "Pro"}, "word"),
        ("text", {"word": "PRO"}, "word"),
        ("text", {"word": " pro"}, "word"),
        ("text", {"word": "pro "}, "word"),
        ("text", {"word": "pro\n"}, "word"),
        ("text", {"word": "pro\x00"}, "word"),
        ("text", {"word": "pro,team"}, "word"),
        ("text", {"word": "\uff50\uff52\uff4f"}, "word"),
        ("text", {"word": "p\u0440o"}, "word"),
        ("empty", {"word": " "}, "word"),
        # Lists that share no value, and what is no list of values.
        ("text", {"word": []}, "word"),
        ("text", {"word": ["basic", "Pro"]}, "word"),
        ("text", {"word": [["pro"]]}, "word"),
        ("text", {"word": [{"word": "pro"}]}, "word"),
        ("text", {"word": {"pro": "pro"}}, "word"),
        ("text", {"word": {"0": "pro"}}, "word"),
        ("flag", {"flag": [1, "true"]}, "flag"),
        ("one", {"seats": [True, "1"]}, "seats"),
        # A path that is not there.
        ("dotted", {"org.unit.name": "blue"}, '"org.unit.name"'),
        ("dotted", {"org.unit": {"name": "blue"}}, '"org.unit.name"'),
        ("dotted", {"org": {"unit.name": "blue"}}, '"org.unit.name"'),
        ("half", {"org": {"unit.name": "blue"}}, 'org."unit.name"'),
        ("table", {"org.unit.name": "blue"}, "org.unit.name"),
        ("dotted", {"org": "blue"}, '"org.unit.name"'),
        ("dotted", {"org": {"unit": "blue"}}, '"org.unit.name"'),
        ("dotted", {"org": {"unit": [{"name": "blue"}]}}, '"org.unit.name"'),
        ("dotted", {"org": [{"unit": {"name": "blue"}}]}, '"org.unit.name"'),
        ("dotted", {"name": "blue", "unit": {"name": "blue"}}, '"org.unit.name"'),
        ("deeper", {"org": {"unit": {"Name": "blue"}}}, "org.unit.name"),
        ("deeper", {"org": {"unit": {"name": {"name": "blue"}}}}, "org.unit.name"),
        # One of two.
        ("both", {"word": "pro"}, "seats"),
        ("both", {"seats": 1}, "word"),
        ("both", {"word": "pro", "seats": 2}, "seats"),
    ],
)
def test_any_other_claim_is_refused_and_the_log_says_which(
    lax: Stack, profile: str, claims: dict[str, Any], claim: str
) -> None:
    token = lax.issuer.id_token("ada", **claims)
    rule = f"profiles.{profile}.require.{claim}"
    assert refusal(lax, token, {"profile": profile}) == ("CLAIM_NOT_ACCEPTED", rule)


@pytest.mark.parametrize("number", ["1e999", "1" + "0" * 400, "1.5e308", "-1e999"])
def test_a_number_out_of_all_measure_is_only_refused(lax: Stack, number: str) -> None:
    claims = lax.issuer.claims("ada", seats="HERE")
    header = lax.issuer.header("firebase")
    payload = json_of(claims).replace(b'"HERE"', number.encode())
    token = lax.issuer.sign_raw(json_of(header), payload)
    assert refusal(lax, token, {"profile": "decimal"})[0] == "CLAIM_NOT_ACCEPTED"


def json_of(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("name", ["keys", "get", "__class__", "__len__"])
def test_a_claim_is_no_attribute(name: str) -> None:
    caller = Caller("issuer", "sub", False, {"org": {}}, None)
    for path in ((name,), ("org", name)):
        with pytest.raises(Refused):
            Requirement(path, ("", 0, False), "path").check(caller)


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
def test_the_rules_for_everybody_hold_in_every_profile(
    strict: Stack, claims: dict[str, Any], rule: str, profile: str
) -> None:
    refused = refusal(strict, welcome(strict, **claims), {"profile": profile})
    assert refused == ("CLAIM_NOT_ACCEPTED", f"callers.require.{rule}")


def test_who_keeps_all_rules_passes(strict: Stack) -> None:
    assert strict.ask(token=welcome(strict)).status == 200
    red = welcome(strict, plan="pro", team={"name": "red", "floor": 3})
    assert strict.ask({"profile": "pro"}, token=red).status == 200


def test_a_profiles_rules_come_on_top(strict: Stack) -> None:
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


def test_anonymous_is_what_firebase_says_of_the_sign_in_and_nothing_else(strict: Stack) -> None:
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
def test_a_sign_in_passes_for_its_time_and_no_longer(strict: Stack, person: str) -> None:
    now = int(time.time())
    for ago in (0, 60, 3590):
        assert strict.ask(token=welcome(strict, person, auth_time=now - ago)).status == 200
    for ago in (3601, 7200, now - 1):
        assert refusal(strict, welcome(strict, person, auth_time=now - ago)) == TOO_LONG_AGO


@pytest.mark.parametrize("auth_time", [..., None, "1700000000", True, 0, -1, [], {}, "fresh"])
def test_a_google_token_that_does_not_say_when_is_refused(strict: Stack, auth_time: Any) -> None:
    assert refusal(strict, welcome(strict, "grace", auth_time=auth_time)) == TOO_LONG_AGO


def test_a_sign_in_that_is_no_whole_time_or_yet_to_come_is_refused(strict: Stack) -> None:
    now = time.time()
    for auth_time in (now - 60, float(int(now)), int(now) + 3600, int(now) + 30):
        assert refusal(strict, welcome(strict, "grace", auth_time=auth_time)) == TOO_LONG_AGO


def test_a_clock_ten_seconds_ahead_is_no_other_time(strict: Stack) -> None:
    ahead = int(time.time()) + 8
    assert strict.ask(token=welcome(strict, "grace", auth_time=ahead)).status == 200


def test_without_the_rule_nobody_needs_to_say_when(lax: Stack) -> None:
    assert lax.ask(token=lax.issuer.id_token("grace", auth_time=...)).status == 200
    assert lax.ask(token=lax.issuer.id_token("ada", auth_time=1_000_000_000)).status == 200


def test_a_sign_in_is_as_old_as_it_is() -> None:
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
        lax.ask({"profile": "dotted"}),
    ]
    assert all(answer.is_refusal(Reason.NOT_ALLOWED) for answer in answers)
    assert len({answer.body for answer in answers}) == 1
    same = {name for name in answers[0].headers if name != "date"}
    assert len({tuple(answer.headers[name] for name in sorted(same)) for answer in answers}) == 1
    assert all(answer.headers.keys() - {"date"} == same for answer in answers)


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
def test_the_rules_for_everybody_come_before_the_body(
    strict: Stack, body: bytes | dict[str, Any]
) -> None:
    token = welcome(strict, email_verified=False)
    assert refusal(strict, token, body) == ("CLAIM_NOT_ACCEPTED", "callers.require.email_verified")


def test_they_come_before_a_body_that_is_not_sent_yet(strict: Stack) -> None:
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
