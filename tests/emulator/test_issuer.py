"""The issuer signs what google-auth accepts, and can be made to sign and serve what it must not."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt

from emulator.issuer import LIFE, Issuer
from emulator.people import PEOPLE
from emulator.server import Server


class Stand:
    """An issuer that runs, and what a verifier does with it."""

    def __init__(self) -> None:
        self.issuer = Issuer()
        self.server = Server(self.issuer.app)

    def get(self, path: str, timeout: float = 5) -> tuple[int, Any, bytes]:
        call = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=timeout)
        try:
            call.request("GET", path)
            answer = call.getresponse()
            return answer.status, answer.headers, answer.read(1_000_000)
        finally:
            call.close()

    def keys(self, kind: str) -> dict[str, str]:
        status, _, body = self.get(f"/keys/{kind}")
        assert status == 200
        found: dict[str, str] = json.loads(body)
        return found

    def verified(self, token: str, kind: str = "firebase") -> dict[str, Any]:
        """The claims, checked by google-auth against the certificates that are served."""
        audience = {
            "firebase": self.issuer.firebase_project,
            "google": self.issuer.google_client_id,
        }[kind]
        decode: Any = jwt.decode  # google-auth has no types
        claims = decode(token, certs=self.keys(kind), audience=audience)
        return dict(claims)


@pytest.fixture
def stand() -> Iterator[Stand]:
    made = Stand()
    with made.server:
        yield made


def header(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(unpadded(token.split(".")[0]))
    return found


def unpadded(text: str) -> bytes:
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("person", list(PEOPLE))
def test_the_token_of_everybody_is_genuine(stand: Stand, person: str) -> None:
    kind = PEOPLE[person].kind
    claims = stand.verified(stand.issuer.id_token(person), kind)
    now = time.time()
    assert claims["iat"] <= now and claims["exp"] == claims["iat"] + LIFE
    assert {name: claims[name] for name in PEOPLE[person].claims} == PEOPLE[person].claims
    if kind == "firebase":
        project = stand.issuer.firebase_project
        assert claims["iss"] == f"https://securetoken.google.com/{project}"
        assert claims["aud"] == project and claims["auth_time"] < now
        assert claims["sub"] == claims["user_id"]
    else:
        assert claims["iss"] == "https://accounts.google.com"
        assert claims["aud"] == claims["azp"] == stand.issuer.google_client_id
        assert "auth_time" not in claims and "firebase" not in claims
    assert header(stand.issuer.id_token(person)) == {
        "alg": "RS256",
        "kid": stand.issuer.kid(kind),
        "typ": "JWT",
    }


def test_the_people_are_the_four_kinds_of_caller() -> None:
    assert list(PEOPLE) == ["ada", "grace", "bob", "guest"]
    ada, grace, bob, guest = (person.claims for person in PEOPLE.values())
    assert ada["firebase"]["sign_in_provider"] == "google.com" and ada["email_verified"] is True
    assert (ada["plan"], ada["level"]) == ("pro", "B1")
    assert (grace["hd"], grace["email_verified"]) == ("example.com", True)
    assert bob["firebase"]["sign_in_provider"] == "password" and bob["email_verified"] is False
    assert guest["firebase"]["sign_in_provider"] == "anonymous" and "email" not in guest


def test_a_token_can_be_had_over_http(stand: Stand) -> None:
    status, headers, body = stand.get("/token/ada")
    assert (status, headers.get_content_type()) == (200, "text/plain")
    assert stand.verified(body.decode())["sub"] == "ada-uid"
    status, _, body = stand.get("/token/eve")
    assert status == 404 and b"ada, grace, bob, guest" in body


def test_certificates_can_be_kept_as_long_as_they_say(stand: Stand) -> None:
    stand.issuer.max_age = 77
    status, headers, body = stand.get("/keys/google")
    assert (status, headers.get_content_type()) == (200, "application/json")
    assert "public" in headers["Cache-Control"] and "max-age=77" in headers["Cache-Control"]
    assert stand.issuer.fetches == 1
    for kid, pem in json.loads(body).items():
        assert kid == stand.issuer.kid("google")
        assert isinstance(
            x509.load_pem_x509_certificate(pem.encode()).public_key(), rsa.RSAPublicKey
        )
    assert stand.get("/keys/other")[0] == 404 and stand.issuer.fetches == 1


def test_each_kind_has_keys_of_its_own(stand: Stand) -> None:
    assert not stand.keys("firebase").keys() & stand.keys("google").keys()
    with pytest.raises(exceptions.GoogleAuthError):
        stand.verified(stand.issuer.id_token("grace"))


def test_a_rotation_keeps_the_old_key_until_it_is_dropped(stand: Stand) -> None:
    old, old_kid = stand.issuer.id_token("ada"), stand.issuer.kid("firebase")
    stand.issuer.rotate("firebase")
    new = stand.issuer.id_token("ada")
    assert header(new)["kid"] == stand.issuer.kid("firebase") != old_kid
    assert stand.verified(old) and stand.verified(new)
    stand.issuer.drop_old("firebase")
    assert list(stand.keys("firebase")) == [header(new)["kid"]]
    with pytest.raises(exceptions.GoogleAuthError):
        stand.verified(old)


def test_claims_and_headers_can_be_changed_and_removed(stand: Stand) -> None:
    changed = stand.verified(stand.issuer.id_token("ada", plan="free", level=..., exp=2**33))
    assert changed["plan"] == "free" and "level" not in changed and changed["exp"] == 2**33
    odd = stand.issuer.sign({"a": 1, "b": ...}, header={"kid": ..., "crit": ["x"]})
    assert header(odd) == {"alg": "RS256", "typ": "JWT", "crit": ["x"]}
    assert json.loads(unpadded(odd.split(".")[1])) == {"a": 1}


def test_a_token_can_be_expired(stand: Stand) -> None:
    now = int(time.time())
    with pytest.raises(exceptions.InvalidValue, match="expired"):
        stand.verified(stand.issuer.id_token("ada", iat=now - 7200, exp=now - 3600))


def test_the_times_follow_the_clock(stand: Stand) -> None:
    stand.issuer.clock = lambda: 1_000_000.7
    claims = json.loads(unpadded(stand.issuer.id_token("ada").split(".")[1]))
    assert (claims["iat"], claims["exp"]) == (1_000_000, 1_000_000 + LIFE)
    assert claims["auth_time"] == 1_000_000 - 60


def test_a_foreign_key_signs_under_the_kid_of_the_issuer(stand: Stand) -> None:
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"aud": stand.issuer.firebase_project, "iat": 1, "exp": 2**33}
    assert stand.verified(stand.issuer.sign(claims)) == claims
    forged = stand.issuer.sign(claims, key=foreign)
    assert header(forged)["kid"] == stand.issuer.kid("firebase")
    with pytest.raises(exceptions.GoogleAuthError, match="signature"):
        stand.verified(forged)


def test_malformed_tokens_are_signed_byte_for_byte(stand: Stand) -> None:
    head = json.dumps({"alg": "RS256", "kid": stand.issuer.kid("google")}).encode()
    token = stand.issuer.sign_raw(head, b"[[[\xff", "google")
    assert unpadded(token.split(".")[1]) == b"[[[\xff"
    payload = json.dumps({"aud": stand.issuer.google_client_id, "iat": 1, "exp": 2**33}).encode()
    assert stand.verified(stand.issuer.sign_raw(head, payload, "google"), "google")
    replaced = stand.issuer.sign_raw(head, payload, "google", b"SIGNATURE_REMOVED_BY_GOOGLE")
    assert unpadded(replaced.split(".")[2]) == b"SIGNATURE_REMOVED_BY_GOOGLE"


def test_certificates_can_be_wrong_in_every_known_way(stand: Stand) -> None:
    stand.issuer.key_fault = "html"
    assert stand.get("/keys/firebase")[::2] == (200, b"<html><body>Sign in</body></html>")
    stand.issuer.key_fault = "badpem"
    (pem,) = stand.keys("firebase").values()
    assert pem.startswith("-----BEGIN CERTIFICATE-----")
    with pytest.raises(ValueError):
        x509.load_pem_x509_certificate(pem.encode())
    stand.issuer.key_fault = "json"
    assert list(stand.keys("firebase")) == ["keys"]
    stand.issuer.key_fault = 503
    assert stand.get("/keys/firebase")[0] == 503
    stand.issuer.key_fault = "huge"
    assert len(stand.get("/keys/firebase")[2]) == 1_000_000
    stand.issuer.key_fault = "slow"
    with pytest.raises(TimeoutError):
        stand.get("/keys/firebase", timeout=0.1)
    stand.issuer.key_delay = 0.02
    assert list(stand.keys("firebase")) == [stand.issuer.kid("firebase")]
    stand.issuer.key_fault = None
    assert list(stand.keys("firebase")) == [stand.issuer.kid("firebase")]
    assert stand.issuer.fetches == 8
