"""A second and third opinion: google-auth and PyJWT refuse no token that our verifier accepts."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import jwt
from forge import Forge
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2 import id_token
from tokens import TOKENS

from emulator.app_check import AppCheck
from emulator.issuer import Issuer
from emulator.people import Kind
from emulator.server import Server
from livetoken import fetch, keys
from livetoken.callers import Callers, issuers
from livetoken.keys import KeySet
from livetoken.refusals import Refused
from livetoken.tokens import CLOCK_SKEW

Record = Callable[[str, object], None]

CLAIMS = ("iss", "aud", "azp", "sub", "iat", "nbf", "exp", "auth_time", "firebase", "email")
VALUES: tuple[Any, ...] = (
    *(..., None, True, False, 0, 1, -1, 1.5, 10**10, 10**400, float("inf"), float("nan")),
    *("", "0", "ada", "\ud800", "\0", [], [1], ["ada"], {}, {"sign_in_provider": "custom"}),
)
"""What a claim that we read may be, in a genuine token."""


@dataclass(frozen=True)
class Opinions:
    """Three verifiers with the keys of one issuer. Each raises an error if it refuses a token."""

    issuer: Issuer
    url: str

    async def of(self, tokens: Iterable[str]) -> list[tuple[str, str | None, str | None]]:
        """The claims of each token that we accept, and why google-auth and PyJWT refuse it."""
        project, client = self.audiences
        found = []
        with closing(fetch.Http()) as http:
            firebase, google = (
                KeySet(http, f"{self.url}/keys/{kind}", keys.certificates)
                for kind in ("firebase", "google")
            )
            callers = Callers(issuers([project], firebase, [client], google))
            for token in tokens:
                with suppress(Refused):
                    await callers.identify(token)
                    claims = str(jwt.decode(token, options={"verify_signature": False}))
                    found.append((claims, _error(self.google, token), _error(self.pyjwt, token)))
        return found

    def google(self, token: str) -> None:
        id_token.verify_token(
            token,
            Request(),
            audience=self.audiences,
            certs_url=f"{self.url}/keys/{_kind(token)}",
            clock_skew_in_seconds=CLOCK_SKEW,
        )

    def pyjwt(self, token: str) -> None:
        kid = jwt.get_unverified_header(token)["kid"]
        (key,) = (key for key in self.issuer.keys[_kind(token)] if key.kid == kid)
        jwt.decode(
            token,
            key.private.public_key(),
            algorithms=["RS256"],
            audience=self.audiences,
            leeway=CLOCK_SKEW,
            options={"require": ["iss", "aud", "sub", "iat", "exp"]},
        )

    @property
    def audiences(self) -> list[str]:
        return [self.issuer.firebase_project, self.issuer.google_client_id]


def _kind(token: str) -> Kind:
    iss = jwt.decode(token, options={"verify_signature": False})["iss"]
    return "google" if "accounts.google.com" in iss else "firebase"


def _error(verify: Callable[[str], None], token: str) -> str | None:
    try:
        verify(token)
    except (GoogleAuthError, jwt.PyJWTError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def test_what_we_accept_others_accept(record_property: Record) -> None:
    issuer = Issuer()
    forge = Forge(issuer, AppCheck())
    corpus = (attack.make(forge) for attack in TOKENS)
    changed = (
        forge.genuine(person, **{claim: value})
        for person in ("ada", "grace")
        for claim in CLAIMS
        for value in VALUES
    )
    with Server(issuer.app) as server:
        found = asyncio.run(Opinions(issuer, server.url).of(chain(corpus, changed)))
    record_property("family", "second opinion")
    record_property("answer", f"accepted by all three: {len(found)}")
    assert len(found) > sum(attack.expected is None for attack in TOKENS) > 30
    assert [opinions for opinions in found if opinions[1:] != (None, None)] == []
