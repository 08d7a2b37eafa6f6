"""A client of Gemini Live, controlled by a test."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clients import Client


@dataclass(frozen=True)
class Heard:
    """A whole answer: audio (24 kHz, 16-bit, mono), its transcript, and the session's handle."""

    audio: bytes
    words: str
    handle: str


@dataclass(frozen=True)
class Refused:
    """A session that did not open: how the socket closed, and what the client raised."""

    code: int
    reason: str
    rejected: str


AUDIO = {"responseModalities": ["AUDIO"]}


@dataclass(frozen=True)
class Live:
    """A client with one session at a time."""

    client: Client

    def open(self, token: Any, model: str | None = None, **config: Any) -> None:
        """Open a session.

        Args:
            token: the function's answer.
            model: a model other than the token's.
            config: more fields than audio, in camelCase.
        """
        opened = self._open(token, model, config)
        assert "refused" not in opened, opened

    def refusal(self, token: Any) -> Refused:
        """Try to open a session that must be refused."""
        opened = self._open(token, None, {})
        assert "refused" in opened, "opened"
        return Refused(**opened["refused"], rejected=opened["rejected"])

    def _open(self, token: Any, model: str | None, config: Mapping[str, Any]) -> Any:
        asked = {
            "token": token,
            "config": {**AUDIO, **config},
            **({"model": model} if model else {}),
        }
        return self.client.take("open", **asked)

    def say(self, text: str) -> Heard:
        """Send a text, and receive the whole answer and its handle."""
        return _heard(self.client.take("say", text=text))

    def write(self, text: str) -> None:
        """Send a text, and do not wait for the answer."""
        self.client.take("write", text=text)

    def speak(self, samples: bytes) -> Heard:
        """Send 16 kHz, 16-bit, mono audio in chunks of 0.1 s, and receive the whole answer."""
        starts = range(0, len(samples), 3200)
        chunks = [base64.b64encode(samples[at : at + 3200]).decode() for at in starts]
        return _heard(self.client.take("speak", chunks=chunks))

    def warned(self) -> str:
        """Wait for `goAway`, and return the time left."""
        return str(self.client.take("warned")["timeLeft"])

    def ended(self) -> tuple[int, str]:
        """Wait until Gemini ends the session, and return the close code and reason."""
        end = self.client.take("ended")
        return end["code"], end["reason"]

    def close(self) -> None:
        """Close the session."""
        self.client.take("close")


def _heard(answer: Any) -> Heard:
    audio = b"".join(base64.b64decode(chunk, b"-_") for chunk in answer["audio"])  # or of "+/"
    return Heard(audio, answer["words"], answer["handle"])
