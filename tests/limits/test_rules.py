"""No sequence of requests, failures and pauses gives more than the bounds, in any storage.

The storages decide alike, and what they grant is added up here in another way: by the tokens alone.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

import pytest
from clocked import Clock, ClockedRedis, clocked_script, close
from redis_server import RedisServer
from usable import time_usable

from livetoken.limits.count import Ask, Counted, Full, Granted
from livetoken.limits.memory import Memory
from livetoken.limits.sessions import TOKENS_A_SESSION
from livetoken.limits.storage import Storage
from livetoken.policy import Bounds, Limit

PATHS = {key: key for key in ("limit", "budget", "at_once")}
CALLERS = 2
TIMES = (60, 600, 3600)  # seconds of a window
AMOUNTS, SECONDS = (3, 20, 100), (10, 70, 400, 1000)
STEPS = 60


def limits(chance: Random, amounts: tuple[int, ...]) -> tuple[Limit, ...]:
    """Up to two amounts, for different times."""
    times = sorted(chance.sample(TIMES, chance.choice([0, 1, 1, 2])))
    return tuple(Limit(chance.choice(amounts), each) for each in times)


def bounds(chance: Random, at_once: int | None) -> Bounds:
    """Bounds of one caller, or of all together."""
    return Bounds(limits(chance, AMOUNTS), limits(chance, SECONDS), at_once, PATHS)


@dataclass(frozen=True)
class Token:
    """A token that was minted, or may have been."""

    caller: str
    granted: Granted
    begin: int

    @property
    def end(self) -> int:
        return self.granted.end


@dataclass(frozen=True)
class Under:
    """A request whose mint is under way."""

    ask: Ask
    token: Token


class Requests:
    """Requests to every storage at once, which must decide alike."""

    def __init__(self, chance: Random, clock: Clock, storages: Sequence[Storage]) -> None:
        self._chance, self._clock, self._storages = chance, clock, storages
        totals = [
            bounds(chance, chance.choice([None, 1, 2, 5])) for _ in range(chance.randint(0, 2))
        ]
        self.bounds = (bounds(chance, chance.choice([1, 2, 5])), *totals)
        self.life = chance.choice([10, 60, 300, 700]) * 1000
        self.least = min(self.life, chance.choice([1, 10, 60]) * 1000)
        self.ids = count(1)
        self.minted: list[Token] = []
        self.under_way: list[Under] = []

    async def step(self) -> None:
        """Do something, and check what can be used then."""
        await self._chance.choice([self.wait, self.request, self.request, self.end])()
        self.check()

    async def wait(self) -> None:
        """Wait for some seconds, or until a token or a window ends, or almost."""
        ends = {self._clock.now + 1000 * each for each in (11, 30, 100, 4000)}
        ends |= {token.end for token in self.tokens}
        for token in self.tokens:
            shares = (*token.granted.limits, *token.granted.budgets)
            ends |= {share.end for each in shares for share in each}
        moments = [each + self._chance.choice([-10_000, -1000, 0, 1]) for each in ends]
        later = sorted(each for each in moments if each > self._clock.now)
        self._clock.now = self._chance.choice(later[:6])

    async def request(self) -> None:
        """A request, whose mint ends at once, or waits for an answer of Gemini."""
        caller = f"caller-{self._chance.randint(1, CALLERS)}"
        totals = ("total/default", "total")[: len(self.bounds) - 1]
        resumes = self._chance.random() < 0.6
        ask = Ask((caller, *totals), self.bounds, self.life, self.least, resumes, next(self.ids))
        full = await self.all("look", ask)
        answer = await self.all("reserve", ask)
        if isinstance(answer, Full):
            assert full == answer
            assert answer.wait > 0
            return
        assert full is None
        assert isinstance(answer, Counted)
        assert self.least <= answer.granted.life <= self.life
        token = Token(caller, answer.granted, self._clock.now)
        if self._chance.random() < 0.3:
            self.under_way.append(Under(ask, token))
        else:
            self.minted.append(token)

    async def end(self) -> None:
        """A mint ends."""
        if not self.under_way:
            return
        each = self.under_way.pop(self._chance.randrange(len(self.under_way)))
        if self._chance.random() < 0.7:
            await self.all("give_back", each.ask, each.token.granted)
        else:
            self.minted.append(each.token)

    async def all(self, method: str, *words: object) -> object:
        """What the storages answer, which must be the same."""
        answers = [await getattr(storage, method)(*words) for storage in self._storages]
        assert all(each == answers[0] for each in answers)
        return answers[0]

    def check(self) -> None:
        """Add up what can be used."""
        for caller in {token.caller for token in self.tokens}:
            self.is_within([each for each in self.tokens if each.caller == caller], 0)
        for index in range(1, len(self.bounds)):
            self.is_within(self.tokens, index)

    @property
    def tokens(self) -> list[Token]:
        return [*self.minted, *(each.token for each in self.under_way)]

    def is_within(self, tokens: list[Token], index: int) -> None:
        """Assert that tokens together are within the bounds of the `index`th book."""
        bound = self.bounds[index]
        usable = defaultdict(list)
        for token in tokens:
            if token.end > self._clock.now:
                usable[token.granted.session].append(token)
        assert bound.at_once is None or len(usable) <= bound.at_once
        assert all(len(each) <= TOKENS_A_SESSION for each in usable.values())
        for place, limit in enumerate(bound.limits):
            windows: Counter[int] = Counter()
            for token in tokens:
                windows[token.granted.limits[index][place].end] += 1
            assert all(used <= limit.amount for used in windows.values())
        for place, limit in enumerate(bound.budgets):
            length = limit.seconds * 1000
            shares = [token.granted.budgets[index][place] for token in tokens]
            ends = {share.end for share in shares if share.used}
            ends |= {share.end + length for share in shares if share.next_used}
            for end in ends:
                begin = end - length
                spans = [(each.granted.session, each.begin, each.end) for each in tokens]
                assert time_usable(spans, begin, end) <= limit.amount * 1000
                # A caller who resumes other sessions instead gets twice as much at most.
                apart = [(number, since, until) for number, (_, since, until) in enumerate(spans)]
                assert time_usable(apart, begin, end) <= 2 * limit.amount * 1000


def run(seeds: range, storages: Callable[[Clock], Sequence[Storage]]) -> None:
    async def run_all() -> None:
        for seed in seeds:
            clock = Clock()
            counted = storages(clock)
            requests = Requests(Random(seed), clock, counted)
            for _ in range(STEPS):
                await requests.step()
            for each in counted:
                if isinstance(each, ClockedRedis):
                    await close(each)

    asyncio.run(run_all())


def test_no_sequence_of_requests_gives_more_than_the_bounds() -> None:
    run(range(80), lambda clock: [Memory(clock)])


@pytest.mark.slow
def test_no_longer_search_finds_more_than_the_bounds() -> None:
    run(range(80, 2000), lambda clock: [Memory(clock)])


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 100), marks=pytest.mark.slow)])
def test_redis_decides_like_the_memory(redis: RedisServer, seeds: range) -> None:
    with clocked_script():
        run(seeds, lambda clock: [Memory(clock), ClockedRedis(redis, clock)])
