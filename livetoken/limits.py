"""Rate limits: how many tokens of a profile each caller gets, counted by the `limits` library.

A caller's first use opens a window, and each use belongs to one window. What arrives late (a use
that is given back, a command that a hanging Redis runs after all) changes its own window and never
the next. The library's fixed window cannot do that: its counters keep one name for good, and on
Redis they get their expiry by a second command, without which they would never end.

The library is imported only if a policy has a limit.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from livetoken.caller import Caller
from livetoken.policy import Limit, Profile
from livetoken.refusals import Detail, Reason, Refused

if TYPE_CHECKING:
    from limits.aio.storage import MemoryStorage, RedisStorage

_T = TypeVar("_T")

SCHEMES = ("async+memory", "async+redis")
"""The accepted schemes of the library. Over TLS, coredis and uvloop were seen to lose commands."""

MAX_CONNECTIONS = 16
"""Connections to Redis. Each sends its commands without waiting for answers."""

KEPT_AFTER = 60
"""Seconds for which Redis keeps a counter past its window, for requests at the boundary."""

CALL_TIMEOUT = 1.0  # seconds for each call of the storage
RETRY_AFTER = 2  # seconds, if the storage is down


def is_storage(uri: str, *, is_used: bool) -> bool:
    """Whether a storage URI has an accepted scheme, and no options that would undo ours.

    If it `is_used`, the library must accept it too. This connects to nothing.
    """
    is_accepted = uri.partition("://")[0] in SCHEMES and "?" not in uri
    if not is_accepted or not is_used:
        return is_accepted
    try:
        _open(uri)
        return uri.startswith("async+memory:") or bool(urlsplit(uri).hostname)
    except Exception:  # of the library or of its client: it does not accept the URI
        return False


@dataclass(frozen=True)
class _Use:
    """One use, the `count`th in its window, which ends at `window_end` seconds since the epoch."""

    key: str
    count: int
    window_end: float

    async def take_out(self, storage: "_Storage") -> None:
        """Take the use out of its window."""
        await storage.take_out(self.key, self.window_end)


class Limiter:
    """Counts uses.

    Args:
        uri: a storage URI that `is_storage`. The first use opens it.
        now: seconds since the epoch.
    """

    def __init__(self, uri: str, *, now: Callable[[], float] = time.time) -> None:
        self._uri = uri
        self._now = now
        self._storage: _Storage | None = None

    @asynccontextmanager
    async def use(self, caller: Caller, profile: Profile) -> AsyncIterator[None]:
        """Count one use of a profile around its mint.

        If the mint surely made no token, the use is given back. If that is in doubt, it stays used.

        Raises:
            Refused: LIMIT_REACHED, in which case nothing is counted, or LIMITS_UNAVAILABLE.
        """
        uses: list[_Use] = []
        try:
            for limit in sorted(profile.limits, key=lambda each: each.seconds):
                use = await self._count(_key(caller, profile, limit), limit)
                uses.append(use)
                if use.count > limit.amount:
                    wait = max(1, int(use.window_end - self._now()) + 1)
                    rule = profile.limit_path
                    raise Refused(Reason.LIMIT_REACHED, retry_after=wait, rule=rule)
            yield
        except Refused as refusal:
            if not refusal.in_doubt:
                await self._give_back(uses)
            raise

    async def warm(self) -> None:
        """Connect, and load the scripts into Redis, before many requests come at once."""
        with suppress(Refused):
            await self._call(lambda storage: storage.add("warm", 1))

    async def _count(self, key: str, limit: Limit) -> _Use:
        count, end = await self._call(lambda storage: storage.add(key, limit.seconds))
        return _Use(key, count, end)

    async def _give_back(self, uses: list[_Use]) -> None:
        """Take uses out of their windows. If the storage is down, they stay used."""
        with suppress(Refused):
            for each in uses:
                await self._call(each.take_out)

    async def _call(self, call: Callable[["_Storage"], Coroutine[Any, Any, _T]]) -> _T:
        self._storage = self._storage or _open(self._uri)
        # A task, not asyncio.timeout: coredis may swallow the cancellation and go on waiting.
        task = asyncio.create_task(call(self._storage))
        task.add_done_callback(_forget)
        try:
            await asyncio.wait((task,), timeout=CALL_TIMEOUT)
            if not task.done():
                raise TimeoutError
            return task.result()
        except Exception as error:  # storages raise many kinds, and none may let a request pass
            detail = Detail.NO_ANSWER if isinstance(error, TimeoutError) else Detail.CONNECTION
            raise Refused(Reason.LIMITS_UNAVAILABLE, detail, retry_after=RETRY_AFTER) from error
        finally:
            task.cancel()


def _forget(task: "asyncio.Task[Any]") -> None:
    """Retrieve the exception of an abandoned task, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True)
class _InMemory:
    """Counts by key, in windows of some seconds, in the memory of this process."""

    storage: "MemoryStorage"

    async def add(self, key: str, seconds: int) -> tuple[int, float]:
        """Count a use. Return the number of uses in its window, and the window's end."""
        count = await self.storage.incr(key, seconds)
        return count, await self.storage.get_expiry(key)

    async def take_out(self, key: str, window_end: float) -> None:
        if await self.storage.get_expiry(key) == window_end:
            await self.storage.decr(key)  # stops at 0 if the window ends just now


@dataclass(frozen=True)
class _InRedis:
    """A Redis server, shared by all instances. Each window has a counter of its own.

    The open window is the one entry of a moving window of size one. Its time is exact, while a
    key's time to live is in whole seconds.
    """

    storage: "RedisStorage"

    async def add(self, key: str, seconds: int) -> tuple[int, float]:
        end = await self._end(key, seconds)
        return await self.storage.incr(f"{key}/{end}", seconds + KEPT_AFTER), end

    async def take_out(self, key: str, window_end: float) -> None:
        await self.storage.incr(f"{key}/{window_end}", KEPT_AFTER, -1)

    async def _end(self, key: str, seconds: int) -> float:
        while True:
            start, opened = await self.storage.get_moving_window(key, 1, seconds)
            if opened:
                return start + seconds
            await self.storage.acquire_entry(key, 1, seconds)


_Storage: TypeAlias = _InMemory | _InRedis


def _open(uri: str) -> _Storage:
    from limits.aio.storage import MemoryStorage, RedisStorage

    if uri.startswith("async+memory:"):
        return _InMemory(MemoryStorage())
    from coredis.pool import BlockingConnectionPool
    from coredis.retry import NoRetryPolicy

    options: dict[str, Any] = {
        "connection_pool": BlockingConnectionPool.from_url(
            uri.removeprefix("async+"), max_connections=MAX_CONNECTIONS
        ),
        # A command may have run although its connection broke. A retry could give a use back twice.
        "retry_policy": NoRetryPolicy(),
    }
    return _InRedis(RedisStorage(uri, key_prefix="livetoken", **options))


def _key(caller: Caller, profile: Profile, limit: Limit) -> str:
    """Name what is counted together, without storing who the caller is."""
    account = hashlib.sha256(caller.account.text.encode()).hexdigest()
    return f"{account}/{profile.name}/{limit.seconds}"
