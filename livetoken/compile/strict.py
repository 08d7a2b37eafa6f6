"""Strict tables: every mistake of a TOML table at once, each a path and a message.

`Table` is the base of the policy's own models, and of a strict mirror of google-genai's. The SDK's
models are lax where a policy must not be: they take camelCase beside snake_case, numbers written
as text, and any word for an enum.
"""

import base64
import math
import re
import types as builtin_types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from difflib import get_close_matches
from enum import Enum
from functools import cache
from secrets import token_hex
from typing import Annotated, Any, ForwardRef, Literal, Self, TypeAlias, Union, get_args, get_origin

import pydantic
from google.genai import types
from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, Tag, WithJsonSchema

Path: TypeAlias = tuple[str, ...]
Found: TypeAlias = tuple[Path, str]
"""Where a mistake is, below the value that is checked, and what it is."""

LEAST_INT, MOST_INT = -(2**31), 2**31 - 1
"""The range of protobuf's int32. A few fields take more, which nobody needs."""

MOST_FLOAT = 3.4028234663852886e38
"""The largest float of protobuf."""

LEFT_OUT: Mapping[tuple[str, str], str] = {
    ("LiveConnectConfig", "http_options"): "configures the client, not the session",
    ("LiveConnectConfig", "generation_config"): "write its fields here, one level up",
    ("SessionResumptionConfig", "handle"): "belongs to one session, not to a policy",
    ("Schema", "additional_properties"): "Gemini Live refuses it: leave it out",
}
"""Fields of the SDK that cannot be part of a policy, and why."""

WIDER: Mapping[tuple[str, str], Any] = {
    ("LiveConnectConfig", "tools"): list[types.Tool],
    ("LiveConnectConfig", "response_modalities"): list[types.Modality],
    ("LiveConnectConfig", "system_instruction"): (
        str | types.Content | types.Part | list[str | types.Part]
    ),
}
"""Fields that the SDK declares wider than a policy can write them, and what a policy can write."""

_TAG = f"arm {token_hex(8)} "
"""Begins the label of an arm of a union, which is in pydantic's locations and is not a key."""

IN_CAPITALS = "write it in capitals:"

_MESSAGES = {
    "missing": "is required",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "list_type": "must be a list",
    "too_short": "must not be empty",
    "too_long": "must not have more than {max_length}",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a finite number",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "recursion_loop": "is nested too deeply",
}
"""What to say of pydantic's errors, by their type."""


class Unknown(str):
    """The message about an unknown key.

    `close` is the known key that it is close to, or None. If it `is_certain`, it is that key in
    another spelling.
    """

    close: str | None
    is_certain: bool

    @classmethod
    def of(cls, message: str, close: str | None, *, is_certain: bool = False) -> Self:
        made = cls(message)
        made.close, made.is_certain = close, is_certain
        return made


class Invalid(ValueError):
    """A value has mistakes. pydantic takes it for a mistake of the value and collects it."""

    def __init__(self, found: str | Iterable[Found]) -> None:
        self.found = [((), found)] if isinstance(found, str) else list(found)
        super().__init__(self.found)


class Table(BaseModel):
    """A TOML table with known keys.

    Raises:
        ValidationError: the table has mistakes; `found_in` lists them.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, defer_build=True)

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        """Yield the mistakes that single keys cannot tell. `table` is as written, unchecked.

        A mistake is left out if there is another at its path or above.
        """
        del table
        yield from ()

    @classmethod
    def hint(cls, key: str) -> str:
        """Return what to say of an unknown key."""
        return unknown(key, cls.model_fields)

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _find_all(cls, value: Any, validate: pydantic.ModelWrapValidatorHandler[Self]) -> Self:
        found: list[Found] = []
        try:
            made = validate(value)
        except pydantic.ValidationError as error:
            found += found_in(error, cls)
        if isinstance(value, dict):
            wrong = {path for path, _ in found}
            found += (each for each in cls.rules(value) if wrong.isdisjoint(_above(each[0])))
        if found:
            raise Invalid(found)
        return made


def _above(path: Path) -> Iterator[Path]:
    """Yield a path and each path above it but the empty one."""
    for length in range(len(path), 0, -1):
        yield path[:length]


def found_in(error: pydantic.ValidationError, of: type[Table] | None = None) -> Iterator[Found]:
    """Yield the mistakes that pydantic has collected, in their order."""
    for each in error.errors(include_url=False):
        kind, context = each["type"], each.get("ctx", {})
        path = tuple(str(key) for key in each["loc"] if not str(key).startswith(_TAG))
        if of is not None and kind == "extra_forbidden":
            yield path, of.hint(path[-1])
        elif isinstance(cause := context.get("error"), Invalid):
            for below, message in cause.found:
                yield (*path, *below), message
        elif kind == "model_type" and each["input"] is True:
            yield path, "must be a table: write {} for its defaults"
        elif kind == "literal_error" and (word := _in_capitals(each["input"], context)):
            yield path, f'{IN_CAPITALS} "{word}"'
        else:
            message = _MESSAGES[kind].format(**context) if kind in _MESSAGES else each["msg"]
            yield path, message.replace("'", '"')  # as TOML quotes text


def _in_capitals(value: Any, context: Mapping[str, Any]) -> str | None:
    """Return the expected word that a text is in other letters, or None."""
    word = value.upper() if isinstance(value, str) else ""
    return word if f"'{word}'" in context["expected"] else None


def unknown(key: str, known: Collection[str]) -> Unknown:
    """Return what to say of a key that is not among those known."""
    spelled = snake(key)
    if spelled in known:
        return Unknown.of(f"write it in snake_case: {spelled}", spelled, is_certain=True)
    close = next(iter(get_close_matches(key, known, n=1)), None)
    return Unknown.of("unknown" + (f", did you mean {close}?" if close else ""), close)


def snake(name: str) -> str:
    """Return a name in snake_case."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda found: "_" + found[0].lower(), name)


def mirror(root: type[BaseModel]) -> type[Table]:
    """Make a strict table for a model of google-genai, and for every model below it."""
    made: dict[str, type[Table]] = {}
    models = [root]
    for model in models:
        if model.__name__ not in made:
            made[model.__name__] = _mirrored(model, models)
    made[root.__name__].model_rebuild(_types_namespace=made)
    return made[root.__name__]


def _mirrored(model: type[BaseModel], models: list[type[BaseModel]]) -> type[Table]:
    """Make one strict table, and add the models that it refers to to `models`."""

    class Mirror(Table):
        @classmethod
        def hint(cls, key: str) -> str:
            why = LEFT_OUT.get((model.__name__, snake(key)))
            return why or unknown(key, model.model_fields)

    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        at = (model.__name__, name)
        if at not in LEFT_OUT:
            about = " ".join((field.description or "").split())
            kind = _strict(WIDER.get(at, field.annotation), models)
            default = ... if about.startswith("Required.") else None
            fields[name] = (kind, Field(default, description=about))
    made: type[Table] = pydantic.create_model(model.__name__, __base__=Mirror, **fields)
    return made


def _strict(kind: Any, models: list[type[BaseModel]]) -> Any:
    """Return the strict form of a type annotation of the SDK."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _strict(arguments[0], models)
    if origin in (Union, builtin_types.UnionType):
        arms = [arm for arm in arguments if arm is not type(None)]
        return _union(arms, models) if len(arms) > 1 else _strict(arms[0], models)
    if origin is list and arguments[0] is Any:
        return list[_strict(Any, models)]  # type: ignore[misc]  # made at run time
    if origin is list:
        item: Any = Annotated[_strict(arguments[0], models), BeforeValidator(_not_empty)]
        if arguments[0] not in _SCALARS:
            item = Annotated[item, Field(json_schema_extra={"minProperties": 1})]
        return Annotated[list[item], Field(min_length=1)]
    if origin is dict:
        return dict[str, _strict(arguments[1], models)]  # type: ignore[misc]  # made at run time
    if origin is Literal:
        return kind
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        models.append(kind)
        return ForwardRef(kind.__name__)
    if isinstance(kind, type) and issubclass(kind, Enum):
        words = [each.value for each in kind if not each.value.endswith("_UNSPECIFIED")]
        return Literal[tuple(words)]
    return _SCALARS.get(kind, _UNWRITABLE)


def scalar_mistake(kind: Any, value: Any) -> str | None:
    """Return what is wrong with the value of a text, number, switch or enum of the SDK, or None."""
    try:
        _adapter(kind).validate_python(value)
    except pydantic.ValidationError as error:
        return next(message for _, message in found_in(error))
    return None


@cache
def _adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(_strict(kind, []), config=pydantic.ConfigDict(strict=True))


def _union(arms: list[Any], models: list[type[BaseModel]]) -> Any:
    """Return a union of text, tables and lists. Of the tables, the one with most keys counts."""
    tables = [arm for arm in arms if get_origin(arm) is None and issubclass(arm, BaseModel)]

    def tag(value: Any) -> str | None:
        if isinstance(value, dict):
            return _tag(max(tables, key=lambda each: len(each.model_fields.keys() & value)))
        return next((_tag(arm) for arm in arms if isinstance(value, get_origin(arm) or arm)), None)

    tagged = tuple(Annotated[_strict(arm, models), Tag(_tag(arm))] for arm in arms)
    words = dict.fromkeys(_WORDS.get(get_origin(arm) or arm, "a table") for arm in arms)
    wrong = pydantic.Discriminator(
        tag, custom_error_type="union", custom_error_message=f"must be {' or '.join(words)}"
    )
    return Annotated[Union[tagged], wrong]  # noqa: UP007  # built at run time


_WORDS = {str: "text", list: "a list"}


def _tag(arm: Any) -> str:
    """Name an arm of a union."""
    return f"{_TAG}{(get_origin(arm) or arm).__name__}"


def _not_empty(value: Any) -> Any:
    if value == {}:
        raise Invalid("is empty")
    return value


def _text(parse: Callable[[str], object], message: str) -> PlainValidator:
    """Check that text can be parsed, and keep the text."""

    def read(value: object) -> str:
        try:
            parse(value)  # type: ignore[arg-type]  # other types raise as text does
        except (AttributeError, TypeError, ValueError):
            raise Invalid(message) from None
        return str(value)

    return PlainValidator(read)


def _moment(text: str) -> None:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError


def _json(value: Any) -> Any:
    """Check that JSON can express a value, at any depth."""
    found: list[Found] = []
    try:
        for path, each in nodes(value):
            if isinstance(each, date | time):
                found.append((path, "must not be a TOML date: write it as text"))
            elif isinstance(each, float) and not math.isfinite(each):
                found.append((path, "must be a finite number"))
    except RecursionError:
        raise Invalid("is nested too deeply") from None
    if found:
        raise Invalid(found)
    return value


def nodes(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield a value and everything in it, each with its path."""
    yield path, value
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from nodes(inner, (*path, str(key)))


def _unwritable(_: Any) -> Any:
    raise Invalid("cannot be written in a policy")


_SCALARS: Mapping[Any, Any] = {
    str: str,
    bool: bool,
    int: Annotated[int, Field(ge=LEAST_INT, le=MOST_INT)],
    float: Annotated[float, Field(ge=-MOST_FLOAT, le=MOST_FLOAT, allow_inf_nan=False)],
    bytes: Annotated[
        str,
        _text(lambda text: base64.b64decode(text.encode(), validate=True), "must be base64 text"),
        WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
    ],
    datetime: Annotated[
        str,
        _text(_moment, "must be a time as text with a zone, such as 2026-11-23T12:00:00Z"),
        WithJsonSchema({"type": "string", "format": "date-time"}),
    ],
    Any: Annotated[Any, PlainValidator(_json), WithJsonSchema({})],
}
_UNWRITABLE = Annotated[Any, PlainValidator(_unwritable), WithJsonSchema({"not": {}})]
