"""Everything that is decided at start: built once, handed in, never read from anywhere again."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livetoken import callers, decisions, fetch, lock, policy
from livetoken.callers import Callers
from livetoken.gemini import Constraint, Gemini
from livetoken.keys import KeySet
from livetoken.origins import Origins
from livetoken.policy import CallerRules, Policy
from livetoken.problems import Problems
from livetoken.refusals import Reason, Refused
from livetoken.settings import Settings, policy_file


@dataclass(frozen=True)
class Service:
    """The parts of one deployment, in the order in which a request meets them."""

    origins: Origins
    callers: Callers
    caller_rules: CallerRules
    constraints: Mapping[str, Constraint]
    gemini: Gemini
    keys: tuple[KeySet, ...]
    trace_project: str | None

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> "Service":
        """Build the service from the environment and the policy it names.

        Raises:
            Problems: everything that is wrong with either, at once.
        """
        problems: list[str] = []
        try:
            settings = Settings.read(environ)
        except Problems as found:
            problems += found.lines
        try:
            rules, bodies = load_policy(policy_file(environ))
        except Problems as found:
            problems += found.lines
        if problems:
            raise Problems(problems)
        return cls._build(settings, rules, bodies)

    @classmethod
    def _build(cls, settings: Settings, rules: Policy, bodies: Mapping[str, Any]) -> "Service":
        http = fetch.Http()
        firebase_keys = KeySet(http, settings.firebase_keys_url)
        google_keys = KeySet(http, settings.google_keys_url)
        issuers = callers.issuers(
            settings.firebase_projects, firebase_keys, settings.google_client_ids, google_keys
        )
        return cls(
            origins=Origins(settings.allowed_origins),
            callers=Callers(issuers),
            caller_rules=rules.callers,
            constraints={
                name: Constraint.of(profile, bodies[name])
                for name, profile in rules.profiles.items()
            },
            gemini=Gemini(
                http,
                base_url=settings.gemini_base_url,
                api_version=rules.api_version,
                api_key=settings.api_key,
            ),
            keys=tuple({issuer.keys for issuer in issuers.values()}),
            trace_project=settings.trace_project,
        )

    def constraint(self, profile: str) -> Constraint:
        """Return what a profile's tokens are locked to.

        Raises:
            Refused: UNKNOWN_PROFILE.
        """
        try:
            return self.constraints[profile]
        except KeyError:
            raise Refused(Reason.UNKNOWN_PROFILE) from None

    async def warm_up(self) -> None:
        """Fetch the keys and open a connection to Gemini, so that the first caller need not."""
        await asyncio.gather(self.gemini.warm(), *(keys.warm() for keys in self.keys))


def load_policy(path: Path) -> tuple[Policy, Mapping[str, Any]]:
    """Read the policy and its compiled bodies, from a fresh lock or else by compiling now.

    Raises:
        Problems: every mistake of the policy.
    """
    source = policy.source(path)
    rules = policy.read(source)
    locked = lock.path_for(path)
    bodies = lock.fresh(locked, source, rules)
    if bodies is None:
        from livetoken.compiler import compile_policy

        bodies = compile_policy(rules)
        found = f"{locked.name} is missing or stale, so the policy was compiled at start"
        decisions.write(
            {"severity": "WARNING", "message": f"{found}: run python -m livetoken lock"}
        )
    return rules, bodies
