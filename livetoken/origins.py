"""Browser origins: which are allowed, and the CORS headers that say so (Fetch standard)."""

import re

from starlette.datastructures import Headers

from livetoken.headers import single
from livetoken.refusals import Detail, Reason, Refused

ORIGIN = re.compile(
    r"(?!https://.*:443$)(?!http://.*:80$)"
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?"
)
"""An origin as browsers serialise it (RFC 6454, section 6.2); `null` is none."""

PREFLIGHT = {
    "Allow": "POST, OPTIONS",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": (
        "authorization, content-type, x-firebase-appcheck, firebase-instance-id-token"
    ),
    "Access-Control-Max-Age": "3600",
}


class Origins:
    """The allowed origins. `*` among them allows any."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._any = "*" in allowed

    def admit(self, headers: Headers) -> str | None:
        """Return the request's origin, or None where it has none, such as a phone's.

        Raises:
            Refused: ORIGIN_NOT_ALLOWED.
        """
        origin = single(headers, "origin", Reason.ORIGIN_NOT_ALLOWED)
        if origin is None or origin in self._allowed:
            return origin
        if not self._any:
            raise Refused(Reason.ORIGIN_NOT_ALLOWED)
        if origin != "null" and not ORIGIN.fullmatch(origin):
            raise Refused(Reason.ORIGIN_NOT_ALLOWED, Detail.NOT_AN_ORIGIN)
        return origin

    def grant(self, headers: Headers) -> dict[str, str]:
        """Return the CORS headers of this request's answer: none for an origin not allowed."""
        try:
            origin = self.admit(headers)
        except Refused:
            return {}
        if origin is None:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Retry-After",
        }
