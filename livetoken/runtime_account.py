"""The runtime account's own credentials, by google-auth: on Cloud Run, the service's account.

google-auth fetches access tokens with blocking calls, hence in a thread, one for all who wait. This
module is imported only where App Check tokens are used once.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import google.auth
import requests
from google.auth.credentials import Credentials, TokenState
from google.auth.transport.requests import Request

SCOPES = ("https://www.googleapis.com/auth/firebase",)
RETRY = 2.0  # seconds after a failure before an access token is looked for again
FETCH_TIMEOUT = 5.0  # seconds for an answer, where google-auth names no time of its own


class RuntimeAccount:
    """Access tokens, each kept until it expires, and renewed in the minutes before.

    Args:
        now: seconds on a clock that never goes back.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._retry_at = float("-inf")
        self._credentials: Credentials | None = None
        self._refresh: asyncio.Task[None] | None = None

    async def headers(self) -> Mapping[str, str]:
        """Return the headers of a request in the account's name.

        Raises:
            OSError: no access token can be had.
        """
        due = self._now() >= self._retry_at
        if self._state() is not TokenState.FRESH and self._refresh is None and due:
            self._refresh = asyncio.create_task(self._fetch())
        if self._state() is TokenState.INVALID and self._refresh is not None:
            await asyncio.shield(self._refresh)
        if self._credentials is None or self._state() is TokenState.INVALID:
            raise OSError("no access token")
        headers: dict[str, str] = {}
        self._credentials.apply(headers)  # type: ignore[no-untyped-call]  # google-auth has none
        return headers

    def forget(self) -> None:
        """Take no more of the access token, which was refused."""
        self._credentials = None

    def _state(self) -> TokenState:
        if self._credentials is None:
            return TokenState.INVALID
        state: TokenState = self._credentials.token_state
        return state

    async def _fetch(self) -> None:
        """Find or refresh the credentials; a failure is left for the token's absence to tell."""
        try:
            self._credentials = await asyncio.to_thread(_refreshed, self._credentials)
        except Exception:  # google-auth's own, its transport's, a key file's: no token either way
            self._retry_at = self._now() + RETRY
        finally:
            self._refresh = None


def _refreshed(credentials: Any) -> Credentials:
    session = requests.Session()
    session.trust_env = False  # no proxy is given a token
    request: Any = functools.partial(Request(session), timeout=FETCH_TIMEOUT)
    if credentials is None:
        credentials, _ = google.auth.default(scopes=SCOPES, request=request)
    credentials.refresh(request)
    found: Credentials = credentials
    return found
