"""Load one instance with good and bad requests, and check what must hold under load.

    make load

The function runs on one core; the callers, the issuer and a stand-in for Gemini share the other.
It ends with an error if a request is lost, if a caller gets another's token, if memory or file
descriptors grow, if a stop loses a request or takes over 10 s, or if good callers wait over three
times as long while junk takes half of the CPU.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import uvloop
from instance import (
    cpu,
    deployment,
    descriptors,
    function,
    memory,
    others,
    stay_on_second_core,
)
from junk import KINDS, Kind
from raw_http import Answer, Client, Gemini, Lost, request

from emulator.function import Function
from emulator.issuer import Issuer

REQUESTS = int(os.environ.get("REQUESTS", "10000"))
AT_ONCE = 256
CALLERS = 1000
BAD = 100  # of them, who also send bad requests
GEMINI_TAKES = 0.150  # seconds
STOP_WITHIN = 10.0  # seconds that Cloud Run gives a process after SIGTERM
GROWTH = 1.10  # of memory, at most
SLOWER = 3.0  # how many times the quiet p99 good callers may wait, at most
GOOD_RATE = 100  # requests a second of good callers, which take a fifth of the core
SECONDS = 3.0  # for each kind of junk
UNDER_WAY = 400  # requests of one kind at once, at most
TRIES = 3  # for each kind of junk, of which the best counts
CROWDED = 0.2  # cores of other processes; if they take more, a slow try may be their doing

FAILING = (
    ("500", "GEMINI_UNAVAILABLE"),
    ("503", "GEMINI_UNAVAILABLE"),
    ("429", "GEMINI_QUOTA"),
    ("403", "GEMINI_REFUSED"),
    ("html", "GEMINI_UNAVAILABLE"),
    ("cut", "GEMINI_UNAVAILABLE"),
)
"""How Gemini fails, and the reason that the caller gets."""

POLICY = b"""
api_version = "v1alpha"
[profiles.default]
model = "gemini-3.8-live"
limit = "99999/hour"
claims.who.max_length = 20
[profiles.default.config]
response_modalities = ["AUDIO"]
system_instruction = "You are a patient tutor of <${claim.who}>."
session_resumption = {}
"""

problems: list[str] = []


def must(holds: bool, problem: str) -> None:
    """Note a promise that does not hold."""
    if not holds:
        problems.append(problem)


# ------------------------------------------------------------------ requests and their answers


@dataclass(frozen=True)
class Asked:
    """A request, and the answer that it must get: a token's name, or a reason."""

    raw: bytes
    expected: str


class Callers:
    """Makes requests of many callers, numbered, each with the answer that it must get."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self._number = count()
        now = int(time.time())
        people = [{"sub": f"sub-{n}", "who": f"caller-{n}"} for n in range(CALLERS)]
        self.tokens = [issuer.id_token("ada", **person) for person in people]
        old = {"iat": now - 7200, "auth_time": now - 7200, "exp": now - 60}
        self._bad = [
            bad
            for token, person in zip(self.tokens[:BAD], people, strict=False)
            for bad in (
                Asked(request(token[:-20] + "A" * 20), "INVALID_ID_TOKEN"),
                Asked(request(issuer.id_token("ada", **person, **old)), "ID_TOKEN_EXPIRED"),
                Asked(request(issuer.id_token("ada", **person, aud="x")), "INVALID_ID_TOKEN"),
                Asked(request(token, b'{"data": '), "INVALID_REQUEST"),
                Asked(request(token, b'{"profile": "nobody"}'), "UNKNOWN_PROFILE"),
            )
        ]

    def good(self, fault: str = "", reason: str = "") -> Asked:
        """A request of the next caller; with a fault, one that fails at Gemini for a reason."""
        number = next(self._number)
        caller = number % CALLERS
        body = json.dumps({"resume": f"{number}-{fault}"}).encode()
        return Asked(request(self.tokens[caller], body), reason or f"auth_tokens/{caller}.{number}")

    def mixed(self, requests: int) -> Iterator[Asked]:
        """One in five is bad, one in twenty fails at Gemini."""
        for number in range(requests):
            if number % 5 == 0:
                yield self._bad[number // 5 % len(self._bad)]
            elif number % 20 == 1:
                yield self.good(*FAILING[number // 20 % len(FAILING)])
            else:
                yield self.good()


def outcome(answer: Answer) -> str:
    """The name of a token, or the reason of a refusal."""
    fields = json.loads(answer.body)
    return str(fields["error"]["details"]["reason"] if "error" in fields else fields["name"])


async def at_once(
    client: Client, requests: Iterator[Asked], callers: int
) -> tuple[list[float], Counter[str]]:
    """Send each request, some at once. Return the seconds of each, and what became of them."""
    took: list[float] = []
    became: Counter[str] = Counter()

    async def caller() -> None:
        for asked in requests:
            began = time.perf_counter()
            try:
                got = outcome(await client.ask(asked.raw))
            except (Lost, OSError, ValueError):
                became["lost"] += 1
                continue
            took.append(time.perf_counter() - began)
            if got == asked.expected:
                became["as expected"] += 1
            else:
                became["mixed up" if got.startswith("auth_tokens/") else f"{got}"] += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return took, became


def percentile(took: list[float], part: float) -> float:
    """In milliseconds."""
    return sorted(took)[int(len(took) * part)] * 1000


# ------------------------------------------------------------------ the three parts


async def many(running: Function, callers: Callers) -> None:
    """`REQUESTS`, `AT_ONCE`, after a warm-up that is a fifth of them."""
    client, group = Client(running.port), running.process.pid
    await client.ask(callers.good().raw)
    client.close()
    Gemini.close_idle()
    before = await settled(lambda: descriptors(group), 0, 1.0)
    await at_once(client, callers.mixed(max(REQUESTS // 5, 2 * CALLERS)), AT_ONCE)
    warm, used, began = memory(group), cpu(group), time.perf_counter()
    took, became = await at_once(client, callers.mixed(REQUESTS), AT_ONCE)
    passed, used = time.perf_counter() - began, cpu(group) - used
    client.close()
    Gemini.close_idle()
    left = await settled(lambda: descriptors(group), before)
    end = memory(group)
    print(f"{REQUESTS:,} requests, {AT_ONCE} at once, 1 in 5 bad, 1 in 20 fails at Gemini")
    print(f"  as expected              {became['as expected']:,}")
    print(f"  anything else            {dict(became - Counter({'as expected': REQUESTS}))}")
    print(f"  requests a second        {REQUESTS / passed:,.0f}")
    print(f"  CPU a request            {used / REQUESTS * 1000:.2f} ms, {used / passed:.0%} busy")
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    print(f"  p50, p99                 {p50:.0f} ms, {p99:.0f} ms")
    print(f"  memory, warm and at end  {warm:.0f} MiB, {end:.0f} MiB")
    print(f"  descriptors              {before} before, {left} after", flush=True)
    must(became["as expected"] == REQUESTS, f"of {REQUESTS} requests: {dict(became)}")
    must(end <= warm * GROWTH, f"memory grew from {warm:.0f} to {end:.0f} MiB")
    must(left <= before, f"file descriptors grew from {before} to {left}")


async def stopped(running: Function, callers: Callers) -> None:
    """SIGTERM while `AT_ONCE` callers ask again and again."""
    client, became = Client(running.port), Counter[str]()
    signalled, terminated = asyncio.Event(), asyncio.Event()
    answered: set[str] = set()

    async def caller() -> None:
        while not terminated.is_set():
            asked, after = callers.good(), " after it" if signalled.is_set() else " before it"
            try:
                got = outcome(await client.ask(asked.raw))
            except Lost as lost:
                became["cut off" if lost.began else f"sent{after}, unanswered"] += 1
            except OSError:
                became["refused to connect"] += 1
            else:
                became["as expected" if got == asked.expected else got] += 1
                answered.add(got)

    Gemini.takes = 0.5  # so that most callers wait for it
    asking = [asyncio.create_task(caller()) for _ in range(AT_ONCE)]
    await asyncio.sleep(1.5)
    under_way = {f"auth_tokens/{name}" for name in Gemini.under_way}
    began = time.perf_counter()
    running.process.send_signal(signal.SIGTERM)
    signalled.set()
    refused = await settled(lambda: connects(running.port), 0)
    refused_after = time.perf_counter() - began
    terminated.set()
    await asyncio.gather(*asking)
    code = await asyncio.to_thread(running.process.wait, 60)
    took = time.perf_counter() - began
    Gemini.takes = GEMINI_TAKES
    client.close()
    print(f"\nSIGTERM with {len(under_way)} requests at Gemini, and {AT_ONCE} callers")
    print(f"  of those, answered       {len(under_way & answered)}")
    print(f"  requests in all          {dict(became)}")
    print(f"  new connections refused  after {refused_after:.2f} s")
    print(f"  ended                    after {took:.2f} s with code {code}", flush=True)
    must(bool(under_way), "no request was under way")
    must(under_way <= answered, f"{len(under_way - answered)} requests under way got no answer")
    must(not became["cut off"], f"{became['cut off']} answers were cut off")
    must(not refused, "connections are still accepted")
    must(took < STOP_WITHIN, f"the process took {took:.1f} s to end")
    must(code == 0, f"the process ended with {code}")


def connects(port: int) -> int:
    """1 if the port takes a connection."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return 1
    return 0


async def settled(value: Callable[[], int], most: int, seconds: float = 10.0) -> int:
    """Wait until a value is low enough, and return it; or return what it is in the end."""
    for _ in range(int(seconds / 0.05)):
        if value() <= most:
            break
        await asyncio.sleep(0.05)
    return value()


async def at_rate(rate: float, seconds: float, send: Callable[[], Awaitable[None]]) -> None:
    """Send at a rate, unless `UNDER_WAY` wait for an answer. Returns when all have theirs."""
    began, sending, sent = time.perf_counter(), set[asyncio.Future[None]](), 0
    while (passed := time.perf_counter() - began) < seconds:
        while sent < passed * rate and len(sending) < UNDER_WAY:
            task = asyncio.ensure_future(send())
            sending.add(task)
            task.add_done_callback(sending.discard)
            sent += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*sending)


@dataclass(frozen=True)
class Waits:
    """What good callers waited in milliseconds, and the cores that the function and others took."""

    p50: float
    p99: float
    busy: float
    crowded: float

    def __str__(self) -> str:
        return f"{self.p50:9.0f}{self.p99:9.0f}{self.busy:6.2f}{self.crowded:8.2f}"


async def beside_junk(running: Function, callers: Callers) -> None:
    """Good callers, alone and beside each kind of junk."""
    group, client = running.process.pid, Client(running.port)
    took: list[float] = []

    async def good() -> None:
        asked, began = callers.good(), time.perf_counter()
        got = outcome(await client.ask(asked.raw))
        took.append(time.perf_counter() - began)
        must(got == asked.expected, f"{got} instead of {asked.expected}")

    async def measured(*beside: Awaitable[None]) -> Waits:
        took.clear()
        used, taken, began = cpu(group), others(group), time.perf_counter()
        await asyncio.gather(at_rate(GOOD_RATE, SECONDS, good), *beside)
        passed = time.perf_counter() - began
        busy, crowded = (cpu(group) - used) / passed, (others(group) - taken) / passed
        return Waits(percentile(took, 0.5), percentile(took, 0.99), busy, crowded)

    async def with_junk(kind: Kind) -> tuple[float, float, Waits]:
        """Return the CPU seconds that a request of junk costs, its rate, and the waits."""
        each, rate = await cost(group, running.port, kind, callers)
        junk = Client(running.port)

        async def bad() -> None:
            with suppress(Lost, OSError):
                await kind.send(junk, callers)

        try:
            return each, rate, await measured(at_rate(rate, SECONDS, bad))
        finally:
            junk.close()

    quiet = await measured()
    print(f"\n{GOOD_RATE} good requests a second, beside junk that takes half of the CPU")
    print(f"  {'junk':36}CPU each, ms  a second  p50, ms  p99, ms   CPU  others")
    print(f"  {'none':58}{quiet}", flush=True)
    for name, kind in KINDS.items():
        tries = [await with_junk(kind)]
        while len(tries) < TRIES and tries[-1][2].p99 > SLOWER * quiet.p99:
            tries.append(await with_junk(kind))
        each, rate, waits = min(tries, key=lambda one: one[2].p99)
        print(f"  {name:36}{each * 1000:12.2f}{rate:10,.0f}{waits}", flush=True)
        is_slow = waits.p99 > SLOWER * quiet.p99
        if is_slow and all(one[2].crowded > CROWDED for one in tries):
            print(f"    not counted: other processes took more than {CROWDED} cores in every try")
        else:
            must(not is_slow, f"p99 is {waits.p99:.0f} ms beside {name}, else {quiet.p99:.0f} ms")
    client.close()


async def cost(group: int, port: int, kind: Kind, callers: Callers) -> tuple[float, float]:
    """The CPU seconds that each request of a kind costs, and the rate that takes half a core."""
    if kind.rate is not None:
        return 0.0, kind.rate
    client, sent, used = Client(port), 0, cpu(group)
    end = time.perf_counter() + 1.0

    async def caller() -> None:
        nonlocal sent
        while time.perf_counter() < end:
            with suppress(Lost, OSError):
                await kind.send(client, callers)
            sent += 1

    await asyncio.gather(*(caller() for _ in range(32)))
    client.close()
    each = (cpu(group) - used) / sent
    return each, 0.5 / each


async def main() -> None:
    """Run the three parts, each against a function of its own, and print the figures."""
    stay_on_second_core()
    Gemini.takes = GEMINI_TAKES
    gemini = await asyncio.get_running_loop().create_server(Gemini, "127.0.0.1", 0)
    issuer = Issuer()
    callers = Callers(issuer)
    with deployment(POLICY, issuer, gemini.sockets[0].getsockname()[1]) as (variables, folder):
        for part in (many, stopped, beside_junk):
            with function(variables, folder, {0}) as running:
                await part(running, callers)
    print(*(f"\nBroken: {problem}" for problem in problems))
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    uvloop.run(main())
