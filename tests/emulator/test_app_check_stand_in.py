"""App Check's stand-in signs what google-auth accepts, and tells a second use from the first."""

import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt
from services import Services, running
from stack import until
from wire import HttpAnswer, jwt_parts, unpadded

from emulator.app_check import LIFE
from emulator.faults import SECRET
from emulator.jwt import jwk

services = pytest.fixture(running, name="services")
FOREIGN = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def verified(services: Services, token: str) -> dict[str, Any]:
    """The claims, checked by google-auth against the served keys."""
    decode: Any = jwt.decode  # google-auth has no types
    return dict(decode(token, certs={key["kid"]: pem(key) for key in services.served()}))


def pem(key: dict[str, Any]) -> bytes:
    """A JWK as PEM, converted without the stand-in's code."""
    n, e = (int.from_bytes(unpadded(key[name])) for name in "ne")
    return (
        rsa.RSAPublicNumbers(e, n)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def error(answer: HttpAnswer) -> tuple[int, str]:
    """The HTTP status and the status word of an error in Google's format."""
    found = answer.json["error"]
    assert found.keys() == {"code", "message", "status"} and found["code"] == answer.status
    return answer.status, found["status"]


def test_a_token_is_genuine(services: Services) -> None:
    claims = verified(services, services.app_check.token())
    now = time.time()
    assert now - 5 < claims["iat"] <= now and claims["exp"] == claims["iat"] + LIFE
    assert claims["iss"] == "https://firebaseappcheck.googleapis.com/123456789012"
    assert claims["aud"] == ["projects/123456789012", "projects/demo-livetoken"]
    assert claims["sub"] == "1:123456789012:web:0123456789abcdef"
    header, another = jwt_parts(services.app_check.token())
    assert header == {"alg": "RS256", "kid": services.app_check.kid, "typ": "JWT"}
    assert another["jti"] != claims["jti"]


def test_claims_and_headers_can_be_changed_and_removed(services: Services) -> None:
    changed = verified(services, services.app_check.token(sub="1:2:web:3", jti=...))
    assert changed["sub"] == "1:2:web:3" and "jti" not in changed
    odd = services.app_check.sign({"a": 1, "b": ...}, header={"kid": ..., "crit": ["x"]})
    assert jwt_parts(odd) == ({"alg": "RS256", "typ": "JWT", "crit": ["x"]}, {"a": 1})


def test_times_come_from_the_clock(services: Services) -> None:
    services.app_check.clock = lambda: 1_000_000.7
    _, claims = jwt_parts(services.app_check.token())
    assert (claims["iat"], claims["exp"]) == (1_000_000, 1_000_000 + LIFE)


def test_another_key_can_sign_with_the_kid_of_app_check(services: Services) -> None:
    forged = services.app_check.sign(services.app_check.claims(), key=FOREIGN)
    assert jwt_parts(forged)[0]["kid"] == services.app_check.kid
    with pytest.raises(exceptions.GoogleAuthError, match="signature"):
        verified(services, forged)


def test_malformed_tokens_are_signed_byte_for_byte(services: Services) -> None:
    head = json.dumps({"alg": "RS256", "kid": services.app_check.kid}).encode()
    assert unpadded(services.app_check.sign_raw(head, b"[\xff").split(".")[1]) == b"[\xff"
    payload = json.dumps(services.app_check.claims()).encode()
    assert verified(services, services.app_check.sign_raw(head, payload))
    replaced = services.app_check.sign_raw(head, payload, b"no signature")
    assert unpadded(replaced.split(".")[2]) == b"no signature"


def test_keys_are_for_signatures_and_say_how_long_to_cache_them(services: Services) -> None:
    services.app_check.max_age = 77
    answer = services.get_keys()
    assert answer.headers.get_content_type() == "application/json"
    assert "max-age=77" in answer.headers["Cache-Control"]
    (key,) = answer.json["keys"]
    assert key.keys() == {"kty", "use", "alg", "kid", "n", "e"}
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
    assert (key["kid"], key["e"]) == (services.app_check.kid, "AQAB")
    assert services.app_check.key_fetches == 1


def test_a_rotation_keeps_the_old_key_until_it_is_dropped(services: Services) -> None:
    old, old_kid = services.app_check.token(), services.app_check.kid
    services.app_check.rotate()
    new = services.app_check.token()
    assert jwt_parts(new)[0]["kid"] == services.app_check.kid != old_kid
    assert verified(services, old) and verified(services, new) and services.check(old).json == {}
    services.app_check.drop_old()
    assert [key["kid"] for key in services.served()] == [services.app_check.kid]
    assert services.check(old).status == 403 and services.check(new).json == {}


def test_unusable_keys_can_be_served_before_the_real_ones(services: Services) -> None:
    unfit = jwk(FOREIGN.public_key(), kid="unfit", use="enc", key_ops=["encrypt"], n=...)
    services.app_check.jwks_extra = [unfit, {"kty": "EC", "kid": "other"}]
    assert unfit["key_ops"] == ["encrypt"] and unfit["use"] == "enc" and "n" not in unfit
    assert [key["kid"] for key in services.served()] == ["unfit", "other", services.app_check.kid]
    assert services.served()[0] == unfit


def test_keys_can_fail_in_every_known_way(services: Services) -> None:
    get = services.get_keys
    services.app_check.key_fault = "html"
    assert get().status == 200 and get().body.startswith(b"<html>")
    services.app_check.key_fault = "json"
    assert get().status == 200 and "keys" not in get().json
    services.app_check.key_fault = 503
    assert get().status == 503
    services.app_check.key_fault = "huge"
    assert len(get().body) == 1_000_000
    services.app_check.key_fault = "unheard-of"
    assert get().status == 501
    services.app_check.key_fault = "slow"
    with pytest.raises(TimeoutError):
        get(timeout=0.1)
    services.app_check.key_delay = 0.02
    assert len(services.served()) == 1
    services.app_check.key_fault = None
    assert len(services.served()) == 1
    assert services.app_check.key_fetches == 10


# --- used once ---


@pytest.mark.parametrize("project", ["demo-livetoken", "123456789012"])
def test_a_second_use_is_reported(services: Services, project: str) -> None:
    one, other = services.app_check.token(), services.app_check.token()
    first, second, third = (services.check(one, project=project) for _ in range(3))
    assert (first.status, first.json) == (200, {})
    assert second.json == third.json == {"alreadyConsumed": True}
    assert services.check(other, project=project).json == {}


def test_the_field_may_have_either_name_of_protobuf(services: Services) -> None:
    token = services.app_check.token()
    assert services.check({"appCheckToken": token}).json == {}
    assert services.check({"app_check_token": token}).json == {"alreadyConsumed": True}


def test_another_encoding_of_a_token_is_the_same_token(services: Services) -> None:
    claims = services.app_check.claims()
    assert services.check(services.app_check.sign(claims)).json == {}
    reordered = dict(reversed(claims.items()))
    assert services.check(services.app_check.sign(reordered)).json == {"alreadyConsumed": True}
    sloppy = services.app_check.token()
    assert services.check(sloppy).json == {}
    assert sloppy[-1] in "AQgw"  # with 256 bytes, four bits of the last character are unused
    sloppy = sloppy[:-1] + chr(ord(sloppy[-1]) + 1)
    assert services.check(sloppy).json == {"alreadyConsumed": True}


@pytest.mark.parametrize(
    "authorization", [None, "Bearer foreign", "of-the-test", "Basic of-the-test"]
)
def test_a_caller_without_an_access_token_is_refused(
    services: Services, authorization: str | None
) -> None:
    token = services.app_check.token()
    services.app_check.access_tokens.add("of-the-test")
    refused = services.check(token, authorization=authorization)
    assert error(refused) == (401, "UNAUTHENTICATED")
    assert services.check(token).json == {}


def test_another_project_is_refused(services: Services) -> None:
    token = services.app_check.token()
    assert error(services.check(token, project="another")) == (403, "PERMISSION_DENIED")
    assert services.check(token).json == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"[" * 100_000,
        b'["token"]',
        {},
        {"app_check_token": ""},
        {"app_check_token": 5},
        {"token": "x"},
        {"app_check_token": "x", "limited_use": True},
        {"app_check_token": "x", "appCheckToken": "x"},
    ],
)
def test_a_body_with_anything_but_one_token_is_refused(
    services: Services, body: bytes | dict[str, Any]
) -> None:
    assert error(services.check(body)) == (400, "INVALID_ARGUMENT")


def test_an_invalid_token_is_403_and_one_without_an_id_400(services: Services) -> None:
    app_check, now = services.app_check, int(time.time())
    header = json.dumps({"alg": "RS256", "kid": app_check.kid}).encode()
    genuine = app_check.token()
    tampered = genuine.split(".")
    tampered[1] = app_check.token().split(".")[1]
    invalid = {
        "text": "text",
        "no ASCII": "é.é.é",
        "four parts": f"{genuine}.x",
        "foreign key": app_check.sign(app_check.claims(), key=FOREIGN),
        "unknown key": app_check.sign(app_check.claims(), header={"kid": "unknown"}),
        "no key": app_check.sign(app_check.claims(), header={"kid": ...}),
        "odd key": app_check.sign(app_check.claims(), header={"kid": ["x"]}),
        "unsigned": app_check.sign(app_check.claims(), header={"alg": "none"}),
        "tampered": ".".join(tampered),
        "no object": app_check.sign_raw(header, b"[]"),
        "header no object": app_check.sign_raw(b"[]", b"{}"),
        "deep": app_check.sign_raw(header, b"[" * 100_000),
        "expired": app_check.token(iat=now - 60, exp=now - 1),
        "endless": app_check.token(exp=...),
        "other issuer": app_check.token(iss="https://firebaseappcheck.googleapis.com/1"),
        "other audience": app_check.token(aud=["projects/1", "projects/other"]),
        "no list": app_check.token(aud="projects/123456789012"),
    }
    answers = {name: error(services.check(token)) for name, token in invalid.items()}
    assert answers == dict.fromkeys(invalid, (403, "PERMISSION_DENIED"))
    assert error(services.check(app_check.token(jti=...))) == (400, "INVALID_ARGUMENT")
    assert services.check(genuine).json == {}


def test_a_used_token_is_403_after_it_expired(services: Services) -> None:
    token = services.app_check.token()
    assert services.check(token).json == {}
    services.app_check.clock = lambda: time.time() + LIFE
    assert error(services.check(token)) == (403, "PERMISSION_DENIED")


def test_every_request_is_recorded(services: Services) -> None:
    token = services.app_check.token()
    services.check(token)
    services.check(b"not JSON", authorization=None)
    services.check("text", authorization="Basic x")
    found = [
        (check.token, check.authorization, check.status) for check in services.app_check.checks
    ]
    assert found == [
        (token, "Bearer of-the-test", 200),
        (None, None, 401),
        ("text", "Basic x", 401),
    ]


def test_checks_can_fail_in_every_known_way(services: Services) -> None:
    token, app_check = services.app_check.token(), services.app_check
    app_check.verdict_fault = "html"
    assert services.check(token).headers.get_content_type() == "text/html"
    app_check.verdict_fault = "list"
    assert services.check(token).json == [{}]
    app_check.verdict_fault = "badverdict"
    assert services.check(token).json == {"alreadyConsumed": "no"}
    app_check.verdict_fault = 503
    refused = services.check(token)
    assert error(refused) == (503, "UNAVAILABLE") and SECRET.encode() in refused.body
    app_check.verdict_fault = "unheard-of"
    assert services.check(token).status == 501
    app_check.verdict_fault = "reset"
    with pytest.raises(ConnectionError):
        services.check(token)
    app_check.verdict_fault = "hang"
    with pytest.raises(TimeoutError):
        services.check(token, timeout=0.1)
    statuses = [check.status for check in app_check.checks]
    assert statuses == [200, 200, 200, 503, 501, None, None]
    app_check.verdict_fault = None
    assert services.check(token).json == {}, "a fault used the token up"


def test_a_caller_that_disconnects_early_has_used_the_token(services: Services) -> None:
    token = services.app_check.token()
    services.app_check.verdict_delay = 0.2
    with pytest.raises(TimeoutError):
        services.check(token, timeout=0.05)
    until(lambda: services.app_check.checks[0].status == 200)
    services.app_check.verdict_delay = 0
    assert services.check(token).json == {"alreadyConsumed": True}
