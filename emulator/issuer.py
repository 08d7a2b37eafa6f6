"""Signs ID tokens as Firebase and Google do, and serves the certificates that verify them.

Formats: "Verify ID tokens using a third-party JWT library" (Firebase) and "OpenID Connect, an ID
token's payload" (Google).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Scope

from emulator import jwt
from emulator.people import PEOPLE, Kind
from emulator.server import abort

LIFE = 3600  # seconds that an ID token is valid
BAD_PEM = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"


@dataclass(frozen=True)
class SigningKey:
    """A private key and the certificate of its public key."""

    private: rsa.RSAPrivateKey
    pem: str
    kid: str


@dataclass
class Issuer:
    """Issues both kinds of ID tokens."""

    firebase_project: str = "demo-livetoken"
    google_client_id: str = "1234567890-local.apps.googleusercontent.com"
    max_age: int = 3600
    """Seconds in the `Cache-Control` of the certificates."""
    age: int | None = None
    """Seconds in the `Age` header of the certificates, which caches between add."""
    key_fault: int | str | None = None
    """How the certificates fail: "html", "badpem", "json", "slow", "huge", "truncated",
    "reset", or an HTTP status."""
    key_delay: float = 30.0
    """Seconds that a "slow" answer takes."""
    fetches: int = 0
    """How many times the certificates were requested."""
    clock: Callable[[], float] = time.time
    """The current time in Unix seconds, for the times in tokens."""
    also: Callable[[], Mapping[str, str]] | None = None
    """Reads certificates to serve beside its own for Firebase. Raises OSError or ValueError."""
    keys: dict[Kind, list[SigningKey]] = field(init=False)
    """The served keys; the last one signs."""
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        self.keys = {"firebase": [signing_key()], "google": [signing_key()]}
        self.app = Starlette(
            routes=[
                Route("/keys/{kind}", self._certificates),
                Route("/token/{person}", self._token),
            ]
        )

    def id_token(self, person: str, **claims: Any) -> str:
        """A new ID token of a person in `emulator.people`.

        Args:
            person: their name.
            claims: replace theirs; a value of `...` removes the claim.
        """
        return self.sign(self.claims(person, **claims), kind=PEOPLE[person].kind)

    def claims(self, person: str, **claims: Any) -> dict[str, Any]:
        """The claims of a new token; the arguments are those of `id_token`."""
        someone = PEOPLE[person]
        now = int(self.clock())
        times: dict[str, Any] = {"iat": now, "exp": now + LIFE}
        if someone.kind == "firebase":
            issuer = f"https://securetoken.google.com/{self.firebase_project}"
            common = {"iss": issuer, "aud": self.firebase_project, "auth_time": now - 60}
        else:
            client = self.google_client_id
            common = {"iss": "https://accounts.google.com", "aud": client, "azp": client}
        return {**common, **times, **someone.claims, **claims}

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        kind: Kind = "firebase",
        header: Mapping[str, Any] | None = None,
        key: rsa.RSAPrivateKey | None = None,
    ) -> str:
        """Sign these claims. In `claims` and `header`, a value of `...` removes the entry.

        Args:
            key: signs instead of the issuer's key, with the issuer's `kid`.
        """
        head = {**self.header(kind), **(header or {})}
        return self.sign_raw(jwt.as_json(head), jwt.as_json(claims), kind, key=key)

    def header(self, kind: Kind) -> dict[str, Any]:
        """The header of a token."""
        return {"alg": "RS256", "kid": self.kid(kind), "typ": "JWT"}

    def sign_raw(
        self,
        header: bytes,
        payload: bytes,
        kind: Kind = "firebase",
        signature: bytes | None = None,
        *,
        key: rsa.RSAPrivateKey | None = None,
    ) -> str:
        """A token of exactly these bytes, with a valid signature unless one is given."""
        return jwt.token(header, payload, key or self.keys[kind][-1].private, signature)

    def kid(self, kind: Kind) -> str:
        """The id of the signing key."""
        return self.keys[kind][-1].kid

    def rotate(self, kind: Kind) -> None:
        """Sign with a new key from now on; the old certificates are still served."""
        self.keys[kind].append(signing_key())

    def drop_old(self, kind: Kind) -> None:
        """Stop serving all certificates except that of the signing key."""
        del self.keys[kind][:-1]

    async def _certificates(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in self.keys:
            return PlainTextResponse(f"keys: {', '.join(self.keys)}\n", 404)
        self.fetches += 1
        served = {key.kid: key.pem for key in self.keys[kind]}
        if kind == "firebase" and self.also is not None:
            try:
                served |= await asyncio.to_thread(self.also)
            except (OSError, ValueError) as error:
                return PlainTextResponse(f"Firebase's keys cannot be fetched: {error}\n", 503)
        fault = self.key_fault
        if fault == "slow":
            await asyncio.sleep(self.key_delay)
        elif fault is not None:
            return _faulted(fault, served, request)
        headers = {"Cache-Control": f"public, max-age={self.max_age}, must-revalidate"}
        if self.age is not None:
            headers["Age"] = str(self.age)
        return JSONResponse(served, headers=headers)

    async def _token(self, request: Request) -> Response:
        person = request.path_params["person"]
        if person not in PEOPLE:
            return PlainTextResponse(f"people: {', '.join(PEOPLE)}\n", 404)
        return PlainTextResponse(self.id_token(person), headers={"Cache-Control": "no-store"})


def certificates_at(url: str) -> Callable[[], Mapping[str, str]]:
    """A function that fetches `{kid: PEM certificate}`, such as Firebase's, from a URL.

    For TLS it trusts the authorities that are configured when `certificates_at` is called.
    """
    trusted = ssl.create_default_context()

    def fetch() -> Mapping[str, str]:
        with urllib.request.urlopen(url, timeout=5, context=trusted) as answer:
            certificates: dict[str, str] = json.load(answer)
            return certificates

    return fetch


def signing_key(bits: int = 2048) -> SigningKey:
    """A new RSA key with a self-signed certificate."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "livetoken local issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=16))
        .sign(private, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return SigningKey(private, pem.decode(), hashlib.sha1(pem).hexdigest())


def _faulted(fault: int | str, served: Mapping[str, str], request: Request) -> Response:
    match fault:
        case int():
            return PlainTextResponse("the certificates are unavailable\n", fault)
        case "html":
            return Response("<html><body>Sign in</body></html>", media_type="text/html")
        case "badpem":
            return JSONResponse(dict.fromkeys(served, BAD_PEM))
        case "json":
            return JSONResponse({"keys": [{"kid": kid} for kid in served]})
        case "huge":
            return StreamingResponse(_endless(), media_type="application/json")
        case "truncated":
            whole = json.dumps(served).encode()
            head = {"Content-Length": str(len(whole))}
            return StreamingResponse(_half(whole, request.scope), headers=head)
        case "reset":
            abort(request.scope)
            return Response(status_code=499)
    return PlainTextResponse(f"unknown fault {fault}\n", 501)


async def _endless() -> AsyncIterator[bytes]:
    yield b'{"'
    while True:
        yield b"a" * 65_536
        await asyncio.sleep(0)


async def _half(whole: bytes, scope: Scope) -> AsyncIterator[bytes]:
    """Half of a body; then the connection ends."""
    yield whole[: len(whole) // 2]
    await asyncio.sleep(0.02)
    abort(scope)
