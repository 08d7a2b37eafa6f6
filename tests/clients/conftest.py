"""What all tests share: a browser, a page with the clients that run in it, an Auth emulator."""

import shutil
from collections.abc import Iterator

import auth_emulator
import pages
import pytest
import voice
from outside import Outside
from playwright.sync_api import Browser, sync_playwright
from signing_proxy import SigningProxy
from stack import Stack

CHATTER = (
    *("AutofillServerCommunication", "CertificateTransparencyComponentUpdater", "HttpsUpgrades"),
    *("DialMediaRouteProvider", "MediaRouter", "OptimizationHints", "Translate"),
)


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    """All that is not on this machine, as the browser sees it."""
    with Outside() as made:
        yield made


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory, outside: Outside) -> Iterator[Browser]:
    """Chromium, once: Playwright allows one of its kind in a thread, and a start costs a second.

    Its microphone hears `voice`, and what it asks of other machines goes to `outside`.
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
                # What Chromium asks Google by itself about any page, and no page can help.
                f"--disable-features={','.join(CHATTER)}",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def page(chromium: Browser) -> Iterator[str]:
    """The origin of a page with the clients for browsers."""
    with pages.serving("in_browser.mjs") as origin:
        yield origin


@pytest.fixture(scope="session")
def signing(shared: Stack) -> Iterator[SigningProxy]:
    """The Auth emulator, once, behind the proxy that signs its tokens."""
    with auth_emulator.running() as emulator:
        proxy = SigningProxy(emulator, shared.issuer)
        with proxy.serving():
            yield proxy
