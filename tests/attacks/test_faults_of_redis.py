"""A Redis that is there and does not count: nothing is minted, and nobody gets more afterwards.

One that dies, hangs or cuts connections is in test_limits_in_redis.py.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from faults import LIMITED, connect, faulty, within
from redis_server import RedisServer
from stack import Stack, until

from livetoken.limits.limiter import CALL_TIMEOUT
from livetoken.refusals import Reason

SOON = CALL_TIMEOUT + 1.5  # seconds, on a busy machine


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


Change = Callable[[RedisServer], object]


def setting(name: str, value: str) -> Change:
    return lambda redis: redis.ask("CONFIG", "SET", name, value)


FAULTS: dict[str, tuple[Change, Change]] = {
    "out of memory": (setting("maxmemory", "1"), setting("maxmemory", "0")),
    "a read-only replica": (
        lambda redis: redis.ask("REPLICAOF", "127.0.0.1", "1"),
        lambda redis: redis.ask("REPLICAOF", "NO", "ONE"),
    ),
    "too few replicas": (
        setting("min-replicas-to-write", "1"),
        setting("min-replicas-to-write", "0"),
    ),
    "paused": (
        lambda redis: redis.ask("CLIENT", "PAUSE", "60000", "WRITE"),
        lambda redis: redis.ask("CLIENT", "UNPAUSE"),
    ),
    "no permission": (
        lambda redis: redis.ask("ACL", "SETUSER", "default", "-@write"),
        lambda redis: redis.ask("ACL", "SETUSER", "default", "+@all"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_redis_that_cannot_count_mints_nothing_until_it_can(
    alone: Stack, redis: RedisServer, fault: str
) -> None:
    breaks, mends = FAULTS[fault]
    with faulty(alone, LIMITED, LIMITS_STORAGE=redis.uri) as livetoken:
        connect(livetoken)
        assert livetoken.ask().status == 200
        breaks(redis)
        for _ in range(3):
            within(SOON, livetoken.ask, Reason.LIMITS_UNAVAILABLE)
        assert len(alone.gemini.mints) == 1
        assert livetoken.ask({"profile": "short"}).status == 200  # it has no limit
        mends(redis)
        statuses = [livetoken.ask().status for _ in range(4)]
        # A paused command runs in the end, and may count: a use lost, never gained.
        assert statuses in ([200, 200, 429, 429], [200, 429, 429, 429], [429] * 4)
        assert fault == "paused" or statuses.count(200) == 2


def test_a_redis_that_starts_after_the_function_is_found(alone: Stack, redis: RedisServer) -> None:
    redis.die()
    with faulty(alone, LIMITED, LIMITS_STORAGE=redis.uri) as livetoken:
        within(SOON, livetoken.ask, Reason.LIMITS_UNAVAILABLE)
        redis.start()
        connect(livetoken)
        assert [livetoken.ask().status for _ in range(4)] == [200, 200, 200, 429]


def test_a_redis_that_hangs_as_the_function_starts_is_found(
    alone: Stack, redis: RedisServer
) -> None:
    redis.hang()
    with faulty(alone, LIMITED, LIMITS_STORAGE=redis.uri) as livetoken:
        within(SOON, livetoken.ask, Reason.LIMITS_UNAVAILABLE)
        redis.go_on()
        until(lambda: livetoken.ask().status != 503)
        assert len(alone.gemini.minted()) <= 3


@pytest.mark.parametrize("flush", ["FLUSHALL", "SCRIPT FLUSH"])
def test_a_redis_that_is_emptied_counts_from_zero(
    alone: Stack, redis: RedisServer, flush: str
) -> None:
    """Nobody meets an error. Its scripts gone, it is given them again, and has lost no count."""
    with faulty(alone, LIMITED, LIMITS_STORAGE=redis.uri) as livetoken:
        connect(livetoken)
        assert [livetoken.ask().status for _ in range(4)] == [200, 200, 200, 429]
        redis.ask(*flush.split())
        again = [200, 200, 200, 429] if flush == "FLUSHALL" else [429] * 4
        assert [livetoken.ask().status for _ in range(4)] == again


class Slow:
    """A proxy that takes some seconds for each answer of the server."""

    def __init__(self, redis: RedisServer) -> None:
        self.seconds = 0.0
        self._redis = redis
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = redis.uri.replace(str(redis.port), str(self._listener.getsockname()[1]))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError), self._listener:
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._redis.port))
                for ends in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket, slow: bool) -> None:
        with suppress(OSError), source, to:
            while data := source.recv(65_536):
                time.sleep(self.seconds * slow)
                to.sendall(data)

    def __enter__(self) -> "Slow":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("seconds", "served"), [(0.4, True), (1.3, False)])
def test_a_slow_redis_serves_within_its_second_or_mints_nothing(
    alone: Stack, redis: RedisServer, seconds: float, served: bool
) -> None:
    """A use that was counted too late is lost, and never gained."""
    with ExitStack() as order:
        slow = order.enter_context(Slow(redis))
        livetoken = order.enter_context(faulty(alone, LIMITED, LIMITS_STORAGE=slow.uri))
        connect(livetoken)
        assert livetoken.ask().status == 200
        slow.seconds = seconds
        if served:
            assert livetoken.ask().status == 200
        else:
            within(SOON, livetoken.ask, Reason.LIMITS_UNAVAILABLE)
        slow.seconds = 0
        time.sleep(4 * seconds)  # what waits in the proxy arrives
        for _ in range(4):
            livetoken.ask()
        assert livetoken.ask().is_refusal(Reason.LIMIT_REACHED)
        assert 2 <= len(alone.gemini.minted()) <= 3
