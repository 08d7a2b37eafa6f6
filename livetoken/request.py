"""What a request says: one header of each kind, one credential, a body in either dialect.

A body is plain JSON or the Firebase callable protocol
(https://firebase.google.com/docs/functions/callable-reference).
"""

import asyncio
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from livetoken.policy import DEFAULT_PROFILE
from livetoken.refusals import Detail, Reason, Refused

MAX_CREDENTIAL = 8 * 1024
"""Characters of a credential. A longer one is refused without being parsed."""

MAX_BODY = 8 * 1024
"""Bytes of a request body."""

BODY_TIMEOUT = 5.0
"""Seconds within which the whole body must arrive."""

MAX_HANDLE = 4096
"""Characters of a resumption handle."""

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")


@dataclass(frozen=True)
class TokenRequest:
    """What the body asks for.

    `resume` is the handle of a session to resume, `callable` whether the body is in the Firebase
    callable protocol.
    """

    profile: str = DEFAULT_PROFILE
    resume: str | None = None
    callable: bool = False

    def wrap(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Put an answer into the dialect of its request."""
        return {"result": answer} if self.callable else answer


def single(headers: Headers, name: str, reason: Reason) -> str | None:
    """Return a header's value, or None if it was not sent.

    Raises:
        Refused: `reason`, if the header was sent twice: two readers might take two values.
    """
    values = headers.getlist(name)
    if len(values) > 1:
        raise Refused(reason, Detail.HEADER_TWICE)
    return values[0] if values else None


def bearer(headers: Headers) -> str:
    """Return the one bearer credential of the request (RFC 6750, section 2.1).

    Raises:
        Refused: NO_CREDENTIAL, or INVALID_ID_TOKEN for one over 8 KiB.
    """
    value = single(headers, "authorization", Reason.NO_CREDENTIAL)
    if value is None:
        raise Refused(Reason.NO_CREDENTIAL)
    if len(value) > MAX_CREDENTIAL + len("Bearer "):
        raise Refused(Reason.INVALID_ID_TOKEN, Detail.TOKEN_TOO_LONG)
    match = _BEARER.fullmatch(value)
    if match is None:
        raise Refused(Reason.NO_CREDENTIAL, Detail.NOT_BEARER)
    return match[1]


def app_check_token(headers: Headers) -> str | None:
    """Return the App Check token of the request, or None if it was not sent.

    Raises:
        Refused: APP_CHECK_FAILED for a header that was sent twice or is over 8 KiB.
    """
    token = single(headers, "x-firebase-appcheck", Reason.APP_CHECK_FAILED)
    if token is not None and len(token) > MAX_CREDENTIAL:
        raise Refused(Reason.APP_CHECK_FAILED, Detail.TOKEN_TOO_LONG)
    return token


async def read(request: Request) -> TokenRequest:
    """Read the body.

    Raises:
        Refused: INVALID_REQUEST, BODY_TOO_LARGE or UNSUPPORTED_MEDIA_TYPE.
    """
    media_type = single(request.headers, "content-type", Reason.UNSUPPORTED_MEDIA_TYPE) or ""
    body = await _body(request)
    if not body:
        return TokenRequest()
    if media_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused(Reason.UNSUPPORTED_MEDIA_TYPE)
    fields = _object(body)
    is_callable = "data" in fields
    if is_callable:
        data = fields.pop("data")
        _only(fields, set())
        fields = {} if data is None else data
        if not isinstance(fields, dict):
            raise Refused(Reason.INVALID_REQUEST, Detail.NOT_AN_OBJECT)
    _only(fields, {"profile", "resume"})
    profile = fields.get("profile", DEFAULT_PROFILE)
    if not isinstance(profile, str):
        raise Refused(Reason.INVALID_REQUEST, Detail.WRONG_TYPE)
    return TokenRequest(profile, _handle(fields) if "resume" in fields else None, is_callable)


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise Refused(Reason.BODY_TOO_LARGE)
    except TimeoutError:
        raise Refused(Reason.INVALID_REQUEST, Detail.BODY_LATE) from None
    except ClientDisconnect:
        raise Refused(Reason.INVALID_REQUEST, Detail.CALLER_LEFT) from None
    return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise Refused(Reason.INVALID_REQUEST, Detail.NOT_JSON) from None
    if not isinstance(value, dict):
        raise Refused(Reason.INVALID_REQUEST, Detail.NOT_AN_OBJECT)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object. A name that occurs twice is an error (RFC 8259, section 4)."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _handle(fields: dict[str, Any]) -> str:
    """Return the resumption handle of a request. Only Gemini knows what it means."""
    handle = fields["resume"]
    if not isinstance(handle, str):
        raise Refused(Reason.INVALID_REQUEST, Detail.WRONG_TYPE)
    controls = any(unicodedata.category(character) in ("Cc", "Cs") for character in handle)
    if not 1 <= len(handle) <= MAX_HANDLE or controls:
        raise Refused(Reason.INVALID_REQUEST, Detail.NOT_A_HANDLE)
    return handle


def _only(fields: dict[str, Any], known: set[str]) -> None:
    if fields.keys() - known:
        raise Refused(Reason.INVALID_REQUEST, Detail.UNKNOWN_FIELD)
