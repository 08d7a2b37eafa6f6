"""The JSON Schema of `policy.toml`, draft 7, by which an editor completes and checks a policy.

It says what one setting can say. What two of them say together, such as that `start_within` is at
most `expires_in`, only reading the policy tells.

Importing this module imports google-genai.
"""

import json

from livetoken.kinds import Schema
from livetoken.policy import SETTINGS
from livetoken.typeschema import config_schema


def schema() -> Schema:
    """Return the schema."""
    _, definitions = config_schema()
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The policy of livetoken",
        **SETTINGS.schema(),
        "definitions": definitions,
    }


def text() -> str:
    """Return the schema as `policy.schema.json` has it."""
    return json.dumps(schema(), indent=2) + "\n"
