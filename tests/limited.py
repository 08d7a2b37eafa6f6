"""A function whose profiles have limits, and its callers."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from asking import profile
from firestore_server import firestore_server
from policies import HEAD
from redis_server import RedisServer
from stack import Answer, Stack, until

from emulator.gemini import Gemini

AT_ONCE = 200  # requests
NUMBERS = count()
PROFILES = {
    "default": 'limit = "3/hour"',
    "other": 'limit = "3/hour"',
    "soon": 'limit = "2/2 seconds"',
    "both": 'limit = "2/2 seconds; 3/hour"',
    "one": 'limit = "1/3 seconds"',
    "crowd": 'limit = "20/hour"',
    "free": "",
    "paid": 'limit = "1/hour"\nrequire.plan = ["pro"]',
    "day": 'limit = "2/hour; 10/day"',
    "long": 'limit = "30/hour; 2/20 seconds"',
}
SESSIONS = {
    "minutes": 'budget = "8m/hour"\nexpires_in = "5m"\nleast = "2m"',
    "split": 'budget = "4s/5 seconds"\nexpires_in = "3s"\nleast = "1s"',
    "single": 'at_once = 1\nexpires_in = "4s"',
    "pair": 'at_once = 2\nexpires_in = "5m"',
}
"""Profiles whose sessions can be resumed."""
POLICY = (
    HEAD
    + "".join(profile(name, settings) for name, settings in PROFILES.items())
    + "".join(
        profile(name, settings, "session_resumption = {}") for name, settings in SESSIONS.items()
    )
)


def connect(started: Stack, in_a_row: int = 1) -> None:
    """Let a function connect to Redis, for another caller; on a busy machine it takes seconds.

    With several workers, ask often `in_a_row`, so that each of them answers.
    """
    another = started.issuer.id_token("ada", sub="another")
    until(lambda: all(started.ask(token=another).status in (200, 429) for _ in range(in_a_row)))


class Counting:
    """A function for each storage of limits, started when it is first used.

    Args:
        folder: for a Redis server.
        running: stops them in the end.
    """

    def __init__(self, unstarted: Stack, folder: Path, running: ExitStack) -> None:
        self._unstarted, self._folder, self._running = unstarted, folder, running
        self._functions: dict[str, Stack] = {}

    @cached_property
    def redis(self) -> RedisServer:
        """The server where the function for Redis counts."""
        return self._running.enter_context(RedisServer(self._folder))

    def function(self, storage: str) -> Stack:
        """The function that counts in memory, in redis or in firestore."""
        if storage not in self._functions:
            variables = {"PYTHONPROFILEIMPORTTIME": "1"}
            if storage == "redis":
                variables = {"LIMITS_STORAGE": self.redis.uri}
            if storage == "firestore":
                server = self._running.enter_context(firestore_server())
                variables = server.variables(self._unstarted)
            running = self._unstarted.running(POLICY, **variables)
            self._functions[storage] = self._running.enter_context(running)
            connect(self._functions[storage])
        return self._functions[storage]


@contextmanager
def new_caller(started: Stack) -> Iterator["Limited"]:
    """A caller who has not asked yet; afterwards the stand-in for Gemini is as it was."""
    gemini = started.gemini
    gemini.mints.clear()
    gemini.most_at_once = 0
    yield Limited(started, f"ada-{next(NUMBERS)}", len(started.log()))
    gemini.minted()
    gemini.behaviour.fault = None
    gemini.behaviour.faults.clear()
    gemini.behaviour.delay = 0


@dataclass(frozen=True)
class Limited:
    """A caller of one function, whose log had some lines before."""

    function: Stack
    sub: str
    lines: int

    @property
    def gemini(self) -> Gemini:
        return self.function.gemini

    def token(self, person: str = "ada", **claims: Any) -> str:
        return self.function.issuer.id_token(person, **{"sub": self.sub, **claims})

    def ask(self, profile: str = "default", token: str | None = None, **body: Any) -> Answer:
        return self.function.ask({"profile": profile, **body}, token=token or self.token())

    def statuses(self, profile: str, count: int) -> list[int]:
        return [self.ask(profile).status for _ in range(count)]

    def logged(self, number: int) -> dict[str, Any]:
        """The line of the `number`th decision since then."""
        return self.function.logged(self.lines + number)

    def at_once(
        self, profile: str, count: int = AT_ONCE, *more: Stack, apart: float = 0
    ) -> list[Answer]:
        """The answers to requests sent together, or some seconds apart without waiting for answers.

        Args:
            more: functions that are asked in turn with this one.
            apart: seconds between two requests.
        """
        token, ready = self.token(), threading.Barrier(count, timeout=60)
        asked = (self.function, *more)

        def ask(number: int) -> Answer:
            ready.wait()
            time.sleep(number * apart)
            return asked[number % len(asked)].ask({"profile": profile}, token=token)

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(ask, range(count)))
