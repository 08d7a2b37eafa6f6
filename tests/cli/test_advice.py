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
    (Code.IDLE_LIMIT, "limit", [("50/day", "30/day")]),
    (Code.IDLE_LIMIT, "limit", [("30/hour; 50/day", "100/month; 50/day; 60/hour")]),
    *(
        (Code.UNVERIFIED_EMAIL, "require.email", [("limit", f"require = {{ {rule} }}\nlimit")])
        for rule in (
            'email = ["a@b.c"]',
            'email = ["a@b.c"], email_verified = [true, false]',
            'email = ["a@b.c"], email_verified = [1]',
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
    first, second, *rest = printed.partition("Warnings\n")[2].splitlines()
    assert first.split() == [code.name, f"profiles.default.{path}"]
    assert code.value.startswith(second.strip())
    assert " ".join(" ".join([second, *rest]).split()).startswith(code.value)


def test_every_warning_is_provoked_here() -> None:
    assert {code for code, *_ in WARNINGS} == set(Code)


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [("30/hour; 50/day", "50/day; 30/hour")],
        [("15m", "10m"), ("config.session_resumption", "#")],
        [("limit", 'client_may_set = ["session_resumption"]\nlimit'), ("config.session", "# ")],
        [("15m", "1h"), ("limit", 'client_may_set = ["context_window_compression"]\nlimit')],
        [("15m", "1h"), ("limit", "config.context_window_compression.trigger_tokens = 9\nlimit")],
        [("anonymous = false", "anonymous = true"), ('"off"', '"required"')],
        [("anonymous = false", 'anonymous = true\ncallers.require.plan = ["pro"]')],
        [("anonymous = false", "anonymous = true"), ("limit", 'require.plan = ["pro"]\nlimit')],
        [("limit", 'require = { email = ["a@b.c"], email_verified = [true] }\nlimit')],
        [
            ("anonymous = false", "anonymous = false\ncallers.require.email_verified = [true]"),
            ("limit", 'require = { email = ["a@b.c"] }\nclaims.email.max_length = 9\nlimit'),
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
    assert warned(check, head + verified) == []
    unverified = f"[profiles.a]{settings}[profiles.b]{settings}"
    expected = [("UNVERIFIED_EMAIL", "callers.require.email")]
    assert warned(check, head + unverified + verified) == expected


def test_one_reason_is_printed_once_for_all_that_it_is_about(check: Check) -> None:
    profiles = CALM.partition("[profiles.default]")[2].replace("limit", "#")
    _, printed, _ = check(HEAD + "[profiles.a]" + profiles + "\n[profiles.b]" + profiles)
    assert printed.count("NO_LIMIT") == 1
    assert printed.index("profiles.a.limit") < printed.index("profiles.b.limit")
