"""The page explains every error, and says what the user can do."""

import re

import pytest
from playwright.sync_api import Browser, Route, expect
from stack import Stack
from visitor import PICTURES, READY, SIGNED_OUT, Visitor, visiting

from livetoken.answers import refused
from livetoken.refusals import Reason, Refused


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_own_explanation(at_the_page: Visitor, reason: Reason) -> None:
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
    assert says.strip() != "An unexpected error occurred on this page."
    assert len(todo.split()) >= 2
    assert told.count("Try again in 2 minutes.") == waits
    renewable = reason in (Reason.ID_TOKEN_EXPIRED, Reason.APP_CHECK_FAILED)
    assert asked.count("POST") == (2 if renewable else 1)
    PICTURES.mkdir(parents=True, exist_ok=True)
    name = f"error-{reason.name.lower().replace('_', '-')}.png"
    page.get_by_role("alert").screenshot(path=PICTURES / name)
    others = SAID.setdefault(says, reason)
    assert others == reason, f"the same as for {others.name}"


SAID: dict[str, Reason] = {}
"""The reason for each sentence so far."""


def test_signed_out(at_the_page: Visitor) -> None:
    at_the_page.ask(SIGNED_OUT)
    at_the_page.is_told("You are not signed in. Sign in and try again.")
    at_the_page.is_told("NO_CREDENTIAL")
    at_the_page.picture("12-signed-out")


def test_an_anonymous_account(at_the_page: Visitor) -> None:
    at_the_page.ask("guest")
    at_the_page.is_told("Your account is not allowed to use this profile.")


def test_after_an_error_no_other_token_is_ready(at_the_page: Visitor) -> None:
    at_the_page.ask("ada")
    at_the_page.sees(READY)
    at_the_page.ask("guest")
    at_the_page.is_told("Your account is not allowed to use this profile.")
    at_the_page.sees("Get a token first.")
    at_the_page.sees("None yet.")
    expect(at_the_page.button("Use it a second time")).to_be_hidden()
    for name in ("Talk", "Send"):
        expect(at_the_page.button(name)).to_be_disabled()


def test_an_outage_of_gemini_is_explained_and_passes(chromium: Browser, alone: Stack) -> None:
    with visiting(chromium, alone) as visitor:
        alone.gemini.behaviour.fault = 503
        visitor.ask()
        visitor.is_told(re.compile(r"Gemini is not available right now\. Try again in \d+ second"))
        alone.gemini.behaviour.fault = None
        visitor.press("Get a token")
        visitor.sees(READY)


def test_an_origin_that_is_not_allowed_looks_unreachable(chromium: Browser, alone: Stack) -> None:
    with visiting(chromium, alone, origins="https://app.example.com") as visitor:
        visitor.ask()
        visitor.is_told("livetoken cannot be reached.")
        visitor.is_told("livetoken does not allow this origin")
