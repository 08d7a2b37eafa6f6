"""Signed tokens of Google's issuers: compact, RS256, JSON claims (RFC 7515, RFC 7519).

`google.auth.jwt.decode` is not used, because it takes more algorithms, tokens without `kid`, `NaN`
for a time, and puts whole tokens into its errors.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from google.auth.crypt import RSAVerifier

from livetoken.refusals import Detail, Reason, Refused

CLOCK_SKEW = 10
"""Seconds that the issuer's clock and ours may differ."""

# https://cloud.google.com/run/docs/troubleshooting: what Cloud Run leaves of a token's signature
# where IAM has checked the token before the function saw it.
_REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")  # RFC 7515, 7.1


@dataclass(frozen=True)
class Jws:
    """A token that is well-formed. Its claims are nobody's word until `verify` has passed."""

    kid: str
    claims: Mapping[str, Any]
    _signed: str
    _signature: bytes
    _reason: Reason

    @classmethod
    def read(cls, token: str, reason: Reason) -> "Jws":
        """Take a token apart.

        Raises:
            Refused: `reason`, as every refusal of this token.
        """
        match = _COMPACT.fullmatch(token)
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
            Refused: it is not this key's.
        """
        if not key.verify(self._signed, self._signature):
            self.refuse(Detail.SIGNATURE)

    def check_started(self, now: float) -> None:
        """Check `iat` and `nbf` (RFC 7519, section 4.1).

        Raises:
            Refused: the token is of the future, or does not say when it was made.
        """
        if not is_past(self.claims.get("iat"), now):
            self.refuse(Detail.ISSUED_AT)
        if "nbf" in self.claims and not is_past(self.claims["nbf"], now):
            self.refuse(Detail.NOT_BEFORE)

    def has_expired(self, now: float) -> bool:
        """Whether `exp` has come.

        Raises:
            Refused: there is no such time.
        """
        exp = self.claims.get("exp")
        if not _is_time(exp):
            self.refuse(Detail.EXPIRY)
        return exp <= now - CLOCK_SKEW

    def subject(self, longest: int) -> str:
        """Return `sub`, 1 to `longest` characters.

        Raises:
            Refused: it is anything else.
        """
        sub = self.claims.get("sub")
        if not isinstance(sub, str) or not 1 <= len(sub) <= longest or has_surrogate(sub):
            self.refuse(Detail.SUBJECT)
        return sub

    def refuse(self, detail: Detail) -> NoReturn:
        """Raise the refusal of this token."""
        raise Refused(self._reason, detail)


def is_past(value: object, now: float) -> TypeGuard[int]:
    """Whether a claim is a time, and one that has come."""
    return _is_time(value) and value <= now + CLOCK_SKEW


def has_surrogate(text: str) -> bool:
    """Whether a text holds half a character, which JSON can say and UTF-8 cannot."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _key_id(header: Mapping[str, Any], reason: Reason) -> str:
    """Check a JOSE header and return its `kid`."""
    if header.get("alg") != "RS256":
        raise Refused(reason, Detail.ALGORITHM)
    if "crit" in header:  # RFC 7515, section 4.1.11: no extension is understood here
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
    try:
        return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error as error:
        raise ValueError from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _is_time(value: object) -> TypeGuard[int]:
    """Whether a value is a time as Google's issuers write it: whole seconds since the epoch."""
    return type(value) is int and value > 0
