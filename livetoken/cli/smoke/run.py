"""`smoke`: test a deployment from outside, and use its tokens.

Requests that must be refused name a profile that does not exist, so that they could not mint a token
even if they were accepted.
"""

import asyncio
import logging
import warnings
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response

from livetoken import answers
from livetoken.cli.smoke import tokens
from livetoken.cli.smoke.function import Answer, Function, TestUser, expect, refusal
from livetoken.cli.smoke.options import ANY, Options
from livetoken.cli.smoke.profile import ProfileChecks
from livetoken.cli.smoke.session import Expected
from livetoken.cli.smoke.table import CheckFailed, Table
from livetoken.origins import Origins
from livetoken.policy import Policy
from livetoken.refusals import Reason

FOREIGN_ORIGIN = "https://livetoken-smoke.invalid"
NO_PROFILE = {"profile": "livetoken-smoke-no-such-profile"}

_PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def run(options: Options, policy: Policy, configs: Mapping[str, Mapping[str, Any]]) -> int:
    """Check a deployment and print the table. Returns 0 if all checks passed, or else 1.

    Args:
        policy: the deployed policy.
        configs: the config of each profile, as written.
    """
    logging.disable()  # the table says it all
    table = Table(lambda line: print(line, flush=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.run(_Smoke(options, policy, configs, table).everything())
    table.sum_up()
    return 0 if table.all_right else 1


class _Smoke:
    """One run: the endpoint, then each profile."""

    def __init__(
        self,
        options: Options,
        policy: Policy,
        configs: Mapping[str, Mapping[str, Any]],
        table: Table,
    ) -> None:
        self._options = options
        self._policy = policy
        self._configs = configs
        self._table = table
        self._function = Function(options.url, options.seconds)
        self._user = TestUser(
            self._function, options.app_check_command, options.seconds, table.hide
        )
        self._is_ours = False

    async def everything(self) -> None:
        """Run every check, one row each."""
        self._table.group("endpoint")
        why_not = await self._endpoint()
        for name in self._options.profiles or self._policy.profiles:
            self._table.group(name)
            if why_not is not None:
                self._table.leave_out("mint and session", why_not)
                continue
            expected = Expected(self._policy.profiles[name], self._configs[name])
            await ProfileChecks(
                self._user, self._policy, expected, self._options.seconds, self._table
            ).everything()

    async def _endpoint(self) -> str | None:
        """Check the endpoint. Returns why the profiles cannot be checked, or None if they can."""
        check, leave_out, options = self._table.check, self._table.leave_out, self._options
        await check("no credential", self._no_credential())
        if not self._is_ours:
            leave_out("everything else", why := "the function must answer first")
            return why
        await check("GET", self._other_method())
        for origin in self._allowed_origins():
            await check("allowed preflight", self._preflight(origin))
            await check("allowed POST", self._post(origin))
        if ANY not in options.origins:
            await check("foreign preflight", self._foreign("OPTIONS", _PREFLIGHT))
            await check("foreign POST", self._foreign("POST", {}))
        command = options.id_token_command
        if command is None or not await check("sign in", self._sign_in(command)):
            await check("made-up token", self._forged(tokens.made_up()))
            leave_out("genuine token", why := "needs an ID token: --id-token-command")
            return why
        await check("altered signature", self._forged(tokens.altered(self._user.id_token)))
        await check("no signature", self._forged(tokens.unsigned(self._user.id_token)))
        if self._policy.callers.app_check != "off":
            await check("no App Check token", self._no_app_check())
            if options.app_check_command is None:
                leave_out("genuine token", why := "needs App Check: --app-check-command")
                return why
        accepted = await check("genuine token", self._genuine())
        return None if accepted else "the test user must be accepted first"

    async def _no_credential(self) -> str:
        answer = await self._function.ask(NO_PROFILE)
        self._is_ours = isinstance(answer.json, dict)
        return expect(answer, refusal(Reason.NO_CREDENTIAL))

    async def _other_method(self) -> str:
        answer = await self._function.ask(method="GET")
        return expect(answer, refusal(Reason.METHOD_NOT_ALLOWED))

    def _allowed_origins(self) -> tuple[str, ...]:
        return tuple(FOREIGN_ORIGIN if each == ANY else each for each in self._options.origins)

    async def _preflight(self, origin: str) -> str:
        answer = await self._function.ask(
            method="OPTIONS", headers={"Origin": origin, **_PREFLIGHT}
        )
        return _from(origin, answer, answers.preflight(_cors(origin)))

    async def _post(self, origin: str) -> str:
        answer = await self._function.ask(NO_PROFILE, headers={"Origin": origin})
        return _from(origin, answer, refusal(Reason.NO_CREDENTIAL, _cors(origin)))

    async def _foreign(self, method: str, headers: Mapping[str, str]) -> str:
        sent = {"Origin": FOREIGN_ORIGIN, **headers}
        answer = await self._function.ask(
            NO_PROFILE if method == "POST" else None, method=method, headers=sent
        )
        try:
            return _from(FOREIGN_ORIGIN, answer, refusal(Reason.ORIGIN_NOT_ALLOWED))
        except CheckFailed as error:
            hint = f"If any origin may ask, add --origin '{ANY}'"
            raise CheckFailed(f"{error}. {hint}") from None

    async def _sign_in(self, command: tuple[str, ...]) -> str:
        token = await tokens.printed(command, "--id-token-command", self._options.seconds)
        self._user.id_token = self._table.hide(token)
        said = tokens.claims(token) or {}
        return f"a token of {said.get('iss')} for {said.get('aud')}"

    async def _forged(self, id_token: str) -> str:
        answer = await self._function.ask(NO_PROFILE, id_token=self._table.hide(id_token))
        return expect(answer, refusal(Reason.INVALID_ID_TOKEN))

    async def _no_app_check(self) -> str:
        answer = await self._function.ask(NO_PROFILE, id_token=self._user.id_token)
        return expect(answer, refusal(Reason.APP_CHECK_FAILED))

    async def _genuine(self) -> str:
        answer = await self._user.ask(NO_PROFILE)
        if answer.reason not in (None, Reason.UNKNOWN_PROFILE):
            raise self._user.refused(answer)
        return expect(answer, refusal(Reason.UNKNOWN_PROFILE))


def _cors(origin: str) -> dict[str, str]:
    """Return the CORS headers that this code gives an allowed origin."""
    return Origins(frozenset({origin})).grant(Headers({"origin": origin}))


def _from(origin: str, answer: Answer, expected: Response) -> str:
    try:
        return f"{expect(answer, expected)} for {origin}"
    except CheckFailed as error:
        raise CheckFailed(f"{origin}: {error}") from None
