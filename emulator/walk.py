"""Every step that a client app takes, tried once and reported as it happens."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

from google.genai.errors import APIError
from websockets.exceptions import WebSocketException

from emulator.client import Heard, Lost, converse
from emulator.clock import Clock

SAMPLE_RATE = 24_000  # Hz of the audio that Gemini sends, 16-bit mono
SESSION_SECONDS = 60  # a session that takes longer has failed


class Failed(Exception):
    """A step failed; the message says why."""


@dataclass(frozen=True)
class Walk:
    """The steps, against one function.

    Args:
        profile: the profile to ask for.
        gemini_tls_url: where the stand-in for Gemini listens with TLS; None for the real Gemini.
        clock: the clock of the stand-in; None for the real Gemini, which leaves out the steps
            that wait until a token has expired.
    """

    function_url: str
    issuer_url: str
    app_check_url: str
    profile: str
    gemini_tls_url: str | None
    clock: Clock | None

    def steps(self) -> Iterator[tuple[str, str]]:
        """Take each step, and yield its name and its result.

        Raises:
            Failed: at the first step that fails.
        """
        id_token = self.sign_in("ada")
        yield "sign in", f"ada, with a Firebase ID token of {len(id_token)} characters"
        answer = self.mint(id_token)
        ends, starts = answer["expireTime"], answer["newSessionExpireTime"]
        name = f"{answer['name'][:24]}…"
        yield "mint", f"{name} starts a session until {starts[11:19]} and ends at {ends[11:19]} UTC"
        heard = self.talk(answer, "Hello, tutor!")
        if not heard.audio:
            raise Failed("the session opened, but no audio came")
        yield "connect", f"to {answer['model']}, with google-genai {version('google-genai')}"
        yield "exchange", f"sent “Hello, tutor!”, received {_received(heard)}"
        if heard.handle is not None:
            resumed = self.talk(self.mint(id_token, heard.handle), "And again!")
            yield "resume", f"the same session with a new token, received {_received(resumed)}"
        yield "second use", self.refusal(answer)
        if self.clock is None:
            return
        for step, field in (("late start", "newSessionExpireTime"), ("expired", "expireTime")):
            fresh = self.mint(id_token)
            ahead = datetime.fromisoformat(fresh[field]) - self.clock() + timedelta(seconds=1)
            with self.clock.ahead(ahead):
                yield step, f"{ahead.total_seconds():.0f} s later, {self.refusal(fresh)}"

    def sign_in(self, user: str) -> str:
        """Get an ID token of a test user, as an app gets one from Firebase."""
        return self._request(f"{self.issuer_url}/token/{user}").decode()

    def mint(self, id_token: str, resume: str | None = None) -> Any:
        """Exchange an ID token for a Gemini Live token, with an App Check token.

        Args:
            resume: the handle of the session to resume.
        """
        headers = {
            "Authorization": f"Bearer {id_token}",
            "X-Firebase-AppCheck": self._request(f"{self.app_check_url}/token").decode(),
            "Content-Type": "application/json",
        }
        body = {"profile": self.profile, **({} if resume is None else {"resume": resume})}
        return json.loads(self._request(self.function_url, headers, json.dumps(body).encode()))

    def talk(self, answer: Mapping[str, Any], text: str) -> Heard:
        """Open a session with google-genai, which requires TLS, and send a text.

        Raises:
            Failed: the session is refused, breaks or takes too long.
        """
        try:
            return self._session(answer, text)
        except APIError as error:
            raise Failed(f"Gemini closed the session with {_closed(error)}") from None

    def refusal(self, answer: Mapping[str, Any]) -> str:
        """Try to open a session that Gemini must refuse, and return how it refuses."""
        try:
            self._session(answer, "Hello again!")
        except APIError as error:
            return f"refused with {_closed(error)}"
        raise Failed("Gemini opened a session that it must refuse")

    def _session(self, answer: Mapping[str, Any], text: str) -> Heard:
        session = converse(answer, text, base_url=self.gemini_tls_url)
        try:
            return asyncio.run(asyncio.wait_for(session, SESSION_SECONDS))
        except TimeoutError:
            raise Failed(f"the session took longer than {SESSION_SECONDS} s") from None
        except Lost as error:
            raise Failed(f"the connection was lost during the answer, {error}") from None
        except (OSError, WebSocketException) as error:
            raise Failed(f"no connection to Gemini: {error}") from None

    def _request(
        self, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> bytes:
        """Send a GET, or a POST if there is a body."""
        request = urllib.request.Request(url, body, dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                answered: bytes = answer.read()
                return answered
        except urllib.error.HTTPError as error:
            raise Failed(f"{url} answered {error.code}: {error.read().decode()}") from None


def _received(heard: Heard) -> str:
    """The length of the audio, and the transcript if the policy asks for one."""
    seconds = f"{len(heard.audio) / 2 / SAMPLE_RATE:.1f} s of audio"
    return f"{seconds} and “{heard.transcript}”" if heard.transcript else seconds


def _closed(error: APIError) -> str:
    """The close code and reason of a session, on one line."""
    return f"{error.code}: {error.details}"
