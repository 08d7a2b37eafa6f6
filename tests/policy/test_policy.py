"""The policy: what is a mistake, the path of each, and which of them an editor marks."""

from typing import Any

import pytest
from policies import CONFIG, HEAD, PROFILE, SMALLEST, compiled, mistakes, policy
from test_schema import fits

from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes

MODEL = "profiles.default.model"
MODALITIES = "profiles.default.config.response_modalities"
SEARCH = "tools = [{{ google_search = {{ time_range_filter = {{ start_time = {} }} }} }}]"
FUNCTION = "tools = [{{ function_declarations = [{{ name = 'x', {} }}] }}]"
SEARCH_START = "tools.0.google_search.time_range_filter.start_time"


class Unseen(str):
    """The path of a mistake that the schema does not show, so no editor marks it."""


def setup(config: str) -> Any:
    """The compiled setup of a profile's config."""
    return compiled(SMALLEST + config).profiles["default"].body["bidiGenerateContentSetup"]


def assert_found(source: str, where: str | None) -> None:
    """Assert that `check` finds one mistake, or none, and that an editor marks what it can."""
    assert mistakes(source) == ([] if where is None else [where])
    assert fits(source) == (where is None or isinstance(where, Unseen))


@pytest.mark.parametrize(
    ("source", "where"),
    [
        (SMALLEST, None),
        (SMALLEST.replace("default", "A-b_9"), None),
        (SMALLEST.replace("gemini-3.8-live", "models/gemini-9"), None),
        (HEAD, "profiles"),
        (HEAD + "[profiles]", "profiles"),
        ("profiles = 1\n" + HEAD, "profiles"),
        ("profiles.default = 1\n" + HEAD, "profiles.default"),
        (SMALLEST.replace("default", "'a b'"), 'profiles."a b"'),
        (PROFILE + CONFIG, "api_version"),
        ('api_version = "v1"\n' + PROFILE + CONFIG, "api_version"),
        ("api_version = 1\n" + PROFILE + CONFIG, "api_version"),
        ("typo = 1\n" + SMALLEST, "typo"),
        (HEAD + "[caller]\n" + PROFILE + CONFIG, "caller"),
        (HEAD + "[profiles.default]\n" + CONFIG, MODEL),
        *(
            (SMALLEST.replace("gemini-3.8-live", name), MODEL)
            for name in ("", "a b", "tunedModels/x")
        ),
        (HEAD + PROFILE, Unseen(MODALITIES)),
        *(
            (HEAD + PROFILE + "[profiles.default.config]\n" + config, f"{MODALITIES}{entry}")
            for config, entry in (
                ("", ""),
                ("temperature = 1.0", ""),
                ("response_modalities = []", ""),
                ("response_modalities = ['AUDO']", ".0"),
                ("response_modalities = ['audio']", ".0"),
                ("response_modalities = ['MODALITY_UNSPECIFIED']", ".0"),
            )
        ),
    ],
)
def test_a_mistake_in_a_whole_policy_has_its_path(source: str, where: str | None) -> None:
    assert_found(source, where)


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("allow_anonymous = true", None),
        ("allow_anonymous = 1", "allow_anonymous"),
        ("alow = true", "alow"),
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
        ("require = { plan = [nan] }", Unseen("require.plan")),
        ("require = { plan = [2026-11-24] }", "require.plan"),
        ("require = { firebase = { tenant = [] } }", Unseen("require.firebase.tenant")),
        ("require = { 'firebase..tenant' = ['t1'] }", Unseen('require."firebase..tenant"')),
        ("require = { '' = ['t1'] }", Unseen('require.""')),
        ("require = { ' plan' = ['t1'] }", Unseen('require." plan"')),
        (f"require = {{ a = [{'9' * 400}] }}", Unseen("require.a")),
    ],
)
def test_a_rule_about_callers_is_sound_or_has_its_path(setting: str, where: str | None) -> None:
    assert_found(policy(callers=setting), where and type(where)(f"callers.{where}"))


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("expires_in = '0s'", "expires_in"),
        ("expires_in = '20h'", Unseen("expires_in")),
        ("expires_in = '19h59m59s'", None),
        ("expires_in = ''", "expires_in"),
        ("expires_in = '30'", "expires_in"),
        ("expires_in = '30 m'", "expires_in"),
        ("expires_in = '-5m'", "expires_in"),
        ("expires_in = '1.5h'", "expires_in"),
        ("expires_in = 30", "expires_in"),
        ("expires_in = '30s'", None),
        ("start_within = '0m'", "start_within"),
        ("start_within = '31m'", Unseen("start_within")),
        ("start_within = '30m'", None),
        ("start_within = '5m'\nexpires_in = '4m'", Unseen("start_within")),
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
        ("limit = '30/hour; 20/60 minutes'", Unseen("limit")),
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
        ("claims = { level = { max_length = 1, default = 'B1' } }", Unseen("claims.level.default")),
        ("claims = { level = { max_length = 9, default = 1 } }", "claims.level.default"),
        (
            'claims = { level = { max_length = 9, default = "a\\nb" } }',
            Unseen("claims.level.default"),
        ),
        ("claims = { '.level' = { max_length = 9 } }", 'claims.".level"'),
        ("claims = { 'a}' = { max_length = 9 } }", 'claims."a}"'),
    ],
)
def test_a_rule_of_a_profile_is_sound_or_has_its_path(setting: str, where: str | None) -> None:
    assert_found(policy(profile=setting), where and type(where)(f"profiles.default.{where}"))


@pytest.mark.parametrize(
    "instruction",
    [
        "Level ${level}",
        "Level ${claim.}",
        "Level ${claim.level",
        "Level ${ claim.level }",
        "Level ${claim.other}",
        "Level ${",
    ],
)
def test_every_hole_of_an_instruction_names_a_claim(instruction: str) -> None:
    claims = "claims = { level = { max_length = 20 } }"
    for sound in ("Level ${claim.level}, $${x}, $5, {y}, $", "$$$" + 2 * "${claim.level}"):
        assert mistakes(policy(profile=claims, config=f"system_instruction = '{sound}'")) == []
    found = mistakes(policy(profile=claims, config=f"system_instruction = '{instruction}'"))
    assert found == ["profiles.default.config.system_instruction"]


def test_what_the_config_sets_cannot_be_left_to_the_client() -> None:
    left = "client_may_set = ['tools', 'session_resumption']"
    assert mistakes(policy(profile=left, config="session_resumption = {}")) == [
        "profiles.default.client_may_set"
    ]


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ("labels = { teamName = 'a' }", None),
        ("system_instruction = { parts = [{ text = 'One.' }] }", None),
        (FUNCTION.format("parameters = { type = 'OBJECT', properties = { title = {} } }"), None),
        (FUNCTION.format("parameters_json_schema = { a = [], b = {} }"), None),
        ("temprature = 0.7", "temprature"),
        ("temperature = '0.7'", "temperature"),
        ("temperature = true", "temperature"),
        ("temperature = nan", Unseen("temperature")),
        ("temperature = inf", "temperature"),
        ("topP = 0.5", "topP"),
        ("seed = 1.5", "seed"),
        ("seed = 2026-11-23", "seed"),
        ("max_output_tokens = '5'", "max_output_tokens"),
        ("enable_affective_dialog = 'yes'", "enable_affective_dialog"),
        ("enable_affective_dialog = 1", "enable_affective_dialog"),
        ("media_resolution = 'HUGE'", "media_resolution"),
        ("http_options = { timeout = 1 }", "http_options"),
        ("generation_config = {}", "generation_config"),
        ("session_resumption = { handle = 'x' }", "session_resumption.handle"),
        ("session_resumption = { hande = 'x' }", "session_resumption.hande"),
        ("session_resumption = { transparent = true }", Unseen("session_resumption.transparent")),
        ("session_resumption = true", "session_resumption"),
        ("explicit_vad_signal = true", Unseen("explicit_vad_signal")),
        ("system_instruction = 7", "system_instruction"),
        ("system_instruction = { prts = [] }", "system_instruction.prts"),
        ("system_instruction = 'Level: ${claim.level}'", Unseen("system_instruction")),
        ("tools = []", "tools"),
        ("tools = [{}]", "tools.0"),
        ("tools = [{ google_serch = {} }]", "tools.0.google_serch"),
        ("tools = [{ googleSearch = {} }]", "tools.0.googleSearch"),
        ("tools = [{ google_search = {} }, {}]", "tools.1"),
        ("tools = { google_search = {} }", "tools"),
        (
            "tools = [{ function_declarations = [{ nam = 'x' }] }]",
            "tools.0.function_declarations.0.nam",
        ),
        ("tools = [{ retrieval = {} }]", Unseen("tools.0.retrieval")),
        ("tools = [{ function_declarations = [] }]", "tools.0.function_declarations"),
        ("tools = [{ function_declarations = [{}] }]", "tools.0.function_declarations.0"),
        (
            "system_instruction = { parts = [{ text = '${claim.level}' }] }",
            Unseen("system_instruction"),
        ),
        ("system_instruction = ''", Unseen("system_instruction")),
        ("system_instruction = {}", "system_instruction"),
        ("system_instruction = { parts = [] }", "system_instruction.parts"),
        ("system_instruction = { parts = [{}] }", "system_instruction.parts.0"),
        ("system_instruction = { uri = 'https://x' }", "system_instruction.uri"),
        ("tools = [{ mcp_servers = [] }]", "tools.0.mcp_servers"),
        ("media_resolution = 'MEDIA_RESOLUTION_UNSPECIFIED'", "media_resolution"),
        ("safety_settings = []", "safety_settings"),
        ("max_output_tokens = 9999999999", "max_output_tokens"),
        ("seed = -2147483649", "seed"),
        ("temperature = 1e39", "temperature"),
        (f"temperature = {'9' * 400}", "temperature"),
        ("safety_settings = [{}]", "safety_settings.0"),
        (SEARCH.format("2026-11-23T12:00:00Z"), SEARCH_START),
        (SEARCH.format("'2026-11-23T12:00:00'"), Unseen(SEARCH_START)),
        (SEARCH.format("'yesterday'"), Unseen(SEARCH_START)),
        (
            "avatar_config.customized_avatar.image_data = '!'",
            Unseen("avatar_config.customized_avatar.image_data"),
        ),
        ("labels = { a = 1 }", "labels.a"),
        ("speech_config = { language_code = 1 }", "speech_config.language_code"),
        ("safety_settings = [{ method = 'SEVERITY' }]", Unseen("safety_settings.0.method")),
    ],
)
def test_a_config_is_sound_or_its_mistake_has_its_path(config: str, where: str | None) -> None:
    path = where and type(where)(f"profiles.default.config.{where}")
    assert_found(SMALLEST + config, path)


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
        ("gemini-9-live", "thinking_config = { thinking_level = 'SUPER' }", False),
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


@pytest.mark.parametrize(
    ("table", "where"),
    [("callers", "policy"), ("profile", "policy"), ("config", "profiles.default.config.require")],
)
def test_a_policy_nested_without_end_is_a_mistake(table: str, where: str) -> None:
    assert mistakes(policy(**{table: f"require{'.a' * 1500} = 1"})) == [where]


def test_a_name_with_a_line_feed_stays_on_its_line() -> None:
    source = SMALLEST + '"a\\nb" = 1\n[profiles."x\\ny"]\n"c\\nd" = 1'
    with pytest.raises(Mistakes) as found:
        compiled(source)
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
    assert compile_policy(SMALLEST.encode()).profiles


def test_a_close_name_is_suggested() -> None:
    with pytest.raises(Mistakes) as found:
        compiled(SMALLEST + "temprature = 1")
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
