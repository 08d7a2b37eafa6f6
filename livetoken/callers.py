"""Who asks: ID tokens of Firebase and Google, and what each issuer's tokens must say."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from livetoken.caller import Caller
from livetoken.keys import KeySet, find
from livetoken.refusals import Detail, Reason, Refused
from livetoken.tokens import SignedToken, Token

FIREBASE_ISSUER = "https://securetoken.google.com/"
GOOGLE_ISSUERS = ("https://accounts.google.com", "accounts.google.com")

_MAX_SUBJECT = 255  # OpenID Connect Core, section 2
_MAX_FIREBASE_SUBJECT = 128
_MAX_TENANT = 64  # those of Identity Platform have under 30


@dataclass(frozen=True)
class Issuer:
    """An accepted issuer. Its keys check its own tokens and no others.

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
        self._key_sets = tuple({each.keys for each in issuers.values()})
        self._now = now

    async def identify(self, id_token: str) -> Caller:
        """Verify an ID token (RFC 7519, section 7.2, and the verification pages of both issuers).

        Raises:
            Refused: INVALID_ID_TOKEN, ID_TOKEN_EXPIRED or KEYS_UNAVAILABLE.
        """
        signed = SignedToken.read(id_token, Reason.INVALID_ID_TOKEN)
        keys = await find(self._key_sets, signed.kid)
        token = signed.verify(keys.values())
        iss = token.claims.get("iss")
        issuer = self._issuers.get(iss) if isinstance(iss, str) else None
        if issuer is None or keys.get(issuer.keys) not in token.keys:
            token.refuse(Detail.ISSUER)
        return self._caller(issuer, token)

    def _caller(self, issuer: Issuer, token: Token) -> Caller:
        now, claims = self._now(), token.claims
        aud = claims.get("aud")
        if not isinstance(aud, str) or aud not in issuer.audiences:
            token.refuse(Detail.AUDIENCE)
        token.check_started(now)
        signed_in_at = token.past("auth_time", now)
        if issuer.firebase and signed_in_at is None:
            token.refuse(Detail.AUTH_TIME)
        azp = claims.get("azp", aud)
        if not issuer.firebase and azp != aud and not _is_client_id(azp):
            token.refuse(Detail.AUTHORIZED_PARTY)
        sub = token.subject(_MAX_FIREBASE_SUBJECT if issuer.firebase else _MAX_SUBJECT)
        provider, tenant = _of_firebase(token) if issuer.firebase else (None, None)
        if token.has_expired(now):
            raise Refused(Reason.ID_TOKEN_EXPIRED)
        signed_in_ago = None if signed_in_at is None else now - signed_in_at
        anonymous = provider == "anonymous"
        return Caller(issuer.name, sub, anonymous, claims, signed_in_ago, tenant)


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


def _of_firebase(token: Token) -> tuple[str, str | None]:
    """Return how a Firebase user signed in, and in which tenant of Identity Platform, if in one.

    Firebase always sets the sign-in provider, so reject tokens without it.
    """
    firebase = token.claims.get("firebase")
    provider = firebase.get("sign_in_provider") if isinstance(firebase, dict) else None
    if not isinstance(firebase, dict) or not isinstance(provider, str):
        token.refuse(Detail.SIGN_IN_PROVIDER)
    if "tenant" not in firebase:
        return provider, None
    return provider, token.text(firebase["tenant"], _MAX_TENANT, Detail.TENANT)


def _is_client_id(azp: object) -> bool:
    """Whether a Google token was made for somebody who signed in at an OAuth client.

    Any service account of any project can have tokens made for any audience (IAM Credentials,
    generateIdToken). Its own number is then the authorized party.
    """
    return isinstance(azp, str) and azp.endswith(".apps.googleusercontent.com")
