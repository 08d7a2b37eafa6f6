"""The stand-in of Google Cloud, as real gcloud and the clients of a service meet it."""

import base64
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cloud import NAMES, Cloud, Fault, Snapshot
from cloud.gcloud import Done, Terminal
from cloud.secretmanager import crc32c
from cloud.state import Account, Secret, Version

from emulator import tls
from emulator.clock import Clock
from emulator.gemini import Behaviour, Gemini
from emulator.issuer import Issuer
from emulator.server import Server
from emulator.tls import Certificate

ROOT = Path(__file__).parents[2]
KEY = "test-key-0123456789abcdefghijklmnopqrstuv"
UPLOADED = ("main.py", "livetoken", "policy.toml", "policy.lock.json", "requirements.txt")
IGNORE = "*\n" + "".join(f"!{name}\n" for name in UPLOADED) + "!livetoken/**\n__pycache__/\n"
REGION = "--region=us-central1"
APIS = ("run", "cloudbuild", "artifactregistry", "secretmanager", "iam")
SECRETS = "https://secretmanager.googleapis.com/v1/projects/demo-livetoken/secrets"
ACCOUNTS = "https://iam.googleapis.com/v1/projects/-/serviceAccounts"
PROJECT = "https://cloudresourcemanager.googleapis.com/v1/projects/demo-livetoken"
RUN = "https://us-central1-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/demo-livetoken"


@dataclass
class Stage:
    """A cloud, a terminal in a copy of this repository, and what the function talks to."""

    cloud: Cloud
    terminal: Terminal
    gemini: Gemini
    issuer: Issuer
    deploy: tuple[str, ...]
    """The words that deploy the function."""
    settled: Snapshot
    """Everything set up, nothing deployed."""
    served: Snapshot | None = None
    """Everything set up, and one revision that serves."""

    def gcloud(self, *words: str, **how: Any) -> Done:
        return self.terminal.gcloud(*words, **how)

    def ask(self, tag: str = "") -> int:
        """The status that a signed-in caller of the service gets."""
        headers = {"Authorization": f"Bearer {self.issuer.id_token('ada')}"}
        return self.cloud.ask(self.cloud.url("livetoken", tag=tag), b"", headers).status

    def call(self, method: str, url: str, body: Any = None, principal: str = "") -> tuple[int, Any]:
        """The status and the JSON of a request to an API, without gcloud."""
        headers = {"Authorization": f"Bearer {principal or 'owner@example.com'}"}
        data = b"" if body is None else json.dumps(body).encode()
        reply = self.cloud.ask(url, data, headers, method)
        return reply.status, json.loads(reply.body)

    def release(self, *entries: dict[str, Any], principal: str = "") -> tuple[int, Any]:
        """Make another revision with these variables as well, as gcloud does it."""
        _, service = self.call("GET", f"{RUN}/services/livetoken")
        container = service["spec"]["template"]["spec"]["containers"][0]
        names = {each["name"] for each in entries}
        kept = [each for each in container["env"] if each["name"] not in names]
        container["env"] = [*kept, *entries]
        return self.call("PUT", f"{RUN}/services/livetoken", service, principal)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("cloud")
    certificate = tls.certificate(folder / "tls", NAMES)
    gemini, issuer = Gemini(Behaviour(api_key=KEY), Clock()), Issuer()
    tree = _copied(folder / "tree")
    with (
        Server(gemini.app, tls=0, certificate=certificate) as gemini_at,
        Server(issuer.app) as issuer_at,
        Cloud(certificate, issuer=issuer) as cloud,
    ):
        variables = {
            "FIREBASE_PROJECT_ID": issuer.firebase_project,
            "GOOGLE_GEMINI_BASE_URL": gemini_at.tls_url,
            "FIREBASE_KEYS_URL": f"{issuer_at.url}/keys/firebase",
        }
        (folder / "variables.yaml").write_text(json.dumps(variables))
        deploy = (
            *("run", "deploy", "livetoken", REGION, "--source=.", "--function=mint_token"),
            *("--base-image=python313", "--no-invoker-iam-check", "--concurrency=80"),
            f"--env-vars-file={folder / 'variables.yaml'}",
            "--set-secrets=GEMINI_API_KEY=gemini-api-key:1",
            f"--service-account={cloud.account('livetoken')}",
            "--build-service-account="
            f"projects/demo-livetoken/serviceAccounts/{cloud.account('livetoken-build')}",
        )
        empty = cloud.snapshot()
        _settle(cloud)
        terminal = Terminal(cloud, tree, folder / "home")
        made = Stage(cloud, terminal, gemini, issuer, deploy, cloud.snapshot())
        cloud.restore(empty)
        yield made


@pytest.fixture
def new(stage: Stage) -> Iterator[Stage]:
    """A new project: nothing is enabled and nothing is there."""
    snapshot = stage.cloud.snapshot()
    yield stage
    stage.cloud.restore(snapshot)


@pytest.fixture
def settled(new: Stage) -> Stage:
    """A project that is set up."""
    new.cloud.restore(new.settled)
    return new


@pytest.fixture
def served(new: Stage) -> Stage:
    """A service with one revision."""
    if new.served is None:
        new.cloud.restore(new.settled)
        new.gcloud(*new.deploy)
        new.served = new.cloud.snapshot()
    new.cloud.restore(new.served)
    return new


def _copied(tree: Path) -> Path:
    """What a deploy uploads, and what it must not."""
    tree.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in UPLOADED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, tree / name)
    (tree / ".gcloudignore").write_text(IGNORE)
    (tree / ".gitignore").write_text(".env\n")
    (tree / ".env").write_text(f"GEMINI_API_KEY={KEY}\n")
    (tree / "tests").mkdir()
    (tree / "tests" / "test_it.py").write_text("def test_it() -> None: ...\n")
    return tree


def _settle(cloud: Cloud) -> None:
    """Put there what gcloud makes in the first test."""
    state = cloud.state
    state.enabled |= {f"{name}.googleapis.com" for name in APIS}
    for name in ("livetoken", "livetoken-build", "releaser"):
        email = cloud.account(name)
        state.accounts[email] = Account(email, name, {})
    secret = state.secrets["gemini-api-key"] = Secret("gemini-api-key", {}, "2026-11-24T00:00:00Z")
    secret.versions[1] = Version(1, KEY.encode(), "2026-11-24T00:00:00Z")
    for resource, role, name in (
        ("/secrets/gemini-api-key", "secretmanager.secretAccessor", "livetoken"),
        ("", "run.builder", "livetoken-build"),
        ("", "run.sourceDeveloper", "releaser"),
        ("", "serviceusage.serviceUsageConsumer", "releaser"),
        ("", "logging.logWriter", "releaser"),
        *(
            (f"/serviceAccounts/{cloud.account(each)}", "iam.serviceAccountUser", "releaser")
            for each in ("livetoken", "livetoken-build")
        ),
    ):
        policy = state.policy(f"projects/demo-livetoken{resource}")
        member = f"serviceAccount:{cloud.account(name)}"
        policy.members.setdefault(f"roles/{role}", set()).add(member)


# ------------------------------------------------------------------ set up and deployed


def test_python_asks_through_the_proxy(served: Stage) -> None:
    script = (
        "import sys, urllib.request as r, urllib.error as e\n"
        "try: r.urlopen(sys.argv[1], data=b'')\n"
        "except e.HTTPError as error: print(error.code, error.read().decode())"
    )
    out = served.terminal.run("python3", "-c", script, served.cloud.url("livetoken")).out
    assert out.startswith("401 ")
    assert "NO_CREDENTIAL" in out


def test_another_host_is_led_nowhere(new: Stage) -> None:
    new.terminal.run("curl", "-sS", "https://example.com/", code=56)
    new.terminal.run("curl", "-sSf", "http://example.com/", code=22)
    assert new.cloud.refused == ["example.com:443", "GET http://example.com/ HTTP/1.1"]


# ------------------------------------------------------------------ traffic


def test_a_new_service_must_serve(settled: Stage) -> None:
    said = settled.gcloud(*settled.deploy, "--no-traffic", code=1).err
    assert "--no-traffic not supported when creating a new service" in said
    assert settled.cloud.state.services == {}


def test_traffic_that_cannot_be_is_refused(served: Stage) -> None:
    update = ("run", "services", "update-traffic", "livetoken", REGION)
    assert "nobody" in served.gcloud(*update, "--to-revisions=livetoken-nobody=100", code=1).err
    _, service = served.call("GET", f"{RUN}/services/livetoken")
    for targets in (
        [{"latestRevision": True, "percent": 99}],
        [{"percent": 100}],
        [{"latestRevision": True, "percent": 100, "revisionName": "x"}],
    ):
        service["spec"]["traffic"] = targets
        assert served.call("PUT", f"{RUN}/services/livetoken", service)[0] == 400


def test_shares_of_the_traffic_are_kept(served: Stage) -> None:
    served.release({"name": "A", "value": "b"})
    first, second = served.cloud.service("livetoken").revisions
    service = served.cloud.service("livetoken")
    service.serving = [
        {"revisionName": first, "percent": 75},
        {"revisionName": second, "percent": 25},
    ]
    front, host = served.cloud.front, served.cloud.url("livetoken").removeprefix("https://")
    chosen = Counter(getattr(front.find(host, ""), "name", "") for _ in range(100))
    assert chosen == {first: 75, second: 25}


def test_what_changed_meanwhile_is_not_overwritten(served: Stage) -> None:
    _, service = served.call("GET", f"{RUN}/services/livetoken")
    assert served.call("PUT", f"{RUN}/services/livetoken", service)[0] == 200
    status, answer = served.call("PUT", f"{RUN}/services/livetoken", service)
    assert (status, answer["error"]["status"]) == (409, "ABORTED")


# ------------------------------------------------------------------ what may not be


def test_what_is_there_is_not_made_again(served: Stage) -> None:
    again = ("secrets", "create", "gemini-api-key", "--replication-policy=automatic")
    assert "already exists" in served.gcloud(*again, code=1).err
    repositories = "https://artifactregistry.googleapis.com/v1/projects/demo-livetoken/locations"
    repositories = f"{repositories}/us-central1/repositories?repositoryId=cloud-run-source-deploy"
    bucket = {"name": "run-sources-demo-livetoken-us-central1"}
    for url, body in (
        (ACCOUNTS.replace("/-/", "/demo-livetoken/"), {"accountId": "livetoken"}),
        (repositories, {}),
        ("https://storage.googleapis.com/storage/v1/b", bucket),
        (f"{RUN}/services", {"metadata": {"name": "livetoken"}, "spec": {}}),
    ):
        status, answer = served.call("POST", url, body)
        assert (status, answer["error"]["status"]) == (409, "ALREADY_EXISTS")


def test_an_api_must_be_enabled(new: Stage) -> None:
    said = new.gcloud("secrets", "list", code=1).err
    assert "Secret Manager API has not been used in project 123456789012 before" in said
    assert "SERVICE_DISABLED" in said


def test_a_new_account_is_not_visible_at_first(settled: Stage) -> None:
    cloud, gcloud = settled.cloud, settled.gcloud
    cloud.rules.unseen = 4
    settled.call("POST", ACCOUNTS.replace("/-/", "/demo-livetoken/"), {"accountId": "late-comer"})
    email = cloud.account("late-comer")
    member, role = f"serviceAccount:{email}", "--role=roles/run.builder"
    bind = ("projects", "add-iam-policy-binding", "demo-livetoken", f"--member={member}", role)
    assert f"Service account {email} does not exist." in gcloud(*bind, code=1).err
    for url, named in (
        (f"{SECRETS}/gemini-api-key:setIamPolicy", "secretmanager.viewer"),
        (f"{ACCOUNTS}/{cloud.account('livetoken')}:setIamPolicy", "iam.serviceAccountUser"),
    ):
        policy = {"bindings": [{"role": f"roles/{named}", "members": [member]}]}
        status, answer = settled.call("POST", url, {"policy": policy})
        assert (status, "does not exist" in answer["error"]["message"]) == (400, True)
    deploy = [each for each in settled.deploy if not each.startswith("--service-account")]
    assert "actAs" in gcloud(*deploy, f"--service-account={email}", code=1).err
    gcloud(*bind)
    assert cloud.grants_of(email) == {("projects/demo-livetoken", "roles/run.builder")}


def test_a_grant_counts_when_it_has_spread(settled: Stage) -> None:
    settled.cloud.rules.lag = 1
    member, role = "user:ada@example.com", "roles/secretmanager.secretAccessor"
    url = f"{SECRETS}/gemini-api-key"
    settled.call(
        "POST",
        f"{url}:setIamPolicy",
        {"policy": {"bindings": [{"role": role, "members": [member]}]}},
    )
    asked = [
        settled.call("GET", f"{url}/versions/1:access", principal="ada@example.com")[0]
        for _ in range(2)
    ]
    assert asked == [403, 200]


def test_a_releaser_may_neither_open_a_service_nor_read_a_key(settled: Stage) -> None:
    releaser = settled.cloud.account("releaser")
    said = settled.gcloud(*settled.deploy, principal=releaser, code=1).err
    assert "Permission 'run.services.setIamPolicy' denied" in said
    payload = f"{SECRETS}/gemini-api-key/versions/1:access"
    assert settled.call("GET", payload, principal=releaser)[0] == 403
    service = f"{RUN}/services/livetoken"
    status, answer = settled.call("GET", service, principal="nobody@example.com")
    assert status == 403
    assert "Permission 'run.services.get' denied" in answer["error"]["message"]
    assert settled.call("GET", service, principal="no account")[0] == 401


def test_a_deployer_must_be_allowed_to_act_as_both_accounts(served: Stage) -> None:
    cloud, releaser = served.cloud, served.cloud.account("releaser")
    runtime, builder = cloud.account("livetoken"), cloud.account("livetoken-build")
    del cloud.state.policies[f"projects/demo-livetoken/serviceAccounts/{runtime}"]
    change = {"name": "A", "value": "b"}
    status, answer = served.release(change, principal=releaser)
    denied = "'iam.serviceaccounts.actAs' denied on service account"
    assert (status, f"{denied} {runtime}" in answer["error"]["message"]) == (403, True)
    del cloud.state.policies[f"projects/demo-livetoken/serviceAccounts/{builder}"]
    said = served.gcloud(*served.deploy, principal=releaser, code=1).err
    assert f"{denied} {builder}" in said


@pytest.mark.parametrize(
    ("role", "member"),
    [
        ("roles/made.up", "user:ada@example.com"),
        ("roles/run.builder", "user:ada@example.com"),
        (
            "roles/secretmanager.viewer",
            "serviceAccount:none@x.iam.gserviceaccount.com",
        ),
    ],
)
def test_a_binding_that_cannot_be_is_refused(settled: Stage, role: str, member: str) -> None:
    policy = {"policy": {"bindings": [{"role": role, "members": [member]}]}}
    status, answer = settled.call("POST", f"{SECRETS}/gemini-api-key:setIamPolicy", policy)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_policy_that_changed_meanwhile_is_not_overwritten(settled: Stage) -> None:
    _, policy = settled.call("POST", f"{PROJECT}:getIamPolicy")
    change = {"policy": policy}
    assert settled.call("POST", f"{PROJECT}:setIamPolicy", change)[0] == 200
    status, answer = settled.call("POST", f"{PROJECT}:setIamPolicy", change)
    assert (status, answer["error"]["status"]) == (409, "ABORTED")


def test_another_project_is_nobodys(new: Stage) -> None:
    assert new.call("GET", PROJECT.replace("demo-livetoken", "other"))[0] == 403


def test_a_restricted_domain_has_no_public_policy_and_gcloud_says_all_is_well(
    settled: Stage,
) -> None:
    settled.cloud.rules.domain_restricted = True
    deploy = [each for each in settled.deploy if each != "--no-invoker-iam-check"]
    done = settled.gcloud(*deploy, "--allow-unauthenticated")
    assert "Setting IAM policy failed" in done.err
    assert settled.ask() == 401
    bare = settled.cloud.ask(settled.cloud.url("livetoken"))
    assert (bare.status, b"<html>" in bare.body) == (403, True)


# ------------------------------------------------------------------ secrets


def test_the_secret_must_be_readable_or_the_old_revision_goes_on(served: Stage) -> None:
    cloud = served.cloud
    first = cloud.revision("livetoken").name
    del cloud.state.policies["projects/demo-livetoken/secrets/gemini-api-key"]
    said = served.gcloud(*served.deploy, code=1).err
    assert "Permission denied on secret: projects/123456789012/secrets/gemini-api-key" in said
    assert not cloud.revision("livetoken").ready
    assert cloud.traffic("livetoken") == {first: 100}
    assert served.ask() == 200


def test_a_version_that_is_not_there_or_disabled_starts_nothing(served: Stage) -> None:
    cloud = served.cloud
    change = ("run", "services", "update", "livetoken", REGION)
    said = served.gcloud(*change, "--update-secrets=GEMINI_API_KEY=gemini-api-key:7", code=1).err
    assert "versions/7 was not found" in said
    cloud.state.secrets["gemini-api-key"].versions[1].state = "DISABLED"
    served.release(_reference("1"))
    assert "is in DISABLED state" in cloud.revision("livetoken").message


def test_latest_is_read_when_an_instance_starts(served: Stage) -> None:
    cloud = served.cloud
    served.release(_reference("latest"))
    secret = cloud.state.secrets["gemini-api-key"]
    secret.versions[2] = Version(2, b"another-key-0123456789abcdefghijklmnopqr", "")
    assert served.ask() == 200
    cloud.end(cloud.revision("livetoken"))
    assert served.ask() == 500
    secret.versions[2].state = "DISABLED"
    cloud.end(cloud.revision("livetoken"))
    assert served.ask() == 503


def _reference(version: str) -> dict[str, Any]:
    """The variable of the key, as a reference to a version of its secret."""
    reference = {"name": "gemini-api-key", "key": version}
    return {"name": "GEMINI_API_KEY", "valueFrom": {"secretKeyRef": reference}}


def test_a_payload_has_content_and_its_checksum(settled: Stage) -> None:
    add = ("secrets", "versions", "add", "gemini-api-key", "--data-file=-")
    assert "Secret Payload cannot be empty" in settled.gcloud(*add, code=1).err
    payload = {"data": base64.b64encode(b"x").decode(), "dataCrc32c": "1"}
    url = f"{SECRETS}/gemini-api-key:addVersion"
    assert settled.call("POST", url, {"payload": payload})[0] == 400
    payload["dataCrc32c"] = str(crc32c(b"x"))
    status, answer = settled.call("POST", url, {"payload": payload})
    assert (status, answer["clientSpecifiedPayloadChecksum"]) == (200, True)
    assert crc32c(b"123456789") == 0xE306_9283


def test_versions_are_listed_by_state(settled: Stage) -> None:
    settled.cloud.state.secrets["gemini-api-key"].versions[2] = Version(2, b"x", "", "DISABLED")
    listing = ("secrets", "versions", "list", "gemini-api-key", "--format=value(name)")
    assert settled.gcloud(*listing, "--filter=state:ENABLED", "--limit=1").out == "1\n"


def test_a_secret_that_got_elsewhere_is_found(settled: Stage) -> None:
    cloud = settled.cloud
    assert cloud.leaks(KEY.encode()) == []
    settled.call("GET", f"https://run.googleapis.com/v1/projects/{KEY}/locations/-/services")
    assert len(cloud.leaks(KEY.encode())) == 1


# ------------------------------------------------------------------ builds and instances


def test_code_that_cannot_be_built_is_not_served(served: Stage, tmp_path: Path) -> None:
    cloud = served.cloud
    first = cloud.revision("livetoken").name
    tree = _copied(tmp_path / "tree")
    terminal = Terminal(cloud, tree, tmp_path / "home")
    (tree / "main.py").write_text("def mint_token(:\n")
    assert "Build failed" in terminal.gcloud(*served.deploy, code=1).err
    assert cloud.traffic("livetoken") == {first: 100}


def test_a_build_names_where_its_log_goes_and_fails_with_a_step(settled: Stage) -> None:
    cloud, terminal = settled.cloud, settled.terminal
    build = {
        "steps": [{"name": "ubuntu", "script": "true"}],
        "serviceAccount": f"projects/demo-livetoken/serviceAccounts/{cloud.account('releaser')}",
        "substitutions": {"_SERVICE": "livetoken"},
        "options": {"automapSubstitutions": True},
    }
    config = terminal.home / "build.json"
    terminal.home.mkdir(exist_ok=True)
    submit = ("builds", "submit", f"--config={config}", "--ignore-file=.gitignore")
    config.write_text(json.dumps(build))
    assert "CLOUD_LOGGING_ONLY" in settled.gcloud(*submit, code=1).err
    build["options"] = {"automapSubstitutions": True, "logging": "CLOUD_LOGGING_ONLY"}
    config.write_text(json.dumps(build))
    cloud.rules.build_fails = "a step failed"
    assert 'completed with status "FAILURE"' in settled.gcloud(*submit, code=1).err


@pytest.mark.parametrize(
    ("substitutions", "args", "status"),
    [
        ({"_A": "1"}, ["$_A", "$$_B", "${PROJECT_ID}"], 200),
        ({"_A": "1"}, [], 400),
        ({}, ["${_A}"], 400),
    ],
)
def test_substitutions_fit_the_template(
    settled: Stage, substitutions: dict[str, str], args: list[str], status: int
) -> None:
    upload = "https://storage.googleapis.com/upload/storage/v1/b/sources/o?name=a.tgz"
    settled.call("POST", "https://storage.googleapis.com/storage/v1/b", {"name": "sources"})
    settled.call("POST", f"{upload}&uploadType=media", {})
    account = settled.cloud.account("releaser")
    build = {
        "steps": [{"name": "ubuntu", "args": args}],
        "source": {"storageSource": {"bucket": "sources", "object": "a.tgz"}},
        "serviceAccount": f"projects/demo-livetoken/serviceAccounts/{account}",
        "options": {"logging": "CLOUD_LOGGING_ONLY"},
        "substitutions": substitutions,
    }
    url = "https://cloudbuild.googleapis.com/v1/projects/demo-livetoken/builds"
    assert settled.call("POST", url, build)[0] == status


@pytest.mark.parametrize("change", [{"name": "PORT", "value": "1"}, {"name": "A"}])
def test_a_template_that_cannot_run_is_refused(served: Stage, change: dict[str, str]) -> None:
    _, service = served.call("GET", f"{RUN}/services/livetoken")
    service["spec"]["template"]["spec"]["containers"][0]["env"] += [change, {"name": "A"}]
    assert served.call("PUT", f"{RUN}/services/livetoken", service)[0] == 400


def test_instances_of_the_same_files_and_variables_are_one(served: Stage) -> None:
    cloud = served.cloud
    first = cloud.revision("livetoken")
    _, service = served.call("GET", f"{RUN}/services/livetoken")
    service["spec"]["template"]["metadata"]["labels"]["a"] = "b"
    served.call("PUT", f"{RUN}/services/livetoken", service)
    second = cloud.revision("livetoken")
    assert second.name != first.name
    instances = cloud.world.instances
    running = instances.of(first.name)
    assert running is instances.of(second.name)
    assert running is not None
    served.release({"name": "A", "value": "b"})
    other = instances.of(cloud.revision("livetoken").name)
    assert other is not running
    assert other is not None
    cloud.restore(served.settled)
    assert running.process.poll() is None  # a snapshot has it
    assert other.process.poll() is not None


def test_an_instance_needs_no_home_and_says_so_in_its_output(served: Stage) -> None:
    revision = served.cloud.revision("livetoken")
    served.cloud.end(revision)
    assert served.ask() == 200
    assert KEY not in served.cloud.output(revision)


# ------------------------------------------------------------------ before the service


def test_nothing_is_served_that_is_not_there(served: Stage) -> None:
    url = served.cloud.url("livetoken")
    for missing in (url.replace("livetoken", "other"), url.replace("://", "://canary---")):
        assert served.cloud.ask(missing).status == 404
    assert served.cloud.ask(f"{url}/healthz").status == 404
    older = json.loads(served.cloud.service("livetoken").metadata["annotations"][URLS])[1]
    assert served.cloud.ask(older).header("content-type") == "application/json"


URLS = "run.googleapis.com/urls"


def test_a_person_signs_in_with_a_password(new: Stage) -> None:
    person, key = new.cloud.rules.person, new.cloud.rules.web_api_key
    url = "https://identitytoolkit.googleapis.com/v1/accounts:signInWithPassword?key="
    body = {"email": person.email, "password": person.password, "returnSecureToken": True}
    status, answer = new.call("POST", url + key, body)
    assert (status, answer["idToken"].count(".")) == (200, 2)
    status, answer = new.call("POST", url + key, {**body, "password": "x"})
    assert (status, answer["error"]["message"]) == (400, "INVALID_LOGIN_CREDENTIALS")
    assert new.call("POST", f"{url}x", body)[0] == 400


# ------------------------------------------------------------------ what watches


def etag(resource: Any) -> dict[str, str]:
    return {"etag": resource["etag"]} if "etag" in resource else {}


def test_what_watches_is_stored_as_it_came(settled: Stage) -> None:
    folder = settled.terminal.home
    folder.mkdir(exist_ok=True)
    metric = {"description": "minted", "filter": "jsonPayload.message=minted"}
    (folder / "metric.json").write_text(json.dumps(metric))
    create = ("logging", "metrics", "create", "livetoken/minted")
    settled.gcloud(*create, f"--config-from-file={folder / 'metric.json'}")
    assert settled.cloud.state.log_metrics["livetoken/minted"]["filter"] == metric["filter"]
    base = "https://monitoring.googleapis.com"
    for version, kind in (
        ("v3", "alertPolicies"),
        ("v3", "notificationChannels"),
        ("v1", "dashboards"),
    ):
        url = f"{base}/{version}/projects/demo-livetoken/{kind}"
        _, made = settled.call("POST", url, {"displayName": "a"})
        one = f"{base}/{version}/{made['name']}"
        assert settled.call("PATCH", one, {"displayName": "b", "etag": "v0"})[0] == 409
        settled.call("PATCH", one, {"displayName": "b", **etag(made)})
        (now,) = settled.call("GET", url)[1][kind]
        assert now == {**made, "displayName": "b", **etag(now)}
    url = "https://logging.googleapis.com/v2/projects/demo-livetoken/metrics"
    assert settled.call("POST", url, {"name": "livetoken/minted"})[0] == 409


# ------------------------------------------------------------------ faults, and the unknown


def test_a_fault_hits_the_request_that_it_names(settled: Stage) -> None:
    rules = settled.cloud.rules
    rules.faults.append(Fault("GET", "secretmanager.*/secrets$", 429, skip=1, times=2))
    statuses = [settled.call("GET", SECRETS)[0] for _ in range(4)]
    assert statuses == [200, 429, 429, 200]
    rules.faults.append(Fault("GET", "secretmanager", "drop"))
    with pytest.raises(OSError, match=r"without response|reset"):
        settled.call("GET", SECRETS)
    assert settled.cloud.requests[-1].status is None


def test_setting_back_forgets_all_since(settled: Stage) -> None:
    cloud = settled.cloud
    before = cloud.snapshot()
    cloud.rules.unseen = 3
    settled.call("POST", f"{SECRETS}?secretId=other", {"replication": {"automatic": {}}})
    assert set(cloud.state.secrets) == {"gemini-api-key", "other"}
    cloud.restore(before)
    assert set(cloud.state.secrets) == {"gemini-api-key"}
    assert (cloud.rules.unseen, cloud.requests) == (0, [])


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("secretmanager", "/v1/projects/demo-livetoken/secrets/gemini-api-key:rotate"),
        ("made-up", "/"),
    ],
)
def test_what_the_stand_in_does_not_know_fails_the_test(
    tmp_path: Path, host: str, path: str
) -> None:
    certificate: Certificate = tls.certificate(tmp_path, NAMES)
    with (
        pytest.raises(AssertionError, match="unknown to the stand-in"),
        Cloud(certificate) as cloud,
    ):
        cloud.state.enabled.add("secretmanager.googleapis.com")
        headers = {"Authorization": "Bearer owner@example.com"}
        assert cloud.ask(f"https://{host}.googleapis.com{path}", b"", headers).status == 404
