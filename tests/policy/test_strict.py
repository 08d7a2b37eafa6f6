"""The strict tables over google-genai's models."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from google.genai import types
from pydantic import BaseModel, ValidationError

from livetoken.compile.strict import found_in, mirror


class Rare(BaseModel):
    """Types that the SDK hardly uses, and one that TOML cannot express."""

    callback: Callable[[], None] | None = None
    free: list[Any] = []
    maps: list[dict[str, int]] = []
    word: Literal["YES", "NO"] = "NO"
    anything: Any = None


STRICT = mirror(Rare)


def found(table: dict[str, Any]) -> list[str]:
    """The path of every mistake in a table."""
    try:
        STRICT.model_validate(table)
    except ValidationError as error:
        return [".".join(path) for path, _ in found_in(error)]
    return []


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ({}, []),
        ({"callback": "x"}, ["callback"]),
        ({"free": []}, []),
        ({"free": [{}, [], 1]}, []),
        ({"free": 1}, ["free"]),
        ({"maps": [{"a": 1}]}, []),
        ({"maps": [{"a": "x", "b": "y"}]}, ["maps.0.a", "maps.0.b"]),
        ({"maps": [{}]}, ["maps.0"]),
        ({"maps": []}, ["maps"]),
        ({"word": "YES"}, []),
        ({"word": "MAYBE"}, ["word"]),
        ({"anything": {"a": [float("inf")], "b": 1}}, ["anything.a.0"]),
    ],
)
def test_rare_types_are_checked_too(table: dict[str, Any], where: list[str]) -> None:
    assert found(table) == where


def test_every_field_of_the_sdk_is_known_under_its_own_name_alone() -> None:
    """The SDK's own models accept the camelCase alias as well."""
    model = mirror(types.LiveConnectConfig)
    names = types.LiveConnectConfig.model_fields.keys() - {"http_options", "generation_config"}
    assert model.model_fields.keys() == names
    assert all(field.alias is None for field in model.model_fields.values())
