"""Every rule for an ID token, and every pitfall of google-auth, as a client sees it."""

import base64
import json
import time
from typing import Any

import pytest
from asking import refused
from stack import Stack

from livetoken.callers import issuers
from livetoken.refusals import Reason

NOW = int(time.time())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def refused_as(livetoken: Stack, token: str) -> str | None:
    """Ask with a token, assert INVALID_ID_TOKEN and no mint, return the detail in the log."""
    detail: str | None = refused(livetoken, Reason.INVALID_ID_TOKEN, token=token).get("detail")
    return detail


# ------------------------------------------------------------------ accepted


@pytest.mark.parametrize("person", ["ada", "bob", "grace"])
def test_firebase_and_google_tokens_are_accepted(livetoken: Stack, person: str) -> None:
    assert livetoken.ask(token=livetoken.issuer.id_token(person)).status == 200


def test_without_client_ids_no_google_token_is_accepted() -> None:
    keys: Any = object()
    assert list(issuers(["demo"], keys, [], keys)) == ["https://securetoken.google.com/demo"]


def test_googles_short_issuer_is_accepted(livetoken: Stack) -> None:
    token = livetoken.issuer.id_token("grace", iss="accounts.google.com")
    assert livetoken.ask(token=token).status == 200


def test_a_clock_ten_seconds_off_is_accepted(livetoken: Stack) -> None:
    ahead = int(time.time()) + 8
    token = livetoken.issuer.id_token("ada", iat=ahead, auth_time=ahead)
    assert livetoken.ask(token=token).status == 200
    assert livetoken.ask(token=livetoken.issuer.id_token("ada", exp=ahead - 12)).status == 200


def test_a_clock_half_a_minute_off_is_refused(livetoken: Stack) -> None:
    now = int(time.time())
    assert refused_as(livetoken, livetoken.issuer.id_token("ada", iat=now + 30)) == "ISSUED_AT"
    assert (
        refused_as(livetoken, livetoken.issuer.id_token("ada", auth_time=now + 30)) == "AUTH_TIME"
    )
    expired = livetoken.issuer.id_token("ada", exp=now - 30)
    assert livetoken.ask(token=expired).is_refusal(Reason.ID_TOKEN_EXPIRED)


@pytest.mark.parametrize("azp", ["112233445566778899001", "", None, 7, "evil.example"])
def test_a_strangers_service_account_is_refused(livetoken: Stack, azp: Any) -> None:
    token = livetoken.issuer.id_token("grace", azp=azp)
    assert refused_as(livetoken, token) == "AUTHORIZED_PARTY"


@pytest.mark.parametrize("azp", [..., "1-android.apps.googleusercontent.com"])
def test_a_token_that_a_phone_asked_for_is_accepted(livetoken: Stack, azp: Any) -> None:
    assert livetoken.ask(token=livetoken.issuer.id_token("grace", azp=azp)).status == 200


def test_both_spellings_of_googles_issuer_name_one_person(livetoken: Stack) -> None:
    lines = len(livetoken.log())
    for iss in ("https://accounts.google.com", "accounts.google.com"):
        livetoken.ask(token=livetoken.issuer.id_token("grace", iss=iss))
    first, second = livetoken.logged(lines + 1), livetoken.logged(lines + 2)
    assert (first["issuer"], first["sub"]) == (second["issuer"], second["sub"])


# ------------------------------------------------------------------ claims


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"iss": "https://securetoken.google.com/evil", "aud": "evil"}, "ISSUER"),
        ({"iss": "https://securetoken.google.com/"}, "ISSUER"),
        ({"iss": ...}, "ISSUER"),
        ({"iss": ["https://securetoken.google.com/demo-livetoken"]}, "ISSUER"),
        ({"iss": None}, "ISSUER"),
        ({"aud": "evil"}, "AUDIENCE"),
        ({"aud": ...}, "AUDIENCE"),
        ({"aud": ["evil"]}, "AUDIENCE"),
        ({"aud": {"a": 1}}, "AUDIENCE"),
        ({"iat": ...}, "ISSUED_AT"),
        ({"iat": NOW + 3600}, "ISSUED_AT"),
        ({"iat": str(NOW)}, "ISSUED_AT"),
        ({"iat": True}, "ISSUED_AT"),
        ({"iat": float(NOW)}, "ISSUED_AT"),
        ({"iat": None}, "ISSUED_AT"),
        ({"iat": -1}, "ISSUED_AT"),
        ({"nbf": NOW + 3600}, "NOT_BEFORE"),
        ({"nbf": "now"}, "NOT_BEFORE"),
        ({"exp": ...}, "EXPIRY"),
        ({"exp": str(NOW + 3600)}, "EXPIRY"),
        ({"exp": None}, "EXPIRY"),
        ({"exp": [NOW + 3600]}, "EXPIRY"),
        ({"exp": NOW + 3600.5}, "EXPIRY"),
        ({"auth_time": ...}, "AUTH_TIME"),
        ({"auth_time": NOW + 3600}, "AUTH_TIME"),
        ({"auth_time": "yesterday"}, "AUTH_TIME"),
        ({"sub": ...}, "SUBJECT"),
        ({"sub": ""}, "SUBJECT"),
        ({"sub": "u" * 129}, "SUBJECT"),
        ({"sub": 7}, "SUBJECT"),
        ({"sub": None}, "SUBJECT"),
        ({"sub": "\ud800"}, "SUBJECT"),
        ({"firebase": ...}, "SIGN_IN_PROVIDER"),
        ({"firebase": []}, "SIGN_IN_PROVIDER"),
        ({"firebase": "anonymous"}, "SIGN_IN_PROVIDER"),
        ({"firebase": {}}, "SIGN_IN_PROVIDER"),
        ({"firebase": {"sign_in_provider": None}}, "SIGN_IN_PROVIDER"),
    ],
)
def test_a_wrong_claim_in_a_firebase_token_is_refused(
    livetoken: Stack, claims: dict[str, Any], detail: str
) -> None:
    assert refused_as(livetoken, livetoken.issuer.id_token("ada", **claims)) == detail


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"iss": "https://accounts.google.com.evil.example"}, "ISSUER"),
        ({"iss": "http://accounts.google.com"}, "ISSUER"),
        ({"aud": "999-evil.apps.googleusercontent.com"}, "AUDIENCE"),
        ({"sub": "u" * 256}, "SUBJECT"),
        ({"iat": NOW + 3600}, "ISSUED_AT"),
        ({"exp": ...}, "EXPIRY"),
    ],
)
def test_a_wrong_claim_in_a_google_token_is_refused(
    livetoken: Stack, claims: dict[str, Any], detail: str
) -> None:
    assert refused_as(livetoken, livetoken.issuer.id_token("grace", **claims)) == detail


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("claim", ["exp", "iat", "auth_time"])
def test_a_time_that_is_no_number_is_refused(livetoken: Stack, claim: str, constant: str) -> None:
    claims = json.dumps(livetoken.issuer.claims("ada", **{claim: "HERE"}))
    payload = claims.replace('"HERE"', constant).encode()
    header = livetoken.issuer.header("firebase")
    token = livetoken.issuer.sign_raw(json.dumps(header).encode(), payload, kind="firebase")
    assert refused_as(livetoken, token)


def test_an_expired_token_with_another_fault_is_invalid(livetoken: Stack) -> None:
    token = livetoken.issuer.id_token("ada", exp=NOW - 3600, aud="evil")
    assert refused_as(livetoken, token) == "AUDIENCE"


# ------------------------------------------------------------------ header and signature


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ({"alg": "none"}, "ALGORITHM"),
        ({"alg": "None"}, "ALGORITHM"),
        ({"alg": "HS256"}, "ALGORITHM"),
        ({"alg": "ES256"}, "ALGORITHM"),
        ({"alg": "RS512"}, "ALGORITHM"),
        ({"alg": "PS256"}, "ALGORITHM"),
        ({"alg": ["RS256"]}, "ALGORITHM"),
        ({"alg": ...}, "ALGORITHM"),
        ({"kid": ...}, "KEY_ID"),
        ({"kid": ""}, "KEY_ID"),
        ({"kid": 1}, "KEY_ID"),
        ({"kid": ["kid"]}, "KEY_ID"),
        ({"kid": None}, "KEY_ID"),
        ({"kid": "unheard-of"}, "UNKNOWN_KEY"),
        ({"crit": ["exp"]}, "CRITICAL_HEADER"),
        ({"crit": []}, "CRITICAL_HEADER"),
        ({"typ": "at+jwt"}, "TOKEN_TYPE"),
        ({"typ": "secevent+jwt"}, "TOKEN_TYPE"),
    ],
)
def test_a_wrong_header_is_refused(livetoken: Stack, header: dict[str, Any], detail: str) -> None:
    claims = livetoken.issuer.claims("ada")
    token = livetoken.issuer.sign(claims, kind="firebase", header=header)
    assert refused_as(livetoken, token) == detail


def test_an_unsigned_token_is_refused(livetoken: Stack) -> None:
    """The function's environment has the variables that make Firebase's SDK accept one."""
    header = b64(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    claims = b64(json.dumps(livetoken.issuer.claims("ada")).encode())
    for token in (f"{header}.{claims}.", f"{header}.{claims}.AA", f"{header}.{claims}"):
        assert refused_as(livetoken, token)


def test_a_changed_payload_is_refused(livetoken: Stack) -> None:
    header, _, signature = livetoken.issuer.id_token("ada").split(".")
    payload = b64(json.dumps(livetoken.issuer.claims("ada", sub="somebody-else")).encode())
    assert refused_as(livetoken, f"{header}.{payload}.{signature}") == "SIGNATURE"


@pytest.mark.parametrize("signature", ["AA", b64(b"\x00" * 256), b64(b"\xff" * 512)])
def test_any_other_signature_is_refused(livetoken: Stack, signature: str) -> None:
    signed = livetoken.issuer.id_token("ada").rpartition(".")[0]
    assert refused_as(livetoken, f"{signed}.{signature}") == "SIGNATURE"


@pytest.mark.parametrize(("person", "kind"), [("ada", "google"), ("grace", "firebase")])
def test_one_issuers_keys_check_no_tokens_of_the_other(
    livetoken: Stack, person: str, kind: Any
) -> None:
    claims = livetoken.issuer.claims(person)
    assert refused_as(livetoken, livetoken.issuer.sign(claims, kind=kind)) == "UNKNOWN_KEY"


def test_a_key_id_of_one_issuer_under_the_key_of_the_other_is_refused(livetoken: Stack) -> None:
    claims, kid = livetoken.issuer.claims("ada"), livetoken.issuer.header("firebase")["kid"]
    token = livetoken.issuer.sign(claims, kind="google", header={"kid": kid})
    assert refused_as(livetoken, token) == "SIGNATURE"


def test_a_signature_that_cloud_run_removed_is_logged_as_that(livetoken: Stack) -> None:
    signed = livetoken.issuer.id_token("ada").rpartition(".")[0]
    token = f"{signed}.SIGNATURE_REMOVED_BY_GOOGLE"
    assert refused_as(livetoken, token) == "SIGNATURE_REMOVED_BY_GOOGLE"


# ------------------------------------------------------------------ no token at all


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "..",
        "e30.e30.",
        ".e30.e30",
        "e30.e30.e30=",
        "e30+.e30.e30",
        "e30.e30.e30e3",
        "~~~~.e30.e30",
        f"{b64(b'[]')}.{b64(b'{}')}.AA",
        f"{b64(b'7')}.{b64(b'{}')}.AA",
        f"{b64(b'{}')}.{b64(b'[]')}.AA",
        f"{b64(bytes([255, 254]))}.{b64(b'{}')}.AA",
        f"{b64('{}'.encode('utf-16'))}.{b64(b'{}')}.AA",
    ],
)
def test_a_malformed_token_is_refused(livetoken: Stack, token: str) -> None:
    assert refused_as(livetoken, token) in ("TOKEN_MALFORMED", "ALGORITHM")


@pytest.mark.parametrize("nested", [b"[" * 1000, b"[" * 3000, b'{"a":' * 700])
@pytest.mark.parametrize("where", ["header", "payload"])
def test_deeply_nested_json_is_refused(livetoken: Stack, nested: bytes, where: str) -> None:
    header = json.dumps(livetoken.issuer.header("firebase")).encode()
    parts = (nested, b"{}") if where == "header" else (header, nested)
    token = ".".join([*map(b64, parts), "AA"])
    assert refused_as(livetoken, token) == "TOKEN_MALFORMED"


def test_deeply_nested_signed_claims_are_never_a_500(livetoken: Stack) -> None:
    """A RecursionError under a good signature would be a 500."""
    claims = json.dumps(livetoken.issuer.claims("ada"))[:-1].encode()
    payload = claims + b', "deep": ' + b"[" * 2500 + b"]" * 2500 + b"}"
    header = json.dumps(livetoken.issuer.header("firebase")).encode()
    token = livetoken.issuer.sign_raw(header, payload, kind="firebase")
    assert livetoken.ask(token=token).status in (200, 401)


def test_a_number_of_four_thousand_digits_is_refused(livetoken: Stack) -> None:
    payload = b'{"exp": ' + b"9" * 4400 + b"}"
    header = json.dumps(livetoken.issuer.header("firebase")).encode()
    token = livetoken.issuer.sign_raw(header, payload, kind="firebase")
    assert refused_as(livetoken, token) == "TOKEN_MALFORMED"
