"""Keys that must not verify a token, as a key set serves them."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from emulator import jwt
from emulator.issuer import signing_key

STRANGER, SHORT = signing_key().private, signing_key(1024).private
UNFIT: dict[str, dict[str, Any]] = {
    "for-encryption": {"use": "enc"},
    "no-use-of-its-own": {"use": None},
    "another-algorithm": {"alg": "RS512"},
    "algorithm-list": {"alg": ["RS256"]},
    "operations-of-encryption": {"key_ops": ["encrypt"]},
    "operation-of-signing": {"use": ..., "key_ops": ["sign"]},
    "operations-as-text": {"key_ops": "verify"},
    "no-operations": {"key_ops": []},
    "elliptic": {"kty": "EC"},
    "symmetric": {"kty": "oct"},
    "no-kind": {"kty": ...},
    "no-modulus": {"n": ...},
    "no-exponent": {"e": ...},
    "modulus-no-base64": {"n": "***"},
    "modulus-of-other-letters": {"n": "\u00e4\u00f6\u00fc"},
    "modulus-number": {"n": 7},
    "modulus-null": {"n": None},
    "modulus-empty": {"n": ""},
    "modulus-of-9000-bits": {"n": jwt.base64url((2**9000 - 1).to_bytes(1125))},
    "exponent-one": {"e": "AQ"},
    "exponent-even": {"e": "BA"},
    "exponent-of-a-list": {"e": ["AQAB"]},
}
"""By key ID: members that make an RSA key unfit."""


def elliptic(kid: str) -> dict[str, Any]:
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    x, y = (jwt.base64url(each.to_bytes(32)) for each in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": x, "y": y}


def unfit_keys() -> list[Any]:
    """All unfit keys and some values that are not keys, as members of a key set."""
    public = STRANGER.public_key()
    return [
        *(jwt.jwk(public, **{"kid": kid, **members}) for kid, members in UNFIT.items()),
        jwt.jwk(SHORT.public_key(), kid="short"),
        jwt.jwk(public, kid=7),
        jwt.jwk(public, kid=None),
        jwt.jwk(public, kid=["listed"]),
        jwt.jwk(public),
        elliptic("truly-elliptic"),
        *(None, 7, "key", [], {}, {"kid": "bare"}),
    ]
