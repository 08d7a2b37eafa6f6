"""Facts about models that google-genai's types do not express.

Source: Google's model pages, as of 2026-11-23. Models that are not listed are not checked.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """`thinking_level`: whether the model requires one (True) or refuses one (False)."""

    thinking_level: bool


MODELS = {
    "gemini-3.8-live": Model(thinking_level=False),
    "gemini-3.8-live-extended-thinking": Model(thinking_level=True),
}

GONE = frozenset({"gemini-2.0-flash-live-001", "gemini-live-2.5-flash-preview"})
"""Withdrawn: Gemini mints tokens for them and refuses every session."""

LEGACY = frozenset({"gemini-3.1-flash-live-preview"})
"""Still served, but about to be withdrawn."""
