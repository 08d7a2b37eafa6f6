"""A profile as its clients meet it: a token of it, the session that it opens, and no second one."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from livetoken.constraint import Compiled
from livetoken.policy import Policy, Profile
from livetoken.refusals import Reason
from livetoken.smoke.function import Person, expect, expect_headers, refusal
from livetoken.smoke.session import Closed, Heard, Lock, converse, open_as_the_policy
from livetoken.smoke.table import Table, Wrong

GEMINI_HOST = "generativelanguage.googleapis.com"

CLOCKS_DIFFER = timedelta(minutes=1)
"""The function's and this machine's, at most."""

_NAME = re.compile(r"auth_tokens/[!-~]+")
_TIMES = ("expireTime", "newSessionExpireTime")
_HEADERS = {"content-type": "application/json", "cache-control": "no-store", "vary": "Origin"}


class ProfileChecks:
    """The checks of one profile.

    Args:
        person: who asks.
        policy: what is deployed.
        compiled: the profile, and the body that its tokens are asked for with.
        seconds: what a session may take.
    """

    def __init__(
        self, person: Person, policy: Policy, compiled: Compiled, seconds: float, table: Table
    ) -> None:
        self._person = person
        self._policy = policy
        self._profile = compiled.profile
        self._lock = Lock(compiled)
        self._seconds = seconds
        self._table = table
        self._app_check: dict[str, str] = {}
        self._grant: dict[str, str] = {}
        self._heard = Heard()

    async def everything(self) -> None:
        """Check everything, a row each."""
        check, leave_out = self._table.check, self._table.leave_out
        if not await check("mint", self._first_mint()):
            leave_out("sessions", "there is no token")
            return
        if self._policy.callers.app_check == "consume":
            await check("App Check again", self._app_check_again())
        await check("hostile session", self._hostile_session())
        if not self._heard.opened:
            leave_out("second use", "there was no first one")
            return
        await check("second use", self._second_use())
        if "session_resumption" in self._profile.config:
            if self._heard.handle is not None:
                await check("resume", self._resume(self._heard.handle))
            else:
                leave_out("resume", "there is no handle")

    async def _first_mint(self) -> str:
        self._app_check = await self._person.app_check()
        self._grant = await self._mint(self._app_check)
        sha256 = hashlib.sha256(self._grant["name"].encode()).hexdigest()
        host = urlsplit(self._grant["webSocketUrl"]).hostname
        expires, starts = self._profile.expires_in, self._profile.start_within
        return (
            f"token_sha256 {sha256[:12]}…, lives {expires}, to be used within {starts}"
            f"{'' if host == GEMINI_HOST else f', at {host}'}"
        )

    async def _mint(self, app_check: Mapping[str, str], **resume: str) -> dict[str, str]:
        """Get a token, with the whole answer as it must be."""
        answer = await self._person.ask({"profile": self._profile.name, **resume}, app_check)
        asked_at = datetime.now(UTC)
        if answer.reason is not None:
            raise self._person.refused(answer)
        grant = answer.json
        if answer.status != 200 or not isinstance(grant, dict):
            raise Wrong(f"{answer}, not 200 with a token")
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
            "model": self._lock.model,
            "apiVersion": version,
        }
        fields = {"name", *_TIMES, *constant, "webSocketUrl"}
        if others := grant.keys() ^ fields:
            raise Wrong(f"200, but missing or too many: {', '.join(sorted(others))}")
        for name in sorted(fields):
            came = grant[name]
            if came != constant.get(name, came) or not isinstance(came, str):
                raise Wrong(f"200, but {name} is {came}, not {constant.get(name, 'text')}")
        if not _NAME.fullmatch(grant["name"]):
            raise Wrong("200, but name is no token of Gemini's")
        url = grant["webSocketUrl"]
        if not url.startswith("wss://") or not url.endswith(path):
            raise Wrong(f"200, but webSocketUrl is {url}, not wss://…{path}")

    async def _app_check_again(self) -> str:
        answer = await self._person.ask({"profile": self._profile.name}, self._app_check)
        return expect(answer, refusal(Reason.APP_CHECK_FAILED))

    async def _hostile_session(self) -> str:
        try:
            return f"{self._lock.model}: {await self._converse(self._grant, self._heard)}"
        except Closed as closed:
            if not closed.is_refusal:
                raise Wrong(str(closed)) from None
            raise Wrong(f"{closed} {await self._why_refused()}") from None

    async def _converse(self, grant: Mapping[str, str], heard: Heard) -> Heard:
        """Hold a session that must be the policy's, whatever the client wants."""
        await converse(grant, self._lock, heard, self._seconds)
        if differences := list(self._lock.differences(heard)):
            raise Wrong(f"not the policy's session: {'; '.join(differences)}. Heard: {heard}")
        return heard

    async def _why_refused(self) -> str:
        """Tell a setup of the client's that counts from a setup of the policy's that is refused."""
        try:
            grant = await self._mint(await self._person.app_check())
            await open_as_the_policy(grant, self._lock, self._seconds)
        except Closed as closed:
            return (
                f"With the policy's own setup as well ({closed}): the model {self._lock.model}"
                " does not exist, or this key may not use it, or it refuses the policy's config."
            )
        except Wrong as wrong:
            return f"Why cannot be told: {wrong}"
        return (
            "With the policy's own setup a session opens: the client's setup counts, and the lock"
            " does not hold."
        )

    async def _second_use(self) -> str:
        try:
            await open_as_the_policy(self._grant, self._lock, self._seconds)
        except Closed as closed:
            if closed.is_refusal:
                return str(closed)
            raise Wrong(f"{closed}, which is no refusal") from None
        raise Wrong("opened: the token works more than once")

    async def _resume(self, handle: str) -> str:
        grant = await self._mint(await self._person.app_check(), resume=handle)
        try:
            return f"goes on with a fresh token: {await self._converse(grant, Heard())}"
        except Closed as closed:
            raise Wrong(f"the session does not go on: {closed}") from None


def _expect_times(grant: Mapping[str, str], asked_at: datetime, profile: Profile) -> None:
    """Compare both times with the policy's; their distance is exact, whatever the clocks say."""
    try:
        ends, starts = (datetime.fromisoformat(grant[name]) for name in _TIMES)
        until, within = ends - asked_at, starts - asked_at
    except (ValueError, TypeError):
        raise Wrong("200, but a time is no RFC 3339") from None
    exact = until - within == profile.expires_in - profile.start_within
    if not exact or abs(until - profile.expires_in) > CLOCKS_DIFFER:
        came = f"it lives {_rounded(until)}, to be used within {_rounded(within)}"
        wanted = f"{profile.expires_in} and {profile.start_within}"
        clock = ": is this machine's clock right?" if exact else ""
        raise Wrong(f"200, but {came}, not {wanted}{clock}")


def _rounded(time: timedelta) -> timedelta:
    return timedelta(seconds=round(time.total_seconds()))
