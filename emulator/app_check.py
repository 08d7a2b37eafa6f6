"""Firebase App Check: signs tokens, serves its keys, and tells whether a token was used before.

Formats: "Verify App Check tokens from a custom backend" (Firebase), and the REST reference of
`projects.verifyAppCheckToken` (v1beta), which answers 403 for every invalid token, used or not.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from emulator import fields, jwt
from emulator.faults import SECRET, google_error, hang, reset
from emulator.issuer import SigningKey, signing_key

LIFE = 3600  # seconds that a token is valid


@dataclass
class Check:
    """One request of the used-once check."""

    token: str | None
    """The App Check token in its body, or None."""
    authorization: str | None
    """Its `Authorization` header, unchanged."""
    status: int | None = None
    """The status of the answer; None before there is one."""


@dataclass
class AppCheck:
    """The service that signs App Check tokens and counts their uses."""

    project: str = "demo-livetoken"
    project_number: str = "123456789012"
    access_tokens: set[str] = field(default_factory=set)
    """The access tokens that may run the used-once check; `emulator.metadata` adds to this set."""
    max_age: int = 3600
    """Seconds in the `Cache-Control` of the keys."""
    jwks_extra: list[dict[str, Any]] = field(default_factory=list)
    """More keys, served before the real ones."""
    key_fault: int | str | None = None
    """How the keys fail: "html", "json", "slow", "huge", or an HTTP status."""
    key_delay: float = 30.0
    """Seconds that a "slow" answer takes."""
    key_fetches: int = 0
    """How many times the keys were requested."""
    verdict_fault: int | str | None = None
    """How the check fails: "html", "list", "badverdict", "hang", "reset", or an HTTP status.
    A failed check does not use the token."""
    verdict_delay: float = 0.0
    """Seconds between the check and its answer. A caller that disconnects has used the token."""
    checks: list[Check] = field(default_factory=list)
    """Every request of the used-once check, in order of arrival."""
    clock: Callable[[], float] = time.time
    """The current time in Unix seconds, for the times in tokens."""
    keys: list[SigningKey] = field(default_factory=lambda: [signing_key()])
    """The served keys; the last one signs."""
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        self._used: set[str] = set()
        self.app = Starlette(
            routes=[
                Route("/token", self._token),
                Route("/v1/jwks", self._jwks),
                Route(
                    "/v1beta/projects/{project}:verifyAppCheckToken", self._check, methods=["POST"]
                ),
            ]
        )

    @property
    def issuer(self) -> str:
        """The `iss` of a token."""
        return f"https://firebaseappcheck.googleapis.com/{self.project_number}"

    @property
    def app_id(self) -> str:
        """The `sub` of a token."""
        return f"1:{self.project_number}:web:0123456789abcdef"

    @property
    def kid(self) -> str:
        """The id of the signing key."""
        return self.keys[-1].kid

    def token(self, **claims: Any) -> str:
        """A fresh, unused token.

        Args:
            claims: replace the usual ones; a value of `...` removes the claim.
        """
        return self.sign(self.claims(**claims))

    def claims(self, **claims: Any) -> dict[str, Any]:
        """The claims of a new token; the arguments are those of `token`."""
        now = int(self.clock())
        return {
            "iss": self.issuer,
            "aud": [f"projects/{self.project_number}", f"projects/{self.project}"],
            "sub": self.app_id,
            "iat": now,
            "exp": now + LIFE,
            "jti": secrets.token_urlsafe(32),
            **claims,
        }

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        header: Mapping[str, Any] | None = None,
        key: rsa.RSAPrivateKey | None = None,
    ) -> str:
        """Sign these claims. In `claims` and `header`, a value of `...` removes the entry.

        Args:
            key: signs instead of the service's key, with the service's `kid`.
        """
        head = {"alg": "RS256", "kid": self.kid, "typ": "JWT", **(header or {})}
        return self.sign_raw(jwt.as_json(head), jwt.as_json(claims), key=key)

    def sign_raw(
        self,
        header: bytes,
        payload: bytes,
        signature: bytes | None = None,
        *,
        key: rsa.RSAPrivateKey | None = None,
    ) -> str:
        """A token of exactly these bytes, with a valid signature unless one is given."""
        return jwt.token(header, payload, key or self.keys[-1].private, signature)

    def rotate(self) -> None:
        """Sign with a new key from now on; the old one is still served."""
        self.keys.append(signing_key())

    def drop_old(self) -> None:
        """Stop serving all keys except the signing one."""
        del self.keys[:-1]

    async def _token(self, _: Request) -> Response:
        """Serve a token. The real service attests the app first."""
        return PlainTextResponse(self.token(), headers={"Cache-Control": "no-store"})

    async def _jwks(self, _: Request) -> Response:
        self.key_fetches += 1
        if self.key_fault == "slow":
            await asyncio.sleep(self.key_delay)
        elif self.key_fault is not None:
            return _faulted_keys(self.key_fault, self.keys)
        served = [jwt.jwk(key.private.public_key(), kid=key.kid) for key in self.keys]
        headers = {"Cache-Control": f"public, max-age={self.max_age}"}
        return JSONResponse({"keys": [*self.jwks_extra, *served]}, headers=headers)

    async def _check(self, request: Request) -> Response:
        token = _token_in(await request.body())
        text = token if isinstance(token, str) else None
        check = Check(text, request.headers.get("authorization"))
        self.checks.append(check)
        match self.verdict_fault:
            case "hang":
                return await hang(request)
            case "reset":
                return await reset(request)
            case None:
                answer = self._verdict(token, check.authorization, request.path_params["project"])
            case fault:
                answer = _faulted_verdict(fault)
        await asyncio.sleep(self.verdict_delay)
        check.status = answer.status_code
        return answer

    def _verdict(self, token: str | Response, authorization: str | None, project: str) -> Response:
        scheme, _, access_token = (authorization or "").partition(" ")
        if scheme != "Bearer" or access_token not in self.access_tokens:
            return google_error(401, "Request had invalid authentication credentials.")
        if isinstance(token, Response):
            return token
        if project not in (self.project, self.project_number):
            return google_error(403, "The caller does not have permission.")
        try:
            use = self._valid(token).get("jti")
        except (ValueError, RecursionError, InvalidSignature):
            return google_error(403, "App Check token is invalid.")
        if not isinstance(use, str):
            return google_error(400, "App Check token is of an unsupported provider.")
        if use in self._used:
            return JSONResponse({"alreadyConsumed": True})
        self._used.add(use)
        return JSONResponse({})

    def _valid(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that was signed here and has not expired.

        Raises ValueError, RecursionError or InvalidSignature.
        """
        head, payload, signature = token.split(".")
        header, claims = (json.loads(jwt.from_base64url(part)) for part in (head, payload))
        if not isinstance(header, dict) or not isinstance(claims, dict):
            raise ValueError("not a token")
        signers = [key for key in self.keys if key.kid == header.get("kid")]
        if header.get("alg") != "RS256" or not signers:
            raise ValueError("unknown key")
        signers[0].private.public_key().verify(
            jwt.from_base64url(signature),
            f"{head}.{payload}".encode(),
            padding.PKCS1v15(),
            hashes.SHA256(),
        )
        audience, end = claims.get("aud"), claims.get("exp")
        if not isinstance(audience, list) or f"projects/{self.project_number}" not in audience:
            raise ValueError("for another project")
        if claims.get("iss") != self.issuer:
            raise ValueError("from another issuer")
        if not isinstance(end, int) or end <= self.clock():
            raise ValueError("expired")
        return claims


def _token_in(body: bytes) -> str | Response:
    """The App Check token in a request, or the error for a request without one."""
    try:
        message = fields.read(fields.parse(body), {"appCheckToken": fields.STRING}, "request")
    except fields.Invalid as error:
        return google_error(400, str(error))
    token: str = message.get("appCheckToken", "")
    return token or google_error(400, "An App Check token is required.")


def _faulted_keys(fault: int | str, keys: list[SigningKey]) -> Response:
    match fault:
        case int():
            return PlainTextResponse("the keys are unavailable\n", fault)
        case "html":
            return _html()
        case "json":
            return JSONResponse({key.kid: key.pem for key in keys})
        case "huge":
            return StreamingResponse(_endless(), media_type="application/json")
    return PlainTextResponse(f"unknown fault {fault}\n", 501)


async def _endless() -> AsyncIterator[bytes]:
    yield b'{"keys": [{"n": "'
    while True:
        yield b"a" * 65_536
        await asyncio.sleep(0)


def _faulted_verdict(fault: int | str) -> Response:
    match fault:
        case int():
            return google_error(fault, f"{SECRET}: the check is unavailable")
        case "html":
            return _html()
        case "list":
            return JSONResponse([{}])
        case "badverdict":
            return JSONResponse({"alreadyConsumed": "no"})
    return google_error(501, f"The stand-in has no fault {fault}.")


def _html() -> Response:
    return Response(f"<html><body>{SECRET}</body></html>", media_type="text/html")
