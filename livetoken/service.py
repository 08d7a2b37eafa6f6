"""The parts of one deployment, built once at start and handed in."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from livetoken import accounts, app_check, callers, cautions, decisions, fetch, keys, lock, switch
from livetoken.accounts import Accounts
from livetoken.app_check import AppCheck
from livetoken.callers import Callers
from livetoken.gemini import Gemini
from livetoken.google_api import GoogleApi
from livetoken.keys import KeySet
from livetoken.limits import storages
from livetoken.limits.limiter import Limiter
from livetoken.mistakes import Mistakes
from livetoken.origins import Origins
from livetoken.policy import Policy
from livetoken.refusals import Detail, Reason
from livetoken.safety_identifier import SafetyIdentifiers
from livetoken.service_account import ServiceAccount
from livetoken.settings import Settings, SwitchSettings, policy_file
from livetoken.switch import NoSwitch, Switch
from livetoken.under_way import UnderWay

_IN_MEMORY = "limits, budgets and sessions are counted in memory, for this instance alone"


class Warm(Protocol):
    """Does work before the first request, which meets the failure if this fails."""

    async def warm(self) -> None: ...


@dataclass(frozen=True)
class Service:
    """The parts of one deployment. `main.exchange` has the order in which a request meets them."""

    origins: Origins
    switch: Switch | NoSwitch
    callers: Callers
    accounts: Accounts
    app_check: AppCheck
    under_way: UnderWay
    policy: Policy
    identifiers: SafetyIdentifiers
    limiter: Limiter
    gemini: Gemini
    warmed: tuple[Warm, ...]
    trace_project: str | None

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> "Service":
        """Build the service from the environment and the policy that it names.

        Raises:
            Mistakes: every mistake in either, those of the environment first.
        """
        try:
            policy = lock.load(policy_file(environ), _warn_of_lock)
        except Mistakes as error:
            raise Mistakes(
                [*Settings.mistakes(environ, error.app_check), *error.mistakes]
            ) from None
        settings = Settings.read(environ, policy)
        for each in cautions.of(policy, settings):
            _warn(f"{policy_file(environ)}: {each}")
        if policy.is_limited and storages.kind(settings.limits_storage) == "memory":
            decisions.write({"severity": "INFO", "message": _IN_MEMORY})
        return cls._build(settings, policy)

    @classmethod
    def _build(cls, settings: Settings, policy: Policy) -> "Service":
        http = fetch.Http()
        issuers = callers.issuers(
            settings.firebase_projects,
            KeySet(http, settings.firebase_keys_url, keys.certificates),
            settings.google_client_ids,
            KeySet(http, settings.google_keys_url, keys.certificates),
        )
        gemini = Gemini(
            http,
            base_url=settings.gemini_base_url,
            api_version=policy.api_version,
            api_key=settings.api_key,
        )
        owners_switch = _switch(http, settings.switch) if settings.switch else NoSwitch()
        identity_toolkit = GoogleApi(
            http, ServiceAccount(accounts.SCOPE), Reason.ACCOUNTS_UNAVAILABLE
        )
        app_check_api = GoogleApi(
            http, ServiceAccount(app_check.SCOPE), Reason.APP_CHECK_UNAVAILABLE
        )
        app_check_keys = KeySet(
            http,
            f"{settings.app_check.base_url}/v1/jwks",
            keys.jwks,
            unavailable=Reason.APP_CHECK_UNAVAILABLE,
            unknown=Reason.APP_CHECK_FAILED,
        )
        storage = storages.opened(settings.limits_storage, http, settings.firestore_url)
        limiter = Limiter(storage, policy.total, alert=_alert)
        return cls(
            origins=Origins(settings.allowed_origins),
            switch=owners_switch,
            callers=Callers(issuers),
            accounts=Accounts(identity_toolkit, settings.identity_toolkit_url),
            app_check=AppCheck(
                app_check_api,
                app_check_keys,
                project=settings.app_check.project,
                number=settings.app_check.project_number,
                base_url=settings.app_check.base_url,
                apps=settings.app_check.apps,
            ),
            under_way=UnderWay(),
            policy=policy,
            identifiers=SafetyIdentifiers(settings.safety_identifier_key),
            limiter=limiter,
            gemini=gemini,
            warmed=(
                gemini,
                owners_switch,
                *([identity_toolkit] if policy.callers.revoked == "check" else []),
                *([app_check_keys] if policy.app_check != "off" else []),
                *([app_check_api] if policy.app_check == "consume" else []),
                *{issuer.keys for issuer in issuers.values()},
                *([limiter] if policy.is_limited else []),
            ),
            trace_project=settings.trace_project,
        )

    async def warm_up(self) -> None:
        """Fetch keys and open connections, so that the first request need not wait."""
        await asyncio.gather(*(each.warm() for each in self.warmed))


def _switch(http: fetch.Http, settings: SwitchSettings) -> Switch:
    def report(detail: Detail) -> None:
        message = "the switch cannot be read"
        decisions.write({"severity": "ERROR", "message": message, "detail": detail.name})

    return Switch(
        http,
        ServiceAccount(switch.SCOPE),
        place=settings.place,
        base_url=settings.base_url,
        keeps=settings.keeps,
        report=report,
    )


def _warn(message: str) -> None:
    decisions.write({"severity": "WARNING", "message": message})


def _alert(path: str) -> None:
    _warn(f"80 % of {path} is used")


def _warn_of_lock(message: str) -> None:
    _warn(f"{message}: run python -m livetoken lock")
