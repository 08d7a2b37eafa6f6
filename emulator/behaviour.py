"""Everything about the stand-in of Gemini that a test, or a person, may set at any time."""

from __future__ import annotations

from collections import deque
from collections.abc import MutableSequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Fault: TypeAlias = int | str
ThinkingLevel: TypeAlias = Literal["refused", "required", "free"]

# The rules for thinking levels hold since 2026-09-15.
MODELS: dict[str, ThinkingLevel] = {
    "models/gemini-3.8-live": "refused",
    "models/gemini-3.8-live-extended-thinking": "required",
    "models/gemini-3.1-flash-live-preview": "free",
}


@dataclass
class Behaviour:
    """How the stand-in behaves from now on. Durations are seconds; `faults.FAULTS` lists words."""

    api_key: str
    """The one key that mints."""

    delay: float = 0.0
    """Seconds before a mint is answered, faults included."""

    faults: MutableSequence[Fault] = field(default_factory=deque)
    """Taken one a mint request, from the left: an HTTP status or a word."""

    fault: Fault | None = None
    """The same for every mint while it is set, once `faults` is used up."""

    retry_after: str | None = None
    """The `Retry-After` header of a faulted status, sent as it is."""

    drip: float = 0.2
    """Seconds between two bytes of a "slow" answer."""

    unknown_fields: frozenset[str] = frozenset()
    """Top-level fields of the setup, in camelCase, that this server shall not know."""

    models: dict[str, ThinkingLevel] = field(default_factory=lambda: dict(MODELS))
    """The models that a session can have, and what each says to a thinking level."""

    nested_masks: bool = False
    """Whether a mask may name fields below the top level, as those that google-genai builds do.

    Such masks are often refused with a 400; top-level names are what is known to work."""

    refusal_code: int = 1011
    """The close code for a token that is used up, expired or too late (1008 or 1011: unknown)."""

    client_handle_under_full_lock: bool = True
    """Whether a client's own handle counts although the token's setup replaces the client's.

    Unknown of the real service. It matters only where the token's setup has a `sessionResumption`
    without a handle; without one the token forbids resumption either way."""

    setup_timeout: float = 10.0
    """Seconds that a client has for its first message."""

    connection_life: float = 600.0
    """Seconds until a socket is ended."""

    go_away_before: float = 50.0
    """Seconds before that end at which `goAway` is sent."""

    handle_life: float = 7200.0
    """Seconds for which a resumption handle works."""

    silence: float = 0.5
    """Seconds of quiet audio after which somebody has finished speaking."""

    plays: bool = False
    """Whether a turn is over only when its sound has been played, and is interrupted until then.

    So it is at the real service; a test that does not ask for it need not wait."""

    calls_functions: bool = False
    """Whether the model calls the first function that it has, in the place of an answer."""

    def next_fault(self) -> Fault | None:
        """The fault for the mint that has just arrived; takes it out of `faults`."""
        if not self.faults:
            return self.fault
        first = self.faults[0]
        del self.faults[0]
        return first
