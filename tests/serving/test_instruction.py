"""Per-caller instructions: a claim reaches Gemini at its place and changes nothing else."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from asking import function_of, profile, refused
from policies import HEAD
from stack import Answer, Stack

from livetoken.refusals import Reason

ASKED = "<${claim.level}>"
POLICY = HEAD + "".join(
    profile(name, settings, f"system_instruction = {json.dumps(said)}\n{more}")
    for name, settings, said, more in (
        (
            "default",
            "claims.level.max_length = 40",
            'Speak "${claim.level}" as for ${claim.level}.\n$${claim.level} costs $5.',
            "temperature = 0.7",
        ),
        ("bounded", "claims.level.max_length = 4", ASKED, ""),
        ("lenient", 'claims.level = { max_length = 4, default = "none" }', ASKED, ""),
        (
            "deep",
            'claims."org.unit.name" = { max_length = 9, default = "" }\n'
            'claims."firebase.sign_in_provider" = { max_length = 20 }',
            "<${claim.org.unit.name}> <${claim.firebase.sign_in_provider}>",
            "",
        ),
        (
            "pair",
            "claims.level.max_length = 40\nclaims.word.max_length = 40",
            "${claim.level}${claim.word}",
            "",
        ),
        ("unused", "claims.level.max_length = 4", "Be kind.", ""),
        ("literal", "", "$${claim.level} $$${x} $${ } $ {", ""),
        ("resumed", "claims.level.max_length = 40", ASKED, "session_resumption = {}"),
    )
)
POLICY += profile(
    "structured",
    config='system_instruction = { parts = [{ text = "Be kind, $5 {claim.level}." }] }',
)

tutor = function_of(POLICY)


def ask(stack: Stack, profile: str, body: dict[str, Any] | None = None, **claims: Any) -> Answer:
    token = stack.issuer.id_token("ada", **claims)
    return stack.ask({"profile": profile, **(body or {})}, token=token)


def said(stack: Stack, profile: str, **claims: Any) -> str:
    """The instruction that reaches Gemini."""
    assert ask(stack, profile, **claims).status == 200
    setup = stack.gemini.minted()[-1].body["bidiGenerateContentSetup"]
    (part,) = setup["systemInstruction"]["parts"]
    assert part.keys() == {"text"}
    return str(part["text"])


def refused_as(stack: Stack, profile: str, **claims: Any) -> str | None:
    """Ask, assert NOT_ALLOWED and no mint, return the detail in the log."""
    token = stack.issuer.id_token("ada", **claims)
    line = refused(stack, Reason.NOT_ALLOWED, {"profile": profile}, token=token)
    assert line["rule"] == f"profiles.{profile}.claims.level"
    assert line["profile"] == profile
    return line.get("detail")


HOSTILE = [
    *('"', "\\", '\\"', '\\u0022},"uses":0,"x":"', '"},"uses":0', "'; --", "</script>"),
    '"}]}},"uses":0,"a":{"b":[{"c":"',
    *("${claim.level}", "$${claim.level}", "${claim.sub}", "${claim.word}", "$${", "${", "}", "$"),
    *(r"\g<0>\1\0", "%s{0}{level}", ""),
    *("\U0001f469\U0001f3fd\U0001f680", "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd"),
    *("e\u0301\u0327", "\u00a0\u3000"),
]


@pytest.mark.parametrize("level", ["B1", *HOSTILE])
def test_a_claim_reaches_gemini_at_its_place_and_nowhere_else(tutor: Stack, level: str) -> None:
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


def test_one_callers_claim_does_not_reach_the_next_caller(tutor: Stack) -> None:
    for level in ("A1", "B2", "A1"):
        assert said(tutor, "bounded", level=level) == f"<{level}>"
    assert said(tutor, "lenient", level="C2") == "<C2>"
    assert said(tutor, "lenient", level=...) == "<none>"


@pytest.mark.parametrize("level", ["abcd", "a", "\U0001f600" * 4, "e\u0301e\u0301", '${\\"'])
def test_a_claim_of_exactly_its_length_passes(tutor: Stack, level: str) -> None:
    assert said(tutor, "bounded", level=level) == f"<{level}>"
    assert said(tutor, "lenient", level=level) == f"<{level}>"


@pytest.mark.parametrize("profile", ["bounded", "lenient"])
@pytest.mark.parametrize(
    ("level", "detail"),
    [
        *((level, "CLAIM_TOO_LONG") for level in ("abcde", "\U0001f600" * 5, "e\u0301e\u0301e")),
        *((level, "CLAIM_TOO_LONG") for level in ("     ", "a" * 2000)),
        *((level, "CLAIM_NOT_TEXT") for level in (0, 1.5, True, [], ["a"], {"level": "a"}, None)),
        *((level, "CLAIM_NOT_TEXT") for level in ("\ud800", "a\udfff", "\ude00\ud83d")),
        *((f"a{each}b", "CLAIM_CONTROL_CHARACTER") for each in "\0\n\x85\u2028\u202e\u200b"),
        *((f"a{each}", "CLAIM_CONTROL_CHARACTER") for each in "\u3164\ufe0f\ue000\uffff"),
    ],
)
def test_a_claim_is_short_visible_text_or_refused_even_with_a_default(
    tutor: Stack, profile: str, level: Any, detail: str
) -> None:
    assert refused_as(tutor, profile, level=level) == detail


def test_a_missing_claim_is_its_default_or_refused(tutor: Stack) -> None:
    assert said(tutor, "lenient", level=...) == "<none>"
    assert refused_as(tutor, "bounded", level=...) == "CLAIM_MISSING"
    assert refused_as(tutor, "unused", level=...) == "CLAIM_MISSING"
    assert said(tutor, "unused", level="B1") == "Be kind."


def test_a_dotted_claim_is_a_path(tutor: Stack) -> None:
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


def test_only_the_verified_claim_is_used(tutor: Stack) -> None:
    token = tutor.issuer.id_token("ada", level="B1")
    for body in ({"level": "C2"}, {"claims": {"level": "C2"}}):
        answer = tutor.ask({"profile": "bounded", **body}, token=token)
        assert answer.is_refusal(Reason.INVALID_REQUEST)
    headers = {"X-Level": "C2", "X-Claim-Level": "C2"}
    path = "/?level=C2&claim.level=C2"
    answer = tutor.ask({"profile": "bounded"}, token=token, headers=headers, path=path)
    assert answer.status == 200
    assert b"C2" not in tutor.gemini.minted()[-1].raw


def test_a_literal_needs_no_claim(tutor: Stack) -> None:
    assert said(tutor, "literal", level=...) == "${claim.level} $${x} ${ } $ {"


def test_an_instruction_of_parts_is_sent_as_it_is(tutor: Stack) -> None:
    assert said(tutor, "structured", level=...) == "Be kind, $5 {claim.level}."


def test_a_handle_and_a_claim_do_not_mix(tutor: Stack) -> None:
    handle = '"},"systemInstruction":{"parts":[{"text":"${claim.level}"}]},"x":{"y":"'
    answer = ask(tutor, "resumed", {"resume": handle}, level="${claim.sub}")
    assert answer.status == 200
    setup = tutor.gemini.minted()[-1].body["bidiGenerateContentSetup"]
    assert setup["sessionResumption"] == {"handle": handle}
    assert setup["systemInstruction"]["parts"] == [{"text": "<${claim.sub}>"}]
    assert ask(tutor, "resumed", level="B1").status == 200
    assert tutor.gemini.minted()[-1].body["bidiGenerateContentSetup"]["sessionResumption"] == {}


def test_no_claim_is_in_an_answer_or_in_the_log(tutor: Stack) -> None:
    level = "unheard-of-level"
    assert level.encode() not in ask(tutor, "default", level=level).body
    assert refused_as(tutor, "bounded", level=level) == "CLAIM_TOO_LONG"
    assert level.encode() not in ask(tutor, "bounded", level=level).body
    assert level not in tutor.function.output()


def test_a_lock_and_a_policy_compiled_at_start_fill_in_the_same_bytes(
    tutor: Stack, tmp_path: Path
) -> None:
    asked = [("default", level) for level in HOSTILE] + [
        *(("lenient", ...), ("literal", ...), ("deep", ...), ("structured", ...), ("unused", "B1"))
    ]

    def sent(livetoken: Stack) -> list[bytes]:
        before = len(livetoken.gemini.mints)
        for name, level in asked:
            assert ask(livetoken, name, level=level).status == 200
        times = re.compile(rb'"(?:expireTime|newSessionExpireTime)":"[^"]*",')
        return [times.sub(b"", mint.raw) for mint in livetoken.gemini.minted()[before:]]

    warning = "policy.lock.json is missing or stale"
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    with tutor.running(POLICY_FILE=str(file)) as compiled:
        assert sent(compiled) == sent(tutor)
        assert warning in compiled.function.output()
    assert warning not in tutor.function.output()
