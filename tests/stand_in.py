"""A running stand-in for Gemini, and helpers for its tests."""

from __future__ import annotations

import array
import asyncio
import base64
import http.client
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from google import genai
from google.genai import errors, types
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from emulator.clock import Clock
from emulator.gemini import Behaviour, Gemini
from emulator.server import Server
from emulator.tls import Certificate

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


class MovingClock(Clock):
    """A clock that tests move forward."""

    def advance(self, seconds: float) -> None:
        self.by += timedelta(seconds=seconds)

    def at(self, seconds: float) -> str:
        """The time in some seconds, in RFC 3339."""
        return (self() + timedelta(seconds=seconds)).isoformat()


class StandIn:
    """A running stand-in, and ways to call it."""

    def __init__(self, certificate: Certificate) -> None:
        self.clock = MovingClock()
        self.behaviour = Behaviour(api_key=KEY)
        self.gemini = Gemini(self.behaviour, self.clock)
        self.server = Server(self.gemini.app, tls=0, certificate=certificate)

    def post(
        self, body: Any, version: str = "v1alpha", key: str | None = KEY, query: str = ""
    ) -> tuple[int, Any]:
        """Mint once; returns the status and the parsed answer."""
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
        """Mint a token over REST, and return its name."""
        whole = {"uses": 1, "bidiGenerateContentSetup": setup, **body}
        status, answer = self.post({k: v for k, v in whole.items() if v is not None})
        assert status == 200, answer
        return str(answer["name"])

    def sdk(self, key: str, version: str = "v1alpha") -> genai.Client:
        options = types.HttpOptions(base_url=self.server.tls_url, api_version=version)
        return genai.Client(api_key=key, http_options=options)

    def talk(self, token: str, text: str = "hello", config: Any = None, **of: Any) -> list[Any]:
        """Run a session with the SDK: one turn. Returns all messages."""

        async def session() -> list[Any]:
            live = self.sdk(token, of.pop("version", "v1alpha")).aio.live
            async with live.connect(model=of.pop("model", MODEL), config=config or AUDIO) as it:
                await it.send_client_content(
                    turns=types.Content(role="user", parts=[types.Part(text=text)])
                )
                return [message async for message in it.receive()]

        return asyncio.run(session())

    def refusal(self, token: str, config: Any = None, **of: Any) -> int:
        """The close code of a session that the SDK cannot open."""
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
        """Open a socket as JavaScript does."""
        base = self.server.url.replace("http", "ws")
        path = f"{slash}ws/google.ai.generativelanguage.{version}.GenerativeService.{method}"
        return connect(base + path + (f"?access_token={token}" if token else ""), open_timeout=5)

    def closed(self, ws: ClientConnection, *messages: Any) -> int:
        """Send messages, and return the code with which the socket closes."""
        for message in messages:
            ws.send(message if isinstance(message, str | bytes) else json.dumps(message))
        with pytest.raises(ConnectionClosed) as end:
            while True:
                ws.recv(timeout=5)
        assert end.value.rcvd is not None
        return end.value.rcvd.code


def setup(**changes: Any) -> dict[str, Any]:
    return {**SETUP, **changes}


def message(ws: ClientConnection) -> dict[str, Any]:
    """The next server message, which must be JSON in a binary frame."""
    frame = ws.recv(timeout=5)
    assert isinstance(frame, bytes)
    found: dict[str, Any] = json.loads(frame)
    return found


def turn(ws: ClientConnection, *sent: Any) -> list[dict[str, Any]]:
    """Send messages, and return the answers up to the end of the turn."""
    for item in sent:
        ws.send(json.dumps(item))
    got = [message(ws)]
    while "turnComplete" not in got[-1].get("serverContent", {}):
        got.append(message(ws))
    return got


@contextmanager
def opened(stand_in: StandIn, token: str, client: Any = None) -> Iterator[ClientConnection]:
    """A socket after its setupComplete."""
    with stand_in.socket(token) as ws:
        ws.send(json.dumps({"setup": client if client is not None else {"model": MODEL}}))
        assert message(ws) == {"setupComplete": {}}
        yield ws


def start(stand_in: StandIn, token: str, client: Any = None) -> None:
    """Start one session, and close it."""
    with opened(stand_in, token, client):
        pass


def sound(messages: list[dict[str, Any]]) -> bytes:
    parts = [m.get("serverContent", {}).get("modelTurn", {}).get("parts", []) for m in messages]
    return b"".join(base64.b64decode(p["inlineData"]["data"]) for some in parts for p in some)


def words(messages: list[dict[str, Any]], which: str = "outputTranscription") -> list[str]:
    found = [m.get("serverContent", {}).get(which) for m in messages]
    return [one["text"] for one in found if one]


def said(messages: list[Any]) -> str:
    """The transcript of the answer that the SDK received."""
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
