"""The documents of a Firestore database, over its REST API.

Source: https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases.documents.
"""

import hashlib
import json
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from livetoken import fetch
from livetoken.google_api import CallFailed, Credentials, call
from livetoken.limits.count import Book, Window
from livetoken.limits.sessions import All, Own
from livetoken.limits.storage import Unavailable
from livetoken.policy import Bounds, Limit
from livetoken.refusals import Detail

SCOPE = "https://www.googleapis.com/auth/datastore"
COLLECTION = "livetoken"
EXPIRES = "expires"
"""The field that a TTL policy reads: nothing in the document counts after this time."""

TIMEOUT = 1.0  # seconds for a call

_EPOCH = datetime.fromtimestamp(0, UTC)
_CHANGED = ("ABORTED", "ALREADY_EXISTS", "FAILED_PRECONDITION", "NOT_FOUND")


class Changed(Exception):
    """A document changed since it was read, so nothing was written."""


class Cut(Unavailable):
    """The connection ended before an answer."""


class TooLong(Unavailable):
    """The answer is longer than is read."""


_FAILURES = {Detail.CONNECTION: Cut, Detail.ANSWER_TOO_LONG: TooLong}


@dataclass(frozen=True)
class Found:
    """A document as it was read; `version` is None if it does not exist."""

    version: str | None
    counts: Any


NONE = Found(None, {})
"""What is found of a document that does not exist."""


@dataclass(eq=False)
class Document:
    """What one document counts.

    `version` is its update time; None if it does not exist. `shards` are those in which a caller's
    session counts, one of each total, if a total is split.
    """

    name: str
    version: str | None
    bounds: Bounds
    book: Book
    sessions: Own | All
    shards: dict[int, tuple[int, ...]]

    @classmethod
    def read(
        cls, name: str, found: "Found", bounds: Bounds, *, is_total: bool, now: int
    ) -> "Document":
        """Read a document, as it is at a moment.

        Raises:
            Unavailable: it has another form, so somebody else has written it.
        """
        try:
            windows = found.counts.get("windows", {})
            book = Book(
                [Window(*windows.get(_limit(each), (0,))) for each in bounds.limits],
                [Window(*windows.get(_budget(each), (0,))) for each in bounds.budgets],
            )
            rows = {each: tuple(rest) for each, *rest in found.counts.get("sessions", ())}
            shards = {each: tuple(rest) for each, *rest in found.counts.get("shards", ())}
            sessions = All({each: end for each, (end,) in rows.items()}) if is_total else Own(rows)
            book.turn(bounds, now)
            sessions.forget(now)
        except (TypeError, ValueError, AttributeError) as error:
            raise Unavailable from error
        return cls(name, found.version, bounds, book, sessions, shards)

    def write(self, now: int) -> Any:
        """Return a write of it, which fails if the document has changed since it was read."""
        expires, windows = now, {}
        budgets = zip(self.bounds.budgets, self.book.budgets, strict=True)
        limits = zip(self.bounds.limits, self.book.limits, strict=True)
        named = [(_limit(each), each, window) for each, window in limits]
        named += [(_budget(each), each, window) for each, window in budgets]
        for name, limit, window in named:
            if window.used or window.next_used:
                windows[name] = (window.end, window.used, window.next_used)
                more = limit.seconds * 1000 if window.next_used else 0
                expires = max(expires, window.end + more)
        counts: dict[str, Any] = {"windows": windows}
        if isinstance(self.sessions, All):
            rows = [[session, end] for session, end in self.sessions.ends.items()]
        else:
            rows = [[session, *ends] for session, ends in self.sessions.tokens.items()]
            shards = {
                each: self.shards[each] for each in self.sessions.tokens if each in self.shards
            }
            counts |= {"shards": [[each, *of] for each, of in shards.items()]} if shards else {}
        counts |= {"sessions": rows} if rows else {}
        expires = max([expires, *(end for _, *ends in rows for end in ends)])
        fields = {
            "counts": {"stringValue": json.dumps(counts, separators=(",", ":"))},
            EXPIRES: {"timestampValue": _timestamp(expires)},
        }
        condition = {"exists": False} if self.version is None else {"updateTime": self.version}
        return {"update": {"name": self.name, "fields": fields}, "currentDocument": condition}


class Documents:
    """The documents of one database.

    Args:
        account: has roles/datastore.user, and its tokens `SCOPE`.
        base_url: Firestore's, without a final slash.
        database: `PROJECT/DATABASE`.
    """

    def __init__(
        self, http: fetch.Http, account: Credentials, *, base_url: str, database: str
    ) -> None:
        self._http = http
        self._account = account
        root = "projects/{}/databases/{}/documents".format(*database.split("/"))
        self._url = f"{base_url}/v1/{root}"
        self._path = f"{root}/{COLLECTION}"

    def name(self, key: str, shard: int) -> str:
        """Return the name of a key's document, which is a hash and so spread evenly."""
        return f"{self._path}/{hashlib.sha256(f'{key}#{shard}'.encode()).hexdigest()}"

    async def read(self, names: Sequence[str]) -> tuple[dict[str, Found], int]:
        """Read documents. Return them and the moment, in milliseconds of the server's clock.

        Long ones are read a few at a time, so that some may be of an earlier moment.

        Raises:
            Unavailable: they cannot be read.
        """
        try:
            return await self._read(names)
        except TooLong:
            if len(names) == 1:
                raise
        half = len(names) // 2
        (some, _), (others, now) = await self.read(names[:half]), await self.read(names[half:])
        return some | others, now

    async def _read(self, names: Sequence[str]) -> tuple[dict[str, Found], int]:
        body = {"documents": names}
        try:
            answer = await self._post("batchGet", body)
        except Cut:  # perhaps the server had closed an idle connection
            answer = await self._post("batchGet", body)
        if answer.status != 200:
            raise Unavailable
        try:
            answers = json.loads(answer.body)
            found = dict(_found(each) for each in answers)
            now = max(_milliseconds(each["readTime"]) for each in answers)
            return {name: found[name] for name in names}, now
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Unavailable from error

    async def commit(self, writes: Iterable[Any]) -> None:
        """Write all documents, or none.

        Raises:
            Changed: one has changed, so none is written.
            Unavailable: whether they are written is unknown.
        """
        answer = await self._post("commit", {"writes": list(writes)})
        if answer.status != 200 and _in(answer, "error", "status") in _CHANGED:
            raise Changed
        if answer.status != 200 or _in(answer, "commitTime") is None:
            raise Unavailable

    async def _post(self, method: str, body: Any) -> fetch.Fetched:
        """Call a method.

        Raises:
            Unavailable: there is no answer; Cut or TooLong if that is why.
        """
        url, message = f"{self._url}:{method}", json.dumps(body).encode()

        def send(headers: Mapping[str, str]) -> Awaitable[fetch.Fetched]:
            return self._http.post(url, message, credentials=headers, seconds=TIMEOUT)

        try:
            return await call(self._account, TIMEOUT, send)
        except CallFailed as error:
            raise _FAILURES.get(error.detail, Unavailable) from error


def _found(document: Any) -> tuple[str, Found]:
    if name := document.get("missing"):
        return name, NONE
    found = document["found"]
    counts = json.loads(found["fields"]["counts"]["stringValue"])
    return found["name"], Found(found["updateTime"], counts)


def _in(answer: fetch.Fetched, *path: str) -> Any:
    """Return what is at a path of a JSON answer, or None."""
    try:
        found = json.loads(answer.body)
        for name in path:
            found = found[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found


def _limit(limit: Limit) -> str:
    return f"limit {limit.seconds}"


def _budget(limit: Limit) -> str:
    return f"budget {limit.seconds}"


def _milliseconds(timestamp: str) -> int:
    return (datetime.fromisoformat(timestamp) - _EPOCH) // timedelta(milliseconds=1)


def _timestamp(milliseconds: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
