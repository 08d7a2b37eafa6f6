"""Access tokens of the service account that the function runs as, from google-auth.

google-auth fetches access tokens with blocking calls, so one thread does it for all requests that
wait. The thread imports google-auth's client, which few deployments need.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from google.auth.credentials import Credentials, TokenState

RETRY = 2.0  # seconds after a failure before the next try
FETCH_TIMEOUT = 5.0  # seconds for an answer, if google-auth sets no time of its own


class ServiceAccount:
    """Access tokens. Each is kept until it expires and renewed in the minutes before.

    Args:
        scopes: the OAuth scopes of the tokens.
        now: seconds on a monotonic clock.
    """

    def __init__(self, *scopes: str, now: Callable[[], float] = time.monotonic) -> None:
        self._scopes = scopes
        self._now = now
        self._retry_at = float("-inf")
        self._credentials: Credentials | None = None
        self._refresh: asyncio.Task[None] | None = None

    async def headers(self) -> Mapping[str, str]:
        """Return the headers that authorise a request as this account.

        Raises:
            OSError: there is no access token.
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
        """Drop the access token, because it was refused."""
        self._credentials = None

    def _state(self) -> TokenState:
        if self._credentials is None:
            return TokenState.INVALID
        state: TokenState = self._credentials.token_state
        return state

    async def _fetch(self) -> None:
        """Find or refresh the credentials. If that fails, there is simply no token."""
        try:
            self._credentials = await asyncio.to_thread(self._refreshed)
        except Exception:  # of google-auth, its transport or a key file: no token either way
            self._retry_at = self._now() + RETRY
        finally:
            self._refresh = None

    def _refreshed(self) -> Credentials:
        import google.auth
        import requests
        from google.auth.transport.requests import Request

        session = requests.Session()
        session.trust_env = False  # no proxy gets a token
        request: Any = partial(Request(session), timeout=FETCH_TIMEOUT)
        credentials: Any = self._credentials
        if credentials is None:
            credentials, _ = google.auth.default(scopes=self._scopes, request=request)
        credentials.refresh(request)
        found: Credentials = credentials
        return found
