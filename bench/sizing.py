"""Measure one instance: start time, throughput, latency and memory by the number of callers.

    make bench

The function runs on one core, like an instance with one vCPU. The callers, the issuer and a
stand-in of Gemini that answers after 150 ms share the other core. Callers keep their connections
open, like Cloud Run's front end. CPU is that of the function alone: it limits what one vCPU can
serve.
"""

import asyncio
import os
import statistics
import sys
import time

import uvloop
from http_clients import Answering
from instance import cpu, deployment, function, memory, stay_on_second_core
from raw_http import Client, request

from emulator.issuer import Issuer

AT_ONCE = (1, 20, 80, 250, 500, 1000)
SECONDS = 4.0  # for each number of callers
STARTS = 7
GEMINI_TAKES = 0.150  # seconds

POLICY = b"""
api_version = "v1alpha"
[profiles.default]
model = "gemini-3.8-live"
limit = "99999/hour"
[profiles.default.config]
response_modalities = ["AUDIO"]
system_instruction = "You are a patient tutor."
"""


class Gemini(Answering):
    """Answers each request with a token after `GEMINI_TAKES`."""

    def on_message_complete(self) -> None:
        asyncio.get_running_loop().call_later(GEMINI_TAKES, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            super().on_message_complete()


async def callers(port: int, tokens: list[str], at_once: int) -> list[float]:
    """Let callers send requests for `SECONDS`. Returns the seconds that each answer took."""
    took: list[float] = []
    client = Client(port)
    end = time.perf_counter() + SECONDS

    async def caller(number: int) -> None:
        asked = request(tokens[number % len(tokens)])
        while (began := time.perf_counter()) < end:
            answer = await client.ask(asked)
            assert answer.status == 200, answer.body
            took.append(time.perf_counter() - began)

    await asyncio.gather(*map(caller, range(at_once)))
    client.close()
    return took


async def main() -> None:
    """Measure and print the table."""
    stay_on_second_core()
    gemini = await asyncio.get_running_loop().create_server(Gemini, "127.0.0.1", 0)
    issuer, port = Issuer(), gemini.sockets[0].getsockname()[1]
    with deployment(POLICY, issuer, port) as (environment, folder):
        tokens = [issuer.id_token("ada", sub=f"sub-{number}") for number in range(100)]
        for cores in ({0}, {0, 1}):
            starts = []
            for _ in range(STARTS):
                began = time.perf_counter()
                with function(environment, folder, cores):
                    starts.append(time.perf_counter() - began)
            print(f"start on {len(cores)} vCPU: {statistics.median(starts):.2f} s until it listens")
        print("\nat once    mints/s   CPU a mint, ms   CPU busy   p50, ms   p99, ms   memory, MiB")
        with function(environment, folder, {0}) as running:
            group = running.process.pid
            await callers(running.port, tokens, 1)
            for at_once in AT_ONCE:
                before, began = cpu(group), time.perf_counter()
                took = sorted(await callers(running.port, tokens, at_once))
                used, passed = cpu(group) - before, time.perf_counter() - began
                p50, p99 = (took[int(len(took) * part)] * 1000 for part in (0.5, 0.99))
                print(
                    f"{at_once:7,} {len(took) / passed:10,.0f} {used / len(took) * 1000:16.2f}"
                    f" {used / passed:10.0%} {p50:9.0f} {p99:9.0f} {memory(group):13.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("This needs two cores.")
    uvloop.run(main())
