"""Raw requests as data: what one is, and how its bytes are put together.

`<token>` stands for a genuine ID token.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class RawRequest:
    """One input, sent as it is.

    `at_once` is whether it means something else if it arrives byte by byte: what comes after the
    answer is another request then.
    """

    family: str
    name: str
    data: bytes
    answer: str
    at_once: bool = False


AUTHORIZED = b"Authorization: Bearer <token>\r\n"
JSON_TYPE = b"Content-Type: application/json\r\n"
SHORT = b'{"profile":"short"}'
SMUGGLED = b"POST / HTTP/1.1\r\nHost: x\r\n" + AUTHORIZED + b"Content-Length: 0\r\n\r\n"
NESTED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
"""A request without a placeholder for a token, since its length is counted as it stands."""

UPGRADE = b"Connection: Upgrade\r\nUpgrade: "
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def head(*fields: bytes, line: bytes = b"POST / HTTP/1.1", typed: bytes = JSON_TYPE) -> bytes:
    """A head with a credential, of the line, `Host` and `Content-Type` given, and more fields."""
    lines = b"".join(field.rstrip(b"\r\n") + b"\r\n" for field in fields)
    return line + b"\r\nHost: x\r\n" + AUTHORIZED + typed + lines + b"\r\n"


def sized(body: bytes, *fields: bytes, line: bytes = b"POST / HTTP/1.1") -> bytes:
    """A request whose body has a Content-Length."""
    return head(*fields, b"Content-Length: %d" % len(body), line=line) + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", fields: tuple[bytes, ...] = ()) -> bytes:
    """A request whose body is in chunks."""
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head(*fields, CHUNKED) + coded + end


def typed(media_type: bytes, body: bytes = SHORT) -> bytes:
    """A request with another Content-Type."""
    length = b"Content-Length: %d" % len(body)
    return head(length, typed=b"Content-Type: %b\r\n" % media_type) + body


def anonymous(*fields: bytes, body: bytes = b"") -> bytes:
    """A request without a credential."""
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST / HTTP/1.1\r\nHost: x\r\n" + JSON_TYPE + lines + b"\r\n" + body
