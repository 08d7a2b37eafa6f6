"""The ways in which Gemini, or the network in front of it, can fail a mint."""

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

# The name in google.rpc.Code for each HTTP status.
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


def google_error(
    code: int, message: str, details: list[object] | None = None, word: str | None = None
) -> JSONResponse:
    """An error in Google's format; `word` is its status if that is not the usual one."""
    error = {
        "code": code,
        "message": message,
        "status": word or STATUS_WORDS.get(code, "UNKNOWN"),
    }
    return JSONResponse({"error": error | ({"details": details} if details else {})}, code)


def status(code: int, api_key: str, behaviour: Behaviour) -> Response:
    """A status with a body that the function must never pass on to its callers."""
    message = f"{SECRET}: {_phrase(code)} for the key {api_key}"
    answer = google_error(code, message, _quota(behaviour) if code == 429 else None)
    if behaviour.retry_after is not None:
        answer.headers["Retry-After"] = behaviour.retry_after
    return answer


def _quota(behaviour: Behaviour) -> list[object]:
    """The details of a 429. It has no `Retry-After`."""
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/auth_token_requests",
        "quotaId": "AuthTokenRequestsPerMinutePerProject",
    }
    return [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": behaviour.retry_delay,
        },
    ]


async def _location(request: Request, _: Behaviour) -> Response:
    """A 400 that is not about the request."""
    message = "User location is not supported for the API use."
    return google_error(400, message, word="FAILED_PRECONDITION")


async def _hang(request: Request, _: Behaviour) -> Response:
    """Never answer; end when the caller disconnects."""
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
    """A valid body, compressed although the request does not accept that."""
    body = gzip.compress(json.dumps({"name": "auth_tokens/" + "a" * 64}).encode())
    return Response(body, media_type="application/json", headers={"Content-Encoding": "gzip"})


async def _deep(request: Request, _: Behaviour) -> Response:
    return Response(b"[" * 100_000, media_type="application/json")


async def _huge(request: Request, _: Behaviour) -> Response:
    """A body that never ends."""

    async def endless() -> AsyncIterator[bytes]:
        yield b'{"name": "auth_tokens/'
        while True:
            yield b"a" * 65_536
            await asyncio.sleep(0)

    return StreamingResponse(endless(), media_type="application/json")


async def _slow(request: Request, behaviour: Behaviour) -> Response:
    """A valid body, one byte at a time."""

    async def drip() -> AsyncIterator[bytes]:
        for byte in TOKEN_LIKE:
            yield bytes([byte])
            await asyncio.sleep(behaviour.drip)

    return StreamingResponse(drip(), media_type="application/json")


async def _truncated(request: Request, _: Behaviour) -> Response:
    """End the connection in the middle of the body."""

    async def half() -> AsyncIterator[bytes]:
        yield TOKEN_LIKE[:40]
        await asyncio.sleep(0.02)
        abort(request.scope)

    return StreamingResponse(
        half(), headers={"Content-Length": str(len(TOKEN_LIKE))}, media_type="application/json"
    )


async def _reset(request: Request, _: Behaviour) -> Response:
    """End the connection without an answer."""
    abort(request.scope)
    return Response(status_code=499)


async def _redirect(request: Request, _: Behaviour) -> Response:
    """Redirect to a URL that would mint; the query marks the second request."""
    return RedirectResponse(f"{request.url.path}?followed=1", 307)


FAULTS: dict[str, Callable[[Request, Behaviour], Awaitable[Response]]] = {
    "location": _location,
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
    """The answer to one mint request that must fail."""
    if isinstance(fault, int):
        key = request.headers.get("x-goog-api-key", "")
        return status(fault, key, behaviour)
    if fault not in FAULTS:
        return google_error(501, f"The stand-in has no fault {json.dumps(fault)}.")
    return await FAULTS[fault](request, behaviour)


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return str(code)
