"""Firebase accounts: whether one is disabled or deleted, or its sessions were revoked.

An ID token stays valid for an hour all the same. The rules are those of Firebase's Admin
SDK for Node, `verifyIdToken(token, true)`. Source of the call:
https://cloud.google.com/identity-platform/docs/reference/rest/v1/projects.accounts/lookup.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from livetoken.caller import Account, Caller
from livetoken.callers import FIREBASE_ISSUER
from livetoken.google_api import GoogleApi
from livetoken.refusals import Detail, Reason, Refused

KEPT_FOR = 60.0
"""Seconds for which Firebase's answer about an account is used again."""

MOST_KEPT = 20_000
"""Accounts that are kept at most; they take 9 MB. Then Firebase is asked about the oldest again."""

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

_RULE = "callers.revoked"


class State(NamedTuple):
    """What Firebase says of an account.

    Only ID tokens of a sign-in at `valid_since` or later are valid; it is in seconds since the
    epoch.
    """

    exists: bool
    disabled: bool
    valid_since: int


class Accounts:
    """Looks accounts up, each at most once in `KEPT_FOR` seconds.

    Args:
        api: Identity Toolkit.
        base_url: its URL, without a final slash.
        now: seconds on a monotonic clock.
    """

    def __init__(
        self, api: GoogleApi, base_url: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._base_url = base_url
        self._now = now
        self._kept: dict[Account, tuple[float, State]] = {}  # the oldest first
        self._asking: dict[Account, asyncio.Task[State]] = {}

    async def check(self, caller: Caller) -> None:
        """Check the account of a Firebase user. Google has no such call for its own ID tokens.

        Raises:
            Refused: NOT_ALLOWED if the account is disabled, INVALID_ID_TOKEN if it is deleted or
                the caller signed in before its sessions were revoked, or ACCOUNTS_UNAVAILABLE.
        """
        if not caller.issuer.startswith(FIREBASE_ISSUER):
            return
        state = await self._state(caller.account)
        if not state.exists:
            raise Refused(Reason.INVALID_ID_TOKEN, Detail.ACCOUNT_DELETED, rule=_RULE)
        if state.disabled:
            raise Refused(Reason.NOT_ALLOWED, Detail.ACCOUNT_DISABLED, rule=_RULE)
        if caller.claims["auth_time"] < state.valid_since:
            raise Refused(Reason.INVALID_ID_TOKEN, Detail.SESSIONS_REVOKED, rule=_RULE)

    async def _state(self, account: Account) -> State:
        kept = self._kept.get(account)
        if kept is not None and self._now() < kept[0] + KEPT_FOR:
            return kept[1]
        if account not in self._asking:
            asking = self._asking[account] = asyncio.create_task(self._ask(account))
            asking.add_done_callback(lambda _: self._asking.pop(account))
        return await asyncio.shield(self._asking[account])

    async def _ask(self, account: Account) -> State:
        asked_at = self._now()
        state = await self._looked_up(account)
        self._kept.pop(account, None)
        self._kept[account] = asked_at, state
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return state

    async def _looked_up(self, account: Account) -> State:
        project = account.issuer.removeprefix(FIREBASE_ISSUER)
        tenant = f"/tenants/{quote(account.tenant, safe='')}" if account.tenant is not None else ""
        url = f"{self._base_url}/v1/projects/{project}{tenant}/accounts:lookup"
        body = await self._api.post(url, {"localId": [account.sub]})
        try:
            return _read(body, account.sub)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise self._api.failure(Detail.NOT_AN_ACCOUNT) from None


def _read(body: bytes, sub: str) -> State:
    """Read a GetAccountInfoResponse, which has no `users` if there is no such account.

    Raises:
        ValueError, TypeError, KeyError, AttributeError, RecursionError: the body is something else.
    """
    answer = json.loads(body.decode())
    if "users" not in answer:
        if answer["kind"] != "identitytoolkit#GetAccountInfoResponse":
            raise ValueError
        return State(exists=False, disabled=False, valid_since=0)
    (user,) = answer["users"]
    disabled, valid_since = user.get("disabled", False), user.get("validSince", "0")
    if user["localId"] != sub or not isinstance(disabled, bool) or not valid_since.isdecimal():
        raise ValueError
    return State(exists=True, disabled=disabled, valid_since=int(valid_since))
