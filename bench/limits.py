"""What counting a mint costs in each storage of limits, by the number of callers that it knows.

    make bench

The caller, all callers of the profile and all callers together each have a limit, a budget and a
number of sessions at once. Uses come one after another, so that the time of one is seen. Times are
in microseconds; CPU is that of the function, and then that of the server. Redis runs on this
machine, and the stand-in of Firestore in this process: in production the time on the network is
added.
"""

import asyncio
import gc
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop
from firestore_server import StandInFirestore
from redis_server import RedisServer

from emulator import metadata
from emulator.metadata import Metadata
from emulator.server import Server
from livetoken.fetch import Http
from livetoken.limits import memory, storages
from livetoken.limits.count import Ask, Counted
from livetoken.limits.memory import Memory
from livetoken.limits.redis import InRedis
from livetoken.limits.storage import Storage, Unavailable
from livetoken.policy import Bounds, Limit

CALLERS = (1, 1_000, 100_000, 1_000_000)
USES = 5_000  # that are measured
LEAST_SIZED = 100_000  # callers from which on the memory of one can be told
MANY = 10**12

BOUNDS = Bounds((Limit(MANY, 3600),), (Limit(MANY, 86400),), MANY)
LIFE = 1  # milliseconds, so that few sessions are open at a time
SESSIONS = iter(range(1, MANY))
COPY = """
for caller = ARGV[1], ARGV[2] do
  local key = string.format("{livetoken}:%064d/default", caller)
  assert(redis.call("COPY", KEYS[1], key) == 1)
end
"""


@dataclass(frozen=True)
class Measured:
    """A storage to measure.

    `size` is the memory, in bytes, of the process that counts, which is `server` if it is another
    one. `fill` adds callers. At most `most` are added.
    """

    name: str
    storage: Storage
    size: Callable[[], int]
    fill: Callable[[range], Awaitable[None]]
    server: int | None = None
    most: int = CALLERS[-1]


@contextmanager
def in_memory() -> Iterator[Measured]:
    memory.MOST_CALLERS = CALLERS[-1]  # the function keeps half as many
    storage = Memory()

    async def fill(callers: range) -> None:
        for caller in callers:
            await storage.reserve(_ask(caller))

    yield Measured("memory", storage, _resident, fill)


@contextmanager
def in_redis() -> Iterator[Measured]:
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        storage = InRedis(server.uri.removeprefix("async+"))

        def said(section: str, name: str) -> int:
            return int(server.ask("INFO", section).partition(f"{name}:")[2].split()[0])

        async def fill(callers: range) -> None:
            """Count a use of the first caller, and copy what is kept of it for the others."""
            first, last = callers[0], callers[-1]
            await storage.reserve(_ask(first))
            key = f"{{livetoken}}:{_key(first)}"
            words = ("1", key, str(first + 1), str(last))
            await asyncio.to_thread(server.ask, "EVAL", COPY, *words)

        process = said("server", "process_id")
        yield Measured("Redis", storage, lambda: said("memory", "used_memory"), fill, process)


@contextmanager
def in_firestore() -> Iterator[Measured]:
    """The stand-in, in this process: the CPU is that of both."""
    account, http = Metadata(), Http()
    with Server(account.app) as metadata_at, StandInFirestore() as server:
        server.stand_in.access_tokens = account.access_tokens
        os.environ |= {**metadata.environment(metadata_at.url), "CLOUDSDK_CONFIG": "/nonexistent"}
        uri = f"async+firestore://{account.project}/(default)"
        storage = storages.opened(uri, http, server.url)

        async def fill(callers: range) -> None:
            for _ in range(5):  # the first access token can take longer than a use may
                with suppress(Unavailable):
                    await storage.warm()
            for caller in callers:
                await storage.reserve(_ask(caller))

        yield Measured("Firestore", storage, lambda: 0, fill, most=1_000)


STORAGES = (in_memory, in_redis, in_firestore)
"""What is measured. A new storage needs a function here."""


async def measure(each: Measured) -> None:
    """Print a line of the table for each number of callers."""
    known, empty = 0, each.size()
    for callers in CALLERS:
        if callers > each.most:
            break
        await each.fill(range(known, callers))
        known = callers
        size = f"{(each.size() - empty) / callers:,.0f}" if callers >= LEAST_SIZED else "-"
        took, used, of_server = [], [], _cpu(each.server)
        for _ in range(USES):
            ask = _ask(random.randrange(callers))
            began, idle = time.perf_counter(), time.process_time()
            counted = await each.storage.reserve(ask)
            took.append(time.perf_counter() - began)
            used.append(time.process_time() - idle)
            assert isinstance(counted, Counted), counted
        of_server = _cpu(each.server) - of_server
        columns = [sorted(each)[int(USES * part)] for each in (took, used) for part in (0.5, 0.99)]
        p50, p99, cpu50, cpu99 = (seconds * 1e6 for seconds in columns)
        print(
            f"{each.name:10} {callers:10,} {p50:9.0f} {p99:9.0f} {cpu50:13.0f} {cpu99:13.0f}"
            f" {of_server / USES * 1e6:12.0f} {size:>15}",
            flush=True,
        )


def _key(caller: int) -> str:
    return f"{caller:064}/default"


def _ask(caller: int) -> Ask:
    keys = (_key(caller), "total/default", "total")
    return Ask(keys, (BOUNDS,) * 3, LIFE, LIFE, False, next(SESSIONS))


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu(process: int | None) -> float:
    """Return the CPU time of a process so far, in seconds."""
    if process is None:
        return 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print the table."""
    print(
        "storage       callers       p50       p99       p50 CPU       p99 CPU   its server", end=""
    )
    print("  bytes a caller")
    for storage in STORAGES:
        with storage() as each:
            uvloop.run(measure(each))


if __name__ == "__main__":
    main()
