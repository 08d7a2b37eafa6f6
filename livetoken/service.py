"""Everything that is decided at start: built once, handed in, never read from anywhere again."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from livetoken import callers, decisions, fetch, keys, lock, policy
from livetoken.app_check import AppCheck, NoAppCheck
from livetoken.callers import Callers
from livetoken.constraint import Compiled
from livetoken.gemini import Gemini
from livetoken.keys import KeySet
from livetoken.limits import Limits
from livetoken.origins import Origins
from livetoken.policy import CallerRules, Policy
from livetoken.problems import Problems
from livetoken.refusals import Reason, Refused
from livetoken.settings import Settings, policy_file


class Warm(Protocol):
    """What is fetched ahead of the first caller; a failure is left for that caller to meet."""

    async def warm(self) -> None: ...


@dataclass(frozen=True)
class Service:
    """The parts of one deployment, in the order in which a request meets them."""

    origins: Origins
    callers: Callers
    app_check: AppCheck | NoAppCheck
    caller_rules: CallerRules
    profiles: Mapping[str, Compiled]
    limits: Limits
    gemini: Gemini
    warmed: tuple[Warm, ...]
    trace_project: str | None

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> "Service":
        """Build the service from the environment and the policy it names.

        Raises:
            Problems: everything that is wrong with either, at once.
        """
        path = policy_file(environ)
        problems: list[str] = []
        rules, bodies = policy.NONE, None
        try:
            source = policy.source(path)
            rules = policy.read(source)
            bodies = compiled(path, source, rules)
        except Problems as found:
            problems += found.lines
        try:
            settings = Settings.read(environ, rules)
        except Problems as found:
            raise Problems([*found.lines, *problems]) from None
        if bodies is None:
            raise Problems(problems)
        return cls._build(settings, rules, bodies)

    @classmethod
    def _build(cls, settings: Settings, rules: Policy, bodies: Mapping[str, Any]) -> "Service":
        http = fetch.Http()
        firebase_keys = KeySet(http, settings.firebase_keys_url, keys.certificates)
        google_keys = KeySet(http, settings.google_keys_url, keys.certificates)
        issuers = callers.issuers(
            settings.firebase_projects, firebase_keys, settings.google_client_ids, google_keys
        )
        gemini = Gemini(
            http,
            base_url=settings.gemini_base_url,
            api_version=rules.api_version,
            api_key=settings.api_key,
        )
        app_check = _app_check(http, settings, rules.callers)
        limits = Limits(settings.limits_storage)
        return cls(
            origins=Origins(settings.allowed_origins),
            callers=Callers(issuers),
            app_check=app_check,
            caller_rules=rules.callers,
            profiles={
                name: Compiled(profile, bodies[name]) for name, profile in rules.profiles.items()
            },
            limits=limits,
            gemini=gemini,
            warmed=(
                gemini,
                app_check,
                *{issuer.keys for issuer in issuers.values()},
                *([limits] if rules.is_limited else []),
            ),
            trace_project=settings.trace_project,
        )

    def profile(self, name: str) -> Compiled:
        """Return a profile, compiled.

        Raises:
            Refused: UNKNOWN_PROFILE.
        """
        try:
            return self.profiles[name]
        except KeyError:
            raise Refused(Reason.UNKNOWN_PROFILE) from None

    async def warm_up(self) -> None:
        """Fetch keys and open connections ahead, so that the first caller need not wait."""
        await asyncio.gather(*(each.warm() for each in self.warmed))


def compiled(path: Path, source: bytes, rules: Policy) -> Mapping[str, Any]:
    """Return a policy's compiled bodies, from a fresh lock or else by compiling now.

    Raises:
        Problems: every mistake of the policy.
    """
    locked = lock.path_for(path)
    bodies = lock.fresh(locked, source, rules)
    if bodies is None:
        from livetoken.compiler import compile_policy

        bodies = compile_policy(rules)
        found = f"{locked.name} is missing or stale, so the policy was compiled at start"
        decisions.write(
            {"severity": "WARNING", "message": f"{found}: run python -m livetoken lock"}
        )
    return bodies


def _app_check(http: fetch.Http, settings: Settings, rules: CallerRules) -> AppCheck | NoAppCheck:
    if rules.app_check == "off":
        return NoAppCheck()
    (project,), number = settings.firebase_projects, settings.firebase_project_number
    if number is None:
        raise Problems(["FIREBASE_PROJECT_NUMBER: is required with App Check"])
    credentials = None
    if rules.app_check == "consume":
        from livetoken.runtime_account import RuntimeAccount

        credentials = RuntimeAccount()
    app_check_keys = KeySet(
        http,
        f"{settings.app_check_base_url}/v1/jwks",
        keys.jwks,
        unavailable=Reason.APP_CHECK_UNAVAILABLE,
        unknown=Reason.APP_CHECK_FAILED,
    )
    return AppCheck(
        http,
        app_check_keys,
        project=project,
        number=number,
        base_url=settings.app_check_base_url,
        credentials=credentials,
    )
