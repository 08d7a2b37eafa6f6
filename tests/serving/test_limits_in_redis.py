"""Limits in a real Redis: what it stores, and what its connections do when they break.

What other storages promise too is in test_storages.py.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from limited import NUMBERS, POLICY, Limited, connect, new_caller
from redis_server import PASSWORD, RedisServer
from stack import Stack, stack, until

from emulator.tls import Certificate
from livetoken.limits.redis import MOST_AT_A_TIME, SHA1
from livetoken.refusals import Reason

KEPT_AFTER = 60  # seconds for which count.lua keeps a key that no longer counts


@pytest.fixture(scope="module")
def function(certificate: Certificate, redis: RedisServer) -> Iterator[Stack]:
    with (
        stack(certificate) as unstarted,
        unstarted.running(POLICY, LIMITS_STORAGE=redis.uri) as started,
    ):
        connect(started)
        yield started


@pytest.fixture
def limited(function: Stack) -> Iterator[Limited]:
    """A caller who has not asked yet."""
    with new_caller(function) as caller:
        yield caller


class Cutter:
    """A proxy that closes a connection once it has carried certain bytes to the server."""

    def __init__(self, port: int) -> None:
        self.cuts_after: bytes | None = None
        self._generation = 0
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def uri(self, redis: RedisServer) -> str:
        """The storage URI of a server through this proxy."""
        return redis.uri.replace(str(redis.port), str(self._listener.getsockname()[1]))

    def swallow(self) -> None:
        """Forward nothing more on the open connections, and leave them open."""
        self._generation += 1

    def __enter__(self) -> "Cutter":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket) -> None:
        generation = self._generation
        with suppress(OSError), source, to:
            while data := source.recv(65_536):
                if generation != self._generation:
                    continue
                cuts = self.cuts_after is not None and self.cuts_after in data
                if cuts:
                    self.cuts_after = None
                    source.shutdown(socket.SHUT_RDWR)
                to.sendall(data)
                if cuts:
                    time.sleep(0.05)  # the server runs it
                    return


@pytest.fixture(scope="module")
def cutter(redis: RedisServer) -> Iterator[Cutter]:
    with Cutter(redis.port) as made:
        yield made


@pytest.fixture(scope="module")
def function_behind(
    certificate: Certificate, redis: RedisServer, cutter: Cutter
) -> Iterator[Stack]:
    with (
        stack(certificate) as unstarted,
        unstarted.running(POLICY, LIMITS_STORAGE=cutter.uri(redis)) as started,
    ):
        yield started


@pytest.fixture
def behind(function_behind: Stack) -> Iterator[Limited]:
    """A caller of a function that reaches Redis through the cutter."""
    with new_caller(function_behind) as caller:
        until(lambda: caller.ask("long").status == 200)  # connected
        caller.gemini.mints.clear()
        yield caller


def test_redis_gets_no_names_and_every_key_expires(limited: Limited, redis: RedisServer) -> None:
    redis.ask("FLUSHALL")
    limited.gemini.behaviour.faults.append(500)
    limited.statuses("both", 4)
    limited.statuses("minutes", 2)
    limited.ask("minutes", resume="h")
    assert len(redis.keys()) == 2  # one for each profile
    for key in sorted(redis.keys()):
        assert limited.sub not in key
        assert 3500 < int(redis.ask("TTL", key)) <= 3600 + KEPT_AFTER
    for database in (0, 1):
        assert redis.ask("DBSIZE", database=database) == "0\n"


def test_a_crowd_can_use_a_new_redis_at_once(alone: Stack, redis: RedisServer) -> None:
    redis.ask("SCRIPT", "FLUSH")
    redis.ask("FLUSHALL")  # no key of an earlier warm-up
    before = redis.ask("CLIENT", "LIST").count("\n")
    with alone.running(POLICY, LIMITS_STORAGE=redis.uri) as livetoken:
        until(lambda: redis.ask("SCRIPT", "EXISTS", SHA1) == "1\n")
        assert livetoken.ask({"profile": "free"}).status == 200  # all but Redis has been asked
        answers = Limited(livetoken, f"ada-{next(NUMBERS)}", 0).at_once("crowd", 30)
        assert Counter(answer.status for answer in answers) == {200: 20, 429: 10}
        assert redis.ask("CLIENT", "LIST").count("\n") - before <= MOST_AT_A_TIME


def test_a_connection_that_redis_closed_is_replaced(limited: Limited, redis: RedisServer) -> None:
    for _ in range(3):
        assert limited.ask().status == 200
        redis.ask("CLIENT", "KILL", "TYPE", "normal")
        time.sleep(0.1)


def test_a_connection_that_goes_silent_is_replaced(behind: Limited, cutter: Cutter) -> None:
    assert behind.ask().status == 200
    cutter.swallow()
    assert behind.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
    assert behind.statuses("other", 4) == [200, 200, 200, 429]


def test_a_failed_mint_is_subtracted_once_if_the_connection_breaks(
    behind: Limited, cutter: Cutter
) -> None:
    assert behind.statuses("default", 2) == [200, 200]
    behind.gemini.behaviour.faults.append(500)
    cutter.cuts_after = b"give back"
    assert behind.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert cutter.cuts_after is None
    assert behind.statuses("default", 3) == [200, 429, 429]


def test_a_use_counts_once_if_the_connection_breaks(behind: Limited, cutter: Cutter) -> None:
    cutter.cuts_after = b"reserve"
    assert behind.ask("day").is_refusal(Reason.LIMITS_UNAVAILABLE)
    assert behind.statuses("day", 3) == [200, 429, 429]


def test_a_wrong_password_mints_nothing(alone: Stack, redis: RedisServer) -> None:
    uri = redis.uri.replace(PASSWORD, "wrong-password-98765")
    with alone.running(POLICY, LIMITS_STORAGE=uri) as livetoken:
        assert livetoken.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
        assert livetoken.ask({"profile": "free"}).status == 200
        assert "wrong-password" not in livetoken.function.output()
    assert len(alone.gemini.minted()) == 1
