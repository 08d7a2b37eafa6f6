"""The state of one project. It is plain data, so a copy is a snapshot."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]


@dataclass
class Policy:
    """An IAM policy: the members of each role on one resource."""

    members: dict[str, set[str]] = field(default_factory=dict)
    """Per role, its members: `user:…`, `serviceAccount:…`, `allUsers`."""
    conditional: list[Json] = field(default_factory=list)
    """The bindings with a condition. They are kept, and grant nothing here."""
    version: int = 0
    """Grows with each change; the etag contains it."""
    lags: dict[tuple[str, str], int] = field(default_factory=dict)
    """Per role and member, how many more checks ignore the grant."""

    @property
    def etag(self) -> str:
        return base64.b64encode(f"v{self.version:06d}".encode()).decode()

    def as_json(self) -> Json:
        bindings: list[Json] = [
            {"role": role, "members": sorted(members)}
            for role, members in sorted(self.members.items())
        ]
        bindings += self.conditional
        version = 3 if self.conditional else 1
        return {
            "version": version,
            "etag": self.etag,
            **({"bindings": bindings} if bindings else {}),
        }


@dataclass
class Account:
    """A service account."""

    email: str
    unique_id: str
    body: Json
    """Its display name and description."""
    unseen: int = 0
    """How many more uses fail before other services see it."""


@dataclass
class Version:
    """A version of a secret."""

    number: int
    payload: bytes = field(repr=False)
    created: str
    state: Literal["ENABLED", "DISABLED"] = "ENABLED"


@dataclass
class Secret:
    name: str
    body: Json
    """Its replication and labels."""
    created: str
    versions: dict[int, Version] = field(default_factory=dict)

    def find(self, version: str) -> Version | None:
        """A version by its number, or `latest`.

        `latest` is the newest version in any state, not the newest enabled one ("Access a secret
        version", Secret Manager).
        """
        if version == "latest":
            return self.versions[max(self.versions)] if self.versions else None
        return self.versions.get(int(version)) if version.isascii() and version.isdigit() else None


@dataclass
class Bucket:
    """A bucket and its objects."""

    name: str
    body: Json
    objects: dict[str, bytes] = field(default_factory=dict, repr=False)
    generations: dict[str, int] = field(default_factory=dict)


@dataclass
class Build:
    """A build: of a source deploy, or of `gcloud builds submit`."""

    id: str
    location: str
    body: Json
    """The build in the API's format."""
    source: bytes = field(repr=False)
    """The source: a zip for a source deploy, otherwise a tarball."""


@dataclass(frozen=True)
class Image:
    """A container image, represented by its source."""

    uri: str
    """Its repository and name, without tag and digest."""
    source: bytes = field(repr=False)
    """The zip."""
    target: str
    """The name of its function."""


@dataclass
class Revision:
    """A revision of a service. Only its readiness ever changes."""

    name: str
    region: str
    service: str
    generation: int
    """The generation of the service that created it."""
    created: str
    metadata: Json
    """The labels and annotations of its template."""
    spec: Json
    """The spec of its template: one container, its account and its limits."""
    image: str
    """The digest of its image."""
    ready: bool = False
    reason: str = ""
    message: str = ""
    """Why it is not ready."""

    @property
    def container(self) -> Json:
        container: Json = self.spec["containers"][0]
        return container

    @property
    def account(self) -> str:
        """The email of the account that it runs as."""
        return str(self.spec.get("serviceAccountName", ""))

    @property
    def variables(self) -> dict[str, str]:
        """Its plain variables."""
        entries = self.container.get("env", [])
        return {each["name"]: each.get("value", "") for each in entries if "valueFrom" not in each}

    @property
    def secrets(self) -> dict[str, str]:
        """Per variable with a secret, the secret as `secret:version`."""
        references = {
            each["name"]: each["valueFrom"]["secretKeyRef"]
            for each in self.container.get("env", [])
            if "valueFrom" in each
        }
        return {name: f"{each['name']}:{each['key']}" for name, each in references.items()}


@dataclass
class Service:
    """A Cloud Run service."""

    region: str
    name: str
    metadata: Json
    """Labels and annotations, including Cloud Run's own."""
    spec: Json
    """The template of the next revision, and the requested traffic."""
    revisions: dict[str, Revision] = field(default_factory=dict)
    """By name, oldest first."""
    latest_created: str = ""
    latest_ready: str = ""
    serving: list[Json] = field(default_factory=list)
    """The actual traffic: `revisionName`, `percent`, `tag`, `latestRevision`."""
    conditions: list[Json] = field(default_factory=list)

    @property
    def generation(self) -> int:
        return int(self.metadata["generation"])


@dataclass
class State:
    """One project and its resources."""

    project: str
    number: str
    enabled: set[str] = field(default_factory=set)
    """The APIs that are enabled."""
    policies: dict[str, Policy] = field(default_factory=dict)
    """By the full name of the resource, such as `projects/p/secrets/s`."""
    accounts: dict[str, Account] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    repositories: dict[str, Json] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    builds: dict[str, Build] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    """By digest, `sha256:…`."""
    tags: dict[str, str] = field(default_factory=dict)
    """The newest digest of each image's name."""
    services: dict[tuple[str, str], Service] = field(default_factory=dict)
    """By region and name."""
    alert_policies: dict[str, Json] = field(default_factory=dict)
    notification_channels: dict[str, Json] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    log_metrics: dict[str, Json] = field(default_factory=dict)
    count: int = 0
    """The last number that `next` returned."""

    def next(self) -> int:
        """A new number."""
        self.count += 1
        return self.count

    def revisions(self) -> set[str]:
        """The names of all revisions."""
        return {name for each in self.services.values() for name in each.revisions}

    def policy(self, resource: str) -> Policy:
        """The policy of a resource; an empty one if none was set."""
        return self.policies.setdefault(resource, Policy())


def timestamp() -> str:
    """The current time in the APIs' format."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
