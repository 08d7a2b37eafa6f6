"""docs/policy.schema.json: an editor accepts what `check` accepts, and marks what it can tell."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from policies import CONFIG, HEAD, PROFILE, SMALLEST, mistakes
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


def profile(settings: str) -> str:
    return HEAD + PROFILE + settings + "\n" + CONFIG


SOUND = [
    SMALLEST,
    SMALLEST.replace("default", "A-b_9"),
    SMALLEST.replace("gemini-3.8-live", "models/gemini-9"),
    SMALLEST.replace("[profiles", "[callers]\nallow_anonymous = true\n[profiles", 1),
    SMALLEST.replace("[profiles", "[callers]\nmax_auth_age = '24h'\n[profiles", 1),
    profile("expires_in = '19h59m59s'\nstart_within = '30s'"),
    profile("limit = '1/second; 2 per month;3/2years'"),
    profile("require = { a = ['x', 1, 1.5, false], 'b.c' = ['t'], d.e = [true] }"),
    profile("client_may_set = ['tools', 'system_instruction']"),
    profile("claims = { 'address.country' = { max_length = 1000, default = 'B1' } }"),
    *(
        SMALLEST + config
        for config in (
            "temperature = 1",
            "media_resolution = 'MEDIA_RESOLUTION_LOW'",
            "avatar_config.customized_avatar.image_data = '/+8='",
            "proactivity = {}",
            "labels = { teamName = 'a' }",
            "system_instruction = ['One.', { text = 'Two.' }]",
            "system_instruction = { parts = [{ text = 'One.' }] }",
            "tools = [{ google_search = { time_range_filter = { start_time = "
            "'2026-11-23T13:00:00+01:00' } } }]",
            "tools = [{ function_declarations = [{ name = 'x', parameters = { type = 'OBJECT', "
            "properties = { title = { type = 'BOOLEAN' } } } }] }]",
            "tools = [{ function_declarations = [{ name = 'x', parameters_json_schema = "
            "{ a = [], b = {} } }] }]",
        )
    ),
]


@pytest.mark.parametrize("source", SOUND)
def test_an_editor_accepts_what_check_accepts(source: str) -> None:
    assert (fits(source), mistakes(source)) == (True, [])


MISTAKEN = [
    PROFILE + CONFIG,
    HEAD,
    HEAD + "[profiles]",
    "typo = 1\n" + SMALLEST,
    SMALLEST.replace("v1alpha", "v1"),
    SMALLEST.replace("default", "'a b'"),
    SMALLEST.replace("gemini-3.8-live", "a b"),
    SMALLEST.replace("[profiles", "[callers]\napp_check = 'on'\n[profiles", 1),
    SMALLEST.replace("[profiles", "[callers]\nrequire = { plan = [] }\n[profiles", 1),
    profile("expires_in = '30'"),
    profile("limit = '30/fortnight'"),
    profile("client_may_set = ['temperature']"),
    profile("claims = { level = { max_length = 1001 } }"),
    profile("claims = { '.level' = { max_length = 9 } }"),
    HEAD + PROFILE + "[profiles.default.config]\ntemperature = 1",
    *(
        SMALLEST + config
        for config in (
            "temprature = 0.7",
            "topP = 0.5",
            "temperature = '0.7'",
            "seed = 1.5",
            "enable_affective_dialog = 1",
            "media_resolution = 'HUGE'",
            "media_resolution = 'MEDIA_RESOLUTION_UNSPECIFIED'",
            "session_resumption = { handle = 'x' }",
            "http_options = {}",
            "generation_config = {}",
            "system_instruction = 7",
            "system_instruction = [{}]",
            "tools = []",
            "tools = [{}]",
            "tools = [{ googleSearch = {} }]",
            "labels = { a = 1 }",
        )
    ),
]


@pytest.mark.parametrize("source", MISTAKEN)
def test_an_editor_marks_a_mistake_that_check_finds(source: str) -> None:
    assert not fits(source)
    assert mistakes(source)
