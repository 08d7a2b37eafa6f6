"""What the product decides: `policy.toml`, read into frozen data with every mistake found at once.

The dataclasses are the definition of the file: what is read, and what its JSON Schema says. A
profile's `config` is checked by `livetoken.compiler`, against the types of google-genai.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from livetoken import instruction
from livetoken.callers import Caller
from livetoken.instruction import ClaimText
from livetoken.kinds import (
    Choice,
    Config,
    Duration,
    Fields,
    Flag,
    Limits,
    Named,
    Place,
    Requirements,
    Settings,
    Text,
    setting,
)
from livetoken.problems import Problems
from livetoken.refusals import Detail, Reason, Refused
from livetoken.rules import Limit, Requirement

API_VERSIONS = ("v1alpha", "v1beta")
MOST_EXPIRES_IN = timedelta(hours=20)  # Gemini takes less than this
EXPIRES_IN = timedelta(minutes=30)  # Gemini's own default, always sent
START_WITHIN = timedelta(minutes=1)  # likewise

_PART = r"[^{}.\s](?:[^{}.]*[^{}.\s])?"
_CLAIM = re.compile(rf"{_PART}(?:\.{_PART})*")
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MODEL = re.compile(r"(?:models/)?[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class CallerRules:
    """Who may ask at all."""

    allow_anonymous: bool = setting(
        Flag(),
        "Whether Firebase anonymous accounts may ask, which cost nothing to make; false if left"
        " out.",
        default=False,
    )
    app_check: str = setting(
        Choice("off", "required", "consume"),
        "Firebase App Check: not looked at, required, or required and each of its tokens good for"
        " once; off if left out.",
        default="off",
    )
    require: tuple[Requirement, ...] = setting(
        Requirements(),
        "Claims of the ID token and the values of each that are accepted, such as"
        " email_verified = [true]; a missing one refuses. A dot goes one object deeper.",
        default=(),
    )
    max_auth_age: timedelta | None = setting(
        Duration(),
        "The longest time since the person last signed in, such as 24h; a token that does not say"
        " is refused.",
        default=None,
    )

    def admit(self, caller: Caller) -> None:
        """Let a caller pass.

        Raises:
            Refused: NOT_ALLOWED.
        """
        if caller.anonymous and not self.allow_anonymous:
            rule = "callers.allow_anonymous"
            raise Refused(Reason.NOT_ALLOWED, Detail.ANONYMOUS, rule=rule)
        for requirement in self.require:
            requirement.admit(caller)
        if self.max_auth_age is not None:
            ago = caller.signed_in_ago
            if ago is None or ago > self.max_auth_age.total_seconds():
                rule = "callers.max_auth_age"
                raise Refused(Reason.NOT_ALLOWED, Detail.SIGNED_IN_TOO_LONG_AGO, rule=rule)


@dataclass(frozen=True)
class Profile:
    """What one token may do: `config` as the policy has it, and all else locked empty."""

    name: str
    path: str
    model: str = setting(
        Text(_MODEL, "the name of a model, such as gemini-3.8-live"),
        "The Live model, such as gemini-3.8-live.",
    )
    expires_in: timedelta = setting(
        Duration(under=MOST_EXPIRES_IN),
        "When a token and its session end, such as 30m; under 20 hours; 30m if left out.",
        default=EXPIRES_IN,
    )
    start_within: timedelta = setting(
        Duration(),
        "When the session must have started, such as 1m; at most expires_in; 1m if left out.",
        default=None,
    )
    limit: tuple[Limit, ...] = setting(
        Limits(),
        'How often one caller gets a token of this profile: "30/hour", several separated by ";";'
        " as often as they ask if left out.",
        default=(),
    )
    require: tuple[Requirement, ...] = setting(
        Requirements(), "As in [callers], and on top of it.", default=()
    )
    client_may_set: tuple[str, ...] = setting(
        Fields(), "Fields that are left to the client; all others are locked.", default=()
    )
    config: Mapping[str, Any] = setting(
        Config(), "The session, locked: google-genai's LiveConnectConfig.", default_factory=dict
    )
    claims: Mapping[str, ClaimText] = setting(
        Named(
            Settings(ClaimText, max_length=instruction.MAX_LENGTH),
            _CLAIM,
            "is no path of a claim",
        ),
        "Claims that system_instruction names as ${claim.level}, each of at most max_length"
        " characters; a caller without the claim gets its default, or is refused.",
        default_factory=dict,
    )

    def __post_init__(self) -> None:
        if self.start_within is None:
            object.__setattr__(self, "start_within", min(START_WITHIN, self.expires_in))

    def admit(self, caller: Caller) -> None:
        """Let a caller pass.

        Raises:
            Refused: NOT_ALLOWED.
        """
        for requirement in self.require:
            requirement.admit(caller)

    def mistakes(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield what the settings cannot tell one by one: a path and what is wrong there."""
        if self.start_within > self.expires_in:
            yield ("start_within",), "must be at most expires_in"
        for name in self.client_may_set:
            if name in self.config:
                yield ("client_may_set",), f"{name} is set in config: it is locked, or it is left"
        at = ("config", "system_instruction")
        text = self.config.get("system_instruction")
        if isinstance(text, str):
            for claim in instruction.holes(text):
                if claim is None:
                    yield at, "${ begins ${claim.…}; write $${ for ${ itself"
                elif claim not in self.claims:
                    yield at, f"${{claim.{claim}}} is not among the profile's claims"
        elif "${" in json.dumps(text, default=str):
            yield at, "${ stands for a claim only where the instruction is plain text"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy as written.

    `problems` are the mistakes outside `config`; the compiler finds the others and refuses all of
    them together.
    """

    api_version: str = setting(
        Choice(*API_VERSIONS), "The version of Gemini's API where tokens are made and used."
    )
    callers: CallerRules = setting(
        Settings(CallerRules), "Who may ask at all.", default=CallerRules()
    )
    profiles: Mapping[str, Profile] = setting(
        Named(
            Settings(Profile, model="none"),
            _PROFILE_NAME,
            "a name is 1 to 64 letters, digits, - and _",
            least=1,
        ),
        "What one token may do; a request names a profile, or gets the one named default.",
    )
    problems: tuple[str, ...] = ()

    @property
    def is_limited(self) -> bool:
        """Whether any profile has a limit."""
        return any(profile.limit for profile in self.profiles.values())


NONE = Policy(api_version=API_VERSIONS[0], profiles={})
"""What there is where no policy can be read."""

SETTINGS = Settings(Policy, api_version=API_VERSIONS[0], profiles={})
"""The whole file."""


def source(path: Path) -> bytes:
    """Return the policy's bytes.

    Raises:
        Problems: there is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise Problems([f"policy: {path} cannot be read: {error.strerror}"]) from None


def read(source: bytes) -> Policy:
    """Read a policy's bytes.

    Raises:
        Problems: they are no TOML, or nested too deeply.
    """
    try:
        document = tomllib.loads(source.decode())
    except (ValueError, RecursionError) as error:
        raise Problems([f"policy: is no TOML: {error}"]) from None
    problems: list[str] = []
    try:
        policy = SETTINGS.read(document, Place((), problems))
    except RecursionError:
        raise Problems(["policy: is nested too deeply"]) from None
    return replace(policy, problems=tuple(problems))
