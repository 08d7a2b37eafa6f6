"""What the product decides: `policy.toml`, read into frozen data with every mistake found at once.

A profile's `config` is checked by `livetoken.compiler`, against the types of google-genai.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from livetoken.callers import Caller
from livetoken.problems import Problems, dotted
from livetoken.refusals import Detail, Reason, Refused

_T = TypeVar("_T")
_D = TypeVar("_D")

API_VERSIONS = ("v1alpha", "v1beta")
MOST_EXPIRES_IN = timedelta(hours=20)  # Gemini takes less than this
EXPIRES_IN = timedelta(minutes=30)  # Gemini's own default, always sent
START_WITHIN = timedelta(minutes=1)  # likewise

_DURATION = re.compile(r"(?=.)(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?")
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MODEL = re.compile(r"(?:models/)?[a-z0-9][a-z0-9.-]*")
_NOT_YET = {
    "callers": frozenset({"app_check", "require", "max_auth_age"}),
    "profile": frozenset({"limit", "require", "client_may_set", "claims"}),
}
"""Settings that are planned: refused, since a rule that is ignored would be no rule."""


@dataclass(frozen=True)
class CallerRules:
    """Who may ask at all."""

    allow_anonymous: bool

    def admit(self, caller: Caller) -> None:
        """Let a caller pass.

        Raises:
            Refused: NOT_ALLOWED.
        """
        if caller.anonymous and not self.allow_anonymous:
            raise Refused(Reason.NOT_ALLOWED, Detail.ANONYMOUS)


@dataclass(frozen=True)
class Profile:
    """What one token may do: `config` as the policy has it, locked whole."""

    name: str
    model: str
    expires_in: timedelta
    start_within: timedelta
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Policy:
    """A policy as written.

    `problems` are the mistakes outside `config`; the compiler finds the others and refuses all of
    them together.
    """

    api_version: str
    callers: CallerRules
    profiles: Mapping[str, Profile]
    problems: tuple[str, ...]


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
        Problems: they are no TOML.
    """
    try:
        document = tomllib.loads(source.decode())
    except (ValueError, RecursionError) as error:
        raise Problems([f"policy: is no TOML: {error}"]) from None
    problems: list[str] = []
    top = Table(document, (), problems)
    api_version = top.choice("api_version", API_VERSIONS)
    callers = top.table("callers")
    rules = CallerRules(allow_anonymous=callers.boolean("allow_anonymous", False))
    callers.end(_NOT_YET["callers"])
    named = top.table("profiles")
    profiles = {name: _profile(name, table) for name, table in named.tables()}
    if not profiles:
        top.problem("profiles", "at least one is required, such as [profiles.default]")
    top.end()
    return Policy(api_version or API_VERSIONS[0], rules, profiles, tuple(problems))


class Table:
    """One TOML table under check: what is taken is checked, what is left over is a mistake."""

    def __init__(
        self, value: Mapping[str, Any], path: tuple[str, ...], problems: list[str]
    ) -> None:
        self._left = dict(value)
        self._known: list[str] = []
        self._path = path
        self._problems = problems

    def problem(self, key: str, message: str) -> None:
        """Report a mistake at a key of this table, or at the table itself for ""."""
        self._problems.append(f"{self._at(key)}: {message}")

    def text(self, key: str) -> str | None:
        """Take a text that must be there."""
        if key not in self._left:
            self._known.append(key)
            self.problem(key, "is required")
        return self._take(key, str, "text", None)

    def boolean(self, key: str, default: bool) -> bool:
        """Take true or false."""
        return self._take(key, bool, "true or false", default)

    def choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        """Take one of some words, which must be there."""
        value = self.text(key)
        if value is not None and value not in choices:
            self.problem(key, "must be " + " or ".join(f'"{choice}"' for choice in choices))
        return value

    def duration(self, key: str, default: timedelta) -> timedelta | None:
        """Take a time such as "1h30m"; None where it is malformed."""
        value = self._take(key, str, "a time as text", None)
        if value is None:
            return default
        match = _DURATION.fullmatch(value)
        if match is None:
            self.problem(key, 'must be a time such as "90s", "30m" or "1h30m"')
            return None
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)

    def raw(self, key: str) -> Mapping[str, Any]:
        """Take a table as it is."""
        return self._take(key, dict, "a table", {})

    def table(self, key: str) -> "Table":
        """Take a table to be checked in its turn."""
        return Table(self.raw(key), (*self._path, key), self._problems)

    def tables(self) -> Iterator[tuple[str, "Table"]]:
        """Every table of a table of tables."""
        for name in list(self._left):
            yield name, self.table(name)

    def end(self, not_yet: frozenset[str] = frozenset()) -> None:
        """Report whatever was not taken."""
        for key in self._left:
            if key in not_yet:
                self.problem(key, "is not supported by this version of livetoken")
                continue
            close = get_close_matches(key, self._known, n=1)
            self.problem(key, "unknown" + (f", did you mean {close[0]}?" if close else ""))

    def _at(self, key: str) -> str:
        return dotted(*self._path, *([key] if key else []))

    def _take(self, key: str, kind: type[_T], words: str, default: _D) -> _T | _D:
        self._known.append(key)
        if key not in self._left:
            return default
        value = self._left.pop(key)
        if isinstance(value, kind):
            return value
        self.problem(key, f"must be {words}")
        return default


def _profile(name: str, table: Table) -> Profile:
    if not _PROFILE_NAME.fullmatch(name):
        table.problem("", "a name is 1 to 64 letters, digits, - and _")
    model = table.text("model")
    if model is not None and not _MODEL.fullmatch(model):
        table.problem("model", "must be the name of a model, such as gemini-3.8-live")
    expires_in = table.duration("expires_in", EXPIRES_IN)
    if expires_in is not None and not timedelta() < expires_in < MOST_EXPIRES_IN:
        table.problem("expires_in", "must be over 0 and under 20 hours")
    end = expires_in or EXPIRES_IN
    start_within = table.duration("start_within", min(START_WITHIN, end))
    if start_within is not None and not timedelta() < start_within <= end:
        table.problem("start_within", "must be over 0 and at most expires_in")
    config = table.raw("config")
    table.end(_NOT_YET["profile"])
    return Profile(name, model or "none", end, start_within or end, config)
