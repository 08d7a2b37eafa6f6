"""`choices`: fields of the config for which a request picks one of the policy's values."""

import json
import types as builtin_types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from functools import cache
from itertools import combinations
from typing import Any, TypeAlias, Union, get_args, get_origin

from google.genai import types
from pydantic import BaseModel

from livetoken.compile import config as config_rules
from livetoken.compile.strict import LEFT_OUT, WIDER, Found, Path, scalar_mistake, snake
from livetoken.mistakes import dotted
from livetoken.policy import Choice, Scalar, is_same

SCALARS = (str, int, float, bool)

_OTHER_NAMES: Mapping[str, str] = {
    "voice": "speech_config.voice_config.prebuilt_voice_config.voice_name",
    "language": "speech_config.language_code",
}
_DEEPEST = 6
_ANOTHER_PROFILE = "cannot be a choice: write a profile for each"


@dataclass(frozen=True)
class Offer:
    """A choice as written, which has no mistake by itself. `path` is in the config."""

    name: str
    path: Path
    values: tuple[Scalar, ...]
    default: Scalar


Chosen: TypeAlias = Mapping[str, Scalar]
"""The values of choices by their names."""

NOTHING: Chosen = builtin_types.MappingProxyType({})

Picked: TypeAlias = tuple[tuple[Offer, int], ...]
"""Some choices, each with the index of a value."""


@cache
def fields() -> Mapping[str, Any]:
    """Return the type of each text, number, switch and enum of the config by its dotted path."""
    return {path: kind for path, kind in _all_fields().items() if kind not in (dict, list)}


@cache
def _all_fields() -> Mapping[str, Any]:
    """Return these, tables (as `dict`), and what can be a list or is binary (as `list`)."""
    found: dict[str, Any] = {}
    tables: list[tuple[type[BaseModel], Path]] = [(types.LiveConnectConfig, ())]
    for table, above in tables:
        if len(above) > _DEEPEST:
            continue  # a table that can hold itself
        for name, field in table.model_fields.items():
            at = (table.__name__, name)
            if at in LEFT_OUT:
                continue
            path, kind = (*above, name), _plain(WIDER.get(at, field.annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                tables.append((kind, path))
                kind = dict
            is_one = isinstance(kind, type) and issubclass(kind, (*SCALARS, Enum, dict))
            found[".".join(path)] = kind if is_one else list
    return found


def _plain(kind: Any) -> Any:
    """Return a type without None."""
    if get_origin(kind) not in (Union, builtin_types.UnionType):
        return kind
    arms = [arm for arm in get_args(kind) if arm is not type(None)]
    return arms[0] if len(arms) == 1 else list


def mistakes_of(table: Mapping[str, Any]) -> Iterator[Found]:
    """Yield what is wrong with a choice by itself. Wrong types are reported elsewhere."""
    path, values = table.get("path"), table.get("values")
    kind = None
    if isinstance(path, str):
        if message := _path_mistake(path):
            yield ("path",), message
        kind = fields().get(path)
    values = values if isinstance(values, list) else []
    for index, value in enumerate(values):
        if any(is_same(value, each) for each in values[:index]):
            yield ("values", str(index)), "is listed twice"
        elif kind is not None and (message := scalar_mistake(kind, value)):
            yield ("values", str(index)), message
    default = table.get("default")
    if default is not None and values and not any(is_same(default, each) for each in values):
        yield ("default",), "must be one of the values"


def _path_mistake(path: str) -> str | None:
    """Return why a path does not name what a request can choose, or None."""
    known, spelled = fields(), ".".join(map(snake, path.split(".")))
    if path in known:
        return None
    first, _, rest = spelled.partition(".")
    if spelled in known:
        return f"write it in snake_case: {spelled}"
    if first == "config" and rest in known:
        return f"is a path in the config: write {rest}"
    if first in ("model", "system_instruction"):
        return _ANOTHER_PROFILE
    if spelled in _all_fields():
        if _all_fields()[spelled] is dict:
            return "is a table: name one field of it"
        return "cannot be a choice: it is not one text, number or switch"
    last = spelled.rpartition(".")[2]
    meant = _OTHER_NAMES.get(spelled)
    same = [each for each in known if each.rpartition(".")[2] == last]
    close = [meant] if meant else same if len(same) == 1 else get_close_matches(path, known, n=1)
    return "unknown" + (
        f", did you mean {close[0]}?" if close else ": it is not a field of the config"
    )


def offers(profile: Mapping[str, Any]) -> list[Offer]:
    """Return the choices of a profile that have no mistakes by themselves, one for each path."""
    found: dict[Path, Offer] = {}
    for name, table in _tables(profile):
        path, values, default = (
            tuple(table["path"].split(".")),
            table.get("values"),
            table.get("default"),
        )
        is_sound = isinstance(values, list) and not any(mistakes_of(table))
        if is_sound and default is not None and values and _is_free(profile.get("config"), path):
            found.setdefault(path, Offer(name, path, tuple(values), default))
    return list(found.values())


def _tables(profile: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the choices of a profile whose path is known."""
    choices = profile.get("choices")
    for name, table in choices.items() if isinstance(choices, dict) else ():
        path = table.get("path") if isinstance(table, dict) else None
        if isinstance(path, str) and path in fields():
            yield name, table


def _is_free(config: Any, path: Path) -> bool:
    """Whether a config sets nothing at a path, nor anything but tables above it."""
    for key in path:
        if not isinstance(config, dict):
            return False
        if key not in config:
            return True
        config = config[key]
    return False


def clashes(profile: Mapping[str, Any]) -> Iterator[Found]:
    """Yield where a choice contradicts another setting of its profile."""
    taken: dict[str, str] = {}
    left = profile.get("client_may_set")
    for name, table in _tables(profile):
        path = table["path"]
        at, top = ("choices", name, "path"), path.partition(".")[0]
        if path in taken:
            yield at, f"is the path of the choice {taken[path]}, too"
        elif not _is_free(profile.get("config", {}), tuple(path.split("."))):
            yield at, "is set in config or in [defaults], too: leave it out there"
        elif isinstance(left, list) and top in left:
            yield ("client_may_set",), f"{top} has a choice: lock it or remove the choice"
        taken.setdefault(path, name)


def completed(
    config: Mapping[str, Any], offered: Iterable[Offer], chosen: Chosen = NOTHING
) -> dict[str, Any]:
    """Return a config with the value of each choice: the default unless it is chosen."""
    made = dict(config)
    for each in offered:
        made = _put(made, each.path, chosen.get(each.name, each.default))
    return made


def _put(table: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**table, first: _put(table.get(first, {}), tuple(rest), value) if rest else value}


def variants(
    config: Mapping[str, Any], offered: list[Offer]
) -> Iterator[tuple[Chosen, Mapping[str, Any]]]:
    """Yield what is chosen, and the config then: nothing, and each value alone."""
    for picked in _picks(offered):
        if len(picked) < 2:
            chosen = _chosen(picked)
            yield chosen, completed(config, offered, chosen)


def mistakes(profile: Mapping[str, Any]) -> Iterator[Found]:
    """Yield what no session accepts of a profile's config, with any values of two choices.

    No rule is about more than two fields.
    """
    model, config, offered = profile.get("model"), profile.get("config", {}), offers(profile)
    unsound = {tuple(table["path"].split(".")) for _, table in _tables(profile)}
    unsound -= {each.path for each in offered}
    told: set[tuple[Path, str, str]] = set()
    for picked in _picks(offered):
        chosen = _chosen(picked)
        complete = completed(config, offered, chosen)
        for path, message in config_rules.mistakes(model, complete):
            its_own = next((each for each in offered if each.path == path), None)
            value = chosen.get(its_own.name, its_own.default) if its_own else None
            if (path, message, repr(value)) not in told and path not in unsound:
                told.add((path, message, repr(value)))
                yield _with_picks(path, message, picked, config, offered)


def _chosen(picked: Picked) -> Chosen:
    return {each.name: each.values[index] for each, index in picked}


def _picks(offered: list[Offer]) -> Iterator[Picked]:
    """Yield no value, each value, and each two values that are not defaults."""
    yield ()
    others = [
        (each, index)
        for each in offered
        for index, value in enumerate(each.values)
        if not is_same(value, each.default)
    ]
    yield from ((each,) for each in others)
    yield from ((one, two) for one, two in combinations(others, 2) if one[0] is not two[0])


def _with_picks(
    path: Path,
    message: str,
    picked: Picked,
    config: Mapping[str, Any],
    offered: Iterable[Offer],
) -> Found:
    """Return a mistake at the last value that was picked, or at its own place if none was."""
    if not picked:
        return placed(path, config, offered), message
    last, index = picked[-1]
    beside = [f"{each.name} = {json.dumps(each.values[at])}" for each, at in picked[:-1]]
    about = [] if path == last.path else [dotted(*path)]
    said = " ".join([*(f"with {each}," for each in beside), *about, message])
    return ("choices", last.name, "values", str(index)), said


def placed(
    path: Path, config: Mapping[str, Any], offered: Iterable[Offer], chosen: Chosen = NOTHING
) -> Path:
    """Return where in a profile something is written that is at a path of a completed config."""
    for each in offered:
        if path and each.path[: len(path)] == path and _is_free(config, path):
            if path != each.path:
                return ("choices", each.name, "path")
            value = chosen.get(each.name, each.default)
            index = next(i for i, one in enumerate(each.values) if is_same(one, value))
            return ("choices", each.name, "values", str(index))
    return ("config", *path)


def decided(
    config: Mapping[str, Any],
    offered: list[Offer],
    write: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> tuple[tuple[Choice, ...], list[Found]]:
    """Return the choices as the lock holds them but for their `path`, and mistakes.

    Args:
        write: has google-genai write the setup of a config.
    """
    made: list[Choice] = []
    found: list[Found] = []
    whole = write(completed(config, offered))
    for each in offered:
        other = write(completed(config, offered, {each.name: _other(each)}))
        at = _difference(whole, other)
        setups = [write(completed(config, offered, {each.name: value})) for value in each.values]
        sent = [_at(setup, at) for setup in setups]
        filled = [_put(whole, at, value) if at else None for value in sent]
        if [*map(json.dumps, filled)] != [*map(json.dumps, setups)]:
            message = "cannot be a choice: google-genai does not write it as one value"
            found.append((("choices", each.name, "path"), message))
            continue
        path = dotted(*each.path)
        made.append(Choice(each.name, path, each.values, each.default, at, tuple(sent), ""))
    return tuple(made), found


def _other(offer: Offer) -> Scalar:
    """Return a value that differs from the default, which a policy need not offer."""
    kind, default = fields()[".".join(offer.path)], offer.default
    if issubclass(kind, Enum):
        return next(str(each.value) for each in kind if each.value != default)
    if isinstance(default, bool):
        return not default
    return f"{default}x" if isinstance(default, str) else default + 1


def _difference(one: Any, other: Any, at: Path = ()) -> Path:
    """Return the path of the one scalar in which two values differ, or an empty path."""
    if not (isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys()):
        return at if isinstance(one, SCALARS) and isinstance(other, SCALARS) else ()
    differ = [key for key in one if one[key] != other[key]]
    return (
        _difference(one[differ[0]], other[differ[0]], (*at, differ[0])) if len(differ) == 1 else ()
    )


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
