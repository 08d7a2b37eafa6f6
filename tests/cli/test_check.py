"""`check`: what it says of a sound policy and warns of, what of mistakes, and the same as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from policies import HEAD, policy
from stack import SHIPPED

from livetoken.cli import check as printing
from livetoken.cli.advice import Code
from livetoken.cli.main import main

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
RICH = """
api_version = "v1beta"
[callers]
allow_anonymous = true
app_check = "consume"
max_auth_age = "1h30m"
require = { email_verified = [true] }
[profiles.tutor]
model = "gemini-3.8-live"
expires_in = "20m"
start_within = "45s"
limit = "3/10 minutes; 20/day"
require = { school.plan = ["pro", 2] }
client_may_set = ["tools", "session_resumption"]
[profiles.tutor.claims]
level = { max_length = 20, default = "B1" }
"school.class" = { max_length = 5 }
[profiles.tutor.config]
response_modalities = ["AUDIO"]
system_instruction = "Level ${claim.level}, class ${claim.school.class}."
temperature = 0.5
context_window_compression = { sliding_window = {} }
"""

Check: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Check a policy: the exit status, and what was printed on standard output and error."""

    def check(source: str, *options: str) -> tuple[int, str, str]:
        file = tmp_path / "policy.toml"
        file.write_text(source, encoding="utf-8")
        status = main(["check", "--policy", str(file), *options])
        return status, *capsys.readouterr()

    return check


def said(printed: str, profile: str, label: str) -> list[str]:
    """The lines beside a label of a profile."""
    block = printed.partition(f"{profile}\n")[2].partition("\n\n")[0].splitlines()
    rows: dict[str, list[str]] = {}
    for line in block:
        first, rest = line[2:21].strip(), line[21:]
        rows.setdefault(first or list(rows)[-1], []).append(rest)
    return rows[label]


def warned(check: Check, source: str) -> list[tuple[str, str]]:
    """The code and the path of each warning."""
    status, printed, _ = check(source, "--json")
    assert status == 0, printed
    return [(each["code"], each["path"]) for each in json.loads(printed)["warnings"]]


def test_check_prints_what_each_shipped_profile_allows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "--policy", str(SHIPPED)]) == 0
    printed = capsys.readouterr().out
    for profile in ("default", "quick", "research"):
        assert said(printed, profile, "client may set") == ["nothing: its own setup is ignored"]
    assert said(printed, "quick", "one token") == [
        "one session, which starts within 30s and ends after 5m"
    ]
    assert "thinking_config             thinking_level LOW" in said(printed, "research", "locked")


def test_all_there_is_to_say_is_said_of_each_profile(check: Check) -> None:
    _, printed, _ = check(RICH)
    assert printed.startswith(
        """\
tutor
  model              gemini-3.8-live, v1beta
  callers            with an accepted ID token; anonymous accounts too
                     from an app with an App Check token, each accepted once
                     signed in at most 1h30m ago
                     whose email_verified is true
                     whose school.plan is "pro" or 2
  rate limit         3 tokens per caller in 10 minutes
                     20 tokens per caller in 1 day
  one token          one session, which starts within 45s and ends after 20m
  lost connection    the session can be resumed if the client asked for it
  cost at most       20 minutes per session
                     60 minutes per caller in 10 minutes
                     400 minutes per caller in 1 day
  client may set     tools, session_resumption
  claims             level         at most 20 characters; without it: "B1"
                     school.class  at most 5 characters; without it: refused
  locked             response_modalities         AUDIO
                     system_instruction          Level ${claim.level}, class ${claim.school.class}.
                     temperature                 0.5
                     context_window_compression  sliding_window on
                     everything else             empty

There is no profile default: every request must name one.

Warnings
  OPEN_TOOLS         profiles.tutor.client_may_set
"""
    )


def test_machines_are_told_the_same(check: Check, tmp_path: Path) -> None:
    status, printed, errors = check(RICH, "--json")
    assert (status, errors) == (0, "")
    assert json.loads(printed) == {
        "policy": str(tmp_path / "policy.toml"),
        "api_version": "v1beta",
        "lock": {"path": str(tmp_path / "policy.lock.json"), "current": False},
        "default_profile": None,
        "profiles": {
            "tutor": {
                "model": "gemini-3.8-live",
                "who_may": {
                    "allow_anonymous": True,
                    "app_check": "consume",
                    "max_auth_age_seconds": 5400,
                    "require": [
                        {"claim": "email_verified", "accepted": [True]},
                        {"claim": "school.plan", "accepted": ["pro", 2]},
                    ],
                },
                "limits": [{"amount": 3, "seconds": 600}, {"amount": 20, "seconds": 86_400}],
                "start_within_seconds": 45,
                "expires_in_seconds": 1200,
                "open": ["tools", "session_resumption"],
                "locked": [
                    {"field": "response_modalities", "value": ["AUDIO"]},
                    {
                        "field": "system_instruction",
                        "value": "Level ${claim.level}, class ${claim.school.class}.",
                    },
                    {"field": "temperature", "value": 0.5},
                    {"field": "context_window_compression", "value": {"sliding_window": {}}},
                ],
                "locked_empty": [
                    "input_audio_transcription",
                    "output_audio_transcription",
                    "realtime_input_config",
                    "proactivity",
                    "history_config",
                    "avatar_config",
                    "safety_settings",
                    "labels",
                ],
                "claims": [
                    {"claim": "level", "max_length": 20, "default": "B1"},
                    {"claim": "school.class", "max_length": 5, "default": None},
                ],
                "cost": {
                    "session_seconds": 1200,
                    "windows": [
                        {"seconds": 600, "session_seconds": 3600},
                        {"seconds": 86_400, "session_seconds": 24_000},
                    ],
                },
            }
        },
        "warnings": [
            {
                "code": "OPEN_TOOLS",
                "path": "profiles.tutor.client_may_set",
                "message": Code.OPEN_TOOLS.value,
            }
        ],
    }


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("", "with an accepted ID token; no anonymous accounts"),
        ("", "from any app: App Check is off"),
        ("app_check = 'required'", "from an app with an App Check token"),
        ("max_auth_age = '90s'", "signed in at most 1m30s ago"),
        ("require = { a = [true, 'true', 1.5] }", 'whose a is true or "true" or 1.5'),
        ("require = { a.b = ['ü'], 'c.d' = [1] }", 'whose a.b is "ü"'),
        ("require = { a.b = ['ü'], 'c.d' = [1] }", "whose c.d is 1"),
    ],
)
def test_each_rule_about_callers_is_said(check: Check, rule: str, line: str) -> None:
    _, printed, _ = check(policy(callers=rule))
    assert line in said(printed, "default", "callers")


@pytest.mark.parametrize(
    ("setting", "often", "cost"),
    [
        ("", ["none"], ["30 minutes per session", "no bound on the sessions"]),
        (
            "expires_in = '1m'\nstart_within = '1m'\nlimit = '1/2 months; 100000/90 minutes'",
            ["1 token per caller in 60 days", "100,000 tokens per caller in 90 minutes"],
            ["1 minute per session", "1 minute per caller", "100,000 minutes per caller"],
        ),
        (
            "expires_in = '95s'\nlimit = '3/second'",
            ["3 tokens per caller in 1 second"],
            ["1.6 minutes per session", "4.8 minutes per caller"],
        ),
    ],
)
def test_what_a_caller_costs_is_every_token_to_its_end(
    check: Check, setting: str, often: list[str], cost: list[str]
) -> None:
    _, printed, _ = check(policy(profile=setting))
    assert said(printed, "default", "rate limit") == often
    costs = said(printed, "default", "cost at most")
    assert all(line.startswith(begins) for line, begins in zip(costs, cost, strict=True))


def test_what_comes_after_a_break_is_said(check: Check) -> None:
    for config, line in (("", "is lost"), ("session_resumption = {}", "can be resumed")):
        _, printed, _ = check(policy(config=config))
        assert said(printed, "default", "lost connection") == [f"the session {line}"]


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


def test_every_line_is_short_and_hides_nothing(check: Check) -> None:
    long = "wide " * 50
    source = f"""
api_version = "v1alpha"
[callers]
require = {{ {"claim" * 40} = ["{long}"], "a\\nb" = ["\\u001b[2J"] }}
[profiles.{"p" * 64}]
model = "gemini-{"9" * 120}"
client_may_set = ["tools", "safety_settings", "input_audio_transcription", "proactivity", "labels"]
[profiles.{"p" * 64}.claims]
{"level" * 40} = {{ max_length = 1000, default = "{long}" }}
"a\\u001bb" = {{ max_length = 9, default = "x" }}
[profiles.{"p" * 64}.config]
response_modalities = ["AUDIO"]
system_instruction = "{long} \\u202e"
speech_config.language_code = "\\u001b[2J\\n\\u202e"
"""
    status, printed, _ = check(source)
    assert status == 0
    lines = printed.splitlines()
    assert max(map(len, lines)) <= printing.WIDTH
    assert all(line.isprintable() for line in lines)
    for shown in ("\\x1b[2J", "\\u202e", "a\\nb", "at most 9 characters", "wide wi…", "labels"):
        assert shown in printed


def test_people_and_machines_get_every_mistake_with_its_path(check: Check) -> None:
    source = policy(profile="'a: b' = 1\n'\"' = 1", config="seed = 'x'")
    status, printed, errors = check(source)
    assert (status, printed) == (1, "")
    assert errors.startswith("profiles.default.config.seed: must be a whole number\n")
    assert len(errors.splitlines()) == 3
    status, printed, errors = check(source, "--json")
    assert (status, errors) == (1, "")
    assert json.loads(printed) == {
        "problems": [
            {"path": "profiles.default.config.seed", "message": "must be a whole number"},
            {"path": 'profiles.default."a: b"', "message": "unknown"},
            {"path": 'profiles.default."\\""', "message": "unknown"},
        ]
    }


def test_a_policy_that_is_not_there_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["check", "--policy", str(tmp_path / "none.toml")]
    assert main(command) == 1
    assert "cannot be read: No such file" in capsys.readouterr().err
    assert main([*command, "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["path"] == "policy"
    assert problem["message"].endswith("cannot be read: No such file or directory")


def test_whether_the_lock_is_current_is_said(check: Check, tmp_path: Path) -> None:
    def current() -> Any:
        return json.loads(check(CALM, "--json")[1])["lock"]["current"]

    assert "is not current. Run: python -m livetoken lock" in " ".join(check(CALM)[1].split())
    assert current() is False
    assert main(["lock", "--policy", str(tmp_path / "policy.toml")]) == 0
    assert "is not current" not in " ".join(check(CALM)[1].split())
    assert current() is True
