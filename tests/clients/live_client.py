"""A client that holds Live sessions, as a test has it act."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clients import Client


@dataclass(frozen=True)
class Heard:
    """An answer, heard out: 24 kHz 16-bit mono audio, its transcript, and the session's handle."""

    audio: bytes
    words: str
    handle: str


@dataclass(frozen=True)
class Refused:
    """A session that did not open: how the socket closed, and how the client's user was told."""

    code: int
    reason: str
    rejected: str


AUDIO = {"responseModalities": ["AUDIO"]}


@dataclass(frozen=True)
class Live:
    """A client that holds Live sessions, one at a time."""

    client: Client

    def open(self, token: Any, model: str | None = None, **config: Any) -> None:
        """Open a session.

        Args:
            token: what the function answered.
            model: another model than the token's.
            config: what the client asks for on top of audio, in camelCase.
        """
        came = self._open(token, model, config)
        assert "refused" not in came, came

    def refusal(self, token: Any) -> Refused:
        """How a session that must not open is refused."""
        came = self._open(token, None, {})
        assert "refused" in came, "opened"
        return Refused(**came["refused"], rejected=came["rejected"])

    def _open(self, token: Any, model: str | None, config: Mapping[str, Any]) -> Any:
        asked = {
            "token": token,
            "config": {**AUDIO, **config},
            **({"model": model} if model else {}),
        }
        return self.client.take("open", **asked)

    def say(self, text: str) -> Heard:
        """Say something in writing, and hear the answer out."""
        return _heard(self.client.take("say", text=text))

    def speak(self, samples: bytes) -> Heard:
        """Speak in chunks of a tenth of a second, 16 kHz 16-bit mono, and hear the answer out."""
        starts = range(0, len(samples), 3200)
        chunks = [base64.b64encode(samples[at : at + 3200]).decode() for at in starts]
        return _heard(self.client.take("speak", chunks=chunks))

    def warned(self) -> str:
        """The time left, once the client is told to go away."""
        return str(self.client.take("warned")["timeLeft"])

    def ended(self) -> tuple[int, str]:
        """The code and the reason with which the other side ends the session, once it does."""
        end = self.client.take("ended")
        return end["code"], end["reason"]

    def close(self) -> None:
        """Leave the session."""
        self.client.take("close")


def _heard(answer: Any) -> Heard:
    audio = b"".join(base64.b64decode(chunk, b"-_") for chunk in answer["audio"])  # or of "+/"
    return Heard(audio, answer["words"], answer["handle"])
