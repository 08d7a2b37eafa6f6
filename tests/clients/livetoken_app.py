"""An app in Chromium that uses livetoken.js, for its tests."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page
from stack import SHIPPED, Stack
from stand_in import audio, pcm

from emulator.page_app import Page as PageApp
from emulator.server import Server

SPEECH = audio(pcm(0.1))
END_OF_SPEECH: dict[str, Any] = {"realtimeInput": {"audioStreamEnd": True}}
ANSWER: dict[str, Any] = {"serverContent": {"modelTurn": {"parts": []}}}
COMPLETE: dict[str, Any] = {"serverContent": {"turnComplete": True}}
CONVERSATIONS = Path(__file__).with_name("conversations.js")

POLICY = """
api_version = "v1alpha"
[callers]
app_check = "{app_check}"
[profiles.default]
model = "gemini-3.8-live"
limit = "{limit}"
[profiles.default.config]
response_modalities = ["AUDIO"]
output_audio_transcription = {{}}
session_resumption = {{}}
[profiles.default.choices.voice]
path = "speech_config.voice_config.prebuilt_voice_config.voice_name"
values = ["Kore", "Puck"]
default = "Kore"
[profiles.short]
model = "gemini-3.8-live"
[profiles.short.config]
response_modalities = ["AUDIO"]
output_audio_transcription = {{}}
[profiles.thinking]
model = "gemini-3.8-live-extended-thinking"
[profiles.thinking.config]
response_modalities = ["AUDIO"]
output_audio_transcription = {{}}
session_resumption = {{}}
thinking_config = {{ thinking_level = "LOW" }}
[profiles.tools]
model = "gemini-3.8-live"
[profiles.tools.config]
response_modalities = ["AUDIO"]
output_audio_transcription = {{}}
session_resumption = {{}}
[[profiles.tools.config.tools]]
function_declarations = [{{ name = "look_up", description = "Looks up a word." }}]
"""


def handle(name: str, *, resumable: bool = True) -> dict[str, Any]:
    return {"sessionResumptionUpdate": {"newHandle": name, "resumable": resumable}}


def picture(name: str) -> dict[str, Any]:
    data = base64.b64encode(name.encode()).decode()
    return {"realtimeInput": {"video": {"data": data, "mimeType": "image/jpeg"}}}


@dataclass
class App:
    """An app in a browser that uses livetoken.js, with its function and stand-ins."""

    page: Page
    around: Stack

    def opens(self, origin: str) -> None:
        """Open the app at an origin, which serves livetoken.js."""
        self.page.goto(f"{origin}/clients/web/livetoken.js")
        self.page.evaluate("async () => Object.assign(window, await import('/conversations.js'))")

    def given(self, **changes: Any) -> dict[str, Any]:
        """The source of its tokens."""
        fresh = self.around.issuer.id_token("ada")
        return {"url": self.around.function.url, "idTokens": [fresh], **changes}

    def get(self, **changes: Any) -> Any:
        """Get a token, or the error."""
        return self.page.evaluate("(given) => get(given)", self.given(**changes))

    def talks(self, **changes: Any) -> None:
        """Begin a conversation."""
        self.page.evaluate("(given) => talk(given)", self.given(**changes))

    def say(self, words: str) -> None:
        self.page.evaluate("(words) => say(words)", words)

    def send(self, message: dict[str, Any]) -> None:
        self.page.evaluate("(message) => send(message)", message)

    def gemini_says(self, *messages: dict[str, Any], closes: bool = False) -> None:
        """Put a Gemini in the place of the stand-in that says this to each setup, and may close."""
        self.page.evaluate(
            "([messages, closes]) => geminiSays(messages, closes)", [messages, closes]
        )

    def responds(self, call: str) -> None:
        """Send the response to a function call."""
        response = {"id": call, "name": "look_up", "response": {}}
        self.send({"toolResponse": {"functionResponses": [response]}})

    def gets_go_away(self) -> None:
        """Let Gemini announce the end of the connection, long before it."""
        behaviour = self.around.gemini.behaviour
        behaviour.go_away_before = behaviour.connection_life
        self.hears("goAway")
        behaviour.go_away_before = 50

    def received(self, kind: str) -> list[Any]:
        """What Gemini received on the current connection, by the kind of message."""
        messages = self.around.gemini.sessions[-1].messages
        return [message[kind] for message in messages if kind in message]

    def hears(self, words: str) -> None:
        """Wait for a message."""
        self.page.wait_for_function("(words) => seen.said.includes(words)", arg=words)

    def is_told(self, words: str) -> None:
        """Say something, and wait for the answer and its handle."""
        before = self.said.count("handle")
        self.say(words)
        self.page.wait_for_function(
            "(before) => seen.said.filter((each) => each === 'handle').length > before", arg=before
        )

    def has_opened(self, times: int) -> None:
        """Wait until a connection has opened for the nth time."""
        self.page.wait_for_function(
            "(times) => seen.states.filter((state) => state === 'open').length >= times", arg=times
        )

    def is_in(self, state: str) -> None:
        """Wait for a state, which includes the reason of an error."""
        self.page.wait_for_function("(state) => seen.states.at(-1) === state", arg=state)

    def comes_to(self, state: str) -> None:
        """Wait for a state while the page's clock runs ten times as fast."""
        for _ in range(300):  # half a minute
            if self.states[-1].startswith(state):
                return
            self.page.clock.run_for(1_000)
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{state} did not come: {self.states}")

    def cut(self) -> None:
        """Lose the connection."""
        self.page.evaluate("seen.session.close()")

    @property
    def said(self) -> list[str]:
        found: list[str] = self.page.evaluate("seen.said")
        return found

    @property
    def states(self) -> list[str]:
        found: list[str] = self.page.evaluate("seen.states")
        return found

    @property
    def lost(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate("seen.lost")
        return found

    @property
    def asked(self) -> dict[str, list[bool]]:
        """Whether each request for an ID token or App Check token forced a new one."""
        found: dict[str, list[bool]] = self.page.evaluate("asked")
        return found


@contextmanager
def an_app(
    browser: Browser, around: Stack, *, app_check: str = "off", limit: str = "30/hour"
) -> Iterator[App]:
    """An app with a function that has a limit and a rule for App Check."""
    around.gemini.behaviour.thinks = 0.2  # to be fast
    page_app = PageApp(SHIPPED, around.issuer, around.app_check)
    with (
        Server(page_app.app) as page_at,
        around.running(
            POLICY.format(app_check=app_check, limit=limit),
            GOOGLE_GEMINI_BASE_URL=around.gemini_plain_url,
            ALLOWED_ORIGINS=page_at.url,
        ) as started,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.clock.install()
        page.route("**/conversations.js", lambda route: route.fulfill(path=CONVERSATIONS))
        app = App(page, started)
        app.opens(page_at.url)
        yield app


def expired(around: Stack) -> str:
    return around.issuer.id_token("ada", exp=int(time.time()) - 60)
