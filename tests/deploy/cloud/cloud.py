"""The whole stand-in: start it, send requests, inspect its state and restore it."""

from __future__ import annotations

import base64
import copy
import http.client
import io
import os
import ssl
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from weakref import WeakSet

from cloud.access import member
from cloud.call import Record
from cloud.front import Front, Reply
from cloud.google import Google
from cloud.instances import Instances
from cloud.proxy import Proxy
from cloud.rules import Rules
from cloud.run_json import urls
from cloud.serviceusage import NEW_PROJECT
from cloud.state import Account, Revision, Service, State
from cloud.world import World
from emulator import metadata
from emulator.issuer import Issuer
from emulator.metadata import Metadata
from emulator.server import Server
from emulator.tls import Certificate

OWNER = "owner@example.com"
PROJECT, NUMBER = "demo-livetoken", "123456789012"
NAMES = (
    *("*.googleapis.com", "gcr.io", "*.run.app", "*.a.run.app"),
    *(f"*.{region}.run.app" for region in ("us-central1", "us-east1", "europe-west1")),
    "*.europe-west3.run.app",
)
"""The DNS names that the certificate must contain."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state, the switches, and the revisions that had an instance, at one moment."""

    state: State
    rules: Rules
    running: frozenset[str]


class Cloud:
    """One Google Cloud project, new and empty, with an owner.

    Leaving its context raises AssertionError if it got a request that it does not implement.

    Args:
        certificate: must contain `NAMES`.
        issuer: signs the ID tokens of users; a new one by default.
    """

    def __init__(
        self,
        certificate: Certificate,
        *,
        issuer: Issuer | None = None,
    ) -> None:
        project, number = PROJECT, NUMBER
        self._certificate = certificate
        self._stack = ExitStack()
        self._snapshots: WeakSet[Snapshot] = WeakSet()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="cloud-")))
        state = State(project, number, set(NEW_PROJECT))
        state.policy(f"projects/{project}").members["roles/owner"] = {member(OWNER)}
        default = f"{number}-compute@developer.gserviceaccount.com"
        state.accounts[default] = Account(default, number, {"displayName": "Default"})
        self._metadata = Server(_Metadata(project=project).app)
        instances = Instances(self._folder, {"SSL_CERT_FILE": str(certificate.ca_file)})
        self.issuer = issuer or Issuer(firebase_project=project)
        self.world = World(state, instances, self.issuer)
        self._google = Google(self.world)
        self.lock = self._google.lock
        """Hold it to read the state while something may change it."""
        self._server = Server(self._google, plain=None, tls=0, certificate=certificate)

    # ------------------------------------------------------------------ start and stop

    def __enter__(self) -> Self:
        self._stack.callback(self.world.instances.keep, ())
        self._server.start()
        self._stack.callback(self._server.stop)
        self._stack.enter_context(self._metadata)
        self.world.instances.platform |= metadata.environment(self._metadata.url)
        self._port = int(self._server.tls_url.rpartition(":")[2])
        self._proxy = self._stack.enter_context(Proxy(self._port, _is_googles))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if error is None and self.unknown:
            raise AssertionError("\n".join(["unknown to the stand-in:", *map(str, self.unknown)]))

    @property
    def storage_url(self) -> str:
        """Where instances reach Cloud Storage."""
        return self._server.tls_url

    def environment(self, folder: Path, principal: str = OWNER) -> dict[str, str]:
        """The whole environment of a process that can reach this cloud and no other host.

        gcloud, curl and Python's clients need nothing else. It does not name the project.

        Args:
            folder: the home of the process, with gcloud's configuration.
            principal: the email of the account that acts.
        """
        folder.mkdir(parents=True, exist_ok=True)
        token = folder / f"token-{principal}"
        token.write_text(principal)
        authority = str(self._certificate.ca_file)
        proxies = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
        return {
            **{name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ},
            **dict.fromkeys(proxies, self._proxy.url),
            **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost"),
            **dict.fromkeys(("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), authority),
            "HOME": str(folder),
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
            "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": authority,
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
            "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "true",
        }

    def ask(
        self,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Reply:
        """Send one request over TLS to any host of this cloud."""
        parts = urlsplit(url)
        context = ssl.create_default_context(cafile=self._certificate.ca_file)
        connection = _Connection(str(parts.hostname), self._port, context)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def snapshot(self) -> Snapshot:
        """The current state. Its instances stay up as long as the snapshot exists."""
        with self.lock:
            running = self.world.instances.running() & self.state.revisions()
            made = Snapshot(copy.deepcopy(self.state), copy.deepcopy(self.rules), running)
        self._snapshots.add(made)
        return made

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot, clear the requests, and stop instances that no snapshot needs."""
        with self.lock:
            self.world.rules = copy.deepcopy(snapshot.rules)
            self.world.state = copy.deepcopy(snapshot.state)
            needed = (each.state.revisions() for each in self._snapshots)
            self.world.instances.keep(self.state.revisions().union(*needed))
            for service in self.state.services.values():
                for name in snapshot.running & service.revisions.keys():
                    self._google.run.start(service.revisions[name])
            self.requests.clear()
            self.refused.clear()

    # ------------------------------------------------------------------ state

    @property
    def state(self) -> State:
        """The state of the project."""
        return self.world.state

    @property
    def rules(self) -> Rules:
        """The switches."""
        return self.world.rules

    @property
    def requests(self) -> list[Record]:
        """Every request to an API, in order of arrival."""
        return self._google.requests

    @property
    def unknown(self) -> list[Record]:
        """Every request that the stand-in does not implement."""
        return self._google.unknown

    @property
    def refused(self) -> list[str]:
        """Every request to a host that is not Google's."""
        return self._proxy.refused

    def account(self, name: str) -> str:
        """The email of a service account of the project."""
        return f"{name}@{self.state.project}.iam.gserviceaccount.com"

    def grants_of(self, email: str) -> set[tuple[str, str]]:
        """Every role of an account, with its resource."""
        return {
            (resource, role)
            for resource, policy in self.state.policies.items()
            for role, members in policy.members.items()
            if member(email) in members
        }

    def service(self, name: str, region: str = "us-central1") -> Service:
        """A service. Raises KeyError."""
        return self.state.services[region, name]

    def revision(self, service: str, name: str = "", region: str = "us-central1") -> Revision:
        """A revision of a service, by default the newest. Raises KeyError."""
        found = self.service(service, region)
        return found.revisions[name or found.latest_created]

    def url(self, service: str, region: str = "us-central1", tag: str = "") -> str:
        """The URL of a service, or of one of its tags."""
        url = urls(self.service(service, region), self.state.number)[0]
        return url.replace("://", f"://{tag}---") if tag else url

    def traffic(self, service: str, region: str = "us-central1") -> dict[str, int]:
        """The percentage of each revision that serves."""
        shares: dict[str, int] = {}
        for each in self.service(service, region).serving:
            if each.get("percent"):
                name = each["revisionName"]
                shares[name] = shares.get(name, 0) + each["percent"]
        return shares

    def tags(self, service: str, region: str = "us-central1") -> dict[str, str]:
        """The revision of each tag."""
        serving = self.service(service, region).serving
        return {each["tag"]: each["revisionName"] for each in serving if "tag" in each}

    def files(self, revision: Revision) -> dict[str, bytes]:
        """The files that a revision was built from."""
        return unpacked(self.state.images[revision.image].source)

    def tarball(self) -> dict[str, bytes]:
        """The files of the newest build. Raises IndexError."""
        return unpacked(list(self.state.builds.values())[-1].source)

    @property
    def front(self) -> Front:
        """The front end of the services."""
        return self._google.front

    def output(self, revision: Revision) -> str:
        """The output of a revision's instance."""
        return self.world.instances.output(revision.name)

    def end(self, revision: Revision) -> None:
        """Stop a revision's instance, like a scale to zero. The next request starts a new one."""
        with self.lock:
            self.world.instances.end(revision.name)

    def leaks(self, secret: bytes) -> list[str]:
        """Every place that contains a secret, plain or in base64, apart from its versions.

        It searches the state, archives, and every request except those that add a version.
        """
        forms = {secret, base64.b64encode(secret), base64.urlsafe_b64encode(secret)}
        found = [
            f"request {each}"
            for each in self.requests
            if _holds(forms, str(each)) or (_holds(forms, each.body) and not _adds_version(each))
        ]
        found += [place for place, value in _walk("state", self.state) if _holds(forms, value)]
        return found


def unpacked(archive: bytes) -> dict[str, bytes]:
    """The files in a zip or a compressed tarball; none if it is neither."""
    if zipfile.is_zipfile(io.BytesIO(archive)):
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return {name: opened.read(name) for name in opened.namelist() if name[-1] != "/"}
    if archive.startswith(b"\x1f\x8b"):
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = {each.name: tar.extractfile(each) for each in tar if each.isfile()}
            return {name.removeprefix("./"): file.read() for name, file in members.items() if file}
    return {}


class _Metadata(Metadata):
    """The metadata server of the function's instances. An access token here is an email."""

    def new_token(self) -> str:
        return self.email


class _Connection(http.client.HTTPSConnection):
    """A connection to a port on loopback under another host name."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, timeout=30, context=context)
        self._place = port
        self._context_of_it = context

    def connect(self) -> None:
        plain = http.client.HTTPConnection("127.0.0.1", self._place, timeout=30)
        plain.connect()
        self.sock = self._context_of_it.wrap_socket(plain.sock, server_hostname=self.host)


def _is_googles(host: str) -> bool:
    return host == "gcr.io" or host.endswith((".googleapis.com", ".run.app"))


def _adds_version(record: Record) -> bool:
    return record.host.startswith("secretmanager.") and record.path.endswith(":addVersion")


def _holds(forms: set[bytes], value: object) -> bool:
    data = value.encode() if isinstance(value, str) else value
    return isinstance(data, bytes) and any(form in data for form in forms)


def _walk(place: str, value: Any) -> Iterable[tuple[str, str | bytes]]:
    """Every string and all bytes in a value and in archives, except the payloads of secrets."""
    if isinstance(value, str | bytes):
        yield place, value
        if isinstance(value, bytes):
            for name, content in unpacked(value).items():
                yield f"{place}/{name}", content
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _walk(place, str(key))
            yield from _walk(f"{place}.{key}", each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _walk(place, each)
    elif hasattr(value, "__dataclass_fields__"):
        for name, each in vars(value).items():
            if name != "payload":
                yield from _walk(f"{place}.{name}", each)
