"""A server of a storage of limits, which tests can stop, kill and restart."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class StorageServer(ABC):
    """A server on a port of 127.0.0.1."""

    @abstractmethod
    def start(self) -> None:
        """Start it on the same port as before."""

    @abstractmethod
    def die(self) -> None:
        """Kill it."""

    @abstractmethod
    def hang(self) -> None:
        """Let it accept requests and not answer."""

    @abstractmethod
    def go_on(self) -> None:
        """Let it do the requests that have waited, and answer new ones."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.go_on()
        self.die()
