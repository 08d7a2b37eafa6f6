"""Counts in memory: what they cost does not depend on the number of callers."""

import asyncio
from itertools import count

import pytest
from clocked import Clock

from livetoken.limits import memory
from livetoken.limits.count import Ask, Counted
from livetoken.limits.memory import Memory
from livetoken.limits.storage import Unavailable
from livetoken.policy import Bounds, Limit

SESSIONS = count(1)
BOUNDS = Bounds((Limit(2, 60),), (Limit(600, 60),), 1)


def ask(caller: int) -> Ask:
    return Ask((f"caller-{caller}",), (BOUNDS,), 30_000, 30_000, False, next(SESSIONS))


def test_callers_of_whom_nothing_counts_any_more_are_forgotten() -> None:
    async def run() -> None:
        clock = Clock()
        counted = Memory(clock)
        for caller in range(20_000):
            clock.now += 60  # about 1,000 callers in a window
            assert isinstance(await counted.reserve(ask(caller)), Counted)
            assert len(counted) <= 2_100

    asyncio.run(run())


def test_a_full_memory_refuses_new_callers_and_forgets_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MOST_CALLERS", 100)

    async def run() -> None:
        clock = Clock()
        counted = Memory(clock)
        for caller in range(100):
            await counted.reserve(ask(caller))
        for caller in range(100, 200):
            with pytest.raises(Unavailable):
                await counted.reserve(ask(caller))
        for caller in range(100):
            assert not isinstance(await counted.reserve(ask(caller)), Counted)
        clock.now += 60_000
        assert isinstance(await counted.reserve(ask(200)), Counted)

    asyncio.run(run())
