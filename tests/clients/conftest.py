"""Shared by all tests: a browser, a page with clients, and an Auth emulator."""

import shutil
from collections.abc import Iterator

import auth_emulator
import pages
import pytest
import voice
from livetoken_app import App, an_app
from outside import Outside
from playwright.sync_api import Browser, sync_playwright
from signing_proxy import SigningProxy
from stack import Stack, stack
from visitor import Visitor, visiting

from emulator.tls import Certificate

CHATTER = (
    *("AutofillServerCommunication", "CertificateTransparencyComponentUpdater", "HttpsUpgrades"),
    *("DialMediaRouteProvider", "MediaRouter", "OptimizationHints", "Translate"),
)


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    """The proxy that the browser uses for other machines."""
    with Outside() as made:
        yield made


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory, outside: Outside) -> Iterator[Browser]:
    """Chromium, started once: Playwright allows one in a thread, and a start takes a second.

    Its microphone plays `voice`, and its requests to other machines go to `outside`.
    """
    heard = tmp_path_factory.mktemp("voice") / "voice.wav"
    voice.write(heard)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={heard}",
                f"--proxy-server={outside.address}",
                "--autoplay-policy=user-gesture-required",
                # Chromium's own requests to Google, which no page causes.
                f"--disable-features={','.join(CHATTER)}",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def page(chromium: Browser) -> Iterator[str]:
    """The origin of a page with the browser clients."""
    with pages.serving("in_browser.mjs") as origin:
        yield origin


@pytest.fixture
def app(chromium: Browser, alone: Stack) -> Iterator[App]:
    """An app that uses livetoken.js."""
    with an_app(chromium, alone) as made:
        yield made


@pytest.fixture
def visitor(chromium: Browser, alone: Stack) -> Iterator[Visitor]:
    """A user of the page, with the policy of this repository."""
    with visiting(chromium, alone) as made:
        yield made


@pytest.fixture(scope="session")
def signing(shared: Stack) -> Iterator[SigningProxy]:
    """The Auth emulator, started once, behind the proxy that signs its tokens."""
    with auth_emulator.running() as emulator:
        proxy = SigningProxy(emulator, shared.issuer)
        with proxy.serving():
            yield proxy


@pytest.fixture(scope="module")
def at_the_page(chromium: Browser, certificate: Certificate) -> Iterator[Visitor]:
    """A visitor of the page, shared by the tests of a module."""
    with stack(certificate) as around, visiting(chromium, around) as visitor:
        yield visitor
