"""A Live session that a hostile client opens, and how it shows whose setup it has.

The model's answer alone proves nothing. If Gemini used the client's setup and not the policy's, the
protocol shows it: Gemini refuses the session (the model does not exist, the modality is not
supported), transcripts, resumption or calls differ, or the prompt is longer than the policy's can be.
"""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import websockets
from google import genai
from google.genai import types
from google.genai.errors import APIError
from google.genai.live import AsyncSession

from livetoken.cli.smoke.table import CheckFailed
from livetoken.constraint import SETUP
from livetoken.policy import Profile

FUNCTION = "livetoken_smoke"
"""A function that the hostile setup declares. If the model calls it, the lock does not hold."""

SAID = f"Say hello. If you have the function {FUNCTION}, call it first."

NO_MODEL = "models/livetoken-smoke-no-such-model"

SEEN = {
    "output_audio_transcription": "a transcript",
    "session_resumption": "a handle to resume by",
}
"""Fields of the config that make a session send something, and what."""

AFTER_TURN = 2.0
"""Seconds in which a transcript or a handle may still come. Their order is not promised."""

_WORDS = ("rutabaga", "samovar", "ocarina", "kumquat", "zeppelin", "marzipan", "bassoon")
_REPEATED = 3000  # times, each of three tokens or more
_MARGIN = 3000  # tokens that Gemini itself may add to a prompt
_REFUSALS = (1007, 1008, 1011)
_RATE = re.compile(r"rate=([1-9][0-9]{2,5})")


class Closed(Exception):
    """Gemini ended the session or refused to start it, with a code and a reason."""

    def __init__(self, code: int, reason: str, *, opened: bool) -> None:
        super().__init__(f"{'closed' if opened else 'refused'} with {code}: {reason}")
        self.opened = opened
        self.is_refusal = (
            code in _REFUSALS or 400 <= code < 500 or 4000 <= code < 5000
        ) and not opened


@dataclass
class Heard:
    """What one session sent."""

    opened: bool = False
    turn_complete: bool = False
    seconds: float = 0.0
    """Of audio."""
    text: str = ""
    """Text of the model that is neither a transcript nor a thought."""
    transcript: str = ""
    seen: set[str] = field(default_factory=set)
    """The fields in `SEEN` that the session has shown."""
    handle: str | None = None
    called: list[str] = field(default_factory=list)
    prompt_tokens: int | None = None
    """Of the first answer, so that nothing that the model looked up counts."""

    def take(self, message: types.LiveServerMessage) -> None:
        """Add a message."""
        content = message.server_content
        parts = content.model_turn.parts if content and content.model_turn else None
        for part in parts or ():
            blob = part.inline_data
            if blob and (blob.mime_type or "").startswith("audio/"):
                rate = _RATE.search(blob.mime_type or "")
                self.seconds += len(blob.data or b"") / 2 / int(rate[1] if rate else 24_000)
            elif part.text and not part.thought:
                self.text += part.text
        if content and content.output_transcription:
            self.seen.add("output_audio_transcription")
            self.transcript += content.output_transcription.text or ""
        update = message.session_resumption_update
        if update and update.new_handle:
            self.seen.add("session_resumption")
            self.handle = update.new_handle
        calls = message.tool_call.function_calls if message.tool_call else None
        self.called += [call.name or "" for call in calls or ()]
        if message.usage_metadata and self.prompt_tokens is None:
            self.prompt_tokens = message.usage_metadata.prompt_token_count
        self.turn_complete |= bool(content and content.turn_complete)

    def __str__(self) -> str:
        said = " ".join((self.transcript or self.text).split())
        what = [f"{self.seconds:.1f} s of audio"] if self.seconds else []
        what += [f"“{said if len(said) <= 40 else said[:39] + '…'}”"] if said else []
        what += [f"a call of {name}" for name in self.called]
        return ", ".join(what) or "nothing"


class Expected:
    """What a profile's tokens are locked to, and the setup of a client that wants the opposite.

    Args:
        config: the profile's config, as written in the policy.
    """

    def __init__(self, profile: Profile, config: Mapping[str, Any]) -> None:
        self.profile = profile
        self.config = config
        self.model: str = profile.body[SETUP]["model"]
        setup = json.dumps(profile.body[SETUP])
        self._word = secrets.choice([word for word in _WORDS if word not in setup.lower()])
        claims = sum(claim.max_length for claim in profile.claims)
        self._most_tokens = len(setup.encode()) + 4 * claims + len(SAID) + _MARGIN  # 1 a byte

    @property
    def own(self) -> types.LiveConnectConfig:
        """The policy's config, as an honest client sends it."""
        return types.LiveConnectConfig.model_validate_json(json.dumps(self.config))

    @property
    def hostile(self) -> types.LiveConnectConfig:
        """The opposite of the policy in every locked field, set or not."""
        functions = [{"name": FUNCTION, "description": "Call it before you say anything."}]
        opposite = {
            "response_modalities": ["TEXT"] if self._speaks else ["AUDIO"],
            "temperature": 2.0,
            "system_instruction": f"Say {self._word}. " * _REPEATED,
            "tools": [{"function_declarations": functions}],
            **{
                name: {} for name in (*SEEN, "input_audio_transcription") if name not in self.config
            },
        }
        left = self.profile.client_may_set
        return types.LiveConnectConfig.model_validate(
            {name: value for name, value in opposite.items() if name not in left}
        )

    def differences(self, heard: Heard) -> Iterator[str]:
        """Yield how a hostile session differs from the policy."""
        config, left = self.config, self.profile.client_may_set
        if FUNCTION in heard.called:
            yield "the client's function was called"
        elif heard.called or self._may_be_silent:
            pass
        elif self._speaks and not heard.seconds:
            yield "no audio came"
        elif not self._speaks and not heard.text:
            yield "no text came"
        for name, what in SEEN.items():
            if name in left or (name in config) == (name in heard.seen):
                continue
            if name in heard.seen:
                yield f"{what} came, and the policy has no {name}"
            elif not heard.called and not self._may_be_silent:
                yield f"no {what.partition(' ')[2]} came, and the policy has {name}"
        if self._word in (heard.transcript + heard.text).lower():
            yield "the client's instruction was followed"
        elif (heard.prompt_tokens or 0) > self._most_tokens:
            yield f"the prompt has {heard.prompt_tokens} tokens, more than the policy's can have"

    def awaits_more(self, heard: Heard) -> bool:
        """Whether something that matters may still come after the turn."""
        left = self.profile.client_may_set
        return any(name not in heard.seen and name not in left for name in SEEN)

    @property
    def _speaks(self) -> bool:
        return "AUDIO" in self.config["response_modalities"]

    @property
    def _may_be_silent(self) -> bool:
        return bool(self.config.get("proactivity", {}).get("proactive_audio"))


async def converse(
    grant: Mapping[str, str], expected: Expected, heard: Heard, seconds: float
) -> None:
    """Open a session with a hostile setup, say something, and wait for the whole answer.

    Args:
        grant: the function's answer.
        heard: collects what the session sends.
        seconds: for the whole session.

    Raises:
        Closed: Gemini refuses the session or ends it.
        CheckFailed: the turn did not complete for another reason.
    """
    turn = types.Content(role="user", parts=[types.Part(text=SAID)])
    with _in_words(heard, seconds):
        async with asyncio.timeout(seconds), _session(grant, NO_MODEL, expected.hostile) as session:
            heard.opened = True
            await session.send_client_content(turns=turn, turn_complete=True)
            await _listen(session, heard)
            heard.turn_complete = True
            with suppress(TimeoutError):
                async with asyncio.timeout(AFTER_TURN):
                    while expected.awaits_more(heard):
                        await _listen(session, heard)


async def open_as_the_policy(grant: Mapping[str, str], expected: Expected, seconds: float) -> None:
    """Open a session with the policy's own setup, and close it.

    Raises:
        Closed: Gemini refuses the session.
        CheckFailed: the session failed for another reason.
    """
    heard = Heard()
    with _in_words(heard, seconds):
        async with asyncio.timeout(seconds), _session(grant, expected.model, expected.own):
            heard.opened = heard.turn_complete = True


async def _listen(session: AsyncSession, heard: Heard) -> None:
    """Listen until the turn ends, or until a call, which is not answered."""
    async for message in session.receive():
        heard.take(message)
        if heard.called:
            return


@asynccontextmanager
async def _session(
    grant: Mapping[str, str], model: str, config: types.LiveConnectConfig
) -> AsyncIterator[AsyncSession]:
    """Open a session with a token. The SDK connects only by `wss`."""
    base = grant["webSocketUrl"].removeprefix("wss://").partition("/ws/")[0]
    options = types.HttpOptions(api_version=grant["apiVersion"], base_url=f"https://{base}")
    client = genai.Client(api_key=grant["name"], vertexai=False, http_options=options)
    async with client.aio.live.connect(model=model, config=config) as session:
        if session.setup_complete is None:
            raise CheckFailed("the first message of the session was not setupComplete")
        yield session


@contextmanager
def _in_words(heard: Heard, seconds: float) -> Iterator[None]:
    """Turn every error that ends a session early into `Closed` or `CheckFailed`."""
    try:
        yield
    except (CheckFailed, Closed):
        raise
    except APIError as error:
        raise Closed(error.code, str(error.details), opened=heard.opened) from None
    except websockets.ConnectionClosed as error:
        end = error.rcvd
        code, reason = (end.code, end.reason) if end else (1006, "the connection was lost")
        raise Closed(code, reason, opened=heard.opened) from None
    except websockets.InvalidStatus as error:
        status = error.response.status_code
        raise Closed(status, "no socket at all", opened=False) from None
    except TimeoutError:
        if heard.turn_complete:
            return  # only the close was late
        what = (
            f"opened, {heard} received, but the turn did not end" if heard.opened else "no session"
        )
        raise CheckFailed(f"{what} within {seconds:g} s") from None
    except (OSError, websockets.WebSocketException) as error:
        raise CheckFailed(f"no session: {str(error) or type(error).__name__}") from None
    except Exception as error:  # the SDK raises many kinds, whose texts quote messages
        raise CheckFailed(f"google-genai failed on a message: {type(error).__name__}") from None
