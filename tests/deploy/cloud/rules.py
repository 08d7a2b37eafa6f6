"""What a test may set: how strict the stand-in is, and what goes wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cloud.state import Json

Outcome: TypeAlias = int | Literal["drop"]


@dataclass
class Fault:
    """Requests that are not answered as they should be, and that change nothing."""

    method: str
    place: str
    """A regular expression that is searched in host and path, such as `run.googleapis.com/`."""
    outcome: Outcome = 503
    """A status, or `drop`: the connection ends without an answer."""
    skip: int = 0
    """How many matching requests pass before."""
    times: int = 1
    """How many are hit after that."""

    def hits(self, method: str, host: str, path: str) -> bool:
        """Whether this request is hit; it counts."""
        if method != self.method or not re.search(self.place, host + path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class Person:
    """Somebody who can sign in with a password."""

    name: str = "bob"
    """Whose token it is, of `emulator.people`."""
    email: str = "bob@example.com"
    password: str = field(default="bob-password-0123", repr=False)
    claims: Json = field(default_factory=dict)
    """Claims in the place of theirs."""


@dataclass
class Rules:
    """The switches. What Google does by default is what they say by default."""

    unseen: int = 0
    """How often an account that is made from now on is refused before it is visible: as a member
    of a policy, and as the account of a service."""
    lag: int = 0
    """How often a grant that is made from now on is overlooked before it counts."""
    domain_restricted: bool = False
    """Whether an organization's policy refuses `allUsers` (domain restricted sharing)."""
    build_fails: str = ""
    """Why the next builds fail, where they do."""
    empty_payload_refused: bool = True
    """Whether a secret's version must have content. Google's API does refuse it, with "Secret
    Payload cannot be empty" (quoted in the issues of several projects, not in its reference)."""
    faults: list[Fault] = field(default_factory=list)
    person: Person = field(default_factory=Person)
    web_api_key: str = "AIza-web-api-key-of-the-stand-in"
    """The Firebase web API key, which is no secret."""
