"""The ways in which Gemini, or the network before it, may fail a mint."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from emulator.behaviour import Behaviour
from emulator.server import abort

SECRET = "upstream secret words"

# The words of google.rpc.Code beside the HTTP status that each is sent with.
STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
TOKEN_LIKE = b'{"name": "auth_tokens/' + b"a" * 64 + b'"}'


def google_error(code: int, message: str, details: list[object] | None = None) -> JSONResponse:
    """An error in Google's shape."""
    error = {
        "code": code,
        "message": message,
        "status": STATUS_WORDS.get(code, "UNKNOWN"),
    }
    return JSONResponse({"error": error | ({"details": details} if details else {})}, code)


def status(code: int, api_key: str, retry_after: str | None) -> Response:
    """A faulted status, whose body holds what no caller of the function may ever see."""
    answer = google_error(code, f"{SECRET}: {_phrase(code)} for the key {api_key}")
    if retry_after is not None:
        answer.headers["Retry-After"] = retry_after
    return answer


async def _hang(request: Request, _: Behaviour) -> Response:
    """Never answers; ends when the caller leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response(status_code=499)


async def _html(request: Request, _: Behaviour) -> Response:
    return Response(f"<html><body>{SECRET}</body></html>", media_type="text/html")


async def _empty(request: Request, _: Behaviour) -> Response:
    return JSONResponse({})


async def _nothing(request: Request, _: Behaviour) -> Response:
    return Response(b"", media_type="application/json")


async def _noname(request: Request, _: Behaviour) -> Response:
    return JSONResponse({"name": f"projects/{SECRET}"})


async def _badname(request: Request, _: Behaviour) -> Response:
    return JSONResponse({"name": 5})


async def _list(request: Request, _: Behaviour) -> Response:
    return JSONResponse([{"name": "auth_tokens/" + "a" * 64}])


async def _gzip(request: Request, _: Behaviour) -> Response:
    """A good body, compressed although nobody offered to take that."""
    body = gzip.compress(json.dumps({"name": "auth_tokens/" + "a" * 64}).encode())
    return Response(body, media_type="application/json", headers={"Content-Encoding": "gzip"})


async def _deep(request: Request, _: Behaviour) -> Response:
    return Response(b"[" * 100_000, media_type="application/json")


async def _huge(request: Request, _: Behaviour) -> Response:
    """A body without an end."""

    async def endless() -> AsyncIterator[bytes]:
        yield b'{"name": "auth_tokens/'
        while True:
            yield b"a" * 65_536
            await asyncio.sleep(0)

    return StreamingResponse(endless(), media_type="application/json")


async def _slow(request: Request, behaviour: Behaviour) -> Response:
    """A good body, a byte at a time."""

    async def drip() -> AsyncIterator[bytes]:
        for byte in TOKEN_LIKE:
            yield bytes([byte])
            await asyncio.sleep(behaviour.drip)

    return StreamingResponse(drip(), media_type="application/json")


async def _truncated(request: Request, _: Behaviour) -> Response:
    """The connection ends in the middle of the body that was announced."""

    async def half() -> AsyncIterator[bytes]:
        yield TOKEN_LIKE[:40]
        await asyncio.sleep(0.02)
        abort(request.scope)

    return StreamingResponse(
        half(), headers={"Content-Length": str(len(TOKEN_LIKE))}, media_type="application/json"
    )


async def _reset(request: Request, _: Behaviour) -> Response:
    """The connection ends without an answer."""
    abort(request.scope)
    return Response(status_code=499)


async def _redirect(request: Request, _: Behaviour) -> Response:
    """Sends the caller to an address that would mint; the query tells the one from the other."""
    return RedirectResponse(f"{request.url.path}?followed=1", 307)


FAULTS: dict[str, Callable[[Request, Behaviour], Awaitable[Response]]] = {
    "hang": _hang,
    "html": _html,
    "empty": _empty,
    "nothing": _nothing,
    "noname": _noname,
    "badname": _badname,
    "list": _list,
    "gzip": _gzip,
    "deep": _deep,
    "huge": _huge,
    "slow": _slow,
    "truncated": _truncated,
    "reset": _reset,
    "redirect": _redirect,
}


async def answer(fault: int | str, request: Request, behaviour: Behaviour) -> Response:
    """The faulted answer to one mint request."""
    if isinstance(fault, int):
        key = request.headers.get("x-goog-api-key", "")
        return status(fault, key, behaviour.retry_after)
    if fault not in FAULTS:
        return google_error(501, f"The stand-in knows no fault {json.dumps(fault)}.")
    return await FAULTS[fault](request, behaviour)


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return str(code)
