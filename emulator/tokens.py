"""What a minted token allows: how many sessions, until when, and with which setup.

Source: the reference of `AuthToken` in the Gemini API.
"""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from emulator.fields import Invalid, Kind, known

FARTHEST = timedelta(hours=20)
EXPIRES_AFTER = timedelta(minutes=30)
STARTS_WITHIN = timedelta(seconds=60)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")

Setup = dict[str, Any]
Path = tuple[str, ...]


class Refused(Exception):
    """The token cannot start a session; the text is the close reason of the socket."""


@dataclass
class Token:
    """One minted token."""

    name: str
    expires: datetime
    starts_before: datetime
    uses: int
    """How many sessions it may start; 0 means unlimited."""
    setup: Setup | None
    mask: tuple[Path, ...]
    used: int = field(default=0)

    @property
    def replaces(self) -> bool:
        """Whether the token's setup replaces the client's whole setup."""
        return self.setup is not None and not self.mask

    def locks(self, field: str) -> bool:
        """Whether the client cannot set a top-level field of the setup, or a part of it."""
        return self.replaces or any(path[0] == field for path in self.mask)

    def effective(self, client: Setup) -> Setup:
        """The setup of a session for a client that sends the setup `client`."""
        if self.setup is not None and not self.mask:
            return copy.deepcopy(self.setup)
        merged = copy.deepcopy(client)
        for path in self.mask:
            _overwrite(merged, self.setup or {}, path)
        return merged

    def check_life(self, now: datetime) -> None:
        """Raise Refused after `expireTime`."""
        if now >= self.expires:
            raise Refused("Auth token has expired.")

    def use(self, now: datetime) -> None:
        """Count one new session. Raises Refused, without counting, if the token allows none."""
        if now >= self.starts_before:
            raise Refused("Auth token is too late to start a new session.")
        if self.uses and self.used >= self.uses:
            raise Refused("Auth token has been used up.")
        self.used += 1


BAD_MASK = "field_mask is invalid for BidiGenerateContentSetup"


def make(
    request: Mapping[str, Any],
    now: datetime,
    setup_fields: Mapping[str, Kind],
    *,
    nested_masks: bool,
) -> Token:
    """Make a token from a request body whose fields have been read.

    Args:
        nested_masks: whether a mask may name nested fields of the setup.

    Raises:
        Invalid: a time, the number of uses or the mask is refused.
    """
    expires = _time(request, "expireTime", now, EXPIRES_AFTER)
    starts_before = _time(request, "newSessionExpireTime", now, STARTS_WITHIN)
    uses = request.get("uses", 1)
    if uses < 0:
        raise Invalid("uses must not be negative.")
    mask = _mask(request.get("fieldMask", ""), setup_fields)
    if not nested_masks and any(len(path) > 1 for path in mask):
        raise Invalid(BAD_MASK)
    setup = request.get("bidiGenerateContentSetup")
    if mask and any(_unnamed(setup or {}, mask)):
        raise Invalid(BAD_MASK)
    return Token(
        name=f"auth_tokens/{secrets.token_hex(32)}",
        expires=expires,
        starts_before=starts_before,
        uses=uses,
        setup=setup,
        mask=mask,
    )


def instant(text: str) -> datetime:
    """Parse an RFC 3339 time with a zone. Raises Invalid."""
    try:
        if RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise Invalid(f'Invalid time "{text}": it must be RFC 3339 with a zone.')


def _time(request: Mapping[str, Any], name: str, now: datetime, default: timedelta) -> datetime:
    if name not in request:
        return now + default
    time = instant(request[name])
    if time <= now:
        raise Invalid(f"{name} must be in the future.")
    if time - now >= FARTHEST:
        raise Invalid(f"{name} must be less than 20 hours in the future.")
    return time


def _mask(text: str, fields: Mapping[str, Kind]) -> tuple[Path, ...]:
    return tuple(_path(path, fields) for path in text.split(",")) if text else ()


def _path(text: str, fields: Mapping[str, Kind]) -> Path:
    path: list[str] = []
    kind: Kind = fields
    for name in text.split("."):
        field_name = known(name, kind) if isinstance(kind, Mapping) else None
        if field_name is None or not isinstance(kind, Mapping):
            raise Invalid(BAD_MASK)
        path.append(field_name)
        kind = kind[field_name]
    return tuple(path)


def _unnamed(setup: Setup, mask: tuple[Path, ...], parents: Path = ()) -> Iterator[Path]:
    """The fields of a setup that a mask does not name."""
    for name, value in setup.items():
        path = (*parents, name)
        if path in mask:
            continue
        if isinstance(value, dict) and any(each[: len(path)] == path for each in mask):
            yield from _unnamed(value, mask, path)
        else:
            yield path


def _overwrite(target: Setup, source: Setup, path: Path) -> None:
    *parents, last = path
    value: Any = source
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    for name in parents:
        if value is None and name not in target:
            return
        target = target.setdefault(name, {})
    if value is None:
        target.pop(last, None)
    else:
        target[last] = copy.deepcopy(value)
