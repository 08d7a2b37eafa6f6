"""CORS: allowed origins can read every answer, other origins none."""

import pytest
from asking import function_of, refused
from stack import ORIGIN, POLICY, Answer, Stack
from starlette.datastructures import Headers

from emulator.function import NotStarted
from livetoken.origins import Origins, is_origin
from livetoken.refusals import Reason, Refused
from livetoken.settings import origin_mistake


def preflight(livetoken: Stack, origin: str | None) -> Answer:
    headers = {
        "Origin": origin,
        "Content-Type": None,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,baggage,content-type,sentry-trace",
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
            "authorization, content-type, x-firebase-appcheck, firebase-instance-id-token, "
            "baggage, sentry-trace, traceparent, tracestate"
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


# ------------------------------------------------------------------ one * in an origin

EXACT = "https://app.example.com"
PREVIEWS = "https://app--*.web.app"
OTHERS = ("https://*-app.a.example:8443", "https://pre*e.b.example")
previews = function_of(POLICY, ALLOWED_ORIGINS=", ".join([EXACT, PREVIEWS, *OTHERS]))

ALLOWED = (
    EXACT,
    *("https://app--a.web.app", "https://app--1.web.app", "https://app--pr12-x1y2z3.web.app"),
    *("https://app----a.web.app", f"https://app--{'a' * 58}.web.app", "https://app--xn--a.web.app"),
    *("https://a-app.a.example:8443", "https://a--app.a.example:8443"),
    *("https://prexe.b.example", "https://preee.b.example"),
)

NEAR_MISSES = (
    # The * stands for one or more characters of one label, which must be one that DNS has.
    *("https://app--.web.app", "https://app-.web.app", "https://app.web.app", "https://a.web.app"),
    *("https://app--a-.web.app", "https://app---.web.app", f"https://app--{'a' * 59}.web.app"),
    *("https://app--a.b.web.app", "https://app--..web.app", "https://app--.a.web.app"),
    *("https://app--a_b.web.app", "https://app--A.web.app", "https://APP--a.web.app"),
    *("https://app--\u00fc.web.app", "https://app--\u00b2.web.app", "https://app--%61.web.app"),
    *("https://-app.a.example:8443", "https://--app.a.example:8443", "https://app.a.example:8443"),
    *("https://a-apq.a.example:8443", "https://a.a.example:8443", "https://a-app-.a.example:8443"),
    *("https://pre.b.example", "https://pree.b.example", "https://prex.b.example"),
    # Somebody else's site, in which the parts of the pattern stand elsewhere.
    *("https://app--a.web.app.evil.example", "https://app--a.evil.example", "https://app--a.web"),
    *("https://evil.example/app--a.web.app", "https://evil.example?https://app--a.web.app"),
    *("https://app--a.evil.example/.web.app", "https://app--a.evil.example#.web.app"),
    *("https://app--a@evil.example/.web.app", "https://app--a:b@evil.web.app"),
    *("https://evil.example\\.web.app", "https://app--evil.example:1.web.app"),
    *("https://evilapp--a.web.app", "https://evil.app--a.web.app", "https://app--a.evilweb.app"),
    *("https://app--a.web.apps", "https://app--a.webXapp", "https://app--a.web.app.", "app--a"),
    # Another scheme, another port.
    *("http://app--a.web.app", "capacitor://app--a.web.app", "app--a.web.app", "//app--a.web.app"),
    *("HTTPS://app--a.web.app", "https:/app--a.web.app", "https:app--a.web.app"),
    *("https://app--a.web.app:443", "https://app--a.web.app:8443", "https://app--a.web.app:"),
    *("https://a-app.a.example", "https://a-app.a.example:844", "https://a-app.a.example:84430"),
    # More than an origin.
    *("https://app--a.web.app/", "https://app--a.web.app/b", "https://app--a.web.app?", "null"),
    *(
        "https://app--a.web.app, https://evil.example",
        "https://evil.example https://app--a.web.app",
    ),
    *("https://app--a b.web.app", "https://app--a\tb.web.app", "https://app--a;b.web.app"),
    # The pattern itself, and everything.
    *(PREVIEWS, "https://app--**.web.app", "*", "https://*.web.app", "https://app--?.web.app"),
    *("https://app--[a-z].web.app", "https://app--.*.web.app", ""),
    "https://app--" + "a" * 100_000 + ".web.app",
    "https://app--" + "a-" * 50_000 + ".web.app",
    "https://app--" + "a." * 50_000 + "web.app",
    "https://app--a" + ".web.app" * 12_000,
)


@pytest.mark.parametrize("origin", ALLOWED)
def test_an_origin_that_fits_a_pattern_is_allowed(previews: Stack, origin: str) -> None:
    granted = preflight(previews, origin)
    assert granted.status == 204
    answer = previews.ask(headers={"Origin": origin})
    assert answer.status == 200
    for each in (granted, answer):
        assert each.headers["access-control-allow-origin"] == origin
        assert each.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", NEAR_MISSES, ids=lambda origin: origin[:40])
def test_an_origin_that_only_resembles_a_pattern_is_refused(previews: Stack, origin: str) -> None:
    refused(previews, Reason.ORIGIN_NOT_ALLOWED, headers={"Origin": origin})
    answer = preflight(previews, origin)
    assert answer.is_refusal(Reason.ORIGIN_NOT_ALLOWED)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_pattern_allows_nothing_that_is_not_an_origin() -> None:
    """Every character in every place of an origin that fits."""
    origins, fits, accepted = Origins(frozenset({PREVIEWS})), "https://app--a.web.app", 0
    for place in range(len(fits) + 1):
        for character in map(chr, range(256)):
            for rest in (fits[place:], fits[place + 1 :]):
                origin = fits[:place] + character + rest
                try:
                    origins.check(Headers(raw=[(b"origin", origin.encode("latin-1"))]))
                except Refused:
                    continue
                accepted += 1
                assert is_origin(origin)
                middle = origin.removeprefix("https://app--").removesuffix(".web.app")
                assert origin == f"https://app--{middle}.web.app"
                assert middle.isascii()
                assert middle.replace("-", "a").isalnum()
    assert accepted > 36, "each letter and digit fits"


ONE = "may have only one *"
FIRST = "may have a * only in the first label of its host"
TWO_LABELS = "must have two labels after the one with the *, such as web.app"
EVERYBODY = "would allow everybody's sites: write the name of yours beside the *"
SCHEME = "must begin with https:// to have a *"
WRITTEN = "is not written as browsers send it, such as https://app--*.web.app"


@pytest.mark.parametrize(
    ("pattern", "mistake"),
    [
        *((each, None) for each in ("*", PREVIEWS, "https://*-app.web.app", "https://a*b.web.app")),
        *((each, None) for each in ("https://a*.b.c.example:8443", "https://pr*.app.example.com")),
        *((each, ONE) for each in ("**", "https://a*b*.web.app", "https://a*.*.app", "https://**")),
        *(
            (each, FIRST)
            for each in ("https://app.*.app", "https://app.web.a*", "https://a.b*.app")
        ),
        *(
            (each, FIRST)
            for each in ("https://a.web.app:*", "https://a.web.app/*", "https://a.b.*")
        ),
        *((each, TWO_LABELS) for each in ("https://app*.com", "https://app*", "https://*.com")),
        *((each, TWO_LABELS) for each in ("https://*", "https://app*.com:8443", "https://app*:1")),
        *((each, EVERYBODY) for each in ("https://*.web.app", "https://*.example.com")),
        *((each, SCHEME) for each in ("http://app--*.web.app", "http://a*.local.localhost")),
        *((each, SCHEME) for each in ("capacitor://app*.a.b", "app--*.web.app", "*://app.web.app")),
        *((each, SCHEME) for each in ("HTTPS://app--*.web.app", "https*://app.web.app")),
        *((each, WRITTEN) for each in ("https://app--*.web.app/", "https://App--*.web.app")),
        *((each, WRITTEN) for each in ("https://app--*.web.app:443", "https://app--*.web.app:0")),
        *((each, WRITTEN) for each in ("https://-app*.web.app", "https://app*-.web.app")),
        *((each, WRITTEN) for each in ("https://a_b*.web.app", f"https://{'a' * 63}*.web.app")),
        *((each, WRITTEN) for each in ("https://a:b@c*.web.app", "https://app--*.web..app")),
        *((each, WRITTEN) for each in ("https://1*.0.0.1", "https://a*.1.1", "https://[*.a.b]")),
    ],
)
def test_a_pattern_is_sound_or_is_refused_at_start(pattern: str, mistake: str | None) -> None:
    assert origin_mistake(pattern) == mistake
    if mistake is None:
        example = pattern.replace("*", "a") if pattern != "*" else EXACT
        assert Origins(frozenset({pattern})).grant(Headers({"origin": example}))


def test_a_bad_pattern_ends_the_start_and_says_why(alone: Stack) -> None:
    wrong = f"{EXACT},https://*.web.app,https://app*.com"
    with pytest.raises(NotStarted) as ended, alone.running(ALLOWED_ORIGINS=wrong):
        pass
    assert str(ended.value).splitlines() == [
        f"livetoken: ALLOWED_ORIGINS: origin 2 {EVERYBODY}",
        f"livetoken: ALLOWED_ORIGINS: origin 3 {TWO_LABELS}",
    ]
