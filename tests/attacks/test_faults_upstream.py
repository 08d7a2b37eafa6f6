"""Signing keys that cannot be fetched, and a Gemini that does anything but mint.

Other faults of both are in test_keys.py, test_minting.py, test_refusals.py and test_limits.py.
"""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from faults import descriptors, faulty, within
from stack import POLICY, Stack, stack, until

from emulator.function import hold_port
from emulator.server import Server
from emulator.tls import Certificate
from livetoken import gemini, keys
from livetoken.refusals import Reason

SOON = 2.0  # seconds: more than a retry takes, less than any deadline
LATE = 1.5  # seconds over a deadline on a busy machine


class Raw:
    """A server that answers each request with the bytes of `sends`, and then closes, or not.

    Without `reads` it accepts connections and does nothing else.
    """

    def __init__(self, *, reads: bool = True) -> None:
        self.sends = b""
        self.closes = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, args=(reads,), daemon=True).start()

    def _accept(self, reads: bool) -> None:
        with suppress(OSError):
            while True:
                self._held.append(self._listener.accept()[0])
                if reads:
                    threading.Thread(target=self._serve, args=self._held[-1:], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as read:
            while head := read.readline():
                length = 0
                while (line := read.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                read.read(length)
                # The connection that the warm-up opens stays open, unanswered.
                if head.startswith(b"POST"):
                    connection.sendall(self.sends)
                    if self.closes:
                        return

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._held:
            with suppress(OSError), connection:
                connection.shutdown(socket.SHUT_RDWR)


def minted(name: str) -> bytes:
    body = f'{{"name": "auth_tokens/{name}"}}'
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize("fault", ["html", "badpem", "json", "truncated", "reset", 302, 404, 503])
def test_without_keys_nobody_is_served_until_the_time_that_the_answer_names(
    alone: Stack, fault: int | str
) -> None:
    alone.issuer.key_fault = fault
    with faulty(alone) as livetoken:
        answer = within(SOON, livetoken.ask, Reason.KEYS_UNAVAILABLE)
        assert not alone.gemini.mints
        alone.issuer.key_fault = None
        time.sleep(int(answer.headers["retry-after"]))
        assert livetoken.ask().status == 200


def test_keys_that_hang_hold_up_no_caller_of_the_other_issuer(alone: Stack) -> None:
    with (
        Raw(reads=False) as hanging,
        faulty(alone, FIREBASE_KEYS_URL=f"http://{hanging.address}/keys") as livetoken,
        ThreadPoolExecutor(1) as other,
    ):
        waits = other.submit(
            within, keys.FETCH_TIMEOUT + LATE, livetoken.ask, Reason.KEYS_UNAVAILABLE
        )
        assert livetoken.ask(token=alone.issuer.id_token("grace")).status == 200
        assert not waits.done()
        waits.result()


# ------------------------------------------------------------------ Gemini

TOKEN = b'{"name": "auth_tokens/AAAAAAAA"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BROKEN = {
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a status line": b"HTTP/1.1 2",
    "headers alone": HEAD,
    "headers that never end": HEAD + b"X-A: " + b"a" * 3_000_000,
    "ten thousand headers": HEAD + b"X-A: a\r\n" * 10_000 + b"\r\n" + TOKEN,
    "two lengths": HEAD + b"Content-Length: 32\r\nContent-Length: 5\r\n\r\n" + TOKEN,
    "a length that is not a number": HEAD + b"Content-Length: x\r\n\r\n" + TOKEN,
    "a body cut off": HEAD + b"Content-Length: 99\r\n\r\n" + TOKEN,
    "chunks cut off": HEAD + b"Transfer-Encoding: chunked\r\n\r\n20\r\n" + TOKEN,
    "a chunk of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + TOKEN,
    "interim answers alone": b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
    "another name after the first": HEAD + b'\r\n{"name": "auth_tokens/A", "name": 5}',
    "a name with a line feed": HEAD + b'\r\n{"name": "auth_tokens/A\\nB"}',
    "bytes that are not text": HEAD + b'\r\n{"name": "auth_tokens/A\xff"}',
    "a length of 10 GB": HEAD + b"Content-Length: 10000000000\r\n\r\n" + b"a" * 1_000_000,
}


@pytest.fixture(scope="module")
def raw() -> Iterator[Raw]:
    with Raw() as started:
        yield started


@pytest.fixture(scope="module")
def behind(raw: Raw, certificate: Certificate) -> Iterator[Stack]:
    """A function without limits, whose Gemini is `raw`."""
    url = f"http://{raw.address}"
    with (
        stack(certificate) as unstarted,
        faulty(unstarted, POLICY, GOOGLE_GEMINI_BASE_URL=url) as started,
    ):
        yield started


@pytest.mark.parametrize(
    "statuses",
    [range(100, 104), range(201, 300), range(300, 400), range(400, 500), range(500, 600)],
)
def test_no_status_but_200_is_a_token(behind: Stack, raw: Raw, statuses: range) -> None:
    """Although a token is in the body."""
    for status in statuses:
        raw.sends = b"HTTP/1.1 %d X\r\nContent-Length: 32\r\n\r\n" % status + TOKEN
        refused = 400 <= status < 500 and status not in gemini.PASSING
        reason = Reason.GEMINI_REFUSED if refused else Reason.GEMINI_UNAVAILABLE
        within(SOON, behind.ask, Reason.GEMINI_QUOTA if status == 429 else reason)


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_answer_is_no_token(behind: Stack, raw: Raw, sent: bytes) -> None:
    raw.sends = sent
    within(SOON, behind.ask, Reason.GEMINI_UNAVAILABLE)


def test_an_answer_that_nobody_asked_for_is_given_to_no_caller(behind: Stack, raw: Raw) -> None:
    """Two answers to one request, on a connection that could be kept."""
    raw.closes = False
    try:
        for number in range(20):
            raw.sends = minted(f"own-{number}") + minted(f"stray-{number}")
            assert behind.ask().json["name"] == f"auth_tokens/own-{number}"
    finally:
        raw.closes = True


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_gemini_that_accepts_and_says_nothing_ends_at_the_deadline(
    alone: Stack, scheme: str
) -> None:
    """Also in the middle of a TLS handshake."""
    with Raw(reads=False) as silent:
        url = f"{scheme}://{silent.address}"
        with faulty(alone, GOOGLE_GEMINI_BASE_URL=url) as livetoken:
            within(gemini.DEADLINE + LATE, livetoken.ask, Reason.GEMINI_TIMEOUT)


def test_a_gemini_without_tls_gets_no_key(alone: Stack) -> None:
    url = alone.gemini_plain_url.replace("http:", "https:")
    with faulty(alone, GOOGLE_GEMINI_BASE_URL=url) as livetoken:
        within(SOON, livetoken.ask, Reason.GEMINI_UNAVAILABLE)
    assert not alone.gemini.mints


def test_a_gemini_that_goes_and_comes_back_is_found_again(alone: Stack) -> None:
    """While it is gone, no use of the limit is lost."""
    port = hold_port()
    with faulty(alone, GOOGLE_GEMINI_BASE_URL=f"http://127.0.0.1:{port}") as livetoken:
        for _ in range(3):
            within(SOON, livetoken.ask, Reason.GEMINI_UNAVAILABLE)
            with Server(alone.gemini.app, plain=port):
                assert livetoken.ask().status == 200
        assert livetoken.ask().is_refusal(Reason.LIMIT_REACHED)


@pytest.mark.parametrize("status", [201, 202, 206])
def test_a_success_that_is_no_200_may_have_minted_so_it_counts(
    alone: Stack, raw: Raw, status: int
) -> None:
    raw.sends = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
    with faulty(alone, GOOGLE_GEMINI_BASE_URL=f"http://{raw.address}") as livetoken:
        reasons = [livetoken.ask().json["error"]["details"]["reason"] for _ in range(4)]
        assert reasons == ["GEMINI_UNAVAILABLE"] * 3 + ["LIMIT_REACHED"]


def test_many_callers_of_a_broken_gemini_leave_nothing_behind(alone: Stack) -> None:
    """Each gets an answer; afterwards the worker holds as many descriptors as before."""
    faults: list[int | str] = [500, "reset", "truncated", "html", "huge", "redirect"] * 20
    with faulty(alone, POLICY) as livetoken, ThreadPoolExecutor(32) as callers:
        assert livetoken.ask().status == 200
        before = descriptors(livetoken)
        alone.gemini.behaviour.faults.extend(faults)
        while alone.gemini.behaviour.faults:
            for answer in callers.map(lambda _: livetoken.ask(), range(32)):
                assert answer.status in (200, 503)
        assert livetoken.ask().status == 200
        alone.gemini.behaviour.fault = "reset"  # closes the connections that are kept
        until(lambda: livetoken.ask() and descriptors(livetoken) <= before)
