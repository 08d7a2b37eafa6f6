"""Facts about models that google-genai's types do not express, read from `models.toml`.

Models that are not listed are not judged: new ones come often.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path as File
from typing import Any, Literal, TypeAlias

from livetoken.compile.strict import Found, Path

_FILE = File(__file__).with_suffix(".toml")
_CLOSE = 0.75
"""How alike two names must be to ask whether the other was meant (the ratio of difflib)."""

State: TypeAlias = Literal["current", "legacy", "withdrawn"]
"""A legacy model will be withdrawn. Gemini mints tokens for a withdrawn one, too."""


@dataclass(frozen=True)
class Rule:
    """What some models, or every one if there are none, say of the values at a path of the config.

    It is about `values`, or about any value if there are none, and only if there is a key `beside`
    it, if one is named.
    """

    path: Path
    models: tuple[str, ...]
    values: tuple[Any, ...]
    beside: str

    def concerns(self, model: str) -> bool:
        """Whether the rule is about a model."""
        return not self.models or model in self.models

    def found(self, config: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
        """Yield each value that the rule may be about, with its path."""
        for above, table in _at(config, self.path[:-1]):
            if not self.beside or (isinstance(table, dict) and self.beside in table):
                yield from _at(table, self.path[-1:], above)

    def names(self, value: Any) -> bool:
        """Whether a value is one of the rule's. `true` is not 1."""
        return any(type(each) is type(value) and each == value for each in self.values)


@dataclass(frozen=True)
class Range:
    """The least and the greatest number that every model takes at a path of the config."""

    path: Path
    least: float
    most: float | None


@dataclass(frozen=True)
class Facts:
    """The whole file. `as_of` is the day on which it was last compared with Google's pages."""

    as_of: date
    states: Mapping[str, State]
    refused: tuple[Rule, ...]
    required: tuple[Rule, ...]
    unsupported: tuple[Rule, ...]
    ranges: tuple[Range, ...]
    voices: tuple[str, ...]

    def state(self, model: str) -> State | None:
        """Return the state of a model, with or without `models/`; None if it is not known."""
        return self.states.get(_base(model))


@cache
def facts() -> Facts:
    """Read the file."""
    read = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return Facts(
        as_of=read["as_of"],
        states={name: each["state"] for each in read["model"] for name in each["names"]},
        refused=_each(_rule, read["refused"]),
        required=_each(_rule, read["required"]),
        unsupported=_each(_rule, read["unsupported"]),
        ranges=_each(_range, read["range"]),
        voices=tuple(read["voices"]["names"]),
    )


def mistakes(model: object, config: Mapping[str, Any]) -> Iterator[Found]:
    """Yield what a session would be refused for. The model and the config are as written."""
    name, known = _base(model) if isinstance(model, str) else "", facts()
    for rule in known.required:
        value = next((value for _, value in rule.found(config)), None)
        if name in rule.models and not rule.names(value):
            yield rule.path, f"{name} requires {_listed(rule.values)}"
    for rule in known.refused:
        for path, value in rule.found(config) if rule.concerns(name) else ():
            who = name if rule.models else "Gemini Live"
            if rule.names(value):
                yield path, f"{who} refuses {_toml(value)}"
            elif not rule.values:
                beside = f" beside {rule.beside}" if rule.beside else ""
                yield path, f"{who} refuses it{beside}: leave it out"
    for each in known.ranges:
        for path, value in _at(config, each.path):
            most = value if each.most is None else each.most
            if type(value) in (int, float) and not each.least <= value <= most:
                between = "" if each.most is None else f" and at most {each.most:g}"
                yield path, f"must be at least {each.least:g}{between}"


def accepts_json_schema(model: object) -> bool:
    """Whether a model accepts functions with `parameters_json_schema`."""
    name = _base(model) if isinstance(model, str) else ""
    rules = (each for each in facts().refused if each.path[-1] == "parameters_json_schema")
    return not any(each.concerns(name) for each in rules)


def unsupported(model: str, config: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the path of each thing that Google lists as not supported by a model."""
    for rule in facts().unsupported:
        if rule.concerns(_base(model)):
            yield from (path for path, _ in rule.found(config))


def close_model(model: str) -> str | None:
    """Return the current model that a name is close to, or None."""
    return _close(
        _base(model), (name for name, state in facts().states.items() if state == "current")
    )


def close_voice(voice: str) -> str | None:
    """Return the voice that a name is close to, ignoring case, or None."""
    return _close(voice, facts().voices)


def _close(name: str, known: Iterable[str]) -> str | None:
    by_lower_case = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), by_lower_case, n=1, cutoff=_CLOSE)
    return by_lower_case[close[0]] if close else None


def _base(model: str) -> str:
    return model.removeprefix("models/")


def _each(make: Callable[[Path, Mapping[str, Any]], Any], tables: list[dict[str, Any]]) -> Any:
    """Make one object for each path of each table."""
    return tuple(make(tuple(path.split(".")), table) for table in tables for path in table["paths"])


def _rule(path: Path, table: Mapping[str, Any]) -> Rule:
    values = tuple(table.get("values", ()))
    return Rule(path, tuple(table["models"]), values, table.get("beside", ""))


def _range(path: Path, table: Mapping[str, Any]) -> Range:
    return Range(path, table["least"], table.get("most"))


def _at(value: Any, pattern: Path, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield each value whose path fits a pattern, with its path."""
    if not pattern:
        yield path, value
    elif pattern[0] == "*" and isinstance(value, list):
        for index, each in enumerate(value):
            yield from _at(each, pattern[1:], (*path, str(index)))
    elif isinstance(value, dict) and pattern[0] in value:
        yield from _at(value[pattern[0]], pattern[1:], (*path, pattern[0]))


def _listed(values: tuple[Any, ...]) -> str:
    *first, last = map(_toml, values)
    return f"{', '.join(first)} or {last}"


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'
