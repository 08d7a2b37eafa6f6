"""The decided policy: who may ask, how often, and what a token is locked to.

This is data, as `policy.lock.json` holds it. `livetoken.compile` makes it from `policy.toml`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from livetoken.caller import Caller
from livetoken.instruction import ClaimText
from livetoken.refusals import Detail, Reason, Refused

DEFAULT_PROFILE = "default"
"""The profile of a request that does not name one."""

MOST_EXPIRES_IN = 20 * 3600
"""Seconds. Gemini accepts less than this."""

Scalar: TypeAlias = str | int | float | bool

APP_ID = r"[1-9][0-9]*:[1-9][0-9]*:[a-z]+:[0-9a-f]+"
"""A Firebase app id: a version, the project's number, the platform and a fingerprint, as Firebase's
SDK for iOS checks it (FIRApp)."""


def project_number(app_id: str) -> str:
    """Return the number of the Firebase project that an app belongs to."""
    return app_id.split(":")[1]


@dataclass(frozen=True)
class Requirement:
    """A claim and its accepted values.

    `claim` is the claim's path in the token, `path` the requirement's own in the policy, for the
    log.
    """

    claim: tuple[str, ...]
    accepted: tuple[Scalar, ...]
    path: str

    def check(self, caller: Caller) -> None:
        """Check that the caller's claim is accepted, or is a list that holds an accepted value.

        Raises:
            Refused: NOT_ALLOWED.
        """
        value = caller.claim(self.claim)
        values = value if isinstance(value, list) else [value]
        if not any(_is_same(each, accepted) for each in values for accepted in self.accepted):
            raise Refused(Reason.NOT_ALLOWED, Detail.CLAIM_NOT_ACCEPTED, rule=self.path)


@dataclass(frozen=True)
class Limit:
    """`amount` tokens in `seconds`."""

    amount: int
    seconds: int


@dataclass(frozen=True)
class CallerRules:
    """Who may ask at all.

    `max_auth_age` is in seconds; None allows any age. `app_check_apps` are Firebase app ids; if
    there are none, App Check tokens of all apps of the project are accepted.
    """

    allow_anonymous: bool = False
    app_check: str = "off"
    require: tuple[Requirement, ...] = ()
    max_auth_age: int | None = None
    app_check_apps: tuple[str, ...] = ()

    def check(self, caller: Caller) -> None:
        """Check that the caller may ask.

        Raises:
            Refused: NOT_ALLOWED.
        """
        if caller.anonymous and not self.allow_anonymous:
            rule = "callers.allow_anonymous"
            raise Refused(Reason.NOT_ALLOWED, Detail.ANONYMOUS, rule=rule)
        for requirement in self.require:
            requirement.check(caller)
        if self.max_auth_age is not None:
            ago = caller.signed_in_ago
            if ago is None or ago > self.max_auth_age:
                rule = "callers.max_auth_age"
                raise Refused(Reason.NOT_ALLOWED, Detail.SIGNED_IN_TOO_LONG_AGO, rule=rule)


@dataclass(frozen=True)
class Profile:
    """What one token may do.

    `expires_in` and `start_within` are in seconds. `limit_path` is the path of `limits` in the
    policy, for the log. `client_may_set` names fields of the config that the client may set itself.
    `body` is the request to Gemini without its times.
    """

    name: str
    model: str
    expires_in: int
    start_within: int
    limits: tuple[Limit, ...]
    limit_path: str
    require: tuple[Requirement, ...]
    claims: tuple[ClaimText, ...]
    client_may_set: tuple[str, ...]
    body: Mapping[str, Any]

    def check(self, caller: Caller) -> None:
        """Check that the caller may have this profile.

        Raises:
            Refused: NOT_ALLOWED.
        """
        for requirement in self.require:
            requirement.check(caller)


@dataclass(frozen=True)
class Policy:
    """A policy without mistakes."""

    api_version: str
    callers: CallerRules
    profiles: Mapping[str, Profile]

    @property
    def is_limited(self) -> bool:
        """Whether any profile has a limit."""
        return any(profile.limits for profile in self.profiles.values())

    def profile(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            Refused: UNKNOWN_PROFILE.
        """
        if name not in self.profiles:
            raise Refused(Reason.UNKNOWN_PROFILE)
        return self.profiles[name]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Policy":
        """Read the JSON form of a policy, which is what `dataclasses.asdict` makes of one.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the document has another shape.
        """
        return cls(
            api_version=document["api_version"],
            callers=_caller_rules(document["callers"]),
            profiles={name: _profile(each) for name, each in document["profiles"].items()},
        )


def _caller_rules(document: Mapping[str, Any]) -> CallerRules:
    parts = {
        "require": _requirements(document["require"]),
        "app_check_apps": tuple(document["app_check_apps"]),
    }
    return CallerRules(**{**document, **parts})


def _profile(document: Mapping[str, Any]) -> Profile:
    parts = {
        "limits": tuple(Limit(**each) for each in document["limits"]),
        "require": _requirements(document["require"]),
        "claims": tuple(ClaimText(**each) for each in document["claims"]),
        "client_may_set": tuple(document["client_may_set"]),
    }
    return Profile(**{**document, **parts})


def _requirements(document: Iterable[Mapping[str, Any]]) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(tuple(each["claim"]), tuple(each["accepted"]), each["path"])
        for each in document
    )


def _is_same(value: object, accepted: Scalar) -> bool:
    """Whether two values are the same JSON: `true` is neither 1 nor "true"."""
    return _json_type(value) is _json_type(accepted) and value == accepted


def _json_type(value: object) -> type | None:
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None
