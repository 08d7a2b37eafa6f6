"""The schema that editors use says of a config what the check of types says."""

import re
import tomllib
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import BaseModel
from stack import SHIPPED

from livetoken.compiler import NOT_OURS
from livetoken.typecheck import check, fields
from livetoken.typeschema import config_schema, schema

CONFIG, DEFINITIONS = config_schema()
MODELS: list[type[BaseModel]] = [getattr(types, name) for name in DEFINITIONS]
SHIPPED_PROFILES = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))["profiles"]
HEAD = "response_modalities = ['AUDIO']\n"
SEARCH = "tools = [{{ google_search = {{ time_range_filter = {{ start_time = {} }} }} }}]"


def fits(config: Any, name: str = "LiveConnectConfig") -> bool:
    """Whether the schema takes a value as the model of that name."""
    reference = {"$ref": f"#/definitions/{name}", "definitions": DEFINITIONS}
    return Draft7Validator(reference).is_valid(config)


def passes(config: Any, model: type[BaseModel] = types.LiveConnectConfig) -> bool:
    """Whether the check of types takes a value as that model."""
    return not list(check(model, config))


def test_it_is_a_schema_and_nothing_in_it_is_missing_or_left_over() -> None:
    whole = {**CONFIG, "definitions": DEFINITIONS}
    Draft7Validator.check_schema(whole)
    referred = re.findall(r"'#/definitions/(\w+)'", str(whole))
    assert set(referred) == set(DEFINITIONS)
    assert list(DEFINITIONS) == sorted(DEFINITIONS)


def test_every_field_is_offered_but_those_that_are_no_part_of_a_policy() -> None:
    left_out = {
        f"{model.__name__}.{name}"
        for model in MODELS
        for name in model.model_fields.keys() - DEFINITIONS[model.__name__]["properties"].keys()
    }
    ours = {f"LiveConnectConfig.{name}" for name in NOT_OURS}
    assert left_out == ours | {"SessionResumptionConfig.handle"}


def test_a_field_says_on_one_line_what_it_is_for() -> None:
    fields = DEFINITIONS["LiveConnectConfig"]["properties"]
    assert fields["temperature"]["description"].startswith("Value that controls the degree of")
    assert fields["session_resumption"]["allOf"][1]["description"].startswith("Configures session")
    assert not re.search(r"\\n|  ", str(DEFINITIONS))


@pytest.mark.parametrize("profile", SHIPPED_PROFILES)
def test_the_shipped_policy_fits(profile: str) -> None:
    assert fits(SHIPPED_PROFILES[profile]["config"])


@pytest.mark.parametrize(
    "config",
    [
        "",
        "temperature = 1",
        "temperature = 0.5",
        "seed = 7",
        "enable_affective_dialog = true",
        "media_resolution = 'MEDIA_RESOLUTION_LOW'",
        "thinking_config = { thinking_level = 'LOW' }",
        "speech_config.voice_config.prebuilt_voice_config.voice_name = 'Kore'",
        "avatar_config.customized_avatar.image_data = '/+8='",
        "proactivity = {}",
        "session_resumption = {}",
        "labels = { teamName = 'a' }",
        "tools = [{ google_search = {} }]",
        SEARCH.format("'2026-11-23T13:00:00+01:00'"),
        "system_instruction = 'One.'",
        "system_instruction = { parts = [{ text = 'One.' }] }",
        "system_instruction = ['One.', { text = 'Two.' }]",
        "[[tools]]\nfunction_declarations = [{ name = 'light', parameters = { type = 'OBJECT', "
        "properties = { onOff = { type = 'BOOLEAN' } } } }]",
        "[[tools]]\nfunction_declarations = [{ name = 'x', parameters_json_schema = { a = [] } }]",
    ],
)
def test_what_can_be_written_fits(config: str) -> None:
    written = tomllib.loads(HEAD + config)
    assert fits(written)
    assert passes(written)


@pytest.mark.parametrize(
    "config",
    [
        "temprature = 0.7",
        "topP = 0.5",
        "temperature = '0.7'",
        "temperature = true",
        "seed = 1.5",
        "seed = 2026-11-23",
        "enable_affective_dialog = 1",
        "media_resolution = 'HUGE'",
        "media_resolution = 'MEDIA_RESOLUTION_UNSPECIFIED'",
        "session_resumption = true",
        "session_resumption = { hande = 'x' }",
        "system_instruction = 7",
        "system_instruction = { prts = [] }",
        "system_instruction = { parts = [] }",
        "system_instruction = [{}]",
        "system_instruction = { uri = 'https://x', size_bytes = 1 }",
        "tools = []",
        "tools = [{}]",
        "tools = [{ google_search = {} }, {}]",
        "tools = { google_search = {} }",
        "tools = [{ googleSearch = {} }]",
        "tools = [{ google_serch = {} }]",
        "tools = [{ function_declarations = [{ parameters = { items = { tpe = 'OBJECT' } } }] }]",
        "safety_settings = [{ threshold = 'OFF', category = 'X' }]",
        "labels = { a = 1 }",
        SEARCH.format("2026-11-23T12:00:00Z"),
    ],
)
def test_a_mistake_does_not_fit(config: str) -> None:
    written = tomllib.loads(HEAD + config)
    assert not fits(written)
    assert not passes(written)


@pytest.mark.parametrize(
    "config",
    [
        "temperature = 1",
        "response_modalities = []",
        HEAD + "http_options = {}",
        HEAD + "generation_config = {}",
        HEAD + "session_resumption = { handle = 'x' }",
    ],
)
def test_what_the_compiler_refuses_by_name_does_not_fit(config: str) -> None:
    assert not fits(tomllib.loads(config))


@pytest.mark.parametrize(
    "config",
    [
        "seed = 7.0",
        "temperature = nan",
        "avatar_config.customized_avatar.image_data = '!'",
        SEARCH.format("'yesterday'"),
        "[[tools]]\nfunction_declarations = [{ parameters_json_schema = 2026-11-23 }]",
    ],
)
def test_the_check_alone_refuses_what_json_schema_cannot_tell(config: str) -> None:
    """An editor may check `contentEncoding` and `format`; a validator need not."""
    written = tomllib.loads(HEAD + config)
    assert fits(written)
    assert not passes(written)


class Rare(BaseModel):
    """The kinds of types that the SDK hardly uses, and one that no TOML can say."""

    callback: Callable[[], None] | None = None
    free: list[Any] = []
    maps: list[dict[str, int]] = []
    word: Literal["YES", "NO"] = "NO"


@pytest.mark.parametrize(
    ("table", "sound"),
    [
        ({}, True),
        ({"callback": "x"}, False),
        ({"callback": {}}, False),
        ({"free": []}, True),
        ({"free": [{}, [], 1]}, True),
        ({"free": 1}, False),
        ({"maps": [{"a": 1}]}, True),
        ({"maps": [{"a": "x"}]}, False),
        ({"maps": [{}]}, False),
        ({"maps": []}, False),
        ({"word": "YES"}, True),
        ({"word": "MAYBE"}, False),
    ],
)
def test_a_rare_type_is_told_too(table: dict[str, Any], sound: bool) -> None:
    definitions: dict[str, Any] = {}
    validator = Draft7Validator(schema(Rare, definitions) | {"definitions": definitions})
    assert validator.is_valid(table) == passes(table, Rare) == sound


SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.sampled_from(["", "x"]),
    bool: st.booleans(),
    int: st.integers(-1, 9),
    float: st.sampled_from([0, 1, 0.5]),
    bytes: st.just("/+8="),
    datetime: st.just("2026-11-23T12:00:00Z"),
    Any: st.sampled_from(["x", 1, True, [], {}, [{}], {"a": [0.5]}]),
}
STRANGE = st.sampled_from(
    ["", "x", "AUDIO", 1, 0.5, True, [], {}, [{}], [[]], [1], ["x"], {"x": 1}]
)
"""Values of every kind but those of the test above."""


def written_as(kind: Any, depth: int = 4) -> st.SearchStrategy[Any]:
    """Values of a type, as a policy writes them."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return written_as(arguments[0], depth)
    if origin in (Union, UnionType):
        arms = [arm for arm in arguments if arm is not type(None)]
        return st.sampled_from(arms).flatmap(lambda arm: written_as(arm, depth))
    if origin is list:
        return st.lists(written_as(arguments[0], depth), min_size=1, max_size=2)
    if origin is dict:
        return st.dictionaries(st.just("anyKey"), written_as(arguments[1], depth))
    if origin is Literal:
        return st.sampled_from(arguments)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from([member.value for member in kind])
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return st.deferred(lambda: tables(kind, depth - 1)) if depth else st.just({})
    return SCALARS[kind]


def tables(model: type[BaseModel], depth: int = 4) -> st.SearchStrategy[Any]:
    """Tables with a few of a model's fields."""
    names = list(DEFINITIONS[model.__name__]["properties"])
    kinds = fields(model)
    some = st.lists(st.sampled_from(names), max_size=3, unique=True) if names else st.just([])
    return some.flatmap(
        lambda chosen: st.fixed_dictionaries(
            {name: written_as(kinds[name], depth) for name in chosen}
        )
    )


def holders(value: Any) -> list[Any]:
    """A table or list, and every one within it."""
    inner = value.values() if isinstance(value, dict) else value
    below = [holders(each) for each in inner if isinstance(each, dict | list)]
    return [value, *(holder for found in below for holder in found)]


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[type[BaseModel], dict[str, Any]]:
    """A model, and a table of its fields with one mistake or none."""
    model = draw(st.sampled_from(MODELS))
    table = draw(tables(model))
    holder = draw(st.sampled_from(holders(table)))
    change = draw(st.sampled_from(["none", "add", "replace", "remove", "rename", "camelCase"]))
    if change == "add":
        if isinstance(holder, list):
            holder.append(draw(STRANGE))
        else:
            holder["extra"] = draw(STRANGE)
    elif holder and change != "none":
        key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else [0]))
        value = holder.pop(key)
        if isinstance(holder, list):
            holder += [] if change == "remove" else [draw(STRANGE)]
        elif change == "replace":
            holder[key] = draw(STRANGE)
        elif change == "rename":
            holder[key + "s"] = value
        elif change == "camelCase":
            holder[re.sub(r"_(\w)", lambda match: match[1].upper(), key)] = value
    return model, table


@settings(max_examples=500, deadline=None, derandomize=True)
@given(nearly_right())
def test_schema_and_check_agree(case: tuple[type[BaseModel], dict[str, Any]]) -> None:
    model, table = case
    if model is types.LiveConnectConfig:
        table = {"response_modalities": ["AUDIO"], **table}
    assert fits(table, model.__name__) == passes(table, model)
