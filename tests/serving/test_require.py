"""`require`: a claim is accepted if its JSON type and value are, and refused otherwise."""

from typing import Any

import pytest
from asking import function_of, profile, refused
from policies import HEAD
from stack import Stack

from emulator import jwt
from livetoken.caller import Caller
from livetoken.policy import Requirement
from livetoken.refusals import Reason, Refused

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

OPEN = HEAD + "callers.allow_anonymous = true\n" + profile("default")
OPEN += "".join(profile(name, f"[profiles.{name}.require]\n{rule}") for name, rule in RULES.items())
"""No rule for all callers: what is refused, a profile refuses."""

lax = function_of(OPEN)
BLUE = {"org": {"unit": {"name": "blue"}}}


@pytest.mark.parametrize(
    ("profile", "claims"),
    [
        *(("flag", {"flag": value}) for value in (True, [1, True])),
        ("no_flag", {"flag": False}),
        *(("one", {"seats": value}) for value in (1, 1.0, [3, 2, 1])),
        *(("zero", {"seats": value}) for value in (0, -0.0)),
        *(("decimal", {"seats": value}) for value in (1, 2.5)),
        *(("text", {"word": value}) for value in ("pro", ["team"], ["basic", "pro", 7, None, {}])),
        *(("empty", {"word": value}) for value in ("", ["", "x"])),
        *(("mixed", {"word": value}) for value in (7.0, True)),
        *((name, BLUE) for name in ("dotted", "deeper", "table", "half")),
        ("dotted", {"org": {"unit": {"name": ["red", "blue"]}}}),
        ("dotted", {**BLUE, "org.unit.name": "red", "org.unit": {"name": "red"}}),
        ("both", {"word": "pro", "seats": 1}),
    ],
)
def test_an_accepted_value_passes(lax: Stack, profile: str, claims: dict[str, Any]) -> None:
    token = lax.issuer.id_token("ada", **claims)
    assert lax.ask({"profile": profile}, token=token).json["profile"] == profile


REFUSED: dict[tuple[str, str], list[Any]] = {
    ("flag", "flag"): [..., None, 1, 1.0, "true", "True", {"flag": True}, False, [1, "true"]],
    ("no_flag", "flag"): [..., None, 0, "", [], "false"],
    ("one", "seats"): [True, "1", 2, 1.0000001, -1, [True, "1"]],
    ("zero", "seats"): [..., None, False, ""],
    ("decimal", "seats"): [True, "2.5"],
    ("text_one", "word"): [None, 1, True],
    ("empty", "word"): [..., None, " "],
    ("text", "word"): [
        *("basic", "", "pr", "prop", "xpro", "Pro", "PRO", " pro", "pro ", "pro\n", "pro\x00"),
        *("pro,team", "\uff50\uff52\uff4f", "p\u0440o"),
        *([], ["basic", "Pro"], [["pro"]], [{"word": "pro"}], {"pro": "pro"}, {"0": "pro"}),
    ],
}
"""By profile and claim: values that resemble an accepted one; `...` leaves the claim out."""


@pytest.mark.parametrize(
    ("profile", "claim", "value"),
    [(*key, value) for key, values in REFUSED.items() for value in values],
)
def test_any_other_value_is_refused_and_the_log_names_the_claim(
    lax: Stack, profile: str, claim: str, value: Any
) -> None:
    refused_as(lax, profile, claim, **{claim: value})


@pytest.mark.parametrize(
    ("profile", "claims", "claim"),
    [
        ("dotted", {}, '"org.unit.name"'),
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
    ],
)
def test_a_claim_elsewhere_is_refused(
    lax: Stack, profile: str, claims: dict[str, Any], claim: str
) -> None:
    refused_as(lax, profile, claim, **claims)


def test_every_requirement_must_be_met(lax: Stack) -> None:
    refused_as(lax, "both", "seats", word="pro")
    refused_as(lax, "both", "word", seats=1)
    refused_as(lax, "both", "seats", word="pro", seats=2)


def refused_as(lax: Stack, profile: str, claim: str, **claims: Any) -> None:
    """Ask as Ada with some claims, and assert that the rule for one claim refuses her."""
    token = lax.issuer.id_token("ada", **claims)
    line = refused(lax, Reason.NOT_ALLOWED, {"profile": profile}, token=token)
    rule = f"profiles.{profile}.require.{claim}"
    assert (line["detail"], line["rule"]) == ("CLAIM_NOT_ACCEPTED", rule)


@pytest.mark.parametrize("number", ["1e999", "1" + "0" * 400, "1.5e308", "-1e999"])
def test_a_huge_number_is_refused(lax: Stack, number: str) -> None:
    claims = jwt.as_json(lax.issuer.claims("ada", seats="HERE"))
    payload = claims.replace(b'"HERE"', number.encode())
    token = lax.issuer.sign_raw(jwt.as_json(lax.issuer.header("firebase")), payload)
    line = refused(lax, Reason.NOT_ALLOWED, {"profile": "decimal"}, token=token)
    assert line["detail"] == "CLAIM_NOT_ACCEPTED"


@pytest.mark.parametrize("name", ["keys", "get", "__class__", "__len__"])
def test_attributes_of_python_objects_are_not_claims(name: str) -> None:
    caller = Caller("issuer", "sub", False, {"org": {}}, None)
    for path in ((name,), ("org", name)):
        with pytest.raises(Refused):
            Requirement(path, ("", 0, False), "path").check(caller)
