"""Counts in a Redis server, which all instances share. One script does all that a use changes."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import MovedError, NoScriptError, RedisError

from livetoken.limits.count import Ask, Counted, Full, Granted, Kind, Share
from livetoken.limits.storage import Unavailable
from livetoken.policy import Bounds

MOST_AT_A_TIME = 16
"""Scripts that run at a time. Each has a connection."""

IDLE = 30
"""Seconds after which a connection is tried before it is used."""

SCRIPT = files("livetoken.limits").joinpath("count.lua").read_text("utf-8")
SHA1 = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
"""The name by which a server knows the script."""

_PREFIX = "{livetoken}"  # all keys have one hash tag, so that a cluster keeps them together


class InRedis:
    """Counts in a Redis server, or one that speaks its protocol and runs Lua.

    Args:
        url: a `redis://` or `rediss://` URL. This connects to nothing.
    """

    def __init__(self, url: str) -> None:
        self._options: dict[str, Any] = {
            **parse_url(url),
            "protocol": 2,  # with 3, redis-py does not look whether the server closed a connection
            "health_check_interval": IDLE,
            # A script may have run although its connection broke, and a second run could give
            # back twice.
            "retry": Retry(NoBackoff(), 0),
        }
        if url.startswith("rediss:"):
            self._options["ssl_cert_reqs"] = "required"
            self._options.setdefault("ssl_check_hostname", True)
        self._first = self._redis = self._client()
        self._nodes: dict[tuple[str, int], Redis] = {}
        self._slots = asyncio.Semaphore(MOST_AT_A_TIME)

    async def reserve(self, ask: Ask) -> Counted | Full:
        answer = await self._run("reserve", ask)
        if "full" in answer:
            return _full(answer)
        alerts = frozenset((book, Kind(kind)) for book, kind in answer["alerts"])
        return Counted(_granted(answer["granted"]), answer.get("left"), alerts)

    async def look(self, ask: Ask) -> Full | None:
        answer = await self._run("look", ask)
        return _full(answer) if "full" in answer else None

    async def give_back(self, ask: Ask, granted: Granted) -> None:
        await self._run("give back", ask, json.dumps(_document(granted)))

    async def warm(self) -> None:
        await self._run("look", Ask(("warm",), (Bounds(),), 0, 0, False, 0))

    async def _run(self, action: str, ask: Ask, *more: str) -> Any:
        keys = [f"{_PREFIX}:{key}" for key in ask.keys]
        keys += [f"{_PREFIX}:sessions/{key}" for key in ask.keys[1:]]
        words = (len(keys), *keys, action, _asked(ask), *more)
        try:
            async with self._slots:
                return json.loads(await self._evaluate(words))
        except (RedisError, OSError) as error:
            raise Unavailable from error

    async def _evaluate(self, words: Sequence[Any]) -> bytes:
        """Run the script on the server, or on the one node of its cluster that has our keys."""
        try:
            return await _evaluated(self._redis, words)
        except MovedError as moved:
            self._redis = self._node(moved.host, moved.port)
            return await _evaluated(self._redis, words)
        except (Disconnected, OSError, asyncio.CancelledError):  # cancelled: no answer in time
            self._redis = self._first  # in a cluster, it knows which node has our keys now
            raise

    def _node(self, host: str, port: int) -> Redis:
        """Return the client of one node of a cluster."""
        if (host, port) not in self._nodes:
            self._nodes[host, port] = self._client(host=host, port=port)
        return self._nodes[host, port]

    def _client(self, **node: Any) -> Redis:
        return Redis(connection_pool=ConnectionPool(**{**self._options, **node}))


async def _evaluated(redis: Redis, words: Sequence[Any]) -> bytes:
    try:
        answer: bytes = await redis.evalsha(SHA1, *words)
    except NoScriptError:
        answer = await redis.eval(SCRIPT, *words)
    return answer


def _asked(ask: Ask) -> str:
    """Write what is asked as JSON. An id is text, as Lua's numbers have 14 digits in JSON."""
    bounds = [
        {k: v for k, v in asdict(each).items() if k != "paths" and v is not None}
        for each in ask.bounds
    ]
    document = {
        "bounds": bounds,
        "life": ask.life,
        "least": ask.least,
        "resumes": ask.resumes,
        "session": str(ask.session),
    }
    return json.dumps(document)


def _full(answer: Any) -> Full:
    book, kind, wait = answer["full"]
    return Full(book, Kind(kind), wait)


def _granted(document: Any) -> Granted:
    limits, budgets = (
        tuple(tuple(Share(*share) for share in shares) for shares in document[name])
        for name in ("limits", "budgets")
    )
    return Granted(
        int(document["session"]),
        document["joined"],
        document["life"],
        document["last"],
        document["charged"],
        limits,
        budgets,
    )


def _document(granted: Granted) -> Any:
    limits, budgets = (
        [[(share.end, share.used, share.next_used) for share in shares] for shares in each]
        for each in (granted.limits, granted.budgets)
    )
    return {
        "session": str(granted.session),
        "last": granted.end,
        "limits": limits,
        "budgets": budgets,
    }
