"""One HTTP/1.1 connection: one request at a time, framed as RFC 9112 says.

uvicorn parses with httptools. This module closes what the two leave open:

| the client sends | what happens |
|---|---|
| `Upgrade` | ignored (RFC 9110, section 7.8): the body is read like any other |
| bytes behind a request, before its answer | it is answered, and the connection is closed |
| a body that is not whole when it is answered | the connection is closed |
| trailer fields | dropped (RFC 9110, section 6.5.1) |
| faulty framing, no `Host` or two | 400, and the connection is closed |
| too many or too long headers | 431, and the connection is closed |
| no whole head within 10 s | the connection is closed |
| nothing, and does not read its answers | the connection is closed after 10 s |

Pipelining is legal, but browsers and proxies do not use it. If bytes follow a request before its
answer, two parties may disagree about where the request ends, so these bytes are not parsed.
"""

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from livetoken.refusals import Detail, Reason, Refused

MAX_HEAD = 128 * 1024
"""Bytes of a request line and its headers."""

MAX_HEADERS = 100
"""Headers of a request, trailer fields included."""

HEAD_TIMEOUT = 10.0
"""Seconds from the first byte of a head, or from the connection, until the head must be whole."""

READ_TIMEOUT = 10.0
"""Seconds for which a client may leave its answers unread once they fill the system's buffers."""

MAX_PARSED = 64 * 1024
"""Bytes of a body that are parsed, with the sizes of its chunks. The rest is discarded."""

MAX_CHUNKS = 64
"""Chunks of a body. A chunk costs more to parse than to send."""

MAX_DISCARDED = 1024 * 1024
"""Bytes that are discarded before the connection is cut."""

_EXTENSION = "livetoken.connection"
_EXTENSIONS: dict[str, dict[object, object]] = {_EXTENSION: {}}


def check(scope: Scope) -> None:
    """Check that a request came through `Connection`, even if another server was started.

    Raises:
        Refused: INTERNAL.
    """
    if _EXTENSION not in scope.get("extensions", ()):
        raise Refused(Reason.INTERNAL, Detail.OTHER_SERVER)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol of one connection, made strict."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_head = True  # the next bytes belong to a head
        self._is_whole = False  # the request under way has arrived completely
        self._is_upgrade = False
        self._keep_alive = False  # once the request is whole
        self._fault = HTTPStatus.BAD_REQUEST
        self._size = 0  # bytes of this head or body
        self._head_size = 0
        self._header_count = 0
        self._chunk_count = 0
        self._discarded: int | None = None  # None while bytes are parsed
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        self._close_after(HEAD_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        if self._discarded is not None or (self._is_whole and self._is_under_way):
            self._discard(len(data))
            return
        self._size = len(data) + (0 if self._is_whole else self._size)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            if self._is_whole and self._is_under_way:
                self._discard(len(data))
            else:
                self._reject(self._fault)
            return
        if self._is_head:
            if self._size > MAX_HEAD:
                self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif not self._is_whole and self._size > MAX_PARSED:
            self._discard(0)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.resume_writing()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(READ_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def timeout_keep_alive_handler(self) -> None:
        self.transport.abort()  # `close` would wait for a client that does not read

    def shutdown(self) -> None:
        super().shutdown()
        self._keep_alive = False

    @property
    def _is_under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _parse(self, data: bytes) -> None:
        """Parse bytes.

        Raises:
            httptools.HttpParserError: they are not HTTP/1.1, or another request follows.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # httptools would skip the body, so parse this head again.
            head, self._is_upgrade = self._head(), False
            self.parser = httptools.HttpRequestParser(self)
            self._parse(head + data[upgrade.args[0] :])

    def _head(self) -> bytes:
        """Return the head just parsed, without `Upgrade`."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    # What the parser calls. It turns an exception into an HttpParserError.

    def on_message_begin(self) -> None:
        if self._is_under_way:
            raise ValueError  # another request follows
        super().on_message_begin()
        self.scope["extensions"] = _EXTENSIONS
        self._is_head, self._is_whole = True, False
        self._head_size = self._header_count = self._chunk_count = 0
        self._close_after(HEAD_TIMEOUT)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._count(name, value)
        super().on_header(name, value)

    def _count(self, *parts: bytes) -> None:
        self._head_size += sum(len(part) for part in parts)
        if self._header_count > MAX_HEADERS or self._head_size > MAX_HEAD:
            self._fault = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._is_upgrade = True
            return
        self._check_head()
        self._unset_keepalive_if_required()
        super().on_headers_complete()
        self.headers = []  # trailers
        self._is_head, self._size = False, 0
        self.cycle.transport = _Answering(self)
        if self.parser.get_http_version() == "1.0":  # RFC 9110, section 10.1.1
            self.cycle.waiting_for_100_continue = False
        self._keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False

    def on_chunk_header(self) -> None:
        self._chunk_count += 1
        if self._chunk_count > MAX_CHUNKS:
            raise ValueError

    def on_message_complete(self) -> None:
        if self._is_upgrade:
            return
        super().on_message_complete()
        self.cycle.keep_alive, self._is_whole = self._keep_alive, True

    def _check_head(self) -> None:
        """Check what decides where the request ends, and the host (RFC 9112, 3.2, 6.1 and 6.3)."""
        version = self.parser.get_http_version()
        values = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        hosts = sum(name == b"host" for name, _ in self.headers)
        if version not in ("1.0", "1.1") or hosts > 1 or (hosts == 0 and version == "1.1"):
            raise ValueError
        if values not in ([], [b"chunked"]) or (values and version == "1.0"):
            raise ValueError

    # How a connection ends.

    def _reject(self, status: HTTPStatus) -> None:
        """Answer what cannot be served, in the server's own words."""
        text = f"{status.phrase}\n".encode()
        headers = b"content-type: text/plain\r\ncontent-length: %d\r\ncache-control: no-store\r\n"
        head = STATUS_LINE[status] + headers % len(text) + b"connection: close\r\n\r\n"
        self.transport.write(head + text)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        self._close_for_writing()

    def close_after_answer(self) -> None:
        """Close once the answer is written."""
        if self._is_whole and self._discarded is None:
            self.transport.close()
        else:
            self._close_for_writing()

    def _close_for_writing(self) -> None:
        """Close, but let a client that is still sending read the answer (RFC 9112, section 9.6)."""
        self._discarded = self._discarded or 0
        self.transport.write_eof()
        self._close_after(self.timeout_keep_alive)

    def _discard(self, count: int) -> None:
        """Drop bytes. After the answer, the connection is closed."""
        self._discarded = (self._discarded or 0) + count
        self._keep_alive = False
        if self.cycle is not None:
            self.cycle.keep_alive = False
        if self._discarded > MAX_DISCARDED:
            self.transport.abort()

    def _close_after(self, seconds: float) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )


class _Answering(asyncio.Transport):
    """The transport of one answer. It closes so that the client can read the answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._connection.transport.write(data)

    def is_closing(self) -> bool:
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection.close_after_answer()
