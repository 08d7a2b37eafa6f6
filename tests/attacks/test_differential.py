"""A second and third opinion: google-auth and PyJWT refuse no token that our verifier accepts."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
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
class Verifiers:
    """Three verifiers with the keys of one issuer. Each raises an error if it refuses a token."""

    issuer: Issuer
    url: str

    async def ours(self, tokens: Iterable[str]) -> list[str]:
        """The tokens that livetoken accepts."""
        http, project, client = fetch.Http(), self.issuer.firebase_project, self.audiences[1]
        firebase, google = (
            KeySet(http, f"{self.url}/keys/{kind}", keys.certificates)
            for kind in ("firebase", "google")
        )
        callers = Callers(issuers([project], firebase, [client], google))
        accepted = []
        for token in tokens:
            try:
                await callers.identify(token)
            except Refused:
                continue
            accepted.append(token)
        return accepted

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


@pytest.fixture(scope="module")
def verifiers() -> Iterator[Verifiers]:
    issuer = Issuer()
    with Server(issuer.app) as server:
        yield Verifiers(issuer, server.url)


@pytest.fixture(scope="module")
def accepted(verifiers: Verifiers) -> list[str]:
    """Every token that we accept: of the corpus, and genuine ones with one claim changed."""
    forge = Forge(verifiers.issuer, AppCheck())
    changed = (
        forge.genuine(person, **{claim: value})
        for person in ("ada", "grace")
        for claim in CLAIMS
        for value in VALUES
    )
    tokens = [*(attack.make(forge) for attack in TOKENS), *changed]
    return asyncio.run(verifiers.ours(tokens))


def test_we_accept_some_tokens(accepted: list[str]) -> None:
    """Otherwise the other tests would show nothing."""
    assert len(accepted) > sum(attack.expected is None for attack in TOKENS) > 30


def test_google_auth_accepts_what_we_accept(
    verifiers: Verifiers, accepted: list[str], record_property: Record
) -> None:
    refused = _refused(verifiers.google, accepted, (GoogleAuthError, ValueError))
    record_property("family", "second opinion")
    record_property("answer", f"google-auth: {len(refused)} of {len(accepted)} refused")
    assert refused == []


def test_pyjwt_accepts_what_we_accept(
    verifiers: Verifiers, accepted: list[str], record_property: Record
) -> None:
    refused = _refused(verifiers.pyjwt, accepted, (jwt.PyJWTError, ValueError))
    record_property("family", "second opinion")
    record_property("answer", f"PyJWT: {len(refused)} of {len(accepted)} refused")
    assert refused == []


def _refused(
    verify: Callable[[str], None], tokens: list[str], refusal: tuple[type[Exception], ...]
) -> list[tuple[str, str]]:
    """The claims of the tokens that a verifier refuses, and why."""
    refused = []
    for token in tokens:
        try:
            verify(token)
        except refusal as error:
            refused.append(
                (str(jwt.decode(token, options={"verify_signature": False})), str(error))
            )
    return refused
