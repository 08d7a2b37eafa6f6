"""The permissions of each role, as far as the stand-in checks them.

Read in November 2026, without the permissions of APIs that are not imitated here:

- `run.sourceDeveloper`, `run.builder`, `run.viewer`, `run.invoker`: "Cloud Run IAM roles"
  (docs.cloud.google.com/run/docs/reference/iam/roles);
- `secretmanager.*`: "Secret Manager roles and permissions" (docs.cloud.google.com/iam/docs/
  roles-permissions/secretmanager);
- `storage.bucketViewer`: "IAM roles for Cloud Storage" (docs.cloud.google.com/storage/docs/
  access-control/iam-roles);
- `firebaseauth.viewer`: "Firebase Authentication roles and permissions" (docs.cloud.google.com/iam/
  docs/roles-permissions/firebaseauth);
- `serviceusage.serviceUsageConsumer`, `logging.*`, `iam.serviceAccountUser`, `monitoring.*`,
  `firebaseappcheck.tokenVerifier`, `cloudbuild.builds.editor`: the dumps of
  `gcloud iam roles describe` in github.com/iann0036/iam-dataset;
- `datastore.user`: "Manage access with IAM" (cloud.google.com/firestore/docs/security/iam).

Guesses: `owner` has every permission; `artifactregistry.*`, the rest of `storage.*` and
`run.developer` are from memory, and `run.admin` has every permission of Cloud Run.

Only `run.admin` and `owner` have `run.services.setIamPolicy`, which both ways to make a service
public require ("Allowing public access", Cloud Run).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_PROJECT = ("resourcemanager.projects.get", "resourcemanager.projects.list")


def _of(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in names)


_RUN_READ = (
    *_of("run.configurations", "get", "list"),
    *_of("run.operations", "get", "list"),
    *_of("run.revisions", "get", "list"),
    *_of("run.routes", "get", "list"),
    *_of("run.services", "get", "getIamPolicy", "list"),
    "run.locations.list",
)
_RUN_WRITE = (
    *_of("run.services", "create", "delete", "update"),
    "run.revisions.delete",
    "run.operations.delete",
    "run.routes.invoke",
)
_BUILDS_EDIT = _of("cloudbuild.builds", "create", "get", "list", "update")
_ALERTS = _of("monitoring.alertPolicies", "create", "delete", "get", "list", "update")
_DASHBOARDS = _of("monitoring.dashboards", "create", "delete", "get", "list", "update")
_CHANNELS = _of("monitoring.notificationChannels", "create", "delete", "get", "list", "update")
_MONITORING_READ = (
    *_of("monitoring.alertPolicies", "get", "list"),
    *_of("monitoring.dashboards", "get", "list"),
    *_of("monitoring.notificationChannels", "get", "list"),
    "monitoring.timeSeries.list",
)

EVERYTHING = "*"

ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        f"roles/{name}": frozenset(permissions)
        for name, permissions in {
            "owner": (EVERYTHING,),
            "run.admin": (*_RUN_READ, *_RUN_WRITE, "run.services.setIamPolicy", *_PROJECT),
            "run.developer": (*_RUN_READ, *_RUN_WRITE, *_PROJECT),
            "run.sourceDeveloper": (
                *_of("artifactregistry.repositories", "create", "downloadArtifacts", "get", "list"),
                *_BUILDS_EDIT,
                *_of("cloudbuild.operations", "get", "list"),
                "orgpolicy.policy.get",
                "remotebuildexecution.blobs.get",
                *_PROJECT,
                *_RUN_READ,
                *_RUN_WRITE,
                *_of("serviceusage.services", "get", "list", "use"),
                *_of("storage.buckets", "create", "get", "list"),
                *_of("storage.objects", "create", "get", "list"),
            ),
            "run.builder": (
                *_of(
                    "artifactregistry.repositories",
                    *("deleteArtifacts", "downloadArtifacts", "uploadArtifacts"),
                ),
                "logging.logEntries.create",
                "source.repos.get",
                "storage.objects.get",
            ),
            "run.invoker": ("run.routes.invoke",),
            "run.viewer": (*_RUN_READ, *_PROJECT),
            "serviceusage.serviceUsageConsumer": (
                "monitoring.timeSeries.list",
                *_of("serviceusage.operations", "get", "list"),
                *_of("serviceusage.services", "get", "list", "use"),
            ),
            "logging.logWriter": ("logging.logEntries.create",),
            "logging.viewer": (
                *_of("logging.logEntries", "list"),
                *_of("logging.logMetrics", "get", "list"),
                "resourcemanager.projects.get",
            ),
            "logging.configWriter": (
                *_of("logging.logMetrics", "create", "delete", "get", "list", "update"),
                *_PROJECT,
            ),
            "secretmanager.admin": (
                *_of("secretmanager.secrets", "create", "delete", "get", "getIamPolicy", "list"),
                *_of("secretmanager.secrets", "setIamPolicy", "update"),
                *_of("secretmanager.versions", "access", "add", "destroy", "disable", "enable"),
                *_of("secretmanager.versions", "get", "list"),
                *_PROJECT,
            ),
            "secretmanager.viewer": (
                *_of("secretmanager.secrets", "get", "getIamPolicy", "list"),
                *_of("secretmanager.versions", "get", "list"),
                *_PROJECT,
            ),
            "secretmanager.secretAccessor": ("secretmanager.versions.access", *_PROJECT),
            "secretmanager.secretVersionAdder": ("secretmanager.versions.add", *_PROJECT),
            "iam.serviceAccountUser": (
                *_of("iam.serviceAccounts", "actAs", "get", "list"),
                *_PROJECT,
            ),
            "cloudbuild.builds.editor": (
                *_BUILDS_EDIT,
                *_of("cloudbuild.operations", "get", "list"),
                "remotebuildexecution.blobs.get",
                *_PROJECT,
            ),
            "artifactregistry.reader": _of(
                "artifactregistry.repositories", "downloadArtifacts", "get", "list"
            ),
            "artifactregistry.writer": _of(
                "artifactregistry.repositories",
                *("downloadArtifacts", "get", "list", "uploadArtifacts"),
            ),
            "storage.bucketViewer": _of("storage.buckets", "get", "list"),
            "storage.objectViewer": _of("storage.objects", "get", "list"),
            "storage.objectCreator": _of("storage.objects", "create"),
            "storage.objectUser": _of("storage.objects", "create", "delete", "get", "list"),
            "storage.admin": (
                *_of("storage.buckets", "create", "get", "getIamPolicy", "list", "setIamPolicy"),
                *_of("storage.objects", "create", "delete", "get", "list"),
            ),
            "monitoring.viewer": (*_MONITORING_READ, *_PROJECT),
            "monitoring.editor": (
                *_ALERTS,
                *_DASHBOARDS,
                *_CHANNELS,
                "monitoring.timeSeries.list",
                *_of("serviceusage.services", "enable", "get"),
                *_PROJECT,
            ),
            "monitoring.alertPolicyEditor": _ALERTS,
            "monitoring.dashboardEditor": _DASHBOARDS,
            "monitoring.notificationChannelEditor": _CHANNELS,
            "firebaseauth.viewer": (
                *_of("firebase.clients", "get", "list"),
                "firebase.projects.get",
                "firebaseauth.configs.get",
                "firebaseauth.users.get",
                *_PROJECT,
            ),
            "datastore.user": _of("datastore.entities", "create", "get", "list", "update"),
            "firebaseappcheck.tokenVerifier": ("firebaseappcheck.appCheckTokens.verify",),
        }.items()
    }
)
"""Every role that the stand-in knows, with its permissions."""


def allows(role: str, permission: str) -> bool:
    """Whether a role has a permission."""
    return bool(ROLES[role] & {permission, EVERYTHING})


def fits(role: str, kind: str) -> bool:
    """Whether a role may be granted on a resource of a kind, such as `secretmanager`.

    A guess: outside a project, any role with a permission of the resource's API.
    """
    return kind == "project" or any(
        each == EVERYTHING or each.startswith(f"{kind}.") for each in ROLES[role]
    )
