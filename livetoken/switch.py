"""The owner's switch: stops all minting and bans callers, without a deploy.

It is one object in Cloud Storage, `{"stopped": false, "banned": ["uid"]}`, of which each instance
keeps a copy. Requests renew it, because Cloud Run stops the CPU between them.

| the copy | a request |
|---|---|
| under 30 s old | uses it |
| under 45 s old | uses it, and begins a read if none is under way |
| older, or missing | waits for a read |
| older, and the object cannot be read | uses it with `keep`, is refused with `refuse` |
| missing, and the object cannot be read | is refused: a new instance must not undo a stop |

If the object does not exist, nothing is stopped. Reads begin at least 10 s apart. With `keep`, no
request waits within 20 s of the beginning of a read that failed. Otherwise, a change applies to
every request that arrives a minute after it, and to its mint, since Cloud Storage is strongly
consistent.
"""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from livetoken import fetch
from livetoken.caller import Caller, loggable
from livetoken.google_api import CallFailed, Credentials, call
from livetoken.refusals import Detail, Reason, Refused

FRESH_FOR = 30.0  # seconds for which a copy is not renewed
USABLE_FOR = 45.0  # seconds for which requests do not wait; 15 s less than a minute, for their mint
READ_TIMEOUT = 5.0  # seconds, including the access token
RETRY = 10.0  # seconds between the starts of two reads; longer than READ_TIMEOUT
RETRY_AFTER = 60  # seconds for callers, while minting is stopped
SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"

_NO_BUCKET = b"bucket does not exist"  # Google's words; a missing object is "No such object: …"


@dataclass(frozen=True)
class Setting:
    """What the owner decided. `banned` are uids as the log shows them, of any issuer and tenant."""

    stopped: bool
    banned: frozenset[str]


class NoSwitch:
    """There is no object: nothing is stopped and nobody is banned."""

    async def check(self) -> None: ...

    def check_caller(self, caller: Caller) -> None: ...

    async def warm(self) -> None: ...


class Switch:
    """The switch.

    Args:
        place: the object, `gs://BUCKET/OBJECT`.
        base_url: Cloud Storage's, without a final slash.
        keeps: whether an old copy is used while the object cannot be read.
        report: is called with why the object cannot be read, once until it can be read again.
        now: seconds on a monotonic clock.
    """

    def __init__(
        self,
        http: fetch.Http,
        credentials: Credentials,
        *,
        place: str,
        base_url: str,
        keeps: bool,
        report: Callable[[Detail], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._credentials = credentials
        bucket, _, name = place.removeprefix("gs://").partition("/")
        self._url = f"{base_url}/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"
        self._keeps = keeps
        self._report = report
        self._now = now
        self._setting: Setting | None = None
        self._etag = ""
        self._as_of = float("-inf")
        self._begun_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._failure: Detail | None = None
        self._failed_at = float("-inf")
        self._reported = False

    async def check(self) -> None:
        """Check that minting is not stopped. It waits only if there is no copy young enough.

        Raises:
            Refused: STOPPED.
        """
        while self._age() >= FRESH_FOR and (reading := self._read_if_due()):
            if self._age() < USABLE_FOR or self._gets_by():
                break
            await asyncio.shield(reading)
        if self._age() >= USABLE_FOR:
            self._tell()
            if self._setting is None or not self._keeps:
                wait = max(1, math.ceil(self._begun_at + RETRY - self._now()))
                raise Refused(Reason.STOPPED, self._failure, retry_after=wait)
        if self._setting is not None and self._setting.stopped:
            raise Refused(Reason.STOPPED, retry_after=RETRY_AFTER)

    def check_caller(self, caller: Caller) -> None:
        """Check that a caller is not banned, after `check`.

        Raises:
            Refused: NOT_ALLOWED.
        """
        if self._setting is not None and loggable(caller.sub) in self._setting.banned:
            raise Refused(Reason.NOT_ALLOWED, Detail.BANNED)

    async def warm(self) -> None:
        """Read the object before the first request, which meets the failure if this fails."""
        if reading := self._read_if_due():
            await asyncio.shield(reading)

    def _age(self) -> float:
        return self._now() - self._as_of

    def _gets_by(self) -> bool:
        """Whether an old copy is used without a wait, because reads fail."""
        fails = self._now() < self._failed_at + 2 * RETRY
        return fails and self._keeps and self._setting is not None

    def _read_if_due(self) -> "asyncio.Task[None] | None":
        """Return a read, new or under way, or None if the last began less than `RETRY` s ago."""
        if self._reading is None and self._now() >= self._begun_at + RETRY:
            self._begun_at = self._now()
            self._reading = asyncio.create_task(self._read(self._begun_at))
        return self._reading

    async def _read(self, begun_at: float) -> None:
        try:
            self._take(await self._fetched())
        except CallFailed as error:
            self._failure, self._failed_at = error.detail, begun_at
            if error.detail is Detail.NOT_A_SWITCH:
                self._tell()  # only the owner can correct it
        else:
            self._as_of, self._reported = begun_at, False
        finally:
            self._reading = None

    async def _fetched(self) -> fetch.Fetched:
        known = {"if-none-match": self._etag} if self._etag else {}

        def send(headers: Mapping[str, str]) -> Awaitable[fetch.Fetched]:
            return self._http.get(self._url, headers={**headers, **known}, seconds=READ_TIMEOUT)

        return await call(self._credentials, READ_TIMEOUT, send)

    def _take(self, answer: fetch.Fetched) -> None:
        if answer.status == 200:
            self._setting, self._etag = _setting(answer.body), answer.headers["etag"]
        elif answer.status == 404 and _NO_BUCKET not in answer.body:
            self._setting, self._etag = Setting(stopped=False, banned=frozenset()), ""
        elif answer.status != 304 or not self._etag:
            raise CallFailed(Detail.STATUS)

    def _tell(self) -> None:
        if not self._reported and self._failure is not None:
            self._reported = True
            self._report(self._failure)


def _setting(body: bytes) -> Setting:
    """Read the object, strictly: what is misspelt would stop and ban nobody."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.keys() != {"stopped", "banned"}:
        raise CallFailed(Detail.NOT_A_SWITCH)
    stopped, banned = found["stopped"], found["banned"]
    if not isinstance(stopped, bool) or not isinstance(banned, list):
        raise CallFailed(Detail.NOT_A_SWITCH)
    if not all(isinstance(uid, str) and uid and uid == loggable(uid) for uid in banned):
        raise CallFailed(Detail.NOT_A_SWITCH)
    return Setting(stopped, frozenset(banned))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)
