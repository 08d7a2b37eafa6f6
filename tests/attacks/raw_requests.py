"""Raw requests that try to be read in two ways, to cost too much, or to pass as others.

`answer` is what the contract says: a profile (200, for that profile), a reason of the error table,
or the status of the server's own answer. `<token>` stands for a genuine ID token.
"""

import gzip
import json
from dataclasses import dataclass

PROFILES = ("default", "short")


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


# Each family: name, input, answer. Sources: RFC 9110, RFC 9112, RFC 8259, and request smuggling:
# https://portswigger.net/research/http-desync-attacks-request-smuggling-reborn
LENGTH = {
    "a length": (sized(SHORT), "short"),
    "a length of zero": (head(b"Content-Length: 0"), "default"),
    "no length": (head(), "default"),
    "spaces around a length": (head(b"Content-Length:   2  ") + b"{}", "default"),
    "zeros before a length": (head(b"Content-Length: 0019") + SHORT, "short"),
    "two equal lengths": (head(b"Content-Length: 2", b"Content-Length: 2") + b"{}", "400"),
    "two lengths": (head(b"Content-Length: 2", b"Content-Length: 19") + SHORT, "400"),
    "a list of lengths": (head(b"Content-Length: 2, 2") + b"{}", "400"),
    "a length with a sign": (head(b"Content-Length: +2") + b"{}", "400"),
    "a negative length": (head(b"Content-Length: -1") + b"{}", "400"),
    "a hexadecimal length": (head(b"Content-Length: 0x2") + b"{}", "400"),
    "a length with letters": (head(b"Content-Length: 2a") + b"{}", "400"),
    "a length with an exponent": (head(b"Content-Length: 2e0") + b"{}", "400"),
    "a length with a point": (head(b"Content-Length: 2.0") + b"{}", "400"),
    "a length with a space inside": (head(b"Content-Length: 1 9") + SHORT, "400"),
    "an empty length": (head(b"Content-Length:") + b"{}", "400"),
    "a length over 64 bits": (head(b"Content-Length: 18446744073709551618") + b"{}", "400"),
    "a length in other digits": (head("Content-Length: ٢".encode()) + b"{}", "400"),
    "a length after NUL": (head(b"Content-Length: \x002") + b"{}", "400"),
    "a length named with an underscore": (
        head(b"Content_Length: 40", b"Content-Length: 2") + b"{}",
        "default",
    ),
}
CHUNKS = {
    "one chunk": (chunked(SHORT), "short"),
    "several chunks": (chunked(b'{"prof', b'ile":"sh', b'ort"}'), "short"),
    "no chunk": (chunked(), "default"),
    "a chunk extension": (chunked(end=b'13;a="b"\r\n' + SHORT + b"\r\n0\r\n\r\n"), "short"),
    "zeros before a chunk's size": (
        chunked(end=b"00013\r\n" + SHORT + b"\r\n000\r\n\r\n"),
        "short",
    ),
    "the coding in capitals": (head(b"Transfer-Encoding: CHUNKED") + b"0\r\n\r\n", "default"),
    "a tab before the coding": (head(b"Transfer-Encoding:\tchunked") + b"0\r\n\r\n", "default"),
    "length, then chunks": (head(b"Content-Length: 4", CHUNKED) + b"0\r\n\r\n", "400"),
    "chunks, then length": (head(CHUNKED, b"Content-Length: 4") + b"0\r\n\r\n", "400"),
    "chunks in HTTP/1.0": (
        head(CHUNKED, line=b"POST / HTTP/1.0") + b"2\r\n{}\r\n0\r\n\r\n",
        "400",
    ),
    "chunked twice": (head(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", "400"),
    "two codings": (head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", "400"),
    "chunked before another coding": (
        head(b"Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
        "400",
    ),
    "an unknown coding": (head(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", "400"),
    "no coding": (head(b"Transfer-Encoding: identity") + b"0\r\n\r\n", "400"),
    "an empty coding": (head(b"Transfer-Encoding:") + b"0\r\n\r\n", "400"),
    "two codings in two headers": (head(CHUNKED, b"Transfer-Encoding: x") + b"0\r\n\r\n", "400"),
    "chunked in two headers": (head(CHUNKED, CHUNKED) + b"0\r\n\r\n", "400"),
    "a vertical tab before the coding": (
        head(b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n",
        "400",
    ),
    "a space before the colon": (head(b"Transfer-Encoding : chunked") + b"0\r\n\r\n", "400"),
    "a coding in quotes": (head(b'Transfer-Encoding: "chunked"') + b"0\r\n\r\n", "400"),
    "a coding with a parameter": (head(b"Transfer-Encoding: chunked;q=1") + b"0\r\n\r\n", "400"),
    "a coding on a folded line": (head(b"Transfer-Encoding:\r\n chunked") + b"0\r\n\r\n", "400"),
    "a chunk of negative size": (chunked(end=b"-2\r\n{}\r\n0\r\n\r\n"), "400"),
    "a chunk with 0x": (chunked(end=b"0x2\r\n{}\r\n0\r\n\r\n"), "400"),
    "a chunk over 64 bits": (chunked(end=b"10000000000000002\r\n{}\r\n0\r\n\r\n"), "400"),
    "a chunk without a size": (chunked(end=b"\r\n{}\r\n0\r\n\r\n"), "400"),
    "a space after a chunk's size": (chunked(end=b"2 \r\n{}\r\n0\r\n\r\n"), "400"),
    "a chunk's size ended by LF": (chunked(end=b"2\n{}\r\n0\r\n\r\n"), "400"),
    "a chunk's size ended by CR": (chunked(end=b"2\r{}\r\n0\r\n\r\n"), "400"),
    "a chunk longer than its size": (chunked(end=b"2\r\n{}xx\r\n0\r\n\r\n"), "400"),
    "a chunk that ends with LF": (chunked(end=b"2\r\n{}\n0\r\n\r\n"), "400"),
    "an extension with LF": (chunked(end=b"2;a\nb\r\n{}\r\n0\r\n\r\n"), "400"),
    "65 chunks": (chunked(*[b" "] * 65), "400"),
    "the last chunk ended by LF": (chunked(b"{}", end=b"0\n\n"), "400"),
}
UPGRADES = {
    "x": (sized(SHORT, UPGRADE + b"x"), "short"),
    "a WebSocket": (sized(SHORT, UPGRADE + b"websocket"), "short"),
    "h2c, as curl --http2 sends it": (
        sized(
            SHORT,
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQAAP__",
        ),
        "short",
    ),
    "TLS": (sized(SHORT, UPGRADE + b"TLS/1.0"), "short"),
    "two protocols": (sized(SHORT, UPGRADE + b"a, b", b"Upgrade: c"), "short"),
    "in capitals": (sized(SHORT, b"CONNECTION: UPGRADE", b"UPGRADE: X"), "short"),
    "among options": (sized(SHORT, b"Connection: keep-alive, upgrade", b"Upgrade: x"), "short"),
    "with close": (sized(SHORT, b"Connection: close, upgrade", b"Upgrade: x"), "short"),
    "without Connection": (sized(SHORT, b"Upgrade: x"), "short"),
    "without Upgrade": (sized(SHORT, b"Connection: upgrade"), "short"),
    "with chunks": (chunked(SHORT, fields=(UPGRADE + b"x",)), "short"),
    "in HTTP/1.0": (sized(SHORT, UPGRADE + b"x", line=b"POST / HTTP/1.0"), "short"),
    "with a body of another type": (
        head(UPGRADE + b"x", b"Content-Length: 9", typed=b"Content-Type: text/plain\r\n")
        + b"not JSON!",
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "with a body that is not JSON": (sized(b"not JSON!", UPGRADE + b"x"), "INVALID_REQUEST"),
    "with a body that is too large": (sized(b" " * 9000, UPGRADE + b"x"), "BODY_TOO_LARGE"),
    "without a credential, around a request": (
        anonymous(UPGRADE + b"x", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
        "NO_CREDENTIAL",
    ),
    "around a request": (sized(SMUGGLED, UPGRADE + b"x"), "INVALID_REQUEST"),
    "with length and chunks": (
        head(UPGRADE + b"x", b"Content-Length: 4", CHUNKED) + b"0\r\n\r\n",
        "400",
    ),
    "with two lengths": (
        head(UPGRADE + b"x", b"Content-Length: 0", b"Content-Length: 2") + b"{}",
        "400",
    ),
    "without Host": (b"POST / HTTP/1.1\r\n" + UPGRADE + b"x\r\n\r\n", "400"),
    "a GET": (head(UPGRADE + b"websocket", line=b"GET / HTTP/1.1"), "METHOD_NOT_ALLOWED"),
    "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", "400"),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9, "400"),
    "TLS without asking": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, "400"),
}
PIPELINES = {
    "two mints": (sized(SHORT) + sized(b"{}"), "short"),
    "a mint, then a GET": (sized(SHORT) + head(line=b"GET / HTTP/1.1"), "short"),
    "a GET, then a mint": (head(line=b"GET / HTTP/1.1") + sized(b"{}"), "METHOD_NOT_ALLOWED"),
    "no credential, then a mint": (anonymous(b"Content-Length: 0") + SMUGGLED, "NO_CREDENTIAL"),
    "a body longer than its length": (head(b"Content-Length: 2") + b"{}" + SHORT, "default"),
    "a body without a length": (head() + SMUGGLED, "default"),
    "chunks in a header with an underscore": (
        head(b"Transfer_Encoding: chunked") + b"13\r\n" + SHORT + b"\r\n0\r\n\r\n",
        "default",
    ),
    "a request behind the last chunk": (chunked(SHORT) + SMUGGLED, "short"),
    "a thousand requests": (head(line=b"GET / HTTP/1.1") * 1000, "METHOD_NOT_ALLOWED"),
    "what is not HTTP": (sized(SHORT) + b"\x00\x01\x02", "short"),
    "an upgrade, then a mint": (sized(SHORT, UPGRADE + b"x") + SMUGGLED, "short"),
}
HEADS = {
    "no Host": (b"POST / HTTP/1.1\r\n" + AUTHORIZED + b"\r\n", "400"),
    "two Hosts": (head(b"Host: y"), "400"),
    "no Host in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + AUTHORIZED + b"\r\n", "default"),
    "lines before the request": (b"\r\n\r\n" + sized(SHORT), "short"),
    "spaces before the request": (b"  " + sized(SHORT), "400"),
    "lines ended by LF": (sized(SHORT).replace(b"\r\n", b"\n"), "400"),
    "one line ended by LF": (sized(SHORT).replace(b"Host: x\r\n", b"Host: x\n"), "400"),
    "a line ended by CR": (sized(SHORT).replace(b"Host: x\r\n", b"Host: x\r"), "400"),
    "a folded line": (sized(SHORT, b"X-A: b\r\n c"), "400"),
    "a space before a colon": (sized(SHORT, b"X-A : b"), "400"),
    "a header without a name": (sized(SHORT, b": b"), "400"),
    "a header without a colon": (sized(SHORT, b"X-A"), "400"),
    "NUL in a value": (sized(SHORT, b"X-A: b\0c"), "400"),
    "CR in a value": (sized(SHORT, b"X-A: b\rc"), "400"),
    "NUL in a name": (sized(SHORT, b"X\0A: b"), "400"),
    "bytes beyond ASCII in a value": (sized(SHORT, b"X-A: \xff\xfe"), "short"),
    "bytes beyond ASCII in a name": (sized(SHORT, "X-Ä: b".encode()), "400"),
    "101 headers": (sized(SHORT, *[b"a: b"] * 97), "431"),
    "100 headers": (sized(SHORT, *[b"a: b"] * 96), "short"),
    "a header of 130 KiB": (sized(SHORT, b"a: " + b"b" * 130 * 1024), "431"),
    "a URL of 130 KiB": (sized(SHORT, line=b"POST /" + b"a" * 130 * 1024 + b" HTTP/1.1"), "431"),
    "a credential of 100 KiB": (
        b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 100 * 1024 + b"\r\n\r\n",
        "INVALID_ID_TOKEN",
    ),
    "a second credential": (sized(SHORT, AUTHORIZED), "NO_CREDENTIAL"),
    "a second credential in capitals": (sized(SHORT, b"AUTHORIZATION: Bearer x"), "NO_CREDENTIAL"),
    "two credentials in one header": (
        sized(SHORT).replace(b"<token>", b"<token>, Bearer <token>"),
        "NO_CREDENTIAL",
    ),
    "a credential after a tab": (sized(SHORT).replace(b"Bearer ", b"Bearer\t"), "NO_CREDENTIAL"),
    "a credential in the URL": (
        anonymous(b"Content-Length: 0").replace(b" / ", b" /?access_token=<token> "),
        "NO_CREDENTIAL",
    ),
    "a credential in the body": (
        anonymous(b"Content-Length: 19", body=b"access_token=<token"),
        "NO_CREDENTIAL",
    ),
    "a credential in a cookie": (
        anonymous(b"Cookie: __session=<token>", b"Content-Length: 0"),
        "NO_CREDENTIAL",
    ),
    "a credential for a proxy": (
        anonymous(b"Proxy-Authorization: Bearer <token>", b"Content-Length: 0"),
        "NO_CREDENTIAL",
    ),
    "a credential of Cloud Run": (
        anonymous(b"X-Serverless-Authorization: Bearer <token>", b"Content-Length: 0"),
        "NO_CREDENTIAL",
    ),
    "a second type": (sized(SHORT, JSON_TYPE), "UNSUPPORTED_MEDIA_TYPE"),
    "two origins": (
        sized(SHORT, b"Origin: https://app.example.com", b"Origin: https://app.example.com"),
        "ORIGIN_NOT_ALLOWED",
    ),
    "two App Check tokens": (
        sized(SHORT, b"X-Firebase-AppCheck: a", b"X-Firebase-AppCheck: b"),
        "APP_CHECK_FAILED",
    ),
    "an origin beside the allowed one": (
        sized(SHORT, b"Origin: https://app.example.com, https://evil.example"),
        "ORIGIN_NOT_ALLOWED",
    ),
    "an origin with a path": (
        sized(SHORT, b"Origin: https://app.example.com/"),
        "ORIGIN_NOT_ALLOWED",
    ),
    "no origin at all": (sized(SHORT, b"Origin:"), "ORIGIN_NOT_ALLOWED"),
    "an opaque origin": (sized(SHORT, b"Origin: null"), "ORIGIN_NOT_ALLOWED"),
    "another address of the caller": (sized(SHORT, b"X-Forwarded-For: 127.0.0.1"), "short"),
    "an expectation": (sized(SHORT, b"Expect: 100-continue"), "short"),
    "an unknown expectation": (sized(SHORT, b"Expect: 200-ok"), "short"),
    "an expectation without a credential": (
        anonymous(b"Expect: 100-continue", b"Content-Length: 19"),
        "NO_CREDENTIAL",
    ),
}
TRAILERS = {
    "a credential": (
        anonymous(CHUNKED.rstrip(), body=b"2\r\n{}\r\n0\r\n" + AUTHORIZED + b"\r\n"),
        "NO_CREDENTIAL",
    ),
    "a second credential": (chunked(SHORT, end=b"0\r\n" + AUTHORIZED + b"\r\n"), "short"),
    "a type": (
        head(CHUNKED, typed=b"") + b"13\r\n" + SHORT + b"\r\n0\r\n" + JSON_TYPE + b"\r\n",
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "a foreign origin": (chunked(SHORT, end=b"0\r\nOrigin: https://evil.example\r\n\r\n"), "short"),
    "a length": (chunked(SHORT, end=b"0\r\nContent-Length: 4\r\n\r\n"), "400"),
    "an upgrade": (chunked(SHORT, end=b"0\r\n" + UPGRADE + b"x\r\n\r\n"), "short"),
    "an expectation": (chunked(SHORT, end=b"0\r\nExpect: 100-continue\r\n\r\n"), "short"),
    "200 fields": (chunked(SHORT, end=b"0\r\n" + b"a: b\r\n" * 200 + b"\r\n"), "431"),
    "a folded field": (chunked(SHORT, end=b"0\r\na: b\r\n c\r\n\r\n"), "400"),
    "a field without a colon": (chunked(SHORT, end=b"0\r\nabc\r\n\r\n"), "400"),
}
LINES = {
    **{
        method: (sized(SHORT, line=method.encode() + b" / HTTP/1.1"), "METHOD_NOT_ALLOWED")
        for method in ("GET", "PUT", "PATCH", "DELETE")
    },
    "TRACE": (head(line=b"TRACE / HTTP/1.1"), "405"),
    "PROPFIND": (head(line=b"PROPFIND / HTTP/1.1"), "405"),
    "a method of our own": (sized(SHORT, line=b"MINT / HTTP/1.1"), "400"),
    "a method in small letters": (sized(SHORT, line=b"post / HTTP/1.1"), "400"),
    "a GET that would be a POST": (
        head(b"X-HTTP-Method-Override: POST", line=b"GET / HTTP/1.1"),
        "METHOD_NOT_ALLOWED",
    ),
    "a whole URL": (sized(SHORT, line=b"POST http://y/z HTTP/1.1"), "short"),
    "a path that climbs": (sized(SHORT, line=b"POST /../..//%2e%2e/%00 HTTP/1.1"), "short"),
    "a path beyond ASCII": (sized(SHORT, line=b"POST /\xff HTTP/1.1"), "400"),
    "a fragment": (sized(SHORT, line=b"POST /#a HTTP/1.1"), "short"),
    "no path": (sized(SHORT, line=b"POST HTTP/1.1"), "400"),
    "no version": (sized(SHORT, line=b"POST /"), "400"),
    "two spaces": (sized(SHORT, line=b"POST  / HTTP/1.1"), "short"),
    "a tab": (sized(SHORT, line=b"POST\t/ HTTP/1.1"), "400"),
    "HTTP/0.9": (sized(SHORT, line=b"POST / HTTP/0.9"), "400"),
    "HTTP/1.2": (sized(SHORT, line=b"POST / HTTP/1.2"), "400"),
    "HTTP/1.10": (sized(SHORT, line=b"POST / HTTP/1.10"), "400"),
    "HTTP/2.0": (sized(SHORT, line=b"POST / HTTP/2.0"), "400"),
    "http/1.1": (sized(SHORT, line=b"POST / http/1.1"), "400"),
    "ICE/1.0": (sized(SHORT, line=b"SOURCE / ICE/1.0"), "405"),
    "RTSP/1.0, which llhttp reads as HTTP/1.0": (sized(SHORT, line=b"POST / RTSP/1.0"), "short"),
    "HTTP/1.0": (sized(SHORT, line=b"POST / HTTP/1.0"), "short"),
}
TYPES = {
    "none": (head(b"Content-Length: 19", typed=b"") + SHORT, "UNSUPPORTED_MEDIA_TYPE"),
    "text/plain": (typed(b"text/plain"), "UNSUPPORTED_MEDIA_TYPE"),
    "a form": (typed(b"application/x-www-form-urlencoded"), "UNSUPPORTED_MEDIA_TYPE"),
    "a prefix": (typed(b"application/json-seq"), "UNSUPPORTED_MEDIA_TYPE"),
    "two in one header": (typed(b"application/json, text/plain"), "UNSUPPORTED_MEDIA_TYPE"),
    "a type beyond ASCII": (typed(b"application/json\xff"), "UNSUPPORTED_MEDIA_TYPE"),
    "a parameter": (typed(b"Application/JSON ; charset=utf-8"), "short"),
    "UTF-16": (
        typed(b"application/json; charset=utf-16", SHORT.decode().encode("utf-16")),
        "INVALID_REQUEST",
    ),
    "a byte order mark": (sized(b"\xef\xbb\xbf" + SHORT), "INVALID_REQUEST"),
    "gzip": (sized(gzip.compress(SHORT), b"Content-Encoding: gzip"), "INVALID_REQUEST"),
    "latin-1": (sized(b'{"profile":"sh\xf6rt"}'), "INVALID_REQUEST"),
    "an overlong character": (sized(b'{"profile":"\xc1\xb3hort"}'), "INVALID_REQUEST"),
    "a surrogate in UTF-8": (sized(b'{"profile":"\xed\xa0\x80"}'), "INVALID_REQUEST"),
}
BODIES = {
    "callable": (b'{"data":{"profile":"short"}}', "short"),
    "callable with null": (b'{"data":null}', "default"),
    "white space": (b" \t\r\n{ \t\r\n} \t\r\n", "default"),
    "8 KiB": (SHORT + b" " * (8192 - len(SHORT)), "short"),
    "8 KiB and a byte": (SHORT + b" " * (8193 - len(SHORT)), "BODY_TOO_LARGE"),
    "a megabyte": (b" " * 1024 * 1024, "BODY_TOO_LARGE"),
    "a name in escapes": (rb'{"\u0070rofile":"\u0073hort"}', "short"),
    "a name twice": (b'{"profile":"short","profile":"default"}', "INVALID_REQUEST"),
    "a name twice, once in escapes": (
        rb'{"profile":"short","\u0070rofile":"default"}',
        "INVALID_REQUEST",
    ),
    "data twice": (b'{"data":{},"data":{"profile":"short"}}', "INVALID_REQUEST"),
    "data and a profile": (b'{"data":{},"profile":"short"}', "INVALID_REQUEST"),
    "data in data": (b'{"data":{"data":{}}}', "INVALID_REQUEST"),
    "an unknown field": (b'{"uses":0}', "INVALID_REQUEST"),
    "a name with a space": (b'{"profile ":"short"}', "INVALID_REQUEST"),
    "a prototype": (b'{"__proto__":{"profile":"short"}}', "INVALID_REQUEST"),
    "a profile of another type": (b'{"profile":["short"]}', "INVALID_REQUEST"),
    "null": (b"null", "INVALID_REQUEST"),
    "a list": (b"[{}]", "INVALID_REQUEST"),
    "two objects": (b"{}{}", "INVALID_REQUEST"),
    "a comma at the end": (b'{"profile":"short",}', "INVALID_REQUEST"),
    "a comment": (b'{"profile":"short"/**/}', "INVALID_REQUEST"),
    "other quotes": (b"{'profile':'short'}", "INVALID_REQUEST"),
    "no quotes": (b"{profile:short}", "INVALID_REQUEST"),
    "a line feed in a string": (b'{"profile":"sh\nort"}', "INVALID_REQUEST"),
    "an unknown escape": (rb'{"profile":"\x73hort"}', "INVALID_REQUEST"),
    "another space": ('{\u00a0"profile":"short"}'.encode(), "INVALID_REQUEST"),
    "a nest of lists": (b"[" * 8000, "INVALID_REQUEST"),
    "a nest of objects": (b'{"data":' * 900 + b"}" * 900, "INVALID_REQUEST"),
    "a thousand names": (json.dumps({f"a{n}": 0 for n in range(700)}).encode(), "INVALID_REQUEST"),
    "NaN": (b'{"profile":NaN}', "INVALID_REQUEST"),
    "a long number": (b'{"profile":' + b"9" * 8000 + b"}", "INVALID_REQUEST"),
    "half a character for a profile": (rb'{"profile":"\ud800"}', "UNKNOWN_PROFILE"),
    "half a character for a handle": (rb'{"resume":"\ud800"}', "INVALID_REQUEST"),
    "NUL behind a profile": (rb'{"profile":"short\u0000"}', "UNKNOWN_PROFILE"),
    "a profile in capitals": (b'{"profile":"SHORT"}', "UNKNOWN_PROFILE"),
    "a profile that looks alike": ('{"profile":"dеfault"}'.encode(), "UNKNOWN_PROFILE"),
    "a profile with a path": (b'{"profile":"../default"}', "UNKNOWN_PROFILE"),
    "an empty profile": (b'{"profile":""}', "UNKNOWN_PROFILE"),
    "a profile of 8,000 characters": (b'{"profile":"' + b"a" * 8000 + b'"}', "UNKNOWN_PROFILE"),
    "a handle": (b'{"resume":"a handle"}', "default"),
    "a handle of 4,096 characters": (b'{"resume":"' + b"," * 4096 + b'"}', "default"),
    "a handle of 4,097 characters": (b'{"resume":"' + b"a" * 4097 + b'"}', "INVALID_REQUEST"),
    "an empty handle": (b'{"resume":""}', "INVALID_REQUEST"),
    "a handle that closes the JSON": (rb'{"resume":"\"}],\"uses\":0,\"x\":\""}', "default"),
    "a handle for a profile without": (b'{"resume":"a","profile":"short"}', "INVALID_REQUEST"),
}

REQUESTS = [
    RawRequest(family, name, data, answer, at_once=family == "pipelining")
    for family, inputs in {
        "length": LENGTH,
        "chunks": CHUNKS,
        "Upgrade": UPGRADES,
        "pipelining": PIPELINES,
        "head": HEADS,
        "trailers": TRAILERS,
        "request line": LINES,
        "type and encoding": TYPES,
        "body": {name: (sized(body), answer) for name, (body, answer) in BODIES.items()},
    }.items()
    for name, (data, answer) in inputs.items()
]

UNFINISHED = {
    "a body shorter than its length": (head(b"Content-Length: 9") + b"{}", "INVALID_REQUEST"),
    "a megabyte that never comes": (head(b"Content-Length: 1000000"), "INVALID_REQUEST"),
    "the same with an upgrade": (
        head(UPGRADE + b"x", b"Content-Length: 1000000"),
        "INVALID_REQUEST",
    ),
    "a body without its last chunk": (chunked(SHORT, end=b""), "INVALID_REQUEST"),
    "a chunk shorter than its size": (chunked(end=b"ff\r\n{}"), "INVALID_REQUEST"),
    "a chunk extension that never ends": (chunked(end=b"2;" + b"a" * 200_000), "INVALID_REQUEST"),
    "trailers that never end": (chunked(SHORT, end=b"0\r\na: b\r\n"), "INVALID_REQUEST"),
    "no body, without a credential": (anonymous(b"Content-Length: 9"), "NO_CREDENTIAL"),
    "a method other than POST": (
        head(b"Content-Length: 9", line=b"PUT / HTTP/1.1"),
        "METHOD_NOT_ALLOWED",
    ),
    "9 KiB of a megabyte": (head(b"Content-Length: 1000000") + b" " * 9000, "BODY_TOO_LARGE"),
    "half a head": (b"POST / HTTP/1.1\r\nHost: x\r\n", ""),
    "nothing": (b"", ""),
    "empty lines": (b"\r\n" * 1000, ""),
}
"""Requests that do not go on, by name. An answer of "" is a closed connection."""
