"""A profile's `config` as JSON Schema draft-07, so that an editor completes and checks a policy.

It says what `livetoken.typecheck` and `livetoken.compiler` say, as far as JSON Schema can: it knows
no difference of 1.0 and 1, no `nan`, no TOML date. Nor does it know what google-genai refuses only
as it writes a request, such as the fields for Vertex AI.

Importing this module imports google-genai. Serving needs neither.
"""

import types as builtin_types
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from google.genai import types
from pydantic import BaseModel

from livetoken.compiler import NOT_OURS
from livetoken.kinds import Schema, beside
from livetoken.typecheck import LEAST_INT, MOST_FLOAT, MOST_INT, fields, words

Definitions: TypeAlias = dict[str, Schema]
"""Schemas by the name of their class, where `#/definitions/` finds them."""

_LEFT_OUT: set[tuple[type[BaseModel], str]] = {
    *((types.LiveConnectConfig, name) for name in NOT_OURS),
    (types.SessionResumptionConfig, "handle"),
}
"""Fields of the SDK that are no part of a policy."""

_SCALARS: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": LEAST_INT, "maximum": MOST_INT},
    float: {"type": "number", "minimum": -MOST_FLOAT, "maximum": MOST_FLOAT},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime: {"type": "string", "format": "date-time"},
    Any: {},
}


def config_schema() -> tuple[Schema, Definitions]:
    """Return the schema of a profile's `config`, and the definitions that it refers to."""
    definitions: Definitions = {}
    config = schema(types.LiveConnectConfig, definitions)
    definitions[types.LiveConnectConfig.__name__]["required"] = ["response_modalities"]
    return config, dict(sorted(definitions.items()))


def schema(kind: Any, definitions: Definitions) -> Schema:
    """Return the schema of a type annotation, and add every model below it to `definitions`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return schema(arguments[0], definitions)
    if origin in (Union, builtin_types.UnionType):
        arms = [schema(arm, definitions) for arm in arguments if arm is not type(None)]
        return arms[0] if len(arms) == 1 else {"anyOf": arms}
    if origin is list:
        return _list(arguments[0], definitions)
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(arguments[1], definitions)}
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _model(kind, definitions)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"type": "string", "enum": list(words(kind))}
    return _SCALARS.get(kind, {"not": {}})


def _list(kind: Any, definitions: Definitions) -> Schema:
    items = schema(kind, definitions)
    if kind is Any:
        return {"type": "array", "items": items}
    if items.get("type", "object") == "object":
        items = beside(items, minProperties=1)
    return {"type": "array", "items": items, "minItems": 1}


def _model(kind: type[BaseModel], definitions: Definitions) -> Schema:
    name = kind.__name__
    if name not in definitions:
        properties: Schema = {}
        definitions[name] = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        for key, inner in fields(kind).items():
            if (kind, key) not in _LEFT_OUT:
                about = _one_line(kind.model_fields[key].description)
                properties[key] = beside(schema(inner, definitions), description=about)
    return {"$ref": f"#/definitions/{name}"}


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
