"""What one connection, and one caller, can take from the others."""

import contextlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asking import function_of
from raw_client import PROBE, Wire
from raw_requests import CHUNKED, SHORT, head, sized
from stack import POLICY, Stack, until
from test_raw_requests import attack

from livetoken.connection import MAX_DISCARDED
from livetoken.refusals import Reason
from livetoken.under_way import MAX_UNDER_WAY

function = function_of(POLICY)
MIB = 1024 * 1024


def memory(stack: Stack) -> int:
    """The memory of the function's processes in bytes (PSS: each shared page counts in part)."""
    processes = (each for each in Path("/proc").iterdir() if each.name.isdigit())
    group = [each for each in processes if os.getpgid(int(each.name)) == stack.function.process.pid]
    lines = "".join((each / "smaps_rollup").read_text() for each in group).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


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
