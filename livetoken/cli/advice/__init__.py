"""Warnings: valid settings that are probably mistakes, each with its reason."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from livetoken.cli.advice import callers, sessions
from livetoken.cli.advice.codes import Code as Code
from livetoken.cli.advice.codes import Finding
from livetoken.compile import choices, defaults, policy_file
from livetoken.mistakes import dotted
from livetoken.policy import Policy, Profile


@dataclass(frozen=True)
class Advice:
    """One warning: the name of its code, the path of its setting, and its reason."""

    code: str
    path: str
    message: str


def of(policy: Policy, document: Mapping[str, Any]) -> tuple[Advice, ...]:
    """Return the warnings about a policy, each once.

    Args:
        document: the policy as parsed.
    """
    written, replaced = defaults.locator(document), defaults.replaced(document)
    merged = defaults.merged(document)
    configs = policy_file.configs_in(merged)
    about: dict[Advice, dict[str, None]] = {}
    for name, profile in policy.profiles.items():
        rules = chain(
            _of_sessions(profile, merged["profiles"][name], replaced.get(name, ())),
            callers.of(policy, profile, configs[name]),
        )
        for applies, code, path, more in rules:
            if applies:
                at = path if isinstance(path, str) else dotted(*written(path))
                about.setdefault(_advice(code, at, more), {})[name] = None
    found = [_in(each, names, policy) for each, names in about.items()]
    of_all = callers.of_all(policy)
    found += [_advice(code, path, "") for applies, code, path in of_all if applies]
    return tuple(found)


def _of_sessions(
    profile: Profile, table: Mapping[str, Any], replaced: Collection[str]
) -> Iterator[Finding]:
    """Yield every rule about the sessions of a profile, for each value that can be chosen."""
    config, offered = table["config"], choices.offers(table)
    for chosen, complete in choices.variants(config, offered):
        for applies, code, path, more in sessions.of(profile, complete, replaced):
            where = path
            if not isinstance(path, str) and path[2] == "config":
                where = (*path[:2], *choices.placed(path[3:], config, offered, chosen))
            yield applies, code, where, more


def _advice(code: Code, path: str, more: str) -> Advice:
    return Advice(code.name, path, f"{code.value} {more}".rstrip())


def _in(advice: Advice, names: Collection[str], policy: Policy) -> Advice:
    """Name the profiles in which something of `[defaults]` is warned of, if it is not in all."""
    if not advice.path.startswith("defaults.") or len(names) == len(policy.profiles):
        return advice
    return replace(advice, message=f"{advice.message} In profile {', '.join(names)}.")
