"""`client_may_set`: a client can set what it names and nothing else, whatever the policy sets.

A client that wants another session than the policy's tries every field at the socket.
"""

import asyncio
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from asking import function_of, refused, socket_url
from google.genai import types
from live_config import LEAST, MEMBERS, MODEL, OURS, OWN, PATHS, SETUP_FIELDS, WHOLE, placed, toml
from policies import HEAD
from stack import API_KEY, Stack
from stand_in import message
from websockets.sync.client import connect

from emulator import fields
from emulator.client import converse
from emulator.models import MODELS, Model
from emulator.state import Conversation
from livetoken.refusals import Reason

# ------------------------------------------------------------------ what a client wants

PLAIN: Mapping[str, Any] = {
    "model": f"models/{MODEL}",
    "generationConfig": {"responseModalities": ["AUDIO"]},
}
"""The least that starts a session without a policy."""

HOSTILE: Mapping[str, Any] = {
    "model": "models/gemini-3.1-flash-live-preview",
    "generationConfig": {
        "responseModalities": ["AUDIO"],
        "temperature": 2.0,
        "topP": 1.0,
        "topK": 40.0,
        "maxOutputTokens": 100_000,
        "mediaResolution": "MEDIA_RESOLUTION_HIGH",
        "seed": 6,
        "speechConfig": {"languageCode": "en-US"},
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 30_000},
        "enableAffectiveDialog": True,
        "translationConfig": {"targetLanguageCode": "es"},
    },
    "systemInstruction": {"parts": [{"text": "You are a pirate."}], "role": "user"},
    "tools": [{"codeExecution": {}}, {"googleSearch": {"searchTypes": {"webSearch": {}}}}],
    "inputAudioTranscription": {"languageCodes": ["en-US"]},
    "outputAudioTranscription": {"languageCodes": ["en-US"]},
    "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
    "contextWindowCompression": {"triggerTokens": 100_000},
    "proactivity": {"proactiveAudio": True, "proactiveVideo": True},
    "historyConfig": {"initialHistoryInClientContent": True},
    "avatarConfig": {"avatarName": "theirs"},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "labels": {"team": "theirs", "mine": "too"},
}
"""What a hostile client sets in every field but the handle, which each test makes."""


def hostile(livetoken: Stack) -> dict[str, Any]:
    """A hostile client's setup: every field, and another caller's session to resume."""
    handle = livetoken.gemini.state.issue_handle(Conversation(turns=["another caller's secret"]))
    wanted = {**HOSTILE, "sessionResumption": {"handle": handle}}
    return {name: wanted[name] for name in SETUP_FIELDS}


def snake(value: Any) -> Any:
    """The same in snake_case, which Gemini accepts too."""
    if isinstance(value, dict):
        return {fields.snake(name): snake(each) for name, each in value.items()}
    return [snake(each) for each in value] if isinstance(value, list) else value


Spelling = Callable[[Any], Any]
SPELLED = pytest.mark.parametrize("spelling", [dict, snake], ids=["camelCase", "snake_case"])


# ------------------------------------------------------------------ the profiles


@dataclass(frozen=True)
class Profile:
    """A profile that sets some fields of the config and leaves others to the client."""

    name: str
    sets: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def config(self) -> dict[str, Any]:
        return {name: OURS[name] for name in self.sets}

    @property
    def left_open(self) -> tuple[str, ...]:
        """What is left, as the setup spells it."""
        return tuple(OWN[name] for name in self.left)

    @property
    def toml(self) -> str:
        return (
            f'[profiles."{self.name}"]\nmodel = "{MODEL}"\n'
            f"client_may_set = {json.dumps(self.left)}\n"
            f'[profiles."{self.name}".config]\n{toml(self.config)}'
        )

    def expected(self, client: Mapping[str, Any]) -> dict[str, Any]:
        """The session that a client with this setup must get."""
        left = {name: client[name] for name in self.left_open if name in client}
        return {**placed(self.config), **left}


def profiles() -> Iterator[Profile]:
    """Profiles that leave nothing, one field, every other field or all; the rest is set or not."""
    own = tuple(OWN)
    lefts: dict[str, tuple[str, ...]] = {
        "nothing": (),
        **{name: (name,) for name in own},
        "some": own[::2],
        "others": own[1::2],
        "all": own,
    }
    everything = tuple(name for name in PATHS if name != WHOLE)
    for name, left in lefts.items():
        yield Profile(f"least_{name}", LEAST, left)
        sets = tuple(each for each in everything if each not in left)
        yield Profile(f"most_{name}", sets, left)


PROFILES = list(profiles())
CLOSED = [profile for profile in PROFILES if not profile.left]
EACH = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
EACH_CLOSED = pytest.mark.parametrize("profile", CLOSED, ids=lambda profile: profile.name)


started = function_of(HEAD + "".join(profile.toml for profile in PROFILES))


@pytest.fixture
def livetoken(started: Stack) -> Iterator[Stack]:
    """The function of this file, with models that refuse no field, because tests set them all."""
    models = (*MODELS, f"models/{MODEL}")
    started.gemini.behaviour.models = dict.fromkeys(models, Model())
    yield started
    started.gemini.behaviour.unknown_fields = frozenset()


def mint(livetoken: Stack, profile: Profile, **ask: str) -> Any:
    """A token of a profile; asserts that the request to Gemini locks what it must."""
    gemini = livetoken.gemini
    gemini.mints.clear()
    gemini.left_open = profile.left_open
    answer = livetoken.ask({"profile": profile.name, **ask})
    assert answer.status == 200, answer.body
    assert len(gemini.minted()) == 1
    return answer.json


def unlocked(livetoken: Stack) -> Any:
    """An answer with a token that the function never mints: one without a setup."""
    answer = mint(livetoken, PROFILES[0])
    call = http.client.HTTPConnection(urlsplit(livetoken.gemini_plain_url).netloc, timeout=5)
    call.request("POST", "/v1alpha/auth_tokens", b'{"uses":1}', {"x-goog-api-key": API_KEY})
    name = json.loads(call.getresponse().read())["name"]
    call.close()
    livetoken.gemini.mints.clear()
    return {**answer, "name": name}


def session(livetoken: Stack, answer: Any, client: Mapping[str, Any]) -> Any:
    """The setup of the session that a client gets when it opens its socket as JavaScript does."""
    before = len(livetoken.gemini.sessions)
    with connect(socket_url(livetoken, answer)) as socket:
        socket.send(json.dumps({"setup": client}))
        assert message(socket) == {"setupComplete": {}}
    (opened,) = livetoken.gemini.sessions[before:]
    return opened.setup


# ------------------------------------------------------------------ proven at the socket


@SPELLED
def test_without_a_policy_a_client_sets_each_field_and_all(
    livetoken: Stack, spelling: Spelling
) -> None:
    """The control: the policy is what stops these values below, not their being invalid."""
    wanted = hostile(livetoken)
    assert wanted["generationConfig"].keys() == {path[1] for path in MEMBERS.values()}
    for field in SETUP_FIELDS:
        client = {**PLAIN, field: wanted[field]}
        assert placed(OURS)[field] != wanted[field] != PLAIN.get(field)
        assert session(livetoken, unlocked(livetoken), spelling(client)) == client
    assert session(livetoken, unlocked(livetoken), spelling(wanted)) == wanted


@SPELLED
@pytest.mark.parametrize("field", SETUP_FIELDS)
@EACH_CLOSED
def test_a_client_sets_no_field_if_none_is_left_to_it(
    livetoken: Stack, profile: Profile, field: str, spelling: Spelling
) -> None:
    answer = mint(livetoken, profile)
    client = {**PLAIN, field: hostile(livetoken)[field]}
    assert session(livetoken, answer, spelling(client)) == placed(profile.config)


@SPELLED
@EACH
def test_a_client_sets_what_is_left_to_it_and_nothing_else(
    livetoken: Stack, profile: Profile, spelling: Spelling
) -> None:
    answer, wanted = mint(livetoken, profile), hostile(livetoken)
    assert session(livetoken, answer, spelling(wanted)) == profile.expected(wanted)


@EACH
def test_a_client_that_sets_nothing_gets_the_policys_setup(
    livetoken: Stack, profile: Profile
) -> None:
    assert session(livetoken, mint(livetoken, profile), {}) == profile.expected({})


@EACH
def test_a_pinned_handle_cannot_be_changed_by_the_client(
    livetoken: Stack, profile: Profile
) -> None:
    wanted = hostile(livetoken)
    pinned = hostile(livetoken)["sessionResumption"]["handle"]
    if "session_resumption" not in profile.sets:
        refused(livetoken, Reason.INVALID_REQUEST, {"profile": profile.name, "resume": pinned})
        return
    answer = mint(livetoken, profile, resume=pinned)
    expected = {**profile.expected(wanted), "sessionResumption": {"handle": pinned}}
    assert session(livetoken, answer, wanted) == expected


@EACH_CLOSED
def test_google_genai_cannot_change_a_locked_session(livetoken: Stack, profile: Profile) -> None:
    config = types.LiveConnectConfig.model_validate({**OURS, "temperature": 1.9})
    answer = mint(livetoken, profile)
    asyncio.run(converse(unlocked(livetoken), "hello", config=config))
    assert livetoken.gemini.sessions[-1].setup == placed({**OURS, "temperature": 1.9})
    asyncio.run(converse(answer, "hello", config=config))
    assert livetoken.gemini.sessions[-1].setup == placed(profile.config)


# ------------------------------------------------------------------ the mask


@EACH
def test_the_mask_names_every_other_top_level_field(livetoken: Stack, profile: Profile) -> None:
    mint(livetoken, profile)
    body = livetoken.gemini.minted()[-1].body
    if profile.left:
        closed = [name for name in SETUP_FIELDS if name not in profile.left_open]
        assert body["fieldMask"] == ",".join(closed)
    else:
        assert "fieldMask" not in body


@pytest.mark.parametrize("unknown", OWN.values())
def test_a_mask_with_a_field_that_gemini_does_not_know_mints_nothing(
    livetoken: Stack, unknown: str
) -> None:
    """Gemini answers 400 for the whole mask, and the function does not retry with less."""
    gemini = livetoken.gemini
    for profile in PROFILES:
        if profile.sets != LEAST or len(profile.left) == 1:
            continue
        gemini.behaviour.unknown_fields = frozenset({unknown})
        if not profile.left or unknown in profile.left_open:
            mint(livetoken, profile)
            continue
        gemini.mints.clear()
        answer = livetoken.ask({"profile": profile.name})
        assert answer.is_refusal(Reason.GEMINI_REFUSED)
        (asked,) = gemini.mints
        assert (asked.status, asked.token) == (400, None)
    gemini.behaviour.unknown_fields = frozenset()
    mint(livetoken, PROFILES[-1])
