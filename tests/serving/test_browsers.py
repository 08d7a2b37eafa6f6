"""CORS: allowed origins can read every answer, other origins none."""

import pytest
from stack import ORIGIN, Answer, Stack

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


def test_a_star_allows_any_well_formed_origin(alone: Stack) -> None:
    with alone.running(ALLOWED_ORIGINS="*") as livetoken:
        for origin in (ORIGIN, "null", "capacitor://localhost", "http://[::1]:5173"):
            answer = livetoken.ask(headers={"Origin": origin})
            assert answer.status == 200
            assert answer.headers["access-control-allow-origin"] == origin
        for origin in ("", "x", "https://a b", "https://a/b", "https://a, https://b"):
            answer = livetoken.ask(headers={"Origin": origin})
            assert answer.is_refusal(Reason.ORIGIN_NOT_ALLOWED)
