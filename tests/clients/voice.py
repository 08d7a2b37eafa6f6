"""What the browser's microphone hears, over and over: two words, one soon after the other."""

import array
import math
import wave
from itertools import pairwise
from pathlib import Path

RATE = 16_000  # Hz
HERTZ = 300
WORD, PAUSE, QUIET = 1.0, 0.7, 1.0  # seconds


def write(path: Path) -> None:
    """A WAV file of one round, which begins with quiet, so that no word is lost at the start.

    The pause is long enough to end the first word, and the second begins while the answer to it is
    being played.
    """
    parts = array.array("h")
    for seconds, loud in ((QUIET, 0), (WORD, 1), (PAUSE, 0), (WORD, 1), (1.3, 0)):
        waves = (math.sin(2 * math.pi * HERTZ * n / RATE) for n in range(int(seconds * RATE)))
        parts.extend(int(9000 * loud * wave) for wave in waves)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(parts.tobytes())


def hertz(samples: bytes, rate: int) -> float:
    """How high the loud part of 16-bit mono audio is, by its zero crossings."""
    heard = [sample for sample in array.array("h", samples) if abs(sample) > 100]
    crossings = sum((a < 0) != (b < 0) for a, b in pairwise(heard))
    return crossings / 2 / (len(heard) / rate)
