"""Cloud Build v1: the builds of source deploys, and `gcloud builds submit`.

Everything up to the first step of a build is imitated: who may submit it, and whether its account
can read the source and write the log. The steps do not run here; a test runs them from the stored
tarball.

"Configure user-specified service accounts": a build with a custom account must say where its log
goes.
"""

from __future__ import annotations

import hashlib
import io
import re
import uuid
import zipfile

from cloud.call import Call, Route
from cloud.errors import Unknown, invalid, not_found
from cloud.state import Build, Image, Json, timestamp
from cloud.world import Api

_REFERENCE = re.compile(r"[\w.-]+(/[\w.-]+)*(:[\w.-]{1,128})?(@[a-z0-9]+:[0-9a-f]{32,})?")
"""The name of an image (github.com/distribution/reference). That Cloud Build checks it before it
stores the build is a guess; no step can run with another name."""
_TYPES = "type.googleapis.com/google.devtools.cloudbuild.v1"


class CloudBuild(Api):
    """Builds."""

    name = "cloudbuild.googleapis.com"

    def table(self) -> list[Route]:
        project = "/v1/projects/{project}"
        location = f"{project}/locations/{{location}}"
        return [
            Route("GET", f"{location}/defaultServiceAccount", self._default_account),
            Route("GET", f"{project}/builds", self._list),
            Route("GET", f"{location}/builds", self._list),
            Route("POST", f"{project}/builds", self._create),
            Route("POST", f"{location}/builds", self._create),
            Route("GET", f"{project}/builds/{{build}}", self._get),
            Route("GET", f"{location}/builds/{{build}}", self._get),
            Route("GET", f"{location}/operations/{{build}}", self._operation),
        ]

    def source_deploy(self, call: Call) -> Json:
        """Build an image from an uploaded zip, for Cloud Run's `builds:submit`."""
        self.require(call, "cloudbuild.builds.create")
        asked = call.json
        pack = asked.get("buildpackBuild")
        if pack is None or not pack.get("functionTarget"):
            raise Unknown("a build of anything but a function")
        account = self._account(call, asked.get("serviceAccount"))
        self.access.require_act_as(call.principal, account)
        source = self._source(asked["storageSource"], account)
        made = self._made(call, source)
        made.body |= {
            "serviceAccount": f"projects/{self.state.project}/serviceAccounts/{account}",
            "source": {"storageSource": asked["storageSource"]},
            "tags": asked.get("tags", []),
            "options": {"logging": "CLOUD_LOGGING_ONLY"},
        }
        problem = self._problem(account, source, str(asked["imageUri"]))
        made.body["status"] = "FAILURE" if problem else "SUCCESS"
        if problem:
            made.body["failureInfo"] = {"type": "USER_BUILD_STEP", "detail": problem}
        else:
            digest = f"sha256:{hashlib.sha256(source).hexdigest()}"
            uri = str(asked["imageUri"])
            self.state.images[digest] = Image(uri, source, pack["functionTarget"])
            self.state.tags[uri] = digest
            made.body["results"] = {"images": [{"name": uri, "digest": digest}]}
        base = pack.get("baseImage", "")
        runtimes = f"{call['location']}-docker.pkg.dev/serverless-runtimes/google-22/runtimes"
        return {
            "buildOperation": self._operation_of(made, done=False),
            "baseImageUri": base if "/" in base else f"{runtimes}/{base}",
        }

    def _default_account(self, call: Call) -> Json:
        self.require(call, "cloudbuild.builds.get")
        name = f"projects/{self.state.project}/serviceAccounts/{self._account(call, None)}"
        return {"name": call.path.removeprefix("/v1/"), "serviceAccountEmail": name}

    def _create(self, call: Call) -> Json:
        self.require(call, "cloudbuild.builds.create")
        self.require(call, "serviceusage.services.use")
        asked = call.json
        if asked.get("substitutions"):
            raise Unknown("substitutions")
        account = self._account(call, asked.get("serviceAccount"))
        self.access.require_act_as(call.principal, account)
        options = asked.get("options", {})
        if asked.get("serviceAccount") and not (
            options.get("logging") in ("CLOUD_LOGGING_ONLY", "NONE")
            or asked.get("logsBucket")
            or options.get("defaultLogsBucketBehavior")
        ):
            raise invalid(
                "if 'build.service_account' is specified, the build must either (a) specify"
                " 'build.logs_bucket', (b) use the REGIONAL_USER_OWNED_BUCKET"
                " build.options.default_logs_bucket_behavior option, or (c) use either"
                " CLOUD_LOGGING_ONLY / NONE logging options"
            )
        for step in asked["steps"]:
            if not _REFERENCE.fullmatch(str(step["name"])):
                raise invalid(f'invalid build: invalid image name "{step["name"]}"')
        source = self._source(asked["source"]["storageSource"], account)
        made = self._made(call, source)
        problem = self.world.rules.build_fails or self._unlogged(account)
        made.body |= {**asked, "status": "FAILURE" if problem else "SUCCESS"}
        return self._operation_of(made, done=False)

    def _list(self, call: Call) -> Json:
        self.require(call, "cloudbuild.builds.list")
        location = call.names.get("location", "global")
        found = [each for each in self.state.builds.values() if each.location == location]
        return {"builds": [each.body for each in reversed(found)]}

    def _get(self, call: Call) -> Json:
        self.require(call, "cloudbuild.builds.get")
        return self._found(call).body

    def _operation(self, call: Call) -> Json:
        self.require(call, "cloudbuild.operations.get")
        return self._operation_of(self._found(call), done=True)

    def _found(self, call: Call) -> Build:
        if call["build"] not in self.state.builds:
            raise not_found("Requested entity was not found.")
        return self.state.builds[call["build"]]

    def _account(self, call: Call, named: str | None) -> str:
        """The email of a build's account: the named one, or the default."""
        default = f"{self.state.number}-compute@developer.gserviceaccount.com"
        email = named.rpartition("/")[2] if named else default
        return re.sub(r"\$(PROJECT_ID\b|\{PROJECT_ID\})", self.state.project, email)

    def _source(self, where: Json, account: str) -> bytes:
        bucket = self.state.buckets.get(where["bucket"])
        if bucket is None or where["object"] not in bucket.objects:
            raise invalid(f"could not resolve source: no object {where['object']}")
        if not self.access.allowed(account, "storage.objects.get", self.bucket(bucket.name)):
            raise invalid(
                f"could not resolve source: googleapi: Error 403: {account} does not have"
                " storage.objects.get access to the Google Cloud Storage object., forbidden"
            )
        return bucket.objects[where["object"]]

    def _made(self, call: Call, source: bytes) -> Build:
        identity = str(uuid.uuid4())
        location = call.names.get("location", "global")
        name = f"projects/{self.state.number}/locations/{location}/builds/{identity}"
        console = "https://console.cloud.google.com/cloud-build/builds"
        body = {
            "id": identity,
            "name": name,
            "projectId": self.state.project,
            "status": "QUEUED",
            "createTime": timestamp(),
            "logUrl": f"{console};region={location}/{identity}?project={self.state.number}",
        }
        made = self.state.builds[identity] = Build(identity, location, body, source)
        return made

    def _operation_of(self, build: Build, *, done: bool) -> Json:
        body = build.body if done else {**build.body, "status": "QUEUED"}
        operation: Json = {
            "name": f"projects/{self.state.project}/locations/{build.location}"
            f"/operations/{build.id}",
            "metadata": {"@type": f"{_TYPES}.BuildOperationMetadata", "build": body},
        }
        if done and build.body["status"] == "FAILURE":
            message = "Build failed; check build logs for details"
            return operation | {"done": True, "error": {"code": 2, "message": message}}
        if done:
            return operation | {"done": True, "response": {"@type": f"{_TYPES}.Build", **body}}
        return operation

    def _problem(self, account: str, source: bytes, image: str) -> str:
        """Why an image cannot be built; empty if it can.

        The buildpack (github.com/GoogleCloudPlatform/buildpacks, cmd/python) requires a `main.py`
        and compiles every uploaded module.
        """
        repository = repository_of(image)
        permission = "artifactregistry.repositories.uploadArtifacts"
        if not self.access.allowed(account, permission, repository):
            return f"denied: Permission '{permission}' denied on resource"
        if repository not in self.state.repositories:
            return f'name unknown: Repository "{repository}" not found'
        with zipfile.ZipFile(io.BytesIO(source)) as archive:
            if "main.py" not in archive.namelist():
                return "missing main.py and GOOGLE_FUNCTION_SOURCE not specified"
            for name in archive.namelist():
                if name.endswith(".py"):
                    try:
                        compile(archive.read(name), name, "exec", dont_inherit=True)
                    except (SyntaxError, ValueError) as error:
                        return f"{name}: {error}"
        return self.world.rules.build_fails or self._unlogged(account)

    def _unlogged(self, account: str) -> str:
        project = f"projects/{self.state.project}"
        if self.access.allowed(account, "logging.logEntries.create", project):
            return ""
        return "The service account running this build does not have permission to write logs"


def repository_of(image: str) -> str:
    """The full name of the repository of an image, `LOCATION-docker.pkg.dev/PROJECT/NAME/…`."""
    host, project, name, *_ = image.split("/")
    location = host.removesuffix("-docker.pkg.dev")
    return f"projects/{project}/locations/{location}/repositories/{name}"
