"""A client of Gemini Live in Python, with one session at a time, controlled by standard input.

    live_in_python.py (google-genai | websocket)

Steps and results are lines of JSON; live.mjs has the same steps in JavaScript.
"""

import asyncio
import base64
import json
import sys
import traceback
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Protocol

from google import genai
from google.genai import types
from google.genai.errors import APIError, ExperimentalWarning
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Answer = dict[str, Any]
DEADLINE = 15.0
"""Seconds after which a step fails."""


class Session(Protocol):
    """A session, with the SDK or a plain WebSocket."""

    async def say(self, text: str) -> None: ...

    async def speak(self, samples: bytes) -> None: ...

    def messages(self) -> AsyncIterator[Answer]:
        """All messages, in camelCase; raises Ended at the end."""
        ...


class Ended(Exception):
    """Gemini closed or refused the session; `told` is the SDK's message."""

    def __init__(self, code: int, reason: str, told: str = "") -> None:
        super().__init__(code, reason)
        self.closed: Answer = {"code": code, "reason": reason}
        self.told = told


Open = Callable[[Answer, str, Answer], AbstractAsyncContextManager[Session]]
"""Opens a session with a token, a model and a config. Raises Ended if it is refused."""


class ByGenai:
    """A session with google-genai."""

    def __init__(self, session: genai.live.AsyncSession) -> None:
        self._session = session

    async def say(self, text: str) -> None:
        await self._session.send_realtime_input(text=text)

    async def speak(self, samples: bytes) -> None:
        blob = types.Blob(data=samples, mime_type="audio/pcm;rate=16000")
        await self._session.send_realtime_input(audio=blob)

    async def messages(self) -> AsyncIterator[Answer]:
        try:
            while True:
                async for message in self._session.receive():
                    yield message.model_dump(mode="json", by_alias=True, exclude_none=True)
        except APIError as error:
            raise Ended(error.code, error.details) from None

    @classmethod
    @asynccontextmanager
    async def open(cls, token: Answer, model: str, config: Answer) -> AsyncIterator[Session]:
        host = token["webSocketUrl"].partition("://")[2].partition("/ws/")[0]
        options = types.HttpOptions(
            api_version=token["apiVersion"],
            base_url=f"https://{host}",
            async_client_args={"ping_interval": None},
        )
        client = genai.Client(api_key=token["name"], http_options=options)
        asked = types.LiveConnectConfig.model_validate(config)
        connecting = client.aio.live.connect(model=model, config=asked)
        try:
            session = await connecting.__aenter__()
        except APIError as error:
            raise Ended(error.code, error.details, f"{type(error).__name__}: {error}") from None
        try:
            yield cls(session)
        finally:
            await connecting.__aexit__(None, None, None)


class BySocket:
    """A session with a plain WebSocket and the token in a header."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def say(self, text: str) -> None:
        await self.send({"realtimeInput": {"text": text}})

    async def speak(self, samples: bytes) -> None:
        data = base64.b64encode(samples).decode()
        audio = {"mimeType": "audio/pcm;rate=16000", "data": data}
        await self.send({"realtimeInput": {"audio": audio}})

    async def send(self, message: Answer) -> None:
        await self._socket.send(json.dumps(message))

    async def messages(self) -> AsyncIterator[Answer]:
        try:
            while True:
                yield json.loads(await self._socket.recv())
        except ConnectionClosed as end:
            raise Ended(*((end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, ""))) from None

    @classmethod
    @asynccontextmanager
    async def open(cls, token: Answer, model: str, config: Answer) -> AsyncIterator[Session]:
        header = {"Authorization": f"Token {token['name']}"}
        async with connect(
            token["webSocketUrl"], additional_headers=header, ping_interval=None
        ) as socket:
            session = cls(socket)
            generation = {k: v for k, v in config.items() if k != "systemInstruction"}
            setup: Answer = {"model": model, "generationConfig": generation}
            if "systemInstruction" in config:
                setup["systemInstruction"] = {"parts": [{"text": config["systemInstruction"]}]}
            await session.send({"setup": setup})
            assert await anext(session.messages()) == {"setupComplete": {}}
            yield session


class Live:
    """The steps."""

    def __init__(self, way: Open) -> None:
        self._way = way
        self._opened = AsyncExitStack()

    async def open(self, token: Answer, config: Answer, model: str | None = None) -> Answer:
        opening = self._way(token, model or token["model"], config)
        try:
            self._session = await self._opened.enter_async_context(opening)
        except Ended as refused:
            return {"refused": refused.closed, "rejected": refused.told}
        self._messages = self._session.messages()
        return {}

    async def say(self, text: str) -> Answer:
        await self._session.say(text)
        return await self._hear()

    async def write(self, text: str) -> Answer:
        await self._session.say(text)
        return {}

    async def speak(self, chunks: list[str]) -> Answer:
        for chunk in chunks:
            await self._session.speak(base64.b64decode(chunk))
        return await self._hear()

    async def warned(self) -> Answer:
        while True:
            message = await anext(self._messages)
            if "goAway" in message:
                told: Answer = message["goAway"]
                return told

    async def ended(self) -> Answer:
        try:
            async for _ in self._messages:
                pass
        except Ended as end:
            await self.close()
            return end.closed
        raise AssertionError("messages always end with Ended")

    async def close(self) -> Answer:
        with suppress(Ended):
            await self._opened.aclose()
        return {}

    async def _hear(self) -> Answer:
        audio, words = [], ""
        async for message in self._messages:
            content = message.get("serverContent", {})
            for part in content.get("modelTurn", {}).get("parts", []):
                audio.append(part["inlineData"]["data"])
            words += content.get("outputTranscription", {}).get("text", "")
            update = message.get("sessionResumptionUpdate", {})
            if update.get("resumable") and "newHandle" in update:
                return {"audio": audio, "words": words, "handle": update["newHandle"]}
        raise AssertionError("messages always end with Ended")


async def serve(live: Live) -> None:
    """Take one step per line until the input ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        step = getattr(live, asked.pop("step"))
        try:
            async with asyncio.timeout(DEADLINE):
                result = await step(**asked)
        except Exception:  # the test shows it
            result = {"failed": traceback.format_exc()}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore", ExperimentalWarning)
    asyncio.run(
        serve(Live({"google-genai": ByGenai.open, "websocket": BySocket.open}[sys.argv[1]]))
    )
