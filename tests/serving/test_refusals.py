"""Every row of the error table, provoked over HTTP."""

import time
from collections.abc import Iterator

import pytest
from stack import ORIGIN, Stack

from livetoken import gemini
from livetoken.refusals import Reason

provokes = pytest.mark.provokes


@pytest.fixture(autouse=True)
def nothing_reaches_gemini(request: pytest.FixtureRequest, livetoken: Stack) -> Iterator[None]:
    """Assert that a request refused before the mint did not reach Gemini."""
    before = len(livetoken.gemini.mints)
    yield
    if "reaches_gemini" not in request.keywords:
        assert len(livetoken.gemini.mints) == before


reaches_gemini = pytest.mark.reaches_gemini


@provokes(Reason.INVALID_REQUEST)
@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[]", b"null", b"7", b'"default"', b" ", b"\xff{}", b"\xef\xbb\xbf{}"),
        *(b"[" * 4000, b'{"a":' * 1500, b'{"model": "gemini-3.8-live"}'),
        *(b'{"profile": 1}', b'{"profile": null}', b'{"profile": ["default"]}'),
        *(b'{"profile": NaN}', b'{"profile": "default", "profile": "short"}'),
        *(b'{"resume": 1}', b'{"resume": null}', b'{"resume": ""}', b'{"resume": "a\\nb"}'),
        *(b'{"resume": "a\\u0085b"}', b'{"resume": "\\ud800"}'),
        b'{"resume": "' + b"a" * 4097 + b'"}',
        b'{"resume": "a handle", "profile": "short"}',
        *(b'{"data": {"resume": 1}}', b'{"data": {}, "profile": "default"}', b'{"data": []}'),
        *(b'{"data": "default"}', b'{"data": {"data": null}}', b'{"data": {"profile": 1}}'),
        b'{"data": {"uses": 0}}',
    ],
)
def test_a_body_of_another_shape_is_refused(livetoken: Stack, body: bytes) -> None:
    assert livetoken.ask(body).is_refusal(Reason.INVALID_REQUEST)


@provokes(Reason.INVALID_REQUEST)
def test_a_body_that_never_ends_is_refused_after_two_seconds(livetoken: Stack) -> None:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {livetoken.issuer.id_token('ada')}"
    began = time.monotonic()
    answer = livetoken.send_raw(f"{head}\r\nContent-Length: 9\r\n\r\n{{".encode())
    assert b'"INVALID_REQUEST"' in answer
    assert 1.9 < time.monotonic() - began < 5


@provokes(Reason.NO_CREDENTIAL)
@pytest.mark.parametrize(
    "credential",
    [
        *(None, "", "Bearer", "Bearer ", "Basic eA==", "{token}", "Bearer:{token}"),
        *("Bearer {token}, Bearer {token}", "Bearer {token} {token}", "Token {token}"),
        *("Bearer\t{token}", "Bearer ={token}", "Bearer e30=.e30.e30", "Bearer {token}\u00e9"),
    ],
)
def test_no_single_bearer_token_is_refused(livetoken: Stack, credential: str | None) -> None:
    token = livetoken.issuer.id_token("ada")
    sent = credential and credential.format(token=token)
    answer = livetoken.ask(token=None, headers={"Authorization": sent})
    assert answer.is_refusal(Reason.NO_CREDENTIAL)


@provokes(Reason.NO_CREDENTIAL)
@pytest.mark.parametrize("pause", [0, 0.3])
def test_a_credential_in_a_trailer_is_ignored(livetoken: Stack, pause: float) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    trailer = f"0\r\nAuthorization: Bearer {livetoken.issuer.id_token('ada')}\r\n\r\n".encode()
    body = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
    whole = [head + body + trailer] if not pause else [head + body, trailer]
    assert b'"NO_CREDENTIAL"' in livetoken.send_raw(*whole, pause=pause)


@provokes(Reason.NO_CREDENTIAL)
def test_a_request_to_upgrade_is_answered_like_any_other(livetoken: Stack) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert livetoken.ask(token=None, headers=headers).is_refusal(Reason.NO_CREDENTIAL)


@pytest.mark.reaches_gemini
def test_the_scheme_is_read_in_any_case(livetoken: Stack) -> None:
    token = livetoken.issuer.id_token("ada")
    answer = livetoken.ask(token=None, headers={"Authorization": f"bEARER  {token}"})
    assert answer.status == 200


@provokes(Reason.INVALID_ID_TOKEN)
@pytest.mark.parametrize("length", [7000, 45_000])
def test_a_genuine_credential_over_8_kib_is_refused(livetoken: Stack, length: int) -> None:
    token = livetoken.issuer.id_token("ada", pad="a" * length)
    assert livetoken.ask(token=token).is_refusal(Reason.INVALID_ID_TOKEN)


@provokes(Reason.ID_TOKEN_EXPIRED)
def test_an_expired_token_has_a_reason_of_its_own(livetoken: Stack) -> None:
    now = int(time.time())
    times = {"iat": now - 7200, "auth_time": now - 7200, "exp": now - 3600}
    token = livetoken.issuer.id_token("ada", **times)
    assert livetoken.ask(token=token).is_refusal(Reason.ID_TOKEN_EXPIRED)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Authorization", "Bearer x", Reason.NO_CREDENTIAL),
        ("Content-Type", "application/json", Reason.UNSUPPORTED_MEDIA_TYPE),
        ("Origin", ORIGIN, Reason.ORIGIN_NOT_ALLOWED),
        ("X-Firebase-AppCheck", "x", Reason.APP_CHECK_FAILED),
    ],
)
@provokes(Reason.APP_CHECK_FAILED)
def test_a_header_sent_twice_is_refused(
    livetoken: Stack, name: str, value: str, reason: Reason
) -> None:
    headers = [(name, value), (name, value)]
    if name != "Authorization":
        headers.append(("Authorization", f"Bearer {livetoken.issuer.id_token('ada')}"))
    assert livetoken.send(headers, b"{}").is_refusal(reason)


@provokes(Reason.ORIGIN_NOT_ALLOWED)
@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "null", "", "http://app.example.com"),
        *("https://app.example.com:8443", "https://app.example.com/", "https://APP.example.com"),
        "https://app.example.com.evil.example",
    ],
)
def test_a_foreign_origin_is_refused(livetoken: Stack, origin: str) -> None:
    answer = livetoken.ask(headers={"Origin": origin})
    assert answer.is_refusal(Reason.ORIGIN_NOT_ALLOWED)
    assert "access-control-allow-origin" not in answer.headers


@provokes(Reason.NOT_ALLOWED)
def test_an_anonymous_account_is_refused(livetoken: Stack) -> None:
    token = livetoken.issuer.id_token("guest")
    assert livetoken.ask(token=token).is_refusal(Reason.NOT_ALLOWED)


@provokes(Reason.UNKNOWN_PROFILE)
@pytest.mark.parametrize("profile", ["root", "", "Default", "__class__", "a" * 8000])
def test_an_unknown_profile_is_refused(livetoken: Stack, profile: str) -> None:
    assert livetoken.ask({"profile": profile}).is_refusal(Reason.UNKNOWN_PROFILE)


@provokes(Reason.METHOD_NOT_ALLOWED)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_any_method_but_post_is_refused(livetoken: Stack, method: str) -> None:
    assert livetoken.ask(method=method).is_refusal(Reason.METHOD_NOT_ALLOWED)


@provokes(Reason.METHOD_NOT_ALLOWED)
def test_head_is_refused_without_a_body(livetoken: Stack) -> None:
    answer = livetoken.ask(None, method="HEAD")
    assert (answer.status, answer.body) == (405, b"")
    answer.is_never_stored()


@provokes(Reason.BODY_TOO_LARGE)
@pytest.mark.parametrize("length", [8193, 1_000_000])
def test_a_body_over_8_kib_is_refused(livetoken: Stack, length: int) -> None:
    body = b'{"profile":"' + b"a" * (length - 14) + b'"}'
    assert len(body) == length
    assert livetoken.ask(body).is_refusal(Reason.BODY_TOO_LARGE)


@provokes(Reason.BODY_TOO_LARGE)
def test_a_body_over_8_kib_in_chunks_is_refused(livetoken: Stack) -> None:
    token = livetoken.issuer.id_token("ada")
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    answer = livetoken.send_raw(
        f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(),
        b"1000\r\n" + b"a" * 4096 + b"\r\n",
        b"1001\r\n" + b"a" * 4097 + b"\r\n",
    )
    assert b'"BODY_TOO_LARGE"' in answer


@provokes(Reason.UNSUPPORTED_MEDIA_TYPE)
@pytest.mark.parametrize(
    "media_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/json5", "json"],
)
def test_a_body_that_is_not_declared_json_is_refused(
    livetoken: Stack, media_type: str | None
) -> None:
    answer = livetoken.ask(headers={"Content-Type": media_type})
    assert answer.is_refusal(Reason.UNSUPPORTED_MEDIA_TYPE)


@reaches_gemini
@provokes(Reason.GEMINI_QUOTA)
@pytest.mark.parametrize(("fault", "seconds"), [(429, 46), ("daily", 3600)])
def test_geminis_quota_is_passed_on(livetoken: Stack, fault: int | str, seconds: int) -> None:
    livetoken.gemini.behaviour.fault = fault
    answer = livetoken.ask()
    assert answer.is_refusal(Reason.GEMINI_QUOTA)
    assert answer.headers["retry-after"] == str(seconds)


@reaches_gemini
@provokes(Reason.GEMINI_REFUSED)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_geminis_refusal_is_a_500_and_logged_as_an_error(livetoken: Stack, status: int) -> None:
    livetoken.gemini.behaviour.fault = status
    assert livetoken.ask().is_refusal(Reason.GEMINI_REFUSED)
    assert livetoken.log()[-1]["severity"] == "ERROR"


@reaches_gemini
@provokes(Reason.GEMINI_UNAVAILABLE)
@pytest.mark.parametrize(
    "fault",
    [
        *(
            408,
            409,
            425,
            499,
            500,
            502,
            503,
            504,
            "html",
            "empty",
            "nothing",
            "noname",
            "badname",
            "list",
            "deep",
        ),
        *("gzip", "truncated", "huge", "reset", "redirect"),
    ],
)
def test_an_answer_without_a_token_is_not_passed_on(livetoken: Stack, fault: int | str) -> None:
    livetoken.gemini.behaviour.fault = fault
    answer = livetoken.ask()
    assert answer.is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert b"secret" not in answer.body


@pytest.mark.slow
@reaches_gemini
@provokes(Reason.GEMINI_TIMEOUT)
@pytest.mark.parametrize("fault", ["hang", "slow"])
def test_the_deadline_covers_the_whole_mint(livetoken: Stack, fault: str) -> None:
    livetoken.gemini.behaviour.fault = fault
    assert livetoken.ask().is_refusal(Reason.GEMINI_TIMEOUT)
    assert livetoken.log()[-1]["gemini_ms"] < gemini.DEADLINE * 1000 + 500
