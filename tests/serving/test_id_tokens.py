"""Whose ID tokens are accepted, and which of their claims. `test_tokens` has the rest."""

import time
from dataclasses import replace
from typing import Any

import pytest
from asking import refused
from stack import Stack
from unfit_keys import STRANGER

from emulator.issuer import SigningKey
from livetoken.callers import issuers
from livetoken.refusals import Reason

NOW = int(time.time())


def refused_as(livetoken: Stack, token: str) -> str | None:
    """Ask with a token, assert INVALID_ID_TOKEN and no mint, return the detail in the log."""
    return refused(livetoken, Reason.INVALID_ID_TOKEN, token=token).get("detail")


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


def test_a_sign_in_by_a_clock_ten_seconds_off_is_accepted(livetoken: Stack) -> None:
    now = int(time.time())
    assert livetoken.ask(token=livetoken.issuer.id_token("ada", auth_time=now + 8)).status == 200
    ahead = livetoken.issuer.id_token("ada", auth_time=now + 30)
    assert refused_as(livetoken, ahead) == "AUTH_TIME"
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


def in_tenant(tenant: object) -> dict[str, Any]:
    """The claim of Firebase for a user of a tenant."""
    return {"sign_in_provider": "password", "tenant": tenant}


NO_TENANTS: list[Any] = [None, "", 7, True, [], ["shop"], {}, "t" * 65, "\ud800"]
NO_PROVIDERS: list[Any] = [..., [], "anonymous", {}, {"sign_in_provider": None}]


@pytest.mark.parametrize(
    ("person", "claims", "detail"),
    [
        ("ada", {"iss": "https://securetoken.google.com/evil", "aud": "evil"}, "ISSUER"),
        ("ada", {"iss": "https://securetoken.google.com/"}, "ISSUER"),
        ("ada", {"iss": ["https://securetoken.google.com/demo-livetoken"]}, "ISSUER"),
        *(("ada", {"auth_time": at}, "AUTH_TIME") for at in (..., NOW + 3600, "yesterday")),
        ("ada", {"sub": "u" * 129}, "SUBJECT"),
        *(("ada", {"firebase": it}, "SIGN_IN_PROVIDER") for it in NO_PROVIDERS),
        *(("ada", {"firebase": in_tenant(it)}, "TENANT") for it in NO_TENANTS),
        ("grace", {"iss": "https://accounts.google.com.evil.example"}, "ISSUER"),
        ("grace", {"iss": "http://accounts.google.com"}, "ISSUER"),
        ("grace", {"aud": "999-evil.apps.googleusercontent.com"}, "AUDIENCE"),
        ("grace", {"sub": "u" * 256}, "SUBJECT"),
        ("grace", {"iat": NOW + 3600}, "ISSUED_AT"),
        ("grace", {"exp": ...}, "EXPIRY"),
    ],
)
def test_a_wrong_claim_is_refused(
    livetoken: Stack, person: str, claims: dict[str, Any], detail: str
) -> None:
    assert refused_as(livetoken, livetoken.issuer.id_token(person, **claims)) == detail


def test_an_expired_token_with_another_fault_is_invalid(livetoken: Stack) -> None:
    token = livetoken.issuer.id_token("ada", exp=NOW - 3600, aud="evil")
    assert refused_as(livetoken, token) == "AUDIENCE"


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize(("person", "kind"), [("ada", "google"), ("grace", "firebase")])
def test_one_issuers_keys_check_no_tokens_of_the_other(
    livetoken: Stack, person: str, kind: Any
) -> None:
    claims = livetoken.issuer.claims(person)
    assert refused_as(livetoken, livetoken.issuer.sign(claims, kind=kind)) == "ISSUER"


def test_a_key_id_of_one_issuer_under_the_key_of_the_other_is_refused(livetoken: Stack) -> None:
    claims, kid = livetoken.issuer.claims("ada"), livetoken.issuer.header("firebase")["kid"]
    token = livetoken.issuer.sign(claims, kind="google", header={"kid": kid})
    assert refused_as(livetoken, token) == "SIGNATURE"


def test_a_key_id_of_both_issuers_is_the_key_of_each_for_its_own_tokens(alone: Stack) -> None:
    issuer = alone.issuer
    firebase, google = issuer.keys["firebase"][0], issuer.keys["google"][0]
    issuer.keys["firebase"].append(replace(firebase, kid="shared"))
    issuer.keys["google"].append(replace(google, kid="shared"))

    def token(person: str, key: SigningKey, kid: str = "shared") -> str:
        return issuer.sign(issuer.claims(person), header={"kid": kid}, key=key.private)

    with alone.running() as livetoken:
        people = (("ada", firebase, google), ("grace", google, firebase))
        for person, own, _ in people:  # both sets are fetched now
            assert livetoken.ask(token=token(person, own, own.kid)).status == 200
        for person, own, other in people:
            assert livetoken.ask(token=token(person, own)).status == 200
            assert refused_as(livetoken, token(person, other)) == "ISSUER"
            strange = replace(own, private=STRANGER)
            assert refused_as(livetoken, token(person, strange)) == "SIGNATURE"


def test_a_signature_that_cloud_run_removed_is_logged_as_that(livetoken: Stack) -> None:
    signed = livetoken.issuer.id_token("ada").rpartition(".")[0]
    token = f"{signed}.SIGNATURE_REMOVED_BY_GOOGLE"
    assert refused_as(livetoken, token) == "SIGNATURE_REMOVED_BY_GOOGLE"
