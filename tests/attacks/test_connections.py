"""What one connection, and one caller, can take from the others."""

import asyncio
import contextlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asking import function_of
from raw_client import PROBE, Wire
from raw_parts import CHUNKED, SHORT, head, sized
from stack import POLICY, Stack, until
from starlette.types import Receive, Scope, Send
from test_raw_requests import attack
from uvicorn.config import Config
from uvicorn.server import ServerState

from livetoken import connection
from livetoken.connection import MAX_DISCARDED
from livetoken.refusals import Reason
from livetoken.under_way import MAX_UNDER_WAY

function = function_of(POLICY)
MIB = 1024 * 1024


def memory(stack: Stack) -> int:
    """The memory of the function's processes in bytes (PSS: each shared page counts in part)."""
    total = 0
    for each in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # a process that has just ended
            if each.name.isdigit() and os.getpgid(int(each.name)) == stack.function.process.pid:
                lines = (each / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


def flood(stack: Stack, start: bytes, data: bytes, size: int) -> int:
    """Send a start, and the same data again and again until the server closes.

    Return the number of bytes sent.
    """
    sent = 0
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", stack.function.port), 5) as client,
    ):
        client.sendall(start)
        while sent < size:
            sent += client.send(data)
    return sent


POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("start", "data"),
    [
        (b"", head(line=b"GET / HTTP/1.1") * 100),
        (b"", b"GET / HTTP/1.1\r\n\r\n" * 1000),
        (b"", b"OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2;", b"a" * 10_000),
        (b"POST /", b"a" * 10_000),
        (POST + b"a: ", b"a" * 10_000),
        (POST, b"a: b\r\n" * 1000),
        (b"", b"\r\n" * 1000),
    ],
    ids=["heads", "no hosts", "preflights", "extension", "url", "header", "headers", "lines"],
)
def test_a_flood_on_one_connection_takes_no_memory(
    function: Stack, start: bytes, data: bytes
) -> None:
    flood(function, start, data, MIB)
    before = memory(function)
    flood(function, start, data, 100 * MIB)
    assert memory(function) - before < 32 * MIB
    assert function.ask().status == 200


def test_a_refused_request_is_not_read_to_its_end(function: Stack) -> None:
    endless = POST + b"Content-Length: 10000000000\r\n\r\n"
    with Wire(function.function.port) as wire:
        wire.send(endless)
        answer = wire.only_answer()
    assert answer is not None
    assert answer.is_refusal(Reason.NO_CREDENTIAL)
    assert answer.headers["connection"] == "close"
    assert flood(function, endless, b" " * MIB, 1000 * MIB) < 32 * MAX_DISCARDED


def test_a_verified_caller_cannot_send_without_end(function: Stack) -> None:
    token = function.issuer.id_token("ada").encode()
    start = head(CHUNKED).replace(b"<token>", token) + b"2;"
    assert flood(function, start, b"a" * MIB, 1000 * MIB) < 32 * MAX_DISCARDED


def test_a_kept_connection_waits_for_a_slow_head(function: Stack) -> None:
    with Wire(function.function.port) as wire:
        for _ in range(2):
            wire.send(PROBE[:10])
            time.sleep(2.5)  # longer than an idle connection is kept
            wire.send(PROBE[10:].replace(b"Connection: close\r\n", b""))
            answer = wire.answer()
            assert answer is not None
            assert answer.status == 405


def test_a_caller_who_sends_more_and_leaves_is_logged_as_such(function: Stack) -> None:
    lines, mints = len(function.log()), len(function.gemini.mints)
    function.gemini.behaviour.delay = 0.5
    token = function.issuer.id_token("ada").encode()
    with Wire(function.function.port) as wire:
        wire.send((sized(SHORT) * 2).replace(b"<token>", token))
        until(lambda: len(function.gemini.mints) > mints)
    line = function.logged(lines + 1)
    function.gemini.behaviour.delay = 0
    assert (line["message"], line["detail"]) == ("minted", "CALLER_LEFT")
    assert len(function.gemini.mints) == mints + 1


def test_one_caller_cannot_occupy_an_instance(function: Stack) -> None:
    withheld = head(b"Content-Length: 9")
    began = time.monotonic()
    with ThreadPoolExecutor(MAX_UNDER_WAY + 8) as threads:
        answers = [threads.submit(attack, function, withheld) for _ in range(MAX_UNDER_WAY + 8)]
        until(lambda: sum(answer.done() for answer in answers) >= 8)
        refused = time.monotonic() - began
        assert function.ask(token=function.issuer.id_token("ada", sub="grace")).status == 200
    what = sorted(answer.result() for answer in answers)
    assert what == ["INVALID_REQUEST"] * MAX_UNDER_WAY + ["LIMIT_REACHED"] * 8
    assert refused < 2, "the refused ones do not wait for a body"
    assert function.ask().status == 200


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 9\r\n\r\n",  # refused before its body
        b"not HTTP\r\n\r\n",
    ],
)
def test_a_client_that_sends_on_after_its_answer_is_cut_off(function: Stack, data: bytes) -> None:
    began = time.monotonic()
    with Wire(function.function.port) as wire:
        wire.send(data)
        assert wire.answer() is not None
        while time.monotonic() - began < 10 and wire.send(b" "):
            time.sleep(0.1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("faulty", [b"ZZ\r\n", b"1\r\n \r\n" * 65, b"0\r\na b\r\n\r\n"])
def test_a_faulty_body_is_not_an_error_of_ours(function: Stack, faulty: bytes) -> None:
    function.ask()  # fetches the keys
    lines = len(function.log())
    data = head(b"Expect: 100-continue", CHUNKED) + faulty
    assert attack(function, data) == "400"
    assert function.logged(lines + 1)["reason"] == "INVALID_REQUEST"


def test_a_client_of_http_1_0_gets_no_interim_answer(function: Stack) -> None:
    data = sized(SHORT, b"Expect: 100-continue", line=b"POST / HTTP/1.0")
    token = function.issuer.id_token("ada").encode()
    with socket.create_connection(("127.0.0.1", function.function.port), 5) as client:
        client.sendall(data.replace(b"<token>", token))
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another application, whose answer is too large for the system's buffers."""
    monkeypatch.setattr(connection, "READ_TIMEOUT", 0.2)
    ended = asyncio.Event()

    async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
        ended.set()

    async def run() -> None:
        config, state = Config(large), ServerState()
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: connection.Connection(config=config, server_state=state, app_state={}),
            "127.0.0.1",
            0,
        )
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.sendall(PROBE)
            async with asyncio.timeout(10):
                await ended.wait()  # what is sent after the end is dropped
        server.close()

    asyncio.run(run())
