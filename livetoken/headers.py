"""Request headers: at most one of each that matters, and the one bearer credential."""

import re

from starlette.datastructures import Headers

from livetoken.refusals import Detail, Reason, Refused

MAX_CREDENTIAL = 8 * 1024
"""Characters of a credential; a longer one is refused unparsed."""

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")


def single(headers: Headers, name: str, reason: Reason) -> str | None:
    """Return a header's value, or None where it is not sent.

    Raises:
        Refused: `reason`, where the header is sent twice: two readers might take two values.
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


def app_check(headers: Headers) -> str | None:
    """Return the App Check token of the request, None where there is none.

    Raises:
        Refused: APP_CHECK_FAILED for one sent twice or over 8 KiB.
    """
    token = single(headers, "x-firebase-appcheck", Reason.APP_CHECK_FAILED)
    if token is not None and len(token) > MAX_CREDENTIAL:
        raise Refused(Reason.APP_CHECK_FAILED, Detail.TOKEN_TOO_LONG)
    return token
