"""Service Usage v1: which APIs are enabled."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cloud.call import Call, Route
from cloud.errors import Refused
from cloud.state import Json
from cloud.world import Api

TITLES: Mapping[str, str] = MappingProxyType(
    {
        f"{name}.googleapis.com": title
        for name, title in {
            "artifactregistry": "Artifact Registry API",
            "cloudbuild": "Cloud Build API",
            "cloudresourcemanager": "Cloud Resource Manager API",
            "firebase": "Firebase Management API",
            "firebaseappcheck": "Firebase App Check API",
            "generativelanguage": "Gemini API",
            "iam": "Identity and Access Management (IAM) API",
            "iamcredentials": "IAM Service Account Credentials API",
            "identitytoolkit": "Identity Toolkit API",
            "logging": "Cloud Logging API",
            "monitoring": "Cloud Monitoring API",
            "run": "Cloud Run Admin API",
            "secretmanager": "Secret Manager API",
            "serviceusage": "Service Usage API",
            "storage": "Cloud Storage API",
            "storage-api": "Google Cloud Storage JSON API",
            "storage-component": "Cloud Storage",
            "sts": "Security Token Service API",
        }.items()
    }
)
"""The APIs that can be enabled here."""

NEW_PROJECT = frozenset(
    f"{name}.googleapis.com"
    for name in ("logging", "monitoring", "serviceusage", "storage", "storage-api")
)
"""The APIs that a new project has enabled ("Services enabled by default", Service Usage), as far as
they are imitated here."""


class ServiceUsage(Api):
    """Enables APIs. It is always enabled itself."""

    name = "serviceusage.googleapis.com"
    always_on = True

    def table(self) -> list[Route]:
        services = "/v1/projects/{project}/services"
        return [
            Route("GET", services, self._list),
            Route("GET", f"{services}/{{service}}", self._get),
            Route("POST", f"{services}:batchEnable", self._enable_all),
            Route("POST", f"{services}/{{service}}:enable", self._enable),
            Route("GET", "/v1/operations/{operation:path}", self._operation),
        ]

    def _get(self, call: Call) -> Json:
        self.require(call, "serviceusage.services.get")
        return self._described(call["service"])

    def _list(self, call: Call) -> Json:
        self.require(call, "serviceusage.services.list")
        every = [self._described(each) for each in sorted(TITLES)]
        wanted = call.query.get("filter", "").upper().removeprefix("STATE:")
        return {"services": [each for each in every if wanted in ("", each["state"])]}

    def _enable(self, call: Call) -> Json:
        return self._enabled(call, [call["service"]])

    def _enable_all(self, call: Call) -> Json:
        return self._enabled(call, [str(each) for each in call.json["serviceIds"]])

    def _operation(self, call: Call) -> Json:
        return {"name": f"operations/{call['operation']}", "done": True, "response": {}}

    def _enabled(self, call: Call, services: list[str]) -> Json:
        self.require(call, "serviceusage.services.enable")
        if unknown := sorted({*services} - TITLES.keys()):
            message = f"Not found or permission denied for service(s): {', '.join(unknown)}."
            raise Refused("PERMISSION_DENIED", message)
        fresh = {*services} - self.state.enabled
        self.state.enabled |= fresh
        name = (
            f"acat.p2-{self.state.number}-{self.state.next()}" if fresh else "noop.DONE_OPERATION"
        )
        return {"name": f"operations/{name}", "done": True, "response": {}}

    def _described(self, service: str) -> Json:
        if service not in TITLES:
            message = f"Not found or permission denied for service(s): {service}."
            raise Refused("PERMISSION_DENIED", message)
        state = "ENABLED" if service in self.state.enabled else "DISABLED"
        parent = f"projects/{self.state.number}"
        return {
            "name": f"{parent}/services/{service}",
            "parent": parent,
            "config": {"name": service, "title": TITLES[service]},
            "state": state,
        }
