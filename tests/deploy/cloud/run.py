"""Cloud Run: services and revisions by the v1 (knative) API, and source builds by v2.

Enforced, with the sources:

- a change that names an old `resourceVersion` is refused with 409 (knative's API conventions);
- the account of a revision must exist, and the deployer must be allowed to act as it ("Service
  identity"; the message is quoted from many bug reports);
- the deployer must be allowed to read the image ("Deploying container images", required roles);
- making a service public without IAM requires `run.services.setIamPolicy` ("Allowing public
  access"); that only a change of the setting requires it is a guess;
- a secret must exist, have the version, and be readable by the account of the revision, or the
  revision is not ready ("Configure secrets for services"; the message for a missing permission is
  quoted from bug reports, those for missing secrets are guesses);
- a revision whose process ends before it listens is not ready (the contract for containers);
- an HTTP startup probe must be answered with less than 400 ("Configure container health checks");
- reserved names of variables, and the ranges of concurrency and timeout ("Container runtime
  contract", "Maximum concurrent requests").

Guesses: a change takes effect before it is answered, while Google needs seconds to minutes; the
number of a revision is the generation of the service; the hash in the older URL of a service.
"""

from __future__ import annotations

import json
import random
import uuid

from cloud import traffic
from cloud.call import Call, Route
from cloud.cloudbuild import CloudBuild, repository_of
from cloud.errors import Refused, Unknown, exists, invalid, not_found
from cloud.run_json import API, REGIONS, condition, revision_json, service_json, urls
from cloud.state import Image, Json, Revision, Service, timestamp
from cloud.traffic import NotServed
from cloud.world import Api, World
from emulator.function import Function, NotStarted

PUBLIC = "run.googleapis.com/invoker-iam-disabled"
_RESERVED = frozenset({"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"})
_LETTERS = "bcdfghjklmnpqrstvwxz"


class NotReady(Exception):
    """A revision is not ready. It has a one-word reason and a message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Run(Api):
    """Services and revisions."""

    name = "run.googleapis.com"

    def __init__(self, world: World, builds: CloudBuild) -> None:
        self._builds = builds
        super().__init__(world)

    def table(self) -> list[Route]:
        space = f"/apis/{API}/namespaces/{{project}}"
        service = "/v1/projects/{project}/locations/{location}/services/{service}"
        return [
            Route("GET", f"{space}/services", self._list),
            Route("POST", f"{space}/services", self._create),
            Route("GET", f"{space}/services/{{service}}", self._get),
            Route("PUT", f"{space}/services/{{service}}", self._replace),
            Route("GET", f"{space}/revisions", self._revisions),
            Route("GET", f"{space}/revisions/{{revision}}", self._revision),
            Route("GET", "/v1/projects/{project}/locations", self._locations),
            Route("GET", "/v1/projects/{project}/locations/-/services", self._list),
            Route("GET", f"{service}:getIamPolicy", self._policy),
            Route("POST", f"{service}:setIamPolicy", self._set_policy),
            Route("POST", f"{service}:testIamPermissions", self._test),
            Route(
                "POST",
                "/v2/projects/{project}/locations/{location}/builds:submit",
                self._builds.source_deploy,
            ),
        ]

    # ------------------------------------------------------------------ services

    def _list(self, call: Call) -> Json:
        self.require(call, "run.services.list")
        region = _region(call)
        found = [each for each in self.state.services.values() if region in ("", each.region)]
        items = [service_json(each, self.state.number) for each in found]
        return {"apiVersion": API, "kind": "ServiceList", "metadata": {}, "items": items}

    def _locations(self, call: Call) -> Json:
        """The regions, which gcloud requests if a region does not have a resource."""
        self.require(call, "run.locations.list")
        name = f"projects/{self.state.project}/locations"
        return {"locations": [{"name": f"{name}/{x}", "locationId": x} for x in REGIONS]}

    def _get(self, call: Call) -> Json:
        self.require(call, "run.services.get", self._resource(call))
        return service_json(self._service(call), self.state.number)

    def _create(self, call: Call) -> Json:
        asked = call.json
        name, region = str(asked["metadata"]["name"]), _region(call)
        self.require(call, "run.services.create")
        if (region, name) in self.state.services:
            raise exists(f"Resource '{name}' already exists.")
        if _is_open(asked["metadata"]):
            self.require(call, "run.services.setIamPolicy")
        made = Service(region, name, {}, {})
        self._change(call, made, asked, dry_run=call.query.get("dryRun") == "all")
        return service_json(made, self.state.number)

    def _replace(self, call: Call) -> Json:
        self.require(call, "run.services.update", self._resource(call))
        asked, service = call.json, self._service(call)
        version = asked["metadata"].get("resourceVersion")
        current = service.metadata["resourceVersion"]
        if version is not None and version != current:
            message = f"Conflict for resource '{service.name}': version '{version}' was specified"
            raise Refused("ABORTED", f"{message} but current version is '{current}'.")
        if _is_open(asked["metadata"]) != self.is_open(service):
            self.require(call, "run.services.setIamPolicy", self._resource(call))
        self._change(call, service, asked, dry_run=call.query.get("dryRun") == "all")
        return service_json(service, self.state.number)

    def _change(self, call: Call, service: Service, asked: Json, *, dry_run: bool) -> None:
        """Store the requested metadata and spec of a service, and apply them."""
        spec = asked["spec"]
        targets = spec.get("traffic") or traffic.EVERYTHING_TO_LATEST
        template = spec["template"]
        changed = template != service.spec.get("template")
        traffic.check(targets)
        if changed:
            self._check_template(call, service, template)
        if dry_run:
            return
        new = not service.metadata
        generation = 1 if new else service.generation + 1
        stable = {
            "name": service.name,
            "namespace": self.state.number,
            "selfLink": f"/apis/{API}/namespaces/{self.state.number}/services/{service.name}",
            "uid": service.metadata.get("uid", str(uuid.uuid4())),
            "creationTimestamp": service.metadata.get("creationTimestamp", timestamp()),
            "generation": generation,
            "resourceVersion": f"AAY{self.state.next():08d}",
        }
        given = asked["metadata"]
        region = {"cloud.googleapis.com/location": service.region}
        service.metadata = {
            **stable,
            "labels": {**given.get("labels", {}), **region},
            "annotations": {
                **given.get("annotations", {}),
                "serving.knative.dev/creator": service.metadata.get("annotations", {}).get(
                    "serving.knative.dev/creator", call.principal
                ),
                "serving.knative.dev/lastModifier": call.principal,
                "run.googleapis.com/urls": json.dumps(urls(service, self.state.number)),
                "run.googleapis.com/ingress-status": "all",
            },
        }
        service.metadata["annotations"].setdefault("run.googleapis.com/ingress", "all")
        service.spec = {**spec, "traffic": targets}
        if changed:
            self._release(service, template)
        self._serve(service)
        if new:
            self.state.services[service.region, service.name] = service

    def _check_template(self, call: Call, service: Service, template: Json) -> None:
        """Raise Refused if a template is invalid."""
        where = "spec.template.spec"
        spec = template["spec"]
        name = _template_name(template)
        if name in service.revisions:
            message = f"Revision named '{name}' with different configuration already exists."
            raise exists(message)
        if name and not name.startswith(f"{service.name}-"):
            raise invalid(f"spec.template.metadata.name: must begin with '{service.name}-'")
        volumes = spec.get("volumes", [])
        if len(spec["containers"]) != 1 or not all("secret" in each for each in volumes):
            raise Unknown("several containers, or volumes that are not secrets")
        default = f"{self.state.number}-compute@developer.gserviceaccount.com"
        self.access.require_act_as(call.principal, spec.get("serviceAccountName") or default)
        concurrency = spec.get("containerConcurrency", 80)
        if not 1 <= concurrency <= 1000:
            raise invalid(f"{where}.container_concurrency: must be between 1 and 1000")
        if not 1 <= spec.get("timeoutSeconds", 300) <= 3600:
            raise invalid(f"{where}.timeout_seconds: must be between 1 and 3600")
        names = [each["name"] for each in spec["containers"][0].get("env", [])]
        if reserved := sorted(_RESERVED & set(names)):
            message = f"The following reserved env names were provided: {', '.join(reserved)}."
            ending = "These values are automatically set by the system."
            raise invalid(f"{where}.containers[0].env: {message} {ending}")
        if len(names) != len(set(names)):
            raise invalid(f"{where}.containers[0].env: a name occurs twice")
        _, image = self._image(spec["containers"][0])
        permission = "artifactregistry.repositories.downloadArtifacts"
        self.access.require(call.principal, permission, repository_of(image.uri))

    def _image(self, container: Json) -> tuple[str, Image]:
        """The digest and the image of a container. Raises Refused."""
        uri, _, digest = str(container["image"]).partition("@")
        digest = digest or self.state.tags.get(uri, "")
        if digest not in self.state.images:
            raise not_found(f"Image '{container['image']}' not found.")
        return digest, self.state.images[digest]

    def _release(self, service: Service, template: Json) -> None:
        """Create the next revision, and check that it starts."""
        suffix = "".join(random.choices(_LETTERS, k=3))
        name = _template_name(template) or f"{service.name}-{service.generation:05d}-{suffix}"
        digest, _ = self._image(template["spec"]["containers"][0])
        made = Revision(
            name,
            service.region,
            service.name,
            service.generation,
            timestamp(),
            template.get("metadata", {}),
            template["spec"],
            digest,
        )
        service.revisions[name] = made
        service.latest_created = name
        try:
            self.start(made)
        except NotReady as error:
            made.reason, made.message = error.reason, error.message
        else:
            made.ready = True
            service.latest_ready = name

    def start(self, revision: Revision) -> Function:
        """An instance of a revision, with the current values of its secrets.

        Raises:
            NotReady: none can start.
        """
        variables = revision.variables
        for place, entry in enumerate(revision.container.get("env", [])):
            if "valueFrom" in entry:
                field = f"spec.template.spec.containers[0].env[{place}].value_from.secret_key_ref"
                source = entry["valueFrom"]["secretKeyRef"]
                variables[entry["name"]] = self._secret(
                    revision, source["name"], source["key"], field
                )
        for place, volume in enumerate(revision.spec.get("volumes", [])):
            field = f"spec.template.spec.volumes[{place}].secret"
            for item in volume["secret"]["items"]:  # read, but no file is made of it
                self._secret(revision, volume["secret"]["secretName"], item["key"], field)
        image = self.state.images[revision.image]
        probe = revision.container.get("startupProbe", {}).get("httpGet", {}).get("path")
        try:
            return self.world.instances.start(
                revision.service, revision.name, image, variables, probe
            )
        except NotStarted:
            raise NotReady(
                "HealthCheckContainerError",
                f"Revision '{revision.name}' is not ready and cannot serve traffic. The"
                " user-provided container failed to start and listen on the port defined provided"
                " by the PORT=8080 environment variable within the allocated timeout. Logs for"
                " this revision might contain more information.",
            ) from None

    def _secret(self, revision: Revision, name: str, key: str, field: str) -> str:
        """The value of a version of a secret, to which a field refers."""
        full = f"projects/{self.state.number}/secrets/{name}/versions/{key}"
        default = f"{self.state.number}-compute@developer.gserviceaccount.com"
        account = revision.account or default
        resource = f"projects/{self.state.project}/secrets/{name}"
        if not self.access.allowed(account, "secretmanager.versions.access", resource):
            raise NotReady(
                "SecretsAccessCheckFailed",
                f"{field}.name: Permission denied on secret: {full} for Revision service account"
                f" {account}. The service account used must be granted the 'Secret Manager Secret"
                " Accessor' role (roles/secretmanager.secretAccessor) at the secret, project or"
                " higher level.",
            )
        secret = self.state.secrets.get(name)
        version = secret.find(str(key)) if secret else None
        if version is None:
            raise NotReady("SecretsAccessCheckFailed", f"{field}.name: Secret {full} was not found")
        if version.state != "ENABLED":
            message = f"{field}.name: Secret {full} is in {version.state} state"
            raise NotReady("SecretsAccessCheckFailed", message)
        return version.payload.decode()

    def _serve(self, service: Service) -> None:
        """Apply the traffic of the spec if it can serve, and set the conditions."""
        created = service.revisions[service.latest_created]
        problem, reason = ("", "") if created.ready else (created.message, created.reason)
        routes = ""
        try:
            service.serving = traffic.served(service, service.spec["traffic"])
        except NotServed as error:
            routes = str(error)
        service.conditions = [
            condition("Ready", problem or routes, reason or "RevisionFailed"),
            condition("ConfigurationsReady", problem, reason),
            condition("RoutesReady", routes or (problem if not service.serving else ""), reason),
        ]

    def _service(self, call: Call) -> Service:
        region = _region(call) or call.names.get("location", "")
        service = self.state.services.get((region, call["service"]))
        if service is None:
            raise not_found(f"Resource '{call['service']}' of kind 'SERVICE' in region '{region}'")
        return service

    def _resource(self, call: Call) -> str:
        region = _region(call) or call.names.get("location", "")
        return self.resource(region, call["service"], self.project(call))

    def resource(self, region: str, service: str, project: str = "") -> str:
        """The full name of a service."""
        project = project or f"projects/{self.state.project}"
        return f"{project}/locations/{region}/services/{service}"

    # ------------------------------------------------------------------ revisions

    def _revisions(self, call: Call) -> Json:
        self.require(call, "run.revisions.list")
        region = _region(call)
        wanted = _selector(call.query.get("labelSelector", ""))
        items = [
            revision_json(revision, self.state)
            for service in self.state.services.values()
            for revision in reversed(service.revisions.values())
            if region in ("", service.region) and self._matches(revision, wanted)
        ]
        return {"apiVersion": API, "kind": "RevisionList", "metadata": {}, "items": items}

    def _revision(self, call: Call) -> Json:
        self.require(call, "run.revisions.get")
        return revision_json(self._found(call), self.state)

    def _found(self, call: Call) -> Revision:
        region = _region(call)
        for service in self.state.services.values():
            if service.region == region and call["revision"] in service.revisions:
                return service.revisions[call["revision"]]
        raise not_found(f"Resource '{call['revision']}' of kind 'REVISION' in region '{region}'")

    def _matches(self, revision: Revision, wanted: dict[str, str]) -> bool:
        labels = revision_json(revision, self.state)["metadata"]["labels"]
        return all(labels.get(name) == value for name, value in wanted.items())

    # ------------------------------------------------------------------ policies

    def _policy(self, call: Call) -> Json:
        self.require(call, "run.services.getIamPolicy", self._resource(call))
        self._service(call)
        return self.state.policy(self._resource(call)).as_json()

    def _set_policy(self, call: Call) -> Json:
        self.require(call, "run.services.setIamPolicy", self._resource(call))
        self._service(call)
        return self.access.set_policy(self._resource(call), "run", call.json).as_json()

    def _test(self, call: Call) -> Json:
        """The permissions of the caller on a service, which need not exist yet."""
        return self.access.held(call, self._resource(call))

    def is_open(self, service: Service) -> bool:
        """Whether everybody may call a service without IAM."""
        return _is_open(service.metadata)


def _region(call: Call) -> str:
    """The region of a host; empty for the global host."""
    return call.host.removesuffix(Run.name).removesuffix("-")


def _is_open(metadata: Json) -> bool:
    """Whether an annotation turns IAM off for callers. gcloud writes it as `True`."""
    return str(metadata.get("annotations", {}).get(PUBLIC)).lower() == "true"


def _template_name(template: Json) -> str:
    return str(template.get("metadata", {}).get("name", ""))


def _selector(text: str) -> dict[str, str]:
    pairs = (each.partition("=") for each in text.split(",") if each)
    return {name.strip(): value.strip() for name, _, value in pairs}
