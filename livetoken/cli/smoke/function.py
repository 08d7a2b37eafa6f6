"""The function, asked over HTTP, and its answers compared with those of this code."""

import argparse
import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import httpx2
from starlette.responses import Response

from livetoken import answers
from livetoken.cli.smoke import tokens
from livetoken.cli.smoke.table import CheckFailed
from livetoken.refusals import Reason, Refused

NO_PROFILE = "livetoken-smoke-no-such-profile"

_NONE: Mapping[Any, str] = MappingProxyType({})
_IAM = "perhaps IAM did: use --no-invoker-iam-check, or give allUsers roles/run.invoker"
_ANOTHER = "choose other profiles with --profile, or use another test user"
_HINTS: Mapping[Reason | None, str] = {
    Reason.INVALID_ID_TOKEN: "see its issuer and audience at `sign in`; no service account may ask",
    Reason.ID_TOKEN_EXPIRED: "--id-token-command prints an expired token",
    Reason.APP_CHECK_FAILED: "--app-check-command must print a fresh token of the project's app",
    Reason.NOT_ALLOWED: f"the policy refuses this test user; {_ANOTHER}",
    Reason.LIMIT_REACHED: f"this test user has reached a rate limit; wait, {_ANOTHER}",
    Reason.UNKNOWN_PROFILE: "the deployed policy differs from this one",
}


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. Names of headers are in lower case; `origin` is that of the request."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    origin: str | None = None

    @property
    def body(self) -> Any:
        """The parsed JSON, or the content if it is not JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return self.content

    @property
    def reason(self) -> Reason | None:
        """The reason of a refusal; None if this is not a refusal of the function."""
        try:
            return Reason[self.body["error"]["details"]["reason"]]
        except (KeyError, TypeError):
            return None

    def __str__(self) -> str:
        """Return what it is, and what may have answered instead of the function."""
        if self.reason is not None or self.status == 204:
            what = f"{self.status} {self.reason.name}" if self.reason else "204"
            return f"{what} for {self.origin}" if self.origin else what
        if isinstance(self.body, dict):
            return f"{self.status} with {'a token' if 'name' in self.body else 'unexpected JSON'}"
        meaning = "the function did not answer"
        if self.status in (401, 403):
            meaning += f"; {_IAM}"
        elif self.status == 404:
            meaning = "no service has this URL"
        elif 300 <= self.status < 400:
            host = urlsplit(self.headers.get("location", "")).hostname or "nowhere"
            meaning = f"redirected to {host}; perhaps a sign-in protects the function"
        elif self.status >= 500 or self.status == 429:
            meaning = "the service does not start or has no instance left; see its log"
        kind = self.headers.get("content-type", "").partition(";")[0] or "no media type"
        return f"{self.status} with {kind}: {meaning}"


@dataclass
class Function:
    """The function, and the test user who asks it.

    `options` has the URL, the commands and the timeout; `hide` keeps a token out of the output.
    Every method raises `CheckFailed` if the answer is missing or differs from the expected one.
    """

    options: argparse.Namespace
    hide: Callable[[str], object]
    id_token: str = ""
    credentials: dict[str, str] = field(default_factory=dict)
    """The headers of the test user's last request."""

    async def sign_in(self) -> str:
        """Get the ID token of the test user. Returns what it is."""
        command, seconds = self.options.id_token_command, self.options.timeout
        self.id_token = await tokens.printed(command, "--id-token-command", seconds)
        self.hide(self.id_token)
        said = tokens.claims(self.id_token) or {}
        return f"a token of {said.get('iss')} for {said.get('aud')}"

    async def expect_as_user(self, own: Response, **body: str) -> Answer:
        """Ask with the ID token, and with a fresh App Check token if there is a command."""
        self.credentials = bearer(self.id_token)
        if command := self.options.app_check_command:
            token = await tokens.printed(command, "--app-check-command", self.options.timeout)
            self.hide(token)
            self.credentials["X-Firebase-AppCheck"] = token
        return await self.expect(own, self.credentials, **body)

    async def expect(
        self, own: Response, headers: Mapping[str, str] = _NONE, method: str = "POST", **body: str
    ) -> Answer:
        """Ask. A POST names a profile that does not exist, unless `body` names one."""
        sent = {"profile": NO_PROFILE, **body} if method == "POST" else None
        url, seconds = self.options.url, self.options.timeout
        try:
            async with (
                asyncio.timeout(seconds),
                httpx2.AsyncClient(timeout=None) as http,
                http.stream(method, url, json=sent, headers=headers) as came,
            ):
                content = b""
                async for chunk in came.aiter_bytes():
                    content += chunk
                    if len(content) > tokens.MOST_BYTES:
                        raise CheckFailed(f"{came.status_code}, with too many bytes")
        except TimeoutError:
            raise CheckFailed(f"no whole answer within {seconds:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise CheckFailed(f"no whole answer: {str(error) or type(error).__name__}") from None
        answer = Answer(came.status_code, came.headers, content, headers.get("Origin"))
        if isinstance(answer.body, dict):
            self.hide(str(answer.body.get("name")))
        return _same(answer, Answer(own.status_code, own.headers, bytes(own.body)))


def bearer(id_token: str) -> dict[str, str]:
    """Return the header of an ID token."""
    return {"Authorization": f"Bearer {id_token}"}


def refusal(reason: Reason, cors: Mapping[str, str] = _NONE) -> Response:
    """Return this code's own answer for a refusal."""
    return answers.refused(Refused(reason), cors)


def _same(answer: Answer, wanted: Answer) -> Answer:
    """Return the answer if it is the wanted one, in which `…` is any text without spaces.

    Headers are compared as sets of words, to which a proxy may add some, except the CORS headers.
    """
    if (answer.status, answer.reason) != (wanted.status, wanted.reason):
        accepted = wanted.status == 200 or wanted.reason is Reason.UNKNOWN_PROFILE
        hint = f": {_HINTS[answer.reason]}" if accepted and answer.reason in _HINTS else ""
        raise CheckFailed(f"{answer}, not {wanted}{hint}")
    differences = list(_differences("body", answer.body, wanted.body))
    cors = {name for name in answer.headers if name.startswith("access-control-")}
    for name in sorted({*wanted.headers, *cors} - {"content-length"}):
        values = [each.headers.get(name, "missing") for each in (answer, wanted)]
        came, least = ({word.strip() for word in each.lower().split(",")} for each in values)
        if not least <= came or (name in cors and least != came):
            differences.append(f"{name} is {values[0]}, not {values[1]}")
    if differences:
        raise CheckFailed(f"{answer}, but {'; '.join(differences)}")
    return answer


def _differences(name: str, came: Any, wanted: Any) -> Iterator[str]:
    """Yield where JSON differs. Only values where text is wanted are quoted."""
    if type(came) is not type(wanted):
        yield f"{name} is {type(came).__name__}, not {type(wanted).__name__}"
    elif isinstance(came, dict):
        for key in sorted({*came, *wanted}):
            yield from _differences(key, came.get(key), wanted.get(key))
    elif not re.fullmatch(re.escape(str(wanted)).replace("…", "[!-~]+"), str(came)):
        yield f"{name} is {came}, not {wanted}"
