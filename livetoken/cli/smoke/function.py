"""The function from outside, as `smoke` asks it: over HTTP, its answers against the contract."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import httpx2
from starlette.responses import Response

from livetoken import answers
from livetoken.cli.smoke import tokens
from livetoken.cli.smoke.table import CheckFailed
from livetoken.refusals import Reason, Refused

_ANOTHER = "choose other profiles with --profile, or use another test user"
_HINTS = {
    Reason.ID_TOKEN_EXPIRED: "--id-token-command prints an expired token",
    Reason.APP_CHECK_FAILED: (
        "--app-check-command must print a fresh token of the project's app, each time"
    ),
    Reason.NOT_ALLOWED: f"the policy refuses this test user; {_ANOTHER}",
    Reason.LIMIT_REACHED: f"this test user has reached a rate limit; wait, {_ANOTHER}",
    Reason.UNKNOWN_PROFILE: "the deployed policy differs from this one",
}
_MOST_BYTES = 64 * 1024  # of an answer; the function's own have about one KiB


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. Header names are not case-sensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed JSON; None if the body is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def reason(self) -> Reason | None:
        """The reason of a refusal; None if this is not a refusal of the function."""
        try:
            return Reason[self.json["error"]["details"]["reason"]]
        except (KeyError, TypeError):
            return None

    def __str__(self) -> str:
        """Return what it is, and what it means if it is not the function's."""
        if self.reason is not None:
            return f"{self.status} {self.reason.name}"
        if self.status == 204:
            return "204"
        if isinstance(self.json, dict):
            return f"{self.status} with {'a token' if 'name' in self.json else 'unexpected JSON'}"
        kind = self.headers.get("content-type", "").partition(";")[0] or "no media type"
        return f"{self.status} with {kind}{self._meaning()}"

    def _meaning(self) -> str:
        """Return what may have answered instead of the function."""
        if self.status in (401, 403):
            return (
                ": the function did not answer; perhaps Cloud Run's IAM refused the request before it."
                " Run gcloud run services update SERVICE --no-invoker-iam-check, or give"
                " allUsers the role roles/run.invoker"
            )
        if self.status == 404:
            return ": there is no such service"
        if 300 <= self.status < 400:
            host = urlsplit(self.headers.get("location", "")).hostname or "nowhere"
            return f": redirected to {host}; perhaps a sign-in protects the function"
        if self.status >= 500 or self.status == 429:
            return ": the service does not start or has no instance left; see its log"
        return ": the function did not answer"


class Function:
    """The function at a URL. Every request opens a connection.

    Args:
        url: `https://`, or loopback.
        seconds: for one whole answer.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._http: httpx2.AsyncClient | None = None

    async def ask(
        self,
        body: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        id_token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request.

        Raises:
            CheckFailed: there is no answer.
        """
        sent = dict(headers or {})
        if id_token is not None:
            sent["Authorization"] = f"Bearer {id_token}"
        try:
            self._http = self._http or httpx2.AsyncClient(
                timeout=None, limits=httpx2.Limits(max_keepalive_connections=0)
            )
            async with (
                asyncio.timeout(self._seconds),
                self._http.stream(method, self._url, json=body, headers=sent) as answer,
            ):
                content = b""
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > _MOST_BYTES:
                        raise CheckFailed(f"{answer.status_code}, and over {_MOST_BYTES:,} bytes")
                return Answer(answer.status_code, answer.headers, content)
        except TimeoutError:
            raise CheckFailed(f"no whole answer within {self._seconds:g} s") from None
        except httpx2.ConnectError as error:
            raise CheckFailed(f"cannot be reached: {error}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise CheckFailed(f"no whole answer: {str(error) or type(error).__name__}") from None


def refusal(reason: Reason, cors: Mapping[str, str] = MappingProxyType({})) -> Response:
    """Return this code's own answer for a refusal."""
    return answers.refused(Refused(reason), cors)


def expect(answer: Answer, expected: Response) -> str:
    """Compare an answer with this code's own. Returns what it is.

    Raises:
        CheckFailed: the status, the body, a header or a CORS header differs.
    """
    wanted = Answer(expected.status_code, expected.headers, bytes(expected.body))
    if (answer.status, answer.reason) != (wanted.status, wanted.reason):
        raise CheckFailed(f"{answer}, not {wanted}")
    if answer.json != wanted.json or (not wanted.body and answer.body):
        raise CheckFailed(f"{answer}, with an unexpected body")
    expect_headers(answer, wanted.headers)
    return str(answer)


def expect_headers(answer: Answer, wanted: Mapping[str, str]) -> None:
    """Compare headers. Lists are compared as sets, and words that a proxy adds are accepted.

    Raises:
        CheckFailed: a header is missing or differs, or there is an unexpected CORS header.
    """
    granted = {name for name in answer.headers if name.lower().startswith("access-control-")}
    for name in sorted({*(each.lower() for each in wanted), *granted} - {"content-length"}):
        words, least = _words(answer.headers.get(name)), _words(wanted.get(name))
        if not least <= words or (name.startswith("access-control-") and least != words):
            came = answer.headers.get(name, "missing")
            raise CheckFailed(f"{answer}, but {name} is {came}, not {wanted.get(name, 'missing')}")


def _words(value: str | None) -> set[str]:
    return {word.strip().lower() for word in (value or "").split(",")} - {""}


class TestUser:
    """A test user, in the genuine app if a command prints App Check tokens.

    Args:
        app_check_command: run for each request, since an App Check token may work only once.
        seconds: for one command.
        hide: keeps a token out of everything that is printed.
    """

    def __init__(
        self,
        function: Function,
        app_check_command: tuple[str, ...] | None,
        seconds: float,
        hide: Callable[[str], str],
    ) -> None:
        self._function = function
        self._app_check_command = app_check_command
        self._seconds = seconds
        self._hide = hide
        self.id_token = ""

    async def app_check(self) -> dict[str, str]:
        """Return the header of a fresh App Check token, if there is a command for it.

        Raises:
            CheckFailed: the command fails.
        """
        if self._app_check_command is None:
            return {}
        option = "--app-check-command"
        token = await tokens.printed(self._app_check_command, option, self._seconds)
        return {"X-Firebase-AppCheck": self._hide(token)}

    async def ask(
        self, body: Mapping[str, str], app_check: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request, with a fresh App Check token if none is given.

        Raises:
            CheckFailed: there is no answer or no App Check token.
        """
        headers = await self.app_check() if app_check is None else app_check
        return await self._function.ask(body, id_token=self.id_token, headers=headers)

    def refused(self, answer: Answer) -> CheckFailed:
        """Return the failure for an unexpected refusal."""
        hint = "see the log of the function"
        if answer.reason is Reason.INVALID_ID_TOKEN:
            hint = tokens.why_refused(tokens.claims(self.id_token) or {})
        elif answer.reason is not None:
            hint = _HINTS.get(answer.reason, hint)
        return CheckFailed(f"{answer}: {hint}")
