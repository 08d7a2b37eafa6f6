"""The stand-in of Gemini keeps what is known of the real service, as a client sees it.

google-genai itself does the connecting wherever it can; `websockets` where the client is hostile,
or writes the way JavaScript does.
"""

from __future__ import annotations

import array
import asyncio
import base64
import http.client
import json
import math
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from google import genai
from google.genai import errors, types
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from local.gemini import Behaviour, Gemini
from local.server import Server
from local.tls import Certificate, certificate

KEY = "test-key-0123456789"
MODEL = "models/gemini-3.8-live"
THINKING = "models/gemini-3.8-live-extended-thinking"
SETUP: dict[str, Any] = {
    "model": MODEL,
    "generationConfig": {"responseModalities": ["AUDIO"]},
    "sessionResumption": {},
    "outputAudioTranscription": {},
}
AUDIO: Any = {"response_modalities": ["AUDIO"]}


class Clock:
    """The present, which a test can move."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)

    def at(self, seconds: float) -> str:
        return (self() + timedelta(seconds=seconds)).isoformat()


class Stand:
    """A stand-in that runs, and ways to ask it."""

    def __init__(self, certificate: Certificate) -> None:
        self.clock = Clock()
        self.behaviour = Behaviour(api_key=KEY)
        self.gemini = Gemini(self.behaviour, self.clock)
        self.server = Server(self.gemini.app, tls=0, certificate=certificate)

    def post(
        self, body: Any, version: str = "v1alpha", key: str | None = KEY, query: str = ""
    ) -> tuple[int, Any]:
        """The status and the parsed answer of one mint."""
        status, _, data = self.raw(body, version, key, query)
        return status, json.loads(data)

    def raw(
        self, body: Any, version: str = "v1alpha", key: str | None = KEY, query: str = ""
    ) -> tuple[int, Any, bytes]:
        call = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=5)
        try:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers = {"x-goog-api-key": key} if key else {}
            call.request("POST", f"/{version}/auth_tokens{query}", data, headers)
            answer = call.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            call.close()

    def token(self, setup: Any = SETUP, **body: Any) -> str:
        """The name of a token, minted over REST."""
        whole = {"uses": 1, "bidiGenerateContentSetup": setup, **body}
        status, answer = self.post({k: v for k, v in whole.items() if v is not None})
        assert status == 200, answer
        return str(answer["name"])

    def sdk(self, key: str, version: str = "v1alpha") -> genai.Client:
        options = types.HttpOptions(base_url=self.server.tls_url, api_version=version)
        return genai.Client(api_key=key, http_options=options)

    def talk(self, token: str, text: str = "hello", config: Any = None, **of: Any) -> list[Any]:
        """One session with the SDK: its setup, one turn, everything that came back."""

        async def session() -> list[Any]:
            live = self.sdk(token, of.pop("version", "v1alpha")).aio.live
            async with live.connect(model=of.pop("model", MODEL), config=config or AUDIO) as it:
                await it.send_client_content(
                    turns=types.Content(role="user", parts=[types.Part(text=text)])
                )
                return [message async for message in it.receive()]

        return asyncio.run(session())

    def refusal(self, token: str, config: Any = None, **of: Any) -> int:
        """The close code with which the SDK is refused a session."""
        with pytest.raises(errors.APIError) as refused:
            self.talk(token, config=config, **of)
        return int(refused.value.code)

    def socket(
        self,
        token: str | None,
        method: str = "BidiGenerateContentConstrained",
        version: str = "v1alpha",
        slash: str = "/",
    ) -> ClientConnection:
        """A socket the way JavaScript opens one."""
        base = self.server.url.replace("http", "ws")
        path = f"{slash}ws/google.ai.generativelanguage.{version}.GenerativeService.{method}"
        return connect(base + path + (f"?access_token={token}" if token else ""), open_timeout=5)

    def closed(self, ws: ClientConnection, *messages: Any) -> int:
        """The code with which the socket is closed after these messages."""
        for message in messages:
            ws.send(message if isinstance(message, str | bytes) else json.dumps(message))
        with pytest.raises(ConnectionClosed) as end:
            while True:
                ws.recv(timeout=5)
        assert end.value.rcvd is not None
        return end.value.rcvd.code


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(Path(tmp_path_factory.mktemp("tls")))


@pytest.fixture
def stand(tls: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca_file))
    warnings.simplefilter("ignore", errors.ExperimentalWarning)
    made = Stand(tls)
    with made.server:
        yield made


def setup(**changes: Any) -> dict[str, Any]:
    return {**SETUP, **changes}


def message(ws: ClientConnection) -> dict[str, Any]:
    """The next server message, which must be JSON in a binary frame."""
    frame = ws.recv(timeout=5)
    assert isinstance(frame, bytes)
    found: dict[str, Any] = json.loads(frame)
    return found


def turn(ws: ClientConnection, *sent: Any) -> list[dict[str, Any]]:
    """What comes back up to the end of the turn."""
    for item in sent:
        ws.send(json.dumps(item))
    got = [message(ws)]
    while "turnComplete" not in got[-1].get("serverContent", {}):
        got.append(message(ws))
    return got


@contextmanager
def opened(stand: Stand, token: str, client: Any = None) -> Iterator[ClientConnection]:
    """A socket that has got its setupComplete."""
    with stand.socket(token) as ws:
        ws.send(json.dumps({"setup": client if client is not None else {"model": MODEL}}))
        assert message(ws) == {"setupComplete": {}}
        yield ws


def start(stand: Stand, token: str, client: Any = None) -> None:
    """Starts one session and leaves it."""
    with opened(stand, token, client):
        pass


def sound(messages: list[dict[str, Any]]) -> bytes:
    parts = [m.get("serverContent", {}).get("modelTurn", {}).get("parts", []) for m in messages]
    return b"".join(base64.b64decode(p["inlineData"]["data"]) for some in parts for p in some)


def words(messages: list[dict[str, Any]], which: str = "outputTranscription") -> list[str]:
    found = [m.get("serverContent", {}).get(which) for m in messages]
    return [one["text"] for one in found if one]


def said(messages: list[Any]) -> str:
    """The transcription of what the SDK was answered."""
    found = [m.server_content.output_transcription for m in messages if m.server_content]
    return "".join(one.text for one in found if one)


def handle_of(messages: list[Any]) -> str:
    found = [m.session_resumption_update for m in messages if m.session_resumption_update]
    assert found[-1].resumable
    return str(found[-1].new_handle)


def hello(text: str = "hello") -> dict[str, Any]:
    turns = [{"role": "user", "parts": [{"text": text}]}]
    return {"clientContent": {"turns": turns, "turnComplete": True}}


def pcm(seconds: float, loud: bool = True) -> bytes:
    tone = (int(9000 * math.sin(n / 9)) if loud else 0 for n in range(int(16_000 * seconds)))
    return array.array("h", tone).tobytes()


def audio(samples: bytes) -> dict[str, Any]:
    data = base64.b64encode(samples).decode()
    return {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": data}}}


def eventually(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 3
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


# --- minting ---------------------------------------------------------------------------------


def test_a_token_is_a_name_and_nothing_else(stand: Stand) -> None:
    status, answer = stand.post({"bidiGenerateContentSetup": SETUP})
    assert status == 200
    assert list(answer) == ["name"]
    prefix, _, hexadecimal = answer["name"].partition("/")
    assert prefix == "auth_tokens" and len(bytes.fromhex(hexadecimal)) == 32


def test_the_sdk_mints_and_its_token_talks(stand: Stand) -> None:
    now = stand.clock()
    config = types.CreateAuthTokenConfig(
        uses=1,
        expire_time=now + timedelta(minutes=30),
        new_session_expire_time=now + timedelta(minutes=1),
        live_connect_constraints=types.LiveConnectConstraints(
            model="gemini-3.8-live",
            config=types.LiveConnectConfig(
                response_modalities=[types.Modality.AUDIO],
                system_instruction="Be kind.",
                temperature=0.7,
                top_p=0.9,
                speech_config=types.SpeechConfig(language_code="en-US"),
                output_audio_transcription=types.AudioTranscriptionConfig(),
                context_window_compression=types.ContextWindowCompressionConfig(
                    sliding_window=types.SlidingWindow(target_tokens=100)
                ),
            ),
        ),
    )
    client = stand.sdk(KEY)
    token = client.auth_tokens.create(config=config)
    assert token.name
    assert said(stand.talk(token.name)) == "I heard: hello (turn 1)"
    assert stand.gemini.minted()[0].token == token.name
    generation = stand.gemini.sessions[0].setup["generationConfig"]
    assert generation["topP"] == 0.9 and generation["speechConfig"] == {"languageCode": "en-US"}


@pytest.mark.parametrize("version", ["v1alpha", "v1beta"])
def test_both_versions_mint_and_connect(stand: Stand, version: str) -> None:
    status, answer = stand.post({"bidiGenerateContentSetup": SETUP}, version)
    assert status == 200
    assert said(stand.talk(answer["name"], version=version)) == "I heard: hello (turn 1)"


@pytest.mark.parametrize("version", ["v1", "v2", "v1alpha1"])
def test_other_versions_do_not_exist(stand: Stand, version: str) -> None:
    assert stand.post({}, version)[0] == 404
    with pytest.raises(InvalidStatus) as refused:
        stand.socket(stand.token(), version=version)
    assert refused.value.response.status_code == 404


def test_nothing_lists_or_revokes_tokens(stand: Stand) -> None:
    call = http.client.HTTPConnection(urlsplit(stand.server.url).netloc, timeout=5)
    for method, path in (("GET", "auth_tokens"), ("DELETE", stand.token())):
        call.request(method, f"/v1alpha/{path}", headers={"x-goog-api-key": KEY})
        answer = call.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (404, 404)
    call.close()


@pytest.mark.parametrize(
    ("body", "name", "where"),
    [
        ({"liveConnectConstraints": {}}, "liveConnectConstraints", "auth_token"),
        ({"config": {}}, "config", "auth_token"),
        ({"Uses": 1}, "Uses", "auth_token"),
        (
            {"bidiGenerateContentSetup": {"temperature": 1}},
            "temperature",
            "auth_token.bidi_generate_content_setup",
        ),
        (
            {"bidi_generate_content_setup": {"generation_config": {"top_P": 1}}},
            "top_P",
            "auth_token.bidi_generate_content_setup.generation_config",
        ),
        (
            {"bidiGenerateContentSetup": {"tools": [{}, {"retrieval": {}}]}},
            "retrieval",
            "auth_token.bidi_generate_content_setup.tools[1]",
        ),
        (
            {"bidiGenerateContentSetup": {"sessionResumption": {"transparent": True}}},
            "transparent",
            "auth_token.bidi_generate_content_setup.session_resumption",
        ),
    ],
)
def test_an_unknown_field_is_refused_before_the_key_is_looked_at(
    stand: Stand, body: Any, name: str, where: str
) -> None:
    for key in (KEY, "bad", None):
        status, answer = stand.post(body, key=key)
        assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
        assert answer["error"]["message"] == (
            f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': "
            "Cannot find field."
        )


def test_null_means_unset(stand: Stand) -> None:
    token = stand.token(setup(tools=None, labels=None))
    status, answer = stand.post({"uses": None, "expireTime": None, "fieldMask": None})
    assert status == 200, answer
    start(stand, token)
    assert stand.gemini.sessions[0].setup == SETUP


def test_a_field_can_be_made_unknown(stand: Stand) -> None:
    body = {"bidiGenerateContentSetup": setup(labels={"a": "b"}), "fieldMask": "labels,model"}
    assert stand.post(body)[0] == 200
    stand.behaviour.unknown_fields = frozenset({"labels"})
    assert 'Unknown name "labels"' in stand.post(body)[1]["error"]["message"]
    status, answer = stand.post(body | {"bidiGenerateContentSetup": SETUP})
    assert status == 400 and "field_mask is invalid" in answer["error"]["message"]


def test_both_spellings_mean_the_same(stand: Stand) -> None:
    token = stand.token(
        None,
        bidi_generate_content_setup={
            "model": MODEL,
            "generation_config": {"response_modalities": ["AUDIO"], "topP": 0.5},
            "output_audio_transcription": {"language_codes": ["en"]},
        },
        field_mask="generation_config.response_modalities,outputAudioTranscription,model",
    )
    assert said(stand.talk(token)) == "I heard: hello (turn 1)"
    assert stand.gemini.sessions[0].setup == {
        "model": MODEL,
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "outputAudioTranscription": {"languageCodes": ["en"]},
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 50_000,
        [],
        "x",
        {"uses": "many"},
        {"uses": 1.5},
        {"uses": True},
        {"fieldMask": ["model"]},
        {"bidiGenerateContentSetup": [SETUP]},
        {"bidiGenerateContentSetup": setup(generationConfig={"temperature": "warm"})},
        {"bidiGenerateContentSetup": setup(generationConfig={"responseModalities": "AUDIO"})},
        {"bidiGenerateContentSetup": setup(generationConfig={"responseModalities": ["SMELL"]})},
        {"bidiGenerateContentSetup": setup(labels={"a": 1})},
        {"uses": 1, "expire_time": "x"},
        {"expireTime": "2026-13-45T00:00:00Z"},
        {"newSessionExpireTime": 5},
        {"fieldMask": "model", "field_mask": "model"},
    ],
)
def test_what_is_no_json_or_of_the_wrong_type_is_refused(stand: Stand, body: Any) -> None:
    status, answer = stand.post(body)
    assert (status, answer["error"]["code"]) == (400, 400)
    assert stand.gemini.mints[0].status == 400 and stand.gemini.mints[0].token is None


def test_a_key_is_needed_and_must_be_right(stand: Stand) -> None:
    for key, query, expected, word in (
        (None, "", 403, "PERMISSION_DENIED"),
        (None, f"?key={KEY}", 403, "PERMISSION_DENIED"),
        ("bad", "", 400, "INVALID_ARGUMENT"),
    ):
        status, answer = stand.post({}, key=key, query=query)
        assert (status, answer["error"]["status"]) == (expected, word)
    assert "API key not valid" in answer["error"]["message"]
    assert stand.gemini.minted() == []


@pytest.mark.parametrize("name", ["expireTime", "newSessionExpireTime"])
def test_a_time_needs_a_zone_and_lies_within_twenty_hours(stand: Stand, name: str) -> None:
    hour = 3600
    naive = stand.clock.at(60).removesuffix("+00:00")
    for refused in (naive, naive.replace("T", " ") + "Z", stand.clock.at(-1), ""):
        assert stand.post({name: refused})[0] == 400, refused
    assert stand.post({name: stand.clock.at(20 * hour + 2)})[0] == 400
    for accepted in (naive + "Z", stand.clock.at(20 * hour - 60), naive[:19] + ".123456789Z"):
        assert stand.post({name: accepted})[0] == 200, accepted


@pytest.mark.parametrize(
    "mask",
    [
        "nothing",
        "model,nothing",
        "model,",
        "tools.0",
        "tools[0]",
        "tools.functionDeclarations",
        "systemInstruction.parts.text",
        "bidiGenerateContentSetup.model",
        "labels.team",
        "generation_Config",
        " model",
    ],
)
def test_a_mask_of_bad_paths_is_refused(stand: Stand, mask: str) -> None:
    status, answer = stand.post({"bidiGenerateContentSetup": SETUP, "fieldMask": mask})
    assert status == 400
    assert answer["error"]["message"] == "field_mask is invalid for BidiGenerateContentSetup"


# --- who gets a session ----------------------------------------------------------------------


@pytest.mark.parametrize("shown", [None, "auth_tokens/" + "0" * 64, "nonsense"])
def test_without_a_good_token_the_first_frame_closes_1007(stand: Stand, shown: str | None) -> None:
    with stand.socket(shown) as ws:
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.05)
        assert stand.closed(ws, {"setup": SETUP}) == 1007
        assert "Missing or malformed auth token" in ws.close_reason  # type: ignore[operator]


def test_a_bogus_token_is_refused_to_the_sdk(stand: Stand) -> None:
    assert stand.refusal("auth_tokens/" + "0" * 64) == 1007


def test_a_token_is_refused_without_the_constrained_method(stand: Stand) -> None:
    token = stand.token()
    with stand.socket(token, method="BidiGenerateContent") as ws:
        assert stand.closed(ws, {"setup": SETUP}) in (1007, 1008)
    assert said(stand.talk(token)), "it was not used up by that"


@pytest.mark.parametrize("slash", ["/", "//"])
def test_javascript_connects(stand: Stand, slash: str) -> None:
    with stand.socket(stand.token(), slash=slash) as ws:
        got = turn(ws, {"setup": {"model": MODEL}}, hello())
    assert got[0] == {"setupComplete": {}}
    assert words(got) == ["I heard: hello (turn 1)"]


@pytest.mark.parametrize(
    "first",
    [
        hello(),
        "no json",
        {"setup": {"modle": MODEL}},
        {"setup": SETUP, "clientContent": {}},
        {"setup": None},
        {},
        [],
        "[" * 50_000,
    ],
)
def test_the_first_message_must_be_a_setup(stand: Stand, first: Any) -> None:
    token = stand.token()
    with stand.socket(token) as ws:
        assert stand.closed(ws, first) == 1007
    assert stand.gemini.sessions == []
    assert said(stand.talk(token)), "a setup that was refused used nothing up"


def test_a_client_that_says_nothing_is_let_go(stand: Stand) -> None:
    stand.behaviour.setup_timeout = 0.05
    with stand.socket(stand.token()) as ws:
        assert stand.closed(ws) == 1008


def test_a_second_use_is_refused(stand: Stand) -> None:
    token = stand.token()
    stand.talk(token)
    assert stand.refusal(token) == 1011
    stand.behaviour.refusal_code = 1008
    assert stand.refusal(token) == 1008
    assert len(stand.gemini.sessions) == 1


@pytest.mark.parametrize(("uses", "sessions"), [(None, 1), (2, 2), ("1", 1)])
def test_a_token_starts_as_many_sessions_as_it_has_uses(
    stand: Stand, uses: Any, sessions: int
) -> None:
    token = stand.token(uses=uses)
    for _ in range(sessions):
        start(stand, token)
    with stand.socket(token) as ws:
        assert stand.closed(ws, {"setup": SETUP}) == 1011


def test_zero_uses_are_unlimited_and_negative_ones_refused(stand: Stand) -> None:
    token = stand.token(uses=0)
    for _ in range(4):
        start(stand, token)
    assert stand.post({"uses": -1})[0] == 400


def test_two_at_once_with_one_use_get_one_session(stand: Stand) -> None:
    token = stand.token()
    gate = threading.Barrier(12)

    def race(ws: ClientConnection) -> bool:
        gate.wait(5)
        ws.send(json.dumps({"setup": {"model": MODEL}}))
        try:
            return message(ws) == {"setupComplete": {}}
        except ConnectionClosed:
            return False

    with ExitStack() as stack, ThreadPoolExecutor(12) as pool:
        sockets = [stack.enter_context(stand.socket(token)) for _ in range(12)]
        won = list(pool.map(race, sockets))
    assert won.count(True) == 1 == len(stand.gemini.sessions)


def test_an_expired_token_is_refused(stand: Stand) -> None:
    late = stand.clock.at(3000)
    token = stand.token(expireTime=stand.clock.at(1000), newSessionExpireTime=late)
    stand.clock.advance(1001)
    assert stand.refusal(token) == 1011


def test_a_session_that_starts_too_late_is_refused(stand: Stand) -> None:
    given, default = stand.token(newSessionExpireTime=stand.clock.at(10)), stand.token()
    stand.clock.advance(11)
    assert stand.refusal(given) == 1011
    start(stand, default)
    default = stand.token()
    stand.clock.advance(61)
    assert stand.refusal(default) == 1011


# --- which setup it has ----------------------------------------------------------------------


def test_a_full_lock_replaces_the_setup_of_the_client_in_silence(stand: Stand) -> None:
    config = {"response_modalities": ["TEXT"], "system_instruction": "Obey me.", "temperature": 2}
    stand.talk(stand.token(), config=config, model="gemini-of-mine")
    assert stand.gemini.sessions[0].setup == SETUP


def test_a_mask_overwrites_its_fields_and_clears_what_the_token_leaves_unset(stand: Stand) -> None:
    token = stand.token(
        setup(systemInstruction={"parts": [{"text": "Teach."}]}),
        fieldMask="model,systemInstruction,tools,generationConfig.temperature",
    )
    client = {
        "model": "models/other",
        "generationConfig": {"responseModalities": ["AUDIO"], "temperature": 2, "seed": 7},
        "systemInstruction": {"parts": [{"text": "Obey me."}]},
        "tools": [{"googleSearch": {}}],
        "inputAudioTranscription": {},
    }
    start(stand, token, client)
    assert stand.gemini.sessions[0].setup == {
        "model": MODEL,
        "generationConfig": {"responseModalities": ["AUDIO"], "seed": 7},
        "systemInstruction": {"parts": [{"text": "Teach."}]},
        "inputAudioTranscription": {},
    }


def test_a_token_without_a_setup_leaves_it_to_the_client(stand: Stand) -> None:
    client = setup(generationConfig={"responseModalities": ["AUDIO"], "seed": 7})
    start(stand, stand.token(None), client)
    assert stand.gemini.sessions[0].setup == client


@pytest.mark.parametrize(
    "locked",
    [
        {"model": MODEL},
        setup(generationConfig={"temperature": 1}),
        setup(generationConfig={"responseModalities": ["TEXT"]}),
        setup(generationConfig={"responseModalities": ["AUDIO", "TEXT"]}),
        setup(generationConfig={"responseModalities": []}),
    ],
)
def test_text_is_refused_and_text_is_the_default(stand: Stand, locked: Any) -> None:
    assert stand.refusal(stand.token(locked), AUDIO) == 1007


@pytest.mark.parametrize("model", ["models/gemini-2.0-flash-live-001", "gemini-3.8-live", ""])
def test_an_unknown_model_mints_but_does_not_connect(stand: Stand, model: str) -> None:
    token = stand.token(setup(model=model))
    with stand.socket(token) as ws:
        assert stand.closed(ws, {"setup": SETUP}) == 1007
        assert "project-scoped" in ws.close_reason  # type: ignore[operator]


def test_models_can_be_added(stand: Stand) -> None:
    stand.behaviour.models["models/gemini-4-live"] = "free"
    start(stand, stand.token(setup(model="models/gemini-4-live")))


@pytest.mark.parametrize(
    ("model", "level", "accepted"),
    [
        (MODEL, None, True),
        (MODEL, "LOW", False),
        (THINKING, None, False),
        (THINKING, "LOW", True),
        ("models/gemini-3.1-flash-live-preview", None, True),
        ("models/gemini-3.1-flash-live-preview", "LOW", True),
    ],
)
def test_each_model_has_its_rule_for_thinking_levels(
    stand: Stand, model: str, level: str | None, accepted: bool
) -> None:
    thinking = {"thinkingConfig": {"thinkingLevel": level}} if level else {}
    token = stand.token(
        setup(model=model, generationConfig={"responseModalities": ["AUDIO"], **thinking})
    )
    if accepted:
        start(stand, token)
    else:
        assert stand.refusal(token) == 1007


# --- resumption ------------------------------------------------------------------------------


def test_resuming_is_no_use_and_keeps_the_history(stand: Stand) -> None:
    token = stand.token()
    handle = handle_of(stand.talk(token, "one"))
    stand.clock.advance(120)
    again = stand.talk(token, "two", {"session_resumption": {"handle": handle}})
    assert said(again) == "I heard: two (turn 2)"
    assert stand.gemini.sessions[-1].setup == setup(sessionResumption={"handle": handle})
    third = stand.talk(token, "three", {"session_resumption": {"handle": handle_of(again)}})
    assert said(third) == "I heard: three (turn 3)"
    assert [one.resumed for one in stand.gemini.sessions] == [False, True, True]
    assert stand.refusal(token) == 1011


def test_nothing_is_resumed_past_the_end_of_the_token(stand: Stand) -> None:
    token = stand.token(expireTime=stand.clock.at(600))
    handle = handle_of(stand.talk(token))
    stand.clock.advance(601)
    assert stand.refusal(token, {"session_resumption": {"handle": handle}}) == 1011


def test_whether_a_full_lock_takes_the_handle_of_a_client_can_be_set(stand: Stand) -> None:
    token = stand.token()
    config = {"session_resumption": {"handle": handle_of(stand.talk(token))}}
    stand.behaviour.client_handle_under_full_lock = False
    assert stand.refusal(token, config) == 1011, "it counts as a new session"
    stand.behaviour.client_handle_under_full_lock = True
    assert said(stand.talk(token, config=config)) == "I heard: hello (turn 2)"


def test_a_lock_without_resumption_neither_gives_nor_takes_handles(stand: Stand) -> None:
    handle = handle_of(stand.talk(stand.token()))
    plain = {k: v for k, v in SETUP.items() if k != "sessionResumption"}
    got = stand.talk(stand.token(plain), config={"session_resumption": {"handle": handle}})
    assert said(got) == "I heard: hello (turn 1)"
    assert not [m for m in got if m.session_resumption_update]


@pytest.mark.parametrize("switch", [True, False])
def test_a_handle_pinned_in_a_new_token_resumes(stand: Stand, switch: bool) -> None:
    stand.behaviour.client_handle_under_full_lock = switch
    handle = handle_of(stand.talk(stand.token(), "one"))
    pinned = stand.token(setup(sessionResumption={"handle": handle}))
    got = stand.talk(pinned, "two", {"session_resumption": {"handle": "of my own"}})
    assert said(got) == "I heard: two (turn 2)"
    assert stand.gemini.sessions[-1].resumed


def test_a_masked_resumption_overwrites_the_handle_of_the_client(stand: Stand) -> None:
    handle = handle_of(stand.talk(stand.token()))
    config = {**AUDIO, "session_resumption": {"handle": handle}}
    masked = stand.token(SETUP, fieldMask="model,sessionResumption")
    stand.talk(masked, config=config)
    left = stand.token(SETUP, fieldMask="model,generationConfig")
    stand.talk(left, config=config)
    assert [one.resumed for one in stand.gemini.sessions] == [False, False, True]


def test_a_dead_handle_is_1008(stand: Stand) -> None:
    token = stand.token(uses=0)
    handle = handle_of(stand.talk(token))
    for dead in ("never given", handle):
        with stand.socket(token) as ws:
            client = {"model": MODEL, "sessionResumption": {"handle": dead}}
            assert stand.closed(ws, {"setup": client}) == 1008
            assert ws.close_reason == "BidiGenerateContent session not found"
        stand.behaviour.handle_life = 0


def test_a_session_that_is_still_open_is_not_resumed(stand: Stand) -> None:
    token = stand.token()
    with opened(stand, token) as ws:
        update = next(m for m in turn(ws, hello()) if "sessionResumptionUpdate" in m)
        config = {"session_resumption": {"handle": update["sessionResumptionUpdate"]["newHandle"]}}
        assert stand.refusal(token, config) == 1011
    assert eventually(lambda: stand.gemini.sessions[0].closed == 1000)
    assert said(stand.talk(token, config=config)) == "I heard: hello (turn 2)"


# --- how it ends -----------------------------------------------------------------------------


def test_a_connection_says_that_it_goes_away_and_then_ends(stand: Stand) -> None:
    with opened(stand, stand.token()) as ws:
        stand.clock.advance(540)
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        stand.clock.advance(10.5)
        told = message(ws)["goAway"]["timeLeft"]
        assert told.endswith("s") and 40 <= float(told[:-1]) <= 50
        stand.clock.advance(50)
        assert stand.closed(ws) == 1011
    assert stand.gemini.sessions[0].closed == 1011


def test_the_life_of_a_connection_is_settable(stand: Stand) -> None:
    stand.behaviour.connection_life, stand.behaviour.go_away_before = 0.3, 0.2
    with opened(stand, stand.token()) as ws:
        begun = time.monotonic()
        assert "goAway" in message(ws)
        assert stand.closed(ws) == 1011
        assert 0.2 < time.monotonic() - begun < 2


def test_a_session_closes_when_its_token_expires(stand: Stand) -> None:
    with opened(stand, stand.token(expireTime=stand.clock.at(100))) as ws:
        turn(ws, hello())
        stand.clock.advance(101)
        assert stand.closed(ws) == 1011


# --- what is said ----------------------------------------------------------------------------


def test_a_turn_is_answered_with_sound_words_handle_and_usage(stand: Stand) -> None:
    with opened(stand, stand.token()) as ws:
        got = turn(ws, hello("good day"))
        assert len(sound(got)) == 0.25 * 24_000 * 2 and any(sound(got))
        assert words(got) == ["I heard: good day (turn 1)"]
        assert [m for m in got if m.get("serverContent", {}).get("generationComplete")]
        assert [m for m in got if m.get("sessionResumptionUpdate", {}).get("resumable") is True]
        assert got[-1]["usageMetadata"]["totalTokenCount"] > 0
        mime = got[0]["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["mimeType"]
        assert mime == "audio/pcm;rate=24000"
        assert words(turn(ws, {"realtime_input": {"text": "again"}})) == ["I heard: again (turn 2)"]


def test_nothing_is_transcribed_that_the_setup_does_not_ask_for(stand: Stand) -> None:
    plain = {"model": MODEL, "generationConfig": {"responseModalities": ["AUDIO"]}}
    with opened(stand, stand.token(plain)) as ws:
        got = turn(ws, audio(pcm(0.2)), {"realtimeInput": {"audioStreamEnd": True}})
    assert sound(got) and not words(got) and not words(got, "inputTranscription")
    assert not [m for m in got if "sessionResumptionUpdate" in m]


def test_a_turn_waits_until_it_is_complete(stand: Stand) -> None:
    with opened(stand, stand.token()) as ws:
        spoken = (("user", "one"), ("model", "I see."))
        turns = [{"role": role, "parts": [{"text": text}]} for role, text in spoken]
        first = {"client_content": {"turns": turns}}
        ws.send(json.dumps(first))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        assert words(turn(ws, hello("two"))) == ["I heard: one two (turn 1)"]


def test_speech_is_echoed_after_silence(stand: Stand) -> None:
    with opened(stand, stand.token(setup(inputAudioTranscription={}))) as ws:
        quiet, speech = pcm(0.3, loud=False), pcm(0.4)
        for samples in (quiet, speech[:5000], speech[5000:], quiet):
            ws.send(json.dumps(audio(samples)))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        got = turn(ws, audio(quiet))
    assert words(got, "inputTranscription") == ["(0.4 seconds of speech)"]
    assert words(got) == ["I heard: (0.4 seconds of speech) (turn 1)"]
    echoed = array.array("h", sound(got))
    assert abs(len(echoed) - 0.4 * 24_000) < 0.05 * 24_000
    assert max(echoed) > 8000


def test_speech_is_echoed_when_the_stream_ends(stand: Stand) -> None:
    with opened(stand, stand.token()) as ws:
        end = {"realtimeInput": {"audioStreamEnd": True}}
        got = turn(ws, end, audio(pcm(0.3)), end)
    assert words(got) == ["I heard: (0.3 seconds of speech) (turn 1)"]


def test_activity_can_be_marked_by_hand(stand: Stand) -> None:
    by_hand = {"automaticActivityDetection": {"disabled": True}}
    with opened(stand, stand.token(setup(realtimeInputConfig=by_hand))) as ws:
        ws.send(json.dumps(audio(pcm(0.2))))
        ws.send(json.dumps({"realtimeInput": {"activityEnd": {}}}))
        ws.send(json.dumps({"realtimeInput": {"activityStart": {}}}))
        for samples in (pcm(0.2), pcm(0.6, loud=False)):
            ws.send(json.dumps(audio(samples)))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        got = turn(ws, {"realtimeInput": {"activityEnd": {}}})
    assert words(got) == ["I heard: (0.8 seconds of speech) (turn 1)"]


def test_both_base64_alphabets_are_heard(stand: Stand) -> None:
    samples = array.array("h", [-1, -1025] * 4000).tobytes()
    standard = base64.b64encode(samples).decode()
    assert "/" in standard and "+" in standard
    echoes = []
    for data in (standard, standard.replace("+", "-").replace("/", "_"), standard.rstrip("=")):
        with opened(stand, stand.token()) as ws:
            sent = {"realtime_input": {"audio": {"mime_type": "audio/pcm", "data": data}}}
            echoes.append(sound(turn(ws, sent, {"realtimeInput": {"audioStreamEnd": True}})))
    assert echoes[0] and echoes[0] == echoes[1] == echoes[2]


def test_the_sdk_streams_sound(stand: Stand) -> None:
    async def session() -> list[Any]:
        live = stand.sdk(stand.token()).aio.live
        async with live.connect(model=MODEL, config=AUDIO) as it:
            blob = types.Blob(data=pcm(0.5), mime_type="audio/pcm;rate=16000")
            await it.send_realtime_input(audio=blob)
            await it.send_realtime_input(audio_stream_end=True)
            return [message async for message in it.receive()]

    got = asyncio.run(session())
    assert said(got) == "I heard: (0.5 seconds of speech) (turn 1)"
    assert len(b"".join(m.data for m in got if m.data)) == 24_000


def test_a_tool_response_is_taken_in_silence(stand: Stand) -> None:
    async def session() -> list[Any]:
        live = stand.sdk(stand.token()).aio.live
        async with live.connect(model=MODEL, config=AUDIO) as it:
            await it.send_tool_response(
                function_responses=types.FunctionResponse(id="1", name="f", response={"a": 1})
            )
            await it.send_realtime_input(text="hello")
            return [message async for message in it.receive()]

    assert said(asyncio.run(session())) == "I heard: hello (turn 1)"
    assert list(stand.gemini.sessions[0].messages[0]) == ["toolResponse"]


@pytest.mark.parametrize(
    "sent",
    [
        {"hello": {}},
        {"setup": SETUP},
        {},
        {"realtimeInput": {"sound": {}}},
        {"realtimeInput": {"audio": {"data": "~~~"}}},
        {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/mp3"}}},
        {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcm;rate=0000"}}},
        b"\xff\xfe",
    ],
)
def test_an_unknown_message_closes_1007(stand: Stand, sent: Any) -> None:
    with opened(stand, stand.token()) as ws:
        assert stand.closed(ws, sent) == 1007
    assert stand.gemini.sessions[0].closed == 1007


# --- faults and the log ----------------------------------------------------------------------


def test_a_faulted_status_holds_what_must_not_leak(stand: Stand) -> None:
    stand.behaviour.faults.extend([429, 503])
    stand.behaviour.retry_after = "7"
    status, headers, data = stand.raw({})
    assert (status, headers["Retry-After"]) == (429, "7")
    assert b"upstream secret words" in data and KEY.encode() in data
    assert json.loads(data)["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert [stand.post({})[0] for _ in range(2)] == [503, 200]


def test_a_standing_fault_stands_until_it_is_cleared(stand: Stand) -> None:
    stand.behaviour.fault = 500
    assert [stand.post({})[0] for _ in range(2)] == [500, 500]
    stand.behaviour.fault = None
    assert stand.post({})[0] == 200


def test_the_delay_comes_before_the_answer(stand: Stand) -> None:
    stand.behaviour.delay = 0.15
    begun = time.monotonic()
    assert stand.post({})[0] == 200
    assert time.monotonic() - begun >= 0.15


@pytest.mark.parametrize(
    ("word", "body"),
    [
        ("empty", b"{}"),
        ("nothing", b""),
        ("noname", b'{"name":"projects/upstream secret words"}'),
        ("badname", b'{"name":5}'),
    ],
)
def test_an_answer_can_be_no_token(stand: Stand, word: str, body: bytes) -> None:
    stand.behaviour.faults.append(word)
    status, _, data = stand.raw({})
    assert (status, data) == (200, body)


def test_html_lists_depths_and_redirects(stand: Stand) -> None:
    stand.behaviour.faults.extend(["html", "list", "deep", "redirect", "nonsense"])
    assert stand.raw({})[2].startswith(b"<html>")
    assert isinstance(json.loads(stand.raw({})[2]), list)
    assert stand.raw({})[2].startswith(b"[" * 5000)
    status, headers, _ = stand.raw({})
    assert (status, headers["Location"]) == (307, "/v1alpha/auth_tokens?followed=1")
    assert stand.raw({})[0] == 501


def test_connections_can_break(stand: Stand) -> None:
    stand.behaviour.faults.extend(["reset", "truncated"])
    with pytest.raises((ConnectionError, http.client.BadStatusLine)):
        stand.raw({})
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        stand.raw({})
    assert [mint.status for mint in stand.gemini.mints] == [None, 200]


@pytest.mark.parametrize(("word", "read"), [("hang", 0), ("slow", 3), ("huge", 5_000_000)])
def test_answers_can_take_for_ever(stand: Stand, word: str, read: int) -> None:
    stand.behaviour.fault, stand.behaviour.drip = word, 0.02
    call = http.client.HTTPConnection(urlsplit(stand.server.url).netloc, timeout=0.2)
    call.request("POST", "/v1alpha/auth_tokens", b"{}")
    if word == "hang":
        with pytest.raises(TimeoutError):
            call.getresponse()
    else:
        answer = call.getresponse()
        assert len(answer.read(read)) == read and answer.length is None
    call.close()


def test_every_mint_is_in_the_log(stand: Stand) -> None:
    stand.post({"uses": 1}, key=None, query="?a=b")
    stand.raw(b"no json")
    first, second = stand.gemini.mints
    assert (first.version, first.query, first.body) == ("v1alpha", {"a": "b"}, {"uses": 1})
    assert (first.status, first.token, first.raw) == (403, None, b'{"uses": 1}')
    assert first.headers["content-length"] == "11" and first.port != second.port > 0
    assert (second.body, second.raw, second.status) == (None, b"no json", 400)


@pytest.mark.parametrize(
    "change",
    [
        {"uses": 0},
        {"uses": 2},
        {"uses": None},
        {"expireTime": None},
        {"newSessionExpireTime": None},
        {"bidiGenerateContentSetup": None},
        {"bidiGenerateContentSetup": {}},
        {"bidiGenerateContentSetup": {"model": "gemini-3.8-live"}},
    ],
)
def test_the_reader_of_mints_catches_a_wide_one(stand: Stand, change: dict[str, Any]) -> None:
    good = {
        "uses": 1,
        "expireTime": stand.clock.at(100),
        "newSessionExpireTime": stand.clock.at(60),
        "bidiGenerateContentSetup": SETUP,
    }
    stand.post(good)
    assert [mint.body for mint in stand.gemini.minted()] == [good]
    assert stand.post({k: v for k, v in (good | change).items() if v is not None})[0] == 200
    with pytest.raises(AssertionError):
        stand.gemini.minted()


# --- the server ------------------------------------------------------------------------------


def test_it_listens_on_the_loopback_address_alone(stand: Stand) -> None:
    for url in (stand.server.url, stand.server.tls_url):
        assert urlsplit(url).hostname == "127.0.0.1"
    for host in ("0.0.0.0", "", "::", "localhost"):
        with pytest.raises(ValueError, match="alone"):
            Server(stand.gemini.app, host=host)


def test_a_stopped_server_leaves_nothing_behind(tls: Certificate) -> None:
    before = set(threading.enumerate())
    stand = Stand(tls)

    def hung() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            stand.raw({})

    with ExitStack() as stack:
        stand.server.start()
        stand.behaviour.delay = 30
        caller = threading.Thread(target=hung)
        caller.start()
        assert eventually(lambda: len(stand.gemini.mints) == 1)
        stand.behaviour.delay = 0
        port = urlsplit(stand.server.url).port
        ws = stack.enter_context(opened(stand, stand.token()))
        begun = time.monotonic()
        stand.server.stop()
        assert time.monotonic() - begun < 2
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=5)
        caller.join(5)
    assert eventually(lambda: set(threading.enumerate()) <= before)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port or 0), 1).close()
    with pytest.raises(RuntimeError):
        _ = stand.server.url


def test_a_taken_port_is_an_error(stand: Stand) -> None:
    port = urlsplit(stand.server.url).port
    with pytest.raises(OSError):
        Server(stand.gemini.app, plain=port).start()


def test_it_can_be_mounted_in_another_app(stand: Stand) -> None:
    app = Starlette(routes=[Mount("/", stand.gemini.app)])
    stand.server.stop()
    stand.server = Server(app)
    with stand.server:
        for slash in ("/", "//"):
            with stand.socket(stand.token(), slash=slash) as ws:
                assert words(turn(ws, {"setup": {}}, hello())) == ["I heard: hello (turn 1)"]
