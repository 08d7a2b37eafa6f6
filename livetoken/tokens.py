"""Signed tokens: their form, header, signature and times.

Compact JSON Web Tokens, RS256 (RFC 7515, RFC 7519). `google.auth.jwt.decode` is not used: it takes
more algorithms, tokens without `kid` and `NaN` for a time, and puts whole tokens into its errors.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from google.auth.crypt import RSAVerifier

from livetoken.refusals import Detail, Reason, Refused

CLOCK_SKEW = 10
"""Seconds by which the issuer's clock and ours may differ."""

# Cloud Run replaces the signature if its IAM has checked the token before the function sees it:
# https://cloud.google.com/run/docs/troubleshooting
_REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")  # RFC 7515, 7.1


@dataclass(frozen=True)
class Token:
    """A well-formed token. The claims are untrusted until `verify` passes."""

    kid: str
    claims: Mapping[str, Any]
    _signed: str
    _signature: bytes
    _reason: Reason

    @classmethod
    def read(cls, text: str, reason: Reason) -> "Token":
        """Take a token apart.

        Raises:
            Refused: `reason`, like every refusal of this token.
        """
        match = _COMPACT.fullmatch(text)
        if match is None:
            raise Refused(reason, Detail.TOKEN_MALFORMED)
        if match[3] == _REMOVED:
            raise Refused(reason, Detail.SIGNATURE_REMOVED_BY_GOOGLE)
        try:
            header, claims = _object(match[1]), _object(match[2])
            signature = _bytes(match[3])
        except (ValueError, RecursionError):
            raise Refused(reason, Detail.TOKEN_MALFORMED) from None
        kid = _key_id(header, reason)
        return cls(kid, claims, f"{match[1]}.{match[2]}", signature, reason)

    def verify(self, key: RSAVerifier) -> None:
        """Check the signature.

        Raises:
            Refused: this key did not sign the token.
        """
        if not key.verify(self._signed, self._signature):
            self.refuse(Detail.SIGNATURE)

    def check_started(self, now: float) -> None:
        """Check `iat` and `nbf` (RFC 7519, section 4.1).

        Raises:
            Refused: one of them is in the future, or there is no `iat`.
        """
        if self.past("iat", now) is None:
            self.refuse(Detail.ISSUED_AT)
        if "nbf" in self.claims and self.past("nbf", now) is None:
            self.refuse(Detail.NOT_BEFORE)

    def past(self, claim: str, now: float) -> int | None:
        """Return a claim that is a time in the past, in seconds since the epoch, or else None."""
        value = self.claims.get(claim)
        return value if _is_time(value) and value <= now + CLOCK_SKEW else None

    def has_expired(self, now: float) -> bool:
        """Whether `exp` is past.

        Raises:
            Refused: there is no such time.
        """
        exp = self.claims.get("exp")
        if not _is_time(exp):
            self.refuse(Detail.EXPIRY)
        return exp <= now - CLOCK_SKEW

    def subject(self, longest: int) -> str:
        """Return `sub`, which must be text of 1 to `longest` characters.

        Raises:
            Refused: it is not.
        """
        sub = self.claims.get("sub")
        if not isinstance(sub, str) or not 1 <= len(sub) <= longest or _has_surrogate(sub):
            self.refuse(Detail.SUBJECT)
        return sub

    def refuse(self, detail: Detail) -> NoReturn:
        """Raise the refusal of this token."""
        raise Refused(self._reason, detail)


def _key_id(header: Mapping[str, Any], reason: Reason) -> str:
    """Check a JOSE header and return its `kid`."""
    if header.get("alg") != "RS256":
        raise Refused(reason, Detail.ALGORITHM)
    if "crit" in header:  # RFC 7515, section 4.1.11: we understand no extension
        raise Refused(reason, Detail.CRITICAL_HEADER)
    if header.get("typ", "JWT") != "JWT":  # RFC 8725, section 3.11
        raise Refused(reason, Detail.TOKEN_TYPE)
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise Refused(reason, Detail.KEY_ID)
    return kid


def _object(segment: str) -> dict[str, Any]:
    value = json.loads(_bytes(segment).decode(), parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError
    return value


def _bytes(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _is_time(value: object) -> TypeGuard[int]:
    """Whether a value is a time as Google's issuers write it: whole seconds since the epoch."""
    return type(value) is int and value > 0


def _has_surrogate(text: str) -> bool:
    """Whether a text holds half a character, which JSON can express and UTF-8 cannot."""
    return any("\ud800" <= character <= "\udfff" for character in text)
