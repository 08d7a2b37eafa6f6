"""CORS: allowed origins can read every answer, other origins none."""

import pytest
from asking import function_of, refused
from stack import ORIGIN, POLICY, Answer, Stack

from livetoken.refusals import Reason


def preflight(livetoken: Stack, origin: str | None) -> Answer:
    headers = {
        "Origin": origin,
        "Content-Type": None,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return livetoken.ask(None, token=None, method="OPTIONS", headers=headers)


def test_a_preflight_is_granted(livetoken: Stack) -> None:
    lines = len(livetoken.log())
    answer = preflight(livetoken, ORIGIN)
    assert (answer.status, answer.body) == (204, b"")
    granted = {name: value for name, value in answer.headers.items() if "access" in name}
    assert granted == {
        "access-control-allow-origin": ORIGIN,
        "access-control-expose-headers": "Retry-After",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": (
            "authorization, content-type, x-firebase-appcheck, firebase-instance-id-token"
        ),
        "access-control-max-age": "3600",
    }
    answer.is_never_stored()
    livetoken.ask()
    assert len(livetoken.log()) == lines + 1


def test_a_foreign_preflight_is_refused_without_a_grant(livetoken: Stack) -> None:
    answer = preflight(livetoken, "https://evil.example")
    assert answer.is_refusal(Reason.ORIGIN_NOT_ALLOWED)
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("token", "method", "status"),
    [("", "POST", 200), (None, "POST", 401), ("x", "POST", 401), ("", "GET", 405)],
)
def test_every_answer_to_an_allowed_origin_can_be_read(
    livetoken: Stack, token: str | None, method: str, status: int
) -> None:
    answer = livetoken.ask(token=token, method=method, headers={"Origin": ORIGIN})
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    answer.is_never_stored()


def test_a_request_without_an_origin_is_served(livetoken: Stack) -> None:
    answer = livetoken.ask()
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers


def test_without_allowed_origins_only_requests_without_origin_are_served(alone: Stack) -> None:
    with alone.running(ALLOWED_ORIGINS=None) as livetoken:
        assert livetoken.ask().status == 200
        answer = livetoken.ask(headers={"Origin": ORIGIN})
        assert answer.is_refusal(Reason.ORIGIN_NOT_ALLOWED)


any_origin = function_of(POLICY, ALLOWED_ORIGINS="*")

ORIGINS = (
    *("https://app.example.com", "http://app.example.com", "https://app.example.com:8443", "null"),
    *("http://a.example:443", "https://a.example:80", "https://a.example:65535", "https://a:1"),
    *("https://a_b.example", "https://xn--mnchen-3ya.example", "http://localhost:5173"),
    *("https://127.0.0.1", "http://[::1]:5173", "http://[::ffff:7f00:1]", "https://-a-.example"),
    *("capacitor://localhost", "ionic://localhost", "tauri://localhost", "capacitor://app:8100"),
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "moz-extension://c7a1c9a1-9f0c-4b0a-8f5e-0123456789ab",
)
"""As browsers and app shells write them (RFC 6454, section 6.2; the URL standard)."""

NO_ORIGINS = (
    "https://" + ".".join(["a" * 60] * 5),  # longer than a host name can be
    *("", "*", "x", "NULL", "nul", "null, null", "app.example.com", "//app.example.com", "https:"),
    *(
        "https://",
        "https:///",
        "https:/a.example",
        "capacitor://",
        "capacitor:localhost",
        "file://",
    ),
    *("https://a.example/", "capacitor://localhost/", "https://a.example/b", "https://a.example?b"),
    *("https://a.example#b", "https://a b", "https://a%20b", "https://a, https://b", "https://a;b"),
    *("https://a.example https://b.example", "https://user@a.example", "https://u:p@a.example"),
    *(
        "https://A.example",
        "HTTPS://a.example",
        "Capacitor://localhost",
        "https://b\u00fccher.example",
    ),
    *("https://a.example:0", "https://a.example:65536", "https://a.example:99999", "https://a:08"),
    *("https://a.example:443", "http://a.example:80", "https://a.example:", "https://a:b"),
    *("capacitor://localhost:0", "capacitor://localhost:65536"),
    *("https://*", "https://*.example.com", "https://app--*.web.app", "*://a.example"),
    *("https://a..example", "https://.a", "https://a.example.", "https://xn--", "https://xn--a"),
    *("https://256.1.1.1", "https://127.1", "https://1", "https://0x7f.1", "https://a.1"),
    *("http://[1]", "http://[::1", "http://::1", "http://[0:0:0:0:0:0:0:1]", "http://[::1%25lo]"),
    *("blob:https://a.example", "1http://a.example", "https:\\\\a.example", "https://a\\b"),
)


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_star_allows_any_origin(any_origin: Stack, origin: str) -> None:
    answer = any_origin.ask(headers={"Origin": origin})
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_a_star_reflects_nothing_that_is_not_an_origin(any_origin: Stack, origin: str) -> None:
    line = refused(any_origin, Reason.ORIGIN_NOT_ALLOWED, headers={"Origin": origin})
    assert line["detail"] == "NOT_AN_ORIGIN"
    answer = preflight(any_origin, origin)
    assert answer.is_refusal(Reason.ORIGIN_NOT_ALLOWED)
    assert "access-control-allow-origin" not in answer.headers
