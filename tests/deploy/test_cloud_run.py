"""The stand-in of Google Cloud: deploys, traffic, instances and faults, with real gcloud."""

import json
from collections import Counter
from typing import Any

import pytest
from cloud import Cloud, Fault
from cloud.cloud import OWNER
from cloud.state import Version
from project import DEMO, KEY_SECRET, RUN, SECRETS, SERVICE, SOURCES, Project
from stack import API_KEY

from emulator.tls import Certificate

TRAFFIC = ("run", "services", "update-traffic", SERVICE, "--region=us-central1")
URLS = "run.googleapis.com/urls"


def ask(project: Project) -> int:
    """The status that a signed-in caller of the service gets."""
    headers = {"Authorization": f"Bearer {project.stack.issuer.id_token('ada')}"}
    return project.cloud.ask(project.cloud.url(SERVICE), b"", headers).status


# ------------------------------------------------------------------ the proxy


def test_python_asks_through_the_proxy(deployed: Project) -> None:
    script = (
        "import sys, urllib.request as r, urllib.error as e\n"
        "try: r.urlopen(sys.argv[1], data=b'')\n"
        "except e.HTTPError as error: print(error.code, error.read().decode())"
    )
    said = deployed.run("python3", "-c", script, deployed.cloud.url(SERVICE)).output
    assert said.startswith("401 ")
    assert "NO_CREDENTIAL" in said


def test_the_proxy_refuses_other_hosts(project: Project) -> None:
    assert project.run("curl", "-sS", "https://example.com/").status == 56
    assert project.run("curl", "-sSf", "http://example.com/").status == 22
    assert project.cloud.refused == ["example.com:443", "GET http://example.com/ HTTP/1.1"]
    project.cloud.refused.clear()


# ------------------------------------------------------------------ traffic


def test_a_new_service_must_serve(settled: Project) -> None:
    said = settled.gcloud(*settled.deploy_words, "--no-traffic", status=1)
    assert "--no-traffic not supported when creating a new service" in said
    assert settled.cloud.state.services == {}


def test_impossible_traffic_is_refused(deployed: Project) -> None:
    said = deployed.gcloud(*TRAFFIC, "--to-revisions=livetoken-nobody=100", status=1)
    assert "nobody" in said
    _, service = deployed.call("GET", f"{RUN}/services/{SERVICE}")
    for targets in (
        [{"latestRevision": True, "percent": 99}],
        [{"percent": 100}],
        [{"latestRevision": True, "percent": 100, "revisionName": "x"}],
    ):
        service["spec"]["traffic"] = targets
        assert deployed.call("PUT", f"{RUN}/services/{SERVICE}", service)[0] == 400


def test_each_revision_gets_its_share_of_the_traffic(deployed: Project) -> None:
    deployed.release({"name": "A", "value": "b"})
    service = deployed.cloud.service(SERVICE)
    first, second = service.revisions
    shares = {first: 75, second: 25}
    service.serving = [{"revisionName": name, "percent": shares[name]} for name in shares]
    front, host = deployed.cloud.front, deployed.cloud.url(SERVICE).removeprefix("https://")
    chosen = Counter(getattr(front.find(host, ""), "name", "") for _ in range(100))
    assert chosen == shares


def test_a_concurrent_change_is_not_overwritten(deployed: Project) -> None:
    _, service = deployed.call("GET", f"{RUN}/services/{SERVICE}")
    assert deployed.call("PUT", f"{RUN}/services/{SERVICE}", service)[0] == 200
    status, answer = deployed.call("PUT", f"{RUN}/services/{SERVICE}", service)
    assert (status, answer["error"]["status"]) == (409, "ABORTED")


# ------------------------------------------------------------------ secrets of a revision


def test_without_access_to_the_secret_the_old_revision_keeps_serving(deployed: Project) -> None:
    cloud = deployed.cloud
    first = cloud.revision(SERVICE).name
    del cloud.state.policies[f"projects/demo-livetoken/secrets/{KEY_SECRET}"]
    said = deployed.gcloud(*deployed.deploy_words, status=1)
    assert f"Permission denied on secret: projects/123456789012/secrets/{KEY_SECRET}" in said
    assert not cloud.revision(SERVICE).ready
    assert cloud.traffic(SERVICE) == {first: 100}
    assert ask(deployed) == 200


def test_a_missing_or_disabled_version_starts_nothing(deployed: Project) -> None:
    cloud = deployed.cloud
    change = ("run", "services", "update", SERVICE, "--region=us-central1")
    said = deployed.gcloud(*change, f"--update-secrets=GEMINI_API_KEY={KEY_SECRET}:7", status=1)
    assert "versions/7 was not found" in said
    cloud.state.secrets[KEY_SECRET].versions[1].state = "DISABLED"
    deployed.release(_key("1"))
    assert "is in DISABLED state" in cloud.revision(SERVICE).message


def test_latest_is_read_when_an_instance_starts(deployed: Project) -> None:
    cloud = deployed.cloud
    deployed.release(_key("latest"))
    secret = cloud.state.secrets[KEY_SECRET]
    secret.versions[2] = Version(2, b"another-key-0123456789abcdefghijklmnopqr", "")
    assert ask(deployed) == 200
    cloud.end(cloud.revision(SERVICE))
    assert ask(deployed) == 500
    secret.versions[2].state = "DISABLED"
    cloud.end(cloud.revision(SERVICE))
    assert ask(deployed) == 503


def _key(version: str) -> dict[str, Any]:
    """The variable of the key, as a reference to a version of its secret."""
    reference = {"name": KEY_SECRET, "key": version}
    return {"name": "GEMINI_API_KEY", "valueFrom": {"secretKeyRef": reference}}


# ------------------------------------------------------------------ builds and instances


def test_code_that_does_not_compile_is_not_served(deployed: Project) -> None:
    first = deployed.cloud.revision(SERVICE).name
    (deployed.root / "main.py").write_text("def mint_token(:\n")
    assert "Build failed" in deployed.gcloud(*deployed.deploy_words, status=1)
    assert deployed.cloud.traffic(SERVICE) == {first: 100}


def test_a_build_must_say_where_its_log_goes_and_can_fail(settled: Project) -> None:
    account = settled.cloud.account("livetoken-release")
    build: dict[str, Any] = {
        "steps": [{"name": "ubuntu", "script": "true"}],
        "serviceAccount": f"projects/demo-livetoken/serviceAccounts/{account}",
    }
    config = settled.root / "build.json"
    staging = f"--gcs-source-staging-dir=gs://{SOURCES}/builds"
    submit = ("builds", "submit", "--config=build.json", "--ignore-file=.gitignore", staging)
    config.write_text(json.dumps(build))
    assert "CLOUD_LOGGING_ONLY" in settled.gcloud(*submit, status=1)
    build["options"] = {"logging": "CLOUD_LOGGING_ONLY"}
    config.write_text(json.dumps(build))
    settled.cloud.rules.build_fails = "a step failed"
    assert 'completed with status "FAILURE"' in settled.gcloud(*submit, status=1)


@pytest.mark.parametrize("change", [{"name": "PORT", "value": "1"}, {"name": "A"}])
def test_an_invalid_template_is_refused(deployed: Project, change: dict[str, str]) -> None:
    _, service = deployed.call("GET", f"{RUN}/services/{SERVICE}")
    service["spec"]["template"]["spec"]["containers"][0]["env"] += [change, {"name": "A"}]
    assert deployed.call("PUT", f"{RUN}/services/{SERVICE}", service)[0] == 400


def test_revisions_with_the_same_files_and_variables_share_an_instance(deployed: Project) -> None:
    cloud = deployed.cloud
    before, first = cloud.snapshot(), cloud.revision(SERVICE)
    _, service = deployed.call("GET", f"{RUN}/services/{SERVICE}")
    service["spec"]["template"]["metadata"]["labels"]["a"] = "b"
    deployed.call("PUT", f"{RUN}/services/{SERVICE}", service)
    second = cloud.revision(SERVICE)
    assert second.name != first.name
    instances = cloud.world.instances
    running = instances.of(first.name)
    assert running is instances.of(second.name)
    assert running is not None
    deployed.release({"name": "A", "value": "b"})
    other = instances.of(cloud.revision(SERVICE).name)
    assert other is not running
    assert other is not None
    cloud.restore(before)
    assert running.process.poll() is None  # the snapshot needs it
    assert other.process.poll() is not None


def test_an_instance_needs_no_home_and_prints_no_key(deployed: Project) -> None:
    revision = deployed.cloud.revision(SERVICE)
    deployed.cloud.end(revision)
    assert ask(deployed) == 200
    assert API_KEY not in deployed.cloud.output(revision)


# ------------------------------------------------------------------ the front end


def test_unknown_services_tags_and_reserved_paths_are_not_found(deployed: Project) -> None:
    url = deployed.cloud.url(SERVICE)
    for missing in (url.replace(SERVICE, "other"), url.replace("://", "://canary---")):
        assert deployed.cloud.ask(missing).status == 404
    assert deployed.cloud.ask(f"{url}/healthz").status == 404
    older = json.loads(deployed.cloud.service(SERVICE).metadata["annotations"][URLS])[1]
    assert deployed.cloud.ask(older).header("content-type") == "application/json"


def test_under_a_restricted_domain_no_service_is_public_and_gcloud_succeeds(
    settled: Project,
) -> None:
    settled.cloud.rules.domain_restricted = True
    deploy = [each for each in settled.deploy_words if each != "--no-invoker-iam-check"]
    assert "Setting IAM policy failed" in settled.gcloud(*deploy, "--allow-unauthenticated")
    assert ask(settled) == 401
    bare = settled.cloud.ask(settled.cloud.url(SERVICE))
    assert (bare.status, b"<html>" in bare.body) == (403, True)


# ------------------------------------------------------------------ faults and the unknown


def test_a_fault_hits_the_requests_that_it_names(settled: Project) -> None:
    rules = settled.cloud.rules
    rules.faults.append(Fault("GET", "secretmanager.*/secrets$", 429, skip=1, times=2))
    assert [settled.call("GET", SECRETS)[0] for _ in range(4)] == [200, 429, 429, 200]
    rules.faults.append(Fault("GET", "secretmanager", "drop"))
    with pytest.raises(OSError, match=r"without response|reset"):
        settled.call("GET", SECRETS)
    assert settled.cloud.requests[-1].status is None


def test_restoring_a_snapshot_forgets_later_changes(settled: Project) -> None:
    cloud = settled.cloud
    before, secrets = cloud.snapshot(), {*cloud.state.secrets}
    cloud.rules.unseen = 3
    settled.call("POST", f"{SECRETS}?secretId=other", {"replication": {"automatic": {}}})
    assert {*cloud.state.secrets} == {*secrets, "other"}
    cloud.restore(before)
    assert {*cloud.state.secrets} == secrets
    assert (cloud.rules.unseen, cloud.requests) == (0, [])


@pytest.mark.parametrize(
    ("host", "path"),
    [("secretmanager", f"/v1/{DEMO}/secrets/{KEY_SECRET}:rotate"), ("made-up", "/")],
)
def test_a_request_that_is_not_implemented_fails_the_test(
    certificate: Certificate, host: str, path: str
) -> None:
    with (
        pytest.raises(AssertionError, match="the stand-in does not implement"),
        Cloud(certificate) as cloud,
    ):
        cloud.state.enabled.add("secretmanager.googleapis.com")
        headers = {"Authorization": f"Bearer {OWNER}"}
        assert cloud.ask(f"https://{host}.googleapis.com{path}", b"", headers).status == 404
