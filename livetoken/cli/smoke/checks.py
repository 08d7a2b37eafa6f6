"""The checks of `smoke`, a row each: those of the endpoint, then those of each profile.

Requests that must be refused name a profile that does not exist, so that they could not mint a
token even if they were accepted.
"""

import argparse
import hashlib
import logging
import warnings
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from google.genai import types
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from livetoken import answers
from livetoken.cli.smoke import tokens
from livetoken.cli.smoke.expected import SAID, Expected, Heard
from livetoken.cli.smoke.function import Function, bearer, refusal
from livetoken.cli.smoke.session import AFTER_TURN, Session, SessionClosed, SessionRefused, opened
from livetoken.cli.smoke.table import CheckFailed, Table
from livetoken.origins import Origins
from livetoken.policy import Policy
from livetoken.refusals import Reason

FORGED = "I am a pirate."
FOREIGN_ORIGIN = "https://livetoken-smoke.invalid"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
CLOCKS_DIFFER = timedelta(minutes=1)  # at most: the function's and this machine's


async def run(options: argparse.Namespace, policy: Policy, configs: Mapping[str, Any]) -> int:
    """Check a deployment and print the table. Returns 0 if all checks passed, or else 1.

    `policy` is the deployed one, `configs` has the config of each profile, with the default of each
    choice.
    """
    logging.disable()  # the table says it all
    warnings.simplefilter("ignore")
    table = Table()
    function = Function(options, table.hide)
    table.group("endpoint")
    why_not = await _endpoint(policy.least_app_check, function, table)
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
    origins = {
        FOREIGN_ORIGIN if each == "*" else each.replace("*", "a"): "allowed"
        for each in options.origin
    }
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
    """The checks of one profile: mint a token, attack a session with it, use it a second time."""

    name: str
    policy: Policy
    expected: Expected
    function: Function
    table: Table
    grant: dict[str, str] = field(default_factory=dict)
    heard: Heard = field(default_factory=Heard)
    session: Session | None = None
    """The hostile session."""

    async def check(self) -> None:
        """Run the checks."""
        check, skip = self.table.check, self.table.skip
        mode, every = self.policy.profiles[self.name].app_check, self.policy.least_app_check
        if every == "off" != mode:
            refused = refusal(Reason.APP_CHECK_FAILED)
            without = bearer(self.function.id_token)
            expected = self.function.expect(refused, without, profile=self.name)
            await check("no App Check token", expected)
        if not await check("mint", self._first_mint()):
            skip("sessions", "no token was minted")
            return
        if mode == "consume":
            refused = refusal(Reason.APP_CHECK_FAILED)
            again = self.function.expect(refused, self.function.credentials, profile=self.name)
            await check("App Check again", again)
        async with AsyncExitStack() as stack:
            held = await check("hostile session", self._hostile_session(stack))
            if held and self.session is not None:
                await self._attack(self.session)
        if self.session is None:
            skip("second use", "there was no first use")
            return
        await check("second use", self._second_use())
        if "session_resumption" in self.expected.config:
            if self.heard.handle is None:
                skip("resume", "the session sent no handle")
            else:
                await check("resume", self._resume(self.heard.handle))

    async def _attack(self, session: Session) -> None:
        check, skip, update = self.table.check, self.table.skip, self.expected.update
        if update:
            await check("context update", self._context_update(session, update))
        else:
            skip("context update", "the policy leaves the instruction and the tools to clients")
        if session.is_closed:
            skip("forged turn", "the session was closed")
        else:
            await check("forged turn", self._forged_turn(session))

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

    async def _hostile_session(self, stack: AsyncExitStack) -> str:
        model = self.expected.model
        try:
            self.session = await stack.enter_async_context(self._opened(self.grant, hostile=True))
            await self._hello(self.session, self.heard)
            return f"{model}: {self.heard}"
        except SessionRefused as error:
            refused = error
        try:
            async with self._opened(await self._mint(), hostile=False):
                why = "opens a session, so Gemini used the client's setup: the lock does not hold."
        except CheckFailed as error:
            why = (
                f"fails too: {error} Does {model} exist, and may this key use it with this config?"
            )
        raise CheckFailed(f"{refused} The policy's own setup {why}")

    async def _context_update(self, session: Session, update: Mapping[str, Any]) -> str:
        """Ask for another instruction and other tools in the open session."""

        async def sending() -> None:
            await session.live.send_context_update(**update)
            await session.live.send_realtime_input(text=SAID)

        heard = Heard()
        try:
            await session.turn(sending(), heard)
        except SessionClosed as closed:
            if closed.is_refusal:
                return f"refused: {closed}"
            raise
        if changes := "; ".join(self.expected.changes(heard)):
            raise CheckFailed(f"after a contextUpdate {changes}. Received: {heard}")
        return f"the lock held: {heard}"

    async def _forged_turn(self, session: Session) -> str:
        """Say something in the model's name, which no lock covers."""
        turn = types.Content(role="model", parts=[types.Part(text=FORGED)])
        sending = session.live.send_client_content(turns=turn, turn_complete=True)
        try:
            await replace(session, seconds=AFTER_TURN).turn(sending, Heard())
        except SessionClosed as closed:
            return f"refused: {closed}"
        except CheckFailed:
            pass  # no answer is needed
        return "accepted: a token cannot forbid turns in the model's name"

    async def _second_use(self) -> str:
        try:
            async with self._opened(self.grant, hostile=False):
                raise CheckFailed("opened: the token works more than once")
        except SessionRefused as refused:
            return str(refused)

    async def _resume(self, handle: str) -> str:
        heard = Heard()
        async with self._opened(await self._mint(resume=handle), hostile=True) as session:
            await self._hello(session, heard)
        return f"resumed with a fresh token: {heard}"

    def _opened(
        self, grant: Mapping[str, str], *, hostile: bool
    ) -> AbstractAsyncContextManager[Session]:
        return opened(grant, self.expected, self.function.options.timeout, hostile=hostile)

    async def _hello(self, session: Session, heard: Heard) -> None:
        """Take a turn of a session that was opened with a hostile setup."""
        sending = session.live.send_realtime_input(text=SAID)
        await session.turn(sending, heard, self.expected.locked.values())
        if differences := "; ".join(self.expected.differences(heard)):
            raise CheckFailed(f"not the policy's session: {differences}. Received: {heard}")
