"""Whether a TOML value fits a type of google-genai, said with a path for every mistake.

The SDK's own validation is lax where a policy must not be: it takes camelCase beside snake_case,
numbers written as text, and any word for an enum.
"""

import base64
import math
import types as builtin_types
from collections.abc import Iterator
from datetime import date, datetime, time
from enum import Enum
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from google.genai import types
from pydantic import BaseModel

from livetoken.problems import unknown

Path: TypeAlias = tuple[str, ...]
Mistake: TypeAlias = tuple[Path, str]
"""A path and what is wrong there."""

_OPAQUE: dict[tuple[type[BaseModel], str], Any] = {
    (types.LiveConnectConfig, "tools"): list[types.Tool],
    (types.LiveConnectConfig, "system_instruction"): (
        str | types.Content | types.Part | list[str | types.Part]
    ),
}
"""Fields whose type the SDK declares wider than a policy can write them, and what it can."""

LEAST_INT, MOST_INT = -(2**31), 2**31 - 1
"""What protobuf's int32 holds; a few fields take more, and nobody needs it."""

MOST_FLOAT = 3.4028234663852886e38
"""What protobuf's float holds."""

_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def check(kind: Any, value: Any, path: Path = ()) -> Iterator[Mistake]:
    """Yield every mistake of a value against a type annotation."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from check(get_args(kind)[0], value, path)
    elif origin in (Union, builtin_types.UnionType):
        yield from _check_union(kind, value, path)
    elif origin is list:
        yield from _check_list(get_args(kind)[0], value, path)
    elif origin is dict:
        yield from _check_dict(get_args(kind)[1], value, path)
    elif origin is Literal:
        yield from _check_word(get_args(kind), value, path)
    elif kind is Any:
        yield from _check_free(value, path)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from _check_model(kind, value, path)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield from _check_word(words(kind), value, path)
    else:
        yield from _check_scalar(kind, value, path)


def fields(model: type[BaseModel]) -> dict[str, Any]:
    """Return the types of a model's fields, as a policy can write them."""
    return {
        name: _OPAQUE.get((model, name), field.annotation)
        for name, field in model.model_fields.items()
    }


def words(kind: type[Enum]) -> tuple[str, ...]:
    """Return the words of an enum that say something."""
    return tuple(each.value for each in kind if not each.value.endswith("_UNSPECIFIED"))


def _check_model(kind: type[BaseModel], value: Any, path: Path) -> Iterator[Mistake]:
    if not isinstance(value, dict):
        yield path, "must be a table"
        return
    known = fields(kind)
    for key, inner in value.items():
        if key in known:
            yield from check(known[key], inner, (*path, key))
            continue
        aliases = kind.model_fields.items()
        snake = next((name for name, field in aliases if field.alias == key), None)
        if snake is not None:
            yield (*path, key), f"write it in snake_case: {snake}"
            continue
        yield (*path, key), unknown(key, known)


def _check_union(kind: Any, value: Any, path: Path) -> Iterator[Mistake]:
    """The mistakes against the arm that fits best."""
    arms = [arm for arm in get_args(kind) if arm is not type(None)]
    tried = [list(check(arm, value, path)) for arm in arms]
    fitting = [mistakes for mistakes in tried if not any(at == path for at, _ in mistakes)]
    yield from min(fitting or tried, key=len)


def _check_list(kind: Any, value: Any, path: Path) -> Iterator[Mistake]:
    if not isinstance(value, list):
        yield path, "must be a list"
        return
    if not value and kind is not Any:
        yield path, "is empty: leave it out"
    for index, inner in enumerate(value):
        if inner == {} and kind is not Any:
            yield (*path, str(index)), "is empty"
        yield from check(kind, inner, (*path, str(index)))


def _check_dict(kind: Any, value: Any, path: Path) -> Iterator[Mistake]:
    if not isinstance(value, dict):
        yield path, "must be a table"
        return
    for key, inner in value.items():
        yield from check(kind, inner, (*path, key))


def _check_word(said: tuple[Any, ...], value: Any, path: Path) -> Iterator[Mistake]:
    if value not in said:
        yield path, f"must be one of {', '.join(map(str, said))}"


def _check_free(value: Any, path: Path) -> Iterator[Mistake]:
    """A value of no declared type: whatever JSON can say."""
    if isinstance(value, dict):
        yield from _check_dict(Any, value, path)
    elif isinstance(value, list):
        yield from _check_list(Any, value, path)
    elif isinstance(value, date | datetime | time):
        yield path, "must not be a TOML date: write it as text"
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "must be a finite number"


def _check_scalar(kind: Any, value: Any, path: Path) -> Iterator[Mistake]:
    if kind is float:
        if type(value) not in (int, float) or not abs(value) <= MOST_FLOAT:
            yield path, "must be a finite number"
    elif kind is int and type(value) is int:
        if not LEAST_INT <= value <= MOST_INT:
            yield path, f"must be a whole number from {LEAST_INT} to {MOST_INT}"
    elif kind in _WORDS:
        if type(value) is not kind:
            yield path, f"must be {_WORDS[kind]}"
    elif kind is bytes:
        if not isinstance(value, str) or not _is_base64(value):
            yield path, "must be base64 text"
    elif kind is datetime:
        if not isinstance(value, str) or not _is_moment(value):
            yield path, "must be a time as text and with a zone, such as 2026-11-23T12:00:00Z"
    else:
        yield path, "cannot be written in a policy"


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True
