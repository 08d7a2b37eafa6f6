"""Cloud Storage: serves the content of objects to requests with an access token.

It has `objects.get` with `alt=media` of the JSON API v1, as far as it is documented: strong
consistency, ETags that a change replaces, and `If-None-Match` ("Request preconditions"). The words
of a 404 are those of the real service in github.com/firebase/firebase-tools/pull/3647; the ETag has
no quotes, as in the JSON API's answers.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from itertools import count

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from emulator.faults import SECRET, google_error, hang, reset

_GENERATIONS = count(1_700_000_000_000_000)


@dataclass(frozen=True)
class Object:
    """One generation of an object."""

    content: bytes
    generation: int

    @property
    def etag(self) -> str:
        """Differs for each generation."""
        return base64.b64encode(b"\x08" + self.generation.to_bytes(8)).decode()


@dataclass
class Read:
    """One request for an object."""

    path: str
    """`BUCKET/OBJECT`."""
    status: int | None = None
    """The status of the answer; None before it is decided."""


@dataclass
class Storage:
    """Buckets and their objects."""

    access_tokens: set[str] = field(default_factory=set)
    """The access tokens that may read; `emulator.metadata` adds to this set."""
    buckets: set[str] = field(default_factory=set)
    fault: int | str | None = None
    """How reads fail: "hang", "reset", or an HTTP status."""
    delay: float = 0.0
    """Seconds between a read and its answer."""
    reads: list[Read] = field(default_factory=list)
    """Every request, in order of arrival."""
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self.app = Starlette(routes=[Route("/storage/v1/b/{bucket}/o/{name:path}", self._get)])

    def write(self, bucket: str, name: str, content: bytes) -> None:
        """Write an object, and make its bucket if there is none."""
        self.buckets.add(bucket)
        self._objects[f"{bucket}/{name}"] = Object(content, next(_GENERATIONS))

    def delete(self, bucket: str, name: str) -> None:
        """Delete an object."""
        del self._objects[f"{bucket}/{name}"]

    async def _get(self, request: Request) -> Response:
        bucket, name = request.path_params["bucket"], request.path_params["name"]
        read = Read(f"{bucket}/{name}")
        self.reads.append(read)
        match self.fault:
            case "hang":
                return await hang(request)
            case "reset":
                return await reset(request)
            case int() as status:
                answer: Response = google_error(status, f"{SECRET}: storage is unavailable")
            case _:
                answer = self._answer(request, bucket, read.path)
        read.status = answer.status_code
        await asyncio.sleep(self.delay)
        return answer

    def _answer(self, request: Request, bucket: str, path: str) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.access_tokens:
            return google_error(401, "Invalid Credentials")
        if request.query_params.get("alt") != "media":
            return google_error(501, "The stand-in serves only alt=media.")
        if bucket not in self.buckets:
            return PlainTextResponse("The specified bucket does not exist.", 404)
        found = self._objects.get(path)
        if found is None:
            return PlainTextResponse(f"No such object: {path}", 404)
        headers = {"ETag": found.etag, "Cache-Control": "private, max-age=0"}
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, headers=headers, media_type="application/json")
