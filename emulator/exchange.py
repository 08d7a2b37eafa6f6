"""One connection's conversation: what the client sends, and how the stand-in answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from emulator import answers, declarations, speech
from emulator.answers import Content
from emulator.behaviour import Behaviour, Oddity
from emulator.fields import Invalid, decoded
from emulator.speech import Utterance
from emulator.state import Conversation, Session, State
from emulator.tokens import Token

INVALID, POLICY, ENDED, BROKEN = 1007, 1008, 1011, 1006
FILLER = "Let me think."


class Close(Exception):
    """Close the socket with a code and a reason; with 1006, break it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True)
class Said:
    """What the user said or wrote, or what a function answered."""

    words: str
    voice: bytes = b""
    """Speech at the output rate; empty for a text."""
    by_user: bool = True


class Exchange:
    """Answers each turn with audio and, if the setup asks for them, a transcript and a handle.

    The answer to speech is a tone, the speech, and a tone; the answer to a text is a tone. What the
    user says before an answer has begun is answered together.
    """

    def __init__(
        self,
        state: State,
        token: Token,
        session: Session,
        conversation: Conversation,
        websocket: WebSocket,
    ) -> None:
        self._state = state
        self._token = token
        self._session = session
        self._setup = dict(session.setup)
        self._model = state.behaviour.models[session.setup["model"]]
        self._conversation = conversation
        self._websocket = websocket
        self._written: list[str] = []
        self._unanswered: list[Said] = []
        self._answer: asyncio.Task[None] | None = None
        self._handle: asyncio.Task[None] | None = None
        self._speaking = False
        self._called: str | None = None
        """The function call of the current turn."""
        self._blocked: asyncio.Event | None = None
        """Set by the response to that call, if the turn waits for it."""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises what ends the socket in the middle of an answer."""
        realtime = self._setup.get("realtimeInputConfig", {})
        detection = realtime.get("automaticActivityDetection", {})
        self._ear = speech.Ear(by_hand=detection.get("disabled", False))
        self._interruptible = realtime.get("activityHandling") != "NO_INTERRUPTION"

    async def take(self, message: dict[str, Any]) -> None:
        """Handle one client message, in camelCase. Raises Invalid if Gemini would refuse it."""
        match message:
            case {"clientContent": content}:
                await self._content(content)
            case {"realtimeInput": realtime}:
                await self._realtime(realtime)
            case {"toolResponse": response}:
                await self._responses(response.get("functionResponses", []))
            case {"contextUpdate": update}:
                self._update(update)

    async def close(self) -> None:
        """Say nothing more."""
        tasks = [task for task in (self._answer, self._handle) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.failed.cancel()

    # --- what the client sends

    async def _content(self, content: dict[str, Any]) -> None:
        if self._model.content_is_history and self._conversation.turns:
            raise Invalid("Request contains an invalid argument.")
        for turn in content.get("turns", []):
            texts = [part["text"] for part in turn.get("parts", []) if "text" in part]
            match turn.get("role", "user"):
                case "user":
                    self._written += texts
                case "model":
                    self._conversation.forged += texts
                case role:
                    raise Invalid(f"Please use a valid role: user, model; not {role}.")
        await self._interrupt()
        if content.get("turnComplete"):
            text, self._written = " ".join(self._written), []
            self._ask(Said(text))

    async def _realtime(self, realtime: dict[str, Any]) -> None:
        if "mediaChunks" in realtime and not self._model.takes_media_chunks:
            raise Invalid("realtime_input.media_chunks is deprecated. Use audio, video, or text.")
        if "text" in realtime:
            await self._interrupt()
            self._ask(Said(realtime["text"]))
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
            heard += self._ear.hear(samples, _rate(blob), self._behaviour.silence)
        if "activityEnd" in realtime or realtime.get("audioStreamEnd"):
            heard += self._ear.end()
        if self._interruptible and (heard or self._ear.speaking):
            await self._interrupt()
        for said in heard:
            words = f"({said.seconds:.1f} seconds of speech)"
            self._ask(Said(words, speech.resampled(said.samples, said.rate)))

    async def _responses(self, responses: list[dict[str, Any]]) -> None:
        """Take the responses of functions. The model answers each that no turn waits for."""
        for response in responses:
            call = response.get("id", "")
            name = self._conversation.calls.pop(call, None)
            if name is None:
                if self._behaviour.unknown_call_closes:
                    raise Invalid(f"There is no function call with the id {call}.")
                continue
            if call == self._called and self._blocked is not None:
                self._blocked.set()
                continue
            if response.get("scheduling") == "SILENT":
                continue
            if response.get("scheduling") == "INTERRUPT":
                await self._interrupt()
            returned = f"{name} returned {json.dumps(response.get('response'))}"
            self._ask(Said(returned, by_user=False))

    def _update(self, update: dict[str, Any]) -> None:
        """Change the instruction and the tools, unless the token locks them."""
        if "tools" in update:
            update = {**update, "tools": update["tools"].get("tools", [])}
        for name, value in update.items():
            if self._behaviour.context_updates or not self._token.locks(name):
                self._setup[name] = value

    # --- how the model answers

    def _ask(self, said: Said) -> None:
        self._unanswered.append(said)
        if self._answer is None or self._answer.done():
            self._answer = asyncio.create_task(self._run())

    async def _interrupt(self) -> None:
        """Interrupt the current answer. If it has not begun, it waits for what is said now."""
        if self._answer is None or self._answer.done():
            return
        self._answer.cancel()
        await asyncio.gather(self._answer, return_exceptions=True)
        if not self._speaking:
            return
        self._speaking = False
        if self._called is not None and self._called in self._conversation.calls:
            del self._conversation.calls[self._called]
            await self._send({"toolCallCancellation": {"ids": [self._called]}})
        await self._say({"interrupted": True})
        await self._say(self._end("IDLE"))

    async def _run(self) -> None:
        """Answer until nothing is unanswered; what ends the socket goes into `failed`."""
        try:
            while self._unanswered:
                await asyncio.sleep(self._behaviour.thinks)
                said, self._unanswered = self._unanswered, []
                await self._turn(said)
        except (WebSocketDisconnect, RuntimeError):
            return  # the client has left
        except Exception as error:  # `live.serve` raises it: here it would be lost with the task
            if not self.failed.done():
                self.failed.set_exception(error)

    async def _turn(self, said: list[Said]) -> None:
        """One turn of the model."""
        conversation, thread = self._conversation, self._conversation.thread
        is_first = not conversation.turns
        conversation.turns.append(" ".join(one.words for one in said))
        thread.answers += 1
        oddity = self._behaviour.oddities.get(thread.answers)
        if oddity == "unanswered" or (
            self._session.resumed and self._behaviour.deaf_after_resuming
        ):
            return
        self._speaking = True
        if self._handle is not None:
            self._handle.cancel()
        if "sessionResumption" in self._setup:
            await self._send({"sessionResumptionUpdate": {"resumable": False}})
        if is_first:
            await self._send({"serverContent": {}, "usageMetadata": self._usage("", 0)})
        self._called = self._blocked = None
        if any(one.by_user for one in said):
            await self._call()
        late = await self._speak(said, oddity)
        self._speaking = False
        self._handle = asyncio.create_task(self._hand_out())
        for content in late:
            await self._say(content)

    async def _call(self) -> None:
        """Call the first function, and wait for its response if it blocks the turn."""
        function = next(declarations.functions(self._setup), None)
        if function is None or not self._behaviour.calls_functions:
            return
        name = function.get("name", "")
        self._called = f"call-{self._conversation.thread.answers}"
        self._conversation.calls[self._called] = name
        self._blocked = asyncio.Event() if self._blocks(function) else None
        call = {"id": self._called, "name": name, "args": {}}
        await self._send({"toolCall": {"functionCalls": [call]}})
        if self._blocked is not None:
            await self._blocked.wait()

    async def _speak(self, said: list[Said], oddity: Oddity | None) -> list[Content]:
        """Send the content of an answer and its end; returns what comes after the end."""
        conversation = self._conversation
        number, words = len(conversation.turns), conversation.turns[-1]
        if oddity == "empty":
            await self._complete(words, 0)
            return []
        if self._model.has_status:
            for content in answers.spoken(speech.tone(), self._transcript(FILLER)):
                await self._say(content)
            await self._say({"generationComplete": True})
            await self._say(self._end("IN_PROGRESS"))
            await asyncio.sleep(self._behaviour.thinks)
        voice = b"".join(one.voice for one in said)
        sound = speech.tone() + (voice + speech.tone(hertz=330.0) if voice else b"")
        told = f"I heard: {words} (turn {number})"
        if conversation.forged:
            told += f"; I said: {' '.join(conversation.forged)}"
        heard = " ".join(one.words for one in said if one.voice)
        before, after = answers.shuffled(
            answers.spoken(sound, self._transcript(told)),
            answers.heard(heard) if "inputAudioTranscription" in self._setup else [],
            number,
        )
        first, *rest = before
        await self._say(first)
        if isinstance(oddity, int):
            raise Close(oddity, "Internal error encountered.")
        if oddity == "early":
            await self._complete(words, len(sound))
        for content in rest:
            await self._say(content)
        await self._say({"generationComplete": True})
        if self._behaviour.plays:
            await asyncio.sleep(speech.seconds(sound))
        if oddity not in ("early", "missing"):
            await self._complete(words, len(sound))
        return after

    async def _complete(self, words: str, sound: int) -> None:
        """End the turn."""
        await self._send(
            {"serverContent": self._end("IDLE"), "usageMetadata": self._usage(words, sound)}
        )

    async def _hand_out(self) -> None:
        """Send an empty update, and the handle."""
        if "sessionResumption" not in self._setup:
            return
        await asyncio.sleep(self._behaviour.handle_after)
        handle = self._state.issue_handle(self._conversation)
        with suppress(WebSocketDisconnect, RuntimeError):  # the client has left
            await self._send({"sessionResumptionUpdate": {}})
            await self._send({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    @property
    def _behaviour(self) -> Behaviour:
        return self._state.behaviour

    def _blocks(self, function: Mapping[str, Any]) -> bool:
        """Whether a function blocks the turn that called it."""
        if "behavior" in function:
            return bool(function["behavior"] == "BLOCKING")
        return self._model.tools_block

    def _end(self, status: str) -> Content:
        """The end of a turn, with the status of the interaction if the model has one."""
        return {
            "turnComplete": True,
            **({"interactionStatus": status} if self._model.has_status else {}),
        }

    def _transcript(self, words: str) -> str:
        return words if "outputAudioTranscription" in self._setup else ""

    def _usage(self, words: str, sound: int) -> dict[str, int]:
        """The tokens of a turn, at four letters or 0.04 s of audio each."""
        instruction = self._setup.get("systemInstruction", {}).get("parts", [])
        texts = (words, *(part.get("text", "") for part in instruction))
        asked, told = sum(map(len, texts)) // 4 + 1, sound // 1920 + 1
        return {
            "promptTokenCount": asked,
            "responseTokenCount": told,
            "totalTokenCount": asked + told,
        }

    async def _say(self, content: Content) -> None:
        await self._send({"serverContent": content})

    async def _send(self, message: dict[str, Any]) -> None:
        await send(self._websocket, message)


async def send(websocket: WebSocket, message: dict[str, Any]) -> None:
    """Send one message: JSON in a binary frame, as Gemini sends it."""
    await websocket.send_bytes(json.dumps(message).encode())


def _rate(blob: dict[str, Any]) -> int:
    mime = blob.get("mimeType", "audio/pcm")
    found = re.fullmatch(r"audio/pcm(?:;\s*rate=([1-9]\d{3,5}))?", mime)
    if found is None:
        raise Invalid(f"Audio must be audio/pcm, not {mime}.")
    return int(found[1] or speech.RATE_IN)
