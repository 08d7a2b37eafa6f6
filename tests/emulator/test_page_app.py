"""The page's server answers this machine alone, and says what the page may do."""

import http.client
import json
from collections.abc import Iterator

import pytest
from stack import SHIPPED

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


def get(url: str, path: str, host: str = "") -> tuple[int, http.client.HTTPMessage, bytes]:
    call = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        call.request("GET", path, headers={"Host": host} if host else {})
        answer = call.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        call.close()


@pytest.mark.parametrize(
    ("host", "status"), [("", 200), ("localhost:80", 200), ("rebound.example", 400)]
)
@pytest.mark.parametrize("path", ["/", "/setup.json", "/issuer/token/ada"])
def test_a_name_that_leads_here_from_outside_is_refused(
    url: str, path: str, host: str, status: int
) -> None:
    assert get(url, path, host)[0] == status


def test_a_page_keeps_to_itself(url: str) -> None:
    policy = get(url, "/")[1]["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "https:" not in policy


def test_it_is_told_of_people_and_profiles(url: str) -> None:
    setup = json.loads(get(url, "/setup.json")[2])
    assert [person["name"] for person in setup["people"]] == list(PEOPLE)
    assert list(setup["profiles"]) == ["default", "quick", "research"]
    assert setup["defaultProfile"] == "default"


def test_nothing_beside_the_page_is_served(url: str) -> None:
    assert get(url, "/../page_app.py")[0] == 404
    assert get(url, "/%2e%2e/page_app.py")[0] == 404
