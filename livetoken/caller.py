"""A verified caller and the claims of their ID token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSING = object()
"""Stands for a claim that a token does not have. A claim may be `null`."""


@dataclass(frozen=True)
class Caller:
    """A verified caller. `issuer` and `sub` together identify one account.

    `claims` is the whole verified payload of the token. Its `email` identifies a person only if
    `email_verified` is true, and for Google accounts only if it ends in `@gmail.com` or comes with
    `hd` (https://developers.google.com/identity/gsi/web/guides/verify-google-id-token).
    `signed_in_ago` is in seconds; it is None if the token does not say.
    """

    issuer: str
    sub: str
    anonymous: bool
    claims: Mapping[str, Any]
    signed_in_ago: float | None

    def claim(self, path: tuple[str, ...]) -> Any:
        """Return a claim, or `MISSING`. Each name of the path goes one object deeper."""
        value: Any = self.claims
        for name in path:
            if not isinstance(value, dict) or name not in value:
                return MISSING
            value = value[name]
        return value
