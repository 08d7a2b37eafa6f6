"""What a request says: one header of each kind, one credential, a body in either dialect.

A body is plain JSON or the Firebase callable protocol
(https://firebase.google.com/docs/functions/callable-reference).
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from livetoken.policy import DEFAULT_PROFILE, MOST_CHOICES, Scalar
from livetoken.refusals import Detail, Reason, Refused

MAX_CREDENTIAL = 8 * 1024
"""Characters of a credential. A longer one is refused without being parsed."""

MAX_BODY = 8 * 1024
"""Bytes of a request body."""

BODY_TIMEOUT = 2.0
"""Seconds within which the whole body must arrive."""

MAX_HANDLE = 4096
"""Characters of a resumption handle."""

_TEXT, _CHOICES = object(), object()
_FIELDS: Mapping[str, object] = {"profile": _TEXT, "resume": _TEXT, "choices": _CHOICES}
_BODY: Mapping[str, object] = {**_FIELDS, "data": _FIELDS}

# Without the classes Cc (control characters) and Cs (halves of characters). Only Gemini knows more.
_HANDLE = re.compile(rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{MAX_HANDLE}}}")
_DECODER = json.JSONDecoder()
_SCALAR = re.compile(r'["0-9tf]|-[0-9]')
"""The beginning of text, of a number, of true or of false."""
_SPACE = re.compile(r"[ \t\r\n]*")
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")


@dataclass(frozen=True)
class TokenRequest:
    """What the body asks for.

    `resume` is the handle of a session to resume, `choices` the value of each choice by its name,
    `callable` whether the body is in the Firebase callable protocol.
    """

    profile: str = DEFAULT_PROFILE
    resume: str | None = None
    choices: Mapping[str, Scalar] = field(default_factory=dict)
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
    return parse(body)


def parse(body: bytes) -> TokenRequest:
    """Parse a JSON body (RFC 8259).

    It is read member by member and refused at the first that is not known, because the json module
    takes longer for 8 KiB of small values than a mint takes.

    Raises:
        Refused: INVALID_REQUEST.
    """
    try:
        text = body.decode()
        start = _after_space(text, 0)
        if text[start : start + 1] != "{":
            raise Refused(Reason.INVALID_REQUEST, Detail.NOT_AN_OBJECT)
        fields, end = _object(text, start, _BODY)
        if _after_space(text, end) != len(text):
            raise ValueError
    except ValueError:
        raise Refused(Reason.INVALID_REQUEST, Detail.NOT_JSON) from None
    is_callable = "data" in fields
    if is_callable:
        if len(fields) > 1:
            raise Refused(Reason.INVALID_REQUEST, Detail.UNKNOWN_FIELD)
        fields = fields["data"]
    resume = fields.get("resume")
    if resume is not None and not _HANDLE.fullmatch(resume):
        raise Refused(Reason.INVALID_REQUEST, Detail.NOT_A_HANDLE)
    profile = fields.get("profile", DEFAULT_PROFILE)
    return TokenRequest(profile, resume, fields.get("choices", {}), is_callable)


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


def _object(text: str, at: int, known: object) -> tuple[dict[str, Any], int]:
    """Read the object that begins at `at`. Return its members and where it ends.

    Args:
        known: its members by their names, or `_CHOICES`.

    Raises:
        ValueError: it is not JSON, or a name occurs twice (RFC 8259, section 4).
        Refused: a member is not known or one too many, or has another type.
    """
    members: dict[str, Any] = {}
    at = _after_space(text, at + 1)
    if text[at : at + 1] == "}":
        return members, at + 1
    while True:
        name, at = _string(text, at)
        if name in members:
            raise ValueError
        at = _after_space(text, _after_mark(text, at, ":"))
        if isinstance(known, Mapping):
            if name not in known:
                raise Refused(Reason.INVALID_REQUEST, Detail.UNKNOWN_FIELD)
            members[name], at = _value(text, at, known[name])
        elif len(members) == MOST_CHOICES:
            raise Refused(Reason.INVALID_REQUEST, Detail.CHOICE_NOT_OFFERED)
        else:
            members[name], at = _scalar(text, at)
        at = _after_space(text, at)
        if text[at : at + 1] == "}":
            return members, at + 1
        at = _after_space(text, _after_mark(text, at, ","))


def _value(text: str, at: int, known: object) -> tuple[Any, int]:
    """Read a string, choices, or if `known` has the members of an object, that object or null."""
    if known is _TEXT and text[at : at + 1] == '"':
        return _string(text, at)
    if known is not _TEXT and text[at : at + 1] == "{":
        return _object(text, at, known)
    if isinstance(known, Mapping) and text.startswith("null", at):
        return {}, at + 4
    raise Refused(Reason.INVALID_REQUEST, Detail.WRONG_TYPE)


def _scalar(text: str, at: int) -> tuple[Scalar, int]:
    if not _SCALAR.match(text, at):
        raise Refused(Reason.INVALID_REQUEST, Detail.WRONG_TYPE)
    value, end = _DECODER.raw_decode(text, at)
    return value, end


def _string(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        raise ValueError
    string, end = _DECODER.raw_decode(text, at)
    return string, end


def _after_mark(text: str, at: int, mark: str) -> int:
    at = _after_space(text, at)
    if text[at : at + 1] != mark:
        raise ValueError
    return at + 1


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
