"""App Check: only the genuine app is served, and where the policy says so each token once."""

import asyncio
import base64
import json
import re
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pytest import TempPathFactory
from stack import API_KEY, Answer, Stack, stack, until
from starlette.responses import Response

from emulator import jwt
from emulator.app_check import AppCheck
from emulator.faults import SECRET
from emulator.function import NotStarted
from emulator.issuer import signing_key
from emulator.server import Server
from emulator.tls import Certificate
from livetoken import app_check, fetch, keys
from livetoken.cli.main import main
from livetoken.keys import KeySet
from livetoken.mistakes import Mistakes
from livetoken.policy import CallerRules, Policy
from livetoken.refusals import Detail, Reason, Refused
from livetoken.settings import Settings

HEADER = "X-Firebase-AppCheck"
NOW = int(time.time())

PROFILES = """
[profiles.default]
model = "gemini-3.8-live"
[profiles.default.config]
response_modalities = ["AUDIO"]
[profiles.pro]
model = "gemini-3.8-live"
require = { plan = ["enterprise"] }
[profiles.pro.config]
response_modalities = ["AUDIO"]
[profiles.told]
model = "gemini-3.8-live"
claims = { level = { max_length = 5 } }
[profiles.told.config]
response_modalities = ["AUDIO"]
system_instruction = "Speak as for ${claim.level}."
"""


def rules(mode: str) -> str:
    """A policy with App Check."""
    everybody = "allow_anonymous = false\nrequire = { email_verified = [true] }\n"
    return f'api_version = "v1alpha"\n[callers]\napp_check = "{mode}"\n{everybody}{PROFILES}'


# ------------------------------------------------------------------ keys that are not for this

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
    "exponent-one": {"e": "AQ"},
    "exponent-even": {"e": "BA"},
    "exponent-of-a-list": {"e": ["AQAB"]},
}
"""Members that make a stranger's RSA key unfit, by the key's id."""


def elliptic(kid: str) -> dict[str, Any]:
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    x, y = (jwt.base64url(each.to_bytes(32)) for each in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": x, "y": y}


def unfit_keys() -> list[Any]:
    """All of them, and what is no key at all, as they stand in a key set."""
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


# ------------------------------------------------------------------ the functions


@contextmanager
def locked(unstarted: Stack, folder: Path, mode: str) -> Iterator[Stack]:
    """A function that starts from a fresh lock and prints what it imports."""
    file = folder / "policy.toml"
    file.write_text(rules(mode))
    assert main(["lock", "--policy", str(file)]) == 0
    with unstarted.running(POLICY_FILE=str(file), PYTHONPROFILEIMPORTTIME="1") as started:
        yield started


@pytest.fixture(scope="module")
def guard(certificate: Certificate, tmp_path_factory: TempPathFactory) -> Iterator[Stack]:
    """A function that demands App Check; its keys come after many that are not for this."""
    with stack(certificate) as unstarted:
        fit = jwt.jwk(STRANGER.public_key(), kid="fit")
        unstarted.app_check.jwks_extra = [*unfit_keys(), fit]
        with locked(unstarted, tmp_path_factory.mktemp("guard"), "required") as started:
            until(lambda: started.app_check.key_fetches)
            yield started


@pytest.fixture(scope="module")
def once(certificate: Certificate, tmp_path_factory: TempPathFactory) -> Iterator[Stack]:
    with (
        stack(certificate) as unstarted,
        locked(unstarted, tmp_path_factory.mktemp("once"), "consume") as started,
    ):
        yield started


@pytest.fixture
def consuming(once: Stack) -> Iterator[Stack]:
    """A function that lets each token in once."""
    yield once
    once.app_check.verdict_fault = None
    once.app_check.verdict_delay = 0
    once.gemini.behaviour.fault = None
    once.gemini.behaviour.delay = 0


def ask(
    stack: Stack, check: str | None, body: bytes | dict[str, Any] = b"{}", **claims: Any
) -> Answer:
    """Ask with an App Check token, as Ada with some claims changed."""
    token = stack.issuer.id_token("ada", **claims)
    return stack.ask(body, token=token, headers={HEADER: check})


def refused_as(stack: Stack, check: str | None) -> str | None:
    """Ask, assert APP_CHECK_FAILED and nothing at Gemini, return the log's detail."""
    before, lines = len(stack.gemini.mints), len(stack.log())
    assert ask(stack, check).is_refusal(Reason.APP_CHECK_FAILED)
    assert len(stack.gemini.mints) == before
    line = stack.logged(lines + 1)
    assert (line["severity"], line["sub"]) == ("NOTICE", "ada-uid")
    detail: str | None = line.get("detail")
    return detail


def unavailable_as(stack: Stack, check: str) -> str | None:
    """Ask, assert APP_CHECK_UNAVAILABLE and nothing at Gemini, return the log's detail."""
    before, lines = len(stack.gemini.mints), len(stack.log())
    assert ask(stack, check).is_refusal(Reason.APP_CHECK_UNAVAILABLE)
    assert len(stack.gemini.mints) == before
    line = stack.logged(lines + 1)
    assert line["severity"] == "ERROR"
    detail: str | None = line.get("detail")
    return detail


# ------------------------------------------------------------------ off


@pytest.mark.parametrize("token", [None, "", "junk", "a.b.c", "a" * 8192])
def test_switched_off_it_looks_at_no_token(livetoken: Stack, token: str | None) -> None:
    fetches = livetoken.app_check.key_fetches
    assert ask(livetoken, token).status == 200
    assert ask(livetoken, livetoken.app_check.token(exp=NOW - 3600)).status == 200
    assert livetoken.app_check.key_fetches == fetches == 0
    assert not livetoken.app_check.checks


def test_switched_off_it_still_takes_no_second_and_no_endless_header(livetoken: Stack) -> None:
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


def test_a_token_passes_again_and_again_where_it_is_not_used_up(guard: Stack) -> None:
    token = guard.app_check.token()
    for _ in range(3):
        assert ask(guard, token).status == 200
    assert not guard.app_check.checks
    assert guard.metadata.fetches == 0


def test_any_caller_needs_one(guard: Stack) -> None:
    google = guard.issuer.id_token("grace")
    assert guard.ask(token=google, headers={HEADER: guard.app_check.token()}).status == 200
    assert guard.ask(token=google).is_refusal(Reason.APP_CHECK_FAILED)


def test_a_clock_ten_seconds_off_is_accepted(guard: Stack) -> None:
    now = int(time.time())
    assert ask(guard, guard.app_check.token(iat=now + 8)).status == 200
    assert ask(guard, guard.app_check.token(exp=now - 4)).status == 200


@pytest.mark.provokes(Reason.APP_CHECK_FAILED)
@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_refused(guard: Stack, token: str | None) -> None:
    assert refused_as(guard, token) == "NO_TOKEN"


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "a.b",
        "..",
        "e30.e30.",
        "e30.e30.AA",
        "null",
        "Bearer {token}",
        "{token}, {token}",
        "{token} {token}",
        "{token}.",
        "{token}=",
        ".{token}",
        "'{token}'",
        "{token}\u00e9",
        "{token}\t{token}",
    ],
)
def test_a_malformed_token_is_refused(guard: Stack, token: str) -> None:
    sent = token.format(token=guard.app_check.token())
    assert refused_as(guard, sent) in ("TOKEN_MALFORMED", "ALGORITHM")


@pytest.mark.parametrize(("length", "detail"), [(8188, None), (8204, "TOKEN_TOO_LONG")])
def test_a_genuine_token_is_at_most_8_kib(guard: Stack, length: int, detail: str | None) -> None:
    bare = len(guard.app_check.token(pad=""))
    token = guard.app_check.token(pad="a" * ((length - bare) * 3 // 4))
    assert abs(len(token) - length) < 8
    if detail is None:
        assert ask(guard, token).status == 200
    else:
        assert refused_as(guard, token) == detail


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"iss": "https://firebaseappcheck.googleapis.com/999999999999"}, "ISSUER"),
        ({"iss": "https://firebaseappcheck.googleapis.com/1234567890123"}, "ISSUER"),
        ({"iss": "https://firebaseappcheck.googleapis.com/123456789012/"}, "ISSUER"),
        ({"iss": "https://firebaseappcheck.googleapis.com/demo-livetoken"}, "ISSUER"),
        ({"iss": "http://firebaseappcheck.googleapis.com/123456789012"}, "ISSUER"),
        ({"iss": "https://firebaseappcheck.googleapis.com/"}, "ISSUER"),
        ({"iss": ["https://firebaseappcheck.googleapis.com/123456789012"]}, "ISSUER"),
        ({"iss": None}, "ISSUER"),
        ({"iss": ...}, "ISSUER"),
        ({"aud": "projects/demo-livetoken"}, "AUDIENCE"),
        ({"aud": "projects/123456789012"}, "AUDIENCE"),
        ({"aud": ["projects/another"]}, "AUDIENCE"),
        ({"aud": ["demo-livetoken", "123456789012"]}, "AUDIENCE"),
        ({"aud": ["projects/demo-livetoken2", "projects/1234567890123"]}, "AUDIENCE"),
        ({"aud": [["projects/demo-livetoken"]]}, "AUDIENCE"),
        ({"aud": {"projects/demo-livetoken": 1}}, "AUDIENCE"),
        ({"aud": []}, "AUDIENCE"),
        ({"aud": None}, "AUDIENCE"),
        ({"aud": ...}, "AUDIENCE"),
        ({"exp": NOW - 60}, "EXPIRY"),
        ({"exp": 0}, "EXPIRY"),
        ({"exp": str(NOW + 3600)}, "EXPIRY"),
        ({"exp": NOW + 3600.5}, "EXPIRY"),
        ({"exp": True}, "EXPIRY"),
        ({"exp": None}, "EXPIRY"),
        ({"exp": ...}, "EXPIRY"),
        ({"iat": NOW + 3600}, "ISSUED_AT"),
        ({"iat": str(NOW)}, "ISSUED_AT"),
        ({"iat": ...}, "ISSUED_AT"),
        ({"nbf": NOW + 3600}, "NOT_BEFORE"),
        ({"sub": ...}, "SUBJECT"),
        ({"sub": ""}, "SUBJECT"),
        ({"sub": None}, "SUBJECT"),
        ({"sub": 7}, "SUBJECT"),
        ({"sub": "a" * 256}, "SUBJECT"),
    ],
)
def test_a_claim_out_of_order_is_refused(guard: Stack, claims: dict[str, Any], detail: str) -> None:
    assert refused_as(guard, guard.app_check.token(**claims)) == detail


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ({"alg": "none"}, "ALGORITHM"),
        ({"alg": "HS256"}, "ALGORITHM"),
        ({"alg": "RS512"}, "ALGORITHM"),
        ({"alg": "ES256"}, "ALGORITHM"),
        ({"alg": ...}, "ALGORITHM"),
        ({"kid": "unheard-of"}, "UNKNOWN_KEY"),
        ({"kid": ...}, "KEY_ID"),
        ({"kid": ""}, "KEY_ID"),
        ({"kid": 7}, "KEY_ID"),
        ({"kid": ["listed"]}, "KEY_ID"),
        ({"kid": None}, "KEY_ID"),
        ({"crit": ["exp"]}, "CRITICAL_HEADER"),
        ({"typ": "at+jwt"}, "TOKEN_TYPE"),
    ],
)
def test_a_header_out_of_order_is_refused(
    guard: Stack, header: dict[str, Any], detail: str
) -> None:
    token = guard.app_check.sign(guard.app_check.claims(), header=header)
    assert refused_as(guard, token) == detail


def test_an_unsigned_token_is_refused(guard: Stack) -> None:
    claims = jwt.base64url(json.dumps(guard.app_check.claims()).encode())
    header = jwt.base64url(json.dumps({"alg": "none", "kid": guard.app_check.kid}).encode())
    for token in (f"{header}.{claims}.", f"{header}.{claims}.AA", f"{header}.{claims}"):
        assert refused_as(guard, token) in ("TOKEN_MALFORMED", "ALGORITHM")


def test_any_other_signature_is_refused(guard: Stack) -> None:
    claims = guard.app_check.claims()
    signed, _, signature = guard.app_check.sign(claims).rpartition(".")
    other = guard.app_check.token().rpartition(".")[2]
    for wrong in ("AA", other, jwt.base64url(bytes(256)), signature[:-4], signature[4:]):
        assert refused_as(guard, f"{signed}.{wrong}") == "SIGNATURE"
    header, payload, _ = guard.app_check.token(sub="another").split(".")
    assert refused_as(guard, f"{header}.{payload}.{signature}") == "SIGNATURE"
    assert refused_as(guard, guard.app_check.sign(claims, key=STRANGER)) == "SIGNATURE"


# ------------------------------------------------------------------ whose token, whose key


def test_a_token_of_one_kind_never_stands_for_the_other(guard: Stack) -> None:
    assert refused_as(guard, guard.issuer.id_token("ada")) == "ISSUER"
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


def test_a_token_that_an_unfit_key_truly_signed_is_refused(guard: Stack) -> None:
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


def test_the_id_token_comes_first_and_the_rules_after(guard: Stack) -> None:
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


# ------------------------------------------------------------------ the keys


def test_many_requests_cost_one_fetch_of_keys(guard: Stack) -> None:
    for number in range(20):
        assert ask(guard, guard.app_check.token()).status == 200
        header = {"kid": f"junk{number}"}
        junk = guard.app_check.sign(guard.app_check.claims(), header=header)
        assert ask(guard, junk).is_refusal(Reason.APP_CHECK_FAILED)
    assert guard.app_check.key_fetches == 1


@pytest.mark.provokes(Reason.APP_CHECK_UNAVAILABLE)
def test_keys_that_cannot_be_had_are_a_503_and_come_back(alone: Stack) -> None:
    alone.app_check.key_fault = 500
    with alone.running(rules("required")) as livetoken:
        token = alone.app_check.token()
        answer = ask(livetoken, token)
        assert answer.is_refusal(Reason.APP_CHECK_UNAVAILABLE)
        assert refused_as(livetoken, None) == "NO_TOKEN"
        assert not alone.gemini.mints
        alone.app_check.key_fault = None
        time.sleep(int(answer.headers["retry-after"]))
        assert ask(livetoken, token).status == 200


class Part:
    """The part that verifies, in this process, with a clock to set and real endpoints."""

    def __init__(
        self, url: str, clock: Callable[[], float], credentials: app_check.Credentials | None
    ) -> None:
        http = fetch.Http()
        self.part = app_check.AppCheck(
            http,
            KeySet(
                http,
                f"{url}/v1/jwks",
                keys.jwks,
                unavailable=Reason.APP_CHECK_UNAVAILABLE,
                unknown=Reason.APP_CHECK_FAILED,
                now=clock,
            ),
            project="demo-livetoken",
            number="123456789012",
            base_url=url,
            credentials=credentials,
        )

    async def refusal(self, doing: Awaitable[None]) -> Refused:
        with pytest.raises(Refused) as refused:
            await doing
        return refused.value


def with_part(
    service: AppCheck,
    test: Callable[[Part, list[float]], Coroutine[Any, Any, None]],
    credentials: app_check.Credentials | None = None,
) -> None:
    seconds = [1000.0]
    with Server(service.app) as server:
        asyncio.run(test(Part(server.url, lambda: seconds[0], credentials), seconds))


@pytest.mark.parametrize("fault", ["html", "json", "huge", 301, 404, 500, 503])
def test_every_answer_without_keys_is_unavailable_and_none_for_good(fault: int | str) -> None:
    service = AppCheck()
    service.key_fault = fault

    async def test(part: Part, seconds: list[float]) -> None:
        refused = await part.refusal(part.part.verify(service.token()))
        assert (refused.reason, refused.detail) == (Reason.APP_CHECK_UNAVAILABLE, Detail.NOT_KEYS)
        assert refused.retry_after == keys.RETRY_COLD
        service.key_fault = None
        seconds[0] += keys.RETRY_COLD
        await part.part.verify(service.token())

    with_part(service, test)


@pytest.mark.parametrize(
    "document",
    [
        *(b"", b"{", b"null", b"[]", b"7", b"\xff", b"[" * 10_000, b"{}", b'{"keys": null}'),
        *(b'{"keys": {}}', b'{"keys": "keys"}', b'{"keys": []}'),
        json.dumps({"keys": unfit_keys()}).encode(),
    ],
)
def test_a_document_without_a_fit_key_is_unavailable(document: bytes) -> None:
    async def test(url: str) -> None:
        part = Part(url, time.monotonic, None)
        refused = await part.refusal(part.part.verify(AppCheck().token()))
        assert (refused.reason, refused.detail) == (Reason.APP_CHECK_UNAVAILABLE, Detail.NOT_KEYS)

    with Server(Response(document, media_type="application/json")) as server:
        asyncio.run(test(server.url))


def test_an_app_check_that_is_not_there_is_unavailable() -> None:
    class Anybody:
        async def headers(self) -> Mapping[str, str]:
            return {"authorization": "Bearer x"}

        def forget(self) -> None: ...

    async def test() -> None:
        part, token = Part("http://127.0.0.1:1", time.monotonic, Anybody()), AppCheck().token()
        for doing in (part.part.verify(token), part.part.use(token)):
            refused = await part.refusal(doing)
            assert refused.reason is Reason.APP_CHECK_UNAVAILABLE
            assert refused.detail is Detail.CONNECTION

    asyncio.run(test())


def test_a_new_key_is_found_and_an_old_one_forgotten() -> None:
    service = AppCheck(max_age=600)

    async def test(part: Part, seconds: list[float]) -> None:
        old = service.token()
        await part.part.verify(old)
        service.rotate()
        service.drop_old()
        assert (await part.refusal(part.part.verify(service.token()))).detail is Detail.UNKNOWN_KEY
        seconds[0] += keys.RETRY_WARM
        await part.part.verify(service.token())
        refused = await part.refusal(part.part.verify(old))
        assert (refused.reason, refused.detail) == (Reason.APP_CHECK_FAILED, Detail.UNKNOWN_KEY)
        assert service.key_fetches == 2

    with_part(service, test)


def test_app_checks_keys_are_kept_for_six_hours_at_most() -> None:
    service = AppCheck(max_age=10**6)

    async def test(part: Part, seconds: list[float]) -> None:
        await part.part.verify(service.token())
        seconds[0] += 6 * 3600 - 1
        await part.part.verify(service.token())
        assert service.key_fetches == 1
        seconds[0] += 2
        await part.part.verify(service.token())
        assert service.key_fetches == 2

    with_part(service, test)


# ------------------------------------------------------------------ each token once


@pytest.mark.provokes(Reason.APP_CHECK_FAILED)
def test_a_second_use_is_refused(consuming: Stack) -> None:
    token, checks = consuming.app_check.token(), len(consuming.app_check.checks)
    assert ask(consuming, token).status == 200
    assert refused_as(consuming, token) == "ALREADY_USED"
    assert ask(consuming, token, sub="another").is_refusal(Reason.APP_CHECK_FAILED)
    (check, _, _) = consuming.app_check.checks[checks:]
    assert check.token == token
    scheme, access_token = (check.authorization or "").split()
    assert scheme == "Bearer"
    assert access_token in consuming.metadata.access_tokens
    assert consuming.metadata.scopes == ("https://www.googleapis.com/auth/firebase",)


def test_another_text_of_a_used_token_is_no_other_token(consuming: Stack) -> None:
    token = consuming.app_check.token()
    assert ask(consuming, token).status == 200
    padding = base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        same = token[:-1] + last
        if base64.urlsafe_b64decode(same.rpartition(".")[2] + "==") == padding and same != token:
            assert refused_as(consuming, same) == "ALREADY_USED"


def test_one_access_token_serves_many(consuming: Stack) -> None:
    assert ask(consuming, consuming.app_check.token()).status == 200
    fetches = consuming.metadata.fetches
    for _ in range(5):
        assert ask(consuming, consuming.app_check.token()).status == 200
    assert consuming.metadata.fetches == fetches


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        *((status, "STATUS") for status in (400, 401, 403, 404, 429, 500, 503)),
        *((word, "NOT_A_VERDICT") for word in ("html", "list", "badverdict")),
        ("reset", "CONNECTION"),
    ],
)
def test_whatever_is_no_verdict_mints_nothing_and_passes(
    consuming: Stack, fault: int | str, detail: str
) -> None:
    token = consuming.app_check.token()
    consuming.app_check.verdict_fault = fault
    assert unavailable_as(consuming, token) == detail
    consuming.app_check.verdict_fault = None
    assert ask(consuming, token).status == 200


@pytest.mark.provokes(Reason.APP_CHECK_UNAVAILABLE)
def test_a_verdict_that_never_comes_is_given_up_after_five_seconds(consuming: Stack) -> None:
    consuming.app_check.verdict_fault = "hang"
    began = time.monotonic()
    assert unavailable_as(consuming, consuming.app_check.token()) == "NO_ANSWER"
    assert 4.5 < time.monotonic() - began < 7


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"7", b"[]", b'"{}"', b"\xff", b"[" * 4000, b'{"alreadyConsumed": null}']
    + [b'{"alreadyConsumed": %s}' % each for each in (b"0", b"1", b'"true"', b"[]", b"{}")],
)
def test_only_a_verdict_is_a_verdict(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        app_check._already_used(body)
    assert refused.value.reason is Reason.APP_CHECK_UNAVAILABLE


def test_an_account_that_takes_for_ever_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        async def headers(self) -> Mapping[str, str]:
            await asyncio.sleep(60)
            return {}

        def forget(self) -> None: ...

    monkeypatch.setattr(app_check, "CHECK_TIMEOUT", 0.2)
    service = AppCheck()

    async def test(part: Part, _: list[float]) -> None:
        refused = await part.refusal(part.part.use(service.token()))
        assert refused.reason is Reason.APP_CHECK_UNAVAILABLE
        assert refused.retry_after == app_check.RETRY_AFTER

    began = time.monotonic()
    with_part(service, test, Slow())
    assert time.monotonic() - began < 2
    assert not service.checks


def test_without_an_access_token_nothing_is_minted_until_there_is_one(alone: Stack) -> None:
    alone.metadata.fault, alone.metadata.life = 404, 1
    with alone.running(rules("consume")) as livetoken:
        token = alone.app_check.token()
        for _ in range(10):
            assert unavailable_as(livetoken, token) == "NO_ACCESS_TOKEN"
        assert alone.metadata.fetches <= 2  # of the warm-up, and of the first caller perhaps
        assert not alone.app_check.checks
        alone.metadata.fault = None
        time.sleep(app_check.RETRY_AFTER)
        assert ask(livetoken, token).status == 200
        assert refused_as(livetoken, token) == "ALREADY_USED"
        ran_out = alone.app_check.checks[-1].authorization
        time.sleep(alone.metadata.life + 0.1)
        assert ask(livetoken, alone.app_check.token()).status == 200
        assert alone.app_check.checks[-1].authorization != ran_out


@pytest.mark.parametrize(
    ("body", "claims", "reason"),
    [
        (b"{}", {"email_verified": False}, Reason.NOT_ALLOWED),
        (b"{", {}, Reason.INVALID_REQUEST),
        (b"a" * 9000, {}, Reason.BODY_TOO_LARGE),
        ({"resume": "a\nb"}, {}, Reason.INVALID_REQUEST),
        ({"resume": "a handle"}, {}, Reason.INVALID_REQUEST),
        ({"profile": "nobody"}, {}, Reason.UNKNOWN_PROFILE),
        ({"profile": "pro"}, {}, Reason.NOT_ALLOWED),
        ({"profile": "told"}, {"level": "far too long"}, Reason.NOT_ALLOWED),
        ({"profile": "told"}, {"level": ...}, Reason.NOT_ALLOWED),
    ],
)
def test_what_is_refused_before_uses_no_token_up(
    consuming: Stack, body: bytes | dict[str, Any], claims: dict[str, Any], reason: Reason
) -> None:
    token, checks = consuming.app_check.token(), len(consuming.app_check.checks)
    before = len(consuming.gemini.mints)
    assert ask(consuming, token, body, **claims).is_refusal(reason)
    assert len(consuming.gemini.mints) == before
    assert len(consuming.app_check.checks) == checks
    assert ask(consuming, token, {"profile": "told"}).status == 200


def test_no_bad_token_reaches_the_check(consuming: Stack) -> None:
    checks = len(consuming.app_check.checks)
    for claims in ({"aud": ["projects/another"]}, {"exp": NOW - 60}, {"sub": ""}):
        assert refused_as(consuming, consuming.app_check.token(**claims))
    assert refused_as(consuming, "x") == "TOKEN_MALFORMED"
    assert refused_as(consuming, None) == "NO_TOKEN"
    assert len(consuming.app_check.checks) == checks


def test_a_token_is_used_up_by_a_mint_that_failed(consuming: Stack) -> None:
    token = consuming.app_check.token()
    consuming.gemini.behaviour.fault = 500
    assert ask(consuming, token).is_refusal(Reason.GEMINI_UNAVAILABLE)
    consuming.gemini.behaviour.fault = None
    assert refused_as(consuming, token) == "ALREADY_USED"


def test_twenty_at_once_with_one_token_mint_once(consuming: Stack) -> None:
    token, before = consuming.app_check.token(), len(consuming.gemini.mints)
    consuming.app_check.verdict_delay = consuming.gemini.behaviour.delay = 0.3
    together = threading.Barrier(20)

    def one(_: int) -> Answer:
        together.wait(10)
        return ask(consuming, token)

    checks = len(consuming.app_check.checks)
    with ThreadPoolExecutor(20) as callers:
        answers = list(callers.map(one, range(20)))
    assert len(consuming.app_check.checks) - checks == 20
    assert [answer.status for answer in answers].count(200) == 1
    refused = [answer for answer in answers if answer.status != 200]
    assert all(answer.is_refusal(Reason.APP_CHECK_FAILED) for answer in refused)
    assert len(consuming.gemini.mints) == before + 1


def test_no_output_holds_a_secret_of_app_check(consuming: Stack) -> None:
    good, used = consuming.app_check.token(), consuming.app_check.token()
    tokens = [used, consuming.app_check.token(exp=NOW - 60), consuming.app_check.token(aud="x")]
    answers = [ask(consuming, token) for token in (used, *tokens)]
    for fault in (403, 500, "html", "badverdict", "reset"):
        consuming.app_check.verdict_fault = fault
        answers.append(ask(consuming, good))
    shown = consuming.function.output().encode() + b"".join(answer.body for answer in answers)
    pieces = [piece for token in (good, *tokens) for piece in token.split(".")]
    authorizations = {check.authorization or "" for check in consuming.app_check.checks}
    access_tokens = consuming.metadata.access_tokens
    assert authorizations == {f"Bearer {each}" for each in access_tokens}
    for secret in (*pieces, *access_tokens, "ya29", API_KEY, SECRET, "Traceback"):
        assert secret.encode() not in shown


# ------------------------------------------------------------------ at start


OF_THE_ACCOUNT = {"livetoken.service_account", "google.auth.transport.requests", "requests"}


def imported(stack: Stack) -> set[str]:
    """What a function imported to start and to serve; the SDK, if at all, brings the rest."""
    found = set(re.findall(r"\|\s+([\w.]+)$", stack.function.output(), re.MULTILINE))
    assert "livetoken.app_check" in found
    return found & {*OF_THE_ACCOUNT, "google.genai"}


def test_only_used_once_imports_the_client_of_the_account(guard: Stack, once: Stack) -> None:
    for function in (guard, once):
        assert ask(function, function.app_check.token()).status == 200
    assert imported(guard) == set()
    assert imported(once) == OF_THE_ACCOUNT


def test_switched_off_it_imports_no_client_of_the_account(alone: Stack, tmp_path: Path) -> None:
    with locked(alone, tmp_path, "off") as livetoken:
        assert ask(livetoken, None).status == 200
        assert imported(livetoken) == set()


GOOD = {
    "GEMINI_API_KEY": "key",
    "FIREBASE_PROJECT_ID": "demo-project",
    "FIREBASE_PROJECT_NUMBER": "123456789012",
}


def problems(mode: str, **changes: str | None) -> list[str]:
    """The variables that are reported where the policy has App Check in that mode."""
    environment = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
    policy = Policy("v1alpha", CallerRules(app_check=mode), {})
    try:
        Settings.read(environment, policy)
    except Mistakes as found:
        return [mistake.path for mistake in found.mistakes]
    return []


@pytest.mark.parametrize("mode", ["required", "consume"])
def test_app_check_needs_one_project_and_its_number(mode: str) -> None:
    assert problems(mode) == []
    assert problems(mode, GOOGLE_CLIENT_IDS="1-a.apps.example") == []
    number, project = "FIREBASE_PROJECT_NUMBER", "FIREBASE_PROJECT_ID"
    assert problems(mode, FIREBASE_PROJECT_NUMBER=None) == [number]
    assert problems(mode, FIREBASE_PROJECT_NUMBER="") == [number]
    assert problems(mode, FIREBASE_PROJECT_ID="one-app,two-app") == [project]
    google = {"FIREBASE_PROJECT_ID": None, "GOOGLE_CLIENT_IDS": "1-a.apps.example"}
    assert problems(mode, **google) == [project]
    several = {"FIREBASE_PROJECT_ID": "one-app,two-app", "FIREBASE_PROJECT_NUMBER": None}
    assert problems(mode, **several, GEMINI_API_KEY=None) == [number, project, "GEMINI_API_KEY"]


def test_without_app_check_neither_is_needed() -> None:
    several = {"FIREBASE_PROJECT_ID": "one-app,two-app", "FIREBASE_PROJECT_NUMBER": None}
    assert problems("off", **several) == []


@pytest.mark.parametrize("mode", ["off", "required"])
@pytest.mark.parametrize(
    "number", ["demo-project", "0123", "-1", "1.5", "12 34", " 12", "\u0661\u0662", "1" * 21]
)
def test_a_project_number_is_a_number(mode: str, number: str) -> None:
    assert problems(mode, FIREBASE_PROJECT_NUMBER=number) == ["FIREBASE_PROJECT_NUMBER"]


@pytest.mark.parametrize("url", ["http://app-check.example", "app-check.example", "https://"])
def test_app_checks_url_is_checked_as_the_others(url: str) -> None:
    assert problems("required", APP_CHECK_BASE_URL=url) == ["APP_CHECK_BASE_URL"]
    assert problems("required", APP_CHECK_BASE_URL="https://app-check.example/") == []


def test_a_function_without_its_number_does_not_start(alone: Stack) -> None:
    variables = {"FIREBASE_PROJECT_ID": "one-app,two-app", "FIREBASE_PROJECT_NUMBER": None}
    wrong = rules("consume").replace("allow_anonymous", "allow_anonymus")
    with pytest.raises(NotStarted) as ended, alone.running(wrong, **variables):
        pass
    lines = [line.removeprefix("livetoken: ") for line in str(ended.value).splitlines()]
    assert [line.partition(": ")[0] for line in lines] == [
        "FIREBASE_PROJECT_NUMBER",
        "FIREBASE_PROJECT_ID",
        "callers.allow_anonymus",
    ]


def test_where_each_serves_once_one_that_just_expired_is_refused_as_such(consuming: Stack) -> None:
    """Google's check would say 403, which says nothing of why."""
    token = consuming.app_check.token(exp=int(time.time()) - 2)
    assert refused_as(consuming, token) == "EXPIRY"


def test_an_access_token_that_is_refused_is_not_shown_again(alone: Stack) -> None:
    with alone.running(rules("consume")) as livetoken:
        assert ask(livetoken, alone.app_check.token()).status == 200
        alone.metadata.access_tokens.clear()
        assert unavailable_as(livetoken, alone.app_check.token()) == "STATUS"
        assert ask(livetoken, alone.app_check.token()).status == 200


def test_no_proxy_is_given_the_runtime_accounts_token(alone: Stack) -> None:
    with alone.running(rules("consume"), HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="") as livetoken:
        assert ask(livetoken, alone.app_check.token()).status == 200
