"""Counts in Firestore: no sequence of requests gives more than the bounds, with shards as without.

The stand-in's clock is set by the test. The documents go over HTTP.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from clocked import Clock
from test_rules import STEPS, Requests, Token, limits

from emulator.firestore import Firestore
from emulator.server import Server
from livetoken import fetch
from livetoken.fetch import Http
from livetoken.limits import documents, firestore, shards
from livetoken.limits.count import Ask, Counted, Full, Granted, Kind
from livetoken.limits.documents import Documents
from livetoken.limits.firestore import InFirestore, Placed
from livetoken.limits.memory import Memory
from livetoken.policy import Bounds, Limit
from livetoken.service_account import ServiceAccount

EPOCH = datetime.fromtimestamp(0, UTC)
PATHS = {key: key for key in ("limit", "budget", "at_once")}


class Account(ServiceAccount):
    """Its access token is accepted by the stand-in."""

    async def headers(self) -> Mapping[str, str]:
        return {"authorization": "Bearer token"}


class Database:
    """A stand-in whose clock is set, and instances of the function that count in it."""

    def __init__(self, url: str, stand_in: Firestore, clock: Clock) -> None:
        self.stand_in, self.clock = stand_in, clock
        self._url, self._clients = url, list[Http]()

    def instance(self) -> InFirestore:
        http = Http()
        self._clients.append(http)
        database = f"{self.stand_in.project}/{self.stand_in.database}"
        return InFirestore(Documents(http, Account(), base_url=self._url, database=database))

    def close(self) -> None:
        for each in self._clients:
            each.close()


@contextmanager
def database() -> Iterator[Database]:
    """Use it within a loop."""
    clock = Clock()
    stand_in = Firestore(access_tokens={"token"})
    stand_in.clock = lambda: EPOCH + timedelta(milliseconds=clock.now)
    with Server(stand_in.app) as at:
        made = Database(at.url, stand_in, clock)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not a failure of the storage."""
    for module in (documents, firestore):
        monkeypatch.setattr(module, "TIMEOUT", 60)


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small totals have many shards."""
    monkeypatch.setattr(shards, "PEAK", 10**6)
    monkeypatch.setattr(shards, "LEAST_PART", 1)
    monkeypatch.setattr(shards, "SLICE", 60)
    monkeypatch.setattr(firestore, "REMEMBERED", 0)  # seconds of another clock than the stand-in's


@pytest.mark.parametrize("seeds", [range(6), pytest.param(range(6, 50), marks=pytest.mark.slow)])
def test_it_decides_like_the_memory(seeds: range) -> None:
    async def run(seed: int) -> None:
        with database() as made:
            clock = made.clock
            requests = Requests(Random(seed), clock, [Memory(clock), made.instance()])
            for _ in range(STEPS):
                await requests.step()

    for seed in seeds:
        asyncio.run(run(seed))


class InShards(Requests):
    """Requests of many callers, whose totals are split."""

    def __init__(self, chance: Random, made: Database) -> None:
        super().__init__(chance, made.clock, [made.instance(), made.instance()])
        totals = [
            Bounds(
                limits(chance, (5, 12, 40)),
                limits(chance, (150, 400, 1000)),
                chance.choice([None, 3, 7, 12]),
                PATHS,
            )
            for _ in range(2)
        ]
        self.bounds = (self.bounds[0], *(each for each in totals if each))
        self.seen = Counter[int]()

    async def all(self, method: str, *words: Any) -> object:
        """What one of two instances answers."""
        answer = await getattr(self._chance.choice(self._storages), method)(*words)
        if isinstance(answer, Counted) and isinstance(answer.granted, Placed):
            self.seen[max(answer.granted.places)] += 1
        return answer

    def is_within(self, tokens: list[Token], index: int) -> None:
        """Assert that no shard has given more than its part, and all together not too much."""
        if index == 0:
            return super().is_within(tokens, index)
        bound, now = self.bounds[index], self._clock.now
        usable = {token.granted.session for token in tokens if token.end > now}
        assert bound.at_once is None or len(usable) <= bound.at_once
        used: Counter[tuple[int, str, int, int]] = Counter()
        for token in tokens:
            shard = places(token.granted, index)
            for place, share in enumerate(token.granted.limits[index]):
                used[shard, "limits", place, share.end] += share.used
            for place, share in enumerate(token.granted.budgets[index]):
                later = share.end + bound.budgets[place].seconds * 1000
                used[shard, "budgets", place, share.end] += share.used
                used[shard, "budgets", place, later] += share.next_used
        for (shard, kind, place, _), amount in used.items():
            part: Limit = getattr(shards.part(bound, shard), kind)[place]
            assert amount <= part.amount * (1000 if kind == "budgets" else 1)
        return None


def places(granted: Granted, index: int) -> int:
    return granted.places[index] if isinstance(granted, Placed) else 0


@pytest.mark.slow
def test_no_sequence_gives_more_than_the_bounds_in_shards(split: None) -> None:
    seen: Counter[int] = Counter()

    async def run(seed: int) -> None:
        with database() as made:
            requests = InShards(Random(seed), made)
            for _ in range(STEPS):
                await requests.step()
            seen.update(requests.seen)

    for seed in range(20):
        asyncio.run(run(seed))
    assert len(seen) > 5  # many shards were used


@pytest.mark.parametrize(
    ("bound", "number"),
    [
        (Bounds((Limit(5000, 86_400),), (Limit(2_160_000, 86_400),), 40), 1),
        (Bounds((Limit(100_000, 86_400),)), 6),
        (Bounds((Limit(10_000, 60),)), 16),
        (Bounds((Limit(30, 1),)), 1),
        (Bounds((), (Limit(3_600_000, 3600),)), 16),
        (Bounds(at_once=400), 7),
        (Bounds(at_once=100_000), 50),
    ],
)
def test_the_parts_of_a_total_add_up_to_it(bound: Bounds, number: int) -> None:
    assert shards.count(bound) == number
    parts = [shards.part(bound, shard) for shard in range(number)]
    for kind in ("limits", "budgets"):
        for place, limit in enumerate(getattr(bound, kind)):
            assert sum(getattr(each, kind)[place].amount for each in parts) == limit.amount
    assert sum(each.at_once or 0 for each in parts) == (bound.at_once or 0)
    assert all(each.at_once is None or each.at_once <= shards.MOST_SESSIONS for each in parts)


IDS = count(1)


def ask(caller: str, total: Bounds, *, resumes: bool = False) -> Ask:
    """A caller's request for a minute."""
    own = Bounds(at_once=2)
    return Ask((caller, "total"), (own, total), 60_000, 10_000, resumes, next(IDS))


def test_a_full_shard_leaves_room_in_the_others(split: None) -> None:
    """All of a total can be used by few callers, and a session continues in another shard."""

    async def run() -> None:
        total = Bounds((Limit(9, 3600),), (), 4, PATHS)
        assert shards.count(total) == 4
        with database() as made:
            storage = made.instance()
            for _ in range(9):
                answer = await storage.reserve(ask("caller", total, resumes=True))
                assert isinstance(answer, Counted)
                made.clock.now += 40_000
            full = await storage.reserve(ask("caller", total, resumes=True))
            assert isinstance(full, Full)
            assert (full.book, full.kind) == (1, Kind.LIMIT)
            assert full == await storage.look(ask("another", total))

    asyncio.run(run())


def test_refused_requests_do_not_read_every_shard(
    split: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firestore, "REMEMBERED", 60)

    async def run() -> None:
        total = Bounds((), (), 4, PATHS)
        with database() as made:
            storage, asked = made.instance(), [ask(f"caller-{each}", total) for each in range(4)]
            answers = [await storage.reserve(each) for each in asked]
            full = await storage.reserve(ask("another", total))
            assert isinstance(full, Full)
            made.stand_in.requests.clear()
            for each in range(20):
                assert await storage.reserve(ask(f"more-{each}", total)) == full
                assert await storage.look(ask(f"more-{each}", total)) == full
            other = ask("more", total)
            keys, bounds = (*other.keys[:1], "total/x", "total"), (*other.bounds, total)
            assert await storage.reserve(replace(other, keys=keys, bounds=bounds)) == Full(
                2, full.kind, full.wait
            )
            assert not made.stand_in.requests
            resumed = await storage.reserve(ask("caller-0", total, resumes=True))
            assert isinstance(resumed, Counted)
            assert isinstance(answers[1], Counted)
            await storage.give_back(asked[1], answers[1].granted)
            assert isinstance(await storage.reserve(ask("another", total)), Counted)

    asyncio.run(run())


def test_what_another_instance_gives_back_is_seen_after_a_while(
    split: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firestore, "REMEMBERED", 0.3)

    async def run() -> None:
        total = Bounds((), (), 4, PATHS)
        with database() as made:
            storage, other = made.instance(), made.instance()
            asked = [ask(f"caller-{each}", total) for each in range(4)]
            answers = [await other.reserve(each) for each in asked]
            assert isinstance(await storage.reserve(ask("another", total)), Full)
            assert isinstance(answers[0], Counted)
            await other.give_back(asked[0], answers[0].granted)
            await asyncio.sleep(0.4)
            assert isinstance(await storage.reserve(ask("another", total)), Counted)

    asyncio.run(run())


def test_a_session_is_given_back_where_it_counts(split: None) -> None:
    async def run() -> None:
        total = Bounds((), (), 4, PATHS)
        with database() as made:
            storage, asked = made.instance(), [ask(f"caller-{each}", total) for each in range(4)]
            answers = [await storage.reserve(each) for each in asked]
            assert all(isinstance(each, Counted) for each in answers)
            for each, answer in zip(asked, answers, strict=True):
                more = ask("another", total)
                assert isinstance(await storage.reserve(more), Full)
                assert isinstance(answer, Counted)
                await storage.give_back(each, answer.granted)
                again = await storage.reserve(more)
                assert isinstance(again, Counted)
                await storage.give_back(more, again.granted)
                await storage.reserve(each)

    asyncio.run(run())


def test_a_session_stays_in_its_shard_when_another_has_room_again(split: None) -> None:
    """Otherwise it would count in both."""

    async def run() -> None:
        total = Bounds((), (), 2, PATHS)
        with database() as made:
            storage = made.instance()
            assert isinstance(await storage.reserve(ask("first", total)), Counted)
            made.clock.now += 30_000
            assert isinstance(await storage.reserve(ask("second", total)), Counted)
            made.clock.now += 30_000  # the first one ends
            renewed = await storage.reserve(ask("second", total, resumes=True))
            assert isinstance(renewed, Counted)
            assert renewed.granted.joined
            assert isinstance(await storage.reserve(ask("third", total)), Counted)
            assert isinstance(await storage.reserve(ask("fourth", total)), Full)

    asyncio.run(run())


def test_an_alert_waits_until_every_shard_is_nearly_full(split: None) -> None:
    async def run() -> None:
        total = Bounds((Limit(40, 3600),), (), None, PATHS)
        assert shards.count(total) == 16
        with database() as made:
            storage, alerts = made.instance(), 0
            for number in range(40):
                asked = replace(ask(f"caller-{number}", total), keys=(f"caller-{number}", "total"))
                answer = await storage.reserve(asked)
                assert isinstance(answer, Counted)
                alerts += (1, Kind.LIMIT) in answer.alerts
                assert not alerts or number >= 32
            assert alerts == 1

    asyncio.run(run())


def test_instances_in_each_others_way_count_exactly() -> None:
    """Commits take a while, so that those of other instances are aborted or find a new version."""

    async def run() -> None:
        total = Bounds((Limit(25, 3600),), (), None, PATHS)
        with database() as made:
            made.stand_in.delay = 0.002
            instances = [made.instance() for _ in range(4)]
            answers = await asyncio.gather(
                *(
                    instances[number % 4].reserve(ask(f"caller-{number}", total))
                    for number in range(60)
                )
            )
            assert sum(isinstance(each, Counted) for each in answers) == 25
            assert {code for _, code in made.stand_in.requests} & {400, 409}

    asyncio.run(run())


def test_a_crowd_of_one_instance_shares_its_commits() -> None:
    async def run() -> None:
        total = Bounds((Limit(1000, 3600),), (), None, PATHS)
        with database() as made:
            storage = made.instance()
            await storage.warm()
            await asyncio.gather(*(storage.reserve(ask(f"{each}", total)) for each in range(100)))
            assert len(made.stand_in.requests) <= 1 + 2 * 6
            assert {code for _, code in made.stand_in.requests} == {200}
            assert made.stand_in.writes <= 100 + 6

    asyncio.run(run())


def test_a_crowd_is_not_in_its_own_way_in_the_total_of_a_profile() -> None:
    """The total of the profile is one document, that of all profiles is split."""

    async def run() -> None:
        totals = Bounds((Limit(1000, 86_400),)), Bounds((Limit(1_000_000, 86_400),))
        assert [shards.count(each) for each in totals] == [1, 16]
        with database() as made:
            storage = made.instance()
            bounds = (Bounds(at_once=2), *totals)
            asks = [
                Ask(
                    (f"{each}", "total/default", "total"),
                    bounds,
                    1000,
                    1000,
                    resumes=False,
                    session=next(IDS),
                )
                for each in range(100)
            ]
            await asyncio.gather(*(storage.reserve(each) for each in asks))
            assert {code for _, code in made.stand_in.requests} == {200}

    asyncio.run(run())


def test_long_documents_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_ANSWER", 1024)

    async def run() -> None:
        total = Bounds((Limit(15, 3600),), (), None, PATHS)
        with database() as made:
            storage = made.instance()
            asked = (storage.reserve(ask(f"caller-{each}", total)) for each in range(20))
            answers = await asyncio.gather(*asked)
            assert sum(isinstance(each, Counted) for each in answers) == 15

    asyncio.run(run())
