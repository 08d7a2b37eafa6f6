"""Browser origins: which are allowed, and their CORS headers (Fetch standard)."""

import re
from contextlib import suppress

from starlette.datastructures import Headers

from livetoken.refusals import Detail, Reason, Refused
from livetoken.request import single

ORIGIN = re.compile(
    r"(?!https://.*:443$)(?!http://.*:80$)"
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?"
)
"""An origin as browsers serialise it (RFC 6454, section 6.2), except `null`."""

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

    def check(self, headers: Headers) -> str | None:
        """Return the request's origin, or None if it has none, such as a phone's.

        Raises:
            Refused: ORIGIN_NOT_ALLOWED.
        """
        origin = single(headers, "origin", Reason.ORIGIN_NOT_ALLOWED)
        if origin is None or origin in self._allowed:
            return origin
        if "*" not in self._allowed:
            raise Refused(Reason.ORIGIN_NOT_ALLOWED)
        if origin != "null" and not ORIGIN.fullmatch(origin):
            raise Refused(Reason.ORIGIN_NOT_ALLOWED, Detail.NOT_AN_ORIGIN)
        return origin

    def grant(self, headers: Headers) -> dict[str, str]:
        """Return the CORS headers for the answer. An origin that is not allowed gets none."""
        with suppress(Refused):
            if origin := self.check(headers):
                expose = {"Access-Control-Expose-Headers": "Retry-After"}
                return {"Access-Control-Allow-Origin": origin, **expose}
        return {}
