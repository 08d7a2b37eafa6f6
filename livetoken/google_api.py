"""Google's APIs, called as the service account that the function runs as."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from livetoken import fetch
from livetoken.refusals import Detail, Reason, Refused

CALL_TIMEOUT = 5.0  # seconds for a call, including its access token
RETRY_AFTER = 2  # seconds, if a call fails


class Credentials(Protocol):
    """The credentials of the service account that the function runs as."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers that authorise a request.

        Raises:
            OSError: there is no access token.
        """

    def forget(self) -> None:
        """Drop the access token, because it was refused."""


class CallFailed(Exception):
    """There is no answer."""

    def __init__(self, detail: Detail) -> None:
        super().__init__(detail.name)
        self.detail = detail


async def call(
    account: Credentials,
    seconds: float,
    send: Callable[[Mapping[str, str]], Awaitable[fetch.Fetched]],
) -> fetch.Fetched:
    """Send a request in the name of an account, and return the answer, also an error.

    Args:
        seconds: for everything, including the access token.
        send: gets the headers that authorise the request.

    Raises:
        CallFailed: there is no access token, or no whole answer in time.
    """
    try:
        async with asyncio.timeout(seconds):
            answer = await send(await account.headers())
    except TimeoutError:
        raise CallFailed(Detail.NO_ANSWER) from None
    except fetch.Unreachable:
        raise CallFailed(Detail.CONNECTION) from None
    except fetch.TooLong:
        raise CallFailed(Detail.ANSWER_TOO_LONG) from None
    except OSError:
        raise CallFailed(Detail.NO_ACCESS_TOKEN) from None
    if answer.status == 401:
        account.forget()
    return answer


class GoogleApi:
    """An API whose failures refuse requests.

    Args:
        account: whose access tokens have the API's scope.
        unavailable: the reason if a call fails.
    """

    def __init__(self, http: fetch.Http, account: Credentials, unavailable: Reason) -> None:
        self._http = http
        self._account = account
        self._unavailable = unavailable

    async def post(self, url: str, message: Mapping[str, Any]) -> bytes:
        """Send a message as JSON and return the body of the answer.

        Raises:
            Refused: there is no answer, or its status is not 200.
        """
        body = json.dumps(message).encode()

        def send(headers: Mapping[str, str]) -> Awaitable[fetch.Fetched]:
            return self._http.post(url, body, credentials=headers, seconds=CALL_TIMEOUT)

        try:
            answer = await call(self._account, CALL_TIMEOUT, send)
        except CallFailed as error:
            raise self.failure(error.detail) from None
        if answer.status != 200:
            raise self.failure(Detail.STATUS)
        return answer.body

    def failure(self, detail: Detail) -> Refused:
        """Return the refusal because of a call that failed."""
        return Refused(self._unavailable, detail, retry_after=RETRY_AFTER)

    async def warm(self) -> None:
        """Get an access token before the first request, which meets the failure if this fails."""
        with suppress(OSError):
            await self._account.headers()
