"""Cloud Resource Manager v1: the project and its policy."""

from __future__ import annotations

from cloud.call import Call, Route
from cloud.state import Json
from cloud.world import Api


class ResourceManager(Api):
    """The project."""

    name = "cloudresourcemanager.googleapis.com"

    def table(self) -> list[Route]:
        project = "/v1/projects/{project}"
        return [
            Route("GET", project, self._get),
            Route("POST", f"{project}:getIamPolicy", self._policy),
            Route("POST", f"{project}:setIamPolicy", self._set_policy),
            Route("POST", f"{project}:testIamPermissions", self._test),
        ]

    def _get(self, call: Call) -> Json:
        self.require(call, "resourcemanager.projects.get")
        return {
            "projectId": self.state.project,
            "projectNumber": self.state.number,
            "name": self.state.project,
            "lifecycleState": "ACTIVE",
            "createTime": "2026-01-01T00:00:00Z",
        }

    def _policy(self, call: Call) -> Json:
        self.require(call, "resourcemanager.projects.getIamPolicy")
        return self.state.policy(self.project(call)).as_json()

    def _set_policy(self, call: Call) -> Json:
        self.require(call, "resourcemanager.projects.setIamPolicy")
        return self.access.set_policy(self.project(call), "project", call.json).as_json()

    def _test(self, call: Call) -> Json:
        return self.access.held(call, self.project(call))
