"""The HTTP client against servers that send any bytes."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from emulator import tls
from emulator.function import hold_port
from emulator.tls import Certificate
from livetoken import fetch
from livetoken.fetch import (
    MAX_ANSWER,
    Fetched,
    Http,
    NotConnected,
    NotConnectedInTime,
    TooLong,
    Unreachable,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Upstream:
    """A server that gives each connection some answers, one for each request, and then ends it.

    `requests` are the requests, by connection; `delay` is in seconds, before each answer.
    """

    delay = 0.0

    def __init__(self, *connections: list[bytes], host: str = "127.0.0.1") -> None:
        self._connections = list(connections)
        self.listening = socket.create_server((host, 0))
        self.listening.settimeout(5)
        self.port: int = self.listening.getsockname()[1]
        self.requests: list[list[bytes]] = []

    def serve(self) -> None:
        with self.listening, suppress(OSError):
            self._serve()

    def _serve(self) -> None:
        threads = []
        for answers in self._connections:
            connection, _ = self.listening.accept()
            connection.settimeout(5)
            self.requests.append([])
            given = (connection, answers, self.requests[-1])
            threads.append(Thread(target=self._answer, args=given))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _answer(
        self, connection: socket.socket, answers: list[bytes], requests: list[bytes]
    ) -> None:
        with connection, suppress(ConnectionError):
            for answer in answers:
                requests.append(connection.recv(65_536))
                time.sleep(self.delay)
                connection.sendall(answer)


@contextmanager
def upstream(*connections: list[bytes]) -> Iterator[Upstream]:
    server = Upstream(*connections)
    thread = Thread(target=server.serve)
    thread.start()
    yield server
    thread.join()


@contextmanager
def client() -> Iterator[Http]:
    http = Http()
    try:
        yield http
    finally:
        http.close()


async def get(url: str, seconds: float = 5) -> Fetched:
    with client() as http:
        return await http.get(url, seconds=seconds)


async def post_once(port: int, scheme: str = "http") -> Fetched:
    with client() as http:
        return await post(http, port, scheme)


async def post(http: Http, port: int, scheme: str = "http") -> Fetched:
    url = f"{scheme}://127.0.0.1:{port}/path"
    return await http.post(url, b"{}", credentials={"x-key": "secret"}, seconds=5)


def outcome(*answers: bytes) -> Fetched | str:
    """Return the outcome of one request."""
    with upstream(list(answers)) as server:
        try:
            return asyncio.run(post_once(server.port))
        except (Unreachable, TooLong, TimeoutError) as error:
            return type(error).__name__


def run(call: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(call())


def test_a_request_has_its_host_length_and_credential() -> None:
    with upstream([OK]) as server:
        asyncio.run(post_once(server.port))
    head, _, body = server.requests[0][0].partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    assert line == b"POST /path HTTP/1.1"
    assert b"host: 127.0.0.1:%d" % server.port in headers
    assert b"content-length: 2" in headers
    assert b"x-key: secret" in headers
    assert body == b"{}"


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (OK, 200, b"{}"),
        (CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 200, b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + OK, 200, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 302, b""),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}"),
        (OK + OK, 200, b"{}"),
    ],
)  # fmt: skip
def test_an_answer_is_read(answer: bytes, status: int, body: bytes) -> None:
    answered = outcome(answer)
    assert isinstance(answered, Fetched)
    assert (answered.status, answered.body) == (status, body)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "Unreachable"),
        (b"HTTP/1.1 200 OK\r\n", "Unreachable"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "Unreachable"),  # its end could be a cut
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "Unreachable"),
        (CHUNKED + b"2\r\n{}\r\n", "Unreachable"),
        (CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"), "Unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 0\r\n\r\n{}", "Unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", "Unreachable"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "Unreachable"),
        (b"HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + OK, "Unreachable"),
        (b"HTTP/2 200\r\n\r\n", "Unreachable"),
        (OK.replace(b"HTTP/1.1", b"RTSP/2.0"), "Unreachable"),
        (OK.replace(b"1.1", b"0.9"), "Unreachable"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "Unreachable"),
        (b"<html>", "Unreachable"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * MAX_ANSWER, "TooLong"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b"a" * MAX_ANSWER, "TooLong"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, "TooLong"),
    ],
)  # fmt: skip
def test_what_is_no_whole_answer_is_an_error(answer: bytes, error: str) -> None:
    assert outcome(answer) == error


def test_headers_that_are_not_ascii_are_empty() -> None:
    answer = outcome(OK.replace(b"\r\n\r\n", b"\r\nRetry-After: \xff\r\nAGE: 7\r\n\r\n"))
    assert isinstance(answer, Fetched)
    assert answer.headers == {"age": "7", "cache-control": "", "etag": "", "retry-after": ""}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n" + OK,
        CHUNKED + b"0\r\nRetry-After: 7\r\n\r\n",
    ],
)
def test_only_headers_of_the_final_head_count(answer: bytes) -> None:
    answered = outcome(answer)
    assert isinstance(answered, Fetched)
    assert answered.headers["retry-after"] == ""


def test_a_connection_that_is_cut_ends_the_idle_ones() -> None:
    """What cut one may have cut them all, and the next try must not meet another of them."""

    async def calls() -> None:
        with client() as http:
            await asyncio.gather(*(post(http, server.port) for _ in range(3)))
            with pytest.raises(Unreachable):
                await post(http, server.port)
            assert (await post(http, server.port)).status == 200

    with upstream([OK, b""], [OK, b""], [OK, b""], [OK]) as server:
        run(calls)


def test_no_connection_in_time_means_that_nothing_was_sent() -> None:
    async def call() -> None:
        with pytest.raises(NotConnectedInTime):
            await get(f"https://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        run(call)


def test_a_connection_serves_one_request_after_another() -> None:
    async def calls() -> None:
        with client() as http:
            for _ in range(3):
                assert (await post(http, server.port)).status == 200

    with upstream([OK, OK, OK]) as server:
        run(calls)


@pytest.mark.parametrize(
    "first",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"1.1", b"1.0"),
        OK + OK.replace(b"200", b"500"),  # the answer to a request that was not sent
        OK + b"x",
    ],
)
def test_a_connection_that_may_not_be_kept_is_not_used_again(first: bytes) -> None:
    async def calls() -> None:
        with client() as http:
            assert (await post(http, server.port)).status == 200
            assert (await post(http, server.port)).status == 200

    with upstream([first], [OK]) as server:
        run(calls)


def test_an_answer_to_nothing_ends_an_idle_connection() -> None:
    async def calls() -> None:
        with client() as http:
            assert (await post(http, server.port)).status == 200
            await asyncio.sleep(0.2)
            assert (await post(http, server.port)).status == 200

    class Late(Upstream):
        def _serve(self) -> None:
            connection, _ = self.listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(OK)
                connection.sendall(OK.replace(b"200", b"500"))
                super()._serve()

    server = Late([OK])
    thread = Thread(target=server.serve)
    thread.start()
    run(calls)
    thread.join()


def test_an_idle_connection_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def calls() -> None:
        with client() as http:
            await post(http, server.port)
            monkeypatch.setattr(fetch, "KEPT_ALIVE", 0)
            await post(http, server.port)

    with upstream([OK], [OK]) as server:
        run(calls)


def test_requests_at_once_have_connections_of_their_own() -> None:
    async def calls() -> None:
        with client() as http:
            answers = await asyncio.gather(*(post(http, server.port) for _ in range(3)))
            assert sorted(answer.body for answer in answers) == [b"{}", b"{}", b"{}"]

    with upstream([OK], [OK], [OK]) as server:
        run(calls)


def test_a_late_answer_is_not_the_next_request_s() -> None:
    async def calls() -> None:
        with client() as http:
            with pytest.raises(TimeoutError):
                await http.get(f"http://127.0.0.1:{server.port}", seconds=0.2)
            assert (await post(http, server.port)).status == 200

    with upstream([OK], [OK]) as server:
        server.delay = 0.4
        run(calls)


def test_a_header_that_would_end_its_line_is_not_sent() -> None:
    credentials = {"x-key": "a\r\nb: c"}
    with pytest.raises(ValueError, match="a header"):
        asyncio.run(Http().post("http://127.0.0.1:1", b"", credentials=credentials, seconds=1))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}", "http://no-such-host.invalid", "http://a..b"]
)
def test_without_a_connection_nothing_was_sent(url: str) -> None:
    with pytest.raises(NotConnected):
        asyncio.run(get(url.format(port=hold_port())))


def tls_outcome(certificate: Certificate, host: str = "127.0.0.1") -> Fetched | str:
    """Return the outcome of one request over TLS to a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    server = Upstream([OK], host=host)

    server.listening = context.wrap_socket(server.listening, server_side=True)
    thread = Thread(target=server.serve)
    thread.start()
    try:
        return asyncio.run(get(f"https://{host}:{server.port}"))
    except NotConnected:
        return "NotConnected"
    finally:
        thread.join()


def test_tls_needs_a_known_authority_and_the_host(certificate: Certificate, tmp_path: Path) -> None:
    answer = tls_outcome(certificate)
    assert isinstance(answer, Fetched)
    assert tls_outcome(certificate, "127.0.0.2") == "NotConnected"
    assert tls_outcome(tls.certificate(tmp_path)) == "NotConnected"


def test_a_server_without_tls_is_not_connected() -> None:
    with upstream([OK]) as server, pytest.raises(NotConnected):
        asyncio.run(post_once(server.port, "https"))
