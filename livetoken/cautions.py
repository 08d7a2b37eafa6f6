"""Warnings about a policy and an environment that are valid but do not fit together.

`preflight` prints this, and the function logs it at its start.
"""

from collections.abc import Iterable, Iterator

from livetoken.limits.storages import IN_MEMORY
from livetoken.mistakes import Mistake
from livetoken.policy import Policy, Profile, Requirement, project_number
from livetoken.settings import Settings

MEMORY_LASTS = 3600
"""Seconds. Cloud Run may end an idle instance after 15 minutes, and any instance for a release."""

_FOR_NOBODY = "refuses every caller: only {kind} tokens have this claim, and {variable} is not set"
_OTHER_PROJECT = "tokens of {app} are refused: FIREBASE_PROJECT_NUMBER is of another project"
_STARTS_ANEW = (
    "is counted in memory and starts anew with each instance: for more than an hour, set"
    " LIMITS_STORAGE to Firestore or Redis"
)
_NOT_LOOKED_UP = (
    "has no effect: only Firebase users are looked up, and FIREBASE_PROJECT_ID is not set"
)
_TWICE = (
    "a person with a Firebase and a Google account is two callers with two limits: accept one of"
    " the two in the environment, or require a claim that only one has"
)


def of(policy: Policy, settings: Settings) -> tuple[Mistake, ...]:
    """Return what to say, with the path of the setting in the policy."""
    number = settings.app_check.project_number
    found = [
        Mistake("callers.app_check_apps", _OTHER_PROJECT.format(app=app))
        for app in policy.callers.app_check_apps
        if project_number(app) != number
    ]
    if policy.callers.revoked == "check" and not settings.firebase_projects:
        found.append(Mistake("callers.revoked", _NOT_LOOKED_UP))
    for profile in policy.profiles.values():
        found += _of(policy, profile, settings)
    return tuple(dict.fromkeys(found))


def of_google(rules: Iterable[Requirement]) -> Requirement | None:
    """Return a rule on `hd`, or None. Firebase has it only as a custom claim of yours."""
    return next((each for each in rules if each.claim == ("hd",)), None)


def of_firebase(rules: Iterable[Requirement]) -> Requirement | None:
    """Return a rule that only Firebase's ID tokens can pass, or None."""
    return next((each for each in rules if each.claim[0] == "firebase"), None)


def _of(policy: Policy, profile: Profile, settings: Settings) -> Iterator[Mistake]:
    rules = (*policy.callers.require, *profile.require)
    google, firebase = of_google(rules), of_firebase(rules)
    if google and not settings.google_client_ids:
        message = _FOR_NOBODY.format(kind="Google's own", variable="GOOGLE_CLIENT_IDS")
        yield Mistake(google.path, message)
    if firebase and not settings.firebase_projects:
        message = _FOR_NOBODY.format(kind="Firebase", variable="FIREBASE_PROJECT_ID")
        yield Mistake(firebase.path, message)
    if settings.limits_storage.startswith(IN_MEMORY):
        for bounds in (profile.bounds, profile.total, policy.total):
            for key, limits in (("limit", bounds.limits), ("budget", bounds.budgets)):
                if any(each.seconds > MEMORY_LASTS for each in limits):
                    yield Mistake(bounds.paths[key], _STARTS_ANEW)
    has_both = settings.google_client_ids and settings.firebase_projects
    if has_both and profile.bounds and not (google or firebase):
        yield Mistake(next(iter(profile.bounds.paths.values())), _TWICE)
