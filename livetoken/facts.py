"""What a policy lets a client do: who may, how often, what is locked and open, what it can cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from livetoken import advice
from livetoken.advice import Advice
from livetoken.dialects import DEFAULT_PROFILE
from livetoken.policy import CallerRules, Policy, Profile
from livetoken.rules import Limit, Scalar
from livetoken.setup import FIELDS


@dataclass(frozen=True)
class Lock:
    """The lock's path, and whether it is what the policy compiles to."""

    path: str
    current: bool


@dataclass(frozen=True)
class Required:
    """A dotted claim, and the values of it that are accepted."""

    claim: str
    accepted: tuple[Scalar, ...]


@dataclass(frozen=True)
class WhoMay:
    """The rules of [callers] and of the profile together; a caller must meet all of them."""

    allow_anonymous: bool
    app_check: str
    max_auth_age_seconds: int | None
    require: tuple[Required, ...]


@dataclass(frozen=True)
class Locked:
    """A field of the config, and the value that no client can change."""

    field: str
    value: Any


@dataclass(frozen=True)
class Claim:
    """A dotted claim that the instruction names: at most `max_length` characters.

    Without a default, a caller who lacks the claim is refused.
    """

    claim: str
    max_length: int
    default: str | None


@dataclass(frozen=True)
class Window:
    """What the sessions last together that one caller starts within one window of a limit."""

    seconds: int
    session_seconds: int


@dataclass(frozen=True)
class Cost:
    """The longest that sessions can last: one token's, and one caller's by each limit.

    A session ends with its token, so `expires_in` is the bound. That a connection ends earlier is
    no promise of Gemini's.
    """

    session_seconds: int
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Allowed:
    """What one profile allows.

    `locked` is what the config sets, `locked_empty` the fields of the setup that it leaves out,
    `open` those left to the client.
    """

    model: str
    who_may: WhoMay
    limits: tuple[Limit, ...]
    start_within_seconds: int
    expires_in_seconds: int
    open: tuple[str, ...]
    locked: tuple[Locked, ...]
    locked_empty: tuple[str, ...]
    claims: tuple[Claim, ...]
    cost: Cost


@dataclass(frozen=True)
class Facts:
    """All there is to say about a policy without mistakes.

    `default_profile` is what a request gets that names none, if there is such a profile.
    """

    policy: str
    api_version: str
    lock: Lock
    default_profile: str | None
    profiles: Mapping[str, Allowed]
    warnings: tuple[Advice, ...]


def gather(path: Path, policy: Policy, lock: Lock) -> Facts:
    """Gather what there is to say about a policy without mistakes."""
    return Facts(
        policy=str(path),
        api_version=policy.api_version,
        lock=lock,
        default_profile=DEFAULT_PROFILE if DEFAULT_PROFILE in policy.profiles else None,
        profiles={name: _allowed(policy.callers, each) for name, each in policy.profiles.items()},
        warnings=advice.of(policy),
    )


def _allowed(callers: CallerRules, profile: Profile) -> Allowed:
    expires_in = _seconds(profile.expires_in)
    age = callers.max_auth_age
    required = (*callers.require, *profile.require)
    return Allowed(
        model=profile.model,
        who_may=WhoMay(
            callers.allow_anonymous,
            callers.app_check,
            None if age is None else _seconds(age),
            tuple(Required(".".join(each.claim), each.accepted) for each in required),
        ),
        limits=profile.limit,
        start_within_seconds=_seconds(profile.start_within),
        expires_in_seconds=expires_in,
        open=profile.client_may_set,
        locked=tuple(Locked(name, value) for name, value in profile.config.items()),
        locked_empty=tuple(
            name
            for name in FIELDS
            if name not in profile.config and name not in profile.client_may_set
        ),
        claims=tuple(
            Claim(name, each.max_length, each.default) for name, each in profile.claims.items()
        ),
        cost=Cost(
            expires_in,
            tuple(Window(limit.seconds, limit.amount * expires_in) for limit in profile.limit),
        ),
    )


def _seconds(time: timedelta) -> int:
    return int(time.total_seconds())
