"""The facts about models: each has a source, is about a field that exists, and holds in sessions.

The stand-in shares no code with the function; these tests keep the two in agreement.
"""

import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from google.genai import types
from live_config import placed
from policies import HEAD, compiled, mistakes

from emulator.models import MODELS
from livetoken.cli import advice
from livetoken.compile import models
from livetoken.compile.models import Range, Rule, facts
from livetoken.compile.strict import WIDER

WRITTEN = tomllib.loads(Path(models.__file__).with_suffix(".toml").read_text(encoding="utf-8"))
LISTS = ("model", "refused", "required", "unsupported", "range")
RULES = (*facts().refused, *facts().required, *facts().unsupported)

PLAIN, THINKING = "gemini-3.8-live", "gemini-3.8-live-extended-thinking"
LOW = "thinking_config.thinking_level = 'LOW'\n"
FUNCTION = "tools = [{ function_declarations = [{ name = 'look', % }] }]"
IN_FUNCTION = "tools.0.function_declarations.0"

REFUSED = [
    *(
        (PLAIN, f"enable_affective_dialog = {each}", "enable_affective_dialog")
        for each in ("true", "false")
    ),
    (THINKING, f"{LOW}enable_affective_dialog = false", "enable_affective_dialog"),
    (PLAIN, "proactivity.proactive_audio = false", "proactivity.proactive_audio"),
    (THINKING, f"{LOW}proactivity.proactive_audio = false", "proactivity.proactive_audio"),
    (PLAIN, "thinking_config = {}", "thinking_config"),
    (PLAIN, "thinking_config.thinking_level = 'LOW'", "thinking_config"),
    (PLAIN, "thinking_config.thinking_budget = 0", "thinking_config"),
    (THINKING, "", "thinking_config.thinking_level"),
    (THINKING, "thinking_config = {}", "thinking_config.thinking_level"),
    (THINKING, "thinking_config.thinking_level = 'MINIMAL'", "thinking_config.thinking_level"),
    (THINKING, f"{LOW}thinking_config.thinking_budget = 9", "thinking_config.thinking_budget"),
    (THINKING, LOW + FUNCTION.replace("%", "behavior = 'BLOCKING'"), f"{IN_FUNCTION}.behavior"),
    (
        THINKING,
        LOW + FUNCTION.replace("%", "parameters_json_schema = { type = 'object' }"),
        f"{IN_FUNCTION}.parameters_json_schema",
    ),
    *(
        (PLAIN, f"response_modalities = ['AUDIO', '{each}']", "response_modalities.1")
        for each in ("IMAGE", "VIDEO", "AUDIO")
    ),
    (PLAIN, "temperature = 2.1", "temperature"),
    (PLAIN, "temperature = -0.1", "temperature"),
    (PLAIN, "top_p = 1.1", "top_p"),
    (PLAIN, "max_output_tokens = 0", "max_output_tokens"),
    (PLAIN, "tools = [{ function_declarations = [{ name = 'a b' }] }]", f"{IN_FUNCTION}.name"),
    (
        PLAIN,
        "tools = [{ function_declarations = [{ name = 'a' }, { name = 'a' }] }]",
        "tools.0.function_declarations.1.name",
    ),
    *(
        (PLAIN, FUNCTION.replace("%", f"parameters = {{ type = 'OBJECT', {each} }}"), at)
        for each, at in (
            ("required = ['at']", f"{IN_FUNCTION}.parameters.required.0"),
            ("additional_properties = false", f"{IN_FUNCTION}.parameters.additional_properties"),
            ("properties.a.type = 'ARRAY'", f"{IN_FUNCTION}.parameters.properties.a.items"),
            (
                "properties.a = { type = 'INTEGER', enum = ['1'] }",
                f"{IN_FUNCTION}.parameters.properties.a.enum",
            ),
            ("properties.a.enum = ['1']", f"{IN_FUNCTION}.parameters.properties.a.enum"),
        )
    ),
    (PLAIN, "proactivity.proactive_video = true", "proactivity.proactive_video"),
]
"""A model, a config, and the path of the mistake."""

ACCEPTED = [
    (PLAIN, ""),
    (THINKING, LOW),
    (THINKING, "thinking_config = { thinking_level = 'HIGH', include_thoughts = true }"),
    (PLAIN, "proactivity = { proactive_audio = true, proactive_video = true }"),
    (PLAIN, "temperature = 0"),
    (PLAIN, "temperature = 2"),
    (PLAIN, "top_p = 1"),
    (PLAIN, "max_output_tokens = 1"),
    (PLAIN, FUNCTION.replace("%", "behavior = 'BLOCKING'")),
    (THINKING, LOW + FUNCTION.replace("%", "behavior = 'NON_BLOCKING'")),
    (PLAIN, FUNCTION.replace("%", "parameters_json_schema = { type = 'object' }")),
    (
        PLAIN,
        FUNCTION.replace(
            "%",
            "parameters = { type = 'OBJECT', properties = { a = { type = 'ARRAY', items = "
            "{ type = 'STRING', enum = ['x'] } } }, required = ['a'] }",
        ),
    ),
    ("gemini-3.1-flash-live-preview", "thinking_config.thinking_level = 'MINIMAL'"),
]

UNSUPPORTED = [
    (PLAIN, "code_execution = {}"),
    (PLAIN, "url_context = {}"),
    (PLAIN, "google_maps = {}"),
    (PLAIN, "file_search = { file_search_store_names = ['fileSearchStores/a'] }"),
]


def written(config: str) -> str:
    """A config with its modalities."""
    given = "" if "response_modalities" in config else "response_modalities = ['AUDIO']\n"
    return given + config


def policy(model: str, config: str) -> str:
    table = "[profiles.default.config]"
    return f"{HEAD}[profiles.default]\nmodel = '{model}'\n{table}\n{written(config)}\n"


def refusal(model: str, config: str) -> str | None:
    """Why the stand-in refuses a session with this config, or None."""
    setup = placed(tomllib.loads(written(config)))
    return MODELS[f"models/{model}"].refusal({**setup, "model": f"models/{model}"})


@pytest.mark.parametrize(("model", "config", "path"), REFUSED)
def test_what_a_session_is_refused_for_is_a_mistake(model: str, config: str, path: str) -> None:
    assert mistakes(policy(model, config)) == [f"profiles.default.config.{path}"]
    assert refusal(model, config)


@pytest.mark.parametrize(("model", "config"), ACCEPTED)
def test_what_a_session_accepts_is_not_a_mistake(model: str, config: str) -> None:
    assert mistakes(policy(model, config)) == []
    assert refusal(model, config) is None


@pytest.mark.parametrize("model", [PLAIN, THINKING])
@pytest.mark.parametrize("tool", [tool for _, tool in UNSUPPORTED])
def test_what_google_lists_as_not_supported_is_a_warning(model: str, tool: str) -> None:
    config = f"{LOW if model == THINKING else ''}tools = [{{ {tool} }}]"
    source = policy(model, config)
    found = advice.of(compiled(source), tomllib.loads(source))
    path = f"profiles.default.config.tools.0.{tool.split()[0]}"
    assert ("NOT_SUPPORTED", path) in [(each.code, each.path) for each in found]
    assert refusal(model, config), "the harsher reading"


def provokes(rule: Rule, config: str) -> bool:
    values = [value for _, value in rule.found(tomllib.loads(config))]
    if rule in facts().required:
        return not any(map(rule.names, values))
    return any(map(rule.names, values)) if rule.values else bool(values)


def test_every_rule_of_the_3_8_models_is_provoked_here() -> None:
    cases = [(model, config) for model, config, _ in REFUSED]
    cases += [(model, f"tools = [{{ {tool} }}]") for model, tool in UNSUPPORTED]
    provoked = {
        rule
        for rule in RULES
        for model, config in cases
        if rule.concerns(model) and provokes(rule, config)
    }
    of_3_8 = {rule for rule in RULES if rule.concerns(PLAIN) or rule.concerns(THINKING)}
    assert provoked == of_3_8


# ------------------------------------------------------------------ the file


def test_every_fact_has_a_source_and_a_date() -> None:
    for each in [*(each for name in LISTS for each in WRITTEN[name]), WRITTEN["voices"]]:
        assert isinstance(each["date"], date)
        assert each["date"] <= WRITTEN["as_of"] <= date.today()
        assert each["source"]


def test_every_model_of_a_rule_is_known() -> None:
    assert {model for rule in RULES for model in rule.models} <= facts().states.keys()


@pytest.mark.parametrize("rule", [*RULES, *facts().ranges], ids=lambda rule: ".".join(rule.path))
def test_every_rule_is_about_a_field_of_the_sdk(rule: Rule | Range) -> None:
    tables: set[Any] = {types.LiveConnectConfig}
    for key in (each for each in rule.path if each != "*"):
        kinds = [
            WIDER.get((table.__name__, key), table.model_fields[key].annotation)
            for table in tables
            if key in table.model_fields
        ]
        assert kinds, key
        tables = {model for kind in kinds for model in _models(kind)}


def _models(kind: Any) -> Iterator[Any]:
    if hasattr(kind, "model_fields"):
        yield kind
    for part in getattr(kind, "__args__", ()):
        yield from _models(part)
