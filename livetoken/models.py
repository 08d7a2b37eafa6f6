"""What is known of single models, and cannot be read off any type.

Source: Google's model pages, as of 2026-11-23. A model that is not here is not judged.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """`thinking_level`: whether the model demands one (True) or refuses one (False)."""

    thinking_level: bool


MODELS = {
    "gemini-3.8-live": Model(thinking_level=False),
    "gemini-3.8-live-extended-thinking": Model(thinking_level=True),
}

GONE = frozenset({"gemini-2.0-flash-live-001", "gemini-live-2.5-flash-preview"})
"""Withdrawn: Gemini makes tokens for them and refuses every session."""

LEGACY = frozenset({"gemini-3.1-flash-live-preview"})
"""Still served, and to be withdrawn."""
