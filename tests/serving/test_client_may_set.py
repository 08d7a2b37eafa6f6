"""`client_may_set`: everything is closed but what it names, whether the policy sets it or not.

What there is to close is read out of google-genai's own converter, field by field, and every field
is tried at the socket by a client that wants another session than the policy's.
"""

import ast
import asyncio
import http.client
import inspect
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.genai import _live_converters, _tokens_converters, types
from stack import API_KEY, Stack, stack
from stand_in import message
from websockets.sync.client import connect

from emulator import fields, messages
from emulator.client import converse
from emulator.state import Conversation
from emulator.tls import Certificate
from livetoken import constraint
from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes
from livetoken.refusals import Reason

MODEL = "gemini-3.8-live"

# ------------------------------------------------------------------ what there is to close

Path = tuple[str, ...]


def written(converter: Any) -> Iterator[tuple[str, Path]]:
    """Yield what a converter of google-genai writes: a field, and its path below `setup`."""
    for call in ast.walk(ast.parse(inspect.getsource(converter))):
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "setv":
            continue
        _, path, value = call.args
        first, *rest = ast.literal_eval(path)
        if first == "setup":
            (source,) = (
                ast.literal_eval(each.args[1])
                for each in ast.walk(value)
                if isinstance(each, ast.Call) and ast.unparse(each.func) == "getv"
            )
            yield source[0], tuple(rest)


PATHS = dict(written(_tokens_converters._LiveConnectConfig_to_mldev))
"""Every field of the config that the Developer API's converter writes, and where it writes it."""

WHOLE = "generation_config"
"""The one of them that a policy writes member by member."""

MEMBERS = {name: path for name, path in PATHS.items() if len(path) == 2}
"""Those that it writes into `generationConfig`."""

OWN = {name: path[0] for name, path in PATHS.items() if len(path) == 1 and name != WHOLE}
"""Those that are fields of the setup of their own."""

SETUP_FIELDS = ("model", "generationConfig", *OWN.values())
"""Every top-level field of the setup."""


def test_the_list_of_fields_is_the_converters() -> None:
    assert dict(constraint.FIELDS) == OWN
    assert {*constraint._ALWAYS_LOCKED, *constraint.FIELDS.values()} == {*SETUP_FIELDS}
    assert messages.SETUP.keys() == {*SETUP_FIELDS}, "what the stand-in knows"


def test_the_converters_paths_are_read_whole() -> None:
    """Nothing that `written` passes over: each path has one literal, and each field one place."""
    for module in (_tokens_converters, _live_converters):
        source = inspect.getsource(module._LiveConnectConfig_to_mldev)
        assert len(list(written(module._LiveConnectConfig_to_mldev))) == source.count("setv(")
    assert all(len(path) == 1 or path[0] == "generationConfig" for path in PATHS.values())
    assert list(written(_tokens_converters._LiveConnectConstraints_to_mldev)) == [
        ("model", ("model",))
    ]


def test_a_client_can_write_what_a_policy_can() -> None:
    assert dict(written(_live_converters._LiveConnectConfig_to_mldev)) == PATHS
    assert dict(written(_live_converters._LiveConnectParameters_to_mldev)) == {"model": ("model",)}


# ------------------------------------------------------------------ what the policy wants

CONFIG = """
response_modalities = ["AUDIO"]
temperature = 0.7
top_p = 0.8
top_k = 3.0
max_output_tokens = 100
media_resolution = "MEDIA_RESOLUTION_LOW"
seed = 5
thinking_config = { include_thoughts = false }
enable_affective_dialog = false
translation_config = { target_language_code = "fr" }
system_instruction = { role = "user", parts = [{ text = "You are a patient tutor." }] }
tools = [{ google_search = {} }]
session_resumption = {}
input_audio_transcription = { language_codes = ["de-DE"] }
output_audio_transcription = { language_codes = ["de-DE"] }
realtime_input_config = { activity_handling = "NO_INTERRUPTION" }
context_window_compression = { trigger_tokens = 1000, sliding_window = { target_tokens = 500 } }
proactivity = { proactive_audio = false }
history_config = { initial_history_in_client_content = false }
avatar_config = { avatar_name = "ours" }
safety_settings = [{ category = "HARM_CATEGORY_HARASSMENT", threshold = "BLOCK_LOW_AND_ABOVE" }]
labels = { team = "ours" }

[speech_config]
language_code = "de-DE"
voice_config = { prebuilt_voice_config = { voice_name = "Kore" } }
"""
"""A config that sets every field."""

OURS: Mapping[str, Any] = tomllib.loads(CONFIG)

REFUSED: Mapping[str, Any] = {
    WHOLE: {"temperature": 0.7},
    "http_options": {"timeout": 1000},
    "explicit_vad_signal": True,
}
"""What google-genai has besides, and no policy may set."""

LEAST = ("response_modalities",)
"""What a config must set."""


def placed(config: Mapping[str, Any]) -> Any:
    """The setup that a config comes to, put together by the converter's paths, in camelCase."""
    whole: dict[str, Any] = {"model": f"models/{MODEL}"}
    for name, value in config.items():
        *parents, last = PATHS[name]
        at = whole
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return fields.read(whole, messages.SETUP, "setup")


def compiled(config: Mapping[str, Any]) -> Any:
    """The setup that livetoken compiles a config to, in camelCase."""
    text = (
        f'api_version = "v1alpha"\n[profiles.default]\nmodel = "{MODEL}"\n'
        f"[profiles.default.config]\n{toml(config)}"
    )
    body = compile_policy(text.encode()).profiles["default"].body
    return fields.read(body["bidiGenerateContentSetup"], messages.SETUP, "setup")


def toml(config: Mapping[str, Any]) -> str:
    """A config in TOML, a line a field."""
    return "".join(f"{name} = {_inline(value)}\n" for name, value in config.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_inline(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


@pytest.mark.parametrize("name", types.LiveConnectConfig.model_fields)
def test_each_field_compiles_to_its_own_place_and_no_other(name: str) -> None:
    """The converter's source and its work say the same, of every field that google-genai has."""
    config = {least: OURS[least] for least in LEAST}
    if name in REFUSED:
        with pytest.raises(Mistakes):
            compiled({**config, name: REFUSED[name]})
    else:
        config[name] = OURS[name]  # where it is missing, and from HOSTILE, google-genai has grown
        assert compiled(config) == placed(config)


def test_the_config_here_sets_every_field_there_is() -> None:
    assert OURS.keys() == PATHS.keys() - {WHOLE}
    assert compiled(OURS) == placed(OURS)
    assert placed(OURS).keys() == {*SETUP_FIELDS}


# ------------------------------------------------------------------ what a client wants

PLAIN: Mapping[str, Any] = {
    "model": f"models/{MODEL}",
    "generationConfig": {"responseModalities": ["AUDIO"]},
}
"""The least that a session without a policy can be begun with."""

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
"""What a hostile client wants of every field; the handle of its session is made as it is asked."""


def hostile(livetoken: Stack) -> dict[str, Any]:
    """A hostile client's setup: every field of the converter's, resuming somebody's session."""
    handle = livetoken.gemini.state.issue_handle(Conversation(turns=["somebody's secret"]))
    wanted = {**HOSTILE, "sessionResumption": {"handle": handle}}
    return {name: wanted[name] for name in SETUP_FIELDS}


def snake(value: Any) -> Any:
    """The same in the other spelling, which Gemini reads alike."""
    if isinstance(value, dict):
        return {fields.snake(name): snake(each) for name, each in value.items()}
    return [snake(each) for each in value] if isinstance(value, list) else value


def camel(value: Any) -> Any:
    return value


Spelling = Callable[[Any], Any]
SPELLED = pytest.mark.parametrize("spelling", [camel, snake])


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
    """Nothing left open, each field, every other one, all; and what is not, set or not."""
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
EACH_FIELD = pytest.mark.parametrize("field", SETUP_FIELDS)


@pytest.fixture(scope="module")
def started(certificate: Certificate) -> Iterator[Stack]:
    text = 'api_version = "v1alpha"\n' + "".join(profile.toml for profile in PROFILES)
    with stack(certificate) as unstarted, unstarted.running(text) as running:
        yield running


@pytest.fixture
def livetoken(started: Stack) -> Iterator[Stack]:
    """The function of this file. Whether Gemini takes a handle under a full lock is unknown, and
    `test_resume` tests it both ways; here it takes none."""
    started.gemini.behaviour.client_handle_under_full_lock = False
    yield started
    started.gemini.behaviour.unknown_fields = frozenset()


def mint(livetoken: Stack, profile: Profile, **ask: str) -> Any:
    """A token of a profile; what was asked of Gemini is asserted to lock what it must."""
    gemini = livetoken.gemini
    gemini.mints.clear()
    gemini.left_open = profile.left_open
    answer = livetoken.ask({"profile": profile.name, **ask})
    assert answer.status == 200, answer.body
    assert len(gemini.minted()) == 1
    return answer.json


def unlocked(livetoken: Stack) -> Any:
    """An answer with a token that the function would never mint: without any setup."""
    answer = mint(livetoken, PROFILES[0])
    call = http.client.HTTPConnection(urlsplit(livetoken.gemini_plain_url).netloc, timeout=5)
    call.request("POST", "/v1alpha/auth_tokens", b'{"uses":1}', {"x-goog-api-key": API_KEY})
    name = json.loads(call.getresponse().read())["name"]
    call.close()
    livetoken.gemini.mints.clear()
    return {**answer, "name": name}


def plain(livetoken: Stack, answer: Any) -> str:
    """Where JavaScript would open its socket, without TLS.

    The synchronous sockets of websockets read and write TLS on two threads, which may hang.
    """
    secure = livetoken.gemini_url.replace("https:", "wss:")
    url = answer["webSocketUrl"].replace(secure, livetoken.gemini_plain_url.replace("http:", "ws:"))
    return f"{url}?access_token={answer['name']}"


def session(livetoken: Stack, answer: Any, client: Mapping[str, Any]) -> Any:
    """The setup of the session that a client gets, who opens its socket as JavaScript does."""
    before = len(livetoken.gemini.sessions)
    with connect(plain(livetoken, answer)) as socket:
        socket.send(json.dumps({"setup": client}))
        assert message(socket) == {"setupComplete": {}}
    (opened,) = livetoken.gemini.sessions[before:]
    return opened.setup


# ------------------------------------------------------------------ proven at the socket


@SPELLED
@EACH_FIELD
def test_without_a_policy_a_client_has_its_way(
    livetoken: Stack, field: str, spelling: Spelling
) -> None:
    """The control: what is refused below is refused by the policy, and not for being nonsense."""
    wanted = hostile(livetoken)
    client = {**PLAIN, field: wanted[field]}
    assert placed(OURS)[field] != wanted[field] != PLAIN.get(field)
    assert session(livetoken, unlocked(livetoken), spelling(client)) == client


@SPELLED
def test_without_a_policy_a_client_has_its_way_in_everything(
    livetoken: Stack, spelling: Spelling
) -> None:
    wanted = hostile(livetoken)
    assert wanted["generationConfig"].keys() == {path[1] for path in MEMBERS.values()}
    assert session(livetoken, unlocked(livetoken), spelling(wanted)) == wanted


@SPELLED
@EACH_FIELD
@EACH_CLOSED
def test_no_field_is_the_clients_where_none_is_left_to_it(
    livetoken: Stack, profile: Profile, field: str, spelling: Spelling
) -> None:
    answer = mint(livetoken, profile)
    client = {**PLAIN, field: hostile(livetoken)[field]}
    assert session(livetoken, answer, spelling(client)) == placed(profile.config)


@SPELLED
@EACH
def test_everything_is_the_policys_but_what_is_left_to_the_client(
    livetoken: Stack, profile: Profile, spelling: Spelling
) -> None:
    answer, wanted = mint(livetoken, profile), hostile(livetoken)
    assert session(livetoken, answer, spelling(wanted)) == profile.expected(wanted)


@EACH
def test_what_is_left_to_a_client_that_sets_nothing_is_nothing(
    livetoken: Stack, profile: Profile
) -> None:
    assert session(livetoken, mint(livetoken, profile), {}) == profile.expected({})


@EACH
def test_a_pinned_handle_is_the_policys_beside_what_is_left(
    livetoken: Stack, profile: Profile
) -> None:
    wanted = hostile(livetoken)
    pinned = hostile(livetoken)["sessionResumption"]["handle"]
    if "session_resumption" not in profile.sets:
        refused = livetoken.ask({"profile": profile.name, "resume": pinned})
        assert refused.is_refusal(Reason.INVALID_REQUEST)
        return
    answer = mint(livetoken, profile, resume=pinned)
    expected = {**profile.expected(wanted), "sessionResumption": {"handle": pinned}}
    assert session(livetoken, answer, wanted) == expected


@EACH_CLOSED
def test_google_genai_itself_gets_nothing_through(livetoken: Stack, profile: Profile) -> None:
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
    """One such name is a 400 for the whole mask, and nothing less is asked for instead."""
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
