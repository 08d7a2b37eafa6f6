"""Firestore: reads and commits documents over REST, with its preconditions and conflicts.

Source: the REST reference of `projects.databases.documents` (v1), `batchGet` and `commit`, and the
answers of Google's own emulator (528.0.0), with which a test compares this one. It has what the
function uses: no queries, transactions, transforms and masks. The rule of about one write a second
for each document is not enforced, since the real service slows down gradually.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.faults import SECRET, google_error, reset
from emulator.server import abort

LARGEST_DOCUMENT = 1_048_576 - 4  # bytes

_TICK = timedelta(microseconds=1)
_ROOT = "projects/{project}/databases/{database}/documents"
_NAME = re.compile(r"projects/[^/]+/databases/[^/]+/documents(/[^/]+/[^/]+)+")
_RESERVED = re.compile(r"__.*__|\.\.?")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_SCALARS: Mapping[str, type | tuple[type, ...]] = {
    "nullValue": type(None),
    "booleanValue": bool,
    "integerValue": (str, int),
    "doubleValue": (int, float),
    "timestampValue": str,
    "stringValue": str,
    "bytesValue": str,
}


class Refused(Exception):
    """Answers a request with an error of Google: its HTTP status, its name and its text."""

    def __init__(self, code: int, word: str, message: str) -> None:
        super().__init__(message)
        self.answer = google_error(code, message, word=word)


@dataclass
class Stored:
    """A document, and the times of its first and last change."""

    fields: dict[str, Any]
    created: datetime
    updated: datetime


@dataclass
class Firestore:
    """One database of one project."""

    project: str = "demo-livetoken"
    database: str = "(default)"
    access_tokens: set[str] = field(default_factory=set)
    """The access tokens that may read and write; `emulator.metadata` adds to such a set."""
    documents: dict[str, Stored] = field(default_factory=dict)
    """Every document by its name."""
    is_hanging: bool = False
    """Requests wait while this is set. Then they are done, whether their caller waits or not."""
    delay: float = 0.0
    """Seconds that a commit takes. One for a document that another is writing is ABORTED."""
    faults: list[int | str | None] = field(default_factory=list)
    """How the next commits fail, one after another: "reset" before it is done, "lost" after it,
    "html", or an HTTP status. With None, one does not fail."""
    requests: list[tuple[str, int]] = field(default_factory=list)
    """The method and the status of every request, in the order of their answers."""
    reads: int = 0
    """Documents read, as they are billed: a missing one is a read too."""
    writes: int = 0
    """Documents written, as they are billed."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        self._last = datetime.fromtimestamp(0, UTC)
        self._written: set[str] = set()
        root = "/v1/projects/{project}/databases/{database}/documents"
        self.app = Starlette(
            routes=[
                Route(f"{root}:batchGet", self._batch_get, methods=["POST"]),
                Route(f"{root}:commit", self._commit, methods=["POST"]),
            ]
        )

    def is_written(self, name: str) -> bool:
        """Whether a commit of a document takes its time."""
        return name in self._written

    async def _batch_get(self, request: Request) -> Response:
        return await self._answered(request, "batchGet", self._read)

    async def _commit(self, request: Request) -> Response:
        fault = self.faults.pop(0) if self.faults else None
        match fault:
            case int():
                return google_error(fault, f"{SECRET}: a fault")
            case "html":
                return Response(f"<html>{SECRET}</html>", media_type="text/html")
            case "reset":
                return await reset(request)
        answer = await self._answered(request, "commit", self._write)
        if fault == "lost":
            abort(request.scope)
        return answer

    async def _answered(
        self, request: Request, method: str, answer: Callable[[Any], Any]
    ) -> Response:
        body = await request.body()
        while self.is_hanging:  # noqa: ASYNC110 # set by a test, in another thread
            await asyncio.sleep(0.01)
        try:
            self._check_access(request)
            message = _message(body)
            with ExitStack() as writing:
                if method == "commit" and self.delay:
                    writing.enter_context(self._writing(message))
                    await asyncio.sleep(self.delay)
                answered: Response = JSONResponse(answer(message))
        except Refused as refused:
            answered = refused.answer
        self.requests.append((method, answered.status_code))
        return answered

    def _check_access(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            message = "Missing or insufficient permissions."
            raise Refused(403, "PERMISSION_DENIED", message)
        if scheme != "Bearer" or token not in self.access_tokens:
            message = "Request had invalid authentication credentials."
            raise Refused(401, "UNAUTHENTICATED", message)
        if request.path_params["project"] != self.project:
            raise Refused(403, "PERMISSION_DENIED", "Missing or insufficient permissions.")
        if request.path_params["database"] != self.database:
            name = request.path_params["database"]
            text = f"The database {name} does not exist for project {self.project}."
            raise Refused(404, "NOT_FOUND", text)

    @contextmanager
    def _writing(self, message: Any) -> Any:
        """Hold documents while a commit takes its time."""
        names = {_of_write(write)["name"] for write in _list(message, "writes")}
        if names & self._written:
            text = "Too much contention on these documents. Please try again."
            raise Refused(409, "ABORTED", text)
        self._written |= names
        try:
            yield
        finally:
            self._written -= names

    def _now(self) -> datetime:
        """A moment later than every one before."""
        self._last = max(self.clock(), self._last + _TICK)
        return self._last

    def _read(self, message: Any) -> Any:
        _only(message, "documents")
        now, answer = _written(self._now()), []
        for name in dict.fromkeys(_list(message, "documents")):
            self._check_name(name)
            self.reads += 1
            stored = self.documents.get(name)
            found: dict[str, Any] = {"missing": name}
            if stored is not None:
                times = {
                    "createTime": _written(stored.created),
                    "updateTime": _written(stored.updated),
                }
                found = {"found": {"name": name, "fields": stored.fields, **times}}
            answer.append({**found, "readTime": now})
        return answer

    def _write(self, message: Any) -> Any:
        _only(message, "writes")
        writes = _list(message, "writes")
        for write in writes:
            self._check_write(write)
        now, results = self._now(), []
        for write in writes:
            self.writes += 1
            name, fields = write["update"]["name"], _canonical(write["update"]["fields"])
            stored = self.documents.get(name)
            if stored is None:
                stored = self.documents[name] = Stored(fields, now, now)
            elif stored.fields != fields:
                stored.fields, stored.updated = fields, now
            results.append({"updateTime": _written(stored.updated)})
        return {"writeResults": results, "commitTime": _written(now)} if writes else {}

    def _check_write(self, write: Any) -> None:
        _only(write, "update", "currentDocument")
        document = _of_write(write)
        self._check_name(document["name"])
        for field_name, value in document["fields"].items():
            if not field_name or _RESERVED.fullmatch(field_name):
                raise _invalid(f'The property name "{field_name}" is not allowed.')
            _check_value(value)
        size = len(document["name"]) + len(json.dumps(document["fields"]).encode())
        if size > LARGEST_DOCUMENT:
            raise _invalid(f"Document {document['name']} cannot be written: it is too large.")
        self._check_condition(document["name"], write.get("currentDocument", {}))

    def _check_condition(self, name: str, condition: Any) -> None:
        stored = self.documents.get(name)
        match condition:
            case {"exists": False, **others} if not others:
                if stored is not None:
                    raise Refused(409, "ALREADY_EXISTS", f"Document already exists: {name}")
            case {"exists": True, **others} if not others:
                if stored is None:
                    raise Refused(404, "NOT_FOUND", f"No document to update: {name}")
            case {"updateTime": str(time), **others} if not others:
                version = _time(time)
                if stored is None or stored.updated != version:
                    text = "the stored version does not match the required base version"
                    raise Refused(400, "FAILED_PRECONDITION", text)
            case condition if condition != {}:
                raise _invalid("Payload isn't valid for request.")

    def _check_name(self, name: Any) -> None:
        root = _ROOT.format(project=self.project, database=self.database)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _invalid(f'Document name "{name}" is not a name of a document.')
        if not name.startswith(f"{root}/"):
            raise _invalid(f"Document name {name} is not within the database of the request.")
        for part in name.removeprefix(f"{root}/").split("/"):
            if _RESERVED.fullmatch(part) or len(part.encode()) > 1500:
                raise _invalid(f'Resource id "{part}" is invalid because it is reserved.')


def _invalid(message: str) -> Refused:
    return Refused(400, "INVALID_ARGUMENT", message)


def _message(body: bytes) -> Any:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("Payload isn't valid for request.") from None
    if not isinstance(message, dict):
        raise _invalid("Payload isn't valid for request.")
    return message


def _only(message: Any, *known: str) -> None:
    if not isinstance(message, dict) or message.keys() - set(known):
        raise _invalid("Payload isn't valid for request.")


def _list(message: Any, name: str) -> list[Any]:
    found = message.get(name, [])
    if not isinstance(found, list):
        raise _invalid("Payload isn't valid for request.")
    return found


def _fields(message: Any) -> dict[str, Any]:
    found = message.get("fields", {})
    if not isinstance(found, dict):
        raise _invalid("Payload isn't valid for request.")
    return found


def _of_write(write: Any) -> Any:
    """The document of a write."""
    match write:
        case {"update": {"name": str(), "fields": dict(), **others}} if not others:
            return write["update"]
    raise _invalid("Payload isn't valid for request.")


def _check_value(value: Any, *, in_array: bool = False) -> None:
    """Check one value (google.firestore.v1.Value)."""
    if not isinstance(value, dict) or len(value) != 1:
        raise _invalid("Payload isn't valid for request.")
    ((kind, of),) = value.items()
    match kind, of:
        case "arrayValue", {**array} if not in_array:
            _only(array, "values")
            for each in _list(array, "values"):
                _check_value(each, in_array=True)
        case "arrayValue", _:
            raise _invalid("Cannot convert an array value in an array value.")
        case "mapValue", {**inner}:
            _only(inner, "fields")
            for each in _fields(inner).values():
                _check_value(each)
        case "integerValue", str() | int():
            if not _INTEGER.fullmatch(str(of)) or not -(2**63) <= int(of) < 2**63:
                raise _invalid("Payload isn't valid for request.")
        case "timestampValue", str():
            _time(of, precision=9)
        case _ if kind not in _SCALARS or not isinstance(of, _SCALARS[kind]):
            raise _invalid("Payload isn't valid for request.")


def _canonical(fields: Any) -> Any:
    """Fields as they are stored: integers as text, times in microseconds and UTC."""
    if isinstance(fields, list):
        return [_canonical(each) for each in fields]
    if not isinstance(fields, dict):
        return fields
    changed = dict(fields)
    if set(fields) == {"integerValue"}:
        changed["integerValue"] = str(int(fields["integerValue"]))
    elif set(fields) == {"timestampValue"}:
        changed["timestampValue"] = _written(_time(fields["timestampValue"], precision=9))
    else:
        changed = {name: _canonical(each) for name, each in fields.items()}
    return changed


def _time(text: str, precision: int = 6) -> datetime:
    """A moment in RFC 3339, with at most so many digits of a second."""
    found = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", text)
    if found is None:
        raise _invalid("Payload isn't valid for request.")
    if len((found[1] or "").rstrip("0")) - 1 > precision:
        raise _invalid("timestamp cannot have more than microseconds precision")
    return datetime.fromisoformat(text)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
