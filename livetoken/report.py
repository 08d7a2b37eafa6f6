"""What a policy lets a client do, as a table that a person can read."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from livetoken.policy import Policy, Profile

WIDTH = 100  # characters


def table(policy: Policy) -> str:
    """Return the table: who may ask, then for each profile what its tokens are good for."""
    anonymous = "too" if policy.callers.allow_anonymous else "refused"
    lines = [f"Callers: whoever shows an accepted ID token; anonymous accounts {anonymous}."]
    for profile in policy.profiles.values():
        lines += ["", profile.name]
        rows = list(_rows(policy, profile))
        widest = max(len(name) for name, _ in rows)
        lines += [_clip(f"  {name:<{widest}}  {value}") for name, value in rows]
    return "\n".join(lines)


def duration(value: timedelta) -> str:
    """Write a time as a policy does: `1h30m`."""
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def _rows(policy: Policy, profile: Profile) -> Iterator[tuple[str, str]]:
    yield "model", f"{profile.model}, {policy.api_version}"
    starts, ends = duration(profile.start_within), duration(profile.expires_in)
    yield "one token", f"one session, started within {starts}, ended after {ends}"
    resumes = "session_resumption" in profile.config
    yield "after a break", "the session can be resumed" if resumes else "the session is lost"
    yield "client may set", "nothing: its own setup is ignored whole"
    for name, value in profile.config.items():
        yield f"locked {name}", _value(value)


def _value(value: Any) -> str:
    """A setting on one line: lists and tables without their brackets, an empty table as `on`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(inner)}" for key, inner in value.items()) or "on"
    if isinstance(value, list):
        return "; ".join(map(_value, value))
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(str(value).split())


def _clip(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
