"""One behaviour of Gemini that the stand-in has: what it is, where it is known from, how sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Sure: TypeAlias = Literal["yes", "fairly", "sometimes", "one report", "unknown"]

REFERENCE = "Google's API reference"
PROJECTS = "several projects"
"""Several projects report the same, but none in an issue that could be cited."""


@dataclass(frozen=True)
class Report:
    """One behaviour of Gemini.

    Args:
        what: a sentence that says what Gemini does.
        source: where it is known from.
        sure: how sure it is; "sometimes" if it is sure and does not always happen.
        test: the test that holds the stand-in to it.
        settings: the fields of `Behaviour` that change it; none if it always happens.
    """

    what: str
    source: str
    sure: Sure
    test: str
    settings: tuple[str, ...] = ()
