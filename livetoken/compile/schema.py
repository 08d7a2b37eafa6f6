"""The JSON Schema of `policy.toml`, draft 7, for completion and checks in editors.

It is generated from the models that read the policy. It cannot express rules about two settings,
such as that `start_within` is at most `expires_in`.
"""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from livetoken.compile.policy_file import PolicyTable


class _Draft7(GenerateJsonSchema):
    """Schemas without titles and defaults, which would only repeat names and descriptions."""

    def field_title_should_be_set(self, _: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        return {name: value for name, value in made.items() if name not in ("title", "description")}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def text() -> str:
    """Return the schema as `docs/policy.schema.json` holds it."""
    reference = "#/definitions/{model}"
    made = PolicyTable.model_json_schema(ref_template=reference, schema_generator=_Draft7)
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The policy of livetoken",
        "definitions": dict(sorted(made.pop("$defs").items())),
        **made,
    }
    return json.dumps(_beside_references(schema), indent=2) + "\n"


def _beside_references(value: Any) -> Any:
    """Put a `$ref` that has keywords beside it into `allOf`: draft 7 ignores such keywords.

    The keywords become a part of their own: on hover, Taplo shows only the parts of an `allOf`.
    """
    if isinstance(value, list):
        return [_beside_references(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: _beside_references(each) for key, each in value.items()}
    if isinstance(about := made.get("description"), str):
        made["description"] = " ".join(about.split())
    if "$ref" not in made or len(made) == 1:
        return made
    return {"allOf": [{"$ref": made.pop("$ref")}, made]}
