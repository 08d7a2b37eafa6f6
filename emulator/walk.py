"""The whole path once, as a client app walks it, each step printed as it happens."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

from google.genai.errors import APIError

from emulator.client import Heard, converse
from emulator.clock import Clock

SAMPLE_RATE = 24_000  # Hz of the audio that Gemini answers with, 16-bit mono


class Failed(Exception):
    """A step did not go as it must."""


def _said(heard: Heard) -> str:
    """What came, in words where the policy asks for a transcript."""
    seconds = f"{len(heard.audio) / 2 / SAMPLE_RATE:.1f} s"
    return f"{seconds} and “{heard.transcript}”" if heard.transcript else seconds


@dataclass(frozen=True)
class Walk:
    """Where everything is, whose profile is asked for, and the stand-in's clock."""

    function_url: str
    issuer_url: str
    app_check_url: str
    gemini_tls_url: str
    profile: str
    clock: Clock

    def steps(self, say: Callable[[str, str], None]) -> None:
        """Walk.

        Args:
            say: called after each step with what was done and what came of it.

        Raises:
            Failed: at the first step that does not go as it must.
        """
        id_token = self.sign_in("ada")
        say("sign in", f"ada, with a Firebase ID token of {len(id_token)} characters")
        answer = self.mint(id_token)
        ends, starts = answer["expireTime"], answer["newSessionExpireTime"]
        name = f"{answer['name'][:24]}…"
        say("mint", f"{name} to be used by {starts[11:19]}, until {ends[11:19]} UTC")
        heard = self.talk(answer, "Hello, tutor!")
        if not heard.audio:
            raise Failed("connected, and nothing was heard")
        say("connect", f"a session of {answer['model']}, by google-genai {version('google-genai')}")
        say("exchange", f"said “Hello, tutor!”, heard {_said(heard)}")
        if heard.handle is not None:
            resumed = self.talk(self.mint(id_token, heard.handle), "And again!")
            say("resume", f"a fresh token goes on with it, heard {_said(resumed)}")
        say("second use", self.refusal(answer))
        for step, field in (("start late", "newSessionExpireTime"), ("past its end", "expireTime")):
            fresh = self.mint(id_token)
            ahead = datetime.fromisoformat(fresh[field]) - self.clock() + timedelta(seconds=1)
            with self.clock.ahead(ahead):
                say(step, f"Gemini's clock {ahead.total_seconds():.0f} s on, {self.refusal(fresh)}")

    def sign_in(self, person: str) -> str:
        """Get an ID token of a test person, as an app gets one from Firebase."""
        return self._request(f"{self.issuer_url}/token/{person}").decode()

    def mint(self, id_token: str, resume: str | None = None) -> Any:
        """Exchange an ID token for a Gemini Live token, with an App Check token beside it.

        Args:
            resume: the handle of a session that shall go on.
        """
        headers = {
            "Authorization": f"Bearer {id_token}",
            "X-Firebase-AppCheck": self._request(f"{self.app_check_url}/token").decode(),
            "Content-Type": "application/json",
        }
        body = {"profile": self.profile, **({} if resume is None else {"resume": resume})}
        return json.loads(self._request(self.function_url, headers, json.dumps(body).encode()))

    def talk(self, answer: Mapping[str, Any], text: str) -> Heard:
        """Open a session with google-genai, which connects by TLS alone, and say something."""
        return asyncio.run(converse(answer, text, base_url=self.gemini_tls_url))

    def refusal(self, answer: Mapping[str, Any]) -> str:
        """Try to open a session that must be refused, and return in what words it is."""
        try:
            self.talk(answer, "Hello again!")
        except APIError as error:
            return f"refused with {error.code}: {error.details}"
        raise Failed("a session that must be refused was opened")

    def _request(
        self, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> bytes:
        """GET, or POST a body."""
        request = urllib.request.Request(url, body, dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                answered: bytes = answer.read()
                return answered
        except urllib.error.HTTPError as error:
            raise Failed(f"{url} answered {error.code}: {error.read().decode()}") from None
