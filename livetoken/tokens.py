"""Signed tokens: their form, header, signature, claims and times.

Compact JSON Web Tokens, RS256 (RFC 7515, RFC 7519). The claims are not parsed before the signature
is verified. `google.auth.jwt.decode` is not used: it takes more algorithms, tokens without `kid`
and `NaN` for a time, and puts whole tokens into its errors.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from google.auth.crypt import RSAVerifier

from livetoken.refusals import Detail, Reason, Refused

CLOCK_SKEW = 10
"""Seconds by which the issuer's clock and ours may differ."""

MAX_HEADER = 1024
"""Characters of a header's segment. Google's have under 150. A longer one is not parsed."""

# Cloud Run replaces the signature if its IAM has checked the token before the function sees it:
# https://cloud.google.com/run/docs/troubleshooting
_REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
# RFC 7515, 7.1. The signature of an unsigned token is empty (RFC 7519, 6.1).
_COMPACT = re.compile(r"([\w-]++)\.([\w-]++)\.([\w-]*+)", re.ASCII)
# They change how the payload is read (RFC 7515, 4.1.10 and 4.1.11; RFC 7516, 4.1; RFC 7797, 3).
_EXTENSIONS = frozenset({"crit", "b64", "zip", "enc", "cty"})


@dataclass(frozen=True)
class SignedToken:
    """A well-formed token whose signature is not verified yet. It has no claims until then.

    `kid` is the id of the key that it says signed it.
    """

    kid: str
    _signed: str
    _payload: str
    _signature: bytes
    _reason: Reason

    @classmethod
    def read(cls, text: str, reason: Reason) -> "SignedToken":
        """Take a token apart, and check its header.

        Raises:
            Refused: `reason`, like every refusal of this token.
        """
        match = _COMPACT.fullmatch(text)
        if match is None or len(match[1]) > MAX_HEADER:
            raise Refused(reason, Detail.TOKEN_MALFORMED)
        if match[3] == _REMOVED:
            raise Refused(reason, Detail.SIGNATURE_REMOVED_BY_GOOGLE)
        try:
            header, signature = _object(match[1]), decode(match[3])
        except (ValueError, RecursionError):
            raise Refused(reason, Detail.TOKEN_MALFORMED) from None
        kid = _key_id(header, reason)
        return cls(kid, text[: match.end(2)], match[2], signature, reason)

    def verify(self, keys: Iterable[RSAVerifier]) -> "Token":
        """Check the signature, and only then read the claims.

        Raises:
            Refused: none of these keys signed the token, or its claims are not a JSON object.
        """
        signers = tuple(key for key in keys if key.verify(self._signed, self._signature))
        if not signers:
            raise Refused(self._reason, Detail.SIGNATURE)
        try:
            return Token(_object(self._payload), signers, self._reason)
        except (ValueError, RecursionError):
            raise Refused(self._reason, Detail.TOKEN_MALFORMED) from None


@dataclass(frozen=True)
class Token:
    """A token whose signature was verified with each of `keys`."""

    claims: Mapping[str, Any]
    keys: tuple[RSAVerifier, ...]
    _reason: Reason

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
        return self.text(self.claims.get("sub"), longest, Detail.SUBJECT)

    def text(self, value: object, longest: int, detail: Detail) -> str:
        """Return a value of the claims, which must be text of 1 to `longest` characters.

        Raises:
            Refused: it is not.
        """
        if not isinstance(value, str) or not 1 <= len(value) <= longest or _has_surrogate(value):
            self.refuse(detail)
        return value

    def refuse(self, detail: Detail) -> NoReturn:
        """Raise the refusal of this token."""
        raise Refused(self._reason, detail)


def _key_id(header: Mapping[str, Any], reason: Reason) -> str:
    """Check a JOSE header and return its `kid`."""
    if header.get("alg") != "RS256":
        raise Refused(reason, Detail.ALGORITHM)
    if not _EXTENSIONS.isdisjoint(header):
        raise Refused(reason, Detail.CRITICAL_HEADER)
    if header.get("typ", "JWT") != "JWT":  # RFC 8725, section 3.11
        raise Refused(reason, Detail.TOKEN_TYPE)
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise Refused(reason, Detail.KEY_ID)
    return kid


def _object(segment: str) -> dict[str, Any]:
    value = _DECODER.decode(decode(segment).decode())
    if not isinstance(value, dict):
        raise ValueError
    return value


def decode(segment: str) -> bytes:
    """Decode base64url (RFC 7515, section 2), of which each value has one spelling.

    Raises:
        ValueError: it has another character, or bits that are left over and not zero.
    """
    data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=") != segment.encode():
        raise ValueError
    return data


def _is_time(value: object) -> TypeGuard[int]:
    """Whether a value is a time as Google's issuers write it: whole seconds since the epoch."""
    return type(value) is int and value > 0


def _has_surrogate(text: str) -> bool:
    """Whether a text holds half a character, which JSON can express and UTF-8 cannot."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object. A name that occurs twice is an error (RFC 7515, section 4; 7519, 4)."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)
