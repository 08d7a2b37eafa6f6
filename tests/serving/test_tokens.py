"""What ID tokens and App Check tokens have in common: form, header, signature and claims."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from app_checked import HEADER, rules
from asking import function_of, refused
from stack import Answer, Stack
from unfit_keys import STRANGER

from emulator.app_check import AppCheck
from emulator.issuer import Issuer
from emulator.jwt import as_json, base64url
from livetoken.refusals import Reason

NOW = int(time.time())


@dataclass(frozen=True)
class Kind:
    """One of the two tokens of a request; the other one of the request is good."""

    function: Stack
    issuer: Issuer | AppCheck
    claims: Callable[..., dict[str, Any]]
    kid: str
    is_app_check: bool = False

    @property
    def header(self) -> bytes:
        return as_json({"alg": "RS256", "kid": self.kid, "typ": "JWT"})

    @property
    def reason(self) -> Reason:
        return Reason.APP_CHECK_FAILED if self.is_app_check else Reason.INVALID_ID_TOKEN

    def token(self, **claims: Any) -> str:
        return self.issuer.sign(self.claims(**claims))

    def arguments(self, token: str) -> dict[str, Any]:
        """The arguments of `Stack.ask` that send a token."""
        if self.is_app_check:
            return {"headers": {HEADER: token}}
        return {"headers": {HEADER: self.function.app_check.token()}, "token": token}

    def ask(self, token: str) -> Answer:
        return self.function.ask(**self.arguments(token))

    def refused(self, token: str) -> str | None:
        """Ask, assert the refusal and no mint, return the detail in the log."""
        return refused(self.function, self.reason, **self.arguments(token)).get("detail")


function = function_of(
    rules("required"), FIREBASE_AUTH_EMULATOR_HOST="127.0.0.1:9099", FUNCTIONS_EMULATOR="true"
)


@pytest.fixture(params=["ID token", "App Check"])
def kind(request: pytest.FixtureRequest, function: Stack) -> Kind:
    issuer, service = function.issuer, function.app_check
    if request.param == "App Check":
        return Kind(function, service, service.claims, service.kid, True)
    return Kind(function, issuer, partial(issuer.claims, "ada"), issuer.kid("firebase"))


# ------------------------------------------------------------------ the form

NO_HEADERS = (b"[]", b"7", b"\xff\xfe", b"\0{\0}")
NESTED = (b"[" * 1000, b"[" * 3000, b'{"a":' * 700)


@pytest.mark.parametrize(
    "token",
    [
        *("x", "a.b", "a.b.c", "a.b.c.d", "..", "null", "e30.e30.", ".e30.e30", "e30.e30.AA"),
        *("e30.e30.e30=", "e30+.e30.e30", "e30.e30.e30e3", "~~~~.e30.e30"),
        *("{token}.", "{token}=", ".{token}"),
        *(f"{base64url(header)}.e30.AA" for header in NO_HEADERS),
    ],
)
def test_a_malformed_token_is_refused(kind: Kind, token: str) -> None:
    sent = token.replace("{token}", kind.token())
    assert kind.refused(sent) in ("TOKEN_MALFORMED", "ALGORITHM")


@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("where", ["header", "payload"])
def test_deeply_nested_json_is_refused(kind: Kind, nested: bytes, where: str) -> None:
    header, payload = (nested, b"{}") if where == "header" else (kind.header, nested)
    assert kind.refused(kind.issuer.sign_raw(header, payload)) == "TOKEN_MALFORMED"


@pytest.mark.parametrize("payload", [b"[]", b"7", b"{", b"\xff", b"", *NESTED])
def test_claims_are_not_read_before_the_signature_is_verified(kind: Kind, payload: bytes) -> None:
    token = f"{base64url(kind.header)}.{base64url(payload) or 'A'}.AA"
    assert kind.refused(token) == "SIGNATURE"


@pytest.mark.parametrize(("length", "detail"), [(1024, None), (1026, "TOKEN_MALFORMED")])
def test_a_header_is_at_most_1_kib(kind: Kind, length: int, detail: str | None) -> None:
    bare = as_json({**json.loads(kind.header), "pad": ""})
    header = bare[:-2] + b"a" * (length * 3 // 4 - len(bare)) + b'"}'
    token = kind.issuer.sign_raw(header, as_json(kind.claims()))
    assert token.index(".") == length
    assert (kind.refused(token) if detail else kind.ask(token).status) == (detail or 200)


@pytest.mark.parametrize("where", ["header", "payload"])
def test_a_name_that_occurs_twice_is_refused(kind: Kind, where: str) -> None:
    header, payload = kind.header, as_json(kind.claims())
    if where == "header":
        header = header[:-1] + b', "kid": "' + kind.kid.encode() + b'"}'
    else:
        payload = payload[:-1] + b', "a": {"b": 1, "b": 1}}'
    assert kind.refused(kind.issuer.sign_raw(header, payload)) == "TOKEN_MALFORMED"


def test_deeply_nested_signed_claims_are_never_a_500(kind: Kind) -> None:
    """A RecursionError under a good signature would be a 500."""
    payload = as_json(kind.claims())[:-1] + b', "deep": ' + b"[" * 2500 + b"]" * 2500 + b"}"
    assert kind.ask(kind.issuer.sign_raw(kind.header, payload)).status in (200, 401)


def test_a_number_of_four_thousand_digits_is_refused(kind: Kind) -> None:
    token = kind.issuer.sign_raw(kind.header, b'{"exp": ' + b"9" * 4400 + b"}")
    assert kind.refused(token) == "TOKEN_MALFORMED"


@pytest.mark.parametrize(("length", "detail"), [(8188, None), (8204, "TOKEN_TOO_LONG")])
def test_a_genuine_token_is_at_most_8_kib(kind: Kind, length: int, detail: str | None) -> None:
    bare = len(kind.token(pad=""))
    token = kind.token(pad="a" * ((length - bare) * 3 // 4))
    assert abs(len(token) - length) < 4
    if detail is None:
        assert kind.ask(token).status == 200
    else:
        assert kind.refused(token) == detail


# ------------------------------------------------------------------ header and signature

HEADERS = {
    "ALGORITHM": ("alg", "none", "None", "HS256", "ES256", "RS512", "PS256", ["RS256"], ...),
    "KEY_ID": ("kid", ..., "", 1, ["kid"], None),
    "UNKNOWN_KEY": ("kid", "unheard-of"),
    "CRITICAL_HEADER": ("crit", ["exp"], []),
    "TOKEN_TYPE": ("typ", "at+jwt", "secevent+jwt"),
}
"""By detail: a name, and its wrong values."""


def each(wrong: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (detail, {name: value}) for detail, (name, *values) in wrong.items() for value in values
    ]


@pytest.mark.parametrize(("detail", "header"), each(HEADERS))
def test_a_wrong_header_is_refused(kind: Kind, detail: str, header: dict[str, Any]) -> None:
    assert kind.refused(kind.issuer.sign(kind.claims(), header=header)) == detail


def test_an_unsigned_token_is_refused(kind: Kind) -> None:
    """The function's environment has the variables that make Firebase's SDK accept one."""
    claims = base64url(as_json(kind.claims()))
    for also in ({"typ": "JWT"}, {"kid": kind.kid}):
        header = base64url(as_json({"alg": "none", **also}))
        for token in (f"{header}.{claims}.", f"{header}.{claims}.AA", f"{header}.{claims}"):
            whole = token.count(".") == 2
            assert kind.refused(token) == ("ALGORITHM" if whole else "TOKEN_MALFORMED")


@pytest.mark.parametrize(
    "header", [{"b64": False}, {"zip": "DEF"}, {"cty": "JWT"}, {"enc": "A128GCM"}, {"crit": None}]
)
def test_a_header_that_changes_how_the_payload_is_read_is_refused(
    kind: Kind, header: dict[str, Any]
) -> None:
    assert kind.refused(kind.issuer.sign(kind.claims(), header=header)) == "CRITICAL_HEADER"


def test_any_other_signature_is_refused(kind: Kind) -> None:
    claims = kind.claims()
    signed, _, signature = kind.issuer.sign(claims).rpartition(".")
    other = kind.token(sub="another").rpartition(".")[2]
    wrong = ("", "AA", other, base64url(bytes(256)), base64url(b"\xff" * 512))
    for sent in (*wrong, signature[:-6], signature[4:]):
        assert kind.refused(f"{signed}.{sent}") == "SIGNATURE"
    header, payload, _ = kind.token(sub="another").split(".")
    assert kind.refused(f"{header}.{payload}.{signature}") == "SIGNATURE"
    assert kind.refused(kind.issuer.sign(claims, key=STRANGER)) == "SIGNATURE"


# ------------------------------------------------------------------ claims

CLAIMS = {
    "ISSUER": ("iss", ..., None, "", ["https://accounts.google.com"]),
    "AUDIENCE": ("aud", ..., None, "evil", [], ["evil"], {"a": 1}),
    "ISSUED_AT": ("iat", ..., None, NOW + 3600, str(NOW), True, float(NOW), -1),
    "NOT_BEFORE": ("nbf", NOW + 3600, "now"),
    "EXPIRY": ("exp", ..., None, 0, str(NOW + 3600), [NOW + 3600], NOW + 3600.5, True),
    "SUBJECT": ("sub", ..., None, "", 7, "a" * 256, "\ud800"),
}
"""By detail: a claim, and its wrong values."""


@pytest.mark.parametrize(("detail", "claims"), each(CLAIMS))
def test_a_wrong_claim_is_refused(kind: Kind, detail: str, claims: dict[str, Any]) -> None:
    assert kind.refused(kind.token(**claims)) == detail


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
def test_a_time_that_is_not_a_number_is_refused(kind: Kind, claim: str, constant: bytes) -> None:
    payload = as_json(kind.claims(**{claim: "HERE"})).replace(b'"HERE"', constant)
    assert kind.refused(kind.issuer.sign_raw(kind.header, payload))


def test_a_clock_ten_seconds_off_is_accepted(kind: Kind) -> None:
    now = int(time.time())
    assert kind.ask(kind.token(iat=now + 8)).status == 200
    assert kind.ask(kind.token(exp=now - 4)).status == 200
    assert kind.refused(kind.token(iat=now + 30)) == "ISSUED_AT"
