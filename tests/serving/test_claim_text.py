"""Templates and claims: every placeholder is filled once, with short visible text."""

import json
import unicodedata
from collections import defaultdict
from copy import deepcopy
from dataclasses import replace

import pytest

from livetoken.caller import Caller
from livetoken.compile.body import compile_policy
from livetoken.constraint import constrain
from livetoken.instruction import ClaimText, fill, placeholders
from livetoken.refusals import Detail, Reason, Refused


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${claim.a}", "A"),
        ("<${claim.a}${claim.b}${claim.a}>", "<ABA>"),
        ("${claim.a.b}", "AB"),
        ("$${claim.a}", "${claim.a}"),
        ("$$${claim.a}", "$${claim.a}"),
        ("$${${claim.a}", "${A"),
        ("$${$${", "${${"),
        ("${claim.a}}", "A}"),
        ("{${claim.a}}", "{A}"),
        ("$${claim.a}${claim.a}", "${claim.a}A"),
        ("$", "$"),
        ("$ {claim.a} {claim.a} $claim.a", "$ {claim.a} {claim.a} $claim.a"),
        ("a\n${claim.a}\nb", "a\nA\nb"),
    ],
)
def test_every_placeholder_is_filled_and_nothing_else_changes(template: str, filled: str) -> None:
    assert fill(template, {"a": "A", "b": "B", "a.b": "AB"}) == filled


@pytest.mark.parametrize(
    "text",
    [
        *("${claim.b}", "${claim.a}", "$${", "$$${claim.b}", "${", "}", "claim.b}", "$"),
        *(r"\g<0>", r"\1", r"\0", "\\", "%s", "{0}", "{claim}"),
    ],
)
def test_a_claims_text_is_not_filled_again(text: str) -> None:
    assert fill("<${claim.a}>", {"a": text, "b": "B"}) == f"<{text}>"
    assert fill("$${claim.a}", {"a": text}) == "${claim.a}"
    assert fill("${claim.a}{claim.b}", {"a": text, "b": "B"}) == text + "{claim.b}"
    assert fill("$${${claim.a}${claim.b}", {"a": text, "b": "B"}) == f"${{{text}B"


def test_two_claims_do_not_form_a_third() -> None:
    assert fill("${claim.a}${claim.b}", {"a": "${", "b": "claim.a}"}) == "${claim.a}"
    assert fill("${claim.a}{claim.b}", {"a": "$", "b": "B"}) == "${claim.b}"
    assert fill("${claim.a}${claim.b}", {"a": "$", "b": "${claim.a}"}) == "$${claim.a}"


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("none", []),
        ("${claim.a} ${claim.b.c}", ["a", "b.c"]),
        ("$${claim.a}", []),
        ("$$${claim.a}", []),
        ("${", [None]),
        ("${x}", [None]),
        ("${claim}", [None]),
        ("${claim.}", [None]),
        ("${ claim.a}", [None]),
        ("${Claim.a}", [None]),
        ("${claim.a", [None]),
        ("${claim.{a}}", [None]),
        ("$${${claim.a}", ["a"]),
    ],
)
def test_placeholders_are_found_and_malformed_ones_reported(
    template: str, named: list[str | None]
) -> None:
    assert list(placeholders(template)) == named


def text(value: object, *, length: int = 20, default: str | None = None) -> str | Detail | None:
    """The text that is filled in for a claim, or the detail of its refusal."""
    claims = {} if value is ... else {"level": value}
    caller = Caller("issuer", "sub", False, claims, None)
    try:
        return ClaimText("level", length, default, "path").of(caller)
    except Refused as refused:
        assert (refused.reason, refused.rule) == (Reason.NOT_ALLOWED, "path")
        return refused.detail


def test_control_and_format_characters_are_refused_and_no_others() -> None:
    classes = defaultdict(list)
    for character in map(chr, range(0x110000)):
        classes[unicodedata.category(character)].append(character)
    for category, at_least in {"Cc": 65, "Cf": 163, "Zl": 1, "Zp": 1}.items():
        members = classes.pop(category)
        assert len(members) >= at_least
        for member in members:
            for value in (member, f"a{member}", f"{member}a", f"a{member}a"):
                assert text(value) is Detail.CLAIM_CONTROL_CHARACTER, hex(ord(member))
    del classes["Cs"]
    for members in classes.values():
        several = "".join(members)
        assert text(several, length=len(several)) == several


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", ""),
        (" ", " "),
        ("a" * 20, "a" * 20),
        ("\U0001f600" * 20, "\U0001f600" * 20),
        ("e\u0301" * 10, "e\u0301" * 10),
        ("a" * 21, Detail.CLAIM_TOO_LONG),
        ("\U0001f600" * 21, Detail.CLAIM_TOO_LONG),
        ("e\u0301" * 11, Detail.CLAIM_TOO_LONG),
        ("\ud800", Detail.CLAIM_NOT_TEXT),
        ("\udfff", Detail.CLAIM_NOT_TEXT),
        ("\ude00\ud83d", Detail.CLAIM_NOT_TEXT),
        (7, Detail.CLAIM_NOT_TEXT),
        (True, Detail.CLAIM_NOT_TEXT),
        (None, Detail.CLAIM_NOT_TEXT),
        (["a"], Detail.CLAIM_NOT_TEXT),
        ({"a": "a"}, Detail.CLAIM_NOT_TEXT),
    ],
)
@pytest.mark.parametrize("default", [None, "none"])
def test_a_claim_is_short_text_or_refused(
    value: object, found: str | Detail, default: str | None
) -> None:
    assert text(value, default=default) == found


def test_a_default_only_replaces_a_missing_claim() -> None:
    assert text(...) is Detail.CLAIM_MISSING
    assert text(..., default="none") == "none"
    assert text(..., default="") == ""
    assert text("", default="none") == ""


POLICY = b"""
api_version = "v1alpha"
[profiles.default]
model = "gemini-3.8-live"
claims = { level = { max_length = 40 } }
[profiles.default.config]
response_modalities = ["AUDIO"]
session_resumption = {}
system_instruction = "<${claim.level}>"
"""


def test_a_compiled_body_is_not_changed_by_a_caller() -> None:
    profile = compile_policy(POLICY).profiles["default"]
    body = {
        "uses": 1,
        "bidiGenerateContentSetup": {
            "model": "models/gemini-3.8-live",
            "sessionResumption": {},
            "systemInstruction": {"parts": [{"text": "<${claim.level}>"}], "role": "user"},
        },
    }
    kept = deepcopy(body)
    caller = Caller("issuer", "sub", False, {"level": "B1"}, None)
    request = constrain(replace(profile, body=body), caller, "handle").request("then", "before")
    assert body == kept
    setup = {
        "model": "models/gemini-3.8-live",
        "sessionResumption": {"handle": "handle"},
        "systemInstruction": {"parts": [{"text": "<B1>"}], "role": "user"},
    }
    assert json.loads(request) == {
        "expireTime": "then",
        "newSessionExpireTime": "before",
        "uses": 1,
        "bidiGenerateContentSetup": setup,
    }
