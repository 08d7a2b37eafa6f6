"""A user of the page: what they press, see and hear, with screenshots."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    ViewportSize,
    WebSocket,
    expect,
)
from stack import SHIPPED, Stack

from emulator.function import ROOT
from emulator.page_app import Page as PageApp
from emulator.server import Server

SIGNED_OUT = ""
"""The page's choice for a user who is not signed in."""

READY = "Ready for ada. Press Talk, or write."
RESUMED = "Resumed with a new token."
ANEW = "Began anew with a new token."
ENDED = "Ended. Get a new token to talk again."

PICTURES = ROOT / "build" / "screenshots"
AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
PHONE: ViewportSize = {"width": 360, "height": 740}
DESKTOP: ViewportSize = {"width": 1100, "height": 800}
AT: tuple[tuple[str, ViewportSize, Literal["light", "dark"]], ...] = (
    ("desktop", DESKTOP, "light"),
    ("phone", PHONE, "dark"),
)

# Records each AudioContext, and what is played: seconds and peak of each piece, whether it was cut,
# and whether it was played to its end.
AUDIO = """
window.contexts = [];
window.AudioContext = class extends AudioContext {
  constructor(...given) {
    super(...given);
    window.contexts.push(this);
  }
};
window.played = [];
const { start, stop } = AudioBufferSourceNode.prototype;
AudioBufferSourceNode.prototype.start = function (...when) {
  const peak = Math.max(...this.buffer.getChannelData(0).map(Math.abs));
  this.piece = { seconds: this.buffer.duration, peak, rate: this.buffer.sampleRate, cut: false };
  this.addEventListener("ended", () => { this.piece.hasEnded = !this.piece.cut; });
  window.played.push(this.piece);
  return start.apply(this, when);
};
AudioBufferSourceNode.prototype.stop = function () {
  this.piece.cut = true;
  return stop.call(this);
};
"""


def brief(
    config: str = "", *, model: str = "gemini-3.8-live", start: str = "2s", expires: str = "4s"
) -> str:
    """A policy with one profile.

    Args:
        config: more of its config.
        start: until when a token starts a session.
        expires: how long it lives.
    """
    return f"""
api_version = "v1alpha"
[profiles.default]
model = "{model}"
start_within = "{start}"
expires_in = "{expires}"
limit = "9/minute"
[profiles.default.config]
response_modalities = ["AUDIO"]
output_audio_transcription = {{}}
{config}
"""


def until_on(page: Page, condition: Callable[[], bool], *, seconds: float = 15) -> None:
    """Wait for what the page's events change, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "gave up waiting"
        page.wait_for_timeout(20)


class Visitor:
    """A user with a browser."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        """The URL of each request and each socket."""
        self.complaints: list[str] = []
        """Errors and warnings in the browser's console."""
        self.handles = 0
        """How many handles Gemini has sent."""
        page.on("request", self._request)
        page.on("websocket", self._socket)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def ask(self, person: str = "ada", profile: str = "default") -> None:
        """Ask for a token."""
        for name, value in (("person", person), ("profile", profile)):
            self.page.check(f"input[name={name}][value='{value}']")
        self.press("Get a token")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def write(self, words: str) -> None:
        self.page.get_by_label("Or write").fill(words)
        self.press("Send")

    def asks(self, words: str) -> None:
        """Write, and wait for the answer and for the handle that remembers it."""
        handles = self.handles
        self.write(words)
        self.sees(f"I heard: {words} ")
        until_on(self.page, lambda: self.handles > handles)

    def sees(self, words: str | re.Pattern[str], *, seconds: float = 15) -> None:
        """Wait until the page shows a text."""
        expect(self.page.locator("body")).to_contain_text(words, timeout=seconds * 1000)

    def is_told(self, words: str | re.Pattern[str], *, seconds: float = 15) -> None:
        """Wait until the page shows an error with this text."""
        expect(self.page.get_by_role("alert")).to_contain_text(words, timeout=seconds * 1000)

    @property
    def transcript(self) -> list[str]:
        """The lines of the transcript."""
        return self.page.get_by_role("log").locator("p").all_inner_texts()

    @property
    def played(self) -> list[dict[str, Any]]:
        """What has been played."""
        found: list[dict[str, Any]] = self.page.evaluate("window.played")
        return found

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def talks(self, person: str = "ada", profile: str = "default") -> None:
        """Get a token and begin a conversation with the microphone."""
        self.ask(person, profile)
        self.press("Talk")
        self.sees("Connected. Speak or write.")

    def picture(self, name: str) -> None:
        """Take screenshots for a desktop in light mode and a phone in dark mode.

        Both must be accessible according to axe and not wider than the screen.
        """
        PICTURES.mkdir(parents=True, exist_ok=True)
        for where, size, scheme in AT:
            self.page.set_viewport_size(size)
            self.page.emulate_media(color_scheme=scheme)
            self.page.screenshot(path=PICTURES / f"{name}-{where}.png", full_page=True)
            wide = self.page.evaluate("document.scrollingElement.scrollWidth")
            assert wide <= size["width"], f"{name}: {wide} pixels wide on a {where}"
            assert self._violations() == []

    def _violations(self) -> list[str]:
        self.page.evaluate(f"window.axe || {AXE.read_text()}")
        found = self.page.evaluate("axe.run().then((it) => it.violations)")
        return [json.dumps(violation, indent=1) for violation in found]

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _socket(self, socket: WebSocket) -> None:
        self.asked.append(socket.url)
        socket.on("framereceived", lambda frame: self._frame(frame))

    def _frame(self, frame: bytes | str) -> None:
        self.handles += b"newHandle" in (frame if isinstance(frame, bytes) else frame.encode())

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@contextmanager
def visiting(
    browser: Browser,
    around: Stack,
    policy: str = "",
    *,
    microphone: bool = True,
    origins: str = "",
    gemini_url: str = "",
    fast: bool = True,
) -> Iterator[Visitor]:
    """A user who has opened the page; it may connect to this machine only.

    Args:
        policy: the function's policy; that of this repository if left out.
        microphone: whether the page may use it.
        origins: the origins that the function allows, if not the page's.
        gemini_url: where Gemini is, if not at its plain URL on 127.0.0.1.
        fast: whether the stand-in for Gemini answers at once.
    """
    if fast:
        around.gemini.behaviour.thinks = around.gemini.behaviour.handle_after = 0.05
    with TemporaryDirectory(prefix="livetoken-page-") as folder:
        file = Path(folder, "policy.toml")
        file.write_text(policy or SHIPPED.read_text())
        app = PageApp(file, around.issuer, around.app_check, gemini_url=gemini_url)
        with (
            Server(app.app) as page_at,
            around.running(
                file.read_text(),
                GOOGLE_GEMINI_BASE_URL=gemini_url or around.gemini_plain_url,
                ALLOWED_ORIGINS=origins or ",".join(app.origins(page_at.url)),
            ) as started,
            browser.new_context(viewport=DESKTOP, ignore_https_errors=True) as context,
        ):
            app.function_url = started.function.url
            if microphone:
                context.grant_permissions(["microphone"])
            context.add_init_script(AUDIO)
            visitor = Visitor(context.new_page())
            visitor.page.goto(page_at.url)
            expect(visitor.button("Get a token")).to_be_enabled()
            yield visitor
    hosts = {urlsplit(url).hostname for url in visitor.asked}
    assert hosts <= {"127.0.0.1", urlsplit(gemini_url).hostname}
