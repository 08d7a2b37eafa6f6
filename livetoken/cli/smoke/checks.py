"""The checks of `smoke`, a row each: those of the endpoint, then those of each profile.

Requests that must be refused name a profile that does not exist, so that they could not mint a
token even if they were accepted.
"""

import argparse
import hashlib
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from livetoken import answers
from livetoken.cli.smoke import tokens
from livetoken.cli.smoke.function import Function, bearer, refusal
from livetoken.cli.smoke.session import Expected, Heard, SessionRefused, converse
from livetoken.cli.smoke.table import CheckFailed, Table
from livetoken.origins import Origins
from livetoken.policy import Policy
from livetoken.refusals import Reason

FOREIGN_ORIGIN = "https://livetoken-smoke.invalid"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
CLOCKS_DIFFER = timedelta(minutes=1)  # at most: the function's and this machine's


async def run(options: argparse.Namespace, policy: Policy, configs: Mapping[str, Any]) -> int:
    """Check a deployment and print the table. Returns 0 if all checks passed, or else 1.

    `policy` is the deployed one, `configs` has the config of each profile, as written.
    """
    logging.disable()  # the table says it all
    warnings.simplefilter("ignore")
    table = Table()
    function = Function(options, table.hide)
    table.group("endpoint")
    why_not = await _endpoint(policy.callers.app_check, function, table)
    for name in dict.fromkeys(options.profile) or policy.profiles:
        table.group(name)
        if why_not is not None:
            table.skip("mint and session", why_not)
        else:
            expected = Expected(policy.profiles[name], configs[name])
            await _Profile(name, policy, expected, function, table).check()
    return 0 if table.sum_up() else 1


async def _endpoint(app_check: str, function: Function, table: Table) -> str | None:
    """Check what needs no profile. Returns why the profiles cannot be checked, or None."""
    check, expect, options = table.check, function.expect, function.options
    if not await check("no credential", expect(refusal(Reason.NO_CREDENTIAL))):
        return table.skip("everything else", "the function must answer first")
    await check("GET", expect(refusal(Reason.METHOD_NOT_ALLOWED), method="GET"))
    origins = {FOREIGN_ORIGIN if each == "*" else each: "allowed" for each in options.origin}
    origins.setdefault(FOREIGN_ORIGIN, "foreign")
    for origin, kind in origins.items():
        sent = {"Origin": origin}
        cors = Origins(frozenset({origin})).grant(Headers(sent))
        granted, refused = answers.preflight(cors), refusal(Reason.NO_CREDENTIAL, cors)
        if kind == "foreign":
            granted = refused = refusal(Reason.ORIGIN_NOT_ALLOWED)
        await check(f"{kind} preflight", expect(granted, {**sent, **PREFLIGHT}, "OPTIONS"))
        await check(f"{kind} POST", expect(refused, sent))
    invalid = refusal(Reason.INVALID_ID_TOKEN)
    if options.id_token_command is None or not await check("sign in", function.sign_in()):
        await check("made-up token", expect(invalid, bearer(tokens.made_up())))
        return table.skip("genuine token", "needs an ID token: --id-token-command")
    for name, forgery in tokens.forgeries(function.id_token).items():
        table.hide(forgery)
        await check(name, expect(invalid, bearer(forgery)))
    if app_check != "off":
        refused = refusal(Reason.APP_CHECK_FAILED)
        await check("no App Check token", expect(refused, bearer(function.id_token)))
        if options.app_check_command is None:
            return table.skip("genuine token", "needs App Check: --app-check-command")
    genuine = function.expect_as_user(refusal(Reason.UNKNOWN_PROFILE))
    return None if await check("genuine token", genuine) else "the test user must be accepted first"


@dataclass
class _Profile:
    """The checks of one profile: mint a token, open a session with it, use it a second time."""

    name: str
    policy: Policy
    expected: Expected
    function: Function
    table: Table
    grant: dict[str, str] = field(default_factory=dict)
    heard: Heard = field(default_factory=Heard)

    async def check(self) -> None:
        """Run the checks."""
        check, skip = self.table.check, self.table.skip
        if not await check("mint", self._first_mint()):
            skip("sessions", "no token was minted")
            return
        if self.policy.callers.app_check == "consume":
            refused = refusal(Reason.APP_CHECK_FAILED)
            again = self.function.expect(refused, self.function.credentials, profile=self.name)
            await check("App Check again", again)
        await check("hostile session", self._hostile_session())
        if not self.heard.opened:
            skip("second use", "there was no first use")
            return
        await check("second use", self._second_use())
        if "session_resumption" in self.expected.config:
            if self.heard.handle is None:
                skip("resume", "the session sent no handle")
            else:
                await check("resume", self._resume(self.heard.handle))

    async def _first_mint(self) -> str:
        self.grant = await self._mint()
        sha256 = hashlib.sha256(self.grant["name"].encode()).hexdigest()
        host = urlsplit(self.grant["webSocketUrl"]).hostname
        expires, starts = self.expected.lifetimes
        times = f"expires after {expires}, starts within {starts}"
        return f"token_sha256 {sha256[:12]}…, {times}, at {host}"

    async def _mint(self, **resume: str) -> dict[str, str]:
        """Get a token, and check the whole answer."""
        version = self.policy.api_version
        method = f"google.ai.generativelanguage.{version}.GenerativeService"
        body = {
            "name": "auth_tokens/…",
            "expireTime": "20…Z",
            "newSessionExpireTime": "20…Z",
            "profile": self.name,
            "model": self.expected.model,
            "apiVersion": version,
            "webSocketUrl": f"wss://…/ws/{method}.BidiGenerateContentConstrained",
        }
        wanted = JSONResponse(body, headers={"Cache-Control": "no-store", "Vary": "Origin"})
        answer = await self.function.expect_as_user(wanted, profile=self.name, **resume)
        grant: dict[str, str] = answer.body
        now, (expires, starts) = datetime.now(UTC), self.expected.lifetimes
        until = datetime.fromisoformat(grant["expireTime"])
        within = datetime.fromisoformat(grant["newSessionExpireTime"])
        if until - within != expires - starts or abs(until - now - expires) > CLOCKS_DIFFER:
            raise CheckFailed(
                f"{answer}, but it expires at {until} and starts by {within}, not {expires} and"
                f" {starts} after {now}, which is this machine's clock"
            )
        return grant

    async def _hostile_session(self) -> str:
        try:
            await self._converse(self.grant, self.heard, hostile=True)
            return f"{self.expected.model}: {self.heard}"
        except SessionRefused as error:
            refused, model = error, self.expected.model
        try:
            await self._converse(await self._mint(), Heard(), hostile=False)
            why = "opens a session, so Gemini used the client's setup: the lock does not hold."
        except CheckFailed as error:
            why = (
                f"fails too: {error} Does {model} exist, and may this key use it with this config?"
            )
        raise CheckFailed(f"{refused} The policy's own setup {why}")

    async def _second_use(self) -> str:
        try:
            await self._converse(self.grant, Heard(), hostile=False)
        except SessionRefused as refused:
            return str(refused)
        raise CheckFailed("opened: the token works more than once")

    async def _resume(self, handle: str) -> str:
        heard = Heard()
        await self._converse(await self._mint(resume=handle), heard, hostile=True)
        return f"resumed with a fresh token: {heard}"

    async def _converse(self, grant: Mapping[str, str], heard: Heard, *, hostile: bool) -> None:
        await converse(grant, self.expected, heard, self.function.options.timeout, hostile=hostile)
