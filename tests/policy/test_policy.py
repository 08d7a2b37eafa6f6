"""The policy: what is a mistake, and where it is said to be."""

from typing import Any

import pytest
from policies import CONFIG, HEAD, PROFILE, SMALLEST, mistakes

from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes

SEARCH = "tools = [{{ google_search = {{ time_range_filter = {{ start_time = {} }} }} }}]"
SEARCH_START = "tools.0.google_search.time_range_filter.start_time"


def setup(config: str) -> Any:
    """The compiled setup of a profile's config."""
    policy = compile_policy((SMALLEST + config).encode())
    return policy.profiles["default"].body["bidiGenerateContentSetup"]


def test_the_smallest_policy_is_sound() -> None:
    assert mistakes(SMALLEST) == []


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("", ["api_version", "profiles"]),
        ("profiles = 1\n" + HEAD, ["profiles"]),
        ("profiles.default = 1\n" + HEAD, None),
        ('api_version = "v1"\n' + PROFILE + CONFIG, ["api_version"]),
        ("api_version = 1\n" + PROFILE + CONFIG, ["api_version"]),
        (HEAD + "[caller]\n" + PROFILE + CONFIG, ["caller"]),
        (HEAD + "[callers]\nallow_anonymous = 1\n" + PROFILE + CONFIG, ["callers.allow_anonymous"]),
        (HEAD + "[callers]\nalow = true\n" + PROFILE + CONFIG, ["callers.alow"]),
        (HEAD + "[profiles.default]\n" + CONFIG, ["profiles.default.model"]),
        (HEAD + "[profiles.default]\nmodel = ''\n" + CONFIG, ["profiles.default.model"]),
        (HEAD + "[profiles.default]\nmodel = 'a b'\n" + CONFIG, ["profiles.default.model"]),
        (
            HEAD + "[profiles.default]\nmodel = 'tunedModels/x'\n" + CONFIG,
            ["profiles.default.model"],
        ),
        (HEAD + PROFILE, ["profiles.default.config.response_modalities"]),
    ],
)
def test_a_mistake_outside_config_has_its_path(source: str, where: list[str] | None) -> None:
    assert mistakes(source) if where is None else mistakes(source) == where


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("app_check = 'required'", None),
        ("app_check = 'consume'", None),
        ("app_check = true", "app_check"),
        ("app_check = 'on'", "app_check"),
        ("max_auth_age = '24h'", None),
        ("max_auth_age = '0h'", "max_auth_age"),
        ("max_auth_age = 24", "max_auth_age"),
        ("require = {}", None),
        ("require = { email_verified = [true] }", None),
        ("require = { a = ['x', 1, 1.5, false] }", None),
        ("require = { 'firebase.tenant' = ['t1'], firebase.sign_in_provider = ['x'] }", None),
        ("require = []", "require"),
        ("require = { plan = [] }", "require.plan"),
        ("require = { plan = 'pro' }", "require.plan"),
        ("require = { plan = {} }", "require.plan"),
        ("require = { plan = [['pro']] }", "require.plan"),
        ("require = { plan = [nan] }", "require.plan"),
        ("require = { plan = [2026-11-24] }", "require.plan"),
        ("require = { firebase = { tenant = [] } }", "require.firebase.tenant"),
        ("require = { 'firebase..tenant' = ['t1'] }", 'require."firebase..tenant"'),
        ("require = { '' = ['t1'] }", 'require.""'),
        ("require = { ' plan' = ['t1'] }", 'require." plan"'),
        (f"require = {{ a = [{'9' * 400}] }}", "require.a"),
    ],
)
def test_a_rule_about_callers_is_sound_or_has_its_path(setting: str, where: str | None) -> None:
    found = mistakes(f"{HEAD}[callers]\n{setting}\n{PROFILE}{CONFIG}")
    assert found == ([f"callers.{where}"] if where else [])


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("require = { plan = ['pro'] }", None),
        ("require = { plan = [] }", "require.plan"),
        ("limit = '30/hour'", None),
        ("limit = '30 per hour'", None),
        ("limit = '5/10 minutes; 50/day'", None),
        ("limit = '1/second;2/month;3/2years'", None),
        ("limit = ''", "limit"),
        ("limit = 30", "limit"),
        ("limit = '0/hour'", "limit"),
        ("limit = '-1/hour'", "limit"),
        ("limit = '1.5/hour'", "limit"),
        ("limit = '30/0 hours'", "limit"),
        ("limit = '30/fortnight'", "limit"),
        ("limit = '30/hour,50/day'", "limit"),
        ("limit = '30/hour;'", "limit"),
        ("limit = '30/hour; 20/60 minutes'", "limit"),
        ("client_may_set = []", None),
        ("client_may_set = ['tools', 'system_instruction']", None),
        ("client_may_set = 'tools'", "client_may_set"),
        ("client_may_set = [1]", "client_may_set.0"),
        ("client_may_set = ['tools', 'tools']", "client_may_set.1"),
        ("client_may_set = ['model']", "client_may_set.0"),
        ("client_may_set = ['temperature']", "client_may_set.0"),
        ("client_may_set = ['generation_config']", "client_may_set.0"),
        ("client_may_set = ['systemInstruction']", "client_may_set.0"),
        ("client_may_set = ['response_modalities']", "client_may_set.0"),
        ("claims = { level = { max_length = 20 } }", None),
        ("claims = { level = { max_length = 20, default = 'B1' } }", None),
        ("claims = { 'address.country' = { max_length = 2 } }", None),
        ("claims = []", "claims"),
        ("claims = { level = 20 }", "claims.level"),
        ("claims = { level = {} }", "claims.level.max_length"),
        ("claims = { level = { max_length = 0 } }", "claims.level.max_length"),
        ("claims = { level = { max_length = true } }", "claims.level.max_length"),
        ("claims = { level = { max_length = 20, length = 1 } }", "claims.level.length"),
        ("claims = { level = { max_length = 1, default = 'B1' } }", "claims.level.default"),
        ("claims = { level = { max_length = 9, default = 1 } }", "claims.level.default"),
        ('claims = { level = { max_length = 9, default = "a\\nb" } }', "claims.level.default"),
        ("claims = { '.level' = { max_length = 9 } }", 'claims.".level"'),
        ("claims = { 'a}' = { max_length = 9 } }", 'claims."a}"'),
    ],
)
def test_a_rule_of_a_profile_is_sound_or_has_its_path(setting: str, where: str | None) -> None:
    found = mistakes(f"{HEAD}{PROFILE}{setting}\n{CONFIG}")
    assert found == ([f"profiles.default.{where}"] if where else [])


@pytest.mark.parametrize(
    ("instruction", "sound"),
    [
        ("Level ${claim.level}, $${x}, $5, {y}, $", True),
        ("${claim.level}${claim.level}", True),
        ("$$${claim.level}", True),
        ("Level ${level}", False),
        ("Level ${claim.}", False),
        ("Level ${claim.level", False),
        ("Level ${ claim.level }", False),
        ("Level ${claim.other}", False),
        ("Level ${", False),
    ],
)
def test_every_hole_of_an_instruction_names_a_claim(instruction: str, sound: bool) -> None:
    claims = "claims = { level = { max_length = 20 } }\n"
    found = mistakes(f"{HEAD}{PROFILE}{claims}{CONFIG}system_instruction = '{instruction}'")
    assert found == ([] if sound else ["profiles.default.config.system_instruction"])


def test_what_the_config_sets_cannot_be_left_to_the_client() -> None:
    left = "client_may_set = ['tools', 'session_resumption']\n"
    found = mistakes(HEAD + PROFILE + left + CONFIG + "session_resumption = {}")
    assert found == ["profiles.default.client_may_set"]


@pytest.mark.parametrize(
    ("times", "where"),
    [
        ('expires_in = "0s"', ["expires_in"]),
        ('expires_in = "20h"', ["expires_in"]),
        ('expires_in = "19h59m59s"', []),
        ('expires_in = ""', ["expires_in"]),
        ('expires_in = "30"', ["expires_in"]),
        ('expires_in = "30 m"', ["expires_in"]),
        ('expires_in = "-5m"', ["expires_in"]),
        ('expires_in = "1.5h"', ["expires_in"]),
        ("expires_in = 30", ["expires_in"]),
        ('expires_in = "30s"', []),
        ('start_within = "0m"', ["start_within"]),
        ('start_within = "31m"', ["start_within"]),
        ('start_within = "30m"', []),
        ('start_within = "5m"\nexpires_in = "4m"', ["start_within"]),
    ],
)
def test_a_time_out_of_range_is_a_mistake(times: str, where: list[str]) -> None:
    assert mistakes(HEAD + PROFILE + times + "\n" + CONFIG) == [
        f"profiles.default.{name}" for name in where
    ]


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ("temprature = 0.7", "temprature"),
        ("temperature = '0.7'", "temperature"),
        ("temperature = true", "temperature"),
        ("temperature = nan", "temperature"),
        ("temperature = inf", "temperature"),
        ("topP = 0.5", "topP"),
        ("seed = 1.5", "seed"),
        ("seed = 2026-11-23", "seed"),
        ("max_output_tokens = '5'", "max_output_tokens"),
        ("enable_affective_dialog = 'yes'", "enable_affective_dialog"),
        ("enable_affective_dialog = 1", "enable_affective_dialog"),
        ("media_resolution = 'HUGE'", "media_resolution"),
        ("thinking_config = { thinking_level = 'SUPER' }", None),
        ("http_options = { timeout = 1 }", "http_options"),
        ("generation_config = {}", "generation_config"),
        ("session_resumption = { handle = 'x' }", "session_resumption.handle"),
        ("session_resumption = { hande = 'x' }", "session_resumption.hande"),
        ("session_resumption = { transparent = true }", "session_resumption.transparent"),
        ("session_resumption = true", "session_resumption"),
        ("explicit_vad_signal = true", "explicit_vad_signal"),
        ("system_instruction = 7", "system_instruction"),
        ("system_instruction = { prts = [] }", "system_instruction.prts"),
        ("system_instruction = 'Level: ${claim.level}'", "system_instruction"),
        ("tools = []", "tools"),
        ("tools = [{}]", "tools.0"),
        ("tools = [{ google_serch = {} }]", "tools.0.google_serch"),
        ("tools = [{ googleSearch = {} }]", "tools.0.googleSearch"),
        ("tools = [{ google_search = {} }, {}]", "tools.1"),
        ("tools = { google_search = {} }", "tools"),
        ("tools = [{ function_declarations = [{ nam = 'x' }] }]", None),
        ("tools = [{ retrieval = {} }]", "tools.0.retrieval"),
        ("tools = [{ function_declarations = [] }]", "tools.0.function_declarations"),
        ("tools = [{ function_declarations = [{}] }]", "tools.0.function_declarations.0"),
        ("system_instruction = { parts = [{ text = '${claim.level}' }] }", "system_instruction"),
        ("system_instruction = ''", "system_instruction"),
        ("system_instruction = {}", "system_instruction"),
        ("system_instruction = { parts = [] }", "system_instruction.parts"),
        ("system_instruction = { parts = [{}] }", "system_instruction.parts.0"),
        ("system_instruction = { uri = 'https://x', size_bytes = 1 }", None),
        ("tools = [{ mcp_servers = [] }]", "tools.0.mcp_servers"),
        ("media_resolution = 'MEDIA_RESOLUTION_UNSPECIFIED'", "media_resolution"),
        ("a" + ".a" * 2000 + " = 1", None),
        ("safety_settings = []", "safety_settings"),
        ("max_output_tokens = 9999999999", "max_output_tokens"),
        ("seed = -2147483649", "seed"),
        ("temperature = 1e39", "temperature"),
        (f"temperature = {'9' * 400}", "temperature"),
        ("safety_settings = [{}]", "safety_settings.0"),
        (SEARCH.format("2026-11-23T12:00:00Z"), SEARCH_START),
        (SEARCH.format("'2026-11-23T12:00:00'"), SEARCH_START),
        (SEARCH.format("'yesterday'"), SEARCH_START),
        ("avatar_config.customized_avatar.image_data = '!'", None),
        ("labels = { a = 1 }", "labels.a"),
        ("speech_config = { language_code = 1 }", "speech_config.language_code"),
        ("safety_settings = [{ method = 'SEVERITY' }]", "safety_settings.0.method"),
    ],
)
def test_a_mistake_in_a_config_has_its_path(config: str, where: str | None) -> None:
    found = mistakes(SMALLEST + config)
    assert found if where is None else found == [f"profiles.default.config.{where}"]


@pytest.mark.parametrize("modalities", ["", "response_modalities = []", "temperature = 1.0"])
def test_response_modalities_are_demanded(modalities: str) -> None:
    source = HEAD + PROFILE + "[profiles.default.config]\n" + modalities
    assert mistakes(source) == ["profiles.default.config.response_modalities"]


@pytest.mark.parametrize("modality", ["AUDO", "audio", "MODALITY_UNSPECIFIED"])
def test_an_unknown_modality_is_a_mistake(modality: str) -> None:
    source = HEAD + PROFILE + f"[profiles.default.config]\nresponse_modalities = ['{modality}']"
    assert mistakes(source) == ["profiles.default.config.response_modalities.0"]


@pytest.mark.parametrize(
    ("model", "config", "sound"),
    [
        ("gemini-3.8-live", "", True),
        ("gemini-3.8-live", "thinking_config = { thinking_level = 'LOW' }", False),
        ("models/gemini-3.8-live", "thinking_config = { thinking_level = 'LOW' }", False),
        ("gemini-3.8-live-extended-thinking", "", False),
        ("gemini-3.8-live-extended-thinking", "thinking_config = {}", False),
        ("gemini-3.8-live-extended-thinking", "thinking_config = { thinking_level = 'LOW' }", True),
        ("gemini-9-live", "thinking_config = { thinking_level = 'LOW' }", True),
    ],
)
def test_a_thinking_level_must_suit_the_model(model: str, config: str, sound: bool) -> None:
    profile = f"[profiles.default]\nmodel = '{model}'\n"
    where = "profiles.default.config.thinking_config.thinking_level"
    assert mistakes(HEAD + profile + CONFIG + config) == ([] if sound else [where])


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
        "profiles.other.model",
        "profiles.other.config.response_modalities",
        "profiles.other.config.seed",
        "typo",
        f"{config}session_resumption.transparent",
        f"{config}explicit_vad_signal",
    ]


@pytest.mark.parametrize("table", ["callers.require", "profiles.default.require", "a"])
def test_a_policy_nested_without_end_is_a_problem(table: str) -> None:
    with pytest.raises(Mistakes):
        compile_policy(f"{table}{'.a' * 5000} = 1\n{SMALLEST}".encode())


def test_a_name_with_a_line_feed_stays_on_its_line() -> None:
    source = SMALLEST + '"a\\nb" = 1\n[profiles."x\\ny"]\n"c\\nd" = 1'
    with pytest.raises(Mistakes) as found:
        compile_policy(source.encode())
    assert all(line.count("\n") == 0 for line in map(str, found.value.mistakes))


@pytest.mark.parametrize(
    "variables",
    [
        {"ALL_PROXY": "socks5://127.0.0.1:1"},
        {"HTTPS_PROXY": "garbage://x"},
        {"SSL_CERT_FILE": "/nope"},
        {"GOOGLE_GENAI_CLIENT_MODE": "replay"},
    ],
)
def test_a_policy_compiles_whatever_the_network_is(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert mistakes(SMALLEST) == []


def test_a_close_name_is_suggested() -> None:
    with pytest.raises(Mistakes) as found:
        compile_policy((SMALLEST + "temprature = 1").encode())
    (mistake,) = found.value.mistakes
    assert str(mistake) == "profiles.default.config.temprature: unknown, did you mean temperature?"


def test_what_a_config_says_is_what_gemini_gets() -> None:
    assert setup("""
temperature = 1
top_p = 0.5
seed = 7
media_resolution = "MEDIA_RESOLUTION_LOW"
system_instruction = 'Say "hi" — in one line'
speech_config = { voice_config = { prebuilt_voice_config = { voice_name = "Kore" } } }
realtime_input_config = { automatic_activity_detection = { silence_duration_ms = 700 } }
context_window_compression = { trigger_tokens = 9000, sliding_window = {} }
proactivity = { proactive_audio = true }
labels = { teamName = "a" }
[[profiles.default.config.tools]]
google_search = {}
[[profiles.default.config.tools]]
function_declarations = [{ name = "light", parameters = { type = "OBJECT", properties = \
{ onOff = { type = "BOOLEAN" } } } }]
""") == {
        "model": "models/gemini-3.8-live",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "temperature": 1.0,
            "topP": 0.5,
            "seed": 7,
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
            "speechConfig": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}},
        },
        "systemInstruction": {"parts": [{"text": 'Say "hi" — in one line'}], "role": "user"},
        "realtimeInputConfig": {"automatic_activity_detection": {"silence_duration_ms": 700}},
        "contextWindowCompression": {"trigger_tokens": 9000, "sliding_window": {}},
        "proactivity": {"proactive_audio": True},
        "labels": {"teamName": "a"},
        "tools": [
            {"googleSearch": {}},
            {
                "functionDeclarations": [
                    {
                        "name": "light",
                        "parameters": {
                            "type": "OBJECT",
                            "properties": {"onOff": {"type": "BOOLEAN"}},
                        },
                    }
                ]
            },
        ],
    }


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        ("temperature = 1", "generationConfig", {"temperature": 1.0}),
        ("enable_affective_dialog = true", "generationConfig", {"enableAffectiveDialog": True}),
        (
            "avatar_config.customized_avatar.image_data = '/+8='",
            "avatarConfig",
            {"customized_avatar": {"image_data": "_-8="}},
        ),
        (
            SEARCH.format("'2026-11-23T13:00:00+01:00'"),
            "tools",
            [{"googleSearch": {"timeRangeFilter": {"start_time": "2026-11-23T13:00:00+01:00"}}}],
        ),
        (
            "system_instruction = ['One.', { text = 'Two.' }]",
            "systemInstruction",
            {"parts": [{"text": "One."}, {"text": "Two."}], "role": "user"},
        ),
        ("proactivity = {}", "proactivity", {}),
    ],
)
def test_each_kind_of_value_can_be_written(config: str, field: str, value: Any) -> None:
    if field == "generationConfig":
        value = {"responseModalities": ["AUDIO"], **value}
    assert setup(config)[field] == value
