"""Firebase App Check tokens, which attest that a request comes from the genuine app.

Source: https://firebase.google.com/docs/app-check/custom-resource-backend.
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Protocol

from livetoken import fetch
from livetoken.keys import KeySet, find
from livetoken.refusals import Detail, Reason, Refused
from livetoken.tokens import CLOCK_SKEW, SignedToken

CHECK_TIMEOUT = 5.0  # seconds for the single-use check, including its access token
RETRY_AFTER = 2  # seconds, if the check fails

_MAX_APP_ID = 255


class Credentials(Protocol):
    """The credentials of the service account that the function runs as."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers that authorise a request.

        Raises:
            OSError: there is no access token.
        """

    def forget(self) -> None:
        """Drop the access token, because it was refused."""


class NoAppCheck:
    """App Check is off: its tokens are not looked at."""

    async def verify(self, token: str | None) -> None: ...

    async def use(self, token: str | None) -> None: ...

    async def warm(self) -> None: ...


class AppCheck:
    """Verifies App Check tokens and, if asked to, lets each be used once.

    Args:
        keys: App Check's signing keys.
        project: the Firebase project's id.
        number: its number.
        base_url: App Check's, without a final slash.
        apps: the ids of the accepted apps; if there are none, all of the project.
        credentials: for the single-use check; None if tokens may be used again.
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
        apps: Collection[str],
        credentials: Credentials | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._keys = keys
        self._issuer = f"https://firebaseappcheck.googleapis.com/{number}"
        self._audiences = (f"projects/{project}", f"projects/{number}")
        self._url = f"{base_url}/v1beta/projects/{project}:verifyAppCheckToken"
        self._apps = frozenset(apps)
        self._credentials = credentials
        self._now = now

    async def verify(self, token: str | None) -> None:
        """Verify an App Check token.

        Raises:
            Refused: APP_CHECK_FAILED or APP_CHECK_UNAVAILABLE.
        """
        if not token:
            raise Refused(Reason.APP_CHECK_FAILED, Detail.NO_TOKEN)
        signed = SignedToken.read(token, Reason.APP_CHECK_FAILED)
        read = signed.verify((await find([self._keys], signed.kid)).values())
        if read.claims.get("iss") != self._issuer:
            read.refuse(Detail.ISSUER)
        aud, now = read.claims.get("aud"), self._now()
        if not isinstance(aud, list) or not any(each in aud for each in self._audiences):
            read.refuse(Detail.AUDIENCE)
        read.check_started(now)
        app = read.subject(_MAX_APP_ID)
        if self._apps and app not in self._apps:
            rule = "callers.app_check_apps"
            raise Refused(Reason.APP_CHECK_FAILED, Detail.APP_NOT_ACCEPTED, rule=rule)
        # Google's check allows no clock skew and answers an expired token with a bare 403.
        skew = CLOCK_SKEW if self._credentials else 0
        if read.has_expired(now + skew):
            read.refuse(Detail.EXPIRY)

    async def use(self, token: str | None) -> None:
        """Use up a verified token, if each may be used once.

        Raises:
            Refused: APP_CHECK_FAILED if it was used before, or APP_CHECK_UNAVAILABLE.
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
        """Fetch the keys, and an access token if one is needed."""
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
