"""Templates and claims: every placeholder is filled once, with short visible text."""

import unicodedata
from collections import defaultdict

import pytest
from hidden import HIDDEN

from livetoken import instruction
from livetoken.caller import Caller
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
    ("template", "named"),
    [
        *((plain, []) for plain in ("none", "$${claim.a}", "$$${claim.a}")),
        ("${claim.a} ${claim.b.c}", ["a", "b.c"]),
        *((broken, [None]) for broken in ("${", "${x}", "${claim}", "${claim.}", "${ claim.a}")),
        *((broken, [None]) for broken in ("${Claim.a}", "${claim.a", "${claim.{a}}")),
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


def test_characters_that_cannot_be_seen_are_refused_and_no_others() -> None:
    classes = defaultdict(list)
    for character in map(chr, range(0x110000)):
        hidden = character in HIDDEN
        classes["hidden" if hidden else unicodedata.category(character)].append(character)
    least = {"Cc": 65, "Cf": 163, "Cn": 66, "Co": 137_468, "Zl": 1, "Zp": 1, "hidden": 267}
    for category, at_least in least.items():
        members = classes.pop(category)
        assert len(members) >= at_least
        assert text(members[0]) is Detail.CLAIM_CONTROL_CHARACTER
        for value in members:  # a million: without the refusal of each
            found = instruction.mistake(f"a{value}a", 3)
            assert found is Detail.CLAIM_CONTROL_CHARACTER, hex(ord(value))
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
        *((each * 21, Detail.CLAIM_TOO_LONG) for each in ("a", "\U0001f600", "e\u0301")),
        *((each, Detail.CLAIM_NOT_TEXT) for each in ("\ud800", "\udfff", "\ude00\ud83d")),
        *((each, Detail.CLAIM_NOT_TEXT) for each in (7, True, None, ["a"], {"a": "a"})),
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
