"""The warnings of `check`: valid settings that are probably mistakes."""

import json

import pytest
from policies import HEAD, Check

from livetoken.cli.advice import Code

CALM = """
api_version = "v1alpha"
callers.allow_anonymous = false
callers.app_check = "off"
[profiles.default]
model = "gemini-3.8-live"
expires_in = "15m"
limit = "30/hour; 50/day"
config.response_modalities = ["AUDIO"]
config.system_instruction = "You are a tutor."
config.session_resumption = {}
"""
"""Nothing to warn of."""

VERIFIED = "email_verified = [true]"
FIREBASE = 'firebase.sign_in_provider = ["google.com"]'
VOICE = "speech_config.voice_config.prebuilt_voice_config.voice_name"
TURN = 'turn_coverage = "TURN_INCLUDES_ONLY_ACTIVITY"'


def warned(check: Check, source: str) -> list[tuple[str, str]]:
    """The code and the path of each warning."""
    status, printed, _ = check(source, "--json")
    assert status == 0, printed
    return [(each["code"], each["path"]) for each in json.loads(printed)["warnings"]]


WARNINGS: list[tuple[Code, str, list[tuple[str, str]]]] = [
    (Code.MODEL_GONE, "model", [("gemini-3.8-live", "gemini-2.0-flash-live-001")]),
    (Code.MODEL_GONE, "model", [("gemini-3.8-live", "models/gemini-live-2.5-flash-preview")]),
    (Code.MODEL_LEGACY, "model", [("gemini-3.8-live", "gemini-3.1-flash-live-preview")]),
    (Code.TEXT_MODALITY, "config.response_modalities", [('"AUDIO"', '"AUDIO", "TEXT"')]),
    (Code.NO_INSTRUCTION, "config.system_instruction", [("config.system_instruction", "#")]),
    (
        Code.OPEN_INSTRUCTION,
        "client_may_set",
        [("config.system_instruction", 'client_may_set = ["system_instruction"] #')],
    ),
    (Code.OPEN_TOOLS, "client_may_set", [("limit", 'client_may_set = ["tools"]\nlimit')]),
    *(
        (
            Code.SELF_CHOSEN_CLAIM,
            f"claims.{name}",
            [("a tutor", f"${{claim.{name}}}"), ("limit", f"claims.{name}.max_length = 9\nlimit")],
        )
        for name in ("name", "picture", "email")
    ),
    (Code.UNUSED_CLAIM, "claims.name", [("limit", "claims.name.max_length = 9\nlimit")]),
    (
        Code.UNUSED_CLAIM,
        'claims."a.b"',
        [("a tutor", "$${claim.a.b}"), ("limit", "claims.'a.b'.max_length = 9\nlimit")],
    ),
    (Code.NO_COMPRESSION, "config.context_window_compression", [("15m", "15m1s")]),
    (
        Code.NO_RESUMPTION,
        "config.session_resumption",
        [("15m", "10m1s"), ("config.session_resumption", "#")],
    ),
    (Code.NO_LIMIT, "limit", [("limit", "#")]),
    (Code.LIMIT_OF_NOBODY, "limit", [("anonymous = false", "anonymous = true")]),
    (
        Code.LIMIT_OF_NOBODY,
        "limit",
        [
            (
                "anonymous = false",
                'anonymous = true\ncallers.require."firebase.sign_in_provider" = ["anonymous"]',
            )
        ],
    ),
    (Code.LONG_SLICE, "expires_in", [("15m", "11m"), ("limit", 'budget = "1h/day"\nlimit')]),
    (Code.LONG_SLICE, "expires_in", [("15m", "10m1s"), ("limit", "at_once = 1\nlimit")]),
    (Code.IDLE_LIMIT, "limit", [("50/day", "30/day")]),
    (Code.IDLE_LIMIT, "limit", [("30/hour; 50/day", "100/month; 50/day; 60/hour")]),
    (Code.MODEL_NOT_LIVE, "model", [("gemini-3.8-live", "gemini-2.5-flash")]),
    (Code.MODEL_UNKNOWN, "model", [("gemini-3.8-live", "gemini-9-live-preview")]),
    (
        Code.NOT_SUPPORTED,
        "config.tools.1.url_context",
        [("config.s", "config.tools = [{ google_search = {} }, { url_context = {} }]\nconfig.s")],
    ),
    (
        Code.VOICE_UNKNOWN,
        f"config.{VOICE}",
        [("config.s", f'config.{VOICE} = "alloy"\nconfig.s')],
    ),
    (Code.INSTRUCTION_FILE, "config.system_instruction", [("You are a tutor.", "tutor.md")]),
    (Code.SHORT_START, "start_within", [("limit", 'start_within = "9s"\nlimit')]),
    (
        Code.COMPRESSION_OFF,
        "config.context_window_compression",
        [("config.s", "config.context_window_compression = {}\nconfig.s")],
    ),
    (
        Code.TARGET_TOO_LARGE,
        "config.context_window_compression.sliding_window.target_tokens",
        [
            (
                "config.s",
                "config.context_window_compression = "
                "{ trigger_tokens = 9, sliding_window = { target_tokens = 9 } }\nconfig.s",
            )
        ],
    ),
    *(
        (code, f"require.{path}", [("limit", f"require = {{ {rule} }}\nlimit")])
        for code, path, rule in (
            (Code.SELF_CHOSEN_CLAIM, "name", "name = ['Ada']"),
            (Code.VALUE_IS_PATTERN, "plan", "plan = ['!free']"),
            (Code.VALUE_IS_PATTERN, "plan", "plan = ['pro*']"),
            (Code.CLAIM_ELSEWHERE, "tenant", "tenant = ['t1']"),
            (Code.CLAIM_ELSEWHERE, "uid", "uid = ['ada']"),
            (Code.CLAIM_ELSEWHERE, "request.auth.token.plan", "request.auth.token.plan = [1]"),
            (Code.CLAIM_ELSEWHERE, "firebase.email", "firebase.email = ['a@b.c']"),
            (Code.NOBODY_PASSES, "firebase.tenant", "hd = ['b.c'], firebase.tenant = ['t1']"),
            (
                Code.NOBODY_PASSES,
                "firebase.sign_in_provider",
                "firebase.sign_in_provider = ['anonymous']",
            ),
            (
                Code.CAPITALS,
                "email",
                "hd = ['b.c'], email = ['A@b.c'], email_verified = [true]",
            ),
        )
    ),
    (
        Code.NOBODY_PASSES,
        "require.email_verified",
        [
            ("anonymous = false", "anonymous = false\ncallers.require.email_verified = [true]"),
            ("limit", "require.email_verified = [false]\nlimit"),
        ],
    ),
    (
        Code.TWO_DOORS,
        "limit",
        [("limit", "require = { email = ['a@b.c'], email_verified = [true] }\nlimit")],
    ),
    *(
        (Code.UNVERIFIED_EMAIL, "require.email", [("limit", f"require = {{ {rule} }}\nlimit")])
        for rule in (
            'email = ["a@b.c"]',
            'email = ["a@b.c"], email_verified = [true, false]',
            'email = ["a@b.c"], hd = ["b.c"]',
        )
    ),
]


def changed(changes: list[tuple[str, str]]) -> str:
    source = CALM
    for before, after in changes:
        assert before in source
        source = source.replace(before, after, 1)
    return source


@pytest.mark.parametrize(("code", "path", "changes"), WARNINGS)
def test_what_is_seldom_meant_is_warned_of(
    check: Check, code: Code, path: str, changes: list[tuple[str, str]]
) -> None:
    source = changed(changes)
    assert warned(check, source) == [(code.name, f"profiles.default.{path}")]
    status, printed, _ = check(source)
    assert status == 0
    said = "".join(printed.partition("Warnings\n")[2].split())  # a long path is broken in two
    assert said.startswith(f"{code.name}profiles.default.{path}{''.join(code.value.split())}")


def test_every_warning_is_provoked_here() -> None:
    assert {code for code, *_ in (*WARNINGS, *OF_TWO_PLACES)} == set(Code)


OTHER = CALM.partition("[profiles.default]")[2]
OF_TWO_PLACES = [
    (
        Code.TWO_PROJECTS,
        "callers.app_check_apps",
        CALM.replace('"off"', '"required"\ncallers.app_check_apps = ["1:2:web:a", "1:3:web:a"]'),
    ),
    (Code.NAMED_DEFAULTS, "profiles.defaults", f"{CALM}[profiles.defaults]{OTHER}"),
    (Code.NO_DEFAULT, "profiles", CALM.replace("profiles.default", "profiles.tutor")),
    (
        Code.ANONYMOUS_EXCLUDED,
        "callers.allow_anonymous",
        CALM.replace("anonymous = false", "anonymous = true\ncallers.require.hd = ['b.c']"),
    ),
    (
        Code.OPEN_PROFILE_TOO,
        "profiles.pro.require",
        f"{CALM}[profiles.pro]\nrequire.plan = ['pro']{OTHER}",
    ),
    (
        Code.TWO_DOORS,
        "profiles.default.limit",
        f"{CALM}[profiles.staff]\nrequire.hd = ['b.c']{OTHER}",
    ),
    (
        Code.REPLACES_DEFAULT,
        "profiles.default.config.realtime_input_config",
        CALM.replace("[profiles", f"[defaults.config.realtime_input_config]\n{TURN}\n[profiles")
        + "config.realtime_input_config = { activity_handling = 'NO_INTERRUPTION' }\n",
    ),
]


@pytest.mark.parametrize(("code", "path", "source"), OF_TWO_PLACES)
def test_what_two_settings_mean_together_is_warned_of(
    check: Check, code: Code, path: str, source: str
) -> None:
    assert (code.name, path) in warned(check, source)
    assert code.name not in {name for name, _ in warned(check, CALM)}


def test_a_warning_about_what_profiles_share_is_given_once_at_its_place(check: Check) -> None:
    shared = CALM.replace("profiles.default", "defaults").replace("gemini-3.8-live", "gemini-9")
    source = f"{shared}[profiles.default]\n[profiles.other]\nmodel = 'gemini-3.8-live'\n"
    assert warned(check, source) == [("MODEL_NOT_LIVE", "defaults.model")]


def test_a_close_name_is_asked_for(check: Check) -> None:
    for wrong, meant in (("gemini-3.8-liv", "gemini-3.8-live"), ("gemini-9", None)):
        messages = [
            each["message"]
            for each in json.loads(check(CALM.replace("gemini-3.8-live", wrong), "--json")[1])[
                "warnings"
            ]
        ]
        assert messages == [
            Code.MODEL_NOT_LIVE.value + (f" Did you mean {meant}?" if meant else "")
        ]
    source = CALM.replace("config.s", f'config.{VOICE} = "puk"\nconfig.s', 1)
    (warning,) = json.loads(check(source, "--json")[1])["warnings"]
    assert warning["message"].endswith("Did you mean Puck?")


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [("30/hour; 50/day", "50/day; 30/hour")],
        [("15m", "10m"), ("config.session_resumption", "#")],
        [("limit", 'client_may_set = ["session_resumption"]\nlimit'), ("config.session", "# ")],
        [("15m", "1h"), ("limit", 'client_may_set = ["context_window_compression"]\nlimit')],
        [("15m", "1h"), ("limit", "config.context_window_compression.sliding_window = {}\nlimit")],
        [("anonymous = false", "anonymous = true"), ('"off"', '"required"')],
        [("anonymous = false", 'anonymous = true\ncallers.require.plan = ["pro"]')],
        [("anonymous = false", "anonymous = true"), ("limit", 'require.plan = ["pro"]\nlimit')],
        [("limit", f'require = {{ email = ["a@b.c"], {VERIFIED}, {FIREBASE} }}\nlimit')],
        [
            ("anonymous = false", f"anonymous = false\ncallers.require = {{ {VERIFIED} }}"),
            (
                "limit",
                f'require = {{ email = ["a@b.c"], {FIREBASE} }}\n'
                "claims.email.max_length = 9\nlimit",
            ),
            ("a tutor", "${claim.email}"),
        ],
        [("a tutor", "${claim.level}"), ("limit", "claims.level.max_length = 9\nlimit")],
    ],
)
def test_what_is_meant_is_not_warned_of(check: Check, changes: list[tuple[str, str]]) -> None:
    assert warned(check, changed(changes)) == []
    assert "Warnings" not in check(changed(changes))[1]


def test_a_rule_of_all_callers_is_warned_of_once_and_only_where_it_is_open(check: Check) -> None:
    settings = CALM.partition("[profiles.default]")[2]
    head = HEAD + 'callers.require.email = ["a@b.c"]\n'
    verified = f"[profiles.c]\nrequire.email_verified = [true]{settings}"
    assert ("UNVERIFIED_EMAIL", "callers.require.email") not in warned(check, head + verified)
    unverified = f"[profiles.a]{settings}[profiles.b]{settings}"
    found = warned(check, head + unverified + verified)
    assert found.count(("UNVERIFIED_EMAIL", "callers.require.email")) == 1


def test_one_reason_is_printed_once_for_all_that_it_is_about(check: Check) -> None:
    profiles = CALM.partition("[profiles.default]")[2].replace("limit", "#")
    _, printed, _ = check(HEAD + "[profiles.a]" + profiles + "\n[profiles.b]" + profiles)
    assert printed.count("NO_LIMIT") == 1
    assert printed.index("profiles.a.limit") < printed.index("profiles.b.limit")
