"""Makes genuine and forged ID tokens, byte for byte."""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from unfit_keys import STRANGER

from emulator.app_check import AppCheck
from emulator.issuer import Issuer
from emulator.jwt import as_json, base64url
from emulator.people import Kind
from livetoken.refusals import Detail, Reason


@dataclass(frozen=True)
class Forge:
    """A forger who has the issuer's genuine keys, so that only what a token says is wrong with it.

    Entries of a header and claims are replaced, or removed if their value is `...`.
    """

    issuer: Issuer
    app_check: AppCheck

    @property
    def now(self) -> int:
        return int(time.time())

    @property
    def key(self) -> rsa.RSAPrivateKey:
        return self.issuer.keys["firebase"][-1].private

    @property
    def public(self) -> rsa.RSAPublicKey:
        return self.key.public_key()

    def genuine(self, person: str = "ada", **claims: Any) -> str:
        return self.issuer.id_token(person, **claims)

    def header(self, kind: Kind = "firebase", **entries: Any) -> bytes:
        return as_json({**self.issuer.header(kind), **entries})

    def claims(self, **claims: Any) -> bytes:
        return as_json(self.issuer.claims("ada", **claims))

    def with_header(self, **entries: Any) -> str:
        return self.signed(self.header(**entries))

    def with_claim(self, claim: str, json: bytes) -> str:
        """A genuine token with one claim of exactly this JSON."""
        return self.signed(payload=self.claims(**{claim: "HERE"}).replace(b'"HERE"', json))

    def signed(self, header: bytes | None = None, payload: bytes | None = None) -> str:
        """A genuine signature over exactly these bytes."""
        return self.segments(header=base64url(header or self.header()), payload=payload)

    def segments(
        self,
        *,
        header: str | None = None,
        payload: bytes | str | None = None,
        change: Callable[[bytes], bytes] = bytes,
    ) -> str:
        """A token of these segments, with a genuine signature that `change` may change."""
        body = self.claims() if payload is None else payload
        text = f"{header or base64url(self.header())}."
        text += body if isinstance(body, str) else base64url(body)
        return f"{text}.{base64url(change(self.sign(text)))}"

    def sign(
        self,
        text: str,
        digest: hashes.HashAlgorithm | None = None,
        scheme: AsymmetricPadding | None = None,
    ) -> bytes:
        return self.key.sign(text.encode(), scheme or padding.PKCS1v15(), digest or hashes.SHA256())

    def signed_as(
        self,
        algorithm: str,
        digest: hashes.HashAlgorithm,
        scheme: AsymmetricPadding | None = None,
    ) -> str:
        """A token signed with the genuine key by another algorithm."""
        text = f"{base64url(self.header(alg=algorithm))}.{base64url(self.claims())}"
        return f"{text}.{base64url(self.sign(text, digest, scheme))}"

    def signed_by(self, key: rsa.RSAPrivateKey, **entries: Any) -> str:
        return self.issuer.sign(self.issuer.claims("ada"), header=entries, key=key)

    def strange(self, **entries: Any) -> str:
        return self.signed_by(STRANGER, **entries)

    def unsigned(self, signature: bytes = b"", **entries: Any) -> str:
        text = f"{base64url(self.header(**entries))}.{base64url(self.claims())}"
        return f"{text}.{base64url(signature)}"

    def unsigned_claims(self, payload: bytes) -> str:
        """A genuine header over claims that nobody signed."""
        return self.issuer.sign_raw(self.header(), payload, signature=b"\x11" * 256)

    def mac(self, secret: bytes, digest: str = "sha256", alg: str = "HS256") -> str:
        text = f"{base64url(self.header(alg=alg))}.{base64url(self.claims())}"
        return f"{text}.{base64url(hmac.digest(secret, text.encode(), digest))}"

    def encoded(self, encoding: Encoding, form: PublicFormat) -> bytes:
        return self.public.public_bytes(encoding, form)

    def elliptic(self, alg: str = "ES256") -> str:
        text = f"{base64url(self.header(alg=alg))}.{base64url(self.claims())}"
        key = ec.generate_private_key(ec.SECP256R1())
        r, s = utils.decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{base64url(r.to_bytes(32) + s.to_bytes(32))}"

    def plus_modulus(self, signature: bytes) -> bytes:
        return (int.from_bytes(signature) + self.public.public_numbers().n).to_bytes(257)

    def mislabelled(self) -> str:
        """PKCS #1 padding of a SHA-256 digest that is labelled as SHA-1's (RFC 8017, 9.2)."""
        text = f"{base64url(self.header())}.{base64url(self.claims())}"
        label = bytes.fromhex("302d300906052b0e03021a05000420")
        label += hashlib.sha256(text.encode()).digest()
        padded = b"\0\1" + b"\xff" * (253 - len(label)) + b"\0" + label
        private = self.key.private_numbers()
        signature = pow(int.from_bytes(padded), private.d, private.public_numbers.n)
        return f"{text}.{base64url(signature.to_bytes(256))}"

    def removed(self, change: Callable[[str], str] = str) -> str:
        """A token as Cloud Run passes it on after its own check."""
        signed = self.genuine().rpartition(".")[0]
        return f"{signed}.{change('SIGNATURE_REMOVED_BY_GOOGLE')}"


@dataclass(frozen=True)
class Attack:
    """One token and the answer to it.

    `make` makes it. `expected` is None if the token must be accepted, or the detail in the log, or
    the name of a reason without a detail. `source` is a CVE, a section of an RFC, or a paper.
    """

    name: str
    family: str
    make: Callable[[Forge], str]
    expected: str | None
    source: str

    @property
    def reason(self) -> Reason | None:
        match self.expected:
            case None:
                return None
            case "NOT_BEARER":
                return Reason.NO_CREDENTIAL
            case "ID_TOKEN_EXPIRED":
                return Reason.ID_TOKEN_EXPIRED
        return Reason.INVALID_ID_TOKEN

    @property
    def detail(self) -> Detail | None:
        has_none = self.expected in (None, "ID_TOKEN_EXPIRED")
        return None if has_none else Detail[str(self.expected)]

    @property
    def status(self) -> int:
        return self.reason.value.code if self.reason else 200


Row = tuple[str, Callable[[Forge], str], str | None]
"""The name, how to make the token, and what is expected."""


def family(name: str, source: str, *rows: Row) -> list[Attack]:
    return [Attack(each, name, make, expected, source) for each, make, expected in rows]
