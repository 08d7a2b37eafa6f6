"""Services and revisions of Cloud Run in the format of the v1 (knative) API."""

from __future__ import annotations

from cloud.state import Json, Revision, Service, State, timestamp

API = "serving.knative.dev/v1"
REGIONS = {"us-central1": "uc", "europe-west1": "ew", "europe-west3": "ey", "us-east1": "ue"}
"""The regions, each with its code in the older URL of a service."""


def urls(service: Service, number: str) -> list[str]:
    """The two URLs of a service: the one with the project's number, and the older one."""
    code = REGIONS.get(service.region, "xx")
    return [
        f"https://{service.name}-{number}.{service.region}.run.app",
        f"https://{service.name}-{_hash(number)}-{code}.a.run.app",
    ]


def condition(kind: str, problem: str, reason: str) -> Json:
    """A condition, which is true without a problem."""
    made = {"type": kind, "status": "True", "lastTransitionTime": timestamp()}
    if not problem:
        return made
    return made | {"status": "False", "message": problem, "reason": reason, "severity": ""}


def service_json(service: Service, number: str) -> Json:
    """A service as the API returns it."""
    older = urls(service, number)[1]
    shown = [
        each | ({"url": older.replace("://", f"://{each['tag']}---")} if "tag" in each else {})
        for each in service.serving
    ]
    status: Json = {
        "observedGeneration": service.generation if service.metadata else 0,
        "conditions": service.conditions,
        "latestCreatedRevisionName": service.latest_created,
        "traffic": shown,
        "url": older,
        "address": {"url": older},
    }
    if service.latest_ready:
        status["latestReadyRevisionName"] = service.latest_ready
    return {
        "apiVersion": API,
        "kind": "Service",
        "metadata": service.metadata,
        "spec": service.spec,
        "status": status,
    }


def revision_json(revision: Revision, state: State) -> Json:
    """A revision as the API returns it."""
    image, digest = state.images[revision.image].uri, revision.image
    labels = {
        **revision.metadata.get("labels", {}),
        "serving.knative.dev/service": revision.service,
        "serving.knative.dev/configuration": revision.service,
        "serving.knative.dev/configurationGeneration": str(revision.generation),
        "cloud.googleapis.com/location": revision.region,
    }
    return {
        "apiVersion": API,
        "kind": "Revision",
        "metadata": {
            "name": revision.name,
            "namespace": state.number,
            "creationTimestamp": revision.created,
            "generation": 1,
            "labels": labels,
            "annotations": revision.metadata.get("annotations", {}),
        },
        "spec": revision.spec,
        "status": {
            "observedGeneration": 1,
            "imageDigest": f"{image}@{digest}",
            "conditions": [
                condition("Ready", revision.message, revision.reason),
                condition("ResourcesAvailable", revision.message, revision.reason),
            ],
        },
    }


def _hash(number: str) -> str:
    return f"{int(number) * 2_654_435_761 % 36**10:010x}"[:10]
