"""A function that browsers and SDKs reach without TLS, and one browser for all tests."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from stack import Stack


@pytest.fixture
def plain(alone: Stack) -> Iterator[Stack]:
    """A function whose tokens open `ws:` sockets, for clients that know no authority."""
    with alone.running(
        GOOGLE_GEMINI_BASE_URL=alone.gemini_plain_url, ALLOWED_ORIGINS="*"
    ) as started:
        yield started


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Chromium, once: Playwright allows one of its kind in a thread, and a start costs a second."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()
