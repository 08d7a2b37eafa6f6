"""Minting: one constrained, single-use token from Gemini, or a refusal that says whose fault.

Source of the request: `POST {base}/{version}/auth_tokens`, the key in `x-goog-api-key`, as
google-genai sends it. Gemini answers with the token's name alone.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from livetoken import fetch
from livetoken.constraint import Constraint
from livetoken.refusals import Detail, Reason, Refused

DEADLINE = 6.0  # seconds for everything, the second try included
RETRY_PAUSE = 0.1  # seconds before the second try
RETRIED = frozenset({502, 503, 504})
RETRY_AFTER_QUOTA = 10  # seconds, where Gemini names no time
RETRY_AFTER_UNAVAILABLE = 2
RETRY_AFTER_MOST = 3600

_NAME = re.compile(r"auth_tokens/[A-Za-z0-9._~-]{1,512}")


@dataclass(frozen=True)
class Grant:
    """A minted token. The times are RFC 3339 in UTC, whole seconds, those asked for."""

    name: str
    expire_time: str
    new_session_expire_time: str
    constraint: Constraint
    api_version: str
    web_socket_url: str


@dataclass
class Attempt:
    """What became of the upstream request: HTTP status, and seconds taken.

    `in_doubt`: whether Gemini may have made a token although none was had of it.
    """

    status: int | None = None
    seconds: float | None = None
    in_doubt: bool = False


class Gemini:
    """Where tokens are minted.

    Args:
        http: the HTTP client.
        base_url: scheme, host and any path, without a final slash.
        api_version: `v1alpha` or `v1beta`.
        api_key: sent in a header marked sensitive, never in a URL.
        now: the time, with a zone.
    """

    def __init__(
        self,
        http: fetch.Http,
        *,
        base_url: str,
        api_version: str,
        api_key: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http = http
        self._base_url = base_url
        self._url = f"{base_url}/{api_version}/auth_tokens"
        self._api_key = api_key
        self._now = now
        self._api_version = api_version
        secure = urlsplit(base_url).scheme == "https"
        self._web_socket_url = (
            f"{'wss' if secure else 'ws'}://{base_url.partition('://')[2]}"
            f"/ws/google.ai.generativelanguage.{api_version}"
            ".GenerativeService.BidiGenerateContentConstrained"
        )

    async def mint(self, constraint: Constraint, attempt: Attempt) -> Grant:
        """Mint one token.

        Raises:
            Refused: GEMINI_QUOTA, GEMINI_REFUSED, GEMINI_UNAVAILABLE or GEMINI_TIMEOUT.
        """
        now = self._now()
        ends = _rfc3339(now + constraint.profile.expires_in)
        starts = _rfc3339(now + constraint.profile.start_within)
        started = time.perf_counter()
        try:
            name = await self._post(constraint.request(ends, starts), attempt)
        finally:
            attempt.seconds = time.perf_counter() - started
        return Grant(name, ends, starts, constraint, self._api_version, self._web_socket_url)

    async def warm(self) -> None:
        """Open a connection ahead of the first mint; a failure is left for that mint to meet."""
        with suppress(fetch.Unreachable, fetch.TooLong, TimeoutError):
            await self._http.get(self._base_url, seconds=DEADLINE)

    async def _post(self, body: bytes, attempt: Attempt) -> str:
        deadline = time.monotonic() + DEADLINE
        try:
            answer = await self._try(body, attempt, deadline)
            if answer is None or answer.status in RETRIED:
                await asyncio.sleep(RETRY_PAUSE)
                answer = await self._try(body, attempt, deadline)
        except TimeoutError:
            raise Refused(Reason.GEMINI_TIMEOUT, Detail.NO_ANSWER) from None
        except fetch.TooLong:
            raise _unavailable(Detail.ANSWER_TOO_LONG) from None
        if answer is None:
            raise _unavailable(Detail.CONNECTION)
        return _token_name(answer)

    async def _try(self, body: bytes, attempt: Attempt, deadline: float) -> fetch.Answer | None:
        """Send the request once; None where there was nobody to answer it."""
        attempt.status = None
        credentials = {"x-goog-api-key": self._api_key}
        left = deadline - time.monotonic()
        try:
            answer = await self._http.post(self._url, body, credentials=credentials, seconds=left)
        except fetch.NotConnected:
            return None
        except fetch.Unreachable:
            attempt.in_doubt = True
            return None
        except (fetch.TooLong, TimeoutError):
            attempt.in_doubt = True
            raise
        attempt.status = answer.status
        attempt.in_doubt |= answer.status == 200
        return answer


def _token_name(answer: fetch.Answer) -> str:
    """Return the token's name, or refuse with what the answer means."""
    if answer.status == 429:
        wait = _retry_after(answer.headers, RETRY_AFTER_QUOTA)
        raise Refused(Reason.GEMINI_QUOTA, retry_after=wait)
    if 400 <= answer.status < 500:
        raise Refused(Reason.GEMINI_REFUSED, Detail.STATUS)
    if answer.status >= 500:
        wait = _retry_after(answer.headers, RETRY_AFTER_UNAVAILABLE)
        raise _unavailable(Detail.STATUS, wait)
    try:
        token = json.loads(answer.body.decode()) if answer.status == 200 else None
    except (ValueError, RecursionError):
        token = None
    name = token.get("name") if isinstance(token, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _unavailable(Detail.NOT_A_TOKEN)
    return name


def _unavailable(detail: Detail, wait: int = RETRY_AFTER_UNAVAILABLE) -> Refused:
    return Refused(Reason.GEMINI_UNAVAILABLE, detail, retry_after=wait)


def _retry_after(headers: Mapping[str, str], default: int) -> int:
    """Whole seconds of a Retry-After, a number or a date (RFC 9110, section 10.2.3)."""
    value = headers["retry-after"]
    if value.isascii() and value.isdigit():
        seconds = int(value[:9])
    else:
        try:
            moment = parsedate_to_datetime(value).replace(tzinfo=UTC)  # HTTP dates are in GMT
            seconds = math.ceil((moment - datetime.now(UTC)).total_seconds())
        except (ValueError, OverflowError):
            seconds = default
    return min(max(seconds, 1), RETRY_AFTER_MOST)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
