"""What counting one use in memory costs, as the number of callers who are counted grows.

    make bench

The storage of the limits library looks at all its counters at each use.
"""

import asyncio
import time

import uvloop

from livetoken.caller import Caller
from livetoken.limits import Limiter
from livetoken.policy import Limit, Profile

CALLERS = (100, 1_000, 10_000)
USES = 200


async def main() -> None:
    """Print milliseconds a use for each number of callers."""
    limiter, counted = Limiter("async+memory://"), 0
    limit = Limit(30, 3600)
    profile = Profile("default", "none", 1800, 60, (limit,), "", (), (), (), {})

    async def use(number: int) -> None:
        caller = Caller("issuer", f"sub-{number}", False, {}, None)
        async with limiter.use(caller, profile):
            pass

    print("callers   ms a use")
    for callers in CALLERS:
        for number in range(counted, callers):
            await use(number)
        counted = callers
        began = time.perf_counter()
        for number in range(USES):
            await use(number % counted)
            await asyncio.sleep(0)
        print(f"{callers:7,} {(time.perf_counter() - began) / USES * 1000:10.2f}")


if __name__ == "__main__":
    uvloop.run(main())
