"""`[defaults]`: what profiles share, and how a profile overrides it."""

import json
from typing import Any

import pytest
from policies import HEAD, Check, compiled, mistakes

from livetoken.cli.advice import Code
from livetoken.mistakes import Mistakes
from livetoken.policy import Limit, Policy

VOICE = {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}}
SHARED = (
    HEAD
    + """
[defaults]
model = "gemini-3.8-live"
expires_in = "10m"
start_within = "20s"
limit = "30/hour"
require = { email_verified = [true], firebase.sign_in_provider = ["google.com"] }
claims = { level = { max_length = 2, default = "A1" } }
[defaults.config]
response_modalities = ["AUDIO"]
system_instruction = "Level ${claim.level}."
temperature = 0.5
speech_config.voice_config.prebuilt_voice_config.voice_name = "Kore"
"""
)
PROFILES = "[profiles.default]\n[profiles.a]\n[profiles.b]\n[profiles.c]\n"


def setup(policy: Policy, name: str) -> Any:
    return policy.profiles[name].body["bidiGenerateContentSetup"]


def found(source: str) -> list[str]:
    with pytest.raises(Mistakes) as error:
        compiled(source)
    return [str(each) for each in error.value.mistakes]


def test_four_profiles_with_one_voice_need_one_speech_config() -> None:
    policy = compiled(SHARED + PROFILES)
    assert len(policy.profiles) == 4
    for name, profile in policy.profiles.items():
        assert setup(policy, name)["generationConfig"]["speechConfig"] == VOICE
        assert (profile.model, profile.expires_in, profile.start_within) == (
            "gemini-3.8-live",
            600,
            20,
        )
        assert profile.bounds.limits == (Limit(30, 3600),)
        assert [each.claim for each in profile.claims] == ["level"]


def test_a_profile_overrides_setting_by_setting_and_config_field_by_field() -> None:
    policy = compiled(
        SHARED
        + """
[profiles.default]
expires_in = "5m"
limit = "1/day"
config = { temperature = 1.0, max_output_tokens = 9 }
[profiles.other]
"""
    )
    profile, generation = policy.profiles["default"], setup(policy, "default")["generationConfig"]
    assert (profile.expires_in, profile.start_within, profile.bounds.limits) == (
        300,
        20,
        (Limit(1, 86_400),),
    )
    assert (generation["temperature"], generation["maxOutputTokens"]) == (1.0, 9)
    assert generation["speechConfig"] == VOICE
    assert setup(policy, "other")["generationConfig"]["temperature"] == 0.5


def test_a_field_of_the_config_is_replaced_whole() -> None:
    source = SHARED + "[profiles.default]\nconfig.speech_config.language_code = 'de-DE'\n"
    generation = setup(compiled(source), "default")["generationConfig"]
    assert generation["speechConfig"] == {"language_code": "de-DE"}


@pytest.mark.parametrize(
    ("own", "claims"),
    [
        ("", {"email_verified": (True,), "firebase.sign_in_provider": ("google.com",)}),
        (
            "require.plan = ['pro']",
            {
                "email_verified": (True,),
                "firebase.sign_in_provider": ("google.com",),
                "plan": ("pro",),
            },
        ),
        (
            "require.firebase.tenant = ['t1']",
            {
                "email_verified": (True,),
                "firebase.sign_in_provider": ("google.com",),
                "firebase.tenant": ("t1",),
            },
        ),
        (
            "require.firebase.sign_in_provider = ['password']",
            {"email_verified": (True,), "firebase.sign_in_provider": ("password",)},
        ),
    ],
)
def test_a_profiles_rule_replaces_only_the_one_about_the_same_claim(
    own: str, claims: dict[str, tuple[Any, ...]]
) -> None:
    rules = compiled(f"{SHARED}[profiles.default]\n{own}\n").profiles["default"].require
    assert {".".join(each.claim): each.accepted for each in rules} == claims


def test_a_dot_and_a_nested_table_are_the_same_claim() -> None:
    dotted = SHARED.replace("firebase.sign_in", '"firebase.sign_in').replace("r = [", 'r" = [', 1)
    assert '"firebase.sign_in_provider" = ' in dotted
    own = "require.firebase.sign_in_provider = ['password']"
    rules = compiled(f"{dotted}[profiles.default]\n{own}\n").profiles["default"].require
    assert [each.accepted for each in rules] == [(True,), ("password",)]


@pytest.mark.parametrize(
    ("shared", "own"),
    [("org = ['x']", "org.plan = ['pro']"), ("org.plan = ['pro']", "org = ['x']")],
)
def test_a_rule_above_or_below_an_inherited_one_is_a_mistake(shared: str, own: str) -> None:
    head = SHARED.replace("[defaults.config]", f"[defaults.require]\n{shared}\n[defaults.config]")
    head = head.replace("require = {", "#")
    where = f"profiles.default.require.{own.partition(' ')[0]}"
    assert mistakes(f"{head}[profiles.default]\nrequire.{own}\n") == [where]


def test_a_limit_has_the_path_where_it_stands() -> None:
    policy = compiled(SHARED + "[profiles.a]\n[profiles.b]\nlimit = '1/day'\n")
    assert [each.bounds.paths["limit"] for each in policy.profiles.values()] == [
        "defaults.limit",
        "profiles.b.limit",
    ]


def test_a_rule_and_a_claim_have_the_path_where_they_stand() -> None:
    profile = compiled(SHARED + "[profiles.default]\nrequire.plan = ['pro']\n").profiles["default"]
    assert [each.path for each in profile.require] == [
        "defaults.require.email_verified",
        "defaults.require.firebase.sign_in_provider",
        "profiles.default.require.plan",
    ]
    assert [each.path for each in profile.claims] == ["defaults.claims.level"]


def test_a_profile_may_leave_open_what_defaults_do_not_set() -> None:
    policy = compiled(SHARED + "[profiles.default]\nclient_may_set = ['tools']\n")
    assert policy.profiles["default"].client_may_set == ("tools",)
    assert mistakes(SHARED + "[profiles.a]\nclient_may_set = ['system_instruction']\n") == [
        "profiles.a.client_may_set"
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("temperature", "temprature", "config.temprature: unknown, did you mean temperature?"),
        ('"10m"', "10", 'expires_in: must be a time such as "90s", "30m" or "1h30m", and over 0'),
        ("0.5", "3", "config.temperature: must be at least 0 and at most 2"),
        ("temperature = 0.5", "thinking_config = {}", "config.thinking_config: "),
        ("temperature = 0.5", "limit = '1/day'", "config.limit: belongs above [defaults.config]"),
        ("temperature = 0.5", "voice = 'Kore'", "config.voice: belongs at defaults.config.speech"),
        (
            "temperature = 0.5",
            "explicit_vad_signal = true",
            "config.explicit_vad_signal: exists only on Vertex AI",
        ),
    ],
)
def test_a_mistake_in_what_profiles_share_is_told_once(old: str, new: str, said: str) -> None:
    (line,) = found(SHARED.replace(old, new) + PROFILES)
    assert line.startswith(f"defaults.{said}")


def test_a_mistake_that_some_profiles_make_of_it_names_them() -> None:
    source = SHARED + "[profiles.default]\n[profiles.a]\nexpires_in = '9s'\n"
    assert found(source) == ["defaults.start_within: must be at most expires_in (profile a)"]


def test_a_mistake_is_told_even_if_each_profile_overrides_it() -> None:
    source = SHARED.replace('"30/hour"', "30") + "[profiles.default]\nlimit = '1/day'\n"
    assert mistakes(source) == ["defaults.limit"]


@pytest.mark.parametrize(
    ("own", "where"),
    [
        ("config.temperature = 3", "profiles.default.config.temperature"),
        ("config.tools = [{}]", "profiles.default.config.tools.0"),
        ("limit = 3", "profiles.default.limit"),
        ("claims.level = {}", "profiles.default.claims.level.max_length"),
        ("require.plan = 'pro'", "profiles.default.require.plan"),
    ],
)
def test_a_profiles_own_mistake_has_its_own_path(own: str, where: str) -> None:
    assert mistakes(f"{SHARED}[profiles.default]\n{own}\n[profiles.a]\n") == [where]


def test_what_neither_has_is_missing_in_the_profile() -> None:
    source = f"{HEAD}[defaults]\nlimit = '1/day'\n[profiles.a]\n"
    assert mistakes(source) == ["profiles.a.model", "profiles.a.config.response_modalities"]


@pytest.mark.parametrize(
    ("top", "table", "where"),
    [
        ("defaults = 1", "", "defaults"),
        ("", "[[defaults]]", "defaults"),
        ("", "[defaults]\nconfig = 1", "defaults.config"),
    ],
)
def test_defaults_of_another_type_are_a_mistake(top: str, table: str, where: str) -> None:
    profile = "[profiles.a]\nmodel = 'gemini-3.8-live'\nconfig.response_modalities = ['AUDIO']\n"
    assert mistakes(f"{top}\n{HEAD}{table}\n{profile}") == [where]


TWO = "[profiles.default]\n[profiles.other]\n"


@pytest.mark.parametrize(
    ("shared", "own", "warning"),
    [
        (
            "",
            "config.system_instruction = 'x y'",
            ("UNUSED_CLAIM", "defaults.claims.level", "In profile other."),
        ),
        (
            "tools = [{ code_execution = {} }]",
            "model = 'gemini-9-live'",
            ("NOT_SUPPORTED", "defaults.config.tools.0.code_execution", "In profile default."),
        ),
        (
            "tools = [{ code_execution = {} }]",
            "",
            ("NOT_SUPPORTED", "defaults.config.tools.0.code_execution", ""),
        ),
        (
            "realtime_input_config.automatic_activity_detection.prefix_padding_ms = 9",
            "config.realtime_input_config.automatic_activity_detection.disabled = false",
            ("REPLACES_DEFAULT", "profiles.other.config.realtime_input_config", ""),
        ),
    ],
)
def test_a_warning_about_some_profiles_names_them(
    check: Check, shared: str, own: str, warning: tuple[str, str, str]
) -> None:
    source = f"{SHARED}{shared}\n{TWO}{own}"
    code, path, names = warning
    status, printed, errors = check(source, "--json")
    assert status == 0, errors
    (message,) = [
        each["message"]
        for each in json.loads(printed)["warnings"]
        if (each["code"], each["path"]) == (code, path)
    ]
    assert message == f"{Code[code].value} {names}".rstrip()


def test_check_shows_the_outcome(check: Check) -> None:
    source = SHARED + "[profiles.default]\nexpires_in = '5m'\n"
    allowed = json.loads(check(source, "--json")[1])["profiles"]["default"]
    assert (allowed["expires_in_seconds"], allowed["start_within_seconds"]) == (300, 20)
    locked = {each["field"]: each["value"] for each in allowed["locked"]}
    assert locked["speech_config"] == VOICE
    assert [each["claim"] for each in allowed["who_may"]["require"]] == [
        "email_verified",
        "firebase.sign_in_provider",
    ]
