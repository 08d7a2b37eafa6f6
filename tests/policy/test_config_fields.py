"""What google-genai writes of a config, and where: the product's list of fields is the same."""

import inspect
from collections.abc import Mapping
from typing import Any

import policies
import pytest
from google.genai import _live_converters, _tokens_converters, types
from live_config import LEAST, MODEL, OURS, OWN, PATHS, SETUP_FIELDS, WHOLE, placed, toml, written
from policies import HEAD

from emulator import fields, messages
from livetoken import constraint
from livetoken.mistakes import Mistakes

REFUSED: Mapping[str, Any] = {
    WHOLE: {"temperature": 0.7},
    "http_options": {"timeout": 1000},
    "explicit_vad_signal": True,
}
"""Fields that google-genai has and that a policy must not set."""


def compiled(config: Mapping[str, Any]) -> Any:
    """The setup that livetoken compiles a config to, in camelCase."""
    policy = policies.compiled(
        f'{HEAD}[profiles.default]\nmodel = "{MODEL}"\n[profiles.default.config]\n{toml(config)}'
    )
    body = policy.profiles["default"].body
    return fields.read(body["bidiGenerateContentSetup"], messages.SETUP, "setup")


def test_the_list_of_fields_is_google_genais() -> None:
    assert dict(constraint.FIELDS) == OWN
    assert {*constraint._ALWAYS_LOCKED, *constraint.FIELDS.values()} == {*SETUP_FIELDS}
    assert messages.SETUP.keys() == {*SETUP_FIELDS}, "what the stand-in knows"


def test_the_converters_paths_are_read_whole() -> None:
    """`written` misses no call: each path is a literal, and each field has one place."""
    for module in (_tokens_converters, _live_converters):
        source = inspect.getsource(module._LiveConnectConfig_to_mldev)
        assert len(list(written(module._LiveConnectConfig_to_mldev))) == source.count("setv(")
    assert all(len(path) == 1 or path[0] == "generationConfig" for path in PATHS.values())
    assert list(written(_tokens_converters._LiveConnectConstraints_to_mldev)) == [
        ("model", ("model",))
    ]


def test_a_client_can_write_what_a_policy_can() -> None:
    assert dict(written(_live_converters._LiveConnectConfig_to_mldev)) == PATHS
    assert dict(written(_live_converters._LiveConnectParameters_to_mldev)) == {"model": ("model",)}


@pytest.mark.parametrize("name", types.LiveConnectConfig.model_fields)
def test_each_field_compiles_to_its_own_place(name: str) -> None:
    """The converter's source and its output agree on every field that google-genai has."""
    config = {least: OURS[least] for least in LEAST}
    if name in REFUSED:
        with pytest.raises(Mistakes):
            compiled({**config, name: REFUSED[name]})
    else:
        assert name in OURS, "google-genai has a new field: add it to OURS and HOSTILE"
        config[name] = OURS[name]
        assert compiled(config) == placed(config)


def test_the_config_here_sets_every_field_there_is() -> None:
    assert OURS.keys() == PATHS.keys() - {WHOLE}
    assert compiled(OURS) == placed(OURS)
    assert placed(OURS).keys() == {*SETUP_FIELDS}
