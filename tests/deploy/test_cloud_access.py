"""The stand-in of Google Cloud: permissions, name conflicts, etags, secrets and monitoring."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cloud.access import member
from cloud.secretmanager import crc32c
from cloud.state import Bucket, Version
from project import DEMO, IMAGES, KEY_SECRET, RUN, SECRETS, SERVICE, SOURCES, Project
from stack import API_KEY

ACCOUNTS = "https://iam.googleapis.com/v1/projects/-/serviceAccounts"
PROJECT = f"https://cloudresourcemanager.googleapis.com/v1/{DEMO}"
ARTIFACTS = f"https://artifactregistry.googleapis.com/v1/{DEMO}/locations/us-central1/repositories"
KEY = f"{SECRETS}/{KEY_SECRET}"


def bindings(role: str, member: str) -> dict[str, Any]:
    return {"policy": {"bindings": [{"role": f"roles/{role}", "members": [member]}]}}


# ------------------------------------------------------------------ names, APIs and projects


def test_a_name_is_taken_only_once(deployed: Project) -> None:
    create = ("secrets", "create", KEY_SECRET, "--replication-policy=automatic")
    assert "already exists" in deployed.gcloud(*create, status=1)
    for url, body in (
        (ACCOUNTS.replace("/-/", "/demo-livetoken/"), {"accountId": "livetoken"}),
        (f"{ARTIFACTS}?repositoryId=cloud-run-source-deploy", {}),
        (
            "https://storage.googleapis.com/storage/v1/b",
            {"name": "run-sources-demo-livetoken-us-central1"},
        ),
        (f"{RUN}/services", {"metadata": {"name": SERVICE}, "spec": {}}),
    ):
        status, answer = deployed.call("POST", url, body)
        assert (status, answer["error"]["status"]) == (409, "ALREADY_EXISTS")


def test_an_api_must_be_enabled(project: Project) -> None:
    said = project.gcloud("secrets", "list", status=1)
    assert "Secret Manager API has not been used in project 123456789012 before" in said
    assert "SERVICE_DISABLED" in said


def test_another_project_is_refused(project: Project) -> None:
    assert project.call("GET", PROJECT.replace("demo-livetoken", "other"))[0] == 403


# ------------------------------------------------------------------ accounts and grants


def test_a_new_account_is_not_visible_at_once(settled: Project) -> None:
    cloud = settled.cloud
    cloud.rules.unseen = 4
    settled.call("POST", ACCOUNTS.replace("/-/", "/demo-livetoken/"), {"accountId": "late-comer"})
    email = cloud.account("late-comer")
    late, role = member(email), "--role=roles/run.builder"
    bind = ("projects", "add-iam-policy-binding", "demo-livetoken", f"--member={late}", role)
    assert f"Service account {email} does not exist." in settled.gcloud(*bind, status=1)
    for url, named in (
        (KEY, "secretmanager.viewer"),
        (f"{ACCOUNTS}/{cloud.account('livetoken')}", "iam.serviceAccountUser"),
    ):
        status, answer = settled.call("POST", f"{url}:setIamPolicy", bindings(named, late))
        assert (status, "does not exist" in answer["error"]["message"]) == (400, True)
    deploy = [each for each in settled.deploy_words if not each.startswith("--service-account")]
    assert "actAs" in settled.gcloud(*deploy, f"--service-account={email}", status=1)
    settled.gcloud(*bind)
    assert cloud.grants_of(email) == {(DEMO, "roles/run.builder")}


def test_a_grant_takes_effect_later(settled: Project) -> None:
    settled.cloud.rules.lag = 1
    grant = bindings("secretmanager.secretAccessor", "user:ada@example.com")
    settled.call("POST", f"{KEY}:setIamPolicy", grant)
    read = ("GET", f"{KEY}/versions/1:access", None, "ada@example.com")
    assert [settled.call(*read)[0] for _ in range(2)] == [403, 200]


def test_the_releaser_cannot_open_a_service_or_read_the_key(settled: Project) -> None:
    releaser = settled.cloud.account("livetoken-release")
    said = settled.gcloud(*settled.deploy_words, principal=releaser, status=1)
    assert "Permission 'run.services.setIamPolicy' denied" in said
    assert settled.call("GET", f"{KEY}/versions/1:access", None, releaser)[0] == 403
    service = f"{RUN}/services/{SERVICE}"
    status, answer = settled.call("GET", service, None, "nobody@example.com")
    assert status == 403
    assert "Permission 'run.services.get' denied" in answer["error"]["message"]
    assert settled.call("GET", service, None, "no account")[0] == 401


@pytest.mark.parametrize("account", ["livetoken-build", "livetoken-test", "livetoken-release"])
def test_builds_and_releases_read_the_sources_and_no_other_bucket(
    settled: Project, account: str
) -> None:
    state, email = settled.cloud.state, settled.cloud.account(account)
    others = Bucket("others", {}, {"file": b"x"}, {"file": 1})
    state.buckets |= {"others": others, SOURCES: replace(others, name=SOURCES)}
    for bucket, status in (("others", 403), (SOURCES, 200)):
        url = f"https://storage.googleapis.com/storage/v1/b/{bucket}/o/file"
        assert settled.call("GET", url, None, email)[0] == status, bucket
    for method, url in (
        ("POST", "https://storage.googleapis.com/upload/storage/v1/b/others/o?name=file"),
        ("PUT", f"https://storage.googleapis.com/storage/v1/b/{SOURCES}/iam"),
        ("POST", "https://storage.googleapis.com/storage/v1/b"),
        ("GET", f"{ARTIFACTS}/others"),
        ("POST", f"{ARTIFACTS}/cloud-run-source-deploy:setIamPolicy"),
    ):
        assert settled.call(method, url, {"name": "new"}, email)[0] == 403, url


def test_the_account_of_the_tests_holds_nothing(settled: Project) -> None:
    tester = settled.cloud.account("livetoken-test")
    for method, url in (
        ("GET", f"{KEY}/versions/1:access"),
        ("GET", SECRETS),
        ("GET", f"{RUN}/services"),
        ("GET", f"{ACCOUNTS}/{settled.cloud.account('livetoken')}"),
        ("GET", f"{ARTIFACTS}/cloud-run-source-deploy"),
        ("POST", f"https://cloudbuild.googleapis.com/v1/{DEMO}/builds"),
        ("POST", f"https://storage.googleapis.com/upload/storage/v1/b/{SOURCES}/o?name=a"),
        ("POST", f"{PROJECT}:getIamPolicy"),
    ):
        assert settled.call(method, url, None, tester)[0] == 403, url


def test_an_image_is_built_and_deployed_only_with_rights_on_its_repository(
    deployed: Project,
) -> None:
    policy = deployed.cloud.state.policy(f"{DEMO}/{IMAGES}")
    releaser = deployed.cloud.account("livetoken-release")
    del policy.members["roles/artifactregistry.reader"]
    status, answer = deployed.release({"name": "A", "value": "b"}, principal=releaser)
    assert (status, "downloadArtifacts" in answer["error"]["message"]) == (403, True)
    del policy.members["roles/artifactregistry.writer"]
    assert "Build failed" in deployed.gcloud(*deployed.deploy_words, status=1)


def test_a_deployer_must_be_allowed_to_act_as_both_accounts(deployed: Project) -> None:
    cloud, releaser = deployed.cloud, deployed.cloud.account("livetoken-release")
    runtime, builder = cloud.account("livetoken"), cloud.account("livetoken-build")
    del cloud.state.policies[f"{DEMO}/serviceAccounts/{runtime}"]
    status, answer = deployed.release({"name": "A", "value": "b"}, principal=releaser)
    denied = "'iam.serviceaccounts.actAs' denied on service account"
    assert (status, f"{denied} {runtime}" in answer["error"]["message"]) == (403, True)
    del cloud.state.policies[f"{DEMO}/serviceAccounts/{builder}"]
    said = deployed.gcloud(*deployed.deploy_words, principal=releaser, status=1)
    assert f"{denied} {builder}" in said


@pytest.mark.parametrize(
    ("role", "member"),
    [
        ("made.up", "user:ada@example.com"),
        ("run.builder", "user:ada@example.com"),
        ("secretmanager.viewer", "serviceAccount:none@x.iam.gserviceaccount.com"),
    ],
)
def test_an_invalid_binding_is_refused(settled: Project, role: str, member: str) -> None:
    status, answer = settled.call("POST", f"{KEY}:setIamPolicy", bindings(role, member))
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_concurrent_change_of_a_policy_is_not_overwritten(settled: Project) -> None:
    _, policy = settled.call("POST", f"{PROJECT}:getIamPolicy")
    change = {"policy": policy}
    assert settled.call("POST", f"{PROJECT}:setIamPolicy", change)[0] == 200
    status, answer = settled.call("POST", f"{PROJECT}:setIamPolicy", change)
    assert (status, answer["error"]["status"]) == (409, "ABORTED")


# ------------------------------------------------------------------ secrets


def test_a_version_needs_content_and_the_right_checksum(settled: Project) -> None:
    add = ("secrets", "versions", "add", KEY_SECRET, "--data-file=-")
    assert "Secret Payload cannot be empty" in settled.gcloud(*add, status=1)
    payload = {"data": base64.b64encode(b"x").decode(), "dataCrc32c": "1"}
    assert settled.call("POST", f"{KEY}:addVersion", {"payload": payload})[0] == 400
    payload["dataCrc32c"] = str(crc32c(b"x"))
    status, answer = settled.call("POST", f"{KEY}:addVersion", {"payload": payload})
    assert (status, answer["clientSpecifiedPayloadChecksum"]) == (200, True)
    assert crc32c(b"123456789") == 0xE306_9283


def test_versions_are_listed_by_state(settled: Project) -> None:
    settled.cloud.state.secrets[KEY_SECRET].versions[2] = Version(2, b"x", "", "DISABLED")
    listing = ("secrets", "versions", "list", KEY_SECRET, "--format=value(name)")
    assert settled.gcloud(*listing, "--filter=state:ENABLED", "--limit=1") == "1\n"


def test_a_leaked_secret_is_found(settled: Project) -> None:
    cloud = settled.cloud
    assert cloud.leaks(API_KEY.encode()) == []
    settled.call("GET", f"https://run.googleapis.com/v1/projects/{API_KEY}/locations/-/services")
    assert len(cloud.leaks(API_KEY.encode())) == 1


def test_a_user_signs_in_with_a_password(project: Project) -> None:
    person, key = project.cloud.rules.person, project.cloud.rules.web_api_key
    url = "https://identitytoolkit.googleapis.com/v1/accounts:signInWithPassword?key="
    body = {"email": person.email, "password": person.password, "returnSecureToken": True}
    status, answer = project.call("POST", url + key, body)
    assert (status, answer["idToken"].count(".")) == (200, 2)
    status, answer = project.call("POST", url + key, {**body, "password": "x"})
    assert (status, answer["error"]["message"]) == (400, "INVALID_LOGIN_CREDENTIALS")
    assert project.call("POST", f"{url}x", body)[0] == 400


# ------------------------------------------------------------------ monitoring


def test_monitoring_resources_are_stored_unchanged(settled: Project) -> None:
    metric = {"description": "minted", "filter": "jsonPayload.message=minted"}
    (settled.root / "metric.json").write_text(json.dumps(metric))
    create = ("logging", "metrics", "create", "livetoken/minted")
    settled.gcloud(*create, "--config-from-file=metric.json")
    assert settled.cloud.state.log_metrics["livetoken/minted"]["filter"] == metric["filter"]
    base = "https://monitoring.googleapis.com"
    for version, kind in (
        ("v3", "alertPolicies"),
        ("v3", "notificationChannels"),
        ("v1", "dashboards"),
    ):
        url = f"{base}/{version}/{DEMO}/{kind}"
        _, made = settled.call("POST", url, {"displayName": "a"})
        one = f"{base}/{version}/{made['name']}"
        assert settled.call("PATCH", one, {"displayName": "b", "etag": "v0"})[0] == 409
        settled.call("PATCH", one, {"displayName": "b", **_etag(made)})
        (now,) = settled.call("GET", url)[1][kind]
        assert now == {**made, "displayName": "b", **_etag(now)}
    url = f"https://logging.googleapis.com/v2/{DEMO}/metrics"
    assert settled.call("POST", url, {"name": "livetoken/minted"})[0] == 409


def _etag(resource: Any) -> dict[str, str]:
    return {"etag": resource["etag"]} if "etag" in resource else {}
