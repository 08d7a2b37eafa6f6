"""The parts of one deployment, built once at start and handed in."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from livetoken import callers, cautions, decisions, fetch, keys, lock
from livetoken.app_check import AppCheck, NoAppCheck
from livetoken.callers import Callers
from livetoken.gemini import Gemini
from livetoken.keys import KeySet
from livetoken.limits import Limiter
from livetoken.mistakes import Mistakes
from livetoken.origins import Origins
from livetoken.policy import Policy
from livetoken.refusals import Reason
from livetoken.settings import AppCheckSettings, Settings, policy_file
from livetoken.under_way import UnderWay


class Warm(Protocol):
    """Does work before the first request, which meets the failure if this fails."""

    async def warm(self) -> None: ...


@dataclass(frozen=True)
class Service:
    """The parts of one deployment. `main.exchange` has the order in which a request meets them."""

    origins: Origins
    callers: Callers
    app_check: AppCheck | NoAppCheck
    under_way: UnderWay
    policy: Policy
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
        app_check = _app_check(http, settings.app_check) if settings.app_check else NoAppCheck()
        limiter = Limiter(settings.limits_storage)
        return cls(
            origins=Origins(settings.allowed_origins),
            callers=Callers(issuers),
            app_check=app_check,
            under_way=UnderWay(),
            policy=policy,
            limiter=limiter,
            gemini=gemini,
            warmed=(
                gemini,
                app_check,
                *{issuer.keys for issuer in issuers.values()},
                *([limiter] if policy.is_limited else []),
            ),
            trace_project=settings.trace_project,
        )

    async def warm_up(self) -> None:
        """Fetch keys and open connections, so that the first request need not wait."""
        await asyncio.gather(*(each.warm() for each in self.warmed))


def _app_check(http: fetch.Http, settings: AppCheckSettings) -> AppCheck:
    credentials = None
    if settings.consume:
        from livetoken.service_account import ServiceAccount

        credentials = ServiceAccount()
    app_check_keys = KeySet(
        http,
        f"{settings.base_url}/v1/jwks",
        keys.jwks,
        unavailable=Reason.APP_CHECK_UNAVAILABLE,
        unknown=Reason.APP_CHECK_FAILED,
    )
    return AppCheck(
        http,
        app_check_keys,
        project=settings.project,
        number=settings.project_number,
        base_url=settings.base_url,
        apps=settings.apps,
        credentials=credentials,
    )


def _warn(message: str) -> None:
    decisions.write({"severity": "WARNING", "message": message})


def _warn_of_lock(message: str) -> None:
    _warn(f"{message}: run python -m livetoken lock")
