"""Compare HTTP clients: the CPU time of the import, and of one POST request.

    make bench

Each client runs in its own process, with uvloop, against a server in another process. A request is
like a mint: 0.9 KB of JSON and a key; the answer is a token. CPU time is that of the whole process
with its threads; that of the import comes on top of uvicorn's imports. The values are medians of
several runs; compare ratios, not absolute values.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httptools
import uvloop

BODY = json.dumps({"uses": 1, "bidiGenerateContentSetup": {"x": "y" * 850}}).encode()
HEADERS = {"x-goog-api-key": "k" * 39, "content-type": "application/json"}
TOKEN = b'{"name": "auth_tokens/%s"}' % (b"a" * 64)
AT_ONCE, REQUESTS, RUNS = 32, 2000, 5

Ask = Callable[[], Awaitable[tuple[int, bytes]]]


def with_aiohttp(url: str) -> Ask:
    import aiohttp

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )

    async def ask() -> tuple[int, bytes]:
        async with session.post(url, data=BODY, headers=HEADERS) as answer:
            return answer.status, await answer.read()

    return ask


def with_httpx2(url: str) -> Ask:
    import httpx2

    limits = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    client = httpx2.AsyncClient(limits=limits)

    async def ask() -> tuple[int, bytes]:
        answer = await client.post(url, content=BODY, headers=HEADERS)
        return answer.status_code, answer.content

    return ask


def with_httpcore2(url: str) -> Ask:
    import httpcore2

    pool = httpcore2.AsyncConnectionPool(max_connections=AT_ONCE)

    async def ask() -> tuple[int, bytes]:
        answer = await pool.request("POST", url, headers=list(HEADERS.items()), content=BODY)
        return answer.status, answer.content

    return ask


def with_pyreqwest(url: str) -> Ask:
    import pyreqwest.client

    client = pyreqwest.client.ClientBuilder().no_proxy().build()

    async def ask() -> tuple[int, bytes]:
        request = client.post(url).headers(HEADERS).body_bytes(BODY)
        async with request.build_streamed() as answer:
            return answer.status, bytes(await answer.bytes())

    return ask


def with_livetoken(url: str) -> Ask:
    from livetoken.fetch import Http

    http = Http()

    async def ask() -> tuple[int, bytes]:
        answer = await http.post(url, BODY, credentials={"x-goog-api-key": "k" * 39}, seconds=6)
        return answer.status, answer.body

    return ask


def with_urllib3(url: str) -> Ask:
    import urllib3

    pool, threads = urllib3.PoolManager(maxsize=AT_ONCE), ThreadPoolExecutor(AT_ONCE)

    def post() -> tuple[int, bytes]:
        answer = pool.request("POST", url, body=BODY, headers=HEADERS)
        return answer.status, answer.data

    async def ask() -> tuple[int, bytes]:
        return await asyncio.get_running_loop().run_in_executor(threads, post)

    return ask


def with_niquests(url: str) -> Ask:
    import niquests

    session = niquests.AsyncSession(pool_maxsize=AT_ONCE)

    async def ask() -> tuple[int, bytes]:
        answer = await session.post(url, data=BODY, headers=HEADERS)
        return answer.status_code, answer.content

    return ask


CLIENTS: dict[str, Callable[[str], Ask]] = {
    name.removeprefix("with_"): function
    for name, function in list(globals().items())
    if name.startswith("with_")
}


class Answering(asyncio.Protocol):
    """A minimal server, which answers every request with a token."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.parser = transport, httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % len(TOKEN) + TOKEN)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(name: str, url: str, at_once: int) -> float:
    """The CPU time of one request, in microseconds."""
    ask = CLIENTS[name](url)

    async def ask_in_turn(requests: int) -> None:
        for _ in range(requests):
            assert await ask() == (200, TOKEN)

    async def run(requests: int) -> None:
        await asyncio.gather(*(ask_in_turn(requests // at_once) for _ in range(at_once)))

    await run(at_once * 4)
    began = time.process_time()
    await run(REQUESTS)
    return (time.process_time() - began) / REQUESTS * 1e6


def python(*arguments: str) -> float:
    run = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return float(run.stdout.split()[0])


def import_time(name: str) -> float:
    """The CPU time of an import, in milliseconds."""
    modules = {"pyreqwest": "pyreqwest.client", "livetoken": "livetoken.fetch"}
    module = modules.get(name, name)
    return python(
        "-c",
        "import time, uvloop, uvicorn, uvicorn.protocols.http.httptools_impl\n"
        f"began = time.process_time(); import {module}\n"
        "print((time.process_time() - began) * 1000)",
    )


def compare() -> None:
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout
    try:
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1alpha/auth_tokens"
        print(f"{'client':<12}{'import, ms':>12}{'one at a time, µs':>20}{'32 at once, µs':>17}")
        for name in CLIENTS:
            values = [
                statistics.median(import_time(name) for _ in range(RUNS)),
                *(
                    statistics.median(python(__file__, name, url, str(n)) for _ in range(RUNS))
                    for n in (1, AT_ONCE)
                ),
            ]
            print(f"{name:<12}{values[0]:>12.0f}{values[1]:>20.0f}{values[2]:>17.0f}", flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    elif len(sys.argv) == 4:
        print(uvloop.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))), flush=True)
    else:
        compare()
