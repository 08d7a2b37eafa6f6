"""App Check's stand-in signs what google-auth accepts, and counts uses for whoever may ask."""

import base64
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt
from stack import until

from emulator.app_check import LIFE, AppCheck
from emulator.faults import SECRET
from emulator.issuer import signing_key
from emulator.jwt import jwk
from emulator.metadata import Metadata, environment
from emulator.server import Server

FIREBASE = "https://www.googleapis.com/auth/firebase"
OWN = signing_key()
FOREIGN = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"

GOOGLE_AUTH = """
import json, sys
import google.auth
from google.auth.transport.requests import Request
credentials, project = google.auth.default(scopes=sys.argv[1:])
try:
    credentials.refresh(Request())
    print(json.dumps([project, credentials.service_account_email, credentials.token,
                      credentials.expiry.isoformat()]))
except google.auth.exceptions.RefreshError as error:
    print(json.dumps(str(error)))
"""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, of whose body a megabyte is read."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Stand:
    """App Check and the metadata server, both running, with the access tokens they share."""

    def __init__(self, folder: Path) -> None:
        self.metadata = Metadata()
        self.app_check = AppCheck(access_tokens=self.metadata.access_tokens, keys=[OWN])
        self.app_check_at = Server(self.app_check.app)
        self.metadata_at = Server(self.metadata.app)
        self._folder = folder

    def served(self) -> list[dict[str, Any]]:
        answer = send(self.app_check_at, "GET", "/v1/jwks")
        assert answer.status == 200
        found: list[dict[str, Any]] = answer.json["keys"]
        return found

    def verified(self, token: str) -> dict[str, Any]:
        """The claims, checked by google-auth against the keys that are served."""
        decode: Any = jwt.decode  # google-auth has no types
        return dict(decode(token, certs={key["kid"]: pem(key) for key in self.served()}))

    def check(
        self,
        body: str | bytes | dict[str, Any],
        *,
        project: str = "demo-livetoken",
        authorization: str | None = "",
        timeout: float = 5,
    ) -> Answer:
        """One used-once request for a token or with a body, by default of a caller who may."""
        if isinstance(body, str):
            body = {"app_check_token": body}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        if authorization == "":
            self.app_check.access_tokens.add("of-the-test")
            authorization = "Bearer of-the-test"
        headers = {} if authorization is None else {"Authorization": authorization}
        path = f"/v1beta/projects/{project}:verifyAppCheckToken"
        return send(self.app_check_at, "POST", path, headers, body, timeout)

    def ask_metadata(self, path: str, flavor: str | None = "Google", timeout: float = 5) -> Answer:
        headers = {} if flavor is None else {"Metadata-Flavor": flavor}
        return send(self.metadata_at, "GET", path, headers, timeout=timeout)

    def google_auth(self, *scopes: str) -> Any:
        """Project, account, token and end that a fresh google-auth finds, or its error's text."""
        variables = {**environment(self.metadata_at.url), "CLOUDSDK_CONFIG": str(self._folder)}
        command = [sys.executable, "-c", GOOGLE_AUTH, *scopes]
        printed = subprocess.run(command, env=variables, capture_output=True, check=True).stdout
        return json.loads(printed)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    with made.app_check_at, made.metadata_at:
        yield made


def send(
    server: Server,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 5,
) -> Answer:
    call = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=timeout)
    try:
        call.request(method, path, body, headers or {})
        answer = call.getresponse()
        return Answer(answer.status, answer.headers, answer.read(1_000_000))
    finally:
        call.close()


def pem(key: dict[str, Any]) -> bytes:
    """A JWK, made a PEM with nothing of the stand-in."""
    n, e = (int.from_bytes(unpadded(key[name])) for name in "ne")
    return (
        rsa.RSAPublicNumbers(e, n)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def unpadded(text: str) -> bytes:
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parts(token: str) -> list[Any]:
    """Header and claims."""
    return [json.loads(unpadded(part)) for part in token.split(".")[:2]]


def error(answer: Answer) -> tuple[int, str]:
    """Status and status word of an answer in Google's error shape."""
    found = answer.json["error"]
    assert found.keys() == {"code", "message", "status"} and found["code"] == answer.status
    return answer.status, found["status"]


# ------------------------------------------------------------------ tokens and keys


def test_a_token_is_genuine(stand: Stand) -> None:
    claims = stand.verified(stand.app_check.token())
    now = time.time()
    assert now - 5 < claims["iat"] <= now and claims["exp"] == claims["iat"] + LIFE
    assert claims["iss"] == "https://firebaseappcheck.googleapis.com/123456789012"
    assert claims["aud"] == ["projects/123456789012", "projects/demo-livetoken"]
    assert claims["sub"] == "1:123456789012:web:0123456789abcdef"
    header, _ = parts(stand.app_check.token())
    assert header == {"alg": "RS256", "kid": stand.app_check.kid, "typ": "JWT"}


def test_every_token_is_another(stand: Stand) -> None:
    tokens = [parts(stand.app_check.token())[1]["jti"] for _ in range(3)]
    assert len(set(tokens)) == 3


def test_claims_and_headers_can_be_changed_and_removed(stand: Stand) -> None:
    changed = stand.verified(stand.app_check.token(sub="1:2:web:3", jti=...))
    assert changed["sub"] == "1:2:web:3" and "jti" not in changed
    odd = stand.app_check.sign({"a": 1, "b": ...}, header={"kid": ..., "crit": ["x"]})
    assert parts(odd) == [{"alg": "RS256", "typ": "JWT", "crit": ["x"]}, {"a": 1}]


def test_the_times_follow_the_clock(stand: Stand) -> None:
    stand.app_check.clock = lambda: 1_000_000.7
    _, claims = parts(stand.app_check.token())
    assert (claims["iat"], claims["exp"]) == (1_000_000, 1_000_000 + LIFE)


def test_a_foreign_key_signs_under_the_kid_of_app_check(stand: Stand) -> None:
    forged = stand.app_check.sign(stand.app_check.claims(), key=FOREIGN)
    assert parts(forged)[0]["kid"] == stand.app_check.kid
    with pytest.raises(exceptions.GoogleAuthError, match="signature"):
        stand.verified(forged)


def test_malformed_tokens_are_signed_byte_for_byte(stand: Stand) -> None:
    head = json.dumps({"alg": "RS256", "kid": stand.app_check.kid}).encode()
    assert unpadded(stand.app_check.sign_raw(head, b"[\xff").split(".")[1]) == b"[\xff"
    payload = json.dumps(stand.app_check.claims()).encode()
    assert stand.verified(stand.app_check.sign_raw(head, payload))
    replaced = stand.app_check.sign_raw(head, payload, b"no signature")
    assert unpadded(replaced.split(".")[2]) == b"no signature"


def test_the_keys_are_fit_for_signatures_and_say_how_long_they_keep(stand: Stand) -> None:
    stand.app_check.max_age = 77
    answer = send(stand.app_check_at, "GET", "/v1/jwks")
    assert answer.headers.get_content_type() == "application/json"
    assert "max-age=77" in answer.headers["Cache-Control"]
    (key,) = answer.json["keys"]
    assert key.keys() == {"kty", "use", "alg", "kid", "n", "e"}
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
    assert (key["kid"], key["e"]) == (stand.app_check.kid, "AQAB")
    assert stand.app_check.key_fetches == 1


def test_a_rotation_keeps_the_old_key_until_it_is_dropped(stand: Stand) -> None:
    old, old_kid = stand.app_check.token(), stand.app_check.kid
    stand.app_check.rotate()
    new = stand.app_check.token()
    assert parts(new)[0]["kid"] == stand.app_check.kid != old_kid
    assert stand.verified(old) and stand.verified(new) and stand.check(old).json == {}
    stand.app_check.drop_old()
    assert [key["kid"] for key in stand.served()] == [stand.app_check.kid]
    assert stand.check(old).status == 403 and stand.check(new).json == {}


def test_unfit_keys_can_stand_before_the_real_ones(stand: Stand) -> None:
    unfit = jwk(FOREIGN.public_key(), kid="unfit", use="enc", key_ops=["encrypt"], n=...)
    stand.app_check.jwks_extra = [unfit, {"kty": "EC", "kid": "other"}]
    assert unfit["key_ops"] == ["encrypt"] and unfit["use"] == "enc" and "n" not in unfit
    assert [key["kid"] for key in stand.served()] == ["unfit", "other", stand.app_check.kid]
    assert stand.served()[0] == unfit


def test_keys_can_be_wrong_in_every_known_way(stand: Stand) -> None:
    def get(timeout: float = 5) -> Answer:
        return send(stand.app_check_at, "GET", "/v1/jwks", timeout=timeout)

    stand.app_check.key_fault = "html"
    assert get().status == 200 and get().body.startswith(b"<html>")
    stand.app_check.key_fault = "json"
    assert get().status == 200 and "keys" not in get().json
    stand.app_check.key_fault = 503
    assert get().status == 503
    stand.app_check.key_fault = "huge"
    assert len(get().body) == 1_000_000
    stand.app_check.key_fault = "unheard-of"
    assert get().status == 501
    stand.app_check.key_fault = "slow"
    with pytest.raises(TimeoutError):
        get(timeout=0.1)
    stand.app_check.key_delay = 0.02
    assert len(stand.served()) == 1
    stand.app_check.key_fault = None
    assert len(stand.served()) == 1
    assert stand.app_check.key_fetches == 10


# ------------------------------------------------------------------ used once


@pytest.mark.parametrize("project", ["demo-livetoken", "123456789012"])
def test_a_second_use_is_told_from_the_first(stand: Stand, project: str) -> None:
    one, other = stand.app_check.token(), stand.app_check.token()
    first, second, third = (stand.check(one, project=project) for _ in range(3))
    assert (first.status, first.json) == (200, {})
    assert second.json == third.json == {"alreadyConsumed": True}
    assert stand.check(other, project=project).json == {}


def test_the_field_has_both_names_of_protobuf(stand: Stand) -> None:
    token = stand.app_check.token()
    assert stand.check({"appCheckToken": token}).json == {}
    assert stand.check({"app_check_token": token}).json == {"alreadyConsumed": True}


def test_another_text_of_the_same_token_is_the_same_token(stand: Stand) -> None:
    claims = stand.app_check.claims()
    assert stand.check(stand.app_check.sign(claims)).json == {}
    reordered = dict(reversed(claims.items()))
    assert stand.check(stand.app_check.sign(reordered)).json == {"alreadyConsumed": True}
    sloppy = stand.app_check.token()
    assert stand.check(sloppy).json == {}
    assert sloppy[-1] in "AQgw"  # 256 bytes leave four bits of the last sign without a meaning
    sloppy = sloppy[:-1] + chr(ord(sloppy[-1]) + 1)
    assert stand.check(sloppy).json == {"alreadyConsumed": True}


@pytest.mark.parametrize(
    "authorization", [None, "Bearer foreign", "of-the-test", "Basic of-the-test"]
)
def test_who_has_no_access_token_learns_nothing(stand: Stand, authorization: str | None) -> None:
    token = stand.app_check.token()
    stand.app_check.access_tokens.add("of-the-test")
    refused = stand.check(token, authorization=authorization)
    assert error(refused) == (401, "UNAUTHENTICATED")
    assert stand.check(token).json == {}


def test_another_project_is_refused(stand: Stand) -> None:
    token = stand.app_check.token()
    assert error(stand.check(token, project="another")) == (403, "PERMISSION_DENIED")
    assert stand.check(token).json == {}


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
def test_a_body_is_one_token_and_nothing_else(stand: Stand, body: bytes | dict[str, Any]) -> None:
    assert error(stand.check(body)) == (400, "INVALID_ARGUMENT")


def test_an_invalid_token_is_forbidden(stand: Stand) -> None:
    app_check, now = stand.app_check, int(time.time())
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
    answers = {name: error(stand.check(token)) for name, token in invalid.items()}
    assert answers == dict.fromkeys(invalid, (403, "PERMISSION_DENIED"))
    assert stand.check(genuine).json == {}


def test_a_used_token_is_forbidden_once_it_has_expired(stand: Stand) -> None:
    token = stand.app_check.token()
    assert stand.check(token).json == {}
    stand.app_check.clock = lambda: time.time() + LIFE
    assert error(stand.check(token)) == (403, "PERMISSION_DENIED")


def test_a_token_that_cannot_be_counted_is_a_bad_request(stand: Stand) -> None:
    assert error(stand.check(stand.app_check.token(jti=...))) == (400, "INVALID_ARGUMENT")


def test_every_request_is_on_record(stand: Stand) -> None:
    token = stand.app_check.token()
    stand.check(token)
    stand.check(b"not JSON", authorization=None)
    stand.check("text", authorization="Basic x")
    found = [(check.token, check.authorization, check.status) for check in stand.app_check.checks]
    assert found == [
        (token, "Bearer of-the-test", 200),
        (None, None, 401),
        ("text", "Basic x", 401),
    ]


def test_verdicts_can_be_wrong_in_every_known_way(stand: Stand) -> None:
    token, app_check = stand.app_check.token(), stand.app_check
    app_check.verdict_fault = "html"
    assert stand.check(token).headers.get_content_type() == "text/html"
    app_check.verdict_fault = "list"
    assert stand.check(token).json == [{}]
    app_check.verdict_fault = "badverdict"
    assert stand.check(token).json == {"alreadyConsumed": "no"}
    app_check.verdict_fault = 503
    refused = stand.check(token)
    assert error(refused) == (503, "UNAVAILABLE") and SECRET.encode() in refused.body
    app_check.verdict_fault = "unheard-of"
    assert stand.check(token).status == 501
    app_check.verdict_fault = "reset"
    with pytest.raises(ConnectionError):
        stand.check(token)
    app_check.verdict_fault = "hang"
    with pytest.raises(TimeoutError):
        stand.check(token, timeout=0.1)
    statuses = [check.status for check in app_check.checks]
    assert statuses == [200, 200, 200, 503, 501, None, None]
    app_check.verdict_fault = None
    assert stand.check(token).json == {}, "a fault used the token up"


def test_who_leaves_before_the_verdict_has_used_up_the_token(stand: Stand) -> None:
    token = stand.app_check.token()
    stand.app_check.verdict_delay = 0.2
    with pytest.raises(TimeoutError):
        stand.check(token, timeout=0.05)
    until(lambda: stand.app_check.checks[0].status == 200)
    stand.app_check.verdict_delay = 0
    assert stand.check(token).json == {"alreadyConsumed": True}


# ------------------------------------------------------------------ metadata


def test_google_auth_finds_itself_on_a_google_machine(stand: Stand) -> None:
    stand.metadata.life = 600
    project, account, token, end = stand.google_auth(FIREBASE)
    assert project == "demo-livetoken"
    assert account == "livetoken@demo-livetoken.iam.gserviceaccount.com"
    assert stand.metadata.access_tokens == {token}
    left = datetime.fromisoformat(end).replace(tzinfo=UTC) - datetime.now(UTC)
    assert 590 < left.total_seconds() <= 600
    assert (stand.metadata.fetches, list(stand.metadata.scopes)) == (1, [FIREBASE])


def test_the_access_token_of_google_auth_opens_app_check_until_it_ends(stand: Stand) -> None:
    *_, token, _ = stand.google_auth(FIREBASE)
    bearer = f"Bearer {token}"
    assert stand.check(stand.app_check.token(), authorization=bearer).json == {}
    stand.metadata.access_tokens.remove(token)
    assert stand.check(stand.app_check.token(), authorization=bearer).status == 401


def test_google_auth_fails_where_tokens_fail(stand: Stand) -> None:
    stand.metadata.fault = 403
    assert "Status: 403" in stand.google_auth(FIREBASE)
    assert (stand.metadata.fetches, stand.metadata.access_tokens) == (1, set())


def test_access_tokens_can_fail_alone(stand: Stand) -> None:
    stand.metadata.fault = 503
    assert stand.ask_metadata(TOKEN_PATH).status == 503
    stand.metadata.fault = "hang"
    with pytest.raises(TimeoutError):
        stand.ask_metadata(TOKEN_PATH, timeout=0.1)
    assert stand.ask_metadata("/computeMetadata/v1/project/project-id").status == 200
    stand.metadata.fault = "unheard-of"
    assert stand.ask_metadata(TOKEN_PATH).status == 501
    stand.metadata.fault = None
    assert stand.ask_metadata(TOKEN_PATH).status == 200
    assert stand.metadata.fetches == 4


def test_every_access_token_is_another_and_scopes_are_separated_by_commas(stand: Stand) -> None:
    first, second = (stand.ask_metadata(f"{TOKEN_PATH}?scopes=a,b").json for _ in range(2))
    assert list(stand.metadata.scopes) == ["a", "b"]
    assert first.keys() == {"access_token", "expires_in", "token_type"}
    assert (first["expires_in"], first["token_type"]) == (3600, "Bearer")
    given = {first["access_token"], second["access_token"]}
    assert len(given) == 2 and stand.metadata.access_tokens == given
    stand.ask_metadata(TOKEN_PATH)
    assert list(stand.metadata.scopes) == ["https://www.googleapis.com/auth/cloud-platform"]


@pytest.mark.parametrize("flavor", [None, "google", "Other"])
def test_only_who_names_the_flavor_is_answered(stand: Stand, flavor: str | None) -> None:
    assert stand.ask_metadata(TOKEN_PATH, flavor).status == 403
    assert (stand.metadata.fetches, stand.metadata.access_tokens) == (0, set())
    assert stand.ask_metadata("/", flavor).status == 200


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/", 200, b"computeMetadata/\n"),
        ("/computeMetadata/v1/project/project-id", 200, b"demo-livetoken"),
        ("/computeMetadata/v1/project/numeric-project-id", 200, b"123456789012"),
        ("/computeMetadata/v1/universe/universe-domain", 200, b"googleapis.com"),
        ("/computeMetadata/v1/instance/service-accounts/other/token", 404, b"not found\n"),
        ("/project/project-id", 404, b"not found\n"),
    ],
)
def test_every_answer_has_the_flavor(stand: Stand, path: str, status: int, body: bytes) -> None:
    answer = stand.ask_metadata(path)
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["Metadata-Flavor"] == "Google"
    assert answer.headers.get_content_type() == "text/plain"


@pytest.mark.parametrize("account", ["default", "livetoken@demo-livetoken.iam.gserviceaccount.com"])
def test_the_account_is_known_by_its_email_too(stand: Stand, account: str) -> None:
    path = f"/computeMetadata/v1/instance/service-accounts/{account}"
    assert stand.ask_metadata(f"{path}/?recursive=true").json == {
        "aliases": ["default"],
        "email": "livetoken@demo-livetoken.iam.gserviceaccount.com",
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    }
    assert stand.ask_metadata(f"{path}/").body == b"aliases\nemail\nscopes\ntoken\n"
    assert stand.ask_metadata(f"{path}/token").status == 200
