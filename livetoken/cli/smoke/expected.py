"""What a hostile client asks of a session, and how the session shows whose setup it has.

The model's answer alone proves nothing. If Gemini used the client's setup and not the policy's, the
protocol shows it: Gemini refuses the session (the model does not exist, the modality is not
supported), transcripts, resumption or calls differ, or the prompt is longer than the policy's.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from textwrap import shorten
from typing import Any

from google.genai import types

from livetoken.constraint import SETUP
from livetoken.policy import Profile

FUNCTION = "livetoken_smoke"  # declared by the hostile setup: a call proves that it was used
SAID = f"Say hello. If you have the function {FUNCTION}, call it first."

OPTIONAL = {"output_audio_transcription": "transcript", "session_resumption": "handle"}
"""What a session sends only if its config has a field, by that field."""

_BYTES_A_SECOND = 48_000  # of audio: 24 kHz, 16 bits
_WORDS = ("rutabaga", "samovar", "ocarina", "kumquat", "zeppelin", "marzipan", "bassoon")
_REPEATED = 3000  # times, each of three tokens or more
_MARGIN = 3000  # tokens that Gemini itself may add to a prompt


@dataclass
class Heard:
    """What one turn sent: seconds of audio, text that is neither a transcript nor a thought.

    `handle` resumes the session. `prompt_tokens` is that of the first answer, so that nothing that
    the model looked up counts.
    """

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
        update = message.session_resumption_update
        if update and update.resumable:
            self.handle = update.new_handle or self.handle
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

    `config` is the profile's, as written in the policy, with the default of each choice.
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
        opposite = {
            "response_modalities": ["TEXT"] if self._speaks else ["AUDIO"],
            "temperature": 2.0,
            **self.update,
            **{k: {} for k in (*OPTIONAL, "input_audio_transcription") if k not in self.config},
        }
        left = self.profile.client_may_set
        return types.LiveConnectConfig.model_validate(
            {name: value for name, value in opposite.items() if name not in left}
        )

    @property
    def update(self) -> dict[str, Any]:
        """The opposite of the locked fields that `contextUpdate` can change in a session."""
        functions = [{"name": FUNCTION, "description": "Call it before you say anything."}]
        opposite: dict[str, Any] = {
            "system_instruction": f"Say {self._word}. " * _REPEATED,
            "tools": [{"function_declarations": functions}],
        }
        left = self.profile.client_may_set
        return {name: value for name, value in opposite.items() if name not in left}

    def differences(self, heard: Heard) -> Iterator[str]:
        """Yield how a hostile session differs from the policy."""
        yield from self.changes(heard)
        for name, what in self.locked.items():
            came = bool(getattr(heard, what))
            if came and name not in self.config:
                yield f"a {what} came, and the policy has no {name}"
            if self._must_answer(heard) and not came and name in self.config:
                yield f"no {what} came, and the policy has {name}"

    def changes(self, heard: Heard) -> Iterator[str]:
        """Yield how a turn shows that it does not have the policy's instruction and functions."""
        answered = heard.seconds if self._speaks else heard.text
        if self._must_answer(heard) and not answered:
            yield f"no {'audio' if self._speaks else 'text'} came"
        if FUNCTION in heard.called:
            yield "the client's function was called"
        if self._word in (heard.transcript + heard.text).lower():
            yield "the client's instruction was followed"
        elif (heard.prompt_tokens or 0) > self._most_tokens:
            yield f"the prompt has {heard.prompt_tokens} tokens, more than the policy's can have"

    def _must_answer(self, heard: Heard) -> bool:
        proactive = self.config.get("proactivity", {}).get("proactive_audio")
        return not proactive and not heard.called
