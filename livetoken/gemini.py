"""Minting: one constrained, single-use token from Gemini, or a refusal that says why not.

The request is the one that google-genai sends: `POST {base}/{version}/auth_tokens` with the key in
`x-goog-api-key`. Gemini answers with the token's name alone.
"""

import asyncio
import json
import math
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from livetoken import fetch
from livetoken.constraint import Constraint
from livetoken.google_errors import GoogleError
from livetoken.limits.limiter import Reservation
from livetoken.refusals import Detail, Reason, Refused

DEADLINE = 6.0  # seconds for everything, the second try included
RETRY_PAUSE = 0.1  # seconds before the second try
RETRIED = frozenset({502, 503, 504})
PASSING = frozenset({408, 409, 425, 499})
"""Statuses below 500 that say that another try can help. Google sends 499 for CANCELLED."""
RETRY_AFTER_QUOTA = 10  # seconds, if Gemini does not say how long to wait
RETRY_AFTER_UNAVAILABLE = 2  # seconds, likewise
RETRY_AFTER_MOST = 3600  # seconds

_NAME = re.compile(r"auth_tokens/[A-Za-z0-9._~-]{1,512}")


@dataclass(frozen=True)
class Grant:
    """A minted token.

    The times are the ones that were asked for: RFC 3339 in UTC, in whole seconds. `status` is the
    HTTP status of Gemini's answer, `seconds` how long minting took.
    """

    name: str
    expire_time: str
    new_session_expire_time: str
    constraint: Constraint
    api_version: str
    web_socket_url: str
    status: int
    seconds: float


class Gemini:
    """Mints tokens.

    Args:
        http: the HTTP client.
        base_url: scheme, host and any path, without a final slash.
        api_version: `v1alpha` or `v1beta`.
        api_key: sent in a header marked sensitive, never in a URL.
    """

    def __init__(
        self,
        http: fetch.Http,
        *,
        base_url: str,
        api_version: str,
        api_key: str,
    ) -> None:
        self._http = http
        self._base_url = base_url
        self._url = f"{base_url}/{api_version}/auth_tokens"
        self._api_key = api_key
        self._api_version = api_version
        secure = urlsplit(base_url).scheme == "https"
        self._web_socket_url = (
            f"{'wss' if secure else 'ws'}://{base_url.partition('://')[2]}"
            f"/ws/google.ai.generativelanguage.{api_version}"
            ".GenerativeService.BidiGenerateContentConstrained"
        )

    async def mint(self, constraint: Constraint, reserved: Reservation) -> Grant:
        """Mint one token with the times that are reserved for it.

        Raises:
            Refused: GEMINI_QUOTA, GEMINI_REFUSED, GEMINI_UNAVAILABLE or GEMINI_TIMEOUT, with
                `status`, `seconds` and `in_doubt`.
        """
        ends, starts = _rfc3339(reserved.ends), _rfc3339(reserved.starts_by)
        started = time.perf_counter()
        try:
            name, status = await self._post(constraint.request(ends, starts))
        except Refused as refusal:
            refusal.seconds = time.perf_counter() - started
            raise
        seconds = time.perf_counter() - started
        at = (self._api_version, self._web_socket_url)
        return Grant(name, ends, starts, constraint, *at, status, seconds)

    async def warm(self) -> None:
        """Open a connection before the first mint, which meets the failure if this fails."""
        with suppress(fetch.Unreachable, fetch.TooLong, TimeoutError):
            await self._http.get(self._base_url, seconds=DEADLINE)

    async def _post(self, body: bytes) -> tuple[str, int]:
        """Return the token's name and the status, after a second try if that can help."""
        deadline = time.monotonic() + DEADLINE
        try:
            return await self._try(body, deadline)
        except Refused as refusal:
            if refusal.detail is not Detail.CONNECTION and refusal.status not in RETRIED:
                raise
            in_doubt = refusal.in_doubt
        await asyncio.sleep(RETRY_PAUSE)
        try:
            return await self._try(body, deadline)
        except Refused as refusal:
            refusal.in_doubt |= in_doubt
            raise

    async def _try(self, body: bytes, deadline: float) -> tuple[str, int]:
        """Send the request once."""
        credentials = {"x-goog-api-key": self._api_key}
        left = deadline - time.monotonic()
        try:
            answer = await self._http.post(self._url, body, credentials=credentials, seconds=left)
        except fetch.NotConnected:
            raise _unavailable(Detail.CONNECTION) from None
        except fetch.Unreachable:
            raise _unavailable(Detail.CONNECTION, in_doubt=True) from None
        except fetch.TooLong:
            raise _unavailable(Detail.ANSWER_TOO_LONG, in_doubt=True) from None
        except TimeoutError as error:
            in_doubt = not isinstance(error, fetch.NotConnectedInTime)
            raise Refused(Reason.GEMINI_TIMEOUT, Detail.NO_ANSWER, in_doubt=in_doubt) from None
        return _token_name(answer), answer.status


def _token_name(answer: fetch.Fetched) -> str:
    """Return the token's name, or refuse with what the answer means."""
    status = answer.status
    if status >= 400:
        raise _refused(answer)
    try:
        token = json.loads(answer.body.decode()) if status == 200 else None
    except (ValueError, RecursionError):
        token = None
    name = token.get("name") if isinstance(token, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _unavailable(Detail.NOT_A_TOKEN, status=status, in_doubt=status < 300)
    return name


def _refused(answer: fetch.Fetched) -> Refused:
    status, error = answer.status, GoogleError.read(answer.body)
    if status == 429:
        wait = _wait(answer, error, RETRY_AFTER_QUOTA)
        if error.quota is Detail.QUOTA_PER_DAY:
            wait = RETRY_AFTER_MOST  # used up for hours, even if Gemini names a short delay
        return Refused(Reason.GEMINI_QUOTA, error.quota, retry_after=wait, status=status)
    if status in PASSING or status >= 500:
        wait = _wait(answer, error, RETRY_AFTER_UNAVAILABLE)
        return _unavailable(Detail.STATUS, wait, status=status)
    return Refused(Reason.GEMINI_REFUSED, error.cause, status=status)


def _unavailable(detail: Detail, wait: int = RETRY_AFTER_UNAVAILABLE, **asked: Any) -> Refused:
    return Refused(Reason.GEMINI_UNAVAILABLE, detail, retry_after=wait, **asked)


def _wait(answer: fetch.Fetched, error: GoogleError, default: int) -> int:
    """Return the longer wait of the two that an answer can name, in whole seconds."""
    named = (error.retry_delay, _retry_after(answer.headers["retry-after"]))
    seconds = max((each for each in named if each is not None), default=default)
    return min(max(seconds, 1), RETRY_AFTER_MOST)


def _retry_after(value: str) -> int | None:
    """Return the whole seconds of a Retry-After, number or date (RFC 9110, section 10.2.3)."""
    if value.isascii() and value.isdigit():
        return int(value[:9])
    try:
        moment = parsedate_to_datetime(value).replace(tzinfo=UTC)  # HTTP dates are in GMT
        return math.ceil((moment - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
