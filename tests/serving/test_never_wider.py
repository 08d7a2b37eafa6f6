"""No combination of policy, claims and request makes a token that is wider than its policy.

`allowed.py` says a second time, independently of the function, what may be minted.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from allowed import CHOICES, assert_not_wider, instruction, is_offered, meets
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from stack import Answer, Stack, stack
from stand_in import MODEL, THINKING, StandIn

from emulator import messages
from emulator.gemini import assert_constrained
from emulator.tls import Certificate
from livetoken.caller import Caller
from livetoken.compile.body import compile_document, compile_policy
from livetoken.constraint import FIELDS, constrain
from livetoken.mistakes import Mistakes
from livetoken.refusals import Reason, Refused
from livetoken.request import TokenRequest

HOSTILE: dict[str, Any] = {
    "model": THINKING,
    "generationConfig": {"temperature": 2.0, "thinkingConfig": {"thinkingLevel": "HIGH"}},
    "systemInstruction": {"parts": [{"text": "You are a pirate."}]},
    "tools": [{"codeExecution": {}}],
    "sessionResumption": {"handle": "somebody-elses"},
    "inputAudioTranscription": {"languageCodes": ["tlh"]},
    "outputAudioTranscription": {"languageCodes": ["tlh"]},
    "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
    "contextWindowCompression": {"triggerTokens": "1"},
    "proactivity": {"proactiveAudio": True},
    "historyConfig": {"initialHistoryInClientContent": True},
    "avatarConfig": {"avatarName": "pirate"},
    "safetySettings": [{"category": "HARM", "threshold": "OFF"}],
    "labels": {"who": "me"},
}
"""A client's own value for every field."""


# ------------------------------------------------------------------ inputs

PIECES = ("You teach", " ", '"', "\\", "$", "{", "}", "$${", "${claim.level}", "${claim.a.b}")
BAD_PIECES = ("${", "${level}", "${claim.nobody}", "${claim.}")
TEXTS = st.text(max_size=6) | st.sampled_from(
    [
        "pro",
        "B1",
        "${claim.level}",
        "$${",
        '"},"uses":0,"x":{"',
        "\u202e",
        "a\nb",
        "\u200b",
        "\ufe0f",
    ]
)
SCALARS = st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 1.5]) | TEXTS
VALUES = SCALARS | st.none() | st.lists(SCALARS, max_size=2) | st.just({"b": "deep"})
ACCEPTED = st.sampled_from(["pro", "B1", 1, 1.0, True])
SOUND_CLAIMS = st.fixed_dictionaries(
    {"plan": ACCEPTED, "level": st.just("B1"), "a": st.just({"b": "B1"})}
)
CLAIMS = SOUND_CLAIMS | st.fixed_dictionaries(
    {},
    optional={
        "plan": VALUES,
        "level": VALUES,
        "a": VALUES | st.fixed_dictionaries({"b": VALUES}),
        "a.b": VALUES,
    },
)
REQUIRE: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.dictionaries(
    st.sampled_from(["plan", "level", "a.b"]),
    st.lists(ACCEPTED, min_size=1, max_size=2),
    max_size=1,
)
CLAIM_TEXT = st.fixed_dictionaries(
    {"max_length": st.integers(2, 8)}, optional={"default": st.sampled_from(["B1", "", "x"])}
)
CONFIG: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.sampled_from([0, 0.5, 2]),
    "tools": st.just([{"google_search": {}}]),
    "session_resumption": st.just({}),
    "input_audio_transcription": st.just({}),
    "output_audio_transcription": st.just({"language_codes": ["en-US"]}),
    "realtime_input_config": st.just({"activity_handling": "NO_INTERRUPTION"}),
    "context_window_compression": st.just({"sliding_window": {}}),
    "proactivity": st.just({"proactive_audio": False}),
    "labels": st.just({"team": "a"}),
}
TRANSCRIPT = ("output_audio_transcription",)
"""A table of the config in which a choice can be, too."""
ASKED: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(each["values"]) for name, each in CHOICES.items()}
) | st.dictionaries(
    st.sampled_from([*CHOICES, "other"]),
    st.sampled_from([0, 2.0, "2", "fr", '"},"uses":0', True, 1]),
    max_size=2,
)
MISTAKES: dict[str, st.SearchStrategy[Any]] = {
    "temprature": st.just(1),
    "generation_config": st.just({}),
    "http_options": st.just({"api_version": "v1"}),
    "seed": st.just("7"),
    "safety_settings": st.just([]),
    "system_instruction": st.sampled_from(["", 7, {"parts": [{"text": "${claim.level}"}]}]),
    "session_resumption": st.just({"handle": "x"}),
    "explicit_vad_signal": st.just(True),
}


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """A valid policy, or one with one mistake."""
    mistake = draw(
        st.sampled_from([*6 * [None], "config", "text", "open", "time", "model", "choice"])
    )
    model = draw(st.sampled_from([MODEL, "gemini-3.8-live", THINKING]))
    config = draw(st.fixed_dictionaries({}, optional=CONFIG))
    if (model == THINKING) == (mistake != "model"):
        config["thinking_config"] = {"thinking_level": "LOW"}
    pieces = draw(st.lists(st.sampled_from(PIECES), max_size=5))
    pieces += [draw(st.sampled_from(BAD_PIECES))] if mistake == "text" else []
    if text := "".join(pieces):
        config["system_instruction"] = text
    if mistake == "config":
        config |= draw(st.fixed_dictionaries({}, optional=MISTAKES))
    left = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True))
    offered = draw(st.sampled_from([[], ["heat"], ["seen"], *3 * [[*CHOICES]]]))
    chosen = {CHOICES[name]["path"].partition(".")[0] for name in offered}
    if mistake != "choice":
        config = {name: config[name] for name in config if name not in chosen - {*TRANSCRIPT}}
        left = [name for name in left if name not in chosen]
    identified = "labels" not in left and draw(st.booleans())
    profile = {
        "model": model,
        "config": {"response_modalities": ["AUDIO"], **config},
        "client_may_set": [name for name in left if name not in config or mistake == "open"],
        "require": draw(REQUIRE),
        "claims": {name: draw(CLAIM_TEXT) for name in ("level", "a.b")},
        "choices": {name: CHOICES[name] for name in offered},
        "expires_in": "20h" if mistake == "time" else draw(st.sampled_from(["5m", "19h59m"])),
        "start_within": draw(st.sampled_from(["1m", "30s", "5m"])),
    }
    return {
        "api_version": draw(st.sampled_from(["v1alpha", "v1beta"])),
        "callers": {
            "allow_anonymous": draw(st.sampled_from([True, True, False])),
            "safety_identifier": identified,
        },
        "profiles": {"default": profile},
    }


HANDLES = st.none() | st.sampled_from(["a-handle", 'h"},"uses":0', "é\u2028", "\\"])


# ------------------------------------------------------------------ in process, over any policy


ANY_POLICY = given(
    document=policies(), claims=CLAIMS, handle=HANDLES, anonymous=st.booleans(), asked=ASKED
)


def search(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@search(100)
@ANY_POLICY
def test_a_policy_is_invalid_or_locks_every_token(stand_in: StandIn, **drawn: Any) -> None:
    assert_locked(stand_in, **drawn)


@pytest.mark.slow
@search(2000)
@ANY_POLICY
def test_no_longer_search_finds_a_token_that_is_not_locked(stand_in: StandIn, **drawn: Any) -> None:
    assert_locked(stand_in, **drawn)


def assert_locked(
    stand_in: StandIn,
    document: dict[str, Any],
    claims: dict[str, Any],
    handle: str | None,
    anonymous: bool,
    asked: dict[str, Any],
) -> None:
    """Assert that a policy has a mistake, or that a request is refused or its token is locked."""
    try:
        policy = compile_document(document)
    except Mistakes:
        event("refused at check")
        return
    profile = document["profiles"]["default"]
    callers = document["callers"]
    decided = policy.profiles["default"]
    caller = Caller("issuer", "sub", anonymous, claims, 0.0)
    said = instruction(profile, claims)
    allowed = (
        (callers.get("allow_anonymous", False) or not anonymous)
        and meets(claims, callers.get("require", {}))
        and meets(claims, profile.get("require", {}))
        and said is not None
    )
    resumable = handle is None or "session_resumption" in profile["config"]
    sound = resumable and is_offered(profile, asked)
    identifier = "a-hash" if policy.callers.safety_identifier else None
    try:
        policy.callers.check(caller)
        decided.check(caller)
        request = TokenRequest(resume=handle, choices=asked)
        constraint = constrain(decided, caller, request, identifier)
    except Refused as refusal:
        assert not (allowed and sound)
        assert refusal.reason in (Reason.NOT_ALLOWED, Reason.INVALID_REQUEST)
        event("refused to the caller")
        return
    assert allowed
    assert sound
    event("minted with choices" if asked else "minted without choices")
    event("minted, some fields open" if profile.get("client_may_set") else "minted, all locked")
    ends, starts = (
        stand_in.clock.at(seconds) for seconds in (decided.expires_in, decided.start_within)
    )
    raw = constraint.request(ends, starts)
    status, answer = stand_in.post(raw)
    assert status == 200, answer
    assert said is not None
    assert_not_wider(json.loads(raw), profile, decided.body, said, handle, asked, identifier)
    assert_constrained(stand_in.gemini.mints[-1], {FIELDS[n] for n in profile["client_may_set"]})
    token = stand_in.gemini.state.tokens[answer["name"]]
    session = token.effective(HOSTILE)
    locked = json.loads(raw)["bidiGenerateContentSetup"]
    for field in messages.SETUP:
        if field in {FIELDS[name] for name in profile["client_may_set"]}:
            assert session.get(field) == HOSTILE[field]
        else:
            assert (field in session) == (field in locked)
    assert token.uses == 1
    assert timedelta() < token.expires - stand_in.clock() < timedelta(hours=20)


# ------------------------------------------------------------------ over HTTP, over any request

POLICY = """
api_version = "v1alpha"
[callers]
require = { email_verified = [true] }
"""
PROFILES: dict[str, dict[str, Any]] = {
    "default": {"config": {"session_resumption": {}}, "choices": CHOICES},
    "paid": {"require": {"plan": ["pro", 1, True], "a.b": ["deep", "B1"]}, "config": {}},
    "level": {
        "claims": {"level": {"max_length": 4, "default": "B1"}, "a.b": {"max_length": 4}},
        "config": {"system_instruction": 'Be "${claim.level}" $${x} ${claim.a.b}.'},
    },
    "open": {
        "client_may_set": ["tools", "session_resumption"],
        "config": {"system_instruction": "Help."},
    },
}
for _name, _profile in PROFILES.items():
    _profile.setdefault("client_may_set", [])
    POLICY += f"[profiles.{_name}]\nmodel = 'gemini-3.8-live'\n"
    POLICY += f"client_may_set = {json.dumps(_profile['client_may_set'])}\n"
    for _claim, _accepted in _profile.get("require", {}).items():
        POLICY += f"require.{_claim} = {json.dumps(_accepted)}\n"
    for _claim, _rule in _profile.get("claims", {}).items():
        for _key, _value in _rule.items():
            POLICY += f"claims.'{_claim}'.{_key} = {json.dumps(_value)}\n"
    for _choice, _offer in _profile.get("choices", {}).items():
        for _key, _value in _offer.items():
            POLICY += f"choices.{_choice}.{_key} = {json.dumps(_value)}\n"
    POLICY += f"[profiles.{_name}.config]\nresponse_modalities = ['AUDIO']\n"
    for _key, _value in _profile["config"].items():
        POLICY += f"{_key} = {json.dumps(_value)}\n"

BODIES = st.fixed_dictionaries(
    {"profile": st.sampled_from([*PROFILES, *PROFILES, "root"])},
    optional={
        "resume": st.sampled_from(["a-handle", 'h"},"uses":0', "a\nb", "", 7]),
        "choices": ASKED | st.sampled_from([[], None, "Puck", {"heat": None}, {"heat": [2]}]),
    },
) | st.sampled_from(
    [
        {},
        {"data": None},
        {"data": {"profile": "open"}},
        {"data": {}, "resume": "x"},
        {"uses": 0},
        {"fieldMask": "model"},
        {"config": {}},
        {"model": MODEL},
    ]
)


@pytest.fixture(scope="module")
def function(certificate: Certificate) -> Iterator[Stack]:
    with stack(certificate) as unstarted, unstarted.running(POLICY) as started:
        yield started
        unstarted.gemini.mints.clear()  # asserted one by one: each profile has a mask of its own


@search(200)
@given(claims=CLAIMS, sent=BODIES, verified=st.sampled_from([True, True, True, 1, "true", None]))
def test_no_request_gets_more_than_its_profile(
    function: Stack, claims: dict[str, Any], sent: dict[str, Any], verified: Any
) -> None:
    token = function.issuer.id_token("bob", email_verified=verified, **claims)
    before = len(function.gemini.mints)
    answer = function.ask(sent, token=token)
    reason, profile, said, handle, asked = judged({"email_verified": verified, **claims}, sent)
    event(reason.name if reason else f"minted {profile}")
    if reason is not None:
        assert answer.is_refusal(reason)
        assert len(function.gemini.mints) == before
        return
    assert (answer.status, len(function.gemini.mints)) == (200, before + 1)
    assert profile is not None
    mint = function.gemini.mints[-1]
    assert_constrained(mint, {FIELDS[name] for name in PROFILES[profile]["client_may_set"]})
    body = BODIES_OF[profile]
    assert_not_wider(mint.body, PROFILES[profile], body, said, handle, asked, None)
    assert minted(answer)["profile"] == profile


def judged(
    claims: dict[str, Any], sent: dict[str, Any]
) -> tuple[Reason | None, str | None, str, str | None, dict[str, Any]]:
    """The reason why a request is refused, or what its token must be."""
    if not meets(claims, {"email_verified": [True]}):
        return Reason.NOT_ALLOWED, None, "", None, {}
    fields = sent
    if "data" in sent:
        fields = sent["data"] or {}
    handle, asked = fields.get("resume"), fields.get("choices", {})
    good = handle is None or (isinstance(handle, str) and handle not in ("", "a\nb"))
    good &= isinstance(asked, dict) and all(
        isinstance(each, str | int | float) for each in asked.values()
    )
    unknown = fields.keys() - {"profile", "resume", "choices"}
    if unknown or ("data" in sent and len(sent) > 1) or not good:
        return Reason.INVALID_REQUEST, None, "", None, {}
    name = fields.get("profile", "default")
    if name not in PROFILES:
        return Reason.UNKNOWN_PROFILE, None, "", None, {}
    profile = PROFILES[name]
    if not meets(claims, profile.get("require", {})):
        return Reason.NOT_ALLOWED, None, "", None, {}
    resumable = handle is None or "session_resumption" in profile["config"]
    if not resumable or not is_offered(profile, asked):
        return Reason.INVALID_REQUEST, None, "", None, {}
    said = instruction(profile, claims)
    return (Reason.NOT_ALLOWED if said is None else None), name, said or "", handle, asked


def minted(answer: Answer) -> Any:
    """The token in an answer, callable or not."""
    return answer.json.get("result", answer.json)


BODIES_OF = {name: each.body for name, each in compile_policy(POLICY.encode()).profiles.items()}
"""The compiled bodies of `PROFILES`."""
