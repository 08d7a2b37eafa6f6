"""What a deploy refuses before anything is touched: `python -m livetoken preflight`."""

import io
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import ClassVar

import pytest
from policies import CONFIG, PROFILE, compiled, policy
from stack import POLICY

from livetoken import settings
from livetoken.cli.main import main
from livetoken.settings import Settings

GOOD = 'FIREBASE_PROJECT_ID: "demo-project"\n'
LIMITED = POLICY.replace("[profiles.default]", '[profiles.default]\nlimit = "5/hour"')


def preflight(
    folder: Path, environment: str, policy_text: str = POLICY, *options: str
) -> tuple[int, str]:
    """The exit status and what was said, of a policy with a current lock."""
    (folder / "policy.toml").write_text(policy_text)
    (folder / "env.yaml").write_text(environment)
    run(folder, "lock")
    return run(folder, "preflight", "env.yaml", *options)


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit status of a command in a folder, and what was said."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(output):
        patch.chdir(folder)
        status = main([*arguments])
    return status, output.getvalue()


def test_what_would_start_passes_and_says_what_scripts_want_to_know(tmp_path: Path) -> None:
    status, said = preflight(tmp_path, GOOD)
    assert status == 0
    assert said.splitlines() == [
        "policy=policy.toml",
        "lock=policy.lock.json",
        "app_check=off",
        "firebase_project=demo-project",
        "looked_up=",
        "switch=",
        "origins=",
        "limits=none",
        "firestore=",
        "network=",
        "safety_identifier=off",
    ]


@pytest.mark.parametrize(
    ("variable", "where"),
    [
        ("", "limits=memory firestore= network="),
        (
            'LIMITS_STORAGE: "async+redis://10.0.0.3:6379/0"\n',
            "limits=redis firestore= network=required",
        ),
        (
            'LIMITS_STORAGE: "async+rediss://10.0.0.3:6379/0"\n',
            "limits=redis firestore= network=",
        ),
        (
            'LIMITS_STORAGE: "async+firestore://demo-project/(default)"\n',
            "limits=firestore firestore=demo-project/(default) network=",
        ),
    ],
)
def test_it_says_where_limits_count(tmp_path: Path, variable: str, where: str) -> None:
    _, said = preflight(tmp_path, GOOD + variable, LIMITED)
    assert {*where.split()} <= {*said.splitlines()}


def test_the_storage_of_limits_may_come_from_a_secret(tmp_path: Path) -> None:
    secrets = ("--secret=LIMITS_STORAGE=livetoken-limits", "--secret=/redis/ca.pem=livetoken-ca")
    status, said = preflight(tmp_path, GOOD, LIMITED, *secrets)
    assert status == 0
    assert "limits=redis\n" in said


@pytest.mark.parametrize(
    ("secret", "variable", "said"),
    [
        ("GEMINI_API_KEY=key", "", "must be LIMITS_STORAGE=SECRET or /FILE=SECRET"),
        ("LIMITS_STORAGE", "", "must be LIMITS_STORAGE=SECRET or /FILE=SECRET"),
        ("/a b=c", "", "must be LIMITS_STORAGE=SECRET or /FILE=SECRET"),
        ("LIMITS_STORAGE=a", 'LIMITS_STORAGE: "async+memory://"\n', "is in a secret and in the"),
    ],
)
def test_a_secret_that_means_nothing_is_reported(
    tmp_path: Path, secret: str, variable: str, said: str
) -> None:
    status, output = preflight(tmp_path, GOOD + variable, LIMITED, f"--secret={secret}")
    assert status == 1
    assert said in output


@pytest.mark.parametrize("user", [":hidden@", "default:hidden@", "hidden@"])
def test_a_password_in_the_file_is_refused_and_not_quoted(tmp_path: Path, user: str) -> None:
    variable = f'LIMITS_STORAGE: "async+rediss://{user}redis.example:6380/0"\n'
    status, output = preflight(tmp_path, GOOD + variable, LIMITED)
    assert status == 1
    assert "LIMITS_STORAGE: holds a password: store it as a secret" in output
    assert "hidden" not in output


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ("", 'env.yaml: contains no variables; write NAME: "value", one per line'),
        ("- a", "env.yaml: contains no variables"),
        ("a: [", "env.yaml: is not YAML"),
        (
            GOOD + 'ALOWED_ORIGINS: "*"',
            "env.yaml: ALOWED_ORIGINS: unknown, did you mean ALLOWED_ORIGINS?",
        ),
        (GOOD + "FIREBASE_PROJECT_NUMBER: 123", "FIREBASE_PROJECT_NUMBER: is not text"),
        (GOOD + 'GEMINI_API_KEY: "AIza-secret"', "env.yaml: GEMINI_API_KEY: is a secret"),
        ('FIREBASE_PROJECT_ID: ""', "FIREBASE_PROJECT_ID or GOOGLE_CLIENT_IDS: at least one"),
        (GOOD + 'ALLOWED_ORIGINS: "app.example.com"', "ALLOWED_ORIGINS: origin 1 is not written"),
        (GOOD + 'POLICY_FILE: "other.toml"', "other.toml: cannot be read"),
    ],
)
def test_variables_that_would_not_serve_are_refused(
    tmp_path: Path, environment: str, said: str
) -> None:
    status, output = preflight(tmp_path, environment)
    assert status == 1
    assert said in output
    assert "AIza-secret" not in output


def test_a_policy_with_mistakes_is_refused_with_the_variables(tmp_path: Path) -> None:
    status, said = preflight(
        tmp_path, 'FIREBASE_PROJECT_ID: ""', POLICY.replace("temperature", "temprature")
    )
    assert status == 1
    assert "policy.toml: profiles.default.config.temprature: " in said
    assert "env.yaml: FIREBASE_PROJECT_ID or GOOGLE_CLIENT_IDS: " in said


GOOGLE = 'GOOGLE_CLIENT_IDS: "1-web.apps.googleusercontent.com"\n'
REDIS = 'LIMITS_STORAGE: "async+redis://10.0.0.3:6379/0"\n'
HD = "require = { hd = ['example.com'] }"
TENANT = "require = { firebase.tenant = ['t1'] }"


@pytest.mark.parametrize(
    ("environment", "setting", "said"),
    [
        (GOOD, HD, "require.hd: refuses every caller: only Google's own tokens"),
        (GOOGLE, HD, None),
        (
            GOOGLE,
            TENANT,
            "require.firebase.tenant: refuses every caller: only Firebase tok",
        ),
        (GOOD, TENANT, None),
        (GOOD, "limit = '1/day'", "limit: is counted in memory and starts anew with each instance"),
        (GOOD, "limit = '9/hour; 30/2 hours'", "limit: is counted in memory and starts anew"),
        (GOOD + REDIS, "limit = '1/day'", None),
        (GOOD, "limit = '9/hour'", None),
        (GOOD + GOOGLE, "limit = '9/hour'", "limit: a person with a Firebase and a Google acc"),
        (GOOD + GOOGLE, f"limit = '9/hour'\n{HD}", None),
        (GOOD + GOOGLE, f"limit = '9/hour'\n{TENANT}", None),
        (GOOD + GOOGLE, "", None),
    ],
)
def test_what_policy_and_environment_mean_together_is_said_with_the_file(
    tmp_path: Path, environment: str, setting: str, said: str | None
) -> None:
    status, output = preflight(tmp_path, environment, policy(profile=setting))
    warnings = [line for line in output.splitlines() if line.startswith("warning: ")]
    assert status == 0
    assert len(warnings) == (said is not None)
    assert all(
        line.startswith(f"warning: policy.toml: profiles.default.{said}") for line in warnings
    )


def test_a_rule_of_all_callers_that_nobody_can_pass_is_said_once(tmp_path: Path) -> None:
    two = (
        policy(callers=HD)
        + PROFILE.replace("default", "other")
        + CONFIG.replace("default", "other")
    )
    status, output = preflight(tmp_path, GOOD, two)
    assert (status, output.count("callers.require.hd: refuses every caller")) == (0, 1)


def test_an_app_of_another_project_is_said(tmp_path: Path) -> None:
    apps = "app_check = 'required'\napp_check_apps = ['1:123:web:a', '1:9:web:b']"
    environment = GOOD + 'FIREBASE_PROJECT_NUMBER: "123"\n'
    status, output = preflight(tmp_path, environment, policy(callers=apps))
    (line,) = [line for line in output.splitlines() if line.startswith("warning: ")]
    assert status == 0
    assert line.startswith("warning: policy.toml: callers.app_check_apps: tokens of 1:9:web:b are")


def test_it_says_in_which_projects_users_are_looked_up(tmp_path: Path) -> None:
    several = GOOD.replace("demo-project", "demo-project,other-project")
    checks = policy(callers="revoked = 'check'")
    assert "looked_up=demo-project,other-project" in preflight(tmp_path, several, checks)[1]


def test_that_nobody_can_be_looked_up_is_said(tmp_path: Path) -> None:
    google = GOOD.replace("FIREBASE_PROJECT_ID", "GOOGLE_CLIENT_IDS")
    status, output = preflight(tmp_path, google, policy(callers="revoked = 'check'"))
    assert (status, "callers.revoked: has no effect" in output) == (0, True)


def test_warnings_go_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    preflight(tmp_path, GOOD, policy(profile=HD))
    monkeypatch.chdir(tmp_path)
    assert main(["preflight", "env.yaml"]) == 0
    printed = capsys.readouterr()
    assert "refuses every caller" in printed.err
    assert all("=" in line and "refuses" not in line for line in printed.out.splitlines())


@pytest.mark.parametrize("change", ["edited", "missing"])
def test_a_lock_that_is_not_current_is_refused(tmp_path: Path, change: str) -> None:
    assert preflight(tmp_path, GOOD)[0] == 0
    if change == "edited":
        (tmp_path / "policy.toml").write_text(POLICY.replace("patient", "hasty"))
    else:
        (tmp_path / "policy.lock.json").unlink()
    status, said = run(tmp_path, "preflight", "env.yaml")
    assert status == 1
    assert "policy.lock.json" in said


def test_the_variables_that_are_known_are_those_that_are_read() -> None:
    class Asked(Mapping[str, str]):
        names: ClassVar[set[str]] = set()

        def __getitem__(self, name: str) -> str:
            self.names.add(name)
            return {"GEMINI_API_KEY": "key", "FIREBASE_PROJECT_ID": "demo-project"}[name]

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("nobody needs to know what else is there")

        def __len__(self) -> int:
            raise AssertionError

    asked = Asked()
    Settings.read(asked, compiled(policy(profile='limit = "1/day"')))
    settings.policy_file(asked)
    assert asked.names == {*settings.VARIABLES, *settings.FRAMEWORK_VARIABLES}
