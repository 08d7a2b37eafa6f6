"""Every error of the contract is a sentence on the page, with what to do about it."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route
from stack import Stack, stack
from visitor import NOBODY, PICTURES, Visitor, visiting

from emulator.tls import Certificate
from livetoken.answers import refused
from livetoken.refusals import Reason, Refused

ONE_AN_HOUR = """
api_version = "v1alpha"
[profiles.default]
model = "gemini-3.8-live"
limit = "1/hour"
[profiles.default.config]
response_modalities = ["AUDIO"]
session_resumption = {}
"""


@pytest.fixture(scope="module")
def at_the_page(chromium: Browser, certificate: Certificate) -> Iterator[Visitor]:
    with stack(certificate) as around, visiting(chromium, around) as visitor:
        yield visitor


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_a_sentence_of_its_own(at_the_page: Visitor, reason: Reason) -> None:
    waits = reason.value.code in (429, 503)
    refusal = refused(Refused(reason, retry_after=120 if waits else None), {})
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.method)
        headers = {**dict(refusal.headers), "Access-Control-Allow-Origin": "*"}
        route.fulfill(status=refusal.status_code, headers=headers, body=bytes(refusal.body))

    page = at_the_page.page
    function = page.evaluate("fetch('setup.json').then((it) => it.json())")["functionUrl"]
    page.route(f"{function}/**", refuse)
    at_the_page.ask()
    at_the_page.is_told(reason.name)
    page.unroute(f"{function}/**")

    told = page.get_by_role("alert").inner_text()
    says, todo = re.findall(r"[^.]+\.", told.partition(reason.name)[0])[:2]
    assert says.strip() != "Something went wrong on this page."
    assert len(todo.split()) >= 2
    assert told.count("Ask again in 2 minutes.") == waits
    renewable = reason in (Reason.ID_TOKEN_EXPIRED, Reason.APP_CHECK_FAILED)
    assert asked.count("POST") == (2 if renewable else 1)
    PICTURES.mkdir(parents=True, exist_ok=True)
    name = f"error-{reason.name.lower().replace('_', '-')}.png"
    page.get_by_role("alert").screenshot(path=PICTURES / name)
    others = SAID.setdefault(says, reason)
    assert others == reason, f"says the same of {others.name}"


SAID: dict[str, Reason] = {}
"""Which sentence was said for which reason."""


def test_signed_out(at_the_page: Visitor) -> None:
    at_the_page.ask(NOBODY)
    at_the_page.is_told("Nobody is signed in. Sign in, and ask again.")
    at_the_page.is_told("NO_CREDENTIAL")
    at_the_page.picture("12-signed-out")


def test_an_anonymous_account(at_the_page: Visitor) -> None:
    at_the_page.ask("guest")
    at_the_page.is_told("You may not have a token for this.")


def test_gemini_down_and_up_again(chromium: Browser, alone: Stack) -> None:
    with visiting(chromium, alone) as visitor:
        alone.gemini.behaviour.fault = 503
        visitor.ask()
        visitor.is_told(re.compile(r"Gemini is not available right now\. Ask again in \d+ second"))
        alone.gemini.behaviour.fault = None
        visitor.press("Get a token")
        visitor.sees("Ready: press Talk.")


def test_a_limit_that_is_reached_says_when_and_ends_what_would_go_on(
    chromium: Browser, alone: Stack
) -> None:
    with visiting(chromium, alone, ONE_AN_HOUR) as visitor:
        visitor.ask()
        visitor.press("Talk")
        visitor.write("Hello!")
        visitor.page.wait_for_function("() => window.played.length > 0")
        visitor.press("Cut the connection")
        visitor.is_told(re.compile(r"as many tokens as you may.* in (60|59) minutes\."))
        visitor.sees("Ended.")
        visitor.press("Get a token")
        visitor.is_told(re.compile(r"as many tokens as you may.* in (60|59) minutes\."))


def test_an_origin_that_is_not_allowed_looks_like_no_answer(
    chromium: Browser, alone: Stack
) -> None:
    with visiting(chromium, alone, origins="https://app.example.com") as visitor:
        visitor.ask()
        visitor.is_told("livetoken cannot be reached.")
        visitor.is_told("no CORS headers for this origin")
