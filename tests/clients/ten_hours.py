"""A conversation of many hours in virtual time, in which much goes wrong at random from a seed.

python tests/clients/ten_hours.py [--seeds 200] [--first 1] [--hours 10] [--model thinking]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest.mock import patch

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2])]

from judged import Judge
from simulated import MODELS, UNBOUNDED, Network, Oddities
from virtual_time import Browser, Entry

from emulator import speech
from livetoken.policy import Bounds

HOUR = 3600.0
CALM = 300.0  # seconds before the end, in which nothing goes wrong
LAST = 40  # events in a report
AFTER = 30_000  # ms that a report shows after the first failure
SILENT = 180.0  # seconds before the end, in which the user says nothing


@dataclass
class Result:
    """What one conversation came to."""

    seed: int
    model: str
    failures: list[str]
    log: list[Entry] = field(repr=False)
    counts: Counter[str]

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.log, sort_keys=True).encode()).hexdigest()

    def summary(self) -> str:
        counts = ("said", "lost", "cut", "ended", "goAway", "tokens", "tokens an hour")
        told = ", ".join(f"{kind}: {self.counts[kind]}" for kind in counts)
        return f"seed {self.seed}, {self.model}: {len(self.log)} events; {told}"

    def report(self) -> str:
        """The failures, and the last events before the first of them."""
        first = float(self.failures[0].split(":")[0]) * 1_000
        lines = [line(entry) for entry in self.log if entry["at"] <= first + AFTER][-LAST:]
        return "\n".join([self.summary(), *self.failures[:LAST], "The events before:", *lines])


def line(entry: Entry) -> str:
    about = " ".join(f"{k}={_short(v)}" for k, v in entry.items() if k not in ("at", "kind"))
    return f"{entry['at'] / 1_000:10.2f} {entry['kind']:12} {about}"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 150 else f"{text[:60]}… ({len(text)})"


def converse(
    seed: int,
    model: str,
    *,
    hours: float = 10,
    kind: bool = False,
    calm: bool = True,
    expires_in: int = 1800,
    bounds: Bounds = UNBOUNDED,
) -> Result:
    """Run one conversation, and judge it.

    Args:
        kind: nothing goes wrong except that connections end.
        calm: nothing goes wrong at the end, so that everything is answered before it; otherwise the
            app hangs up while the conversation gets a token.
        expires_in: seconds that its tokens last.
        bounds: of its profile, for the one caller.
    """
    seconds = hours * HOUR
    user = {"until": (seconds - SILENT * calm) * 1_000, "pause": 60_000}
    with Browser("simulation.mjs") as browser, silent():
        network = Network(
            seed, model, {"user": user}, browser, expires_in=expires_in, bounds=bounds
        )
        if not kind:
            network.varies = True
            network.start(weather(network, seconds - CALM * calm))
        network.loop.run_until_complete(_run(network, seconds, calm))
        network.loop.close()
    judge = Judge(network.log, to_the_end=calm, expires_in=expires_in)
    open_sessions = sum(session.closed is None for session in network.gemini.sessions)
    if open_sessions:
        judge.failures.append(f"{seconds}: {open_sessions} sessions are open at the end")
    return Result(seed, model, judge.failures, network.log, judge.counts)


@contextmanager
def silent() -> Iterator[None]:
    """Let the stand-in's sound be silence of the same length: a tone takes long to compute."""

    def tone(seconds: float = 0.25, hertz: float = 440.0) -> bytes:
        return bytes(2 * int(seconds * speech.RATE_OUT))

    def resampled(samples: bytes, rate: int) -> bytes:
        return bytes(len(samples) * speech.RATE_OUT // rate)

    with patch.multiple(speech, tone=tone, resampled=resampled):
        yield


async def _run(network: Network, seconds: float, calm: bool) -> None:
    await asyncio.sleep(seconds)
    if not calm:
        network.behaviour.delay = 10
        network.cut(seen_after=0.1)
        await asyncio.sleep(1)
    network.note("hang up")
    network.loop.deliver({"kind": "hangUp"})
    await asyncio.sleep(0.001)
    network.note("left over", **network.loop.left)
    await asyncio.sleep(30)  # until the servers have seen it
    network.note("left over", **network.loop.left)
    await network.end()


async def weather(network: Network, until: float) -> None:
    """Let things go wrong until some time."""
    behaviour, random, loop = network.behaviour, network.random, network.loop
    behaviour.oddities = Oddities(network, 0.1)
    behaviour.unknown_call_closes = random.random() < 0.5
    await asyncio.sleep(30)  # `start` tries once
    while loop.time() < until:
        kind = random.choice(KINDS)
        network.note("weather", of=kind.__name__)
        await kind(network, random)
        await asyncio.sleep(min(random.expovariate(1 / 240), max(0, until - loop.time())))
    behaviour.oddities, behaviour.calls_functions = {}, False


async def lost(network: Network, random: Random) -> None:
    """The connection ends; sometimes the next does so too."""
    for _ in range(random.choice((1, 1, 2))):
        network.cut(seen_after=0.1, code=random.choice((1006, 1008, 1011)))
        await asyncio.sleep(random.uniform(0.5, 3))


async def dead(network: Network, random: Random) -> None:
    """The connection is dead for a while before the browser sees it."""
    network.cut(seen_after=random.uniform(1, 25))


async def offline(network: Network, random: Random) -> None:
    network.is_offline = True
    network.cut(seen_after=random.uniform(5, 30))
    await asyncio.sleep(random.uniform(0, 3))
    network.loop.deliver({"kind": "offline"})
    await asyncio.sleep(random.choice((random.uniform(1, 20), random.uniform(20, 200))))
    network.is_offline = False
    network.loop.deliver({"kind": "online"})


async def down(network: Network, random: Random) -> None:
    """livetoken cannot be reached."""
    network.is_down = True
    network.cut(seen_after=0.1)
    await asyncio.sleep(random.uniform(1, 60))
    network.is_down = False


async def busy(network: Network, random: Random) -> None:
    """Gemini mints no tokens."""
    behaviour = network.behaviour
    behaviour.fault = random.choice((429, 503, 500))
    behaviour.retry_after = random.choice((None, "3", "15"))
    behaviour.retry_delay = None  # one of 45 seconds ends the conversation
    network.cut(seen_after=0.1)
    await asyncio.sleep(random.uniform(1, 60))
    behaviour.fault = None


async def forgotten(network: Network, random: Random) -> None:
    """Gemini does not know the handle."""
    network.behaviour.handle_life = 0
    network.cut(seen_after=0.1)
    await asyncio.sleep(random.uniform(3, 20))
    network.behaviour.handle_life = 7200


async def deaf(network: Network, random: Random) -> None:
    """A resumed session hears and does not answer."""
    network.behaviour.deaf_after_resuming = True
    network.cut(seen_after=0.1)
    await asyncio.sleep(random.uniform(20, 120))
    network.behaviour.deaf_after_resuming = False
    network.note("weather", of="heard")


async def functions(network: Network, random: Random) -> None:
    """The model calls a function in each answer, or does not."""
    network.behaviour.calls_functions = not network.behaviour.calls_functions


async def slow(network: Network, random: Random) -> None:
    """Tokens and answers take long."""
    network.behaviour.delay, network.behaviour.thinks = random.uniform(1, 5), random.uniform(2, 8)
    await asyncio.sleep(random.uniform(60, 300))
    network.behaviour.delay, network.behaviour.thinks = 0, 1


KINDS = (lost, dead, offline, down, busy, forgotten, deaf, functions, slow)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--model", default="")
    parser.add_argument("--kind", action="store_true")
    parser.add_argument("--stormy", action="store_true", help="hang up in the middle of it")
    parser.add_argument("--log", type=Path, help="a file for all events")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.first, options.first + options.seeds):
        for model in MODELS:
            if options.model and not model.endswith(options.model):
                continue
            began = time.perf_counter()
            result = converse(
                seed, model, hours=options.hours, kind=options.kind, calm=not options.stormy
            )
            took = time.perf_counter() - began
            print(result.summary(), f"in {took:.1f} s", flush=True)
            if options.log:
                options.log.write_text("\n".join(map(line, result.log)))
            if result.failures:
                failed += 1
                print(*result.failures[:5], sep="\n", flush=True)
    print(failed, "failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
