"""Storages whose clock a test sets."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis_server import RedisServer

from livetoken.limits import redis as in_redis
from livetoken.limits.redis import InRedis

_TIME = "redis.call('TIME')"
_CLOCK = "{math.floor(redis.call('GET', 'clock') / 1000), redis.call('GET', 'clock') % 1000 * 1000}"


class Clock:
    """Milliseconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_764_332_628_123

    def __call__(self) -> int:
        return self.now


async def close(storage: InRedis) -> None:
    """Close its connections, before their event loop is."""
    for client in (storage._first, *storage._nodes.values()):
        await client.connection_pool.disconnect()


class ClockedRedis(InRedis):
    """Counts in a Redis server by a clock, in place of the server's own, from zero."""

    def __init__(self, server: RedisServer, clock: Clock) -> None:
        super().__init__(server.uri.removeprefix("async+"))
        self._clock, self._is_new = clock, True

    async def _run(self, *words: object) -> object:
        if self._is_new:
            await self._redis.flushdb()
            self._is_new = False
        await self._redis.set("clock", self._clock())
        # `object` stands for the types of InRedis._run, whose arguments are passed on unchanged.
        return await super()._run(*words)  # type: ignore[arg-type]


@contextmanager
def clocked_script() -> Iterator[None]:
    """Let count.lua take the time from the key `clock`."""
    script = in_redis.SCRIPT.replace(_TIME, _CLOCK)
    assert script != in_redis.SCRIPT
    sha1 = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_redis, "SCRIPT", script)
        patch.setattr(in_redis, "SHA1", sha1)
        yield
