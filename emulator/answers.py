"""The content of one answer, cut into frames and ordered as unkindly as the reports have it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, TypeAlias, TypeVar

from emulator import speech

CHUNK = speech.RATE_OUT * 2 // 10  # bytes: 0.1 s of audio a part
PARTS = 2  # of a frame
WORDS = 2  # of a piece of a transcript

_T = TypeVar("_T")
Content: TypeAlias = dict[str, Any]
"""A `serverContent`, in camelCase."""


def spoken(sound: bytes, transcript: str) -> list[Content]:
    """Audio with its transcript; several parts and fields share a frame."""
    chunks = [sound[start : start + CHUNK] for start in range(0, len(sound), CHUNK)]
    frames: list[Content] = []
    for parts, piece in zip_longest(_batched(chunks, PARTS), pieces(transcript)):
        content: Content = {}
        if parts:
            content["modelTurn"] = {"parts": [_part(chunk) for chunk in parts], "role": "model"}
        if piece:
            content["outputTranscription"] = {"text": piece}
        frames.append(content)
    return frames


def heard(words: str) -> list[Content]:
    """The transcript of what the user said."""
    return [{"inputTranscription": {"text": piece}} for piece in pieces(words)]


def shuffled(said: list[Content], heard: list[Content], turn: int) -> tuple[list[Content], ...]:
    """What comes before the end of a turn, and after it.

    The user's words begin after the answer to them; in each third turn the last of them come after
    its end.
    """
    late = heard[-1:] if turn % 3 == 0 else []
    early = heard[: len(heard) - len(late)]
    return [*said[:1], *early, *said[1:]], late


def pieces(text: str) -> list[str]:
    """A text in pieces of two words; joined, they are the text."""
    words = text.split(" ")
    spaced = [word + " " for word in words[:-1]] + words[-1:]
    return ["".join(batch) for batch in _batched(spaced, WORDS)] if text else []


def _part(chunk: bytes) -> dict[str, Any]:
    data = base64.b64encode(chunk).decode()
    return {"inlineData": {"mimeType": f"audio/pcm;rate={speech.RATE_OUT}", "data": data}}


def _batched(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """`itertools.batched`, which Python 3.11 does not have."""
    return [items[start : start + size] for start in range(0, len(items), size)]
