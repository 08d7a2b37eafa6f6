"""Who asks: Firebase and Google ID tokens, verified.

The signature is google-auth's `RSAVerifier` on keys of our own cache; `google.auth.jwt.decode`
around it is not used, because it takes more algorithms, tokens without `kid`, `NaN` for a time, and
puts whole tokens into its errors.
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from livetoken.keys import KeySet
from livetoken.refusals import Detail, Reason, Refused

CLOCK_SKEW = 10
"""Seconds that the issuer's clock and ours may differ."""

FIREBASE_ISSUER = "https://securetoken.google.com/"
GOOGLE_ISSUERS = ("https://accounts.google.com", "accounts.google.com")

# https://cloud.google.com/run/docs/troubleshooting: what Cloud Run leaves of a token's signature
# where IAM has checked the token before the function saw it.
_REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")  # RFC 7515, 7.1
_MAX_SUBJECT = 255  # OpenID Connect Core, section 2
_MAX_FIREBASE_SUBJECT = 128


@dataclass(frozen=True)
class Caller:
    """A verified caller: `issuer` and `sub` together name one person for good.

    `claims` is the token's whole verified payload. An `email` among them says who somebody is only
    with `email_verified`, and for Google accounts only where it ends in `@gmail.com` or comes with
    `hd` (https://developers.google.com/identity/gsi/web/guides/verify-google-id-token).
    """

    issuer: str
    sub: str
    anonymous: bool
    claims: Mapping[str, Any]


@dataclass(frozen=True)
class Issuer:
    """Whose tokens are accepted for whom: the keys of one issuer check the tokens of no other.

    `name` is the same for every spelling of its `iss`.
    """

    name: str
    audiences: frozenset[str]
    keys: KeySet
    firebase: bool


class Callers:
    """Verifies ID tokens.

    Args:
        issuers: by the exact `iss` of their tokens.
        now: seconds since the epoch.
    """

    def __init__(
        self, issuers: Mapping[str, Issuer], *, now: Callable[[], float] = time.time
    ) -> None:
        self._issuers = issuers
        self._now = now

    async def identify(self, token: str) -> Caller:
        """Verify an ID token (RFC 7519, section 7.2; Firebase's and Google's pages on verifying).

        Raises:
            Refused: INVALID_ID_TOKEN, ID_TOKEN_EXPIRED or KEYS_UNAVAILABLE.
        """
        match = _COMPACT.fullmatch(token)
        if match is None:
            _invalid(Detail.TOKEN_MALFORMED)
        if match[3] == _REMOVED:
            _invalid(Detail.SIGNATURE_REMOVED_BY_GOOGLE)
        kid = _key_id(_json_object(match[1]))
        claims = _json_object(match[2])
        iss = claims.get("iss")
        issuer = self._issuers.get(iss) if isinstance(iss, str) else None
        if issuer is None:
            _invalid(Detail.ISSUER)
        key = await issuer.keys.key(kid)
        if not key.verify(f"{match[1]}.{match[2]}", _bytes(match[3])):
            _invalid(Detail.SIGNATURE)
        return self._caller(issuer, claims)

    def _caller(self, issuer: Issuer, claims: Mapping[str, Any]) -> Caller:
        now = self._now()
        aud = claims.get("aud")
        if not isinstance(aud, str) or aud not in issuer.audiences:
            _invalid(Detail.AUDIENCE)
        if not _is_past(claims.get("iat"), now):
            _invalid(Detail.ISSUED_AT)
        if "nbf" in claims and not _is_past(claims["nbf"], now):
            _invalid(Detail.NOT_BEFORE)
        if issuer.firebase and not _is_past(claims.get("auth_time"), now):
            _invalid(Detail.AUTH_TIME)
        azp = claims.get("azp", aud)
        if not issuer.firebase and azp != aud and not _is_client_id(azp):
            _invalid(Detail.AUTHORIZED_PARTY)
        sub = claims.get("sub")
        longest = _MAX_FIREBASE_SUBJECT if issuer.firebase else _MAX_SUBJECT
        if not isinstance(sub, str) or not 1 <= len(sub) <= longest or _has_surrogate(sub):
            _invalid(Detail.SUBJECT)
        anonymous = issuer.firebase and _sign_in_provider(claims) == "anonymous"
        exp = claims.get("exp")
        if not _is_time(exp):
            _invalid(Detail.EXPIRY)
        if exp <= now - CLOCK_SKEW:
            raise Refused(Reason.ID_TOKEN_EXPIRED)
        return Caller(issuer.name, sub, anonymous, claims)


def issuers(
    firebase_projects: Iterable[str],
    firebase_keys: KeySet,
    google_client_ids: Iterable[str],
    google_keys: KeySet,
) -> dict[str, Issuer]:
    """Return the accepted issuers by the exact `iss` of their tokens."""
    accepted = {
        issuer: Issuer(issuer, frozenset({project}), firebase_keys, firebase=True)
        for project, issuer in ((each, FIREBASE_ISSUER + each) for each in firebase_projects)
    }
    if audiences := frozenset(google_client_ids):
        google = Issuer(GOOGLE_ISSUERS[0], audiences, google_keys, firebase=False)
        accepted |= dict.fromkeys(GOOGLE_ISSUERS, google)
    return accepted


def _key_id(header: Mapping[str, Any]) -> str:
    """Check a JOSE header and return its `kid`."""
    if header.get("alg") != "RS256":
        _invalid(Detail.ALGORITHM)
    if "crit" in header:  # RFC 7515, section 4.1.11: no extension is understood here
        _invalid(Detail.CRITICAL_HEADER)
    if header.get("typ", "JWT") != "JWT":  # RFC 8725, section 3.11
        _invalid(Detail.TOKEN_TYPE)
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        _invalid(Detail.KEY_ID)
    return kid


def _sign_in_provider(claims: Mapping[str, Any]) -> str:
    """Return how a Firebase user signed in; a token that hides it is none of Firebase's."""
    firebase = claims.get("firebase")
    provider = firebase.get("sign_in_provider") if isinstance(firebase, dict) else None
    if not isinstance(provider, str):
        _invalid(Detail.SIGN_IN_PROVIDER)
    return provider


def _json_object(segment: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(segment).decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        _invalid(Detail.TOKEN_MALFORMED)
    if not isinstance(value, dict):
        _invalid(Detail.TOKEN_MALFORMED)
    return value


def _bytes(segment: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        _invalid(Detail.TOKEN_MALFORMED)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _is_client_id(azp: object) -> bool:
    """Whether a Google token was made for somebody who signed in at an OAuth client.

    Any service account of anybody's project can have tokens made for any audience (IAM Credentials,
    generateIdToken); its own number is then the authorized party.
    """
    return isinstance(azp, str) and azp.endswith(".apps.googleusercontent.com")


def _is_time(value: object) -> TypeGuard[int]:
    """Whether a value is a time as Google's issuers write it: whole seconds since the epoch."""
    return type(value) is int and value > 0


def _is_past(value: object, now: float) -> bool:
    return _is_time(value) and value <= now + CLOCK_SKEW


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _invalid(detail: Detail) -> NoReturn:
    raise Refused(Reason.INVALID_ID_TOKEN, detail)
