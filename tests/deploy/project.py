"""A checkout as its owner filled it in, and the cloud that its scripts deploy to."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broken import copy_work_tree
from cloud import Cloud
from cloud.access import member
from cloud.cloud import OWNER
from cloud.state import Account, Bucket, Revision, Secret, Version, timestamp
from stack import API_KEY, ORIGIN, Stack
from uploaded import write_policy

from emulator.function import ROOT

SERVICE = "livetoken"
DEMO = "projects/demo-livetoken"
RUN = "https://us-central1-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/demo-livetoken"
SECRETS = f"https://secretmanager.googleapis.com/v1/{DEMO}/secrets"
KEY_SECRET = "livetoken-key"
SAFETY_SECRET = "livetoken-safety-key"
PASSWORD_SECRET = "livetoken-smoke-password"
PASSWORD = "bob-password-0123"
APIS = (*("run", "cloudbuild", "artifactregistry", "secretmanager", "iam", "cloudresourcemanager"),)
NEW_KEY = "new-key-0123456789abcdefghijklmnopqrstuvw"
NUMBER = 'FIREBASE_PROJECT_NUMBER: "123456789012"\n'
POLICY = """
api_version = "v1alpha"
[profiles.default]
model = "gemini-3.8-live"
[profiles.default.config]
response_modalities = ["AUDIO"]
system_instruction = "You are a patient tutor."
"""

SOURCES = "run-sources-demo-livetoken-us-central1"
SWITCHES = "livetoken-switch-demo-livetoken"
SWITCH = f"gs://{SWITCHES}/livetoken.json"
IMAGES = "locations/us-central1/repositories/cloud-run-source-deploy"
ACCOUNTS = {
    "livetoken": {
        ("secrets/livetoken-key", "secretmanager.secretAccessor"),
        (f"buckets/{SWITCHES}", "storage.objectViewer"),
    },
    "livetoken-build": {
        ("", "logging.logWriter"),
        (f"buckets/{SOURCES}", "storage.objectViewer"),
        (IMAGES, "artifactregistry.writer"),
    },
    "livetoken-test": {
        ("", "logging.logWriter"),
        (f"buckets/{SOURCES}", "storage.objectViewer"),
    },
    "livetoken-release": {
        ("", "run.developer"),
        ("", "cloudbuild.builds.editor"),
        ("", "serviceusage.serviceUsageConsumer"),
        ("", "logging.logWriter"),
        ("", "storage.bucketViewer"),
        (f"buckets/{SOURCES}", "storage.objectCreator"),
        (f"buckets/{SOURCES}", "storage.objectViewer"),
        (IMAGES, "artifactregistry.reader"),
        ("secrets/livetoken-key", "secretmanager.viewer"),
        ("secrets/livetoken-smoke-password", "secretmanager.secretAccessor"),
        ("serviceAccounts/{livetoken}", "iam.serviceAccountUser"),
        ("serviceAccounts/{livetoken-build}", "iam.serviceAccountUser"),
        ("serviceAccounts/{livetoken-test}", "iam.serviceAccountUser"),
    },
}
"""The accounts that `setup.sh` creates, each with all its roles."""

SMOKE_PASSED = "15 checks passed."
"""The last line of a smoke test in which every check passed."""


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    status: int
    output: str
    """Standard output and standard error."""

    @property
    def last(self) -> str:
        """The last line that it printed."""
        return self.output.rstrip().rpartition("\n")[2]


@dataclass(frozen=True)
class Project:
    """The checkout, the cloud and the stand-ins that the function calls."""

    cloud: Cloud
    stack: Stack
    root: Path

    def run(
        self,
        *command: str,
        typed: str = "",
        principal: str = OWNER,
        variables: Mapping[str, str] | None = None,
        seconds: float = 600,
    ) -> Ran:
        """Run a command in the checkout.

        Args:
            command: the path in the checkout, and the arguments.
            typed: its standard input.
            principal: the account that gcloud acts as.
            variables: added to its environment.
        """
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self._environment(principal), **(variables or {})},
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        return Ran(done.returncode, done.stdout)

    def gcloud(self, *words: str, principal: str = OWNER, status: int = 0) -> str:
        """The output of gcloud on the project, whose exit status must be the given one."""
        project = f"--project={self.cloud.state.project}"
        done = self.run("gcloud", *words, project, principal=principal)
        assert done.status == status, done.output
        return done.output

    @property
    def deploy_words(self) -> tuple[str, ...]:
        """The arguments for gcloud that deploy the checkout."""
        return (
            *("run", "deploy", SERVICE, "--region=us-central1", "--source=."),
            *("--function=mint_token", "--base-image=python313", "--no-invoker-iam-check"),
            f"--set-secrets=GEMINI_API_KEY={KEY_SECRET}:1",
            "--env-vars-file=deploy/env.yaml",
            f"--service-account={self.cloud.account('livetoken')}",
            f"--build-service-account={DEMO}/serviceAccounts/{self.cloud.account('livetoken-build')}",
        )

    def call(
        self, method: str, url: str, body: Any = None, principal: str = OWNER
    ) -> tuple[int, Any]:
        """The status and the JSON of a request to an API, without gcloud."""
        headers = {"Authorization": f"Bearer {principal}"}
        data = b"" if body is None else json.dumps(body).encode()
        reply = self.cloud.ask(url, data, headers, method)
        return reply.status, json.loads(reply.body)

    def release(self, variable: Mapping[str, Any], principal: str = OWNER) -> tuple[int, Any]:
        """Create a revision with one variable added or replaced, as gcloud does it."""
        _, service = self.call("GET", f"{RUN}/services/{SERVICE}")
        container = service["spec"]["template"]["spec"]["containers"][0]
        kept = [each for each in container["env"] if each["name"] != variable["name"]]
        container["env"] = [*kept, variable]
        return self.call("PUT", f"{RUN}/services/{SERVICE}", service, principal)

    def interrupt(
        self,
        *command: str,
        after: str,
        by: signal.Signals = signal.SIGINT,
        seconds: float = 60,
    ) -> Ran:
        """Run a command as the releaser until a request whose path ends so, then send a signal.

        Without `by`, the signal is that of Ctrl-C.
        """
        with subprocess.Popen(
            command,
            cwd=self.root,
            env=self._environment(self.cloud.account("livetoken-release")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            end = time.monotonic() + seconds
            while not any(each.path.endswith(after) for each in self.cloud.requests):
                assert process.poll() is None and time.monotonic() < end, f"no request for {after}"
                time.sleep(0.02)
            os.killpg(process.pid, by)
            output, _ = process.communicate(timeout=seconds)
        return Ran(process.returncode, output)

    def _environment(self, principal: str) -> dict[str, str]:
        environment = self.cloud.environment(self.root.parent / "home", principal)
        tools = Path(sys.executable).parent  # a python3 that needs no home
        return {**environment, "PATH": f"{tools}:{environment['PATH']}"}

    def setup(self, typed: str = f"{API_KEY}\n", password: str = PASSWORD) -> Ran:
        """Run setup.sh as the owner: the key on standard input, the password in a variable."""
        return self.run("deploy/setup.sh", typed=typed, variables={"SMOKE_PASSWORD": password})

    def deploy(self, *arguments: str, typed: str = "", principal: str | None = None) -> Ran:
        """Run deploy.sh as the releaser, or as another account."""
        principal = principal or self.cloud.account("livetoken-release")
        return self.run("deploy/deploy.sh", *arguments, typed=typed, principal=principal)

    def grants(self, name: str) -> set[tuple[str, str]]:
        """All roles of an account, as in `ACCOUNTS`."""
        project = f"projects/{self.cloud.state.project}"
        short = {self.cloud.account(each): f"{{{each}}}" for each in ACCOUNTS}
        found = set()
        for resource, role in self.cloud.grants_of(self.cloud.account(name)):
            place, slash, last = resource.removeprefix(project).strip("/").rpartition("/")
            found.add((f"{place}{slash}{short.get(last, last)}", role.removeprefix("roles/")))
        return found

    def put_in_place(self) -> None:
        """Create what `setup.sh` creates before it deploys; test_setup compares the two."""
        state = self.cloud.state
        state.enabled |= {f"{name}.googleapis.com" for name in APIS}
        for name, payload in ((KEY_SECRET, API_KEY), (PASSWORD_SECRET, PASSWORD)):
            version = Version(1, payload.encode(), timestamp())
            state.secrets[name] = Secret(name, {}, timestamp(), {1: version})
        for bucket in (SOURCES, SWITCHES):
            state.buckets[bucket] = Bucket(bucket, {})
        with (self.root / "deploy/env.yaml").open("a") as variables:
            variables.write(f'SWITCH_OBJECT: "{SWITCH}"\n')
        repository = f"{DEMO}/{IMAGES}"
        state.repositories[repository] = {"name": repository, "format": "DOCKER"}
        emails = {name: self.cloud.account(name) for name in ACCOUNTS}
        for name, grants in ACCOUNTS.items():
            state.accounts[emails[name]] = Account(emails[name], name, {})
            for place, role in grants:
                resource = f"projects/{state.project}/{place.format_map(emails)}".rstrip("/")
                members = state.policy(resource).members.setdefault(f"roles/{role}", set())
                members.add(member(emails[name]))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text that occurs once in a file of the checkout."""
        text = (self.root / file).read_text()
        assert text.count(old) == 1, f"{file} contains {old!r} {text.count(old)} times"
        (self.root / file).write_text(text.replace(old, new))

    def name(self, variable: str, value: str) -> None:
        """Set a variable in `deploy/names.sh`."""
        file = self.root / "deploy/names.sh"
        text, count = re.subn(
            f'^{variable}="[^"]*"', f'{variable}="{value}"', file.read_text(), flags=re.MULTILINE
        )
        assert count == 1, f"deploy/names.sh has {variable} {count} times"
        file.write_text(text)

    def write_policy(self, text: str) -> None:
        """Write a policy and its lock."""
        write_policy(self.root, text)

    @property
    def serving(self) -> Revision:
        """The one revision that gets all traffic."""
        (name,) = self.cloud.traffic(SERVICE)
        assert self.cloud.traffic(SERVICE) == {name: 100}
        return self.cloud.revision(SERVICE, name)

    @property
    def written(self) -> list[str]:
        """Every request that may have changed something, as `METHOD host/path`."""
        return [
            f"{each.method} {each.host}{each.path}"
            for each in self.cloud.requests
            if each.method != "GET" and not each.path.endswith(":getIamPolicy")
        ]


@contextmanager
def checkout(cloud: Cloud, stack: Stack) -> Iterator[Project]:
    """A copy of this checkout, configured for the stand-ins, with a small policy."""
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        project = Project(cloud, stack, Path(folder, "livetoken"))
        copy_work_tree(project.root)
        names = {
            "PROJECT": cloud.state.project,
            "SMOKE_EMAIL": cloud.rules.person.email,
            "FIREBASE_WEB_API_KEY": cloud.rules.web_api_key,
        }
        for name, value in names.items():
            project.name(name, value)
        stands_in = {
            "FIREBASE_PROJECT_ID": stack.issuer.firebase_project,
            "ALLOWED_ORIGINS": ORIGIN,
            "GOOGLE_GEMINI_BASE_URL": stack.gemini_url,
            "FIREBASE_KEYS_URL": f"{stack.issuer_url}/keys/firebase",
            "STORAGE_BASE_URL": cloud.storage_url,
        }
        written = "".join(f'{name}: "{value}"\n' for name, value in stands_in.items())
        (project.root / "deploy/env.yaml").write_text(written + NUMBER)
        project.write_policy(POLICY)
        yield project


def transcript(after: str) -> list[str]:
    """The lines of the first block in docs/operations.md after some words, with its `…`."""
    text = (ROOT / "docs" / "operations.md").read_text()
    return text[text.index(after) :].split("```")[1].strip().splitlines()[1:]


def masked(lines: Iterable[str]) -> list[str]:
    """Lines with a `…` for what differs from run to run, without empty lines and lone `…`."""
    forms = (r"livetoken-\d{5}-\w+", r"https://\S+\.run\.app", r"\d+ files", r"secrets .*")
    return [re.sub("|".join(forms), "…", line) for line in lines if line not in ("", "…")]
