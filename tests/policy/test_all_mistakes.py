"""All mistakes of a policy are found at once, each at its own path."""

import pytest
from policies import CONFIG, HEAD, PROFILE, mistakes, policy

FUNCTION = "tools = [{ function_declarations = [{ name = 'x', % }] }]"


def test_all_mistakes_are_found_at_once() -> None:
    source = (
        "typo = 1\n"
        + HEAD
        + PROFILE
        + "limit = '3/fortnight'\n"
        + CONFIG
        + "temprature = 1\ntopP = 1\nexplicit_vad_signal = true\n"
        + "session_resumption = { transparent = true }\ntools = [{}]\n"
        + "[profiles.other.config]\nseed = 'x'\n"
    )
    config = "profiles.default.config."
    assert mistakes(source) == [
        "profiles.default.limit",
        f"{config}tools.0",
        f"{config}temprature",
        f"{config}topP",
        "profiles.other.config.seed",
        "profiles.other.model",
        "profiles.other.config.response_modalities",
        "typo",
        f"{config}session_resumption.transparent",
        f"{config}explicit_vad_signal",
    ]


DEEP = "tools.0.function_declarations.0.parameters_json_schema"


@pytest.mark.parametrize(("depth", "where"), [(600, []), (1500, [DEEP])])
def test_a_config_nested_too_deeply_is_a_mistake_beside_others(
    depth: int, where: list[str]
) -> None:
    at = "parameters_json_schema"
    schema = f"{at}.type = 'object', {at}{'.items' * depth} = true"
    found = mistakes(policy(profile="limit = 'x'", config=FUNCTION.replace("%", schema)))
    paths = [".".join(["profiles.default.config", *where])]
    assert sorted(found) == sorted([*paths, "profiles.default.limit"])


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ("'[key]' = 1", ['"[key]"']),
        ('"\\u0000a" = 1', ['"\\u0000a"']),
        ("labels = { '[key]' = 1 }", ['labels."[key]"']),
        ('labels = { "\\u0000a" = 1 }', ['labels."\\u0000a"']),
        ("explicit_vad_signal = true\n1 = 1", ["1", "explicit_vad_signal"]),
        ("labels.explicit_vad_signal = 'x'\nexplicit_vad_signal = true", ["explicit_vad_signal"]),
        (
            "system_instruction = { video_metadata = { end_offset = 1 } }",
            ["system_instruction.video_metadata.end_offset"],
        ),
        ("httpOptions = {}", ["httpOptions"]),
    ],
)
def test_an_unusual_key_keeps_its_path_and_hides_nothing(config: str, where: list[str]) -> None:
    assert mistakes(policy(config=config)) == [f"profiles.default.config.{each}" for each in where]


def test_mistakes_of_one_profile_are_found_together() -> None:
    settings = (
        "expires_in = 1\nstart_within = '21h'\nclient_may_set = ['tools', 'x', 'tools']\n"
        "require = { 'a ' = { b = [1], c = [1] } }\n"
        "claims = { '[key]' = { max_length = '3', default = \"a\\n\" } }\n"
    )
    assert mistakes(policy(profile=settings)) == [
        f"profiles.default.{path}"
        for path in (
            "expires_in",
            'require."a "',
            "client_may_set.1",
            'claims."[key]".max_length',
            'claims."[key]".default',
            "client_may_set.2",
            "start_within",
        )
    ]


def test_a_rule_nested_too_deeply_is_a_mistake() -> None:
    for table in ("callers", "profile"):
        assert mistakes(policy(**{table: f"require{'.a' * 1500} = 1"})) == ["policy"]
