"""No combination of policy, claims and request makes a token that is wider than its policy.

This file says a second time, independently of the function, what may be minted.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hidden import HIDDEN
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

REFUSED = HIDDEN | {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
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
    mistake = draw(st.sampled_from([None, None, None, "config", "text", "open", "time", "model"]))
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
    profile = {
        "model": model,
        "config": {"response_modalities": ["AUDIO"], **config},
        "client_may_set": [name for name in left if name not in config or mistake == "open"],
        "require": draw(REQUIRE),
        "claims": {name: draw(CLAIM_TEXT) for name in ("level", "a.b")},
        "expires_in": "20h" if mistake == "time" else draw(st.sampled_from(["5m", "19h59m"])),
        "start_within": draw(st.sampled_from(["1m", "30s", "5m"])),
    }
    return {
        "api_version": draw(st.sampled_from(["v1alpha", "v1beta"])),
        "callers": {"allow_anonymous": draw(st.sampled_from([True, True, False]))},
        "profiles": {"default": profile},
    }


HANDLES = st.none() | st.sampled_from(["a-handle", 'h"},"uses":0', "é\u2028", "\\"])


# ------------------------------------------------------------------ what may be minted


def found(claims: dict[str, Any], path: str) -> Iterator[Any]:
    """The claim at a path, if there is one."""
    first, _, rest = path.partition(".")
    if first in claims and not rest:
        yield claims[first]
    elif isinstance(claims.get(first), dict):
        yield from found(claims[first], rest)


def meets(claims: dict[str, Any], require: dict[str, list[Any]]) -> bool:
    """Whether claims meet a rule: equal JSON text, except that 1 and 1.0 are the same number."""

    def as_json(value: Any) -> str:
        number = type(value) in (int, float)
        return json.dumps(float(value) if number else value)

    for path, accepted in require.items():
        values = [each for value in found(claims, path) for each in _as_list(value)]
        if not {as_json(value) for value in values} & {as_json(value) for value in accepted}:
            return False
    return True


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def instruction(profile: dict[str, Any], claims: dict[str, Any]) -> str | None:
    """The instruction that the model must get; None if the caller gets no token."""
    said: dict[str, str] = {}
    for name, rule in profile.get("claims", {}).items():
        (value, *_) = [*found(claims, name), rule.get("default")]
        fits = isinstance(value, str) and len(value) <= rule["max_length"]
        if not fits or not REFUSED.isdisjoint([*value, *map(unicodedata.category, value)]):
            return None
        said[name] = value
    text: str = profile["config"].get("system_instruction", "")
    parts = re.split(r"(\$\$\{|\$\{claim\.[a-z.]+\})", text)
    return "".join(
        "${" if part == "$${" else said[part[8:-1]] if part[:8] == "${claim." else part
        for part in parts
    )


def assert_not_wider(
    mint: dict[str, Any], profile: dict[str, Any], body: Any, said: str, handle: str | None
) -> None:
    """The request to Gemini is the compiled body with its placeholders filled."""
    expected = json.loads(json.dumps(body))
    setup = expected["bidiGenerateContentSetup"]
    if "systemInstruction" in setup:
        setup["systemInstruction"]["parts"][0]["text"] = said
    if handle is not None:
        setup["sessionResumption"]["handle"] = handle
    times = {name: mint[name] for name in ("expireTime", "newSessionExpireTime")}
    assert mint == {**times, **expected}
    assert mint["uses"] == 1
    open_fields = {FIELDS[name] for name in profile.get("client_may_set", ())}
    masked = set(mint.get("fieldMask", ",".join(messages.SETUP)).split(","))
    assert masked == messages.SETUP.keys() - open_fields


# ------------------------------------------------------------------ in process, over any policy


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(document=policies(), claims=CLAIMS, handle=HANDLES, anonymous=st.booleans())
def test_a_policy_is_invalid_or_locks_every_token(
    stand_in: StandIn,
    document: dict[str, Any],
    claims: dict[str, Any],
    handle: str | None,
    anonymous: bool,
) -> None:
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
    try:
        policy.callers.check(caller)
        decided.check(caller)
        constraint = constrain(decided, caller, handle)
    except Refused as refusal:
        assert not (allowed and resumable)
        assert refusal.reason in (Reason.NOT_ALLOWED, Reason.INVALID_REQUEST)
        event("refused to the caller")
        return
    assert allowed
    assert resumable
    event("minted, some fields open" if profile.get("client_may_set") else "minted, all locked")
    ends, starts = (
        stand_in.clock.at(seconds) for seconds in (decided.expires_in, decided.start_within)
    )
    raw = constraint.request(ends, starts)
    status, answer = stand_in.post(raw)
    assert status == 200, answer
    assert said is not None
    assert_not_wider(json.loads(raw), profile, decided.body, said, handle)
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
    "default": {"config": {"session_resumption": {}}},
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
    POLICY += f"[profiles.{_name}.config]\nresponse_modalities = ['AUDIO']\n"
    for _key, _value in _profile["config"].items():
        POLICY += f"{_key} = {json.dumps(_value)}\n"

BODIES = st.fixed_dictionaries(
    {"profile": st.sampled_from([*PROFILES, *PROFILES, "root"])},
    optional={
        "resume": st.sampled_from(["a-handle", 'h"},"uses":0', "a\nb", "", 7]),
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


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(claims=CLAIMS, sent=BODIES, verified=st.sampled_from([True, True, True, 1, "true", None]))
def test_no_request_gets_more_than_its_profile(
    function: Stack, claims: dict[str, Any], sent: dict[str, Any], verified: Any
) -> None:
    token = function.issuer.id_token("bob", email_verified=verified, **claims)
    before = len(function.gemini.mints)
    answer = function.ask(sent, token=token)
    reason, profile, said, handle = judged({"email_verified": verified, **claims}, sent)
    event(reason.name if reason else f"minted {profile}")
    if reason is not None:
        assert answer.is_refusal(reason)
        assert len(function.gemini.mints) == before
        return
    assert (answer.status, len(function.gemini.mints)) == (200, before + 1)
    assert profile is not None
    mint = function.gemini.mints[-1]
    assert_constrained(mint, {FIELDS[name] for name in PROFILES[profile]["client_may_set"]})
    assert_not_wider(mint.body, PROFILES[profile], BODIES_OF[profile], said, handle)
    assert minted(answer)["profile"] == profile


def judged(
    claims: dict[str, Any], sent: dict[str, Any]
) -> tuple[Reason | None, str | None, str, str | None]:
    """The reason why a request is refused, or what its token must be."""
    if not meets(claims, {"email_verified": [True]}):
        return Reason.NOT_ALLOWED, None, "", None
    fields = sent
    if "data" in sent:
        fields = sent["data"] or {}
    handle = fields.get("resume")
    good = handle is None or (isinstance(handle, str) and handle not in ("", "a\nb"))
    if fields.keys() - {"profile", "resume"} or ("data" in sent and len(sent) > 1) or not good:
        return Reason.INVALID_REQUEST, None, "", None
    name = fields.get("profile", "default")
    if name not in PROFILES:
        return Reason.UNKNOWN_PROFILE, None, "", None
    profile = PROFILES[name]
    if not meets(claims, profile.get("require", {})):
        return Reason.NOT_ALLOWED, None, "", None
    if handle is not None and "session_resumption" not in profile["config"]:
        return Reason.INVALID_REQUEST, None, "", None
    said = instruction(profile, claims)
    return (Reason.NOT_ALLOWED if said is None else None), name, said or "", handle


def minted(answer: Answer) -> Any:
    """The token in an answer, callable or not."""
    return answer.json.get("result", answer.json)


BODIES_OF = {name: each.body for name, each in compile_policy(POLICY.encode()).profiles.items()}
"""The compiled bodies of `PROFILES`."""
