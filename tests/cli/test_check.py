"""`check`: what it says of a sound policy and warns of, what of mistakes, and the same as JSON."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from policies import SMALLEST, Check, policy
from stack import SHIPPED

from livetoken.cli import check as printing
from livetoken.cli.advice import Code
from livetoken.cli.main import main
from livetoken.compile import models

RICH = """
api_version = "v1beta"
[callers]
allow_anonymous = true
app_check = "consume"
app_check_apps = ["1:123:web:abc", "1:123:ios:def"]
max_auth_age = "1h30m"
require = { country = ["de"] }
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


def said(printed: str, profile: str, label: str) -> list[str]:
    """The lines beside a label of a profile."""
    block = printed.partition(f"{profile}\n")[2].partition("\n\n")[0].splitlines()
    rows: dict[str, list[str]] = {}
    for line in block:
        first, rest = line[2:21].strip(), line[21:]
        rows.setdefault(first or list(rows)[-1], []).append(rest)
    return rows[label]


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
    assert "Warnings" not in printed
    as_of = models.facts().as_of
    days = (date.today() - as_of).days
    ago = f"{days} day" if days == 1 else f"{days} days"
    assert f"\nFacts about models are as of {as_of}, {ago} ago.\n" in printed


def test_all_there_is_to_say_is_said_of_each_profile(check: Check) -> None:
    _, printed, _ = check(RICH)
    assert printed.startswith(
        """\
tutor
  model              gemini-3.8-live, v1beta
  callers            with an accepted ID token; anonymous accounts too
                     from an app with an App Check token, each accepted once
                     whose app id is 1:123:web:abc or 1:123:ios:def
                     signed in at most 1h30m ago
                     whose country is "de"
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

Each instance counts separately, unless LIMITS_STORAGE is Firestore or Redis.

Warnings
  OPEN_TOOLS         profiles.tutor.client_may_set
"""
    )


def test_machines_are_told_the_same(check: Check, tmp_path: Path) -> None:
    status, printed, errors = check(RICH, "--json")
    assert (status, errors) == (0, "")
    as_of = models.facts().as_of
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
                    "app_check_apps": ["1:123:web:abc", "1:123:ios:def"],
                    "max_auth_age_seconds": 5400,
                    "revoked": "off",
                    "require": [
                        {"claim": "country", "accepted": ["de"]},
                        {"claim": "school.plan", "accepted": ["pro", 2]},
                    ],
                },
                "limits": [{"amount": 3, "seconds": 600}, {"amount": 20, "seconds": 86_400}],
                "budgets": [],
                "at_once": None,
                "least_seconds": None,
                "total": {"limits": [], "budgets": [], "at_once": None},
                "start_within_seconds": 45,
                "expires_in_seconds": 1200,
                "open": ["tools", "session_resumption"],
                "choices": [],
                "safety_identifier": False,
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
            },
            {"code": "NO_DEFAULT", "path": "profiles", "message": Code.NO_DEFAULT.value},
        ],
        "total": {"limits": [], "budgets": [], "at_once": None},
        "limited": True,
        "model_facts": {"as_of": str(as_of), "days": (date.today() - as_of).days},
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
            [
                "1 minute per session",
                "100,000 minutes per caller in 90 minutes",
                "1 minute per caller in 1 day",
                "1 minute per caller in 60 days",
            ],
        ),
        (
            "expires_in = '95s'\nlimit = '3/second'",
            ["3 tokens per caller in 1 second"],
            ["1.6 minutes per session", "4.8 minutes per caller", "410,400 minutes per caller"],
        ),
        (
            "budget = '20m/hour; 3h/day'\nat_once = 2",
            [
                "20 minutes per caller in 1 hour",
                "180 minutes per caller in 1 day",
                "2 sessions per caller at once",
                "a token that would be shorter than 1m is refused",
            ],
            [
                "20 minutes per session",
                "20 minutes per caller in 1 hour",
                "180 minutes per caller in 1 day",
            ],
        ),
        (
            "at_once = 2",
            ["2 sessions per caller at once"],
            ["30 minutes per session", "2,880 minutes per caller in 1 day"],
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
    assert ("\nEach instance counts separately" in printed) == bool(setting)


def test_what_comes_after_a_break_is_said(check: Check) -> None:
    for config, line in (("", "is lost"), ("session_resumption = {}", "can be resumed")):
        _, printed, _ = check(policy(config=config))
        assert said(printed, "default", "lost connection") == [f"the session {line}"]


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
speech_config.voice_config.voice = "\\u001b[2J\\n\\u202e"
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
        return json.loads(check(SMALLEST, "--json")[1])["lock"]["current"]

    file = tmp_path / "policy.toml"
    stale = f"is not current. Run: python -m livetoken lock --policy {file}"
    assert stale in " ".join(check(SMALLEST)[1].split())
    assert current() is False
    assert main(["lock", "--policy", str(tmp_path / "policy.toml")]) == 0
    assert "is not current" not in " ".join(check(SMALLEST)[1].split())
    assert current() is True
