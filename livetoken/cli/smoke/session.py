"""A Live session that a hostile client opens, and how it shows whose setup it has.

The model's answer alone proves nothing. If Gemini used the client's setup and not the policy's, the
protocol shows it: Gemini refuses the session (the model does not exist, the modality is not
supported), transcripts, resumption or calls differ, or the prompt is longer than the policy's.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from textwrap import shorten
from typing import Any

import websockets
from google import genai
from google.genai import types
from google.genai.errors import APIError

from livetoken.cli.smoke.table import CheckFailed
from livetoken.constraint import SETUP
from livetoken.policy import Profile

FUNCTION = "livetoken_smoke"  # declared by the hostile setup: a call proves that it was used
SAID = f"Say hello. If you have the function {FUNCTION}, call it first."
NO_MODEL = "models/livetoken-smoke-no-such-model"
AFTER_TURN = 2.0  # seconds in which a transcript or a handle may still come, in any order

OPTIONAL = {"output_audio_transcription": "transcript", "session_resumption": "handle"}
"""What a session sends only if its config has a field, by that field."""

_BYTES_A_SECOND = 48_000  # of audio: 24 kHz, 16 bits
_WORDS = ("rutabaga", "samovar", "ocarina", "kumquat", "zeppelin", "marzipan", "bassoon")
_REPEATED = 3000  # times, each of three tokens or more
_MARGIN = 3000  # tokens that Gemini itself may add to a prompt


class SessionRefused(CheckFailed):
    """Gemini refused to start the session."""


@dataclass
class Heard:
    """What one session sent: seconds of audio, text that is neither a transcript nor a thought.

    `handle` resumes the session. `prompt_tokens` is that of the first answer, so that nothing that
    the model looked up counts.
    """

    opened: bool = False
    complete: bool = False
    seconds: float = 0.0
    text: str = ""
    transcript: str = ""
    handle: str | None = None
    called: list[str] = field(default_factory=list)
    prompt_tokens: int | None = None

    def take(self, message: types.LiveServerMessage) -> None:
        """Add a message."""
        content = message.server_content
        parts = content.model_turn.parts if content and content.model_turn else None
        for part in parts or ():
            blob = part.inline_data
            if blob and (blob.mime_type or "").startswith("audio/"):
                self.seconds += len(blob.data or b"") / _BYTES_A_SECOND
            elif part.text and not part.thought:
                self.text += part.text
        if content and content.output_transcription:
            self.transcript += content.output_transcription.text or ""
        if message.session_resumption_update:
            self.handle = message.session_resumption_update.new_handle or self.handle
        calls = message.tool_call.function_calls if message.tool_call else None
        self.called += [call.name or "" for call in calls or ()]
        if message.usage_metadata and self.prompt_tokens is None:
            self.prompt_tokens = message.usage_metadata.prompt_token_count

    def __str__(self) -> str:
        said = shorten(self.transcript or self.text, 40, placeholder="…")
        what = [f"{self.seconds:.1f} s of audio"] if self.seconds else []
        what += [f"“{said}”"] if said else []
        return ", ".join([*what, *(f"a call of {name}" for name in self.called)]) or "nothing"


class Expected:
    """What a profile's tokens are locked to, and the setup of a client that wants the opposite.

    `config` is the profile's, as written in the policy.
    """

    def __init__(self, profile: Profile, config: Mapping[str, Any]) -> None:
        self.profile = profile
        self.config = config
        self.lifetimes = [timedelta(seconds=n) for n in (profile.expires_in, profile.start_within)]
        self.model: str = profile.body[SETUP]["model"]
        self.locked = {k: what for k, what in OPTIONAL.items() if k not in profile.client_may_set}
        self._speaks = "AUDIO" in config["response_modalities"]
        setup = json.dumps(profile.body[SETUP])
        self._word = secrets.choice([word for word in _WORDS if word not in setup.lower()])
        claims = sum(claim.max_length for claim in profile.claims)
        self._most_tokens = len(setup.encode()) + 4 * claims + len(SAID) + _MARGIN  # 1 a byte

    @property
    def hostile(self) -> types.LiveConnectConfig:
        """The opposite of the policy in every locked field, set or not."""
        functions = [{"name": FUNCTION, "description": "Call it before you say anything."}]
        opposite = {
            "response_modalities": ["TEXT"] if self._speaks else ["AUDIO"],
            "temperature": 2.0,
            "system_instruction": f"Say {self._word}. " * _REPEATED,
            "tools": [{"function_declarations": functions}],
            **{k: {} for k in (*OPTIONAL, "input_audio_transcription") if k not in self.config},
        }
        left = self.profile.client_may_set
        return types.LiveConnectConfig.model_validate(
            {name: value for name, value in opposite.items() if name not in left}
        )

    def differences(self, heard: Heard) -> Iterator[str]:
        """Yield how a hostile session differs from the policy."""
        proactive = self.config.get("proactivity", {}).get("proactive_audio")
        must_answer = not proactive and not heard.called
        if FUNCTION in heard.called:
            yield "the client's function was called"
        if must_answer and not (heard.seconds if self._speaks else heard.text):
            yield f"no {'audio' if self._speaks else 'text'} came"
        for name, what in self.locked.items():
            came = bool(getattr(heard, what))
            if came and name not in self.config:
                yield f"a {what} came, and the policy has no {name}"
            if must_answer and not came and name in self.config:
                yield f"no {what} came, and the policy has {name}"
        if self._word in (heard.transcript + heard.text).lower():
            yield "the client's instruction was followed"
        elif (heard.prompt_tokens or 0) > self._most_tokens:
            yield f"the prompt has {heard.prompt_tokens} tokens, more than the policy's can have"


async def converse(
    grant: Mapping[str, str], expected: Expected, heard: Heard, seconds: float, *, hostile: bool
) -> None:
    """Open a session: with a hostile setup and a turn, or with the policy's own and no turn.

    Raises:
        SessionRefused: Gemini refuses the session.
        CheckFailed: the session fails, the turn does not end within `seconds`, or a hostile session
            is not the policy's.
    """
    own = types.LiveConnectConfig.model_validate_json(json.dumps(expected.config))
    model, config = (NO_MODEL, expected.hostile) if hostile else (expected.model, own)
    turn = types.Content(role="user", parts=[types.Part(text=SAID)])
    locked = expected.locked.values()
    base = grant["webSocketUrl"].removeprefix("wss://").partition("/ws/")[0]
    options = types.HttpOptions(api_version=grant["apiVersion"], base_url=f"https://{base}")
    try:
        client = genai.Client(api_key=grant["name"], vertexai=False, http_options=options)
        connection = client.aio.live.connect(model=model, config=config)
        async with asyncio.timeout(seconds) as deadline, connection as session:
            if session.setup_complete is None:
                raise CheckFailed("the first message of the session was not setupComplete")
            heard.opened, heard.complete = True, not hostile
            if not hostile:
                return
            await session.send_client_content(turns=turn, turn_complete=True)
            while not (heard.complete and all(getattr(heard, each) for each in locked)):
                async for message in session.receive():
                    heard.take(message)
                    if heard.called:  # it is not answered, so the turn may never end
                        break
                if not heard.complete:
                    heard.complete = True
                    deadline.reschedule(asyncio.get_running_loop().time() + AFTER_TURN)
    except Exception as error:  # `_failure` tells the kinds apart
        if not (isinstance(error, TimeoutError) and heard.complete):  # nothing more has to come
            raise _failure(error, heard, seconds) from None
    if differences := "; ".join(expected.differences(heard)) if hostile else "":
        raise CheckFailed(f"not the policy's session: {differences}. Received: {heard}")


def _failure(error: Exception, heard: Heard, seconds: float) -> CheckFailed:
    """Return the failure for an error that ended a session early."""
    match error:
        case CheckFailed():
            return error
        case TimeoutError():
            what = f"opened, {heard} received, but the turn did not end"
            return CheckFailed(f"{what if heard.opened else 'no session'} within {seconds:g} s")
        case APIError():
            code, reason = error.code, str(error.details)
        case websockets.ConnectionClosed(rcvd=websockets.Close() as close):
            code, reason = close.code, close.reason
        case websockets.InvalidStatus():
            code, reason = error.response.status_code, "no socket at all"
        case OSError() | websockets.WebSocketException():
            return CheckFailed(f"connection failed: {str(error) or type(error).__name__}")
        case _:  # the SDK raises many kinds, whose texts quote messages
            return CheckFailed(f"google-genai failed on a message: {type(error).__name__}")
    if heard.opened:
        return CheckFailed(f"closed with {code}: {reason}")
    if code in (1007, 1008, 1011) or 400 <= code < 500 or 4000 <= code < 5000:
        return SessionRefused(f"refused with {code}: {reason}")
    return CheckFailed(f"failed with {code}: {reason}")
