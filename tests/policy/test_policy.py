"""The policy: what is a mistake, the path of each, and which of them an editor marks."""

from typing import Any

import pytest
from policies import CONFIG, HEAD, PROFILE, SMALLEST, compiled, mistakes, policy
from test_schema import fits

from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes

MODEL = "profiles.default.model"
MODALITIES = "profiles.default.config.response_modalities"
MODAL = HEAD + PROFILE + "[profiles.default.config]\n%"
NO_MODALITIES = ("AUDO", "audio", "MODALITY_UNSPECIFIED")
SEARCH = "tools = [{ google_search = { time_range_filter = { start_time = % } } }]"
FUNCTION = "tools = [{ function_declarations = [{ name = 'x', % }] }]"
FUNCTIONS = "tools.0.function_declarations"
HOLE = "Level: ${claim.level}"
IMAGE = "avatar_config.customized_avatar.image_data"
SEARCH_START = "tools.0.google_search.time_range_filter.start_time"


LEVEL = "claims.level"
HARM = "category = 'HARM_CATEGORY_HARASSMENT', threshold = 'BLOCK_NONE'"
LOW = {"mediaResolution": "MEDIA_RESOLUTION_LOW"}
WRONG_LENGTHS = ("max_length = 0", "max_length = true", "max_length = 1001")


class Unseen(str):
    """The path of a mistake that the schema does not show, so no editor marks it."""


def each(line: str, where: str | None, *values: str) -> list[tuple[str, str | None]]:
    """Cases that differ in one value: each `%` in a line of a policy, and what is found there."""
    return [(line.replace("%", value), where) for value in values]


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
        *each(
            f"%{PROFILE}{CONFIG}", "api_version", "", "api_version = 'v1'\n", "api_version = 1\n"
        ),
        ("typo = 1\n" + SMALLEST, "typo"),
        (HEAD + "[caller]\n" + PROFILE + CONFIG, "caller"),
        (HEAD + "[profiles.default]\n" + CONFIG, Unseen(MODEL)),
        *each(SMALLEST.replace("gemini-3.8-live", "%"), MODEL, "", "a b", "tunedModels/x"),
        (HEAD + PROFILE, Unseen(MODALITIES)),
        *each(MODAL, Unseen(MODALITIES), "", "temperature = 1.0"),
        (MODAL.replace("%", "response_modalities = []"), MODALITIES),
        *each(f"{MODAL[:-1]}response_modalities = ['%']", f"{MODALITIES}.0", *NO_MODALITIES),
    ],
)
def test_a_mistake_in_a_whole_policy_has_its_path(source: str, where: str | None) -> None:
    assert_found(source, where)


APPS = ("'1:123456789012:web:0123456789abcdef'", "'1:1:android:a'", "'1:1:ios:0'", "'2:1:mac:f'")
NO_APPS = (
    *("1", "''", "'*'", "'com.example.app'", "'my-project'", "'123456789012'", "'G-1A2B3C4D5E'"),
    *(
        "'1:123:web'",
        "'1:123:web:'",
        "'1::web:abc'",
        "'1:a:web:abc'",
        "'1:123::abc'",
        "'1:0:web:a'",
    ),
    *(
        "'1:123:web:xyz'",
        "'1:123:Web:abc'",
        "'1:123:web:ABC'",
        "' 1:123:web:abc'",
        "'1:123:web:a '",
    ),
    *("'1:123:web:abc:d'", "'1:123:web:abc\\n'", "'1:2:web:a', '1:2:web:a'", "['1:2:web:a']"),
)


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("allow_anonymous = true", None),
        ("allow_anonymous = 1", "allow_anonymous"),
        ("alow = true", "alow"),
        *each("app_check = %", None, "'required'", "'consume'"),
        *each("app_check = %", "app_check", "true", "'on'"),
        ("max_auth_age = '24h'", None),
        *each("max_auth_age = %", "max_auth_age", "'0h'", "24"),
        *each("app_check = 'consume'\napp_check_apps = [%]", None, *APPS),
        ("app_check = 'required'\napp_check_apps = ['1:2:web:a', '1:2:ios:b']", None),
        ("app_check = 'required'\napp_check_apps = ['1:2:web:a', '1:3:web:a']", None),
        *each("app_check = 'required'\napp_check_apps = [%]", "app_check_apps", "", *NO_APPS),
        *each("app_check = 'required'\napp_check_apps = %", "app_check_apps", "'1:2:web:a'", "1"),
        *each(
            "%app_check_apps = ['1:2:web:a']", Unseen("app_check_apps"), "", "app_check = 'off'\n"
        ),
        *each("require = {%}", None, "", "email_verified = [true]", "a = ['x', 1, 1.5, false]"),
        ("require = { 'firebase.tenant' = ['t1'], firebase.sign_in_provider = ['x'] }", None),
        ("require = []", "require"),
        *each("require.plan = %", "require.plan", "[]", "'pro'", "{}", "[['pro']]", "[2026-11-24]"),
        ("require = { plan = [nan] }", Unseen("require.plan")),
        ("require = { firebase = { tenant = [] } }", Unseen("require.firebase.tenant")),
        *each("require = { '%' = [1] }", None, "in", "a.max", "not.any", "a/b"),
        ("require = { a.max = [1] }", Unseen("require.a")),
        ("require = { 'example.com/plan' = ['pro'] }", Unseen('require."example.com/plan"')),
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
        *each("expires_in = %", None, "'30s'", "'19h59m59s'"),
        *each("expires_in = '%'", "expires_in", "", "0s", "30", "30 m", "-5m", "1.5h"),
        ("expires_in = 30", "expires_in"),
        ("expires_in = '20h'", Unseen("expires_in")),
        ("start_within = '30m'", None),
        ("start_within = '0m'", "start_within"),
        *each("start_within = %", Unseen("start_within"), "'31m'", "'5m'\nexpires_in = '4m'"),
        ("require = { plan = ['pro'] }", None),
        ("require = { plan = [] }", "require.plan"),
        *each("limit = '%'", None, "30/hour", "30 per hour", "5/10 minutes; 50/day"),
        ("limit = '1/second;2/month;3/2years'", None),
        *each("limit = '%'", "limit", "", "0/hour", "-1/hour", "1.5/hour", "30/0 hours"),
        *each("limit = '%'", "limit", "30/fortnight", "30/hour,50/day", "30/hour;"),
        ("limit = 30", "limit"),
        ("limit = '30/hour; 20/60 minutes'", Unseen("limit")),
        *each("client_may_set = [%]", None, "", "'tools', 'system_instruction'"),
        ("client_may_set = 'tools'", "client_may_set"),
        *each("client_may_set = [%]", "client_may_set.0", "1", "'model'", "'temperature'"),
        *each(
            "client_may_set = ['%']", "client_may_set.0", "generation_config", "systemInstruction"
        ),
        ("client_may_set = ['response_modalities']", "client_may_set.0"),
        ("client_may_set = ['tools', 'tools']", "client_may_set.1"),
        *each("claims.level = {%}", None, "max_length = 20", "max_length = 20, default = 'B1'"),
        ("claims = { 'address.country' = { max_length = 1000 } }", None),
        ("claims = []", "claims"),
        ("claims = { level = 20 }", "claims.level"),
        *each("claims.level = {%}", f"{LEVEL}.max_length", "", *WRONG_LENGTHS),
        ("claims.level = { max_length = 20, length = 1 }", f"{LEVEL}.length"),
        ("claims.level = { max_length = 9, default = 1 }", f"{LEVEL}.default"),
        ("claims.level = { max_length = 1, default = 'B1' }", Unseen(f"{LEVEL}.default")),
        ('claims.level = { max_length = 9, default = "a\\nb" }', Unseen(f"{LEVEL}.default")),
        ("claims = { '.level' = { max_length = 9 } }", 'claims.".level"'),
        ("claims = { 'a}' = { max_length = 9 } }", 'claims."a}"'),
    ],
)
def test_a_rule_of_a_profile_is_sound_or_has_its_path(setting: str, where: str | None) -> None:
    assert_found(policy(profile=setting), where and type(where)(f"profiles.default.{where}"))


@pytest.mark.parametrize(
    "hole", ["${level}", "${claim.}", "${claim.level", "${ claim.level }", "${"]
)
def test_every_hole_of_an_instruction_names_a_claim(hole: str) -> None:
    def found(instruction: str) -> list[str]:
        claims = "claims = { level = { max_length = 20 } }"
        return mistakes(policy(profile=claims, config=f"system_instruction = '{instruction}'"))

    for sound in ("Level ${claim.level}, $${x}, $5, {y}, $", "$$$" + 2 * "${claim.level}"):
        assert found(sound) == []
    for wrong in (f"Level {hole}", "Level ${claim.other}"):
        assert found(wrong) == ["profiles.default.config.system_instruction"]


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
        *each(FUNCTION, None, "parameters = { type = 'OBJECT', properties = { title = {} } }"),
        *each(
            FUNCTION,
            None,
            "parameters_json_schema = { type = 'object', required = [] }",
        ),
        *each(
            FUNCTION,
            None,
            "parameters_json_schema = { type = ['object'] }",
            "parameters_json_schema = { '$ref' = '#/$defs/a', '$defs' = { a = {} } }",
            "parameters_json_schema = { type = 'object', properties = { x = {} }, "
            "anyOf = [{ required = ['x'] }] }",
            "parameters_json_schema = { type = 'object', properties.x = { items = true } }",
        ),
        ("temprature = 0.7", "temprature"),
        *each("temperature = %", "temperature", "'0.7'", "true", "inf", "1e39", "9" * 400),
        ("temperature = nan", Unseen("temperature")),
        ("topP = 0.5", "topP"),
        *each("seed = %", "seed", "1.5", "2026-11-23", "-2147483649"),
        *each("max_output_tokens = %", "max_output_tokens", "'5'", "9999999999"),
        *each("enable_affective_dialog = %", "enable_affective_dialog", "'yes'", "1"),
        *each("media_resolution = '%'", "media_resolution", "HUGE", "MEDIA_RESOLUTION_UNSPECIFIED"),
        ("http_options = { timeout = 1 }", "http_options"),
        ("generation_config = {}", "generation_config"),
        ("session_resumption = { handle = 'x' }", "session_resumption.handle"),
        ("session_resumption = { hande = 'x' }", "session_resumption.hande"),
        ("session_resumption = { transparent = true }", Unseen("session_resumption.transparent")),
        ("session_resumption = true", "session_resumption"),
        ("explicit_vad_signal = true", Unseen("explicit_vad_signal")),
        *each("system_instruction = %", "system_instruction", "7", "{}"),
        *each("system_instruction = %", Unseen("system_instruction"), "''", f"'{HOLE}'"),
        (f"system_instruction.parts = [{{ text = '{HOLE}' }}]", Unseen("system_instruction")),
        ("system_instruction = { prts = [] }", "system_instruction.prts"),
        ("system_instruction = { parts = [] }", "system_instruction.parts"),
        ("system_instruction = { parts = [{}] }", "system_instruction.parts.0"),
        ("system_instruction = [{}]", "system_instruction.0"),
        ("system_instruction = { uri = 'https://x' }", "system_instruction.uri"),
        *each("tools = %", "tools", "[]", "{ google_search = {} }"),
        ("tools = [{}]", "tools.0"),
        ("tools = [{ google_search = {} }, {}]", "tools.1"),
        ("tools = [{ google_serch = {} }]", "tools.0.google_serch"),
        ("tools = [{ googleSearch = {} }]", "tools.0.googleSearch"),
        ("tools = [{ retrieval = {} }]", Unseen("tools.0.retrieval")),
        ("tools = [{ mcp_servers = [] }]", "tools.0.mcp_servers"),
        ("tools = [{ function_declarations = [] }]", FUNCTIONS),
        ("tools = [{ function_declarations = [{}] }]", f"{FUNCTIONS}.0"),
        ("tools = [{ function_declarations = [{ nam = 'x' }] }]", f"{FUNCTIONS}.0.nam"),
        ("safety_settings = []", "safety_settings"),
        ("safety_settings = [{}]", "safety_settings.0"),
        (
            f"safety_settings = [{{ {HARM}, method = 'SEVERITY' }}]",
            Unseen("safety_settings.0.method"),
        ),
        *each(SEARCH, SEARCH_START, "2026-11-23T12:00:00Z"),
        *each(SEARCH, Unseen(SEARCH_START), "'2026-11-23T12:00:00'", "'yesterday'"),
        (f"{IMAGE} = '!'", Unseen(IMAGE)),
        ("labels = { a = 1 }", "labels.a"),
        ("speech_config = { language_code = 1 }", "speech_config.language_code"),
    ],
)
def test_a_config_is_sound_or_its_mistake_has_its_path(config: str, where: str | None) -> None:
    path = where and type(where)(f"profiles.default.config.{where}")
    assert_found(SMALLEST + config, path)


@pytest.mark.parametrize(
    ("model", "config", "sound"),
    [
        ("gemini-3.8-live", "", True),
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


def test_a_byte_order_mark_changes_nothing() -> None:
    assert compile_policy(b"\xef\xbb\xbf" + SMALLEST.encode()) == compiled(SMALLEST)


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
        ("media_resolution = 'MEDIA_RESOLUTION_LOW'", "generationConfig", LOW),
        (
            f"{IMAGE} = '/+8='",
            "avatarConfig",
            {"customized_avatar": {"image_data": "_-8="}},
        ),
        (
            SEARCH.replace("%", "'2026-11-23T13:00:00+01:00'"),
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
    assert fits(SMALLEST + config)
