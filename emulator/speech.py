"""Sound: 16-bit little-endian mono PCM, 16 kHz in and 24 kHz out, as the Live API has it."""

from __future__ import annotations

import math
import sys
from array import array
from dataclasses import dataclass

RATE_IN, RATE_OUT = 16_000, 24_000
LOUD = 500  # of 32,767: the peak from which a frame counts as speech
FRAMES_PER_SECOND = 50
SHORTEST = 5  # loud frames, a tenth of a second: less is a click
LONGEST = 60  # seconds of one utterance


@dataclass(frozen=True)
class Utterance:
    """What somebody said, without the silence around it."""

    samples: bytes
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / 2 / self.rate


class Ear:
    """Finds out when somebody has finished speaking.

    Args:
        by_hand: only audio between `start` and `end` counts (automatic detection disabled).
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
        """Whether somebody has begun to speak, and not ended."""
        return bool(self._speech) and (self._by_hand or self._loud >= SHORTEST)

    def start(self) -> None:
        """An utterance begins."""
        if self._by_hand:
            self._open = True
            self._speech.clear()
            self._loud = 0

    def hear(self, samples: bytes, rate: int, silence: float) -> list[Utterance]:
        """Takes audio; the utterances that `silence` seconds of quiet have ended."""
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
        """The utterance under way, if there is one, which ends."""
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
    """How long a sound at the output rate takes to play."""
    return len(sound) / 2 / RATE_OUT


def tone(seconds: float = 0.25, hertz: float = 440.0) -> bytes:
    """A soft sine at the output rate."""
    count = int(seconds * RATE_OUT)
    return _packed(
        array("h", (int(6000 * math.sin(2 * math.pi * hertz * n / RATE_OUT)) for n in range(count)))
    )


def resampled(samples: bytes, rate: int) -> bytes:
    """`samples` at the output rate, by the nearest neighbour before."""
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
