"""`require`: a claim is accepted if its JSON type and value are, and refused otherwise."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from asking import refused
from stack import Stack, stack

from emulator.tls import Certificate
from livetoken.caller import Caller
from livetoken.policy import Requirement
from livetoken.refusals import Reason, Refused

PROFILE = """
[profiles.{0}]
model = "gemini-3.8-live"
[profiles.{0}.config]
response_modalities = ["AUDIO"]
"""

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
"""No rule for all callers: what is refused, a profile refuses."""


@pytest.fixture(scope="module")
def lax(certificate: Certificate) -> Iterator[Stack]:
    with stack(certificate) as unstarted, unstarted.running(OPEN) as started:
        yield started


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
    claims = lax.issuer.claims("ada", seats="HERE")
    header = lax.issuer.header("firebase")
    payload = json_of(claims).replace(b'"HERE"', number.encode())
    token = lax.issuer.sign_raw(json_of(header), payload)
    line = refused(lax, Reason.NOT_ALLOWED, {"profile": "decimal"}, token=token)
    assert line["detail"] == "CLAIM_NOT_ACCEPTED"


def json_of(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("name", ["keys", "get", "__class__", "__len__"])
def test_attributes_of_python_objects_are_not_claims(name: str) -> None:
    caller = Caller("issuer", "sub", False, {"org": {}}, None)
    for path in ((name,), ("org", name)):
        with pytest.raises(Refused):
            Requirement(path, ("", 0, False), "path").check(caller)
