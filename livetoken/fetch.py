"""HTTP to Google: one client for the keys, App Check and Gemini, with bounded answers.

Redirects (they would carry the key elsewhere), proxies, cookies and decompression are off.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response

KEPT_ALIVE = timedelta(seconds=90)
"""How long an idle connection is kept for the next request."""

MAX_ANSWER = 256 * 1024
"""Bytes of an answer at most. Keys and tokens need a fiftieth of it."""

CONNECTING = "client error (Connect)"
"""What hyper calls a failure to connect. A connection cut later is the same class of error."""

READ_HEADERS = ("age", "cache-control", "retry-after")
"""The headers of an answer that are read."""


class Unreachable(Exception):
    """No whole HTTP answer arrived: a reset, bad TLS, or a connection cut half way."""


class NotConnected(Unreachable):
    """There was no connection, so the request was never sent: refused, or host not found."""


class TooLong(Exception):
    """The answer is longer than `MAX_ANSWER`."""


@dataclass(frozen=True)
class Fetched:
    """A whole HTTP answer. `headers` has all `READ_HEADERS`; one that was not sent is empty."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """The client: kept-alive HTTP/1.1 connections, with certificates checked by rustls."""

    @cached_property
    def _client(self) -> Client:
        """The client, built at first use: its thread would not survive gunicorn's fork."""
        builder = ClientBuilder().no_proxy().follow_redirects(False).default_cookie_store(False)
        builder = builder.gzip(False).brotli(False).zstd(False).deflate(False).referer(False)
        builder = builder.http1_only().pool_idle_timeout(KEPT_ALIVE).user_agent("livetoken")
        return builder.build()

    async def get(self, url: str, *, seconds: float) -> Fetched:
        """GET a URL. The whole answer must arrive within `seconds`; raises what `post` raises."""
        return await _send(self._request("GET", url), seconds)

    async def post(
        self, url: str, body: bytes, *, credentials: Mapping[str, str], seconds: float
    ) -> Fetched:
        """POST a JSON body. The whole answer must arrive within `seconds`.

        Args:
            credentials: headers whose values are secret.

        Raises:
            TimeoutError: the answer was not whole in time.
            Unreachable, TooLong: see the classes.
        """
        request = self._request("POST", url).header("content-type", "application/json")
        for name, value in credentials.items():
            request = request.header(name, value, is_sensitive=True)
        return await _send(request.body_bytes(body), seconds)

    def _request(self, method: str, url: str) -> RequestBuilder:
        try:
            return self._client.request(method, url)
        except ValueError as error:  # a URL that passed our check and not hyper's
            raise NotConnected from error


async def _send(request: RequestBuilder, seconds: float) -> Fetched:
    body = bytearray()
    try:
        async with asyncio.timeout(seconds), request.build_streamed() as response:
            while chunk := await response.body_reader.read_chunk():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise TooLong
            headers = {name: _header(response, name) for name in READ_HEADERS}
            return Fetched(response.status, headers, bytes(body))
    except TimeoutError:
        raise
    except (PyreqwestError, OSError) as error:
        raise (NotConnected if _is_unsent(error) else Unreachable) from error


def _is_unsent(error: Exception) -> bool:
    """Whether hyper failed to connect, so that nothing was sent."""
    causes = error.details["causes"] if isinstance(error, DetailedPyreqwestError) else None
    return any(cause["message"] == CONNECTING for cause in causes or ())


def _header(response: Response, name: str) -> str:
    try:
        return response.get_header(name) or ""
    except ValueError:  # pyreqwest's, for bytes that are not ASCII
        return ""
