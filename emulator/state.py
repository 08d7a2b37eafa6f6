"""What the stand-in of Gemini remembers, and what it has seen."""

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
    """One POST to `auth_tokens` that arrived, refused ones too."""

    version: str
    """The API version in its path."""
    headers: dict[str, str]
    """Names in lower case."""
    query: dict[str, str]
    body: Any
    """Parsed JSON, None where it is none."""
    raw: bytes
    port: int
    """The caller's TCP port: equal ports mean one kept connection."""
    status: int | None = None
    """What was answered; None until then, and for a request that got no answer."""
    token: str | None = None
    """The name that was minted, if one was."""


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
    """The close code, from either side; None while it is open."""


@dataclass
class Conversation:
    """What a resumption continues: it outlives its sockets."""

    turns: list[str] = field(default_factory=list)
    """What was heard in each turn."""
    open: bool = False
    """Whether a socket is on it now."""


@dataclass(frozen=True)
class Handle:
    conversation: Conversation
    issued: datetime


@dataclass
class State:
    """Everything of one stand-in; used on one event loop, read from anywhere."""

    behaviour: Behaviour
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    tokens: dict[str, Token] = field(default_factory=dict)
    handles: dict[str, Handle] = field(default_factory=dict)
    mints: list[MintRequest] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    def issue_handle(self, conversation: Conversation) -> str:
        """A new resumption handle for `conversation`; the earlier ones go on working."""
        handle = secrets.token_urlsafe(48)
        self.handles[handle] = Handle(conversation, self.clock())
        return handle

    def find(self, handle: str) -> Conversation | None:
        """The conversation of a live handle, None for one that is unknown or too old."""
        known = self.handles.get(handle)
        life = timedelta(seconds=self.behaviour.handle_life)
        if known is None or self.clock() - known.issued >= life:
            return None
        return known.conversation
