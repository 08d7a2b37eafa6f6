"""The decided policy: who may ask, how often, and what a token is locked to.

This is data, as `policy.lock.json` holds it. `livetoken.compile` makes it from `policy.toml`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from livetoken.caller import Caller
from livetoken.instruction import ClaimText
from livetoken.refusals import Detail, Reason, Refused

DEFAULT_PROFILE = "default"
"""The profile of a request that does not name one."""

MOST_EXPIRES_IN = 20 * 3600
"""Seconds. Gemini accepts less than this."""

APP_CHECK_MODES = ("off", "required", "consume")
"""What a policy can demand of App Check, the least strict first."""

MOST_CHOICES = 16
"""Choices that a profile can offer, and that a request can name."""

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
        if not any(is_same(each, accepted) for each in values for accepted in self.accepted):
            raise Refused(Reason.NOT_ALLOWED, Detail.CLAIM_NOT_ACCEPTED, rule=self.path)


@dataclass(frozen=True)
class Limit:
    """The most that may be used in `seconds`: tokens for a limit, seconds for a budget."""

    amount: int
    seconds: int


@dataclass(frozen=True)
class Bounds:
    """What one caller, or all together, may use.

    `at_once` is a number of sessions; None does not count
    them. `paths` are the places of the three in the policy by their keys, for the log.
    """

    limits: tuple[Limit, ...] = ()
    budgets: tuple[Limit, ...] = ()
    at_once: int | None = None
    paths: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is counted."""
        return bool(self.limits or self.budgets) or self.at_once is not None


@dataclass(frozen=True)
class Anonymous:
    """Whether anonymous accounts may ask.

    `path` is the setting's place in the policy, for the log.
    """

    allowed: bool
    path: str

    def check(self, caller: Caller) -> None:
        """Check that the caller is not anonymous, or may be.

        Raises:
            Refused: NOT_ALLOWED.
        """
        if caller.anonymous and not self.allowed:
            raise Refused(Reason.NOT_ALLOWED, Detail.ANONYMOUS, rule=self.path)


@dataclass(frozen=True)
class CallerRules:
    """Who may ask at all. Whether anonymously, and with App Check, is a rule of each profile.

    `max_auth_age` is in seconds; None allows any age. `app_check_apps` are Firebase app ids; if
    there are none, App Check tokens of all apps of the project are accepted. `revoked` is "off", or
    "check" if Firebase is asked whether the account is disabled or its sessions are revoked.
    `safety_identifier` is whether each setup names its caller to Gemini by a keyed hash.
    """

    require: tuple[Requirement, ...] = ()
    max_auth_age: int | None = None
    app_check_apps: tuple[str, ...] = ()
    revoked: str = "off"
    safety_identifier: bool = False

    def check(self, caller: Caller) -> None:
        """Check that the caller may ask.

        Raises:
            Refused: NOT_ALLOWED.
        """
        for requirement in self.require:
            requirement.check(caller)
        if self.max_auth_age is not None:
            ago = caller.signed_in_ago
            if ago is None or ago > self.max_auth_age:
                rule = "callers.max_auth_age"
                raise Refused(Reason.NOT_ALLOWED, Detail.SIGNED_IN_TOO_LONG_AGO, rule=rule)


@dataclass(frozen=True)
class Choice:
    """A field of the config whose value a request may choose.

    `field` is its path in the config, `at` its path in the setup. `sent` are the `values` as Gemini
    gets them; the body of a profile has that of `default`. `path` is the choice's own path in the
    policy, for the log.
    """

    name: str
    field: str
    values: tuple[Scalar, ...]
    default: Scalar
    at: tuple[str, ...]
    sent: tuple[Scalar, ...]
    path: str

    def value(self, asked: Scalar) -> Scalar:
        """Return what Gemini gets for a value of a request.

        Raises:
            Refused: INVALID_REQUEST if it is not offered.
        """
        for value, sent in zip(self.values, self.sent, strict=True):
            if is_same(asked, value):
                return sent
        raise Refused(Reason.INVALID_REQUEST, Detail.CHOICE_NOT_OFFERED, rule=self.path)


@dataclass(frozen=True)
class Profile:
    """What one token may do.

    `app_check` is a member of `APP_CHECK_MODES`.
    `expires_in`, `start_within` and `least` are in seconds. A token that a budget would make
    shorter than `least` is refused. `bounds` are for each caller, `total` for all together.
    `client_may_set` names fields of the config that the client may set itself. `body` is the
    request to Gemini without its times.
    """

    name: str
    model: str
    expires_in: int
    start_within: int
    least: int
    anonymous: Anonymous
    app_check: str
    bounds: Bounds
    total: Bounds
    require: tuple[Requirement, ...]
    claims: tuple[ClaimText, ...]
    choices: tuple[Choice, ...]
    client_may_set: tuple[str, ...]
    body: Mapping[str, Any]

    def check(self, caller: Caller) -> None:
        """Check that the caller may have this profile.

        Raises:
            Refused: NOT_ALLOWED.
        """
        self.anonymous.check(caller)
        for requirement in self.require:
            requirement.check(caller)


@dataclass(frozen=True)
class Policy:
    """A policy without mistakes."""

    api_version: str
    callers: CallerRules
    total: Bounds
    profiles: Mapping[str, Profile]

    @property
    def is_limited(self) -> bool:
        """Whether anything is counted."""
        return bool(self.total) or any(each.bounds or each.total for each in self.profiles.values())

    @cached_property
    def app_check(self) -> str:
        """The strictest mode of App Check of any profile."""
        modes = {each.app_check for each in self.profiles.values()}
        return max(modes, key=APP_CHECK_MODES.index, default=APP_CHECK_MODES[0])

    @cached_property
    def least_app_check(self) -> str:
        """The least strict mode of App Check of any profile, which every request must meet."""
        modes = {each.app_check for each in self.profiles.values()}
        return min(modes, key=APP_CHECK_MODES.index, default=APP_CHECK_MODES[0])

    def check(self, caller: Caller) -> None:
        """Check the rules that are the same for all profiles.

        Raises:
            Refused: NOT_ALLOWED.
        """
        anonymous = [each.anonymous for each in self.profiles.values()]
        max(anonymous, key=lambda each: each.allowed).check(caller)
        self.callers.check(caller)

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
            total=_bounds(document["total"]),
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
        "bounds": _bounds(document["bounds"]),
        "total": _bounds(document["total"]),
        "require": _requirements(document["require"]),
        "claims": tuple(ClaimText(**each) for each in document["claims"]),
        "choices": tuple(map(_choice, document["choices"])),
        "client_may_set": tuple(document["client_may_set"]),
        "anonymous": Anonymous(**document["anonymous"]),
    }
    return Profile(**{**document, **parts})


def _choice(document: Mapping[str, Any]) -> Choice:
    lists = {name: tuple(document[name]) for name in ("values", "at", "sent")}
    return Choice(**{**document, **lists})


def _bounds(document: Mapping[str, Any]) -> Bounds:
    limits, budgets = (
        tuple(Limit(**each) for each in document[name]) for name in ("limits", "budgets")
    )
    return Bounds(**{**document, "limits": limits, "budgets": budgets})


def _requirements(document: Iterable[Mapping[str, Any]]) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(tuple(each["claim"]), tuple(each["accepted"]), each["path"])
        for each in document
    )


def is_same(value: object, accepted: Scalar) -> bool:
    """Whether two values are the same JSON: `true` is neither 1 nor "true"."""
    return _json_type(value) is _json_type(accepted) and value == accepted


def _json_type(value: object) -> type | None:
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None
