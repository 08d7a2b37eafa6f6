"""`deploy/setup.sh` turns an empty project into a function that serves, and does nothing more."""

import re

import pytest
from cloud import Fault
from cloud.access import member
from cloud.state import Bucket
from project import (
    ACCOUNTS,
    APIS,
    DEMO,
    IMAGES,
    KEY_SECRET,
    PASSWORD,
    PASSWORD_SECRET,
    SAFETY_SECRET,
    SERVICE,
    SMOKE_PASSED,
    SOURCES,
    SWITCH,
    SWITCHES,
    Project,
    masked,
    transcript,
)
from stack import API_KEY


def test_an_empty_project_serves_after_one_command(project: Project) -> None:
    project.cloud.rules.unseen = 1  # other services do not see a new account at once
    project.cloud.rules.domain_restricted = True  # allUsers may not hold a role
    state, similar = project.cloud.state, f"{DEMO}/{IMAGES}-2"
    state.repositories[similar] = {"name": similar}
    state.buckets[f"{SOURCES}-2"] = Bucket(f"{SOURCES}-2", {})
    done = project.setup()
    assert done.status == 0, done.output
    assert SMOKE_PASSED in done.output
    shown = transcript("`setup.sh` asks")
    begins, ends = shown[: shown.index("…")], shown[-1]
    assert {*masked(begins), *masked([ends])} <= {*masked(done.output.splitlines())}
    said, _, url = done.last.rpartition(" ")
    assert said == "Apps request tokens at"
    signed_in = {"Authorization": f"Bearer {project.stack.issuer.id_token('ada')}"}
    assert project.cloud.ask(url, headers=signed_in).status == 200
    assert {name: project.grants(name) for name in ACCOUNTS} == ACCOUNTS
    assert {f"{name}.googleapis.com" for name in APIS} <= project.cloud.state.enabled
    stored = {
        name: [version.payload for version in secret.versions.values()]
        for name, secret in project.cloud.state.secrets.items()
    }
    assert stored == {KEY_SECRET: [API_KEY.encode()], PASSWORD_SECRET: [PASSWORD.encode()]}
    for secret in (API_KEY, PASSWORD):
        assert secret not in done.output
    assert project.cloud.leaks(API_KEY.encode()) == []
    assert set(state.buckets) == {SOURCES, f"{SOURCES}-2", SWITCHES}
    for bucket in (SOURCES, SWITCHES):
        access = state.buckets[bucket].body["iamConfiguration"]
        assert access["publicAccessPrevention"] == "enforced"
        assert access["uniformBucketLevelAccess"]["enabled"]
    assert project.serving.variables["SWITCH_OBJECT"] == SWITCH
    (traffic,) = project.cloud.service(SERVICE).spec["traffic"]
    assert traffic["revisionName"] == project.serving.name
    assert project.serving.account == project.cloud.account("livetoken")
    assert project.serving.secrets == {"GEMINI_API_KEY": f"{KEY_SECRET}:1"}


def test_a_policy_with_safety_identifiers_gets_a_key_that_nobody_sees(deployed: Project) -> None:
    text = (deployed.root / "policy.toml").read_text()
    callers = "[callers]\nsafety_identifier = true\n[profiles.default]"
    deployed.write_policy(text.replace("[profiles.default]", callers, 1))
    early = deployed.deploy()
    assert early.status == 1
    assert f"Could not list the versions of the secret {SAFETY_SECRET}" in early.last
    assert "deploy/setup.sh" in early.last
    for _ in range(2):
        done = deployed.setup(typed="")
        assert done.status == 0, done.output
    (version,) = deployed.cloud.state.secrets[SAFETY_SECRET].versions.values()
    assert re.fullmatch(rb"[0-9a-f]{64}", version.payload)
    assert version.payload.decode() not in done.output
    assert deployed.cloud.leaks(version.payload) == []
    read = (f"secrets/{SAFETY_SECRET}", "secretmanager.secretAccessor")
    assert deployed.grants("livetoken") == {*ACCOUNTS["livetoken"], read}
    listed = (f"secrets/{SAFETY_SECRET}", "secretmanager.viewer")
    assert deployed.grants("livetoken-release") == {*ACCOUNTS["livetoken-release"], listed}
    released = deployed.deploy()
    assert released.status == 0, released.output
    assert deployed.serving.secrets == {
        "GEMINI_API_KEY": f"{KEY_SECRET}:1",
        "SAFETY_IDENTIFIER_KEY": f"{SAFETY_SECRET}:1",
    }


def test_a_second_run_creates_nothing_and_asks_for_nothing(deployed: Project) -> None:
    revision = deployed.serving.name
    policies = {name: policy.members for name, policy in deployed.cloud.state.policies.items()}
    done = deployed.setup(typed="")
    assert done.status == 0, done.output
    assert f"{revision} already serves, so nothing was deployed" in done.output
    assert deployed.serving.name == revision
    assert [each for each in deployed.cloud.requests if each.status == 409] == []
    now = {name: policy.members for name, policy in deployed.cloud.state.policies.items()}
    assert now == policies
    again = (":setIamPolicy", "/iam", "services:batchEnable", "accounts:signInWithPassword")
    assert [each for each in deployed.written if not each.endswith(again)] == []


def test_an_interrupted_setup_continues_and_grants_fit_the_policy_and_the_test_user(
    project: Project,
) -> None:
    project.name("SMOKE_EMAIL", "")
    text = (project.root / "policy.toml").read_text()
    callers = '[callers]\napp_check = "consume"\nrevoked = "check"\n[profiles.default]'
    project.write_policy(text.replace("[profiles.default]", callers, 1))
    project.cloud.rules.faults = [Fault("POST", "/serviceAccounts$", outcome=403, skip=1)]
    broken = project.setup(typed=API_KEY)
    assert broken.status == 1
    assert "Could not create the service account livetoken-build" in broken.last
    done = project.setup(typed=API_KEY)
    assert done.status == 0, done.output
    assert [each for each in project.cloud.requests if each.status == 409] == []
    assert project.serving.secrets == {"GEMINI_API_KEY": f"{KEY_SECRET}:1"}
    assert set(project.cloud.state.secrets) == {KEY_SECRET}
    of_policy = {("", "firebaseappcheck.tokenVerifier"), ("", "firebaseauth.viewer")}
    assert project.grants("livetoken") == ACCOUNTS["livetoken"] | of_policy
    password = (f"secrets/{PASSWORD_SECRET}", "secretmanager.secretAccessor")
    assert project.grants("livetoken-release") == ACCOUNTS["livetoken-release"] - {password}


def test_wider_grants_of_an_older_setup_are_revoked_and_the_owners_are_kept(
    deployed: Project,
) -> None:
    cloud = deployed.cloud
    policy = cloud.state.policy(DEMO)
    old = {"livetoken-build": "roles/run.builder", "livetoken-release": "roles/run.sourceDeveloper"}
    for name, role in old.items():
        policy.members[role] = {member(cloud.account(name))}
    policy.members["roles/run.builder"].add(member(cloud.account("livetoken")))
    condition = {
        "title": "until May",
        "expression": 'request.time < timestamp("2027-05-01T00:00:00Z")',
    }
    builder = {"role": "roles/run.builder", "members": [member(cloud.account("livetoken-build"))]}
    policy.conditional = [{**builder, "condition": condition}]
    for _ in range(2):
        done = deployed.setup(typed="")
        assert done.status == 0, done.output
        expected = {**ACCOUNTS, "livetoken": {*ACCOUNTS["livetoken"], ("", "run.builder")}}
        assert {name: deployed.grants(name) for name in ACCOUNTS} == expected
        assert cloud.state.policy(DEMO).conditional == [{**builder, "condition": condition}]


def test_a_piped_key_is_never_the_password(project: Project) -> None:
    project.put_in_place()
    project.cloud.state.secrets[PASSWORD_SECRET].versions.clear()
    done = project.setup(password="")
    assert done.status == 1
    assert "type it, or set SMOKE_PASSWORD" in done.last
    assert project.cloud.state.secrets[PASSWORD_SECRET].versions == {}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "No Gemini API key was given"),
        ("\n", "No Gemini API key was given"),
        ("a key\n", "contains a space"),
        ("k\u00e9y\n", "not ASCII"),
    ],
)
def test_an_invalid_key_is_not_stored(project: Project, typed: str, said: str) -> None:
    lines = f"source deploy/lib.sh; add_version {KEY_SECRET} 'Gemini API key' 'try'; echo stored"
    done = project.run("bash", "-c", lines, typed=typed, variables={"LC_ALL": "C.UTF-8"})
    assert done.status == 1
    assert said in done.last
    assert project.cloud.requests == []


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
def test_an_invalid_checkout_changes_nothing(
    project: Project, file: str, old: str, new: str, said: str
) -> None:
    project.edit(file, old, new)
    done = project.setup()
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


def test_limits_in_firestore_get_access_to_their_database_alone(project: Project) -> None:
    text = (project.root / "policy.toml").read_text()
    project.write_policy(text.replace("[profiles.default]", '[profiles.default]\nlimit = "5/hour"'))
    with (project.root / "deploy/env.yaml").open("a") as variables:
        variables.write(
            f'LIMITS_STORAGE: "async+firestore://{project.cloud.state.project}/limits"\n'
        )
    # It stops at the grant after that one, since the rest is tested above.
    project.cloud.rules.faults = [Fault("POST", ":setIamPolicy$", outcome=403, skip=2)]
    done = project.setup(typed=API_KEY)
    assert "Could not grant roles/logging.logWriter" in done.output
    (binding,) = project.cloud.state.policy(DEMO).conditional
    assert binding["role"] == "roles/datastore.user"
    assert binding["members"] == [member(project.cloud.account("livetoken"))]
    expression = binding["condition"]["expression"]
    assert expression == f'resource.name=="projects/{project.cloud.state.project}/databases/limits"'
    assert project.grants("livetoken") == ACCOUNTS["livetoken"]


def test_more_secrets_reach_the_function_and_nobody_else(deployed: Project) -> None:
    text = (deployed.root / "policy.toml").read_text()
    limited = text.replace("[profiles.default]", '[profiles.default]\nlimit = "5/hour"')
    deployed.write_policy(limited)
    deployed.name("SECRETS", "LIMITS_STORAGE=limits /redis/ca.pem=authority")
    early = deployed.setup(typed="")
    assert early.status == 1
    assert "There is no secret limits" in early.last
    for name, value in (("limits", "async+memory://"), ("authority", "a certificate")):
        (deployed.root / name).write_text(value)
        deployed.gcloud("secrets", "create", name, f"--data-file={name}")
    done = deployed.setup(typed="")
    assert done.status == 0, done.output
    for name in ("limits", "authority"):
        read = (f"secrets/{name}", "secretmanager.secretAccessor")
        assert read in deployed.grants("livetoken")
        assert read not in deployed.grants("livetoken-release")
    released = deployed.deploy()
    assert released.status == 0, released.output
    assert deployed.serving.secrets["LIMITS_STORAGE"] == "limits:1"
    (mount,) = deployed.serving.container["volumeMounts"]
    assert mount["mountPath"] == "/redis"
    (volume,) = deployed.serving.spec["volumes"]
    assert volume["secret"] == {
        "secretName": "authority",
        "items": [{"key": "1", "path": "ca.pem"}],
    }


def test_an_account_without_access_gets_an_explanation(project: Project) -> None:
    done = project.run("deploy/setup.sh", typed=API_KEY, principal="stranger@example.com")
    assert done.status == 1
    assert "Could not read the project demo-livetoken" in done.last
    assert project.written == []
