"""Settings of the stand-in for Gemini; tests may change them at any time."""

from __future__ import annotations

from collections import deque
from collections.abc import MutableSequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Fault: TypeAlias = int | str
ThinkingLevel: TypeAlias = Literal["refused", "required", "free"]

# Google has applied these rules for thinking levels since 2026-09-15.
MODELS: dict[str, ThinkingLevel] = {
    "models/gemini-3.8-live": "refused",
    "models/gemini-3.8-live-extended-thinking": "required",
    "models/gemini-3.1-flash-live-preview": "free",
}


@dataclass
class Behaviour:
    """How the stand-in behaves. Durations are in seconds; `faults.FAULTS` names the faults."""

    api_key: str
    """The only API key that it accepts."""

    delay: float = 0.0
    """Seconds before every answer to a mint, faults included."""

    faults: MutableSequence[Fault] = field(default_factory=deque)
    """One for each mint request, in order: an HTTP status or the name of a fault."""

    fault: Fault | None = None
    """The fault of every mint once `faults` is empty."""

    retry_after: str | None = None
    """The `Retry-After` header of a status fault, sent unchanged."""

    drip: float = 0.2
    """Seconds between two bytes of a "slow" answer."""

    unknown_fields: frozenset[str] = frozenset()
    """Top-level fields of the setup, in camelCase, that the server does not know."""

    models: dict[str, ThinkingLevel] = field(default_factory=lambda: dict(MODELS))
    """The models that sessions may use, and each one's rule for thinking levels."""

    nested_masks: bool = False
    """Whether a mask may name nested fields, as the masks of google-genai do.

    Gemini often answers such masks with 400; top-level names are known to work."""

    refusal_code: int = 1011
    """The close code for a token that is used, expired or too late: 1008 or 1011, it is unknown."""

    client_handle_under_full_lock: bool = True
    """Whether the client's handle works although the token's setup replaces the client's setup.

    It is unknown what Gemini does. It matters only if the token's setup has a `sessionResumption`
    without a handle; a setup without `sessionResumption` always forbids resuming."""

    setup_timeout: float = 10.0
    """Seconds in which a client must send its first message."""

    connection_life: float = 600.0
    """Seconds until the server closes a socket."""

    go_away_before: float = 50.0
    """Seconds between `goAway` and that end."""

    handle_life: float = 7200.0
    """Seconds for which a resumption handle is valid."""

    silence: float = 0.5
    """Seconds of silence that end an utterance."""

    plays: bool = False
    """Whether a turn ends only after the time that its audio takes to play.

    Until then the user can interrupt it. Gemini does this; tests leave it off to be fast."""

    calls_functions: bool = False
    """Whether the model calls its first function instead of answering."""

    def next_fault(self) -> Fault | None:
        """Take the fault for the next mint; None for no fault."""
        if not self.faults:
            return self.fault
        first = self.faults[0]
        del self.faults[0]
        return first
