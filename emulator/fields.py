"""Reads JSON as Google's API front end does: with types, and without unknown fields.

It follows the protobuf JSON mapping: fields may be in camelCase or snake_case, `null` means unset,
bytes are base64 in either alphabet, and an unknown field is an error.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeAlias

# A message is a dict of its fields, a repeated field is a list with one kind, an enum is a tuple of
# names, and everything else is a key of SCALARS.
Kind: TypeAlias = "str | tuple[str, ...] | list[Kind] | Mapping[str, Kind]"

STRING, INTEGER, NUMBER, BOOLEAN = "TYPE_STRING", "TYPE_INT32", "TYPE_FLOAT", "TYPE_BOOL"
BYTES, STRINGS, FREE = "TYPE_BYTES", "map<string, string>", "any JSON"


class Invalid(ValueError):
    """A message that the front end refuses; the text is its answer."""


class Wrong(Exception):
    """A scalar of the wrong type; `read` adds the path."""


def parse(raw: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        Invalid: it is not JSON, or it is nested too deeply.
    """
    try:
        return json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"Invalid JSON payload received. {type(error).__name__}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a name that appears twice is an error, since it is a mistake of the client."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _no_constant(name: str) -> NoReturn:
    """Reject `NaN` and `Infinity`, which are not JSON."""
    raise ValueError(name)


def read(value: Any, kind: Kind, path: str) -> Any:
    """Read `value` as `kind`, with all names in camelCase and without unset fields.

    Args:
        value: parsed JSON.
        kind: the expected kind.
        path: its path in snake_case, as in Google's errors (`auth_token.uses`).

    Raises:
        Invalid: an unknown field, a wrong type, a field given in both spellings.
    """
    if isinstance(kind, Mapping):
        return _message(value, kind, path)
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise Invalid(f"Invalid value at '{path}' (repeated), {_shown(value)}")
        return [read(item, kind[0], f"{path}[{index}]") for index, item in enumerate(value)]
    try:
        return _enum(value, kind) if isinstance(kind, tuple) else SCALARS[kind](value)
    except Wrong:
        named = "enum" if isinstance(kind, tuple) else kind
        raise Invalid(f"Invalid value at '{path}' ({named}), {_shown(value)}") from None


def camel(name: str) -> str:
    """`topP` for `top_p`; a camelCase name does not change."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def snake(name: str) -> str:
    """`top_p` for `topP`."""
    return re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), name)


def known(name: str, message: Mapping[str, Kind]) -> str | None:
    """The camelCase name of a field of `message`, or None if it has no such field."""
    if name in message:
        return name
    spelled = camel(name)
    return spelled if spelled in message and snake(spelled) == name else None


def _message(value: Any, message: Mapping[str, Kind], path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"Invalid value at '{path}' (message), {_shown(value)}")
    found: dict[str, Any] = {}
    for name, item in value.items():
        field = known(name, message)
        if field is None:
            raise Invalid(
                f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': "
                "Cannot find field."
            )
        if field in found:
            raise Invalid(f"Invalid value at '{path}': field '{snake(field)}' is given twice.")
        if item is not None:
            found[field] = read(item, message[field], f"{path}.{snake(field)}")
    return found


def _enum(value: Any, names: tuple[str, ...]) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return names[value]
    if value not in names:
        raise Wrong
    return str(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong
    return value


def _integer(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,10}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31:
        raise Wrong
    return value


def _number(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise Wrong from None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Wrong
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong
    return value


def _bytes(value: Any) -> str:
    decoded(_string(value))
    return str(value)


def _strings(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Wrong
    return value


def decoded(text: str) -> bytes:
    """Base64 in the standard or the url-safe alphabet, padded or not."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise Wrong from None


def _shown(value: Any) -> str:
    return json.dumps(value)[:80]


SCALARS: Mapping[str, Callable[[Any], Any]] = {
    STRING: _string,
    INTEGER: _integer,
    NUMBER: _number,
    BOOLEAN: _boolean,
    BYTES: _bytes,
    STRINGS: _strings,
    FREE: lambda value: value,
}
