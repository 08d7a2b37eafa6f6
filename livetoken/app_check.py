"""What asks: Firebase App Check tokens, which attest that a request comes from the genuine app.

Source: https://firebase.google.com/docs/app-check/custom-resource-backend.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from livetoken import fetch
from livetoken.jws import CLOCK_SKEW, Jws
from livetoken.keys import KeySet
from livetoken.refusals import Detail, Reason, Refused

CHECK_TIMEOUT = 5.0  # seconds for the used-once check, with the access token that it takes
RETRY_AFTER = 2  # seconds, where it cannot be had

_MAX_APP_ID = 255


class Credentials(Protocol):
    """The runtime account's own credentials."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers of a request in its name.

        Raises:
            OSError: no access token can be had.
        """

    def forget(self) -> None:
        """Take no more of the access token, which was refused."""


class NoAppCheck:
    """App Check is off: its tokens are neither asked for nor looked at."""

    async def verify(self, token: str | None) -> None: ...

    async def use(self, token: str | None) -> None: ...

    async def warm(self) -> None: ...


class AppCheck:
    """Verifies App Check tokens, and has each used once.

    Args:
        keys: those of App Check.
        project: the Firebase project's id.
        number: its number.
        base_url: App Check's, without a final slash.
        credentials: for the used-once check; None where tokens may be used again.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        http: fetch.Http,
        keys: KeySet,
        *,
        project: str,
        number: str,
        base_url: str,
        credentials: Credentials | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._keys = keys
        self._issuer = f"https://firebaseappcheck.googleapis.com/{number}"
        self._audiences = (f"projects/{project}", f"projects/{number}")
        self._url = f"{base_url}/v1beta/projects/{project}:verifyAppCheckToken"
        self._credentials = credentials
        self._now = now

    async def verify(self, token: str | None) -> None:
        """Verify an App Check token.

        Raises:
            Refused: APP_CHECK_FAILED or APP_CHECK_UNAVAILABLE.
        """
        if not token:
            raise Refused(Reason.APP_CHECK_FAILED, Detail.NO_TOKEN)
        jws = Jws.read(token, Reason.APP_CHECK_FAILED)
        if jws.claims.get("iss") != self._issuer:
            jws.refuse(Detail.ISSUER)
        jws.verify(await self._keys.key(jws.kid))
        aud, now = jws.claims.get("aud"), self._now()
        if not isinstance(aud, list) or not any(each in aud for each in self._audiences):
            jws.refuse(Detail.AUDIENCE)
        jws.check_started(now)
        jws.subject(_MAX_APP_ID)
        # Google's check has no patience with clocks, and says of an expired token no more than 403.
        skew = CLOCK_SKEW if self._credentials else 0
        if jws.has_expired(now + skew):
            jws.refuse(Detail.EXPIRY)

    async def use(self, token: str | None) -> None:
        """Use up a verified token, where each may be used once.

        Raises:
            Refused: APP_CHECK_FAILED for one that has been used, or APP_CHECK_UNAVAILABLE.
        """
        if self._credentials is None:
            return
        if token is None:
            raise Refused(Reason.APP_CHECK_FAILED, Detail.NO_TOKEN)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                answer = await self._http.post(
                    self._url,
                    json.dumps({"app_check_token": token}).encode(),
                    credentials=await self._credentials.headers(),
                    seconds=CHECK_TIMEOUT,
                )
        except TimeoutError:
            raise _unavailable(Detail.NO_ANSWER) from None
        except fetch.Unreachable:
            raise _unavailable(Detail.CONNECTION) from None
        except fetch.TooLong:
            raise _unavailable(Detail.ANSWER_TOO_LONG) from None
        except OSError:
            raise _unavailable(Detail.NO_ACCESS_TOKEN) from None
        if answer.status == 401:
            self._credentials.forget()
        if answer.status != 200:
            raise _unavailable(Detail.STATUS)
        if _already_used(answer.body):
            raise Refused(Reason.APP_CHECK_FAILED, Detail.ALREADY_USED)

    async def warm(self) -> None:
        """Fetch the keys, and an access token where one is needed."""
        with suppress(OSError):
            await asyncio.gather(
                self._keys.warm(), *([self._credentials.headers()] if self._credentials else [])
            )


def _already_used(body: bytes) -> bool:
    try:
        verdict = json.loads(body.decode())
    except (ValueError, RecursionError):
        verdict = None
    is_verdict = isinstance(verdict, dict) and "error" not in verdict
    used = verdict.get("alreadyConsumed", False) if is_verdict else None
    if not isinstance(used, bool):
        raise _unavailable(Detail.NOT_A_VERDICT)
    return used


def _unavailable(detail: Detail) -> Refused:
    return Refused(Reason.APP_CHECK_UNAVAILABLE, detail, retry_after=RETRY_AFTER)
