"""The page's server answers this machine only, and limits what the page may do."""

from collections.abc import Iterator

import pytest
from stack import SHIPPED
from wire import HttpAnswer, send

from emulator.app_check import AppCheck
from emulator.issuer import Issuer
from emulator.page_app import Page
from emulator.people import PEOPLE
from emulator.server import Server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    page = Page(SHIPPED, Issuer(), AppCheck(), "http://127.0.0.1:8080")
    with Server(page.app) as server:
        yield server.url


def get(url: str, path: str, host: str = "") -> HttpAnswer:
    return send(url, path, headers={"Host": host} if host else {})


@pytest.mark.parametrize(
    ("host", "status"), [("", 200), ("localhost:80", 200), ("rebound.example", 400)]
)
@pytest.mark.parametrize("path", ["/", "/setup.json", "/issuer/token/ada"])
def test_a_request_with_another_host_name_is_refused(
    url: str, path: str, host: str, status: int
) -> None:
    assert get(url, path, host).status == status


@pytest.mark.parametrize(
    ("gemini_url", "outside"),
    [
        ("", ""),
        ("http://127.0.0.1:8081", ""),
        (
            "https://generativelanguage.googleapis.com",
            " wss://generativelanguage.googleapis.com",
        ),
    ],
)
def test_the_page_may_connect_to_gemini_and_nothing_else_outside(
    gemini_url: str, outside: str
) -> None:
    page = Page(SHIPPED, Issuer(), AppCheck(), gemini_url=gemini_url)
    with Server(page.app) as server:
        policy = get(server.url, "/").headers["Content-Security-Policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' http://127.0.0.1:* ws://127.0.0.1:*{outside}; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )


def test_the_page_gets_the_test_users_and_profiles(url: str) -> None:
    setup = get(url, "/setup.json").json
    assert [person["name"] for person in setup["people"]] == list(PEOPLE)
    assert list(setup["profiles"]) == ["default", "quick", "research"]
    assert setup["defaultProfile"] == "default"


def test_files_outside_the_page_are_not_served(url: str) -> None:
    assert get(url, "/../page_app.py").status == 404
    assert get(url, "/%2e%2e/page_app.py").status == 404
