"""One conversation: what the client sends, and how the stand-in answers."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from starlette.websockets import WebSocket

from emulator import speech
from emulator.fields import Invalid, decoded
from emulator.speech import Utterance
from emulator.state import Conversation, State
from emulator.tokens import Setup

CHUNK = speech.RATE_OUT * 2 // 5  # bytes: 0.2 s of audio a message


class Exchange:
    """Answers each turn with audio and, if the setup asks for them, a transcript and a handle.

    The answer to speech is a tone, the speech, and a tone; the answer to a text is a tone.
    """

    def __init__(
        self, state: State, setup: Setup, conversation: Conversation, websocket: WebSocket
    ) -> None:
        self._state = state
        self._setup = setup
        self._conversation = conversation
        self._websocket = websocket
        self._written: list[str] = []
        self._ending: asyncio.Task[None] | None = None
        """Ends the turn once its audio has been played."""
        realtime = setup.get("realtimeInputConfig", {})
        detection = realtime.get("automaticActivityDetection", {})
        self._ear = speech.Ear(by_hand=detection.get("disabled", False))
        self._interruptible = realtime.get("activityHandling") != "NO_INTERRUPTION"

    async def take(self, message: dict[str, Any]) -> None:
        """Handle one client message, in camelCase. Raises Invalid for audio it cannot read."""
        if "clientContent" in message:
            await self._content(message["clientContent"])
        elif "realtimeInput" in message:
            await self._realtime(message["realtimeInput"])

    async def close(self) -> None:
        """Stop playing."""
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.gather(self._ending, return_exceptions=True)

    async def _content(self, content: dict[str, Any]) -> None:
        await self._interrupt()
        self._written += [
            part["text"]
            for turn in content.get("turns", [])
            if turn.get("role", "user") == "user"
            for part in turn.get("parts", [])
            if "text" in part
        ]
        if content.get("turnComplete"):
            text, self._written = " ".join(self._written), []
            await self._answer(text, speech.tone())

    async def _realtime(self, realtime: dict[str, Any]) -> None:
        if "text" in realtime:
            await self._interrupt()
            await self._answer(realtime["text"], speech.tone())
        if "activityStart" in realtime:
            self._ear.start()
        blobs = [realtime["audio"]] if "audio" in realtime else []
        blobs += [
            blob
            for blob in realtime.get("mediaChunks", [])
            if blob.get("mimeType", "").startswith("audio/")
        ]
        heard: list[Utterance] = []
        for blob in blobs:
            samples = decoded(blob.get("data", ""))
            heard += self._ear.hear(samples, _rate(blob), self._state.behaviour.silence)
        if "activityEnd" in realtime or realtime.get("audioStreamEnd"):
            heard += self._ear.end()
        if self._interruptible and (heard or self._ear.speaking):
            await self._interrupt()
        for said in heard:
            await self._echo(said)

    async def _interrupt(self) -> None:
        """Interrupt the last answer if it is still being played."""
        if self._ending is not None and not self._ending.done():
            self._ending.cancel()
            self._ending = None
            await self._say({"interrupted": True})
            await self._say({"turnComplete": True})

    async def _echo(self, heard: Utterance) -> None:
        words = f"({heard.seconds:.1f} seconds of speech)"
        if "inputAudioTranscription" in self._setup:
            await self._say({"inputTranscription": {"text": words}})
        voice = speech.resampled(heard.samples, heard.rate)
        await self._answer(words, speech.tone() + voice + speech.tone(hertz=330.0))

    async def _answer(self, text: str, sound: bytes) -> None:
        if self._ending is not None:
            await self._ending
        turns = self._conversation.turns
        turns.append(text)
        function = next(self._functions(), None)
        if function is not None and self._state.behaviour.calls_functions:
            call: dict[str, Any] = {
                "id": f"call-{len(turns)}",
                "name": function.get("name"),
                "args": {},
            }
            await send(self._websocket, {"toolCall": {"functionCalls": [call]}})
            return
        for start in range(0, len(sound), CHUNK):
            data = base64.b64encode(sound[start : start + CHUNK]).decode()
            blob = {"mimeType": f"audio/pcm;rate={speech.RATE_OUT}", "data": data}
            await self._say({"modelTurn": {"parts": [{"inlineData": blob}], "role": "model"}})
        if "outputAudioTranscription" in self._setup:
            said = f"I heard: {text} (turn {len(turns)})"
            await self._say({"outputTranscription": {"text": said}})
        await self._say({"generationComplete": True})
        if "sessionResumption" in self._setup:
            handle = self._state.issue_handle(self._conversation)
            update = {"newHandle": handle, "resumable": True}
            await send(self._websocket, {"sessionResumptionUpdate": update})
        asked = sum(map(len, (text, *self._instructions()))) // 4 + 1
        said_tokens = len(sound) // 1920 + 1
        usage = {
            "promptTokenCount": asked,
            "responseTokenCount": said_tokens,
            "totalTokenCount": asked + said_tokens,
        }
        end = {"serverContent": {"turnComplete": True}, "usageMetadata": usage}
        if self._state.behaviour.plays:
            self._ending = asyncio.create_task(self._end(speech.seconds(sound), end))
        else:
            await send(self._websocket, end)

    async def _end(self, seconds: float, end: dict[str, Any]) -> None:
        """End a turn after the time that its audio takes to play."""
        await asyncio.sleep(seconds)
        await send(self._websocket, end)

    def _functions(self) -> Iterator[dict[str, Any]]:
        for tool in self._setup.get("tools", []):
            yield from tool.get("functionDeclarations", [])

    def _instructions(self) -> Iterator[str]:
        for part in self._setup.get("systemInstruction", {}).get("parts", []):
            yield part.get("text", "")

    async def _say(self, content: dict[str, Any]) -> None:
        await send(self._websocket, {"serverContent": content})


async def send(websocket: WebSocket, message: dict[str, Any]) -> None:
    """Send one message: JSON in a binary frame, as Gemini sends it."""
    await websocket.send_bytes(json.dumps(message).encode())


def _rate(blob: dict[str, Any]) -> int:
    mime = blob.get("mimeType", "audio/pcm")
    found = re.fullmatch(r"audio/pcm(?:;\s*rate=([1-9]\d{3,5}))?", mime)
    if found is None:
        raise Invalid(f"Audio must be audio/pcm, not {mime}.")
    return int(found[1] or speech.RATE_IN)
