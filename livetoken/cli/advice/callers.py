"""Warnings about who may ask, and how often."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, pairwise
from typing import Any

from livetoken import instruction
from livetoken.caller import Caller
from livetoken.cautions import of_firebase, of_google
from livetoken.cli.advice.codes import Code, Finding
from livetoken.mistakes import dotted
from livetoken.policy import (
    DEFAULT_PROFILE,
    CallerRules,
    Policy,
    Profile,
    Requirement,
    project_number,
)
from livetoken.refusals import Refused

LONGEST_SLICE = 10 * 60
"""Seconds that a token may last before there is a warning, if its time counts."""

_SELF_CHOSEN = ("name", "given_name", "family_name", "picture")

# https://firebase.google.com/docs/auth/admin/verify-id-tokens, and the payloads of Firebase tokens
_OF_A_PERSON = ("hd", "email", "email_verified", "phone_number")
_IN_FIREBASE = (
    "identities",
    "sign_in_provider",
    "tenant",
    "sign_in_second_factor",
    "second_factor_identifier",
    "sign_in_attributes",
)
_ONE_VALUE = (("hd",), ("email",), ("email_verified",), ("sub",), ("firebase", "sign_in_provider"))
_UNLESS_A_LIST = "Only a claim that is a list with a value of each passes."
_PATTERN = re.compile(r"!.*|.*\*.*|\^.*\$")

_PROVIDER = ("firebase", "sign_in_provider")
_ANONYMOUS = {"identities": {}, "sign_in_provider": "anonymous"}
_NEW_ANONYMOUS_ACCOUNT = Caller(
    "", "", True, {"provider_id": "anonymous", "firebase": _ANONYMOUS}, 0
)


def of_all(policy: Policy) -> Iterator[tuple[bool, Code, str]]:
    """Yield every rule about all profiles together."""
    profiles = policy.profiles
    yield DEFAULT_PROFILE not in profiles, Code.NO_DEFAULT, "profiles"
    yield "defaults" in profiles, Code.NAMED_DEFAULTS, "profiles.defaults"
    numbers = {project_number(each) for each in policy.callers.app_check_apps}
    yield len(numbers) > 1, Code.TWO_PROJECTS, "callers.app_check_apps"
    for anonymous in dict.fromkeys(each.anonymous for each in profiles.values()):
        of_it = (each for each in profiles.values() if each.anonymous == anonymous)
        excluded = all(excludes_anonymous(_rules_of(policy, each)) for each in of_it)
        yield anonymous.allowed and excluded, Code.ANONYMOUS_EXCLUDED, anonymous.path


def of(policy: Policy, profile: Profile, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield every rule about the callers of a profile."""
    rules, profiles = _rules_of(policy, profile), policy.profiles.values()
    yield from _limit(policy.callers, profile)
    yield from _claims(profile, config.get("system_instruction"), rules)
    yield from _rules(rules)
    yield from _nobody(rules, profile.anonymous.allowed)
    if profile.bounds and not of_google(rules) and not of_firebase(rules):
        some_of_google = any(of_google(_rules_of(policy, each)) for each in profiles)
        by_address = any(each.claim == ("email",) for each in rules) and _requires_verified(rules)
        path = ("profiles", profile.name, "limit")
        yield some_of_google or by_address, Code.TWO_DOORS, path, ""
    others = [each.name for each in profiles if _is_wider(each, profile)]
    too = f"They may use {', '.join(others)}."
    yield bool(others), Code.OPEN_PROFILE_TOO, dotted("profiles", profile.name, "require"), too


def _rules_of(policy: Policy, profile: Profile) -> tuple[Requirement, ...]:
    return (*policy.callers.require, *profile.require)


def _limit(callers: CallerRules, profile: Profile) -> Iterator[Finding]:
    path = ("profiles", profile.name, "limit")
    bounded = (*path[:2], next(iter(profile.bounds.paths), "limit"))
    yield not (profile.bounds.limits or profile.bounds.budgets), Code.NO_LIMIT, path, ""
    unbounded = profile.app_check == "off" and _may_anybody_ask(callers, profile)
    yield bool(profile.bounds) and unbounded, Code.LIMIT_OF_NOBODY, bounded, ""
    minutes = min([profile.expires_in, *(each.amount for each in profile.bounds.budgets)]) / 60
    counts_time = profile.bounds.budgets or "at_once" in profile.bounds.paths
    is_long = bool(counts_time) and profile.expires_in > LONGEST_SLICE
    yield is_long, Code.LONG_SLICE, (*path[:2], "expires_in"), f"Here, that is {minutes:g} minutes."
    for key, limits in (("limit", profile.bounds.limits), ("budget", profile.bounds.budgets)):
        by_time = sorted(limits, key=lambda limit: limit.seconds)
        idle = any(longer.amount <= shorter.amount for shorter, longer in pairwise(by_time))
        yield idle, Code.IDLE_LIMIT, (*path[:2], key), ""


def _is_wider(other: Profile, profile: Profile) -> bool:
    """Whether everybody who may use a profile may use another one, but not the other way round."""
    return _admits(other, profile) and not _admits(profile, other)


def _admits(other: Profile, profile: Profile) -> bool:
    """Whether everybody who may use a profile may use another one."""
    return (
        (other.anonymous.allowed or not profile.anonymous.allowed)
        and (other.app_check == "off" or profile.app_check != "off")
        and _implies(profile.require, other.require)
    )


def _implies(rules: Iterable[Requirement], others: Iterable[Requirement]) -> bool:
    return all(
        any(rule.claim == other.claim and {*rule.accepted} <= {*other.accepted} for rule in rules)
        for other in others
    )


def _claims(profile: Profile, text: object, rules: Iterable[Requirement]) -> Iterator[Finding]:
    """Yield the rules about the claims that an instruction may name."""
    named = set(instruction.placeholders(text)) if isinstance(text, str) else set()
    for each in profile.claims:
        self_chosen = each.claim in _SELF_CHOSEN
        self_chosen |= each.claim == "email" and not _requires_verified(rules)
        yield each.claim not in named, Code.UNUSED_CLAIM, each.path, ""
        yield self_chosen and each.claim in named, Code.SELF_CHOSEN_CLAIM, each.path, ""


def _rules(rules: tuple[Requirement, ...]) -> Iterator[Finding]:
    for rule in rules:
        first, texts = rule.claim[0], [each for each in rule.accepted if isinstance(each, str)]
        yield first in _SELF_CHOSEN, Code.SELF_CHOSEN_CLAIM, rule.path, ""
        yield any(map(_PATTERN.fullmatch, texts)), Code.VALUE_IS_PATTERN, rule.path, ""
        meant = _elsewhere(rule.claim)
        yield bool(meant), Code.CLAIM_ELSEWHERE, rule.path, f"Did you mean {meant}?"
        if first == "email":
            yield not _requires_verified(rules), Code.UNVERIFIED_EMAIL, rule.path, ""
            yield any(each != each.lower() for each in texts), Code.CAPITALS, rule.path, ""


def _elsewhere(claim: tuple[str, ...]) -> str | None:
    """Return where a claim of Firebase's tokens is that was looked for at another place."""
    *above, last = claim
    if above and above[-1] in ("token", "auth", "claims", "customClaims", "custom_claims"):
        return last
    if claim == ("uid",):
        return "sub"
    if not above and last in _IN_FIREBASE:
        return f"firebase.{last}"
    return last if above == ["firebase"] and last not in _IN_FIREBASE else None


def _nobody(rules: tuple[Requirement, ...], allow_anonymous: bool) -> Iterator[Finding]:
    """Yield the rules that no caller passes together with the others."""
    google, firebase = of_google(rules), of_firebase(rules)
    if google and firebase:
        yield True, Code.NOBODY_PASSES, firebase.path, ""
    for one, other in combinations(rules, 2):
        differ = one.claim == other.claim and not {*one.accepted} & {*other.accepted}
        unless = "" if one.claim in _ONE_VALUE else _UNLESS_A_LIST
        yield differ, Code.NOBODY_PASSES, other.path, unless
    for rule in rules:
        only = rule.claim == _PROVIDER and {*rule.accepted} == {"anonymous"}
        yield only and not allow_anonymous, Code.NOBODY_PASSES, rule.path, ""


def excludes_anonymous(rules: Iterable[Requirement]) -> bool:
    """Whether an anonymous account is refused if it has no custom claim of these names."""
    return any(
        rule.claim[0] in _OF_A_PERSON
        or (rule.claim == _PROVIDER and "anonymous" not in rule.accepted)
        for rule in rules
    )


def _requires_verified(rules: Iterable[Requirement]) -> bool:
    return any(
        each.claim == ("email_verified",) and all(value is True for value in each.accepted)
        for each in rules
    )


def _may_anybody_ask(callers: CallerRules, profile: Profile) -> bool:
    """Whether an anonymous account that was made a moment ago may ask."""
    try:
        callers.check(_NEW_ANONYMOUS_ACCOUNT)
        profile.check(_NEW_ANONYMOUS_ACCOUNT)
    except Refused:
        return False
    return True
