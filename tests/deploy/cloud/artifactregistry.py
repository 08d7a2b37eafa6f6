"""Artifact Registry v1: the repository for the images of source deploys, and its policy."""

from __future__ import annotations

from cloud.call import Call, Route
from cloud.errors import exists, not_found
from cloud.state import Json, timestamp
from cloud.world import Api

_TYPES = "type.googleapis.com/google.devtools.artifactregistry.v1"


class ArtifactRegistry(Api):
    """Repositories. The state has their images."""

    name = "artifactregistry.googleapis.com"

    def table(self) -> list[Route]:
        location = "/v1/projects/{project}/locations/{location}"
        return [
            Route("GET", f"{location}/repositories", self._list),
            Route("POST", f"{location}/repositories", self._create),
            Route("GET", f"{location}/repositories/{{repository}}", self._get),
            Route("GET", f"{location}/repositories/{{repository}}:getIamPolicy", self._policy),
            Route("POST", f"{location}/repositories/{{repository}}:setIamPolicy", self._set_policy),
            Route("GET", f"{location}/operations/{{operation}}", self._operation),
        ]

    def _list(self, call: Call) -> Json:
        self.require(call, "artifactregistry.repositories.list")
        parent = self._name(call, "")
        found = [each for name, each in self.state.repositories.items() if name.startswith(parent)]
        return {"repositories": found}

    def _get(self, call: Call) -> Json:
        return self.state.repositories[self._found(call, "get")]

    def _policy(self, call: Call) -> Json:
        return self.state.policy(self._found(call, "getIamPolicy")).as_json()

    def _set_policy(self, call: Call) -> Json:
        name = self._found(call, "setIamPolicy")
        return self.access.set_policy(name, "artifactregistry", call.json).as_json()

    def _found(self, call: Call, permission: str) -> str:
        """The full name of the repository in a request, if the caller has a permission on it."""
        name = self._name(call, call["repository"])
        self.require(call, f"artifactregistry.repositories.{permission}", name)
        if name not in self.state.repositories:
            raise not_found(f'Requested entity was not found: "{name}".')
        return name

    def _create(self, call: Call) -> Json:
        self.require(call, "artifactregistry.repositories.create")
        name = self._name(call, call.query.get("repositoryId", ""))
        if name in self.state.repositories:
            raise exists("the repository already exists")
        made = {**call.json, "name": name, "createTime": timestamp()}
        self.state.repositories[name] = made
        parent = name.partition("/repositories/")[0]
        return {
            "name": f"{parent}/operations/repository-{self.state.next()}",
            "metadata": {"@type": f"{_TYPES}.OperationMetadata"},
            "done": True,
            "response": {"@type": f"{_TYPES}.Repository", **made},
        }

    def _operation(self, call: Call) -> Json:
        self.require(call, "artifactregistry.repositories.get")
        made = list(self.state.repositories.values())[-1]
        return {
            "name": call.path.removeprefix("/v1/"),
            "metadata": {"@type": f"{_TYPES}.OperationMetadata"},
            "done": True,
            "response": {"@type": f"{_TYPES}.Repository", **made},
        }

    def _name(self, call: Call, repository: str) -> str:
        return f"{self.project(call)}/locations/{call['location']}/repositories/{repository}"
