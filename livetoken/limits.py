"""How often: what each caller may have of each profile, counted by the `limits` library.

A limit counts in windows that the caller's first use opens. Each window has a counter of its own,
named after the window's end, so that whatever arrives late (a use given back, a command that a
hanging server runs after all) changes a window that is over and never the next. The library's own
fixed window cannot give that: its counters keep one name for good, and on Redis get their expiry
by a second command, without which they would never end.

The library is imported only where a policy has a limit.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from livetoken.callers import Caller
from livetoken.gemini import Attempt
from livetoken.policy import Profile
from livetoken.refusals import Detail, Reason, Refused
from livetoken.rules import Limit

if TYPE_CHECKING:
    from limits.aio.storage import MemoryStorage, RedisStorage, Storage

_T = TypeVar("_T")

SCHEMES = ("async+memory", "async+redis")
"""The library's schemes that are taken. Over TLS, coredis and uvloop were seen to lose commands."""

MAX_CONNECTIONS = 16
"""To Redis; commands follow one another on each without waiting for answers."""

CALL_TIMEOUT = 1.0  # seconds for each call of the storage
RETRY_AFTER = 2  # seconds, where the storage is down


def is_storage(uri: str) -> bool:
    """Whether it is a storage URI of the `limits` library, of `SCHEMES`."""
    try:
        _open(uri)
    except Exception:  # whatever the library and the client under it make of a bad one
        return False
    return True


@dataclass(frozen=True)
class _Use:
    """One use, the `count`th in its window."""

    counter: str
    limit: Limit
    window_end: float
    count: int


class Limits:
    """Counts uses.

    Args:
        uri: one that `is_storage`; it is opened at the first use.
        now: seconds since the epoch.
    """

    def __init__(self, uri: str, *, now: Callable[[], float] = time.time) -> None:
        self._uri = uri
        self._now = now
        self._windows: _Windows | None = None

    @asynccontextmanager
    async def use(self, caller: Caller, profile: Profile, attempt: Attempt) -> AsyncIterator[None]:
        """Count one use of a profile around its mint.

        A mint that surely made no token gives its use back; one in doubt has used it.

        Raises:
            Refused: LIMIT_REACHED, and nothing is counted; or LIMITS_UNAVAILABLE.
        """
        uses = [await self._count(_key(caller, profile, limit), limit) for limit in profile.limit]
        full = [use for use in uses if use.count > use.limit.amount]
        if full:
            await self._give_back(uses)
            wait = max(use.window_end for use in full) - self._now()
            rule = f"profiles.{profile.name}.limit"
            raise Refused(Reason.LIMIT_REACHED, retry_after=max(1, int(wait) + 1), rule=rule)
        try:
            yield
        except Refused:
            if not attempt.in_doubt:
                await self._give_back(uses)
            raise

    async def _count(self, key: str, limit: Limit) -> _Use:
        end = await self._call(lambda windows: windows.end(key, limit.seconds))
        counter = f"{key}/{end}"
        return _Use(counter, limit, end, await self._add(1, counter, limit))

    async def _give_back(self, uses: list[_Use]) -> None:
        """Take uses out of their windows; where the storage is down they stay used."""
        with suppress(Refused):
            for use in uses:
                await self._add(-1, use.counter, use.limit)

    async def _add(self, amount: int, counter: str, limit: Limit) -> int:
        return await self._call(
            lambda windows: windows.storage.incr(counter, limit.seconds, amount)
        )

    async def _call(self, call: Callable[["_Windows"], Coroutine[Any, Any, _T]]) -> _T:
        self._windows = self._windows or _open(self._uri)
        # A task, and not asyncio.timeout: coredis may swallow its cancellation and go on waiting.
        task = asyncio.create_task(call(self._windows))
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


class _Windows(Protocol):
    """A storage, and how it tells which window is open."""

    @property
    def storage(self) -> "Storage": ...

    async def end(self, key: str, seconds: int) -> float:
        """Return the end of the window that is open; where none is, one is opened.

        It is in seconds since the epoch, and the same for everybody until the window ends.
        """


class _InMemory:
    """This process's own memory: another instance counts for itself."""

    def __init__(self, storage: "MemoryStorage") -> None:
        self.storage = storage

    async def end(self, key: str, seconds: int) -> float:
        if not await self.storage.get(key):
            await self.storage.incr(key, seconds)
        return await self.storage.get_expiry(key)


class _InRedis:
    """A Redis server, for all instances together.

    The window is the one entry of a moving window of one: its time is exact, where a key's time to
    live is in whole seconds.
    """

    def __init__(self, storage: "RedisStorage") -> None:
        self.storage = storage

    async def end(self, key: str, seconds: int) -> float:
        while True:
            start, opened = await self.storage.get_moving_window(key, 1, seconds)
            if opened:
                return start + seconds
            await self.storage.acquire_entry(key, 1, seconds)


def _open(uri: str) -> _Windows:
    from limits.aio.storage import MemoryStorage, RedisStorage

    scheme, _, place = uri.partition("://")
    if scheme not in SCHEMES or "?" in place:  # options of the client that would undo those below
        raise ValueError
    if scheme == "async+memory":
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
