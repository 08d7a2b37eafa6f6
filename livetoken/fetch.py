"""HTTP to Google: one client for the keys, App Check and Gemini, with bounded answers.

It is small enough to review, since it sends the API key: HTTP/1.1 over asyncio, TLS by Python's ssl
module, answers parsed by httptools. It does not follow redirects (they would carry the key
elsewhere), and has no proxies, cookies and decompression.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httptools

KEPT_ALIVE = 90.0
"""Seconds for which an idle connection is kept for the next request."""

MAX_ANSWER = 256 * 1024
"""Bytes of an answer at most, with its head. Keys and tokens need a fiftieth of it."""

READ_HEADERS = ("age", "cache-control", "etag", "retry-after")
"""The headers of an answer that are read."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_Origin: TypeAlias = tuple[str, str, int]  # scheme, host, port
_PORTS = {"http": 80, "https": 443}


class Unreachable(Exception):
    """No whole HTTP answer arrived: a reset, or a connection cut half way."""


class NotConnected(Unreachable):
    """There was no connection, so nothing was sent: refused, bad TLS, or host not found."""


class NotConnectedInTime(TimeoutError):
    """There was no connection in time, so nothing was sent."""


class TooLong(Exception):
    """The answer is longer than `MAX_ANSWER`."""


@dataclass(frozen=True)
class Fetched:
    """A whole HTTP answer. `headers` has all `READ_HEADERS`; one that was not sent is empty."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """The client. It keeps idle connections, and sends one request at a time on each."""

    def __init__(self) -> None:
        self._idle: dict[_Origin, list[_Connection]] = {}

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """TLS 1.2 or later, with the certificate and its host checked."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def get(
        self, url: str, *, headers: Mapping[str, str] = NO_HEADERS, seconds: float
    ) -> Fetched:
        """GET a URL. The whole answer must arrive within `seconds`; raises what `post` raises."""
        return await self._send("GET", url, headers, b"", seconds)

    async def post(
        self, url: str, body: bytes, *, credentials: Mapping[str, str], seconds: float
    ) -> Fetched:
        """POST a JSON body. The whole answer must arrive within `seconds`.

        Args:
            credentials: headers whose values are secret.

        Raises:
            TimeoutError: the answer was not whole in time; NotConnectedInTime if nothing was sent.
            Unreachable, TooLong: see the classes.
            ValueError: a header would end its line.
        """
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        return await self._send("POST", url, {**headers, **credentials}, body, seconds)

    def close(self) -> None:
        """Close the idle connections."""
        for origin in list(self._idle):
            self._drop(origin)

    def _drop(self, origin: _Origin) -> None:
        for connection in self._idle.pop(origin, []):
            connection.close()

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Fetched:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = _head(method, target, {"host": parts.netloc, **headers})
        port = parts.port or _PORTS[parts.scheme]
        origin = (parts.scheme, parts.hostname or "", port)
        connection = None
        try:
            async with asyncio.timeout(seconds):
                connection = self._take(origin) or await self._connect(origin)
                return await connection.exchange(head + body)
        except TimeoutError:
            if connection is None:
                raise NotConnectedInTime from None
            raise
        except Unreachable:
            self._drop(origin)  # what cut one connection may have cut them all
            raise
        finally:
            if connection is not None and connection.is_idle:
                self._idle.setdefault(origin, []).append(connection)
            elif connection is not None:
                connection.close()

    def _take(self, origin: _Origin) -> "_Connection | None":
        """Return the idle connection that was used last, and drop those that have ended."""
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    async def _connect(self, origin: _Origin) -> "_Connection":
        scheme, host, port = origin
        tls = self._tls if scheme == "https" else None
        try:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, host, port, ssl=tls)
        except (OSError, UnicodeError) as error:  # UnicodeError: no host name (RFC 5890)
            raise NotConnected from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection. It is closed if anything arrives that was not asked for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Fetched] | None = None
        self._transport: Any = None
        self._used_at = self._loop.time()
        self.is_idle = False

    @property
    def is_usable(self) -> bool:
        """Whether the connection is open and young enough for another request."""
        return not self._transport.is_closing() and self._loop.time() < self._used_at + KEPT_ALIVE

    async def exchange(self, request: bytes) -> Fetched:
        """Send a request and return the answer."""
        self.is_idle = False
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._answer = self._loop.create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None

    def close(self) -> None:
        """Close at once."""
        self.is_idle = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.is_idle = False
        self._fail(Unreachable())

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._answer is None or self._answer.done():
            self.close()  # nothing was asked
        elif self._received > MAX_ANSWER:
            self._fail(TooLong())
        else:
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                self.is_idle = False
                self._fail(Unreachable())

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    # What the parser calls. It turns an exception into an HttpParserError.

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():
            raise ValueError  # a second answer
        self._headers = dict.fromkeys(READ_HEADERS, "")
        self._body = bytearray()
        self._is_head = True

    def on_headers_complete(self) -> None:
        self._is_head = False
        if self._parser.get_http_version() not in ("1.0", "1.1"):
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        header = name.decode("latin-1").lower()
        if self._is_head and header in self._headers:
            self._headers[header] = value.decode("latin-1") if value.isascii() else ""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 or self._answer is None:
            return  # an interim answer (RFC 9110, section 15.2)
        self._used_at = self._loop.time()
        self.is_idle = self._parser.should_keep_alive()
        self._answer.set_result(Fetched(status, self._headers, bytes(self._body)))


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return a request's head.

    Raises:
        ValueError: a header would end its line.
    """
    lines = [f"{method} {target} HTTP/1.1", "user-agent: livetoken", "accept-encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line ends in a header")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
