"""A request to an API of the stand-in, its record and its route."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cloud.errors import invalid
from cloud.state import Json


@dataclass(frozen=True)
class Call:
    """One request, after TLS, with its caller."""

    principal: str
    """The email of the access token's account; empty without a token."""
    method: str
    host: str
    path: str
    """Decoded, without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)
    names: Mapping[str, str] = field(default_factory=dict)
    """The values of the placeholders in the route."""

    def __getitem__(self, name: str) -> str:
        return self.names[name]

    @property
    def json(self) -> Json:
        """The body. Raises Refused if it is not a JSON object."""
        try:
            read: Any = json.loads(self.body or b"{}")
        except ValueError:
            raise invalid("Invalid JSON payload received.") from None
        if not isinstance(read, dict):
            raise invalid("Invalid JSON payload received. Expected an object.")
        return read


@dataclass
class Record:
    """One request that arrived, and its result."""

    principal: str
    method: str
    host: str
    path: str
    query: Mapping[str, str]
    body: bytes = field(repr=False)
    status: int | None = None
    """The status of the answer; None before it, or if the connection was dropped."""
    message: str = ""
    """The message of a refusal."""

    @property
    def json(self) -> Any:
        """The body, parsed; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __str__(self) -> str:
        said = f" {self.message}" if self.message else ""
        return f"{self.status} {self.method} {self.host}{self.path} by {self.principal}{said}"


@dataclass(frozen=True)
class Answer:
    """What an API answers."""

    body: Json | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler: TypeAlias = Callable[[Call], Answer | Json]


class Route:
    """A method and a path, in which `{name}` is one segment and `{name:path}` is the rest.

    A segment ends before a colon, because Google puts custom methods after one.
    """

    def __init__(self, method: str, path: str, handler: Handler) -> None:
        self.method = method
        self.handler = handler
        parts = re.split(r"\{(\w+)(:path)?\}", path)
        pattern = ""
        for literal, name, rest in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
            pattern += re.escape(literal) + f"(?P<{name}>{'.+' if rest else '[^/:]+'})"
        self._pattern = re.compile(pattern + re.escape(parts[-1]))

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The values of the placeholders, or None if a request does not match."""
        found = self._pattern.fullmatch(path) if method == self.method else None
        return found.groupdict() if found else None
