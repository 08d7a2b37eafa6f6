"""Reserves what a token can use at most before it is minted, and gives it back if it is not."""

import asyncio
import hashlib
import math
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from livetoken.caller import Caller
from livetoken.limits.count import Ask, Full, Kind
from livetoken.limits.storage import Storage, Unavailable
from livetoken.policy import Bounds, Profile
from livetoken.refusals import Detail, Reason, Refused

_T = TypeVar("_T")

CALL_TIMEOUT = 1.0  # seconds for each call of the storage
RETRY_AFTER = 2  # seconds, if the storage is down
ALERT_AGAIN = timedelta(hours=1)
"""After an alert of a total, none of it comes for this time from this instance."""

_OF_CALLER = {
    Kind.LIMIT: Reason.LIMIT_REACHED,
    Kind.BUDGET: Reason.BUDGET_REACHED,
    Kind.AT_ONCE: Reason.AT_ONCE_REACHED,
}


@dataclass(frozen=True)
class Reservation:
    """What is reserved for a token.

    The token and its session end at `ends`; the session must begin by `starts_by`. `seconds` are
    charged to the budgets, of which the caller has `left` seconds, if there are any. `resumed` is
    whether the token resumes a session.
    """

    ends: datetime
    starts_by: datetime
    seconds: int
    left: int | None
    resumed: bool


class Limiter:
    """Applies the bounds of the policy.

    Args:
        storage: where it is counted.
        total: the bounds of all profiles together.
        alert: is called with the path of a total that is nearly reached.
        now: the time, with a zone.
    """

    def __init__(
        self,
        storage: Storage,
        total: Bounds,
        *,
        alert: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._storage = storage
        self._total = total
        self._alert = alert
        self._now = now
        self._alerted: dict[str, datetime] = {}

    async def look(self, caller: Caller, profile: Profile, *, resumes: bool) -> None:
        """Check that a token may be minted now, without counting one.

        Raises:
            Refused: as `reserve` does.
        """
        if ask := self._ask(caller, profile, resumes=resumes):
            found = await self._call(self._storage.look(ask))
            if found is not None:
                raise _refusal(found, ask)

    @asynccontextmanager
    async def reserve(
        self, caller: Caller, profile: Profile, *, resumes: bool
    ) -> AsyncIterator[Reservation]:
        """Reserve what a token can use, around its mint.

        If the mint certainly made no token, this is given back. If that is in doubt, it stays
        counted.

        Raises:
            Refused: LIMIT_REACHED, BUDGET_REACHED, AT_ONCE_REACHED or TOTAL_REACHED, in which case
                nothing is counted, or LIMITS_UNAVAILABLE.
        """
        # Read before the storage counts, so that no token lasts longer than is counted.
        now, starts_within = self._now(), timedelta(seconds=profile.start_within)
        ask = self._ask(caller, profile, resumes=resumes)
        if ask is None:
            ends = now + timedelta(seconds=profile.expires_in)
            yield Reservation(ends, now + starts_within, profile.expires_in, None, resumes)
            return
        counted = await self._call(self._storage.reserve(ask))
        if isinstance(counted, Full):
            raise _refusal(counted, ask)
        for book, kind in counted.alerts:
            self._alert_once(ask.bounds[book].paths[kind.value])
        granted = counted.granted
        life = timedelta(milliseconds=granted.life)
        left = None if counted.left is None else max(0, counted.left // 1000)
        charged = math.ceil(granted.charged / 1000)
        try:
            yield Reservation(now + life, now + min(starts_within, life), charged, left, resumes)
        except Refused as refusal:
            if not refusal.in_doubt:
                with suppress(Refused):  # it stays counted
                    await self._call(self._storage.give_back(ask, granted))
            raise

    async def warm(self) -> None:
        """Connect before many requests come at once."""
        with suppress(Refused):
            await self._call(self._storage.warm())

    def _alert_once(self, path: str) -> None:
        """Alert of a total, if the last alert of it was long enough ago."""
        now = self._now()
        if path not in self._alerted or now - self._alerted[path] >= ALERT_AGAIN:
            self._alerted[path] = now
            self._alert(path)

    def _ask(self, caller: Caller, profile: Profile, *, resumes: bool) -> Ask | None:
        """Return what to ask the storage, or None if nothing is counted."""
        totals = {f"total/{profile.name}": profile.total, "total": self._total}
        counted = {key: bounds for key, bounds in totals.items() if bounds}
        if not profile.bounds and not counted:
            return None
        account = hashlib.sha256(caller.account.text.encode()).hexdigest()
        return Ask(
            (f"{account}/{profile.name}", *counted),
            (profile.bounds, *counted.values()),
            profile.expires_in * 1000,
            profile.least * 1000,
            resumes,
            secrets.randbits(48),
        )

    async def _call(self, call: Coroutine[Any, Any, _T]) -> _T:
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                return await call
        except TimeoutError as error:
            detail = Detail.NO_ANSWER
            raise Refused(Reason.LIMITS_UNAVAILABLE, detail, retry_after=RETRY_AFTER) from error
        except Unavailable as error:
            detail = Detail.CONNECTION
            raise Refused(Reason.LIMITS_UNAVAILABLE, detail, retry_after=RETRY_AFTER) from error


def _refusal(full: Full, ask: Ask) -> Refused:
    reason = Reason.TOTAL_REACHED if full.book else _OF_CALLER[full.kind]
    wait = max(1, math.ceil(full.wait / 1000))
    return Refused(reason, retry_after=wait, rule=ask.bounds[full.book].paths[full.kind.value])
