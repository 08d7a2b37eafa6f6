"""The checks of one profile: mint a token, open a session with it, and use it a second time."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from livetoken.cli.smoke.function import TestUser, expect, expect_headers, refusal
from livetoken.cli.smoke.session import Closed, Expected, Heard, converse, open_as_the_policy
from livetoken.cli.smoke.table import CheckFailed, Table
from livetoken.policy import Policy, Profile
from livetoken.refusals import Reason

GEMINI_HOST = "generativelanguage.googleapis.com"

CLOCKS_DIFFER = timedelta(minutes=1)
"""How far the clocks of the function and of this machine may differ."""

_NAME = re.compile(r"auth_tokens/[!-~]+")
_TIMES = ("expireTime", "newSessionExpireTime")
_HEADERS = {"content-type": "application/json", "cache-control": "no-store", "vary": "Origin"}


class ProfileChecks:
    """The checks of one profile.

    Args:
        user: asks for the tokens.
        policy: the deployed policy.
        expected: what the profile's tokens are locked to.
        seconds: for one session.
    """

    def __init__(
        self, user: TestUser, policy: Policy, expected: Expected, seconds: float, table: Table
    ) -> None:
        self._user = user
        self._policy = policy
        self._profile = expected.profile
        self._expected = expected
        self._seconds = seconds
        self._table = table
        self._app_check: dict[str, str] = {}
        self._grant: dict[str, str] = {}
        self._heard = Heard()

    async def everything(self) -> None:
        """Check everything, a row each."""
        check, leave_out = self._table.check, self._table.leave_out
        if not await check("mint", self._first_mint()):
            leave_out("sessions", "no token was minted")
            return
        if self._policy.callers.app_check == "consume":
            await check("App Check again", self._app_check_again())
        await check("hostile session", self._hostile_session())
        if not self._heard.opened:
            leave_out("second use", "there was no first use")
            return
        await check("second use", self._second_use())
        if "session_resumption" in self._expected.config:
            if self._heard.handle is not None:
                await check("resume", self._resume(self._heard.handle))
            else:
                leave_out("resume", "the session sent no handle")

    async def _first_mint(self) -> str:
        self._app_check = await self._user.app_check()
        self._grant = await self._mint(self._app_check)
        sha256 = hashlib.sha256(self._grant["name"].encode()).hexdigest()
        host = urlsplit(self._grant["webSocketUrl"]).hostname
        expires, starts = _timedeltas(self._profile)
        return (
            f"token_sha256 {sha256[:12]}…, expires after {expires}, starts within {starts}"
            f"{'' if host == GEMINI_HOST else f', at {host}'}"
        )

    async def _mint(self, app_check: Mapping[str, str], **resume: str) -> dict[str, str]:
        """Get a token, and check the whole answer."""
        answer = await self._user.ask({"profile": self._profile.name, **resume}, app_check)
        asked_at = datetime.now(UTC)
        if answer.reason is not None:
            raise self._user.refused(answer)
        grant = answer.json
        if answer.status != 200 or not isinstance(grant, dict):
            raise CheckFailed(f"{answer}, not 200 with a token")
        self._table.hide(str(grant.get("name")))
        expect_headers(answer, _HEADERS)
        self._expect_fields(grant)
        _expect_times(grant, asked_at, self._profile)
        return grant

    def _expect_fields(self, grant: Mapping[str, Any]) -> None:
        version = self._policy.api_version
        method = f"google.ai.generativelanguage.{version}.GenerativeService"
        path = f"/ws/{method}.BidiGenerateContentConstrained"
        constant = {
            "profile": self._profile.name,
            "model": self._expected.model,
            "apiVersion": version,
        }
        fields = {"name", *_TIMES, *constant, "webSocketUrl"}
        if others := grant.keys() ^ fields:
            raise CheckFailed(f"200, but fields missing or unexpected: {', '.join(sorted(others))}")
        for name in sorted(fields):
            came = grant[name]
            if came != constant.get(name, came) or not isinstance(came, str):
                raise CheckFailed(f"200, but {name} is {came}, not {constant.get(name, 'text')}")
        if not _NAME.fullmatch(grant["name"]):
            raise CheckFailed("200, but name is not a Gemini token")
        url = grant["webSocketUrl"]
        if not url.startswith("wss://") or not url.endswith(path):
            raise CheckFailed(f"200, but webSocketUrl is {url}, not wss://…{path}")

    async def _app_check_again(self) -> str:
        answer = await self._user.ask({"profile": self._profile.name}, self._app_check)
        return expect(answer, refusal(Reason.APP_CHECK_FAILED))

    async def _hostile_session(self) -> str:
        try:
            return f"{self._expected.model}: {await self._converse(self._grant, self._heard)}"
        except Closed as closed:
            if not closed.is_refusal:
                raise CheckFailed(str(closed)) from None
            raise CheckFailed(f"{closed} {await self._why_refused()}") from None

    async def _converse(self, grant: Mapping[str, str], heard: Heard) -> Heard:
        """Hold a session that must be the policy's, although the client asks for the opposite."""
        await converse(grant, self._expected, heard, self._seconds)
        if differences := list(self._expected.differences(heard)):
            raise CheckFailed(
                f"not the policy's session: {'; '.join(differences)}. Received: {heard}"
            )
        return heard

    async def _why_refused(self) -> str:
        """Find out whether Gemini used the client's setup, or refuses the policy's own."""
        try:
            grant = await self._mint(await self._user.app_check())
            await open_as_the_policy(grant, self._expected, self._seconds)
        except Closed as closed:
            return (
                f"The policy's own setup is refused too ({closed}): the model {self._expected.model}"
                " does not exist, this key may not use it, or it refuses the policy's config."
            )
        except CheckFailed as error:
            return f"The reason is unknown: {error}"
        return (
            "The policy's own setup opens a session, so Gemini used the client's setup: the lock does"
            " not hold."
        )

    async def _second_use(self) -> str:
        try:
            await open_as_the_policy(self._grant, self._expected, self._seconds)
        except Closed as closed:
            if closed.is_refusal:
                return str(closed)
            raise CheckFailed(f"{closed}, which is not a refusal") from None
        raise CheckFailed("opened: the token works more than once")

    async def _resume(self, handle: str) -> str:
        grant = await self._mint(await self._user.app_check(), resume=handle)
        try:
            return f"resumed with a fresh token: {await self._converse(grant, Heard())}"
        except Closed as closed:
            raise CheckFailed(f"the session was not resumed: {closed}") from None


def _expect_times(grant: Mapping[str, str], asked_at: datetime, profile: Profile) -> None:
    """Compare both times with the policy's. Their difference is exact, whatever the clocks show."""
    try:
        until, within = (datetime.fromisoformat(grant[name]) - asked_at for name in _TIMES)
    except (ValueError, TypeError):
        raise CheckFailed("200, but a time is not RFC 3339") from None
    expires, starts = _timedeltas(profile)
    exact = until - within == expires - starts
    if not exact or abs(until - expires) > CLOCKS_DIFFER:
        came = f"it expires after {_rounded(until)} and starts within {_rounded(within)}"
        wanted = f"{expires} and {starts}"
        clock = ": is this machine's clock right?" if exact else ""
        raise CheckFailed(f"200, but {came}, not {wanted}{clock}")


def _timedeltas(profile: Profile) -> tuple[timedelta, timedelta]:
    """Return `expires_in` and `start_within`."""
    return timedelta(seconds=profile.expires_in), timedelta(seconds=profile.start_within)


def _rounded(time: timedelta) -> timedelta:
    return timedelta(seconds=round(time.total_seconds()))
