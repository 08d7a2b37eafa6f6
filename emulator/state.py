"""What the stand-in for Gemini keeps: tokens, handles, and a record of mints and sessions."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from emulator.behaviour import Behaviour
from emulator.tokens import Setup, Token


@dataclass
class MintRequest:
    """One POST to `auth_tokens`, refused or not."""

    version: str
    """The API version in its path."""
    headers: dict[str, str]
    """Names in lower case."""
    query: dict[str, str]
    body: Any
    """Parsed JSON; None if it is not JSON."""
    raw: bytes
    port: int
    """The caller's TCP port; requests with the same port used one connection."""
    status: int | None = None
    """The status of the answer; None if there is none (yet)."""
    token: str | None = None
    """The name of the minted token, or None."""


@dataclass
class Session:
    """One socket that got `setupComplete`."""

    token: str
    setup: Setup
    """The effective setup, in camelCase."""
    resumed: bool
    messages: list[dict[str, Any]] = field(default_factory=list)
    """What the client sent after its setup, in camelCase."""
    closed: int | None = None
    """The close code from either side; None while it is open."""


@dataclass
class Thread:
    """What all sockets of a conversation share, whichever handles they resumed."""

    open: bool = False
    """Whether a socket is using it."""
    answers: int = 0
    """How many answers have begun, with those that a resumed session has forgotten."""


@dataclass
class Conversation:
    """What the model remembers."""

    thread: Thread = field(default_factory=Thread)
    turns: list[str] = field(default_factory=list)
    """What the client said in each turn."""
    forged: list[str] = field(default_factory=list)
    """What the client said in the name of the model."""
    calls: dict[str, str] = field(default_factory=dict)
    """The name of each function call without a response, by its id."""

    def snapshot(self) -> Conversation:
        """A copy, on the same thread."""
        return Conversation(self.thread, list(self.turns), list(self.forged), dict(self.calls))


@dataclass(frozen=True)
class Handle:
    conversation: Conversation
    issued: datetime


@dataclass
class State:
    """The state of one stand-in; changed on one event loop, read from any thread."""

    behaviour: Behaviour
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    tokens: dict[str, Token] = field(default_factory=dict)
    handles: dict[str, Handle] = field(default_factory=dict)
    mints: list[MintRequest] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    def issue_handle(self, conversation: Conversation) -> str:
        """A new resumption handle; the earlier ones stay valid."""
        handle = secrets.token_urlsafe(48)
        kept = conversation.snapshot() if self.behaviour.snapshots else conversation
        self.handles[handle] = Handle(kept, self.clock())
        return handle

    def find(self, handle: str) -> Conversation | None:
        """The conversation that a handle resumes; None if it is unknown or too old."""
        known = self.handles.get(handle)
        life = timedelta(seconds=self.behaviour.handle_life)
        if known is None or self.clock() - known.issued >= life:
            return None
        return known.conversation.snapshot() if self.behaviour.snapshots else known.conversation

    @property
    def is_full(self) -> bool:
        """Whether the account may open no further session."""
        most = self.behaviour.sessions_at_once
        return most is not None and sum(one.closed is None for one in self.sessions) >= most
