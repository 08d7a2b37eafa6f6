"""Who asks: Firebase and Google ID tokens, verified."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from livetoken.jws import Jws, is_past
from livetoken.keys import KeySet
from livetoken.refusals import Detail, Reason, Refused

FIREBASE_ISSUER = "https://securetoken.google.com/"
GOOGLE_ISSUERS = ("https://accounts.google.com", "accounts.google.com")

_MAX_SUBJECT = 255  # OpenID Connect Core, section 2
_MAX_FIREBASE_SUBJECT = 128


@dataclass(frozen=True)
class Caller:
    """A verified caller: `issuer` and `sub` together name one person for good.

    `claims` is the token's whole verified payload. An `email` among them says who somebody is only
    with `email_verified`, and for Google accounts only where it ends in `@gmail.com` or comes with
    `hd` (https://developers.google.com/identity/gsi/web/guides/verify-google-id-token).
    `signed_in_ago` is in seconds, None where the token does not say.
    """

    issuer: str
    sub: str
    anonymous: bool
    claims: Mapping[str, Any]
    signed_in_ago: float | None


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
        jws = Jws.read(token, Reason.INVALID_ID_TOKEN)
        iss = jws.claims.get("iss")
        issuer = self._issuers.get(iss) if isinstance(iss, str) else None
        if issuer is None:
            jws.refuse(Detail.ISSUER)
        jws.verify(await issuer.keys.key(jws.kid))
        return self._caller(issuer, jws)

    def _caller(self, issuer: Issuer, jws: Jws) -> Caller:
        now, claims = self._now(), jws.claims
        aud = claims.get("aud")
        if not isinstance(aud, str) or aud not in issuer.audiences:
            jws.refuse(Detail.AUDIENCE)
        jws.check_started(now)
        auth_time = claims.get("auth_time")
        signed_in_ago = now - auth_time if is_past(auth_time, now) else None
        if issuer.firebase and signed_in_ago is None:
            jws.refuse(Detail.AUTH_TIME)
        azp = claims.get("azp", aud)
        if not issuer.firebase and azp != aud and not _is_client_id(azp):
            jws.refuse(Detail.AUTHORIZED_PARTY)
        sub = jws.subject(_MAX_FIREBASE_SUBJECT if issuer.firebase else _MAX_SUBJECT)
        anonymous = issuer.firebase and _sign_in_provider(jws) == "anonymous"
        if jws.has_expired(now):
            raise Refused(Reason.ID_TOKEN_EXPIRED)
        return Caller(issuer.name, sub, anonymous, claims, signed_in_ago)


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


def _sign_in_provider(jws: Jws) -> str:
    """Return how a Firebase user signed in; a token that hides it is none of Firebase's."""
    firebase = jws.claims.get("firebase")
    provider = firebase.get("sign_in_provider") if isinstance(firebase, dict) else None
    if not isinstance(provider, str):
        jws.refuse(Detail.SIGN_IN_PROVIDER)
    return provider


def _is_client_id(azp: object) -> bool:
    """Whether a Google token was made for somebody who signed in at an OAuth client.

    Any service account of anybody's project can have tokens made for any audience (IAM Credentials,
    generateIdToken); its own number is then the authorized party.
    """
    return isinstance(azp, str) and azp.endswith(".apps.googleusercontent.com")
