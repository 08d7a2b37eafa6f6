"""The issuer signs tokens that google-auth accepts, and can sign and serve wrong ones for tests."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt
from wire import HttpAnswer, jwt_parts, send, unpadded

from emulator.issuer import LIFE, Issuer
from emulator.people import PEOPLE
from emulator.server import Server


class RunningIssuer:
    """An issuer with its server, and a verifier of its tokens."""

    def __init__(self) -> None:
        self.issuer = Issuer()
        self.server = Server(self.issuer.app)

    def get(self, path: str, timeout: float = 5) -> HttpAnswer:
        return send(self.server.url, path, timeout=timeout)

    def keys(self, kind: str) -> dict[str, str]:
        answer = self.get(f"/keys/{kind}")
        assert answer.status == 200
        found: dict[str, str] = answer.json
        return found

    def verified(self, token: str, kind: str = "firebase") -> dict[str, Any]:
        """The claims, checked by google-auth against the served certificates."""
        audience = {
            "firebase": self.issuer.firebase_project,
            "google": self.issuer.google_client_id,
        }[kind]
        decode: Any = jwt.decode  # google-auth has no types
        claims = decode(token, certs=self.keys(kind), audience=audience)
        return dict(claims)


@pytest.fixture
def running() -> Iterator[RunningIssuer]:
    made = RunningIssuer()
    with made.server:
        yield made


@pytest.mark.parametrize("person", list(PEOPLE))
def test_the_token_of_each_test_user_is_genuine(running: RunningIssuer, person: str) -> None:
    kind = PEOPLE[person].kind
    claims = running.verified(running.issuer.id_token(person), kind)
    now = time.time()
    assert claims["iat"] <= now and claims["exp"] == claims["iat"] + LIFE
    assert {name: claims[name] for name in PEOPLE[person].claims} == PEOPLE[person].claims
    if kind == "firebase":
        project = running.issuer.firebase_project
        assert claims["iss"] == f"https://securetoken.google.com/{project}"
        assert claims["aud"] == project and claims["auth_time"] < now
        assert claims["sub"] == claims["user_id"]
    else:
        assert claims["iss"] == "https://accounts.google.com"
        assert claims["aud"] == claims["azp"] == running.issuer.google_client_id
        assert "auth_time" not in claims and "firebase" not in claims
    assert jwt_parts(running.issuer.id_token(person))[0] == {
        "alg": "RS256",
        "kid": running.issuer.kid(kind),
        "typ": "JWT",
    }


def test_tokens_are_served_over_http(running: RunningIssuer) -> None:
    answer = running.get("/token/ada")
    assert (answer.status, answer.headers.get_content_type()) == (200, "text/plain")
    assert running.verified(answer.body.decode())["sub"] == "ada-uid"
    answer = running.get("/token/eve")
    assert answer.status == 404 and b"ada, grace, bob, guest" in answer.body


def test_certificates_say_how_long_to_cache_them(running: RunningIssuer) -> None:
    running.issuer.max_age = 77
    answer = running.get("/keys/google")
    assert (answer.status, answer.headers.get_content_type()) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "public, max-age=77, must-revalidate"
    assert running.issuer.fetches == 1
    for kid, pem in answer.json.items():
        assert kid == running.issuer.kid("google")
        assert isinstance(
            x509.load_pem_x509_certificate(pem.encode()).public_key(), rsa.RSAPublicKey
        )
    assert running.get("/keys/other").status == 404 and running.issuer.fetches == 1


def test_firebase_and_google_have_different_keys(running: RunningIssuer) -> None:
    assert not running.keys("firebase").keys() & running.keys("google").keys()
    with pytest.raises(exceptions.GoogleAuthError):
        running.verified(running.issuer.id_token("grace"))


def test_a_rotation_keeps_the_old_key_until_it_is_dropped(running: RunningIssuer) -> None:
    old, old_kid = running.issuer.id_token("ada"), running.issuer.kid("firebase")
    running.issuer.rotate("firebase")
    new = running.issuer.id_token("ada")
    assert jwt_parts(new)[0]["kid"] == running.issuer.kid("firebase") != old_kid
    assert running.verified(old) and running.verified(new)
    running.issuer.drop_old("firebase")
    assert list(running.keys("firebase")) == [jwt_parts(new)[0]["kid"]]
    with pytest.raises(exceptions.GoogleAuthError):
        running.verified(old)


def test_claims_and_headers_can_be_changed_and_removed(running: RunningIssuer) -> None:
    changed = running.verified(running.issuer.id_token("ada", plan="free", level=..., exp=2**33))
    assert changed["plan"] == "free" and "level" not in changed and changed["exp"] == 2**33
    odd = running.issuer.sign({"a": 1, "b": ...}, header={"kid": ..., "crit": ["x"]})
    assert jwt_parts(odd)[0] == {"alg": "RS256", "typ": "JWT", "crit": ["x"]}
    assert jwt_parts(odd)[1] == {"a": 1}


def test_times_come_from_the_clock(running: RunningIssuer) -> None:
    running.issuer.clock = lambda: 1_000_000.7
    token = running.issuer.id_token("ada")
    _, claims = jwt_parts(token)
    assert (claims["iat"], claims["exp"]) == (1_000_000, 1_000_000 + LIFE)
    assert claims["auth_time"] == 1_000_000 - 60
    with pytest.raises(exceptions.InvalidValue, match="expired"):
        running.verified(token)


def test_another_key_can_sign_with_the_issuers_kid(running: RunningIssuer) -> None:
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"aud": running.issuer.firebase_project, "iat": 1, "exp": 2**33}
    assert running.verified(running.issuer.sign(claims)) == claims
    forged = running.issuer.sign(claims, key=foreign)
    assert jwt_parts(forged)[0]["kid"] == running.issuer.kid("firebase")
    with pytest.raises(exceptions.GoogleAuthError, match="signature"):
        running.verified(forged)


def test_malformed_tokens_are_signed_byte_for_byte(running: RunningIssuer) -> None:
    head = json.dumps({"alg": "RS256", "kid": running.issuer.kid("google")}).encode()
    token = running.issuer.sign_raw(head, b"[[[\xff", "google")
    assert unpadded(token.split(".")[1]) == b"[[[\xff"
    payload = json.dumps({"aud": running.issuer.google_client_id, "iat": 1, "exp": 2**33}).encode()
    assert running.verified(running.issuer.sign_raw(head, payload, "google"), "google")
    replaced = running.issuer.sign_raw(head, payload, "google", b"SIGNATURE_REMOVED_BY_GOOGLE")
    assert unpadded(replaced.split(".")[2]) == b"SIGNATURE_REMOVED_BY_GOOGLE"


def test_certificates_can_fail_in_every_known_way(running: RunningIssuer) -> None:
    running.issuer.key_fault = "html"
    answer = running.get("/keys/firebase")
    assert (answer.status, answer.body) == (200, b"<html><body>Sign in</body></html>")
    running.issuer.key_fault = "badpem"
    (pem,) = running.keys("firebase").values()
    assert pem.startswith("-----BEGIN CERTIFICATE-----")
    with pytest.raises(ValueError):
        x509.load_pem_x509_certificate(pem.encode())
    running.issuer.key_fault = "json"
    assert list(running.keys("firebase")) == ["keys"]
    running.issuer.key_fault = 503
    assert running.get("/keys/firebase").status == 503
    running.issuer.key_fault = "huge"
    assert len(running.get("/keys/firebase").body) == 1_000_000
    running.issuer.key_fault = "slow"
    with pytest.raises(TimeoutError):
        running.get("/keys/firebase", timeout=0.1)
    running.issuer.key_delay = 0.02
    assert list(running.keys("firebase")) == [running.issuer.kid("firebase")]
    running.issuer.key_fault = None
    assert list(running.keys("firebase")) == [running.issuer.kid("firebase")]
    assert running.issuer.fetches == 8
