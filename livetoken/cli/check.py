"""What `check` prints: what each profile allows, with warnings, as text or as JSON."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from textwrap import wrap
from typing import Any, TypeAlias

from livetoken import lock
from livetoken.cli.advice.callers import excludes_anonymous
from livetoken.compile import models
from livetoken.constraint import FIELDS
from livetoken.policy import DEFAULT_PROFILE, Bounds, CallerRules, Limit, Policy, Profile
from livetoken.settings import DEFAULT_FILE

WIDTH = 100  # characters
DAY = 86_400  # seconds

Facts: TypeAlias = Mapping[str, Any]
"""What `--json` prints, or a part of it."""

_INDENT = 21  # characters before the text beside a label
_WIDEST_NAME = 40  # characters, in a column
_TIMES = (("day", DAY), ("hour", 3600), ("minute", 60), ("second", 1))
_APP_CHECK = {
    "off": "from any app: App Check is off",
    "required": "from an app with an App Check token",
    "consume": "from an app with an App Check token, each accepted once",
}

_Row: TypeAlias = tuple[str, str]
"""A label, which is empty if the row above has the same, and the text beside it."""


def describe(policy: Policy, configs: Mapping[str, Facts]) -> dict[str, Any]:
    """Return what a policy allows.

    `default_profile` is the profile of a request that does not name one, or None. Times are in
    seconds. `locked` lists the fields that the config sets, `locked_empty` the fields of the setup
    that it leaves out, `open` those that the client may set, `choices` those of which a request may
    choose the value. `cost` is how long sessions can last: that of one token, and all that one
    caller can start in each window. `limited` is whether anything is counted. `model_facts` is the
    day as of which the models' facts are known, and its age in days.
    """
    as_of = models.facts().as_of
    return {
        "api_version": policy.api_version,
        "default_profile": DEFAULT_PROFILE if DEFAULT_PROFILE in policy.profiles else None,
        "profiles": {
            name: _allowed(policy.callers, profile, configs[name])
            for name, profile in policy.profiles.items()
        },
        "total": _bounds(policy.total),
        "limited": policy.is_limited,
        "model_facts": {"as_of": str(as_of), "days": (date.today() - as_of).days},
    }


def _allowed(callers: CallerRules, profile: Profile, config: Facts) -> dict[str, Any]:
    ends = profile.expires_in
    chosen = (each.field.partition(".")[0] for each in profile.choices)
    named = ["labels"] if callers.safety_identifier else []
    set_or_open = {*config, *profile.client_may_set, *chosen, *named}
    return {
        "model": profile.model,
        "who_may": {
            "allow_anonymous": profile.anonymous.allowed
            and not excludes_anonymous((*callers.require, *profile.require)),
            "app_check": profile.app_check,
            "app_check_apps": callers.app_check_apps,
            "max_auth_age_seconds": callers.max_auth_age,
            "revoked": callers.revoked,
            "require": [
                {"claim": ".".join(each.claim), "accepted": each.accepted}
                for each in (*callers.require, *profile.require)
            ],
        },
        **_bounds(profile.bounds),
        "least_seconds": profile.least if profile.bounds.budgets else None,
        "total": _bounds(profile.total),
        "start_within_seconds": profile.start_within,
        "expires_in_seconds": ends,
        "open": profile.client_may_set,
        "choices": [
            {"name": each.name, "field": each.field, "values": each.values, "default": each.default}
            for each in profile.choices
        ],
        "locked": [{"field": name, "value": value} for name, value in config.items()],
        "locked_empty": [name for name in FIELDS if name not in set_or_open],
        "claims": [
            {"claim": each.claim, "max_length": each.max_length, "default": each.default}
            for each in profile.claims
        ],
        "safety_identifier": callers.safety_identifier,
        "cost": {
            "session_seconds": min([ends, *(each.amount for each in _budgets(profile))]),
            "windows": [
                {"seconds": seconds, "session_seconds": most}
                for seconds, most in sorted(_most(profile).items())
            ],
        },
    }


def _budgets(profile: Profile) -> tuple[Limit, ...]:
    return (*profile.bounds.budgets, *profile.total.budgets)


def _bounds(bounds: Bounds) -> Facts:
    return {
        "limits": [asdict(each) for each in bounds.limits],
        "budgets": [asdict(each) for each in bounds.budgets],
        "at_once": bounds.at_once,
    }


def _most(profile: Profile) -> dict[int, int]:
    """Return the seconds of sessions that a caller can have, by the seconds of a window.

    If anything is bounded, a day is one of the windows.
    """
    limits = ((each.seconds, each.amount * profile.expires_in) for each in profile.bounds.limits)
    budgets = ((each.seconds, each.amount) for each in profile.bounds.budgets)
    found: dict[int, int] = {}
    for seconds, most in (*limits, *budgets):
        found[seconds] = min(most, found.get(seconds, most))
    of_a_day = [most * -(-DAY // seconds) for seconds, most in found.items()]
    of_a_day += [] if profile.bounds.at_once is None else [profile.bounds.at_once * DAY]
    return {**found, DAY: min(of_a_day)} if of_a_day else {}


def as_text(facts: Facts) -> str:
    """Return the facts as text, in lines of at most `WIDTH` characters."""
    lines: list[str] = []
    for name, allowed in facts["profiles"].items():
        lines += [name, *_table(_rows(facts["api_version"], allowed)), ""]
    if together := list(_rates(facts["total"], "")):
        lines += ["all profiles together", *_table(_beside("rate limit", together)), ""]
    if facts["limited"]:
        lines += [
            "Each instance counts separately, unless LIMITS_STORAGE is Firestore or Redis.",
            "",
        ]
    if facts["warnings"]:
        lines += ["Warnings", *_table(_warnings(facts["warnings"])), ""]
    known = facts["model_facts"]
    age = _count(known["days"], "day")
    lines.append(f"Facts about models are as of {known['as_of']}, {age} ago.")
    current = f"{facts['lock']['path']} is current."
    said = current if facts["lock"]["current"] else stale(Path(facts["policy"]))
    return "\n".join([*lines, *_wrapped(said, WIDTH)])


def stale(policy_file: Path) -> str:
    """Return the sentence for a lock that is not what its policy compiles to."""
    option = "" if policy_file == DEFAULT_FILE else f" --policy {shlex.quote(str(policy_file))}"
    command = f"python -m livetoken lock{option}"
    return f"{lock.path_for(policy_file)} is not current. Run: {command}"


def _rows(api_version: str, allowed: Facts) -> Iterator[_Row]:
    rules, cost = allowed["who_may"], allowed["cost"]
    yield "model", f"{allowed['model']}, {api_version}"
    anonymous = "anonymous accounts too" if rules["allow_anonymous"] else "no anonymous accounts"
    yield "callers", f"with an accepted ID token; {anonymous}"
    yield "", _APP_CHECK[rules["app_check"]]
    if rules["app_check_apps"]:
        yield "", f"whose app id is {' or '.join(rules['app_check_apps'])}"
    if rules["max_auth_age_seconds"] is not None:
        yield "", f"signed in at most {_short(rules['max_auth_age_seconds'])} ago"
    if rules["revoked"] == "check":
        yield "", "whose Firebase account is neither disabled nor deleted nor signed out everywhere"
    for rule in rules["require"]:
        accepted = " or ".join(map(_json, rule["accepted"]))
        yield "", f"whose {rule['claim']} is {accepted}"
    yield from _beside("rate limit", list(_rates(allowed, " per caller")) or ["none"])
    if allowed["least_seconds"]:
        yield (
            "",
            f"a token that would be shorter than {_short(allowed['least_seconds'])} is refused",
        )
    yield from _beside("all together", _rates(allowed["total"], ""))
    starts, ends = _short(allowed["start_within_seconds"]), _short(allowed["expires_in_seconds"])
    yield "one token", f"one session, which starts within {starts} and ends after {ends}"
    resumed = {each["field"] for each in allowed["locked"]} | set(allowed["open"])
    after = "the session is lost"
    if "session_resumption" in resumed:
        condition = " if the client asked for it" if "session_resumption" in allowed["open"] else ""
        after = f"the session can be resumed{condition}"
    yield "lost connection", after
    yield "cost at most", f"{_minutes(cost['session_seconds'])} per session"
    for each in cost["windows"]:
        yield "", f"{_minutes(each['session_seconds'])} per caller in {_long(each['seconds'])}"
    if not cost["windows"]:
        yield "", "no bound on the sessions of one caller"
    yield "client may set", ", ".join(allowed["open"]) or "nothing: its own setup is ignored"
    yield from _beside("client may choose", map(_choice, allowed["choices"]))
    if allowed["safety_identifier"]:
        text = "a keyed hash of the caller's account; needs SAFETY_IDENTIFIER_KEY"
        yield "safety identifier", text
    if allowed["claims"]:
        claims = [(each["claim"], _claim(each)) for each in allowed["claims"]]
        yield from _beside("claims", _columns(claims))
    locked = [(each["field"], _value(each["value"])) for each in allowed["locked"]]
    yield from _beside("locked", _columns([*locked, ("everything else", "empty")]))


def _rates(bounds: Facts, each: str) -> Iterator[str]:
    """Yield what may be used in which time."""
    for limit in bounds["limits"]:
        yield f"{_count(limit['amount'], 'token')}{each} in {_long(limit['seconds'])}"
    for budget in bounds["budgets"]:
        yield f"{_minutes(budget['amount'])}{each} in {_long(budget['seconds'])}"
    if bounds["at_once"] is not None:
        yield f"{_count(bounds['at_once'], 'session')}{each} at once"


def _claim(claim: Facts) -> str:
    default = claim["default"]
    without = "refused" if default is None else _json(default)
    return f"at most {_count(claim['max_length'], 'character')}; without it: {without}"


def _choice(choice: Facts) -> str:
    values, default = ", ".join(map(_json, choice["values"])), _json(choice["default"])
    return f"{choice['name']}: {values}; without it: {default}; sets {choice['field']}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _warnings(warnings: Iterable[Facts]) -> Iterator[_Row]:
    """Yield every reason once, with all its paths."""
    paths: dict[tuple[str, str], list[str]] = {}
    for each in warnings:
        paths.setdefault((each["code"], each["message"]), []).append(each["path"])
    for (code, message), about in paths.items():
        yield from _beside(code, [*about, message])


def _beside(label: str, texts: Iterable[str]) -> Iterator[_Row]:
    for text in texts:
        yield label, text
        label = ""


def _table(rows: Iterable[_Row]) -> Iterator[str]:
    for label, text in rows:
        for part, line in _beside(label, _wrapped(text, WIDTH - _INDENT)):
            yield f"  {part:<{_INDENT - 2}}{line}"


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(_printable(text), width, break_on_hyphens=False)


def _columns(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield two columns, each row clipped to one line."""
    kept = [(_printable(name), _printable(value)) for name, value in rows]
    widest = max(min(len(name), _WIDEST_NAME) for name, _ in kept)
    for name, value in kept:
        line = f"{name:<{widest}}  {value}"
        yield line if len(line) <= WIDTH - _INDENT else line[: WIDTH - _INDENT - 1] + "…"


def _value(value: Any) -> str:
    """Return a setting on one line, without brackets. An empty table is `on`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(inner)}" for key, inner in value.items()) or "on"
    if isinstance(value, list):
        return "; ".join(map(_value, value))
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(str(value).split())


def _printable(text: str) -> str:
    """Escape every character that would move the cursor or end the line."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _short(seconds: int) -> str:
    """Return a time as a policy writes it, such as `1h30m`."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def _long(seconds: int) -> str:
    """Return a time in its largest whole unit, such as `10 minutes`."""
    unit, size = next(each for each in _TIMES if seconds % each[1] == 0)
    return _count(seconds // size, unit)


def _minutes(seconds: int) -> str:
    """Return minutes, rounded up to a tenth."""
    whole, tenth = divmod(-(-seconds // 6), 10)
    return f"{whole:,}.{tenth} minutes" if tenth else _count(whole, "minute")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
