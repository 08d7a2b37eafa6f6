"""What is asked for, in either dialect: plain JSON, or the Firebase callable protocol.

Source: https://firebase.google.com/docs/functions/callable-reference.
"""

import asyncio
import json
import unicodedata
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request

from livetoken.headers import single
from livetoken.refusals import Detail, Reason, Refused

MAX_BODY = 8 * 1024
"""Bytes of a request body."""

MAX_HANDLE = 4096
"""Characters of a resumption handle."""

BODY_TIMEOUT = 5.0
"""Seconds within which a body must be whole."""

DEFAULT_PROFILE = "default"


@dataclass(frozen=True)
class Ask:
    """One request: a profile's name, the handle of a session that shall go on, and the dialect."""

    profile: str
    resume: str | None
    callable: bool

    def wrap(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Put an answer into the dialect of its request."""
        return {"result": answer} if self.callable else answer


async def read(request: Request) -> Ask:
    """Read what is asked for.

    Raises:
        Refused: INVALID_REQUEST, BODY_TOO_LARGE or UNSUPPORTED_MEDIA_TYPE.
    """
    media_type = single(request.headers, "content-type", Reason.UNSUPPORTED_MEDIA_TYPE) or ""
    body = await _body(request)
    if not body:
        return Ask(DEFAULT_PROFILE, None, callable=False)
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
    return Ask(profile, _handle(fields) if "resume" in fields else None, is_callable)


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
    """Build an object, refusing a name that stands in it twice (RFC 8259, section 4)."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _handle(fields: dict[str, Any]) -> str:
    """Return the resumption handle of a request; what it means, only Gemini knows."""
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
