"""Writes JSON Web Tokens signed with RS256 (RFC 7515, 7518), and RSA keys as JWK (RFC 7517)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def token(
    header: bytes, payload: bytes, key: rsa.RSAPrivateKey, signature: bytes | None = None
) -> str:
    """A token of exactly these bytes, with a valid signature unless one is given."""
    signed = f"{base64url(header)}.{base64url(payload)}"
    if signature is None:
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{base64url(signature)}"


def as_json(entries: Mapping[str, Any]) -> bytes:
    """JSON without the entries whose value is `...`."""
    return json.dumps({k: value for k, value in entries.items() if value is not ...}).encode()


def jwk(key: rsa.RSAPublicKey, **members: Any) -> dict[str, Any]:
    """A public key for RS256 signatures, as in a JWK set.

    Args:
        key: the key, for `n` and `e`.
        members: added to the usual ones or replacing them; a value of `...` removes the member.
    """
    numbers = key.public_numbers()
    usual = {"kty": "RSA", "use": "sig", "alg": "RS256", "n": _uint(numbers.n)}
    all_members = {**usual, "e": _uint(numbers.e), **members}
    return {name: value for name, value in all_members.items() if value is not ...}


def base64url(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The bytes of unpadded base64url; ignores unused bits at the end. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _uint(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8))
