"""A client and a Gemini that cost little, so that they are not what is measured."""

import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import httptools

FAULTS: dict[bytes, bytes] = {
    **{
        b"%d" % status: b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status
        for status in (403, 429, 500, 503)
    },
    b"html": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    b"cut": b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{",
}
"""Answers of a Gemini that fails, by what the handle of a request asks for."""


IDLE_FOR = 1.0
"""Seconds for which an idle connection is used again: half of what the function keeps it for."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class Lost(Exception):
    """The connection ended before the answer was whole. `began` is whether a part of it came."""

    def __init__(self, *, began: bool) -> None:
        super().__init__("the connection ended")
        self.began = began


class Connection(asyncio.Protocol):
    """One connection to the function, for one request at a time."""

    def __init__(self) -> None:
        self.usable = True
        self.idle_since = 0.0
        self._answer: asyncio.Future[Answer] | None = None
        self._body = b""

    def connection_made(self, transport: Any) -> None:
        self.transport, self._parser = transport, httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.usable = self._parser.should_keep_alive() and not self.transport.is_closing()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(Answer(self._parser.get_status_code(), self._body))
        if not self.usable:
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Lost(began=bool(self._body)))

    async def ask(self, request: bytes) -> Answer:
        """Send the bytes of a request. Raises Lost."""
        if not self.usable:
            raise Lost(began=False)
        self._body = b""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


class Client:
    """Connections to one port of 127.0.0.1, which are kept and used again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: deque[Connection] = deque()

    async def ask(self, request: bytes) -> Answer:
        """Send a request on an idle connection, or on a new one.

        Raises:
            Lost: the connection ended first.
            OSError: there is no connection.
        """
        connection = await self._connection()
        answer = await connection.ask(request)
        if connection.usable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        return answer

    async def connect(self) -> Connection:
        """A new connection, which the caller closes."""
        made = asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self._port)
        return (await made)[1]

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop().transport.close()

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and time.monotonic() < connection.idle_since + IDLE_FOR:
                return connection
            connection.transport.close()
        return await self.connect()


def request(token: str | None, body: bytes = b"", more: str = "") -> bytes:
    """The bytes of a request of the function, with a token if there is one."""
    credential = f"Authorization: Bearer {token}\r\n" if token else ""
    length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST / HTTP/1.1\r\nHost: x\r\n{credential}{length}{more}\r\n".encode() + body


class Gemini(asyncio.Protocol):
    """Answers each mint after `takes` seconds, with a name that says for whom and for what.

    The name is `auth_tokens/CALLER.REQUEST`: the caller as the instruction names them, which the
    function took from their ID token, and the request as its resumption handle numbers it, which
    the function took from its body. A handle may ask for a fault.
    """

    takes: ClassVar[float]
    under_way: ClassVar[set[str]] = set()  # of all connections
    connections: ClassVar[set["Gemini"]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport, self._parser = transport, httptools.HttpRequestParser(self)
        self._body = b""
        self.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        caller = re.search(rb"<caller-(\d+)>", body)
        handle = re.search(rb'"handle": ?"(\d+)-(\w*)"', body)
        if caller is None or handle is None:
            self.transport.write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")
            return
        name = f"{caller[1].decode()}.{handle[1].decode()}"
        self.under_way.add(name)
        asyncio.get_running_loop().call_later(self.takes, self._answer, name, handle[2])

    def _answer(self, name: str, fault: bytes) -> None:
        self.under_way.discard(name)
        body = f'{{"name": "auth_tokens/{name}"}}'.encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(FAULTS.get(fault) or head % len(body) + body)
        if fault == b"cut":
            self.transport.close()

    @classmethod
    def close_idle(cls) -> None:
        """Close every connection that the function keeps."""
        for connection in list(cls.connections):
            connection.transport.close()
