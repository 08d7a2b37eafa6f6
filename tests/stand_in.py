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
from google.genai.live import AsyncSession
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
NO_UPDATE = types.LiveServerSessionResumptionUpdate()


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
        self.behaviour = Behaviour(api_key=KEY, thinks=0.05, handle_after=0.05)  # to be fast
        self.gemini = Gemini(self.behaviour, self.clock)
        self.server = Server(
            self.gemini.app,
            tls=0,
            certificate=certificate,
            pong_after=lambda: self.behaviour.pong_after,
        )

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

    def talk(
        self,
        token: str,
        text: str = "hello",
        config: Any = None,
        *,
        handle: bool = False,
        **of: Any,
    ) -> list[Any]:
        """The messages of a session with the SDK: one turn, and if `handle` the handle after it."""

        async def session() -> list[Any]:
            live = self.sdk(token, of.pop("version", "v1alpha")).aio.live
            async with live.connect(model=of.pop("model", MODEL), config=config or AUDIO) as it:
                await it.send_realtime_input(text=text)
                got = [message async for message in it.receive()]
                if handle:
                    got += await self._handle(it)
                return got

        return asyncio.run(session())

    @staticmethod
    async def _handle(session: AsyncSession) -> list[Any]:
        """The messages after a turn, up to its handle."""
        got = []
        async with asyncio.timeout(5):
            async for message in session.receive():
                got.append(message)
                if (message.session_resumption_update or NO_UPDATE).new_handle:
                    break
        return got

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


def parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of the model's turn in a message."""
    turn = message.get("serverContent", {}).get("modelTurn", {})
    found: list[dict[str, Any]] = turn.get("parts", [])
    return found


def sound(messages: list[dict[str, Any]]) -> bytes:
    """The audio in messages."""
    blobs = [part["inlineData"] for message in messages for part in parts(message)]
    return b"".join(base64.b64decode(blob["data"]) for blob in blobs)


def words(messages: list[dict[str, Any]], which: str = "outputTranscription") -> str:
    """A transcript, whose pieces are in several messages."""
    found = [m.get("serverContent", {}).get(which) for m in messages]
    return "".join(one["text"] for one in found if one)


def said(messages: list[Any]) -> str:
    """The transcript of the answer that the SDK received."""
    found = [m.server_content.output_transcription for m in messages if m.server_content]
    return "".join(one.text for one in found if one)


def handle_of(messages: list[Any]) -> str:
    """The handle that came last."""
    update = messages[-1].session_resumption_update
    assert update.resumable
    return str(update.new_handle)


def handle(ws: ClientConnection) -> str:
    """The next handle."""
    while not (update := message(ws).get("sessionResumptionUpdate", {})).get("newHandle"):
        pass
    assert update["resumable"] is True
    return str(update["newHandle"])


def hello(text: str = "hello") -> dict[str, Any]:
    turns = [{"role": "user", "parts": [{"text": text}]}]
    return {"clientContent": {"turns": turns, "turnComplete": True}}


def pcm(seconds: float, loud: bool = True) -> bytes:
    tone = (int(9000 * math.sin(n / 9)) if loud else 0 for n in range(int(16_000 * seconds)))
    return array.array("h", tone).tobytes()


def audio(samples: bytes) -> dict[str, Any]:
    data = base64.b64encode(samples).decode()
    return {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": data}}}


def text(words: str) -> dict[str, Any]:
    return {"realtimeInput": {"text": words}}


def content(message: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = message.get("serverContent", {})
    return found


def until(ws: ClientConnection, *names: str) -> list[dict[str, Any]]:
    """The messages up to the first that has one of these fields, at the top or in its content."""
    got = [message(ws)]
    while not {*got[-1], *content(got[-1])} & {*names}:
        got.append(message(ws))
    return got


def pinned(stand_in: StandIn, handle: str, **changes: Any) -> str:
    """A token that resumes, once no other connection has the session."""
    assert eventually(lambda: all(one.closed for one in stand_in.gemini.sessions))
    return stand_in.token(setup(sessionResumption={"handle": handle}, **changes))


def eventually(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 3
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()
