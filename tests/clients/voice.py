"""The audio of the browser's microphone, in a loop: two words in quick succession."""

import array
import math
import wave
from itertools import pairwise
from pathlib import Path

RATE = 16_000  # Hz
HERTZ = 300
WORD, PAUSE, QUIET = 1.0, 1.2, 1.0  # seconds


def write(path: Path) -> None:
    """Write a WAV file with one round. It starts with silence so that no word is cut off.

    The pause ends the first utterance, and the second word begins in the middle of the answer. The
    second answer ends before the next round.
    """
    parts = array.array("h")
    for seconds, loud in ((QUIET, 0), (WORD, 1), (PAUSE, 0), (WORD, 1), (2 * QUIET, 0)):
        waves = (math.sin(2 * math.pi * HERTZ * n / RATE) for n in range(int(seconds * RATE)))
        parts.extend(int(9000 * loud * wave) for wave in waves)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(parts.tobytes())


def hertz(samples: bytes, rate: int) -> float:
    """The frequency of the loud part of 16-bit mono audio, from its zero crossings."""
    heard = [sample for sample in array.array("h", samples) if abs(sample) > 100]
    crossings = sum((a < 0) != (b < 0) for a, b in pairwise(heard))
    return crossings / 2 / (len(heard) / rate)
