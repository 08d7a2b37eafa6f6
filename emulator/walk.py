"""Every step that a client app takes, tried once and reported as it happens."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any, TypeVar

from google.genai.errors import APIError
from websockets.exceptions import WebSocketException

from emulator.client import Heard, Lost, connected, converse
from emulator.clock import Clock

SAMPLE_RATE = 24_000  # Hz of the audio that Gemini sends, 16-bit mono
SESSION_SECONDS = 60  # a session that takes longer has failed
USER = "ada"  # the test user who takes the steps

_T = TypeVar("_T")


class Failed(Exception):
    """A step failed; the message says why.

    `reason` is the function's reason if it refused a token, and empty otherwise.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Closed(Failed):
    """Gemini closed a session before it opened, with the code and words in `how`."""

    def __init__(self, error: APIError) -> None:
        self.how = f"{error.code}: {error.details}"
        super().__init__(f"Gemini closed the session with {self.how}")


USED_UP = ("LIMIT_REACHED", "BUDGET_REACHED", "AT_ONCE_REACHED")
"""The reasons for which the policy allows a test user no further token."""


@dataclass(frozen=True)
class Walk:
    """The steps, against one function.

    Args:
        profiles: the profiles of the policy. The steps use the first; one step opens a session of
            each other.
        gemini_tls_url: where the stand-in for Gemini listens with TLS; None for the real Gemini.
        clock: the clock of the stand-in; None for the real Gemini, which leaves out the steps
            that wait until a token has expired.
    """

    function_url: str
    issuer_url: str
    app_check_url: str
    profiles: Sequence[str]
    gemini_tls_url: str | None
    clock: Clock | None

    def steps(self) -> Iterator[tuple[str, str]]:
        """Take each step, and yield its name and its result.

        Raises:
            Failed: at the first step that fails.
        """
        id_token = self.sign_in(USER)
        yield "sign in", f"{USER}, with a Firebase ID token of {len(id_token)} characters"
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
            resumed = self.talk(self.mint(id_token, resume=heard.handle), "And again!")
            yield "resume", f"the same session with a new token, received {_received(resumed)}"
        yield "second use", self.refusal(answer)
        if len(self.profiles) > 1:
            yield "profiles", self.other_profiles(id_token)
        if self.clock is None:
            return
        for step, field in (("late start", "newSessionExpireTime"), ("expired", "expireTime")):
            try:
                fresh = self.mint(id_token)
            except Failed as error:
                if error.reason not in USED_UP:
                    raise
                yield step, f"skipped: the policy allows {USER} no further token, {error.reason}"
                continue
            ahead = datetime.fromisoformat(fresh[field]) - self.clock() + timedelta(seconds=1)
            with self.clock.ahead(ahead):
                yield step, f"{ahead.total_seconds():.0f} s later, {self.refusal(fresh)}"

    def sign_in(self, user: str) -> str:
        """Get an ID token of a test user, as an app gets one from Firebase."""
        return self._request(f"{self.issuer_url}/token/{user}").decode()

    def mint(self, id_token: str, profile: str | None = None, *, resume: str | None = None) -> Any:
        """Exchange an ID token for a Gemini Live token, with an App Check token.

        Args:
            profile: the first if left out.
            resume: the handle of the session to resume.
        """
        headers = {
            "Authorization": f"Bearer {id_token}",
            "X-Firebase-AppCheck": self._request(f"{self.app_check_url}/token").decode(),
            "Content-Type": "application/json",
        }
        body = {"profile": profile or self.profiles[0]}
        if resume is not None:
            body["resume"] = resume
        return json.loads(self._request(self.function_url, headers, json.dumps(body).encode()))

    def talk(self, answer: Mapping[str, Any], text: str) -> Heard:
        """Open a session with google-genai, which requires TLS, and send a text.

        Raises:
            Failed: the session is refused, breaks or takes too long.
        """
        return self._run(converse(answer, text, base_url=self.gemini_tls_url))

    def refusal(self, answer: Mapping[str, Any]) -> str:
        """Try to open a session that Gemini must refuse, and return how it refuses."""
        try:
            self.talk(answer, "Hello again!")
        except Closed as error:
            return f"refused with {error.how}"
        raise Failed("Gemini opened a session that it must refuse")

    def other_profiles(self, id_token: str) -> str:
        """Open a session of each profile but the first, and return which opened.

        Gemini checks a setup when its session starts, not when its token is made. A profile that
        the user may not use, or whose limit they have reached, is skipped.

        Raises:
            Failed: at the first profile that fails; the message names it.
        """
        opened, skipped = [], []
        for profile in self.profiles[1:]:
            try:
                self._run(self._open(self.mint(id_token, profile)))
                opened.append(profile)
            except Failed as error:
                if error.reason != "NOT_ALLOWED" and not error.reason.endswith("_REACHED"):
                    raise Failed(f"profile {profile}: {error}") from None
                skipped.append(f"{profile} ({error.reason} for {USER})")
        results = (("opened a session of ", opened), ("skipped ", skipped))
        return "; ".join(did + ", ".join(names) for did, names in results if names)

    async def _open(self, answer: Mapping[str, Any]) -> None:
        """Open a session, and close it without a conversation."""
        async with connected(answer, base_url=self.gemini_tls_url):
            pass

    def _run(self, session: Coroutine[Any, Any, _T]) -> _T:
        try:
            return asyncio.run(asyncio.wait_for(session, SESSION_SECONDS))
        except APIError as error:
            raise Closed(error) from None
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
            text = error.read().decode()
            raise Failed(f"{url} answered {error.code}: {text}", _reason(text)) from None


def _received(heard: Heard) -> str:
    """The length of the audio, and the transcript if the policy asks for one."""
    seconds = f"{len(heard.audio) / 2 / SAMPLE_RATE:.1f} s of audio"
    return f"{seconds} and “{heard.transcript}”" if heard.transcript else seconds


def _reason(answered: str) -> str:
    """The reason in an error of the function; empty if the answer is something else."""
    try:
        return str(json.loads(answered)["error"]["details"]["reason"])
    except (ValueError, KeyError, TypeError):
        return ""
