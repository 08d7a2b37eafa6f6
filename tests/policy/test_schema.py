"""docs/policy.schema.json, which editors read; test_policy.py shows what it accepts."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from stack import SHIPPED

from livetoken.cli.main import main
from livetoken.compile.strict import LEFT_OUT

FILE = Path(__file__).parents[2] / "docs/policy.schema.json"
SCHEMA = json.loads(FILE.read_text(encoding="utf-8"))
DEFINITIONS = SCHEMA["definitions"]


def fits(source: str) -> bool:
    """Whether the schema accepts a policy."""
    return Draft7Validator(SCHEMA).is_valid(tomllib.loads(source))


def values(keyword: str, inside: Any = SCHEMA) -> Iterator[Any]:
    """Every value of a keyword anywhere in the schema."""
    inner = inside.values() if isinstance(inside, dict) else inside
    if isinstance(inside, dict) and keyword in inside:
        yield inside[keyword]
    for each in inner:
        if isinstance(each, dict | list):
            yield from values(keyword, each)


def test_the_command_prints_the_committed_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == FILE.read_text(encoding="utf-8")


def test_it_is_a_schema_and_all_that_it_refers_to_is_in_it() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    referred = {reference.removeprefix("#/definitions/") for reference in values("$ref")}
    assert referred == set(DEFINITIONS)


def test_the_shipped_policy_names_its_schema_and_fits() -> None:
    source = SHIPPED.read_text(encoding="utf-8")
    name = source.partition("\n")[0].removeprefix("#:schema ")
    assert (FILE.parents[1] / name).samefile(FILE)
    assert fits(source)


def test_an_editor_can_say_what_each_setting_means() -> None:
    tables = ("CallersTable", "ClaimTable", "ProfileTable")
    for table in (SCHEMA, *(DEFINITIONS[name] for name in tables)):
        for about in table["properties"].values():
            (described,) = [
                each for each in (about, *about.get("allOf", ())) if "description" in each
            ]
            assert described["description"].endswith(".")
    config = DEFINITIONS["LiveConnectConfig"]["properties"]
    assert config["temperature"]["description"].startswith("Value that controls the degree of")
    assert config["session_resumption"]["allOf"][1]["description"].startswith("Configures session")
    assert all("  " not in each for each in values("description") if isinstance(each, str))


def test_fields_that_cannot_be_part_of_a_policy_are_not_offered() -> None:
    for model, name in LEFT_OUT:
        assert name not in DEFINITIONS[model]["properties"]


def test_an_editor_can_read_every_pattern() -> None:
    """ECMA 262 has no \\A, no \\Z, and after `(?` nothing but a group and what looks around."""
    patterns = [each for each in values("pattern") if isinstance(each, str)]
    assert len(patterns) > 5
    for pattern in patterns:
        assert not re.search(r"\\[AZ]|\(\?(?!:|=|!|<=|<!)|[+*?}]\+", pattern)
        assert (pattern[0], pattern[-1]) == ("^", "$")
