"""An app with the unmodified Firebase SDK calls the function, in Node and in Chromium."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pages
import pytest
from firebase_client import App, Error
from firebase_policy import PROFILE, policy
from live_client import Live
from playwright.sync_api import Browser
from signing_proxy import SigningProxy
from stack import Stack
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from clients import Client, Program, node_22, tab
from emulator.function import hold_port
from emulator.issuer import signing_key
from livetoken.refusals import Reason

on_node = pytest.mark.parametrize("app", ["node"], indirect=True)
CHECKED = policy().replace("[callers]", '[callers]\nrevoked = "check"')


@pytest.fixture
def auth(signing: SigningProxy) -> Iterator[SigningProxy]:
    """The signing proxy, reset after the test."""
    yield signing
    signing.claims.clear()
    signing.key = None


@pytest.fixture(scope="session")
def origin(shared: Stack) -> Iterator[str]:
    """The origin of the app, with a route that returns App Check tokens."""

    async def app_check(_: Request) -> Response:
        return PlainTextResponse(shared.app_check.token())

    with pages.serving("in_browser.mjs", Route("/app-check", app_check)) as served:
        yield served


@pytest.fixture(scope="session", params=["node", "chromium"])
def app(
    request: pytest.FixtureRequest, signing: SigningProxy, origin: str, chromium: Browser
) -> Iterator[App]:
    """The app, not started."""
    client: AbstractContextManager[Client] = (
        Program(node_22(), "on_node.mjs", "firebase")
        if request.param == "node"
        else tab(chromium, origin, "firebase")
    )
    with client as started:
        yield App(started, signing.url, f"{origin}/app-check")


@pytest.fixture(scope="session")
def function(shared: Stack, origin: str) -> Iterator[str]:
    """The URL of a function that allows the app's origin."""
    with shared.running(policy(), ALLOWED_ORIGINS=origin) as started:
        yield started.function.url


@pytest.fixture(scope="session")
def checked(shared: Stack, origin: str, signing: SigningProxy) -> Iterator[str]:
    """The URL of a function that asks the Auth emulator about each user."""
    lookups = f"http://{signing.emulator}/identitytoolkit.googleapis.com"
    with shared.running(
        CHECKED, ALLOWED_ORIGINS=origin, IDENTITY_TOOLKIT_BASE_URL=lookups
    ) as started:
        yield started.function.url


@pytest.fixture(scope="session")
def attested(shared: Stack, origin: str) -> Iterator[str]:
    """The URL of a function that requires App Check."""
    with shared.running(policy("required"), ALLOWED_ORIGINS=origin) as started:
        yield started.function.url


@pytest.fixture(scope="session")
def attested_once(shared: Stack, origin: str) -> Iterator[str]:
    """The URL of a function that accepts each App Check token once."""
    with shared.running(policy("consume"), ALLOWED_ORIGINS=origin) as started:
        yield started.function.url


def test_a_user_who_is_signed_out_is_refused(app: App, function: str, livetoken: Stack) -> None:
    app.start(function)
    assert app.error().is_refusal(Reason.NO_CREDENTIAL)


def test_a_user_with_a_password_gets_a_token(app: App, function: str, livetoken: Stack) -> None:
    app.start(function)
    app.sign_in_anew()
    token = app.call()
    assert token["name"] == livetoken.gemini.minted()[-1].token
    assert (token["profile"], token["model"]) == ("default", "models/gemini-3.8-live")
    assert app.call({"profile": "default"})["name"] != token["name"]


def test_an_app_signs_in_and_talks_in_one_page(
    chromium: Browser, auth: SigningProxy, origin: str, function: str, livetoken: Stack
) -> None:
    with tab(chromium, origin, "firebase") as client:
        app, live = App(client, auth.url, app_check_url=""), Live(replace(client, name="genai"))
        app.start(function)
        app.sign_in_anew()
        live.open(app.call())
        assert live.say("Hello, tutor!").audio


def test_a_user_with_a_google_account_gets_a_token(
    app: App, function: str, livetoken: Stack
) -> None:
    app.start(function)
    app.sign_in_with_google(sub="109700000000000000003", email="eve@example.com")
    assert app.call()["name"] == livetoken.gemini.minted()[-1].token


def test_an_anonymous_account_is_refused(app: App, function: str, livetoken: Stack) -> None:
    app.start(function)
    app.sign_in_anonymously()
    assert app.error().is_refusal(Reason.NOT_ALLOWED)


def test_a_new_claim_arrives_with_the_next_id_token(
    app: App, function: str, livetoken: Stack, auth: SigningProxy
) -> None:
    app.start(function)
    auth.give_claims(app.sign_in_anew(), plan="pro")
    assert app.error({"profile": "pro"}).is_refusal(Reason.NOT_ALLOWED)
    app.refresh()
    assert app.call({"profile": "pro"})["profile"] == "pro"


def test_an_expired_id_token_is_refused_and_a_new_one_accepted(
    app: App, function: str, livetoken: Stack, auth: SigningProxy
) -> None:
    app.start(function)
    app.sign_in_anew()
    now = int(time.time())
    auth.claims |= {"iat": now - 7200, "auth_time": now - 7200, "exp": now - 3600}
    app.refresh()
    auth.claims.clear()
    assert app.error().is_refusal(Reason.ID_TOKEN_EXPIRED)
    app.refresh()
    assert app.call()["name"]


@on_node
@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ('expires_in = "5m"\nbudget = "5m/hour"', Reason.BUDGET_REACHED),
        ("at_once = 1", Reason.AT_ONCE_REACHED),
        ('total.limit = "1/hour"', Reason.TOTAL_REACHED),
    ],
)
def test_each_bound_has_its_own_reason(
    app: App, livetoken: Stack, rule: str, reason: Reason
) -> None:
    with livetoken.running(policy() + PROFILE.format(name="bounded", rule=rule)) as started:
        app.start(started.function.url)
        app.sign_in_anew()
        assert app.call({"profile": "bounded"})["profile"] == "bounded"
        error = app.error({"profile": "bounded"})
        assert error.is_refusal(reason)
        assert 0 < error.details["retryAfterSeconds"] <= 3601


def test_an_unknown_profile_is_refused(app: App, function: str, livetoken: Stack) -> None:
    app.start(function)
    app.sign_in_anew()
    assert app.error({"profile": "unknown"}).is_refusal(Reason.UNKNOWN_PROFILE)


def test_a_user_over_the_limit_is_told_when_to_try_again(
    app: App, function: str, livetoken: Stack
) -> None:
    app.start(function)
    app.sign_in_anew()
    assert app.call({"profile": "rare"})["profile"] == "rare"
    error = app.error({"profile": "rare"})
    assert error.is_refusal(Reason.LIMIT_REACHED)
    assert 0 < error.details["retryAfterSeconds"] <= 3601


def test_a_handle_is_pinned_into_the_token(app: App, function: str, livetoken: Stack) -> None:
    app.start(function)
    app.sign_in_anew()
    app.call({"resume": "a handle"})
    setup = livetoken.gemini.minted()[-1].body["bidiGenerateContentSetup"]
    assert setup["sessionResumption"] == {"handle": "a handle"}


def test_an_outage_of_gemini_has_its_own_reason(app: App, function: str, livetoken: Stack) -> None:
    app.start(function)
    app.sign_in_anew()
    livetoken.gemini.behaviour.fault = "reset"
    assert app.error().is_refusal(Reason.GEMINI_UNAVAILABLE)
    livetoken.gemini.behaviour.fault = None
    assert app.call()["name"]


def test_the_browser_hides_the_error_from_an_origin_that_is_not_allowed(
    chromium: Browser, auth: SigningProxy, origin: str, function: str, livetoken: Stack
) -> None:
    with tab(chromium, origin.replace("127.0.0.1", "localhost"), "firebase") as foreign:
        app = App(foreign, auth.url, app_check_url="")
        app.start(function)
        app.sign_in_anew()
        assert app.error() == Error("functions/internal", "internal [0]", details=None)


def test_an_unreachable_function_gives_the_same_error(app: App, auth: SigningProxy) -> None:
    app.start(f"http://127.0.0.1:{hold_port()}")
    app.sign_in_anew()
    assert app.error() == Error("functions/internal", "internal [0]", details=None)


def test_only_a_genuine_app_gets_a_token(app: App, attested: str, livetoken: Stack) -> None:
    app.start(attested, app_check=True)
    app.sign_in_anew()
    assert app.call()["name"] != app.call()["name"]
    app.start(attested)
    app.sign_in_anew()
    assert app.error().is_refusal(Reason.APP_CHECK_FAILED)


def test_with_consume_each_call_needs_a_limited_use_token(
    app: App, attested_once: str, livetoken: Stack
) -> None:
    app.start(attested_once, app_check=True)
    app.sign_in_anew()
    assert app.call(limited_use=True)["name"] != app.call(limited_use=True)["name"]
    app.call()
    assert app.error().is_refusal(Reason.APP_CHECK_FAILED)


NEVER_READ = {Reason.METHOD_NOT_ALLOWED, Reason.UNSUPPORTED_MEDIA_TYPE, Reason.ORIGIN_NOT_ALLOWED}
"""The SDK always posts JSON, and a browser hides the answer from an origin not allowed."""


@on_node
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"model": "gemini-3.8-live"}, Reason.INVALID_REQUEST),
        ({"profile": "a" * 8192}, Reason.BODY_TOO_LARGE),
    ],
)
def test_an_invalid_call_is_refused(
    app: App, function: str, livetoken: Stack, data: object, reason: Reason
) -> None:
    app.start(function)
    app.sign_in_anew()
    assert app.error(data).is_refusal(reason)


@on_node
def test_a_forged_token_is_refused(
    app: App, function: str, livetoken: Stack, auth: SigningProxy
) -> None:
    app.start(function)
    auth.key = signing_key().private
    app.sign_in_anew()
    assert app.error().is_refusal(Reason.INVALID_ID_TOKEN)


@on_node
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (429, Reason.GEMINI_QUOTA),
        (403, Reason.GEMINI_REFUSED),
        ("html", Reason.GEMINI_UNAVAILABLE),
        ("hang", Reason.GEMINI_TIMEOUT),
    ],
)
def test_each_failure_of_gemini_has_its_own_reason(
    app: App, function: str, livetoken: Stack, fault: int | str, reason: Reason
) -> None:
    app.start(function)
    app.sign_in_anew()
    livetoken.gemini.behaviour.fault = fault
    assert app.error().is_refusal(reason)


FAILING = Path(__file__).parents[1] / "functions/failing.py"


@on_node
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"FIREBASE_KEYS_URL": "http://127.0.0.1:1/"}, Reason.KEYS_UNAVAILABLE),
        ({"LIMITS_STORAGE": "async+redis://127.0.0.1:1"}, Reason.LIMITS_UNAVAILABLE),
        ({"FUNCTION_SOURCE": str(FAILING), "PYTHONPATH": "."}, Reason.INTERNAL),
        ({"SWITCH_OBJECT": "gs://missing/switch.json"}, Reason.STOPPED),
    ],
)
def test_each_failure_of_the_function_has_its_own_reason(
    app: App, livetoken: Stack, variables: dict[str, str | None], reason: Reason
) -> None:
    with livetoken.running(policy(), **variables) as started:
        app.start(started.function.url)
        app.sign_in_anew()
        assert app.error({"profile": "rare"}).is_refusal(reason)


@on_node
def test_an_outage_of_firebases_accounts_has_its_own_reason(app: App, livetoken: Stack) -> None:
    nowhere = {"IDENTITY_TOOLKIT_BASE_URL": "http://127.0.0.1:1"}
    with livetoken.running(CHECKED, **nowhere) as started:
        app.start(started.function.url)
        app.sign_in_anew()
        assert app.error().is_refusal(Reason.ACCOUNTS_UNAVAILABLE)


@on_node
def test_an_outage_of_app_check_has_its_own_reason(
    app: App, attested_once: str, livetoken: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(livetoken.app_check, "verdict_fault", 503)
    app.start(attested_once, app_check=True)
    app.sign_in_anew()
    assert app.error(limited_use=True).is_refusal(Reason.APP_CHECK_UNAVAILABLE)


def test_this_file_names_every_reason() -> None:
    source = Path(__file__).read_text()
    assert not [reason.name for reason in Reason if f"Reason.{reason.name}" not in source]


# ------------------------------------------------------------------ disabled and signed-out users


def test_a_user_whom_firebase_disabled_deleted_or_signed_out_gets_no_token(
    app: App, auth: SigningProxy, checked: str
) -> None:
    """The answers of the Auth emulator are Google's, unlike those of our own stand-in."""
    app.start(checked)
    app.sign_in_anew()
    assert app.call()["profile"] == "default"
    auth.administer("update", localId=app.sign_in_anew(), disableUser=True)
    assert app.error().is_refusal(Reason.NOT_ALLOWED)
    auth.administer("delete", localId=app.sign_in_anew())
    assert app.error().is_refusal(Reason.INVALID_ID_TOKEN)
    uid = app.sign_in_anew()
    time.sleep(1.1)  # the emulator counts whole seconds
    auth.administer("update", localId=uid, validSince=str(int(time.time())))
    assert app.error().is_refusal(Reason.INVALID_ID_TOKEN)
