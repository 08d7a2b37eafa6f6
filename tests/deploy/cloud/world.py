"""The base class of the APIs, and the world that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from cloud.access import Access
from cloud.call import Answer, Call, Route
from cloud.errors import Refused
from cloud.instances import Instances
from cloud.rules import Rules
from cloud.state import Json, State
from emulator.issuer import Issuer


class World:
    """The state, the switches and the running instances."""

    def __init__(self, state: State, instances: Instances, issuer: Issuer) -> None:
        self.rules = Rules()
        self.instances = instances
        self.issuer = issuer
        self.state = state

    @property
    def state(self) -> State:
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        self.access = Access(state, self.rules)


class Api(ABC):
    """One of Google's APIs: its hosts and routes.

    Every handler holds the lock. It raises `Refused` for what Google would refuse, and `Unknown`
    for what the stand-in does not implement.
    """

    name: ClassVar[str]
    """The name to enable it, which is also its host."""
    always_on: ClassVar[bool] = False
    """Whether it works without being enabled."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.routes: list[Route] = self.table()

    @abstractmethod
    def table(self) -> list[Route]:
        """Its routes."""

    @property
    def state(self) -> State:
        return self.world.state

    @property
    def access(self) -> Access:
        return self.world.access

    def serves(self, host: str) -> bool:
        """Whether a host belongs to this API, including regional hosts."""
        return host == self.name or host.endswith(f"-{self.name}")

    def require(self, call: Call, permission: str, resource: str = "") -> None:
        """Raise Refused if the caller lacks a permission on a resource, or on the project."""
        self.access.require(call.principal, permission, resource or self.project(call))

    def project(self, call: Call) -> str:
        """The full name of the project in a request.

        Raises Refused for any other project, as Google does for one that may exist.
        """
        asked = call.names.get("project", self.state.project)
        if asked not in (self.state.project, self.state.number, "_", "-"):
            message = f"Permission denied on resource project {asked}."
            raise Refused("PERMISSION_DENIED", message)
        return f"projects/{self.state.project}"

    def bucket(self, name: str) -> str:
        """The full name of a bucket, whose policies are kept under it."""
        return f"projects/{self.state.project}/buckets/{name}"

    def answer(self, call: Call) -> Answer | Json | None:
        """The answer to a request, or None without a route for it."""
        for route in self.routes:
            names = route.match(call.method, call.path)
            if names is not None:
                return route.handler(_named(call, names))
        return None


def _named(call: Call, names: Mapping[str, str]) -> Call:
    return Call(**{**vars(call), "names": names})
