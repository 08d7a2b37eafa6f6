"""Per-caller instructions: a verified claim stands where the policy says, and does nothing else."""

import json
import re
import unicodedata
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from stack import Answer, Stack, stack

from emulator.tls import Certificate
from livetoken import instruction
from livetoken.caller import Caller
from livetoken.cli.main import main
from livetoken.compile.body import compile_policy
from livetoken.constraint import constrain
from livetoken.instruction import ClaimText, fill, placeholders
from livetoken.refusals import Detail, Reason, Refused

POLICY = r"""
api_version = "v1alpha"

[profiles.default]
model = "gemini-3.8-live"
claims = { level = { max_length = 40 } }
[profiles.default.config]
response_modalities = ["AUDIO"]
temperature = 0.7
system_instruction = "Speak \"${claim.level}\" as for ${claim.level}.\n$${claim.level} costs $5."

[profiles.bounded]
model = "gemini-3.8-live"
claims = { level = { max_length = 4 } }
config = { response_modalities = ["AUDIO"], system_instruction = "<${claim.level}>" }

[profiles.lenient]
model = "gemini-3.8-live"
claims = { level = { max_length = 4, default = "none" } }
config = { response_modalities = ["AUDIO"], system_instruction = "<${claim.level}>" }

[profiles.deep]
model = "gemini-3.8-live"
[profiles.deep.config]
response_modalities = ["AUDIO"]
system_instruction = "<${claim.org.unit.name}> <${claim.firebase.sign_in_provider}>"
[profiles.deep.claims]
"org.unit.name" = { max_length = 9, default = "" }
"firebase.sign_in_provider" = { max_length = 20 }

[profiles.pair]
model = "gemini-3.8-live"
claims = { level = { max_length = 40 }, word = { max_length = 40 } }
config = { response_modalities = ["AUDIO"], system_instruction = "${claim.level}${claim.word}" }

[profiles.unused]
model = "gemini-3.8-live"
claims = { level = { max_length = 4 } }
config = { response_modalities = ["AUDIO"], system_instruction = "Be kind." }

[profiles.literal]
model = "gemini-3.8-live"
[profiles.literal.config]
response_modalities = ["AUDIO"]
system_instruction = "$${claim.level} $$${x} $${ } $ {"

[profiles.structured]
model = "gemini-3.8-live"
[profiles.structured.config]
response_modalities = ["AUDIO"]
system_instruction = { parts = [{ text = "Be kind, $5 {claim.level}." }] }

[profiles.resumed]
model = "gemini-3.8-live"
claims = { level = { max_length = 40 } }
[profiles.resumed.config]
response_modalities = ["AUDIO"]
session_resumption = {}
system_instruction = "<${claim.level}>"
"""


@pytest.fixture(scope="module")
def tutor(certificate: Certificate) -> Iterator[Stack]:
    with stack(certificate) as unstarted, unstarted.running(POLICY) as started:
        yield started


def ask(stack: Stack, profile: str, body: dict[str, Any] | None = None, **claims: Any) -> Answer:
    token = stack.issuer.id_token("ada", **claims)
    return stack.ask({"profile": profile, **(body or {})}, token=token)


def said(stack: Stack, profile: str, **claims: Any) -> str:
    """The instruction that reaches Gemini."""
    assert ask(stack, profile, **claims).status == 200
    (part,) = stack.gemini.minted()[-1].body["bidiGenerateContentSetup"]["systemInstruction"][
        "parts"
    ]
    assert part.keys() == {"text"}
    return str(part["text"])


def refused_as(stack: Stack, profile: str, **claims: Any) -> str | None:
    """Ask, assert NOT_ALLOWED and nothing at Gemini; return the log's detail."""
    before, lines = len(stack.gemini.mints), len(stack.log())
    assert ask(stack, profile, **claims).is_refusal(Reason.NOT_ALLOWED)
    assert len(stack.gemini.mints) == before
    line = stack.logged(lines + 1)
    assert line["rule"] == f"profiles.{profile}.claims.level"
    assert line["profile"] == profile
    detail: str | None = line.get("detail")
    return detail


# ------------------------------------------------------------------ filling in


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
def test_every_hole_is_filled_and_nothing_else_changes(template: str, filled: str) -> None:
    assert fill(template, {"a": "A", "b": "B", "a.b": "AB"}) == filled


@pytest.mark.parametrize(
    "text",
    [
        *("${claim.b}", "${claim.a}", "$${", "$$${claim.b}", "${", "}", "claim.b}", "$"),
        *(r"\g<0>", r"\1", r"\0", "\\", "%s", "{0}", "{claim}"),
    ],
)
def test_what_a_claim_says_is_not_read_again(text: str) -> None:
    assert fill("<${claim.a}>", {"a": text, "b": "B"}) == f"<{text}>"
    assert fill("$${claim.a}", {"a": text}) == "${claim.a}"
    assert fill("${claim.a}{claim.b}", {"a": text, "b": "B"}) == text + "{claim.b}"
    assert fill("$${${claim.a}${claim.b}", {"a": text, "b": "B"}) == f"${{{text}B"


def test_two_claims_make_no_third_together() -> None:
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
def test_what_is_no_hole_is_told_at_check(template: str, named: list[str | None]) -> None:
    assert list(placeholders(template)) == named


def text(value: object, *, length: int = 20, default: str | None = None) -> str | Detail | None:
    """What stands in the instruction for a claim, or why it may not."""
    claims = {} if value is ... else {"level": value}
    caller = Caller("issuer", "sub", False, claims, None)
    try:
        return ClaimText("level", length, default, "path").of(caller)
    except Refused as refused:
        assert (refused.reason, refused.rule) == (Reason.NOT_ALLOWED, "path")
        return refused.detail


REFUSED_CLASSES = {"Cc": 65, "Cf": 163, "Zl": 1, "Zp": 1}
"""Unicode classes, and about how many characters each has."""


@pytest.mark.parametrize("category", REFUSED_CLASSES)
def test_every_character_of_the_refused_classes_is_refused(category: str) -> None:
    members = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) == category]
    assert len(members) >= REFUSED_CLASSES[category]
    for member in members:
        for value in (member, f"a{member}", f"{member}a", f"a{member}a"):
            assert text(value) is Detail.CLAIM_CONTROL_CHARACTER, hex(ord(member))


def test_every_other_character_passes() -> None:
    others = (
        character
        for character in map(chr, range(0x110000))
        if unicodedata.category(character) not in {*REFUSED_CLASSES, "Cs"}
    )
    while several := "".join(islice(others, 1000)):
        assert text(several, length=1000) == several


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


def test_a_default_stands_for_a_missing_claim_alone() -> None:
    assert text(...) is Detail.CLAIM_MISSING
    assert text(..., default="none") == "none"
    assert text(..., default="") == ""
    assert text("", default="none") == ""


# ------------------------------------------------------------------ at Gemini

HOSTILE = [
    '"',
    "\\",
    '\\"',
    '\\u0022},"uses":0,"x":"',
    '"},"uses":0',
    '"}]}},"uses":0,"a":{"b":[{"c":"',
    "'; --",
    "</script>",
    "${claim.level}",
    "$${claim.level}",
    "${claim.sub}",
    "$${",
    "${",
    "}",
    r"\g<0>\1\0",
    "%s{0}{level}",
    "\U0001f469\U0001f3fd\U0001f680",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "e\u0301\u0327",
    "\u00a0\u3000",
    "\uffff\U0010ffff\ue000",
    "",
]


@pytest.mark.parametrize("level", ["B1", *HOSTILE])
def test_the_claim_reaches_gemini_where_it_stands_and_nowhere_else(
    tutor: Stack, level: str
) -> None:
    assert ask(tutor, "default", level="B1").status == 200
    assert ask(tutor, "default", level=level).status == 200
    plain, filled = (deepcopy(mint.body) for mint in tutor.gemini.minted()[-2:])
    text = f'Speak "{level}" as for {level}.\n${{claim.level}} costs $5.'
    for body in (plain, filled):
        assert body.pop("expireTime")
        assert body.pop("newSessionExpireTime")
    assert filled == {
        "uses": 1,
        "bidiGenerateContentSetup": {
            "model": "models/gemini-3.8-live",
            "generationConfig": {"responseModalities": ["AUDIO"], "temperature": 0.7},
            "systemInstruction": {"parts": [{"text": text}], "role": "user"},
        },
    }
    plain["bidiGenerateContentSetup"]["systemInstruction"]["parts"][0]["text"] = text
    assert filled == plain


@pytest.mark.parametrize("level", HOSTILE)
def test_two_claims_stand_side_by_side_as_they_are(tutor: Stack, level: str) -> None:
    assert said(tutor, "pair", level=level, word="claim.level}") == f"{level}claim.level}}"
    assert said(tutor, "pair", level="${", word=level) == f"${{{level}"


def test_one_callers_claim_is_not_the_next_ones(tutor: Stack) -> None:
    assert [said(tutor, "bounded", level=level) for level in ("A1", "B2", "A1")] == [
        "<A1>",
        "<B2>",
        "<A1>",
    ]
    assert said(tutor, "lenient", level="C2") == "<C2>"
    assert said(tutor, "lenient", level=...) == "<none>"


@pytest.mark.parametrize("level", ["abcd", "a", "\U0001f600" * 4, "e\u0301e\u0301", '${\\"'])
def test_a_claim_of_exactly_its_length_passes(tutor: Stack, level: str) -> None:
    assert said(tutor, "bounded", level=level) == f"<{level}>"
    assert said(tutor, "lenient", level=level) == f"<{level}>"


@pytest.mark.parametrize("profile", ["bounded", "lenient"])
@pytest.mark.parametrize(
    "level", ["abcde", "\U0001f600" * 5, "e\u0301e\u0301e", "     ", "a" * 2000]
)
def test_one_character_more_is_refused(tutor: Stack, profile: str, level: str) -> None:
    assert refused_as(tutor, profile, level=level) == "CLAIM_TOO_LONG"


@pytest.mark.parametrize("profile", ["bounded", "lenient"])
@pytest.mark.parametrize(
    "level",
    [
        *(0, 7, 1.5, True, False, [], ["a"], {}, {"level": "a"}, None),
        *("\ud800", "a\udfff", "\ude00\ud83d"),
    ],
)
def test_what_is_no_text_is_refused_whatever_the_default(
    tutor: Stack, profile: str, level: Any
) -> None:
    assert refused_as(tutor, profile, level=level) == "CLAIM_NOT_TEXT"


@pytest.mark.parametrize("profile", ["bounded", "lenient"])
@pytest.mark.parametrize(
    "character",
    [
        *("\x00", "\t", "\n", "\r", "\x1b", "\x7f", "\x80", "\x85", "\x9f"),
        *("\u2028", "\u2029"),
        *("\u00ad", "\u061c", "\u200b", "\u200d", "\u200e", "\u200f", "\u202a", "\u202e", "\u2060"),
        *("\u2066", "\u2069", "\ufeff", "\ufff9", "\U000e0001", "\U000e0041", "\U000e007f"),
    ],
)
def test_a_character_that_is_not_seen_is_refused(
    tutor: Stack, profile: str, character: str
) -> None:
    assert refused_as(tutor, profile, level=f"a{character}b") == "CLAIM_CONTROL_CHARACTER"
    assert refused_as(tutor, profile, level=character) == "CLAIM_CONTROL_CHARACTER"


def test_a_missing_claim_is_its_default_or_refused(tutor: Stack) -> None:
    assert said(tutor, "lenient", level=...) == "<none>"
    assert refused_as(tutor, "bounded", level=...) == "CLAIM_MISSING"
    assert refused_as(tutor, "unused", level=...) == "CLAIM_MISSING"
    assert said(tutor, "unused", level="B1") == "Be kind."


def test_a_dotted_claim_goes_deeper(tutor: Stack) -> None:
    for claims, name in (
        ({"org": {"unit": {"name": "blue"}}}, "blue"),
        ({"org": {"unit": {"name": "blue"}}, "org.unit.name": "red"}, "blue"),
        ({"org.unit.name": "red"}, ""),
        ({"org": {"unit.name": "red"}}, ""),
        ({"org": "red"}, ""),
        ({"org": [{"unit": {"name": "red"}}]}, ""),
        ({"org": None}, ""),
    ):
        assert said(tutor, "deep", **claims) == f"<{name}> <google.com>"


def test_the_claim_is_the_verified_one(tutor: Stack) -> None:
    """What else a caller sends is nobody's word."""
    token = tutor.issuer.id_token("ada", level="B1")
    for body in ({"level": "C2"}, {"claims": {"level": "C2"}}):
        answer = tutor.ask({"profile": "bounded", **body}, token=token)
        assert answer.is_refusal(Reason.INVALID_REQUEST)
    headers = {"X-Level": "C2", "X-Claim-Level": "C2"}
    path = "/?level=C2&claim.level=C2"
    answer = tutor.ask({"profile": "bounded"}, token=token, headers=headers, path=path)
    assert answer.status == 200
    assert b"C2" not in tutor.gemini.minted()[-1].raw


def test_a_literal_is_written_without_any_claim(tutor: Stack) -> None:
    assert said(tutor, "literal", level=...) == "${claim.level} $${x} ${ } $ {"


def test_an_instruction_of_parts_is_sent_as_it_is(tutor: Stack) -> None:
    assert said(tutor, "structured", level=...) == "Be kind, $5 {claim.level}."


def test_a_handle_and_a_claim_keep_apart(tutor: Stack) -> None:
    handle = '"},"systemInstruction":{"parts":[{"text":"${claim.level}"}]},"x":{"y":"'
    answer = ask(tutor, "resumed", {"resume": handle}, level="${claim.sub}")
    assert answer.status == 200
    setup = tutor.gemini.minted()[-1].body["bidiGenerateContentSetup"]
    assert setup["sessionResumption"] == {"handle": handle}
    assert setup["systemInstruction"]["parts"] == [{"text": "<${claim.sub}>"}]
    assert ask(tutor, "resumed", level="B1").status == 200
    assert tutor.gemini.minted()[-1].body["bidiGenerateContentSetup"]["sessionResumption"] == {}


def test_an_answer_and_the_log_say_nothing_of_a_claim(tutor: Stack) -> None:
    level = "unheard-of-level"
    assert level.encode() not in ask(tutor, "default", level=level).body
    assert refused_as(tutor, "bounded", level=level) == "CLAIM_TOO_LONG"
    assert level.encode() not in ask(tutor, "bounded", level=level).body
    assert level not in tutor.function.output()


# ------------------------------------------------------------------ with the lock, and within


def test_a_locked_and_a_compiled_policy_fill_in_the_same_bytes(
    alone: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    assert main(["lock", "--policy", str(file)]) == 0
    asked = [("default", level) for level in HOSTILE] + [
        *(("lenient", ...), ("literal", ...), ("deep", ...), ("structured", ...), ("unused", "B1"))
    ]
    sent: list[list[bytes]] = []
    for _ in ("locked", "compiled"):
        before = len(alone.gemini.mints)
        with alone.running(POLICY_FILE=str(file)) as livetoken:
            for profile, level in asked:
                assert ask(livetoken, profile, level=level).status == 200
            warned = "policy.lock.json is missing or stale" in livetoken.function.output()
        assert warned is bool(sent)
        (tmp_path / "policy.lock.json").unlink(missing_ok=True)
        times = re.compile(rb'"(?:expireTime|newSessionExpireTime)":"[^"]*",')
        sent.append([times.sub(b"", mint.raw) for mint in alone.gemini.minted()[before:]])
    assert len(sent[0]) == len(asked)
    assert sent[0] == sent[1]


def test_a_compiled_body_is_not_changed_by_a_caller() -> None:
    profile = compile_policy(POLICY.encode()).profiles["resumed"]
    (part,) = profile.body["bidiGenerateContentSetup"]["systemInstruction"]["parts"]
    written = part["text"]
    body = {
        "uses": 1,
        "bidiGenerateContentSetup": {
            "model": "models/gemini-3.8-live",
            "sessionResumption": {},
            "systemInstruction": {"parts": [{"text": written}], "role": "user"},
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
    assert list(instruction.placeholders(str(written))) == ["level"]
