"""Firebase App Check tokens, which attest that a request comes from the genuine app.

Source: https://firebase.google.com/docs/app-check/custom-resource-backend.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from livetoken.google_api import GoogleApi
from livetoken.keys import KeySet, find
from livetoken.refusals import Detail, Reason, Refused
from livetoken.tokens import SignedToken

SCOPE = "https://www.googleapis.com/auth/firebase"

MOST_REMEMBERED = 20_000
"""Used tokens that are remembered at most; they take 2 MB. Then the oldest is forgotten, and Google
is asked about it again."""

_MAX_APP_ID = 255


@dataclass(frozen=True)
class Verified:
    """A token that was verified. `expires` is in seconds since the epoch."""

    text: str
    expires: int


class AppCheck:
    """Verifies App Check tokens, and lets each be used once.

    Args:
        api: App Check's.
        keys: its signing keys.
        project: the Firebase project's id.
        number: its number.
        base_url: its URL, without a final slash.
        apps: the ids of the accepted apps; if there are none, all of the project.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        api: GoogleApi,
        keys: KeySet,
        *,
        project: str,
        number: str,
        base_url: str,
        apps: Collection[str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._keys = keys
        self._issuer = f"https://firebaseappcheck.googleapis.com/{number}"
        self._audiences = (f"projects/{project}", f"projects/{number}")
        self._url = f"{base_url}/v1beta/projects/{project}:verifyAppCheckToken"
        self._apps = frozenset(apps)
        self._now = now
        self._used: dict[bytes, None] = {}

    async def verify(self, token: str | None, mode: str) -> Verified | None:
        """Verify an App Check token, or return None if the mode is "off".

        Raises:
            Refused: APP_CHECK_FAILED or APP_CHECK_UNAVAILABLE.
        """
        if mode == "off":
            return None
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
        if read.has_expired(now):
            read.refuse(Detail.EXPIRY)
        return Verified(token, read.claims["exp"])

    async def use(self, token: Verified | None) -> None:
        """Use up a token.

        Raises:
            Refused: APP_CHECK_FAILED if it was used before or has just expired, or
                APP_CHECK_UNAVAILABLE.
        """
        if token is None:
            raise Refused(Reason.APP_CHECK_FAILED, Detail.NO_TOKEN)
        # Google's check allows no clock skew and answers an expired token with a bare 403.
        if token.expires <= self._now():
            raise Refused(Reason.APP_CHECK_FAILED, Detail.EXPIRY)
        # A token has one spelling. While Google is asked, it counts as used.
        used = hashlib.sha256(token.text.encode()).digest()
        if used in self._used:
            raise Refused(Reason.APP_CHECK_FAILED, Detail.ALREADY_USED)
        self._used[used] = None
        try:
            was_used = await self._consume(token.text)
        except BaseException:  # also if the request is cancelled: the token may still be unused
            self._used.pop(used, None)
            raise
        if len(self._used) > MOST_REMEMBERED:
            del self._used[next(iter(self._used))]
        if was_used:
            raise Refused(Reason.APP_CHECK_FAILED, Detail.ALREADY_USED)

    async def _consume(self, token: str) -> bool:
        """Let Google consume a token, and return whether it was consumed before."""
        body = await self._api.post(self._url, {"app_check_token": token})
        try:
            verdict = json.loads(body.decode())
        except (ValueError, RecursionError):
            verdict = None
        is_verdict = isinstance(verdict, dict) and "error" not in verdict
        used = verdict.get("alreadyConsumed", False) if is_verdict else None
        if not isinstance(used, bool):
            raise self._api.failure(Detail.NOT_A_VERDICT)
        return used
