"""What a test can change: how strict the stand-in is, and which requests fail."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cloud.state import Json

Outcome: TypeAlias = int | Literal["drop"]


@dataclass
class Fault:
    """Requests that fail and change nothing."""

    method: str
    place: str
    """A regular expression to search in host and path, such as `run.googleapis.com/`."""
    outcome: Outcome = 503
    """A status, or `drop` to close the connection without an answer."""
    skip: int = 0
    """How many matching requests succeed first."""
    times: int = 1
    """How many fail after that."""

    def hits(self, method: str, host: str, path: str) -> bool:
        """Whether this request fails. Each call counts as one request."""
        if method != self.method or not re.search(self.place, host + path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class Person:
    """A user who can sign in with a password."""

    name: str = "bob"
    """The name in `emulator.people` whose token the user gets."""
    email: str = "bob@example.com"
    password: str = field(default="bob-password-0123", repr=False)
    claims: Json = field(default_factory=dict)
    """Claims that replace those of that person."""


@dataclass
class Rules:
    """The switches. The defaults are Google's defaults."""

    unseen: int = 0
    """How many uses of a new account fail before it is visible: as a member of a policy, or as the
    account of a service."""
    lag: int = 0
    """How many checks ignore a new grant before it counts."""
    domain_restricted: bool = False
    """Whether an organization's policy refuses `allUsers` (domain restricted sharing)."""
    build_fails: str = ""
    """Why the next builds fail; empty if they do not."""
    public_images: set[str] = field(default_factory=set)
    """The images that `gcr.io` has, each with its tag."""
    faults: list[Fault] = field(default_factory=list)
    person: Person = field(default_factory=Person)
    web_api_key: str = "AIza-web-api-key-of-the-stand-in"
    """The Firebase web API key, which is public."""
