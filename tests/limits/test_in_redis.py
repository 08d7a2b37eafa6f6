"""Counts in Redis: the names of its keys, and the node of a cluster that has them."""

import asyncio

import pytest
from clocked import close
from redis_server import RedisServer

from livetoken.limits.count import Ask, Counted
from livetoken.limits.redis import InRedis
from livetoken.policy import Bounds

KEY = "{livetoken}"


def test_a_profile_can_have_any_name(redis: RedisServer) -> None:
    async def reserve() -> list[object]:
        storage, bounds = InRedis(redis.uri.removeprefix("async+")), Bounds((), (), 5)
        names = ("default", "sessions", "total", "default")
        keys = [(f"caller/{name}", f"total/{name}", "total") for name in names]
        asks = [
            Ask(each, (bounds,) * 3, 1000, 1000, resumes=False, session=index)
            for index, each in enumerate(keys)
        ]
        answers: list[object] = [await storage.reserve(each) for each in asks]
        await close(storage)
        return answers

    assert all(isinstance(each, Counted) for each in asyncio.run(reserve()))


@pytest.mark.slow
def test_a_node_that_hangs_is_left_once_another_has_its_keys(cluster: list[RedisServer]) -> None:
    (owner,) = [server for server in cluster if server.owns(KEY)]
    others = [server for server in cluster if server is not owner]
    slot = owner.ask("CLUSTER", "KEYSLOT", KEY, database=0).strip()
    heir = others[0].ask("CLUSTER", "MYID", database=0).strip()
    ask = Ask(("caller",), (Bounds((), (), 100),), 1000, 1000, resumes=False, session=1)

    async def reserve_often() -> list[object]:
        storage = InRedis(others[0].uri.removeprefix("async+").removesuffix("/3"))
        answers: list[object] = [await storage.reserve(ask)]
        owner.hang()
        for server in others:
            server.ask("CONFIG", "SET", "cluster-require-full-coverage", "no", database=0)
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", heir, database=0)
        for _ in range(5):
            asking = asyncio.wait_for(storage.reserve(ask), 2)
            answers += await asyncio.gather(asking, return_exceptions=True)
        await close(storage)
        return answers

    first, *later = asyncio.run(reserve_often())
    assert isinstance(first, Counted)
    assert isinstance(later[0], TimeoutError)
    assert isinstance(later[-1], Counted)
