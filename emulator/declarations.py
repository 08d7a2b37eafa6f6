"""What Gemini refuses in the declarations of a client's functions.

Sources: the reference of `FunctionDeclaration` and `Schema` in google-genai 3.4.0, and the reports
in `reports.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from emulator.fields import snake
from emulator.tokens import Setup

LONGEST_NAME = 64
"""Characters. google-genai says 128; Gemini's own refusals say 64, the harsher reading."""

_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_.:-]{{0,{LONGEST_NAME - 1}}}")

_Schema = Mapping[str, Any]


def functions(setup: Setup) -> Iterator[Mapping[str, Any]]:
    """The declarations of the client's functions."""
    for tool in setup.get("tools", []):
        yield from tool.get("functionDeclarations", [])


def refusal(setup: Setup) -> str | None:
    """Why Gemini refuses a declaration, or None."""
    names = [function.get("name", "") for function in functions(setup)]
    for name in names:
        if not _NAME.fullmatch(name):
            return f'Invalid function name "{name}".'
        if names.count(name) > 1:
            return f"Duplicate function declaration found: {name}"
    for function in functions(setup):
        if "parametersJsonSchema" in function and "parameters" in function:
            return f"{function['name']}: parameters and parameters_json_schema exclude each other."
        for schema in _schemas(function.get("parameters")):
            if wrong := _mistake(schema):
                return f"{function['name']}: {wrong}"
    return None


def _mistake(schema: _Schema) -> str | None:
    """What is wrong with a schema, apart from those in it."""
    if _field(schema, "additionalProperties") is not None:
        return 'Unknown name "additionalProperties": Cannot find field.'
    for name in schema.get("required") or ():
        if name not in (schema.get("properties") or {}):
            return f"required: property {name} is not defined."
    if schema.get("type") == "ARRAY" and not schema.get("items"):
        return "items: missing field."
    if schema.get("enum") and schema.get("type") != "STRING":
        return "enum: only allowed for STRING type."
    return None


def _schemas(schema: Any) -> Iterator[_Schema]:
    """A schema and all schemas in it."""
    if isinstance(schema, dict):
        yield schema
        for each in (schema.get("properties") or {}).values():
            yield from _schemas(each)
        for each in (schema.get("items"), *(_field(schema, "anyOf") or ())):
            yield from _schemas(each)


def _field(schema: _Schema, name: str) -> Any:
    """A field of a schema, in camelCase or snake_case."""
    return schema.get(name, schema.get(snake(name)))
