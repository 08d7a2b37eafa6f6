"""`deploy/setup.sh`: from an empty project to a function that serves, and never more than that."""

import pytest
from cloud import Fault
from project import SERVICE, Project
from stack import API_KEY

PROJECT = "projects/demo-livetoken"
SECRET = f"{PROJECT}/secrets/livetoken-key"
PASSWORD = f"{PROJECT}/secrets/livetoken-smoke-password"


def grants(project: Project, name: str) -> set[tuple[str, str]]:
    return {
        (resource.removeprefix(f"{PROJECT}/"), role.removeprefix("roles/"))
        for resource, role in project.cloud.grants_of(project.cloud.account(name))
    }


def test_an_empty_project_serves_after_one_command(project: Project) -> None:
    project.cloud.rules.unseen = 2  # a new account is not visible at once
    done = project.setup()
    assert done.status == 0, done.output
    assert "as they must be" in done.output
    assert done.last == f"Apps ask for their tokens at {project.cloud.url(SERVICE)}"
    assert API_KEY not in done.output
    (version,) = project.cloud.state.secrets["livetoken-key"].versions.values()
    assert version.payload == API_KEY.encode()
    assert project.cloud.leaks(API_KEY.encode()) == []
    assert grants(project, "livetoken") == {
        ("secrets/livetoken-key", "secretmanager.secretAccessor")
    }
    assert grants(project, "livetoken-build") == {(PROJECT, "run.builder")}
    assert grants(project, "livetoken-release") == {
        (PROJECT, "run.sourceDeveloper"),
        (PROJECT, "serviceusage.serviceUsageConsumer"),
        (PROJECT, "logging.logWriter"),
        ("secrets/livetoken-key", "secretmanager.viewer"),
        ("secrets/livetoken-smoke-password", "secretmanager.secretAccessor"),
        (f"serviceAccounts/{project.cloud.account('livetoken')}", "iam.serviceAccountUser"),
        (f"serviceAccounts/{project.cloud.account('livetoken-build')}", "iam.serviceAccountUser"),
    }
    revision = project.serving
    assert revision.account == project.cloud.account("livetoken")
    assert revision.secrets == {"GEMINI_API_KEY": "livetoken-key:1"}
    assert {str(build.body.get("serviceAccount")) for build in project.cloud.state.builds.values()}


def test_a_second_run_makes_nothing_and_asks_for_nothing(deployed: Project) -> None:
    revision = deployed.serving.name
    policies = {name: policy.members for name, policy in deployed.cloud.state.policies.items()}
    done = deployed.setup(typed="")
    assert done.status == 0, done.output
    assert f"{revision}, so nothing was deployed" in done.output
    assert deployed.serving.name == revision
    assert [each for each in deployed.cloud.requests if each.status == 409] == []
    assert {name: policy.members for name, policy in deployed.cloud.state.policies.items()} == (
        policies
    )
    again = (":setIamPolicy", "services:batchEnable", "accounts:signInWithPassword")
    assert [each for each in deployed.written if not each.endswith(again)] == []


@pytest.mark.parametrize(
    "place",
    [
        "iam.googleapis.com/v1/projects/demo-livetoken/serviceAccounts$",
        ":addVersion",
        ":setIamPolicy",
        "builds:submit",
        "run.googleapis.com/apis/.*/services$",
    ],
)
def test_what_broke_off_goes_on_at_the_next_run(project: Project, place: str) -> None:
    fault = Fault("POST", place, outcome=403, skip=1 if place == ":setIamPolicy" else 0)
    project.cloud.rules.faults.append(fault)
    broken = project.setup()
    assert broken.status == 1
    assert "see above" in broken.last
    again = project.setup()
    assert again.status == 0, again.output
    assert [each for each in project.cloud.requests if each.status == 409] == []
    assert project.serving.secrets == {"GEMINI_API_KEY": "livetoken-key:1"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "No Gemini API key was given"),
        ("\n", "No Gemini API key was given"),
        ("a key\n", "holds a blank"),
        ("kéy\n", "not ASCII"),
    ],
)
def test_a_key_that_is_none_is_not_stored(project: Project, typed: str, said: str) -> None:
    done = project.setup(typed)
    assert done.status == 1
    assert said in done.last
    assert project.cloud.state.secrets["livetoken-key"].versions == {}
    assert project.cloud.state.services == {}


def test_a_build_that_fails_leaves_no_service_and_says_so(project: Project) -> None:
    project.cloud.rules.build_fails = "requirements.txt is broken"
    done = project.setup()
    assert done.status == 1
    assert "The deploy failed; see above." in done.last
    assert project.cloud.state.services == {}


def test_a_key_that_gemini_refuses_is_found(project: Project) -> None:
    done = project.setup(typed="another-key\nbob-password-0123\n")
    assert done.status == 1
    assert "does not do what it must" in done.last
    assert "GEMINI_REFUSED" in done.output


def test_without_a_test_person_refusals_alone_are_checked(project: Project) -> None:
    project.edit("deploy/names.sh", 'SMOKE_EMAIL="bob@example.com"', 'SMOKE_EMAIL=""')
    done = project.setup(typed=API_KEY)
    assert done.status == 0, done.output
    assert set(project.cloud.state.secrets) == {"livetoken-key"}
    assert "NO_CREDENTIAL" in done.output
    assert project.stack.gemini.mints == []


def test_under_domain_restricted_sharing_it_is_public_all_the_same(project: Project) -> None:
    project.cloud.rules.domain_restricted = True
    done = project.setup()
    assert done.status == 0, done.output


def test_app_checks_used_once_check_gets_its_role(project: Project) -> None:
    text = (project.root / "policy.toml").read_text()
    callers = '[callers]\napp_check = "consume"\n[profiles.default]'
    project.write_policy(text.replace("[profiles.default]", callers, 1))
    with (project.root / "deploy/env.yaml").open("a") as variables:
        variables.write('FIREBASE_PROJECT_NUMBER: "123456789012"\n')
    project.setup()
    assert (PROJECT, "firebaseappcheck.tokenVerifier") in grants(project, "livetoken")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("deploy/names.sh", 'PROJECT="demo-livetoken"', 'PROJECT=""', "PROJECT is empty"),
        ("policy.toml", "AUDIO", "AUDIOS", "profiles.default.config.response_modalities"),
        ("policy.toml", "patient", "hasty", "policy.lock.json"),
        ("deploy/env.yaml", "FIREBASE_PROJECT_ID", "FIREBASE_PROJECT", "FIREBASE_PROJECT_ID"),
        (".gcloudignore", "!policy.lock.json\n", "", "policy.lock.json would not be uploaded"),
    ],
)
@pytest.mark.parametrize("script", ["setup", "deploy"])
def test_what_would_not_serve_touches_nothing(
    project: Project, script: str, file: str, old: str, new: str, said: str
) -> None:
    project.edit(file, old, new)
    done = project.setup() if script == "setup" else project.deploy()
    assert done.status == 1
    assert said in done.output
    assert project.cloud.requests == []


def test_limits_in_redis_need_a_network(project: Project) -> None:
    text = (project.root / "policy.toml").read_text()
    project.write_policy(text.replace("[profiles.default]", '[profiles.default]\nlimit = "5/hour"'))
    with (project.root / "deploy/env.yaml").open("a") as variables:
        variables.write('LIMITS_STORAGE: "async+redis://10.0.0.3:6379/0"\n')
    done = project.setup()
    assert done.status == 1
    assert "VPC network" in done.last
    assert project.cloud.requests == []


def test_a_stranger_is_told_what_is_missing(project: Project) -> None:
    done = project.run("deploy/setup.sh", typed=API_KEY, principal="stranger@example.com")
    assert done.status == 1
    assert "demo-livetoken cannot be seen" in done.last
    assert project.written == []
