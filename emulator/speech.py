"""Audio: 16-bit little-endian mono PCM, 16 kHz in and 24 kHz out, as in the Live API."""

from __future__ import annotations

import math
import sys
from array import array
from dataclasses import dataclass

RATE_IN, RATE_OUT = 16_000, 24_000
LOUD = 500  # of 32,767: the lowest peak of a frame with speech
FRAMES_PER_SECOND = 50
SHORTEST = 5  # loud frames, a tenth of a second; less is a click
LONGEST = 60  # seconds of an utterance


@dataclass(frozen=True)
class Utterance:
    """Speech without the silence around it."""

    samples: bytes
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / 2 / self.rate


class Ear:
    """Detects the end of speech.

    Args:
        by_hand: use only audio between `start` and `end` (automatic detection is disabled).
    """

    def __init__(self, *, by_hand: bool) -> None:
        self._by_hand = by_hand
        self._open = not by_hand
        self._rate = RATE_IN
        self._pending = b""
        self._speech = bytearray()
        self._loud = 0  # frames of it
        self._quiet = 0  # bytes of it at the end of the speech

    @property
    def speaking(self) -> bool:
        """Whether an utterance has begun and not ended."""
        return bool(self._speech) and (self._by_hand or self._loud >= SHORTEST)

    def start(self) -> None:
        """Begin an utterance."""
        if self._by_hand:
            self._open = True
            self._speech.clear()
            self._loud = 0

    def hear(self, samples: bytes, rate: int, silence: float) -> list[Utterance]:
        """Take audio, and return the utterances that ended with `silence` seconds of silence."""
        if not self._open:
            return []
        self._rate = rate
        size = rate // FRAMES_PER_SECOND * 2
        data, ended = self._pending + samples, []
        whole = len(data) // size * size
        self._pending = data[whole:]
        for start in range(0, whole, size):
            self._frame(data[start : start + size])
            length = len(self._speech) / 2 / rate
            over = self._quiet >= silence * rate * 2 and not self._by_hand
            if self._speech and (over or length >= LONGEST):
                ended += self._cut()
        return ended

    def end(self) -> list[Utterance]:
        """End the current utterance, and return it if there is one."""
        if self._pending:
            self._frame(self._pending[: len(self._pending) // 2 * 2])
            self._pending = b""
        self._open = not self._by_hand
        return self._cut()

    def _frame(self, frame: bytes) -> None:
        loud = _peak(frame) >= LOUD
        self._quiet = 0 if loud else self._quiet + len(frame)
        self._loud += loud
        if loud or self._speech or self._by_hand:
            self._speech += frame

    def _cut(self) -> list[Utterance]:
        heard, quiet = self.speaking, 0 if self._by_hand else min(self._quiet, len(self._speech))
        samples = bytes(self._speech[: len(self._speech) - quiet])
        self._speech.clear()
        self._loud = self._quiet = 0
        return [Utterance(samples, self._rate)] if heard else []


def seconds(sound: bytes) -> float:
    """How long audio at the output rate takes to play."""
    return len(sound) / 2 / RATE_OUT


def tone(seconds: float = 0.25, hertz: float = 440.0) -> bytes:
    """A quiet sine wave at the output rate."""
    count = int(seconds * RATE_OUT)
    return _packed(
        array("h", (int(6000 * math.sin(2 * math.pi * hertz * n / RATE_OUT)) for n in range(count)))
    )


def resampled(samples: bytes, rate: int) -> bytes:
    """Convert samples to the output rate by repeating or dropping samples."""
    heard = _unpacked(samples)
    count = len(heard) * RATE_OUT // rate
    return _packed(array("h", (heard[n * rate // RATE_OUT] for n in range(count))))


def _peak(frame: bytes) -> int:
    samples = _unpacked(frame)
    return max(max(samples), -min(samples)) if samples else 0


def _unpacked(data: bytes) -> array[int]:
    samples = array("h", data)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _packed(samples: array[int]) -> bytes:
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
