"""A function, its storage, and the time that passes for both."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from clocks import Clocks
from firestore_server import StandInFirestore
from redis_server import RedisServer
from stack import Stack, until


class FirestoreClock:
    """The clock of a stand-in for Firestore."""

    def __init__(self, server: StandInFirestore) -> None:
        self._server = server

    def set(self, *, wall: int, **_: int) -> None:
        by = timedelta(seconds=wall)
        self._server.stand_in.clock = lambda: datetime.now(UTC) + by


class World:
    """The function, its storage, and the time that passes for both.

    Args:
        start: starts the function; its clocks are the first, those of its storage the others.
        server: where it counts, if not in its memory.
    """

    def __init__(
        self,
        start: Callable[[ExitStack], Stack],
        clocks: Sequence[Clocks | FirestoreClock],
        server: RedisServer | StandInFirestore | None = None,
    ) -> None:
        self._start, self._clocks, self.server = start, clocks, server
        self._running = ExitStack()
        self._ahead = self._drift = 0
        self.seen: Counter[str] = Counter()
        self.start()

    def now(self) -> float:
        """The true time."""
        return time.time() + self._ahead

    def let_pass(self, seconds: int) -> None:
        self._ahead += seconds
        self._set()

    def step_wall(self, drift: int) -> None:
        """Let the wall clock of the function be some seconds wrong."""
        self._drift = drift
        self._set()

    def end_of(self, time_of_function: str) -> float:
        """The true time of one that the function named."""
        return datetime.fromisoformat(time_of_function).timestamp() - self._drift

    def start(self) -> None:
        """Start the function, and wait until it has the keys: a clock step can break the fetch."""
        self.function = self._start(self._running)
        self.function.issuer.clock = lambda: self.now() + self._drift
        until(lambda: self.function.ask(b"[]").status == 400)

    def kill(self) -> None:
        """Kill the function and its worker, and start another."""
        os.killpg(self.function.function.process.pid, signal.SIGKILL)
        self.close()
        self.start()

    def close(self) -> None:
        self._running.close()

    def _set(self) -> None:
        self.function.clock.by = timedelta(seconds=self._ahead + self._drift)
        own, *others = self._clocks
        own.set(wall=self._ahead + self._drift, monotonic=self._ahead)
        for each in others:
            each.set(wall=self._ahead, monotonic=self._ahead)
