"""Rules about the functions of a config that google-genai's types do not express."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from livetoken.compile.strict import Found, Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
"""google-genai, FunctionDeclaration.name."""

_NAME_RULE = "must be 1 to 128 letters, digits, _ . : and -, and begin with a letter or _"
_SCHEMAS = ("parameters", "response")
_JSON_SCHEMAS = ("parameters_json_schema", "response_json_schema")

# Keywords of JSON Schema 2020-12 by what they hold; https://json-schema.org/draft/2020-12/schema
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_TABLES = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_ELSEWHERE = frozenset({*_LISTS, "$ref", "patternProperties", "if"})
"""Keywords that can describe more properties."""

_SINGLE = ("items", "additionalProperties", "not", "contains", "if", "then", "else")


def mistakes(config: Mapping[str, Any]) -> Iterator[Found]:
    """Yield the mistakes in a config's functions. Values of a wrong type are reported elsewhere."""
    names: set[str] = set()
    for path, function in _declarations(config):
        name = function.get("name")
        if isinstance(name, str):
            if not _NAME.fullmatch(name):
                yield (*path, "name"), _NAME_RULE
            elif name in names:
                yield (*path, "name"), "is the name of another function"
            names.add(name)
        for field, json_field in zip(_SCHEMAS, _JSON_SCHEMAS, strict=True):
            if field in function and json_field in function:
                yield (*path, json_field), f"excludes {field}: write one of the two"
            if field in function:
                yield from _schema_of_an_object(function[field], (*path, field))
            if json_field in function:
                yield from _json_schema_of_an_object(function[json_field], (*path, json_field))


def _declarations(config: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield each function that is a table and says something, with its path."""
    for number, tool in enumerate(_list(config.get("tools"))):
        declared = tool.get("function_declarations") if isinstance(tool, dict) else None
        for index, function in enumerate(_list(declared)):
            if isinstance(function, dict) and function:
                yield ("tools", str(number), "function_declarations", str(index)), function


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _schema_of_an_object(schema: Any, path: Path) -> Iterator[Found]:
    """Yield what Gemini refuses in the schema of an object (google-genai, Schema)."""
    if isinstance(schema, dict) and schema.get("type", "OBJECT") != "OBJECT":
        yield (*path, "type"), 'must be "OBJECT"'
    yield from _schema(schema, path)


def _schema(schema: Any, path: Path) -> Iterator[Found]:
    """Yield what Gemini refuses in a schema: it answers 400 to each."""
    if not isinstance(schema, dict):
        return
    yield from _not_there(schema, path)
    if schema.get("type") == "ARRAY" and not schema.get("items"):
        yield (*path, "items"), "is required in an ARRAY"
    if "enum" in schema and schema.get("type") != "STRING":
        yield (*path, "enum"), "is only for a STRING"
    for key in ("properties", "defs"):
        inner = schema.get(key)
        for name, each in inner.items() if isinstance(inner, dict) else ():
            yield from _schema(each, (*path, key, name))
    for index, each in enumerate(_list(schema.get("any_of"))):
        yield from _schema(each, (*path, "any_of", str(index)))
    yield from _schema(schema.get("items"), (*path, "items"))


def _not_there(schema: Mapping[str, Any], path: Path) -> Iterator[Found]:
    """Yield each required property that a schema does not have."""
    properties = schema.get("properties", {})
    for index, name in enumerate(_list(schema.get("required"))):
        if isinstance(name, str) and isinstance(properties, dict) and name not in properties:
            yield (*path, "required", str(index)), f"{name} is not among the properties"


def _json_schema_of_an_object(schema: Any, path: Path) -> Iterator[Found]:
    """Yield why a value is not the JSON Schema of an object."""
    if not isinstance(schema, dict):
        yield path, "must be a table: a JSON Schema"
    elif wrong := list(_json_schema(schema, path)):
        yield from wrong
    elif schema.get("type", schema.get("$ref") and "object") not in ("object", ["object"]):
        yield (*path, "type"), 'must be "object"'


def _json_schema(schema: Any, path: Path) -> Iterator[Found]:
    """Yield why a value is not a JSON Schema."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield path, "must be a JSON Schema: a table, true or false"
        return
    if schema and not {*_TABLES, *_SINGLE}.intersection(schema) and _are_tables(schema):
        yield path, "is not a JSON Schema: write these in properties"
        return
    yield from _type(schema, path)
    if "properties" in schema and not _ELSEWHERE.intersection(schema):
        yield from _not_there(schema, path)
    if "required" in schema and not isinstance(schema["required"], list):
        yield (*path, "required"), "must be a list of names"
    if "enum" in schema and not isinstance(schema["enum"], list):
        yield (*path, "enum"), "must be a list of values"
    for key in _TABLES:
        if not isinstance(inner := schema.get(key, {}), dict):
            yield (*path, key), "must be a table of JSON Schemas"
            continue
        for name, each in inner.items():
            yield from _json_schema(each, (*path, key, name))
    for key in _LISTS:
        if key in schema and not _list(schema[key]):
            yield (*path, key), "must be a list of JSON Schemas, at least one"
        for index, each in enumerate(_list(schema.get(key))):
            yield from _json_schema(each, (*path, key, str(index)))
    for key in _SINGLE:
        if key in schema:
            yield from _json_schema(schema[key], (*path, key))


def _are_tables(schema: Mapping[str, Any]) -> bool:
    return all(isinstance(each, dict) for each in schema.values())


def _type(schema: Mapping[str, Any], path: Path) -> Iterator[Found]:
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if isinstance(kind, str) and kind not in _TYPES and kind.lower() in _TYPES:
            yield (*path, "type"), f'write "{kind.lower()}": JSON Schema has lower case'
        elif kind not in _TYPES:
            yield (*path, "type"), f"must be {', '.join(_TYPES[:-1])} or {_TYPES[-1]}"
