"""A verified caller and the claims of their ID token."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

MISSING = object()
"""Stands for a claim that a token does not have. A claim may be `null`."""


class Account(NamedTuple):
    """One account. Two accounts of one `sub` differ in the issuer or in the tenant."""

    issuer: str
    tenant: str | None
    sub: str

    @property
    def text(self) -> str:
        """The account as text, different for every account. It may hold any character.

        No issuer begins with a bracket or has a line feed, so that no text without a tenant is also
        one with a tenant. Counters outlive an upgrade, so that the first form must stay.
        """
        if self.tenant is None:
            return f"{self.issuer}\n{self.sub}"
        return json.dumps(self)


def loggable(identifier: str) -> str:
    """Return an id as the log shows it: one with an `@` as its hash.

    A Firebase project can use emails as user ids.
    """
    if "@" not in identifier:
        return identifier
    return f"sha256:{hashlib.sha256(identifier.encode()).hexdigest()}"


@dataclass(frozen=True)
class Caller:
    """A verified caller.

    `tenant` is the tenant of Identity Platform that the account belongs to, or None. Only Firebase
    accounts have one.

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
    tenant: str | None = None

    @property
    def account(self) -> Account:
        """The caller's account. What is counted or logged for each caller goes by it."""
        return Account(self.issuer, self.tenant, self.sub)

    def claim(self, path: tuple[str, ...]) -> Any:
        """Return a claim, or `MISSING`. Each name of the path goes one object deeper."""
        value: Any = self.claims
        for name in path:
            if not isinstance(value, dict) or name not in value:
                return MISSING
            value = value[name]
        return value
