"""App Check: with `required`, only requests of the genuine app are served."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from app_checked import ACCOUNT_MODULES, HEADER, ask, refused_as, rules
from asking import function_of, imported, refused
from cryptography.hazmat.primitives.asymmetric import rsa
from stack import Stack, stack, until
from unfit_keys import SHORT, STRANGER, UNFIT, unfit_keys

from emulator import jwt
from emulator.tls import Certificate
from livetoken.refusals import Reason

NOW = int(time.time())


@pytest.fixture(scope="module")
def guard(certificate: Certificate) -> Iterator[Stack]:
    """A function that demands App Check; it is served unfit keys before the fit ones."""
    with stack(certificate) as unstarted:
        fit = jwt.jwk(STRANGER.public_key(), kid="fit")
        unstarted.app_check.jwks_extra = [*unfit_keys(), fit]
        with unstarted.running(rules("required"), PYTHONPROFILEIMPORTTIME="1") as started:
            until(lambda: started.app_check.key_fetches)
            yield started


# ------------------------------------------------------------------ off


@pytest.mark.parametrize("token", [None, "", "junk", "a.b.c", "a" * 8192])
def test_with_off_no_token_is_read(livetoken: Stack, token: str | None) -> None:
    fetches = livetoken.app_check.key_fetches
    assert ask(livetoken, token).status == 200
    assert ask(livetoken, livetoken.app_check.token(exp=NOW - 3600)).status == 200
    assert livetoken.app_check.key_fetches == fetches == 0
    assert not livetoken.app_check.checks


def test_with_off_a_second_header_and_a_long_one_are_still_refused(livetoken: Stack) -> None:
    assert refused_as(livetoken, "a" * 8193) == "TOKEN_TOO_LONG"
    twice(livetoken, livetoken.app_check.token())


@pytest.mark.provokes(Reason.APP_CHECK_FAILED)
def test_a_good_token_sent_twice_is_refused(guard: Stack) -> None:
    twice(guard, guard.app_check.token())


def twice(stack: Stack, token: str) -> None:
    before, lines = len(stack.gemini.mints), len(stack.log())
    headers = [("Authorization", f"Bearer {stack.issuer.id_token('ada')}"), (HEADER, token)]
    assert stack.send([*headers, (HEADER, token)], b"").is_refusal(Reason.APP_CHECK_FAILED)
    assert stack.logged(lines + 1)["detail"] == "HEADER_TWICE"
    assert len(stack.gemini.mints) == before


# ------------------------------------------------------------------ required: the token


@pytest.mark.parametrize(
    "aud",
    [
        ["projects/123456789012", "projects/demo-livetoken"],
        ["projects/demo-livetoken"],
        ["projects/123456789012"],
        ["projects/another", "projects/demo-livetoken"],
        [7, None, {}, "projects/123456789012"],
    ],
)
def test_a_token_for_this_project_passes(guard: Stack, aud: list[Any]) -> None:
    assert ask(guard, guard.app_check.token(aud=aud)).status == 200


def test_with_required_a_token_passes_again_and_again(guard: Stack) -> None:
    token = guard.app_check.token()
    for _ in range(3):
        assert ask(guard, token).status == 200
    assert not guard.app_check.checks
    assert guard.metadata.fetches == 0


def test_callers_of_both_issuers_need_a_token(guard: Stack) -> None:
    google = guard.issuer.id_token("grace")
    assert guard.ask(token=google, headers={HEADER: guard.app_check.token()}).status == 200
    assert guard.ask(token=google).is_refusal(Reason.APP_CHECK_FAILED)


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_refused(guard: Stack, token: str | None) -> None:
    assert refused_as(guard, token) == "NO_TOKEN"


@pytest.mark.parametrize(
    "token",
    [
        *("Bearer {token}", "{token}, {token}", "{token} {token}", "{token}\t{token}"),
        *("'{token}'", "{token}\u00e9"),
    ],
)
def test_a_header_that_is_more_than_a_token_is_refused(guard: Stack, token: str) -> None:
    sent = token.format(token=guard.app_check.token())
    assert refused_as(guard, sent) == "TOKEN_MALFORMED"


ISSUER = "https://firebaseappcheck.googleapis.com"


@pytest.mark.parametrize(
    "iss",
    [
        *(f"{ISSUER}/{number}" for number in ("999999999999", "1234567890123", "123456789012/")),
        *(f"{ISSUER}/demo-livetoken", f"{ISSUER}/", [f"{ISSUER}/123456789012"]),
        "http://firebaseappcheck.googleapis.com/123456789012",
    ],
)
def test_another_issuer_is_refused(guard: Stack, iss: Any) -> None:
    assert refused_as(guard, guard.app_check.token(iss=iss)) == "ISSUER"


@pytest.mark.parametrize(
    "aud",
    [
        *("projects/demo-livetoken", "projects/123456789012", ["projects/another"]),
        *(["demo-livetoken", "123456789012"], [["projects/demo-livetoken"]]),
        ["projects/demo-livetoken2", "projects/1234567890123"],
        {"projects/demo-livetoken": 1},
    ],
)
def test_another_audience_is_refused(guard: Stack, aud: Any) -> None:
    assert refused_as(guard, guard.app_check.token(aud=aud)) == "AUDIENCE"


def test_an_expired_token_is_refused(guard: Stack) -> None:
    assert refused_as(guard, guard.app_check.token(exp=NOW - 60)) == "EXPIRY"


# ------------------------------------------------------------------ which app

WEB, PHONE = "1:123456789012:web:0123456789abcdef", "1:123456789012:android:fedcba9876543210"
only_two_apps = function_of(rules("required", WEB, PHONE))


@pytest.mark.parametrize("app", [WEB, PHONE])
def test_an_accepted_app_passes(only_two_apps: Stack, app: str) -> None:
    assert ask(only_two_apps, only_two_apps.app_check.token(sub=app)).status == 200


@pytest.mark.parametrize(
    "app",
    [
        *("1:123456789012:web:fedcba9876543210", "1:123456789012:ios:0123456789abcdef"),
        *("1:999999999999:web:0123456789abcdef", f"{WEB} ", f"{WEB}0", WEB[:-1], WEB.upper()),
        *(f"{WEB},{PHONE}", "*", "1:123456789012:web:*"),
    ],
)
def test_another_app_of_the_project_is_refused(only_two_apps: Stack, app: str) -> None:
    token = only_two_apps.app_check.token(sub=app)
    line = refused(only_two_apps, Reason.APP_CHECK_FAILED, headers={HEADER: token})
    assert (line["detail"], line["rule"]) == ("APP_NOT_ACCEPTED", "callers.app_check_apps")


def test_without_a_list_every_app_of_the_project_passes(guard: Stack) -> None:
    for app in (WEB, PHONE, "1:123456789012:web:fedcba9876543210"):
        assert ask(guard, guard.app_check.token(sub=app)).status == 200


def test_an_app_is_read_from_verified_tokens_only(only_two_apps: Stack) -> None:
    service = only_two_apps.app_check
    forged = service.sign(service.claims(), key=STRANGER)
    assert refused_as(only_two_apps, forged) == "SIGNATURE"
    assert refused_as(only_two_apps, service.token(iss=f"{ISSUER}/999999999999")) == "ISSUER"


# ------------------------------------------------------------------ whose token, whose key


def test_id_tokens_and_app_check_tokens_are_never_confused(guard: Stack) -> None:
    assert refused_as(guard, guard.issuer.id_token("ada")) == "UNKNOWN_KEY"
    check = guard.app_check.token()
    answer = guard.ask(token=check, headers={HEADER: check})
    assert answer.is_refusal(Reason.INVALID_ID_TOKEN)


@pytest.mark.parametrize("kind", ["firebase", "google"])
def test_a_key_of_id_tokens_signs_no_app_check_token(guard: Stack, kind: Any) -> None:
    key = guard.issuer.keys[kind][-1]
    claims = guard.app_check.claims()
    named = guard.app_check.sign(claims, key=key.private, header={"kid": key.kid})
    assert refused_as(guard, named) == "UNKNOWN_KEY"
    assert refused_as(guard, guard.app_check.sign(claims, key=key.private)) == "SIGNATURE"
    as_app_check = guard.issuer.id_token("ada", **claims)
    assert refused_as(guard, as_app_check) == "UNKNOWN_KEY"


def test_a_key_of_app_check_signs_no_id_token(guard: Stack) -> None:
    key, before = guard.app_check.keys[-1], len(guard.gemini.mints)
    claims = guard.issuer.claims("ada")
    for header in ({"kid": key.kid}, {}):
        token = guard.issuer.sign(claims, key=key.private, header=header)
        answer = guard.ask(token=token, headers={HEADER: guard.app_check.token()})
        assert answer.is_refusal(Reason.INVALID_ID_TOKEN)
    assert len(guard.gemini.mints) == before


def test_a_token_signed_with_an_unfit_key_is_refused(guard: Stack) -> None:
    claims = guard.app_check.claims()
    signers: dict[str, rsa.RSAPrivateKey] = {
        **dict.fromkeys([*UNFIT, "7", "None", "listed", "bare", "truly-elliptic"], STRANGER),
        "short": SHORT,
    }
    for kid, key in signers.items():
        token = guard.app_check.sign(claims, header={"kid": kid}, key=key)
        assert refused_as(guard, token) == "UNKNOWN_KEY", kid
    fit = guard.app_check.sign(claims, header={"kid": "fit"}, key=STRANGER)
    assert ask(guard, fit).status == 200


# ------------------------------------------------------------------ the order


def test_the_id_token_is_checked_before_and_the_rules_after(guard: Stack) -> None:
    assert guard.ask(token=None).is_refusal(Reason.NO_CREDENTIAL)
    bad = guard.issuer.id_token("ada", aud="another")
    assert guard.ask(token=bad, headers={HEADER: "x"}).is_refusal(Reason.INVALID_ID_TOKEN)
    expired = guard.issuer.id_token("ada", exp=NOW - 60)
    assert guard.ask(token=expired, headers={HEADER: "x"}).is_refusal(Reason.ID_TOKEN_EXPIRED)
    for claims in ({"email_verified": False}, {"firebase": {"sign_in_provider": "anonymous"}}):
        assert ask(guard, "x", **claims).is_refusal(Reason.APP_CHECK_FAILED)
        assert ask(guard, guard.app_check.token(), **claims).is_refusal(Reason.NOT_ALLOWED)
    for body in (b"{", b"a" * 9000, {"profile": "nobody"}, {"profile": "pro"}):
        assert ask(guard, "x", body).is_refusal(Reason.APP_CHECK_FAILED)


def test_many_requests_cost_one_fetch_of_keys(guard: Stack) -> None:
    for number in range(20):
        assert ask(guard, guard.app_check.token()).status == 200
        header = {"kid": f"junk{number}"}
        junk = guard.app_check.sign(guard.app_check.claims(), header=header)
        assert ask(guard, junk).is_refusal(Reason.APP_CHECK_FAILED)
    assert guard.app_check.key_fetches == 1


def test_required_imports_no_client_of_the_service_account(guard: Stack) -> None:
    assert ask(guard, guard.app_check.token()).status == 200
    assert not imported(guard) & {*ACCOUNT_MODULES, "google.genai"}


def test_off_and_without_limits_neither_the_account_nor_limits_are_imported(alone: Stack) -> None:
    with alone.running(rules("off"), PYTHONPROFILEIMPORTTIME="1") as livetoken:
        assert ask(livetoken, None).status == 200
        assert not imported(livetoken) & {*ACCOUNT_MODULES, "google.genai", "limits"}
