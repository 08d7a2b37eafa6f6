"""Settings of the stand-in for Gemini; tests may change them at any time.

Each default is the harsher reading of what is known; `reports.py` has the source of each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from emulator.models import MODELS, Model

Fault: TypeAlias = int | str | tuple[int, bytes]
"""How a mint fails: an HTTP status, one with a body, or a name in `faults` or `google_errors`."""

Oddity: TypeAlias = Literal["early", "missing", "empty", "unanswered"] | int
"""What is odd about an answer.

Its `turnComplete` comes early or is missing, it has no content, or there is no answer; or a close
code, with which the socket closes after the first audio (1006: the connection breaks).
"""

ODDITIES: Mapping[int, Oddity] = {
    4: "missing",
    6: "early",
    8: "empty",
    10: 1011,
    13: 1006,
    16: 1008,
}


@dataclass
class Behaviour:
    """How the stand-in behaves. Durations are in seconds."""

    # --- minting

    api_key: str
    """The only API key that it accepts."""

    delay: float = 0.0
    """Seconds before every answer to a mint, faults included."""

    faults: MutableSequence[Fault] = field(default_factory=deque)
    """One for each mint request, in order."""

    fault: Fault | None = None
    """The fault of every mint once `faults` is empty."""

    retry_after: str | None = None
    """The `Retry-After` header of a status, sent unchanged."""

    retry_delay: str | None = "45.837906927s"
    """The `retryDelay` in the body of a 429; None for none."""

    drip: float = 0.2
    """Seconds between two bytes of a "slow" answer."""

    unknown_fields: frozenset[str] = frozenset()
    """Top-level fields of the setup, in camelCase, that the server does not know."""

    nested_masks: bool = False
    """Whether a mask may name nested fields, as the masks of google-genai do."""

    # --- opening a session

    models: dict[str, Model] = field(default_factory=lambda: dict(MODELS))
    """The models that sessions may use."""

    sessions_at_once: int | None = None
    """How many sessions the account may have open; None for any number."""

    too_many: Literal[1011, 429] = 1011
    """How a session too many is refused: a close code, or the status of the handshake."""

    refusal_code: int = 1011
    """The close code for a token that is used, expired or too late: 1008 or 1011."""

    client_handle_under_full_lock: bool = False
    """Whether the client's handle works although the token's setup replaces the client's setup.

    It matters only if the token's setup has a `sessionResumption` without a handle; a setup without
    `sessionResumption` always forbids resuming."""

    setup_timeout: float = 10.0
    """Seconds in which a client must send its first message."""

    # --- answers

    thinks: float = 1.0
    """Seconds before an answer begins."""

    plays: bool = False
    """Whether a turn ends only after the time that its audio takes to play.

    Until then the user can interrupt it. Gemini does this; tests leave it off to be fast."""

    silence: float = 0.5
    """Seconds of silence that end an utterance."""

    oddities: Mapping[int, Oddity] = field(default_factory=lambda: dict(ODDITIES))
    """What is odd about which answers of a conversation, counted from 1."""

    calls_functions: bool = False
    """Whether the model calls its first function in each answer to the user."""

    unknown_call_closes: bool = False
    """Whether a response to an unknown function call closes with 1007; otherwise it is dropped."""

    context_updates: bool = False
    """Whether `contextUpdate` changes what the token locks; otherwise that is ignored."""

    deaf_after_resuming: bool = False
    """Whether resumed sessions hear and never answer."""

    # --- handles

    handle_after: float = 0.3
    """Seconds from the end of a turn to its handle."""

    snapshots: bool = True
    """Whether a handle resumes the session as it was when the handle was issued."""

    handle_life: float = 7200.0
    """Seconds for which a handle is valid."""

    # --- the connection

    pong_after: float = 25.0
    """Seconds from a ping of the client to its pong."""

    connection_life: float = 542.0
    """Seconds until the server closes a socket."""

    go_away_before: float = 50.0
    """Seconds between `goAway` and that end."""

    end_code: int = 1008
    """The close code at that end: 1008 or 1011."""

    tick: float = 0.02
    """Seconds between two looks at the clock."""

    def next_fault(self) -> Fault | None:
        """Take the fault for the next mint; None for no fault."""
        if not self.faults:
            return self.fault
        first = self.faults[0]
        del self.faults[0]
        return first
