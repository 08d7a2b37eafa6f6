"""Limits in a real Redis: counted together, and nothing is minted when Redis fails."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from limited import AT_ONCE, NUMBERS, POLICY, Limited, connect, new_caller
from redis_server import PASSWORD, RedisServer
from stack import Stack, stack, until

from emulator.tls import Certificate
from livetoken import limits
from livetoken.refusals import Reason


@pytest.fixture(scope="module")
def functions(certificate: Certificate, redis: RedisServer) -> Iterator[tuple[Stack, Stack]]:
    """Two functions that count in one Redis."""
    with (
        stack(certificate) as unstarted,
        unstarted.running(POLICY, LIMITS_STORAGE=redis.uri) as first,
        unstarted.running(POLICY, LIMITS_STORAGE=redis.uri) as second,
    ):
        connect(first)
        connect(second)
        yield first, second


@pytest.fixture
def limited(functions: tuple[Stack, Stack]) -> Iterator[Limited]:
    """A caller who has not asked yet."""
    with new_caller(functions[0]) as caller:
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


def test_two_functions_count_together(limited: Limited, functions: tuple[Stack, Stack]) -> None:
    limited.gemini.behaviour.delay = 1.5
    before = len(functions[1].log())
    answers = limited.at_once("crowd", AT_ONCE, functions[1])
    assert Counter(answer.status for answer in answers) == {200: 20, 429: AT_ONCE - 20}
    assert len(limited.gemini.minted()) == limited.gemini.most_at_once == 20
    assert len(functions[1].log()) - before == AT_ONCE / 2
    assert limited.ask("crowd").status == 429


def test_redis_gets_no_names_and_every_key_expires(limited: Limited, redis: RedisServer) -> None:
    redis.ask("FLUSHALL")
    limited.gemini.behaviour.faults.append(500)
    limited.statuses("both", 4)
    found = redis.keys()
    keys = [key for key in found if not key.startswith("livetoken:warm")]
    assert len(keys) == 4  # for each limit a window and its counter
    for key in keys:
        assert limited.sub not in key
        assert -1 != int(redis.ask("TTL", key)) <= 3600 + limits.KEPT_AFTER  # -1: never expires
    for database in (0, 1):
        assert redis.ask("DBSIZE", database=database) == "0\n"


@pytest.mark.provokes(Reason.LIMITS_UNAVAILABLE)
def test_a_redis_that_dies_mints_nothing_and_comes_back(
    limited: Limited, redis: RedisServer
) -> None:
    assert limited.ask().status == 200
    redis.die()
    try:
        for number in range(3):
            assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
            assert limited.logged(number + 2)["detail"] == "CONNECTION"
        assert limited.ask("free").status == 200
    finally:
        redis.start()
    assert len(limited.gemini.minted()) == 2
    assert limited.statuses("default", 4) == [200, 200, 200, 429]
    for hidden in (PASSWORD, "Traceback"):
        assert hidden not in limited.function.function.output()


def test_a_redis_that_hangs_costs_a_second_and_mints_nothing(
    limited: Limited, redis: RedisServer
) -> None:
    assert limited.ask().status == 200
    redis.hang()
    try:
        for number in range(2):
            began = time.monotonic()
            assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
            assert 0.9 < time.monotonic() - began < 1.9
            assert limited.logged(number + 2)["detail"] == "NO_ANSWER"
    finally:
        redis.go_on()
    assert len(limited.gemini.minted()) == 1
    assert limited.statuses("other", 4) == [200, 200, 200, 429]


def test_a_hang_amid_a_crowd_never_mints_one_too_many(limited: Limited, redis: RedisServer) -> None:
    def hang() -> None:
        until(lambda: limited.gemini.mints)
        redis.hang()
        time.sleep(1.5)
        redis.go_on()

    limited.gemini.behaviour.delay = 0.2
    amid = threading.Thread(target=hang)
    amid.start()
    first = limited.at_once("crowd", 60, apart=0.02)
    amid.join()
    reasons = {answer.json["error"]["details"]["reason"] for answer in first if answer.status > 200}
    assert "LIMITS_UNAVAILABLE" in reasons
    assert reasons <= {"LIMIT_REACHED", "LIMITS_UNAVAILABLE"}
    until(lambda: limited.ask("other").status == 200)
    minted = [answer.status for answer in first].count(200)
    minted += limited.statuses("crowd", 30).count(200)
    assert minted <= 20


@pytest.mark.slow
@pytest.mark.parametrize("hung", [1.5, 4.0])
def test_a_late_decrement_does_not_reach_the_next_window(
    limited: Limited, redis: RedisServer, hung: float
) -> None:
    """A hanging server accepts the command, and runs it when the window may be over."""
    limited.gemini.behaviour.delay = 0.5
    limited.gemini.behaviour.fault = 500

    def hang() -> None:
        until(lambda: limited.gemini.mints)
        redis.hang()

    began = time.monotonic()
    threading.Thread(target=hang).start()
    assert limited.ask("one").is_refusal(Reason.GEMINI_UNAVAILABLE)
    time.sleep(max(0, began + hung - time.monotonic()))
    limited.gemini.behaviour.delay = 0
    limited.gemini.behaviour.fault = None
    redis.go_on()
    time.sleep(max(0.0, began + 4.5 - time.monotonic()))
    assert limited.statuses("one", 3) == [200, 429, 429]
    time.sleep(3.1)
    assert limited.statuses("one", 3) == [200, 429, 429]


def test_a_crowd_can_use_a_new_redis_at_once(alone: Stack, redis: RedisServer) -> None:
    redis.ask("SCRIPT", "FLUSH")
    redis.ask("FLUSHALL")  # no key of an earlier warm-up
    before = redis.ask("CLIENT", "LIST").count("\n")
    with alone.running(POLICY, LIMITS_STORAGE=redis.uri) as livetoken:
        until(lambda: "livetoken:warm/" in redis.ask("KEYS", "*"))
        assert livetoken.ask({"profile": "free"}).status == 200  # all but Redis has been asked
        answers = Limited(livetoken, f"ada-{next(NUMBERS)}", 0).at_once("crowd", 30)
        assert Counter(answer.status for answer in answers) == {200: 20, 429: 10}
        assert redis.ask("CLIENT", "LIST").count("\n") - before <= limits.MAX_CONNECTIONS


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
    cutter.cuts_after = b"$2\r\n-1\r\n"
    assert behind.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert cutter.cuts_after is None
    assert behind.statuses("default", 3) == [200, 429, 429]


def test_a_use_is_subtracted_if_another_limit_cannot_be_counted(
    behind: Limited, cutter: Cutter
) -> None:
    for _ in range(3):
        cutter.cuts_after = b"/day/86400"
        assert behind.ask("day").is_refusal(Reason.LIMITS_UNAVAILABLE)
    assert behind.statuses("day", 3) == [200, 200, 429]


def test_a_wrong_password_mints_nothing(alone: Stack, redis: RedisServer) -> None:
    uri = redis.uri.replace(PASSWORD, "wrong-password-98765")
    with alone.running(POLICY, LIMITS_STORAGE=uri) as livetoken:
        assert livetoken.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
        assert livetoken.ask({"profile": "free"}).status == 200
        assert "wrong-password" not in livetoken.function.output()
    assert len(alone.gemini.minted()) == 1
