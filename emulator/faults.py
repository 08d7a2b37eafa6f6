"""The ways in which Gemini, or the network in front of it, can fail a mint."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from emulator.behaviour import Behaviour, Fault
from emulator.google_errors import (
    PER_DAY,
    PER_MINUTE,
    REFUSALS,
    detail,
    error_info,
    quota_failure,
)
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
    code: int, message: str, details: Sequence[object] = (), word: str | None = None
) -> JSONResponse:
    """An error in Google's format; `word` is its status if that is not the usual one."""
    error = {
        "code": code,
        "message": message,
        "status": word or STATUS_WORDS.get(code, "UNKNOWN"),
    }
    return JSONResponse({"error": error | ({"details": [*details]} if details else {})}, code)


def status(code: int, api_key: str, behaviour: Behaviour) -> Response:
    """A status with a body that the function must never pass on to its callers."""
    message = f"{SECRET}: {_phrase(code)} for the key {api_key}"
    details = _quota(behaviour, PER_MINUTE) if code == 429 else ()
    return _with_retry_after(google_error(code, message, details), behaviour)


def refusal(name: str, api_key: str) -> Response:
    """One of the refusals of Google."""
    of = REFUSALS[name]
    message = of.message.format(key=api_key)
    text = detail("LocalizedMessage", locale="en-US", message=message)
    details = [error_info(name, api_key), text] if of.has_info else []
    return google_error(of.code, message, details, of.word)


def _quota(behaviour: Behaviour, *quotas: str) -> Sequence[object]:
    """The details of a 429."""
    delay = behaviour.retry_delay
    retry_info = [detail("RetryInfo", retryDelay=delay)] if delay is not None else []
    return [quota_failure(*quotas), *retry_info]


def _with_retry_after(answer: Response, behaviour: Behaviour) -> Response:
    if behaviour.retry_after is not None:
        answer.headers["Retry-After"] = behaviour.retry_after
    return answer


async def _daily(request: Request, behaviour: Behaviour) -> Response:
    """A 429 that is over on another day, although it names a delay of seconds."""
    message = f"You exceeded your current quota: {SECRET}."
    answer = google_error(429, message, _quota(behaviour, PER_DAY, PER_MINUTE))
    return _with_retry_after(answer, behaviour)


async def hang(request: Request, _: Behaviour | None = None) -> Response:
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


async def reset(request: Request, _: Behaviour | None = None) -> Response:
    """End the connection without an answer."""
    abort(request.scope)
    return Response(status_code=499)


async def _redirect(request: Request, _: Behaviour) -> Response:
    """Redirect to a URL that would mint; the query marks the second request."""
    return RedirectResponse(f"{request.url.path}?followed=1", 307)


FAULTS: dict[str, Callable[[Request, Behaviour], Awaitable[Response]]] = {
    "daily": _daily,
    "hang": hang,
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
    "reset": reset,
    "redirect": _redirect,
}


async def answer(fault: Fault, request: Request, behaviour: Behaviour) -> Response:
    """The answer to one mint request that must fail."""
    key = request.headers.get("x-goog-api-key", "")
    if isinstance(fault, int):
        return status(fault, key, behaviour)
    if isinstance(fault, tuple):
        code, body = fault
        raw = Response(body, code, media_type="application/json")
        return _with_retry_after(raw, behaviour)
    if fault in REFUSALS:
        return refusal(fault, key)
    if fault not in FAULTS:
        return google_error(501, f"The stand-in has no fault {json.dumps(fault)}.")
    return await FAULTS[fault](request, behaviour)


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return str(code)
