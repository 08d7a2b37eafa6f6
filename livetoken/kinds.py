"""What a setting of the policy can be: each kind reads a TOML value and describes it to editors.

A table of settings is a frozen dataclass whose fields are made by `setting`: the one definition
that `Settings` reads by, and that the JSON Schema is written from.
"""

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeAlias, TypeVar

from livetoken.problems import dotted, unknown
from livetoken.rules import Limit, Requirement, Scalar
from livetoken.setup import FIELDS

T = TypeVar("T")
Schema: TypeAlias = dict[str, Any]
"""A JSON Schema, draft 7."""

MOST_NUMBER = 2**53  # up to which JSON numbers mean the same to everybody (RFC 8259, section 6)

_KIND = "kind"
_ABOUT = "about"
_DURATION = re.compile(r"(?=.*[1-9])(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?")
_UNITS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "month": 30 * 86_400,
    "year": 360 * 86_400,
}
"""Seconds, as the limits library counts them."""
_LIMIT = re.compile(
    rf"([1-9][0-9]{{0,5}})\s*(?:/|per)\s*([1-9][0-9]{{0,3}})?\s*({'|'.join(_UNITS)})s?"
)


class Wrong(Exception):
    """A value is none of its kind; the text says what it must be."""


@dataclass(frozen=True)
class Place:
    """Where in the policy a value stands, and all problems that were found so far."""

    path: tuple[str, ...]
    problems: list[str]

    def __truediv__(self, key: str) -> "Place":
        return Place((*self.path, key), self.problems)

    def wrong(self, message: str) -> None:
        """Report a problem here."""
        self.problems.append(f"{self}: {message}")

    def take(self, kind: "Kind[T]", value: object) -> T | None:
        """Read a value; None, and reported, where it is wrong."""
        try:
            return kind.read(value, self)
        except Wrong as wrong:
            self.wrong(str(wrong))
            return None

    def __str__(self) -> str:
        return dotted(*self.path)


class Kind(ABC, Generic[T]):
    """A kind of value."""

    @abstractmethod
    def read(self, value: object, at: Place) -> T:
        """Return the value, whatever is wrong inside it reported and left out.

        Raises:
            Wrong: it is none of this kind.
        """

    @abstractmethod
    def schema(self) -> Schema:
        """Describe the kind."""


def setting(kind: Kind[T], about: str, **default: Any) -> Any:
    """Define a field of a dataclass as a setting.

    Args:
        about: what it means, as an editor shows it.
        default: `default` or `default_factory`, as `dataclasses.field` takes them; without one the
            setting is required.
    """
    return dataclasses.field(**default, metadata={_KIND: kind, _ABOUT: about})


class Settings(Kind[T]):
    """A table of settings.

    Args:
        made: the dataclass. Its method `mistakes`, if it has one, yields what single settings
            cannot tell: a path and a message each.
        blanks: stand in for what is required and missing or wrong, so that reading can go on.
    """

    def __init__(self, made: Callable[..., T], **blanks: Any) -> None:
        self._made: Any = made
        self._blanks = blanks

    def read(self, value: object, at: Place, **given: Any) -> T:
        """Return the dataclass, made of the table's values and of what is `given` beside them."""
        if not isinstance(value, dict):
            raise Wrong("must be a table")
        kinds = {each.name: each for each in self._fields()}
        for key in value:
            if key not in kinds:
                (at / key).wrong(unknown(key, kinds))
        values = dict(given)
        for name, each in kinds.items():
            found = None
            if name in value:
                found = (at / name).take(each.metadata[_KIND], value[name])
            elif _is_required(each):
                (at / name).wrong("is required")
            if found is not None:
                values[name] = found
            elif _is_required(each):
                values[name] = self._blanks[name]
        made: T = self._made(**values)
        for path, message in getattr(made, "mistakes", list)():
            Place((*at.path, *path), at.problems).wrong(message)
        return made

    def schema(self) -> Schema:
        properties = {
            each.name: beside(each.metadata[_KIND].schema(), description=each.metadata[_ABOUT])
            for each in self._fields()
        }
        required = [each.name for each in self._fields() if _is_required(each)]
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
            **({"required": required} if required else {}),
        }

    def _fields(self) -> Iterator["dataclasses.Field[Any]"]:
        return (each for each in dataclasses.fields(self._made) if _KIND in each.metadata)


class Named(Kind[Mapping[str, T]]):
    """Tables of settings by name. The dataclass takes its `name`, and its `path` in the policy.

    Args:
        least: how many there must be.
    """

    def __init__(
        self, settings: Settings[T], pattern: re.Pattern[str], words: str, *, least: int = 0
    ) -> None:
        self._settings = settings
        self._pattern = pattern
        self._words = words
        self._least = least

    def read(self, value: object, at: Place) -> Mapping[str, T]:
        if not isinstance(value, dict) or len(value) < self._least:
            raise Wrong("must be a table of tables" + (", at least one" if self._least else ""))
        read = {}
        for name, table in value.items():
            if not self._pattern.fullmatch(name):
                (at / name).wrong(self._words)
            try:
                given = {"name": name, "path": str(at / name)}
                read[name] = self._settings.read(table, at / name, **given)
            except Wrong as wrong:
                (at / name).wrong(str(wrong))
        return read

    def schema(self) -> Schema:
        return {
            "type": "object",
            "minProperties": self._least,
            "propertyNames": {"pattern": f"^(?:{self._pattern.pattern})$"},
            "additionalProperties": self._settings.schema(),
        }


class Text(Kind[str]):
    """A text of some form."""

    def __init__(self, pattern: re.Pattern[str], words: str) -> None:
        self._pattern = pattern
        self._words = words

    def read(self, value: object, at: Place) -> str:
        if isinstance(value, str) and self._pattern.fullmatch(value):
            return value
        raise Wrong(f"must be {self._words}")

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^(?:{self._pattern.pattern})$"}


class Flag(Kind[bool]):
    """True or false."""

    def read(self, value: object, at: Place) -> bool:
        if isinstance(value, bool):
            return value
        raise Wrong("must be true or false")

    def schema(self) -> Schema:
        return {"type": "boolean"}


class Choice(Kind[str]):
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def read(self, value: object, at: Place) -> str:
        if isinstance(value, str) and value in self._words:
            return value
        raise Wrong("must be " + " or ".join(f'"{word}"' for word in self._words))

    def schema(self) -> Schema:
        return {"enum": list(self._words)}


class WholeNumber(Kind[int]):
    """A whole number from `least` to `most`."""

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def read(self, value: object, at: Place) -> int:
        if type(value) is int and self._least <= value <= self._most:
            return value
        raise Wrong(f"must be a whole number from {self._least} to {self._most}")

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self._least, "maximum": self._most}


class Duration(Kind[timedelta]):
    """A time such as "1h30m", over 0, and less than `under`, if there is one."""

    def __init__(self, under: timedelta | None = None) -> None:
        self._under = under

    def read(self, value: object, at: Place) -> timedelta:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise Wrong('must be a time over 0, such as "90s", "30m" or "1h30m"')
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        time = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        if self._under is not None and time >= self._under:
            raise Wrong(f"must be under {self._under.total_seconds() / 3600:g} hours")
        return time

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{_DURATION.pattern}$"}


class Limits(Kind[tuple[Limit, ...]]):
    """How often: "30/hour", several separated by ";", each over another time."""

    def read(self, value: object, at: Place) -> tuple[Limit, ...]:
        parts = value.split(";") if isinstance(value, str) else [""]
        matches = [_LIMIT.fullmatch(part.strip()) for part in parts]
        limits = [
            Limit(int(match[1]), int(match[2] or 1) * _UNITS[match[3]])
            for match in matches
            if match
        ]
        if len(limits) < len(parts):
            units = ", ".join(_UNITS)
            raise Wrong(f'must be such as "30/hour" or "5/10 minutes; 50/day", of {units}')
        if len({limit.seconds for limit in limits}) < len(limits):
            raise Wrong("has two limits over the same time")
        return tuple(limits)

    def schema(self) -> Schema:
        one = rf"\s*{_LIMIT.pattern}\s*"
        return {"type": "string", "pattern": f"^{one}(?:;{one})*$"}


class Requirements(Kind[tuple[Requirement, ...]]):
    """Claims and their accepted values. A dot, or a table in the table, goes one object deeper."""

    def read(self, value: object, at: Place) -> tuple[Requirement, ...]:
        if not isinstance(value, dict):
            raise Wrong("must be a table of claims, each with a list of accepted values")
        return tuple(self._all(value, (), at))

    def schema(self) -> Schema:
        scalars = {"type": ["string", "number", "boolean"]}
        values = {"type": "array", "minItems": 1, "items": scalars}
        deeper = {"type": "object", "minProperties": 1}
        return {"type": "object", "additionalProperties": {"anyOf": [values, deeper]}}

    def _all(
        self, table: Mapping[str, object], above: tuple[str, ...], at: Place
    ) -> Iterator[Requirement]:
        for key, value in table.items():
            claim = (*above, *key.split("."))
            if not all(part and part == part.strip() for part in claim):
                (at / key).wrong("is no path of a claim")
            elif isinstance(value, dict) and value:
                yield from self._all(value, claim, at / key)
            elif not isinstance(value, list) or not value:
                (at / key).wrong("must be a list of accepted values, at least one")
            elif not all(_is_scalar(each) for each in value):
                (at / key).wrong("must be a list of texts, numbers up to 2^53, true and false")
            else:
                yield Requirement(claim, tuple(value), str(at / key))


class Fields(Kind[tuple[str, ...]]):
    """Fields of the config that can be left to the client."""

    def read(self, value: object, at: Place) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise Wrong("must be a list of fields of the config")
        for index, name in enumerate(value):
            if not isinstance(name, str) or name not in FIELDS:
                can = ", ".join(FIELDS)
                (at / str(index)).wrong(f"cannot be left to the client; these can: {can}")
            elif name in value[:index]:
                (at / str(index)).wrong("stands there twice")
        return tuple(name for name in FIELDS if name in value)

    def schema(self) -> Schema:
        return {"type": "array", "uniqueItems": True, "items": {"enum": list(FIELDS)}}


class Config(Kind[Mapping[str, Any]]):
    """A LiveConnectConfig; the compiler checks what is in it."""

    def read(self, value: object, at: Place) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return value
        raise Wrong("must be a table")

    def schema(self) -> Schema:
        return {"$ref": "#/definitions/LiveConnectConfig"}


def beside(kept: Schema, **more: Any) -> Schema:
    """Add keywords to a schema.

    A reference needs `allOf`: draft 7 ignores what stands beside it. The keywords are a part of
    their own there, since Taplo shows on hover the parts of an `allOf` and not what is around it.
    """
    return {"allOf": [kept, more]} if "$ref" in kept else kept | more


def _is_required(each: "dataclasses.Field[Any]") -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _is_scalar(value: Any) -> bool:
    """Whether a claim could be this value."""
    if type(value) in (int, float):
        return bool(abs(value) <= MOST_NUMBER)
    return isinstance(value, Scalar)
