"""Browser origins: which are allowed, and their CORS headers (Fetch standard)."""

import re
from contextlib import suppress

from pyreqwest.http import Url
from starlette.datastructures import Headers

from livetoken.refusals import Detail, Reason, Refused
from livetoken.request import single

_FORM = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?"
)

PREFLIGHT = {
    "Allow": "POST, OPTIONS",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": (
        "authorization, content-type, x-firebase-appcheck, firebase-instance-id-token"
    ),
    "Access-Control-Max-Age": "3600",
}


def is_origin(text: str) -> bool:
    """Whether a text is an origin as browsers serialise it (RFC 6454, section 6.2), except `null`.

    An app's own scheme, such as capacitor, is one too. The host and port must be written as the URL
    standard writes them: no default port, no 127.1.
    """
    try:
        return bool(_FORM.fullmatch(text)) and str(Url(text)) in (text, f"{text}/")
    except ValueError:
        return False


class Origins:
    """The allowed origins. `*` among them allows any."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._any = "*" in allowed
        self._allowed = (allowed - {"*"}) | ({"null"} if self._any else set())

    def check(self, headers: Headers) -> str | None:
        """Return the request's origin, or None if it has none, such as a phone's.

        Raises:
            Refused: ORIGIN_NOT_ALLOWED.
        """
        origin = single(headers, "origin", Reason.ORIGIN_NOT_ALLOWED)
        if origin is None or origin in self._allowed:
            return origin
        if not self._any:
            raise Refused(Reason.ORIGIN_NOT_ALLOWED)
        if not is_origin(origin):
            raise Refused(Reason.ORIGIN_NOT_ALLOWED, Detail.NOT_AN_ORIGIN)
        return origin

    def grant(self, headers: Headers) -> dict[str, str]:
        """Return the CORS headers for the answer. An origin that is not allowed gets none."""
        with suppress(Refused):
            if origin := self.check(headers):
                expose = {"Access-Control-Expose-Headers": "Retry-After"}
                return {"Access-Control-Allow-Origin": origin, **expose}
        return {}
