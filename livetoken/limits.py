"""How often: what each caller may have of each profile, counted by the `limits` library.

A limit counts in windows that the caller's first use opens. A use belongs to one window, so that
whatever arrives late (a use given back, a command that a hanging Redis runs after all) changes a
window that is over and never the next. The library's own fixed window cannot give that: its
counters keep one name for good, and on Redis get their expiry by a second command, without which
they would never end.

The library is imported only where a policy has a limit.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from livetoken.callers import Caller
from livetoken.gemini import Attempt
from livetoken.policy import Profile
from livetoken.refusals import Detail, Reason, Refused
from livetoken.rules import Limit

if TYPE_CHECKING:
    from limits.aio.storage import MemoryStorage, RedisStorage

_T = TypeVar("_T")

SCHEMES = ("async+memory", "async+redis")
"""The library's schemes that are taken. Over TLS, coredis and uvloop were seen to lose commands."""

MAX_CONNECTIONS = 16
"""To Redis; commands follow one another on each without waiting for answers."""

OUTLIVES = 60
"""Seconds for which a counter in Redis outlives its window, for whoever comes at the turn."""

CALL_TIMEOUT = 1.0  # seconds for each call of the storage
RETRY_AFTER = 2  # seconds, where the storage is down


def is_taken(uri: str) -> bool:
    """Whether a storage URI is of `SCHEMES`, without options that would undo those set here."""
    return uri.partition("://")[0] in SCHEMES and "?" not in uri


def is_storage(uri: str) -> bool:
    """Whether the library opens a storage by that URI; it connects to nothing yet."""
    try:
        _open(uri)
        return uri.startswith("async+memory:") or bool(urlsplit(uri).hostname)
    except Exception:  # whatever the library and the client under it make of a bad one
        return False


@dataclass(frozen=True)
class _Use:
    """One use, the `count`th in its window; the end is in seconds since the epoch."""

    key: str
    count: int
    window_end: float


class Limits:
    """Counts uses.

    Args:
        uri: one that `is_taken` and `is_storage`; it is opened at the first use.
        now: seconds since the epoch.
    """

    def __init__(self, uri: str, *, now: Callable[[], float] = time.time) -> None:
        self._uri = uri
        self._now = now
        self._storage: _Storage | None = None

    @asynccontextmanager
    async def use(self, caller: Caller, profile: Profile, attempt: Attempt) -> AsyncIterator[None]:
        """Count one use of a profile around its mint.

        A mint that surely made no token gives its use back; one in doubt has used it.

        Raises:
            Refused: LIMIT_REACHED, and nothing is counted; or LIMITS_UNAVAILABLE.
        """
        uses: list[_Use] = []
        try:
            for limit in sorted(profile.limit, key=lambda each: each.seconds):
                use = await self._count(_key(caller, profile, limit), limit)
                uses.append(use)
                if use.count > limit.amount:
                    wait = max(1, int(use.window_end - self._now()) + 1)
                    rule = f"{profile.path}.limit"
                    raise Refused(Reason.LIMIT_REACHED, retry_after=wait, rule=rule)
            yield
        except Refused:
            if not attempt.in_doubt:
                await self._give_back(uses)
            raise

    async def warm(self) -> None:
        """Connect, and have a Redis learn its scripts, before callers come all at once."""
        with suppress(Refused):
            await self._call(lambda storage: storage.add("warm", 1))

    async def _count(self, key: str, limit: Limit) -> _Use:
        count, end = await self._call(lambda storage: storage.add(key, limit.seconds))
        return _Use(key, count, end)

    async def _give_back(self, uses: list[_Use]) -> None:
        """Take uses out of their windows; where the storage is down they stay used."""
        with suppress(Refused):
            for use in uses:
                await self._take_out(use)

    async def _take_out(self, use: _Use) -> None:
        await self._call(lambda storage: storage.take_out(use.key, use.window_end))

    async def _call(self, call: Callable[["_Storage"], Coroutine[Any, Any, _T]]) -> _T:
        self._storage = self._storage or _open(self._uri)
        # A task, and not asyncio.timeout: coredis may swallow its cancellation and go on waiting.
        task = asyncio.create_task(call(self._storage))
        task.add_done_callback(_forget)
        try:
            await asyncio.wait((task,), timeout=CALL_TIMEOUT)
            if not task.done():
                raise TimeoutError
            return task.result()
        except Exception as error:  # a storage has many, and none of them may let anybody pass
            detail = Detail.NO_ANSWER if isinstance(error, TimeoutError) else Detail.CONNECTION
            raise Refused(Reason.LIMITS_UNAVAILABLE, detail, retry_after=RETRY_AFTER) from error
        finally:
            task.cancel()


def _forget(task: "asyncio.Task[Any]") -> None:
    """Take note of how a call ended that nobody waited for, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()


class _Storage(Protocol):
    """Counts by key, in windows of some seconds."""

    async def add(self, key: str, seconds: int) -> tuple[int, float]:
        """Count a use; return how many there are in its window, and the window's end."""

    async def take_out(self, key: str, window_end: float) -> None:
        """Take a use out of its window."""


class _InMemory:
    """This process's own memory: another instance counts for itself."""

    def __init__(self, storage: "MemoryStorage") -> None:
        self._storage = storage

    async def add(self, key: str, seconds: int) -> tuple[int, float]:
        count = await self._storage.incr(key, seconds)
        return count, await self._storage.get_expiry(key)

    async def take_out(self, key: str, window_end: float) -> None:
        if await self._storage.get_expiry(key) == window_end:
            await self._storage.decr(key)  # never below 0, should the window end just now


class _InRedis:
    """A Redis server, for all instances together: each window has a counter of its own.

    Which window is open, the one entry of a moving window of one tells: its time is exact, where a
    key's time to live is in whole seconds.
    """

    def __init__(self, storage: "RedisStorage") -> None:
        self._storage = storage

    async def add(self, key: str, seconds: int) -> tuple[int, float]:
        end = await self._end(key, seconds)
        return await self._storage.incr(f"{key}/{end}", seconds + OUTLIVES), end

    async def take_out(self, key: str, window_end: float) -> None:
        await self._storage.incr(f"{key}/{window_end}", OUTLIVES, -1)

    async def _end(self, key: str, seconds: int) -> float:
        while True:
            start, opened = await self._storage.get_moving_window(key, 1, seconds)
            if opened:
                return start + seconds
            await self._storage.acquire_entry(key, 1, seconds)


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
        # A command whose connection broke may have run: sent again, it would give a use back twice.
        "retry_policy": NoRetryPolicy(),
    }
    return _InRedis(RedisStorage(uri, key_prefix="livetoken", **options))


def _key(caller: Caller, profile: Profile, limit: Limit) -> str:
    """Name what is counted together; who it is stays out of the storage."""
    person = hashlib.sha256(f"{caller.issuer}\n{caller.sub}".encode()).hexdigest()
    return f"{person}/{profile.name}/{limit.seconds}"
