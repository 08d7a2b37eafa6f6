"""What is fuzzed: each parser of bytes from outside, held to its contract.

A harness takes an input and returns whether the parser accepted it. It raises AssertionError if the
parser does not agree with the oracle, or raises anything but a `Refused` of its own reasons.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from functools import cache
from typing import TypeVar

import oracles
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from oracles import NOW
from starlette.datastructures import Headers

from emulator import jwt
from emulator.issuer import Issuer
from emulator.people import Kind
from emulator.server import Server
from livetoken import fetch, keys, request
from livetoken.callers import Callers, issuers
from livetoken.google_errors import GoogleError
from livetoken.keys import KeySet
from livetoken.origins import Origins
from livetoken.refusals import Reason, Refused
from livetoken.tokens import SignedToken

Found = TypeVar("Found")
MAX_DEPTH = 200
"""Brackets up to which a parser must accept what is right; more may be too deep for it."""
ALLOWED, PATTERN = "https://app.example.com", "https://app--*.web.app"


def headers(data: bytes) -> bool:
    """Fuzz the readers of headers. The input is one header a line."""
    lines = [line.partition(b":") for line in data.split(b"\n")]
    raw = [(name.strip().lower(), value.strip()) for name, _, value in lines]
    sent = Headers(raw=raw)
    values = [value.decode("latin-1") for name, value in raw if name == b"authorization"]
    credential = oracles.bearer(values)
    found = _refused_or(lambda: request.bearer(sent), Reason.NO_CREDENTIAL, Reason.INVALID_ID_TOKEN)
    assert found == credential
    values = [value.decode("latin-1") for name, value in raw if name == b"x-firebase-appcheck"]
    token = _refused_or(lambda: (request.app_check_token(sent),), Reason.APP_CHECK_FAILED)
    is_right = len(values) < 2 and all(len(value) <= 8192 for value in values)
    assert token == ((values[0] if values else None,) if is_right else None)
    return found is not None and token is not None


def origin(data: bytes) -> bool:
    """Fuzz the check of `Origin`, and the CORS headers of the answer."""
    sent = Headers(raw=[(b"origin", data)])
    text = data.decode("latin-1")
    for allowed, right, knows_all in (
        (frozenset({ALLOWED}), text == ALLOWED, True),
        (frozenset({ALLOWED, PATTERN}), text == ALLOWED or oracles.fits(text), True),
        (frozenset({"*", ALLOWED}), text == "null" or oracles.is_origin(text), False),
    ):
        origins = Origins(allowed)
        found = _refused_or(lambda it=origins: it.check(sent), Reason.ORIGIN_NOT_ALLOWED)  # type: ignore[misc]  # a lambda has no types
        assert found == text and right if found is not None else not (right and knows_all)
        assert origins.grant(sent).get("Access-Control-Allow-Origin") == found
    return found is not None


def body(data: bytes) -> bool:
    """Fuzz the parser of request bodies."""
    found = _refused_or(lambda: request.parse(data), Reason.INVALID_REQUEST)
    choices = found and json.dumps(found.choices)
    asked = found and (found.profile, found.resume, choices, found.callable)
    assert asked == oracles.body(data)
    return found is not None


def token(data: bytes) -> bool:
    """Fuzz what is read of a token before its signature is verified."""
    text = data.decode("latin-1")
    found = _refused_or(
        lambda: SignedToken.read(text, Reason.INVALID_ID_TOKEN), Reason.INVALID_ID_TOKEN
    )
    assert (found and found.kid) == oracles.key_id(text)
    return found is not None


def jose_header(data: bytes) -> bool:
    """Fuzz the header of a token, which is otherwise right."""
    return token(f"{jwt.base64url(data)}.e30.AA".encode())


def claims(data: bytes) -> bool:
    """Fuzz the claims of ID tokens with a genuine signature."""
    kind: Kind = "google" if b"accounts.google.com" in data else "firebase"
    issuer, callers, loop = _verifying()
    header = jwt.as_json(issuer.header(kind))
    id_token = issuer.sign_raw(header, data, kind)
    found = _refused_or(
        lambda: loop.run_until_complete(callers.identify(id_token)),
        Reason.INVALID_ID_TOKEN,
        Reason.ID_TOKEN_EXPIRED,
    )
    expected = oracles.caller(data, issuer.claims("ada" if kind == "firebase" else "grace"))
    caller = found and (*found.account, found.anonymous)
    if caller is not None or data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        assert caller == expected
    return found is not None


def certificates(data: bytes) -> bool:
    """Fuzz the keys of Firebase and Google. What is not a certificate must not hide another."""
    document = oracles.document(data) or {}
    found = list(keys.certificates(document))
    for kid, key in found:
        assert isinstance(key, RSAPublicKey)
        assert "-----BEGIN CERTIFICATE-----" in document[kid]
    return bool(found)


def jwks(data: bytes) -> bool:
    """Fuzz the keys of App Check."""
    document = oracles.document(data)
    if document is None:
        return False
    try:
        found = list(keys.jwks(document))
    except ValueError:
        assert not isinstance(document.get("keys"), list)
        return False
    for kid, key in found:
        number = key.public_numbers().n
        assert any(oracles.jwk(each, kid, number) for each in document["keys"])
    return bool(found)


def google_error(data: bytes) -> bool:
    """Fuzz what is read of Gemini's refusals. What is read of a body is accepted."""
    error = GoogleError.read(data)
    quota = error.quota.name if error.quota else None
    found = (error.cause.name, quota, error.retry_delay)
    if found != oracles.UNKNOWN_ERROR or data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        assert found == oracles.google_error(data)
    return found != oracles.UNKNOWN_ERROR


HARNESSES: dict[str, Callable[[bytes], bool]] = {
    each.__name__: each
    for each in (
        headers,
        origin,
        body,
        token,
        jose_header,
        claims,
        certificates,
        jwks,
        google_error,
    )
}


def _refused_or(parse: Callable[[], Found], *reasons: Reason) -> Found | None:
    """What a parser returns, or None if it refuses for one of these reasons."""
    try:
        return parse()
    except Refused as refusal:
        assert refusal.reason in reasons
        return None


@cache
def _verifying() -> tuple[Issuer, Callers, asyncio.AbstractEventLoop]:
    """An issuer, and callers that have fetched its keys and never fetch them again."""
    issuer, loop = Issuer(clock=lambda: NOW), asyncio.new_event_loop()
    with Server(issuer.app) as server, closing(fetch.Http()) as http:
        sets = [
            KeySet(http, f"{server.url}/keys/{kind}", keys.certificates, now=lambda: NOW)
            for kind in ("firebase", "google")
        ]
        for each in sets:
            loop.run_until_complete(each.warm())
    accepted = issuers([issuer.firebase_project], sets[0], [issuer.google_client_id], sets[1])
    return issuer, Callers(accepted, now=lambda: NOW), loop
