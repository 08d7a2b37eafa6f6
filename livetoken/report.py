"""What `check` prints: the facts of a policy, or its mistakes, for people and for machines."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Any, TypeAlias

from livetoken.advice import Advice
from livetoken.dialects import DEFAULT_PROFILE
from livetoken.facts import Allowed, Claim, Facts, WhoMay

WIDTH = 100  # characters

_INDENT = 21  # characters, of what stands beside a label
_WIDEST_NAME = 40  # characters, in a column
_TIMES = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_APP_CHECK = {
    "off": "from any app: App Check is off",
    "required": "from an app with an App Check token",
    "consume": "from an app with an App Check token, each good for once",
}
_PROBLEM = re.compile(r'(?:((?:"(?:\\.|[^"\\])*"|[^":])*): )?(.*)', re.DOTALL)

_Row: TypeAlias = tuple[str, Iterable[str]]
"""A label, and the lines beside it."""


def as_json(facts: Facts) -> str:
    """Write the facts for machines."""
    return json.dumps(asdict(facts), indent=2)


def problems_as_json(lines: Iterable[str]) -> str:
    """Write mistakes for machines. A line is `path: what is wrong`; the path may hold quotes."""
    matches = filter(None, map(_PROBLEM.fullmatch, lines))
    problems = [{"path": match[1], "message": match[2]} for match in matches]
    return json.dumps({"problems": problems}, indent=2)


def as_text(facts: Facts) -> str:
    """Write the facts for people, in lines of at most `WIDTH` characters."""
    lines: list[str] = []
    for name, allowed in facts.profiles.items():
        lines.append(name)
        for label, beside in _rows(facts.api_version, allowed):
            lines += _labelled(label, beside)
        lines.append("")
    if facts.default_profile is None:
        lines += [f"There is no profile {DEFAULT_PROFILE}: a request must name one.", ""]
    lines += _warnings(facts.warnings)
    lock = facts.lock.path
    lines += _wrapped(f"{lock} is current." if facts.lock.current else stale(lock), WIDTH)
    return "\n".join(lines)


def stale(lock: Path | str) -> str:
    """Say that a lock is not what the policy compiles to."""
    return f"{lock} is not current. Run: python -m livetoken lock"


def _rows(api_version: str, allowed: Allowed) -> Iterator[_Row]:
    starts, ends = _short(allowed.start_within_seconds), _short(allowed.expires_in_seconds)
    yield "model", [f"{allowed.model}, {api_version}"]
    yield "who may", _who_may(allowed.who_may)
    yield "how often", _how_often(allowed)
    yield "one token", [f"one session, started within {starts}, ended after {ends}"]
    yield "after a break", [_after_a_break(allowed)]
    yield "costs at most", _cost(allowed)
    yield "client may set", [", ".join(allowed.open) or "nothing: its own setup is ignored whole"]
    if allowed.claims:
        yield "claims", _columns((each.claim, _claim(each)) for each in allowed.claims)
    locked = [(each.field, _value(each.value)) for each in allowed.locked]
    yield "locked", _columns([*locked, ("all the rest", "empty")])


def _who_may(who: WhoMay) -> Iterator[str]:
    anonymous = "anonymous accounts too" if who.allow_anonymous else "no anonymous accounts"
    yield f"whoever shows an accepted ID token; {anonymous}"
    yield _APP_CHECK[who.app_check]
    if who.max_auth_age_seconds is not None:
        yield f"who signed in at most {_short(who.max_auth_age_seconds)} ago"
    for rule in who.require:
        accepted = " or ".join(json.dumps(value, ensure_ascii=False) for value in rule.accepted)
        yield f"whose {rule.claim} is {accepted}"


def _how_often(allowed: Allowed) -> Iterator[str]:
    if not allowed.limits:
        yield "as often as they ask"
    for limit in allowed.limits:
        yield f"{_count(limit.amount, 'token')} a caller in {_long(limit.seconds)}"


def _after_a_break(allowed: Allowed) -> str:
    if "session_resumption" in allowed.open:
        return "the session can be resumed where the client has asked for it"
    if any(each.field == "session_resumption" for each in allowed.locked):
        return "the session can be resumed"
    return "the session is lost"


def _cost(allowed: Allowed) -> Iterator[str]:
    yield f"{_minutes(allowed.cost.session_seconds)} a session"
    if not allowed.cost.windows:
        yield "nothing bounds the sessions of one caller"
    for window in allowed.cost.windows:
        minutes, time = _minutes(window.session_seconds), _long(window.seconds)
        yield f"{minutes} a caller in a window of {time}"


def _claim(claim: Claim) -> str:
    without = "refused" if claim.default is None else json.dumps(claim.default, ensure_ascii=False)
    return f"at most {_count(claim.max_length, 'character')}; without it: {without}"


def _warnings(warnings: Iterable[Advice]) -> Iterator[str]:
    """Every reason once, with all the paths that it is about."""
    paths: dict[tuple[str, str], list[str]] = {}
    for each in warnings:
        paths.setdefault((each.code, each.message), []).append(each.path)
    if paths:
        yield "Warnings"
    for (code, message), about in paths.items():
        yield from _labelled(code, [*about, message])
    if paths:
        yield ""


def _labelled(label: str, beside: Iterable[str]) -> Iterator[str]:
    for text in beside:
        for line in _wrapped(text, WIDTH - _INDENT):
            yield f"  {label:<{_INDENT - 2}}{line}"
            label = ""


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(_printable(text), width, break_on_hyphens=False)


def _columns(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Two columns, each row clipped to one line."""
    kept = [(_printable(name), _printable(value)) for name, value in rows]
    widest = max(min(len(name), _WIDEST_NAME) for name, _ in kept)
    for name, value in kept:
        line = f"{name:<{widest}}  {value}"
        yield line if len(line) <= WIDTH - _INDENT else line[: WIDTH - _INDENT - 1] + "…"


def _value(value: Any) -> str:
    """A setting on one line: lists and tables without their brackets, an empty table as `on`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(inner)}" for key, inner in value.items()) or "on"
    if isinstance(value, list):
        return "; ".join(map(_value, value))
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(str(value).split())


def _printable(text: str) -> str:
    """A text that shows what it holds: no character in it moves the cursor or turns the line."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _short(seconds: int) -> str:
    """A time as a policy writes it: `1h30m`."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def _long(seconds: int) -> str:
    """The time of a limit in its largest whole unit: `10 minutes`."""
    unit, size = next(each for each in _TIMES if seconds % each[1] == 0)
    return _count(seconds // size, unit)


def _minutes(seconds: int) -> str:
    """Minutes, rounded up to a tenth."""
    whole, tenth = divmod(-(-seconds // 6), 10)
    return f"{whole:,}.{tenth} minutes" if tenth else _count(whole, "minute")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
