"""Browser origins: which are allowed, and their CORS headers (Fetch standard)."""

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from livetoken.refusals import Detail, Reason, Refused
from livetoken.request import single

_ORIGIN = re.compile(
    r"(?!https://.*:443$)(?!http://.*:80$)"
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?"
)
_ADDRESS = re.compile(r"[0-9.]*|.*:.*|(.*\.)?(0x[0-9a-f]*|[0-9]+)")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")  # RFC 1123, section 2.1

_HTTPS = "https://"

MAX_ORIGIN = 300
"""Characters of an origin: a host name has at most 253 (RFC 1035, section 2.3.4)."""

PREFLIGHT = {
    "Allow": "POST, OPTIONS",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": (
        "authorization, content-type, x-firebase-appcheck, firebase-instance-id-token, "
        "baggage, sentry-trace, traceparent, tracestate"  # SDKs for tracing add these
    ),
    "Access-Control-Max-Age": "3600",
}


def is_origin(text: str) -> bool:
    """Whether a text is an origin as browsers serialise it (RFC 6454, section 6.2), except `null`.

    An app's own scheme, such as capacitor, is one too. A default port is not written.
    """
    return bool(_ORIGIN.fullmatch(text)) and host(text) is not None


def host(url: str) -> str | None:
    """Return the host of a URL, or None if the host or the port cannot be used.

    An address must be written in full: `127.1` and `0x7f000001` are addresses to some programs and
    names to others.
    """
    try:
        parts = urlsplit(url)
        name = parts.hostname or ""
        if parts.port == 0:
            return None
        if _ADDRESS.fullmatch(name):
            return name if _serialised(ipaddress.ip_address(name)) == name else None
        name.encode("idna").decode("idna")  # RFC 5890
        return name
    except ValueError:
        return None


def _serialised(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address as the URL standard writes it. Python 3.13 writes mapped ones otherwise."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return f"::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}" if mapped else str(address)


def is_loopback(name: str | None) -> bool:
    """Whether a host, as `host` returns it, is this machine."""
    if name is None or not _ADDRESS.fullmatch(name):
        return name == "localhost"
    return ipaddress.ip_address(name).is_loopback


@dataclass(frozen=True)
class Pattern:
    """Origins that differ in the first label of the host, such as `https://app--*.web.app`.

    `start` and `end` are the label's parts around the `*`, which stands for one or more of a-z,
    0-9 and `-`. `rest` is everything after the label.
    """

    start: str
    end: str
    rest: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a pattern that has no mistake."""
        label, dot, rest = text.removeprefix(_HTTPS).partition(".")
        start, _, end = label.partition("*")
        return cls(start, end, dot + rest)

    def matches(self, origin: str) -> bool:
        """Whether an origin is one of these."""
        label, dot, rest = origin.removeprefix(_HTTPS).partition(".")
        return (
            origin.startswith(_HTTPS)
            and dot + rest == self.rest
            and len(label) > len(self.start) + len(self.end)
            and label.startswith(self.start)
            and label.endswith(self.end)
            and _LABEL.fullmatch(label) is not None
        )


def pattern_mistake(text: str) -> str | None:
    """Return what is wrong with the text of a `Pattern`, or None."""
    label, _, rest = text.removeprefix(_HTTPS).partition(".")
    if text.count("*") != 1:
        return "may have only one *"
    if not text.startswith(_HTTPS):
        return "must begin with https:// to have a *"
    if "*" not in label:
        return "may have a * only in the first label of its host"
    if "." not in rest:
        return "must have two labels after the one with the *, such as web.app"
    if label == "*":
        return "would allow everybody's sites: write the name of yours beside the *"
    if not is_origin(text.replace("*", "a")) or not _LABEL.fullmatch(label.replace("*", "a")):
        return "is not written as browsers send it, such as https://app--*.web.app"
    return None


class Origins:
    """The allowed origins: exact ones and patterns. `*` alone allows any."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._any = "*" in allowed
        patterns = {each for each in allowed if "*" in each}
        self._patterns = tuple(map(Pattern.of, patterns - {"*"}))
        self._allowed = (allowed - patterns) | ({"null"} if self._any else set())

    def check(self, headers: Headers) -> str | None:
        """Return the request's origin, or None if it has none, such as a phone's.

        Raises:
            Refused: ORIGIN_NOT_ALLOWED.
        """
        origin = single(headers, "origin", Reason.ORIGIN_NOT_ALLOWED)
        if origin is None or origin in self._allowed:
            return origin
        if any(pattern.matches(origin) for pattern in self._patterns):
            return origin
        if not self._any:
            raise Refused(Reason.ORIGIN_NOT_ALLOWED)
        if len(origin) > MAX_ORIGIN or not is_origin(origin):
            raise Refused(Reason.ORIGIN_NOT_ALLOWED, Detail.NOT_AN_ORIGIN)
        return origin

    def grant(self, headers: Headers) -> dict[str, str]:
        """Return the CORS headers for the answer. An origin that is not allowed gets none."""
        with suppress(Refused):
            if origin := self.check(headers):
                expose = {"Access-Control-Expose-Headers": "Retry-After"}
                return {"Access-Control-Allow-Origin": origin, **expose}
        return {}
