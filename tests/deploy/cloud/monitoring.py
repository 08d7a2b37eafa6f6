"""Cloud Monitoring (v3 and v1) and Cloud Logging's metrics (v2), which store what they get.

Nothing is validated; a test parses the files into Google's own types. An update of a dashboard must
name its current etag ("projects.dashboards.patch", Monitoring v1).
"""

from __future__ import annotations

from cloud.call import Call, Route
from cloud.errors import Refused, exists, not_found
from cloud.state import Json
from cloud.world import Api


class Monitoring(Api):
    """Alert policies, notification channels and dashboards."""

    name = "monitoring.googleapis.com"

    def table(self) -> list[Route]:
        routes = []
        for version, kind in (
            ("v3", "alertPolicies"),
            ("v3", "notificationChannels"),
            ("v1", "dashboards"),
        ):
            every = f"/{version}/projects/{{project}}/{{kind}}".replace("{kind}", kind)
            one = f"{every}/{{id}}"
            routes += [
                Route("GET", every, self._list),
                Route("POST", every, self._create),
                Route("GET", one, self._get),
                Route("PATCH", one, self._update),
            ]
        return routes

    def _list(self, call: Call) -> Json:
        kind, stored = self._kind(call)
        self.require(call, f"monitoring.{kind}.list")
        return {kind: list(stored.values())}

    def _create(self, call: Call) -> Json:
        kind, stored = self._kind(call)
        self.require(call, f"monitoring.{kind}.create")
        asked = call.json
        identity = str(asked.get("name", "")).rpartition("/")[2] or str(self.state.next())
        if identity in stored:
            raise exists(f"{kind} {identity} already exists.")
        number = self.state.number if kind == "dashboards" else self.state.project
        made = {**asked, "name": f"projects/{number}/{kind}/{identity}", **self._etag(kind)}
        stored[identity] = made
        return made

    def _get(self, call: Call) -> Json:
        kind, stored = self._kind(call)
        self.require(call, f"monitoring.{kind}.get")
        return self._found(call, stored)

    def _update(self, call: Call) -> Json:
        kind, stored = self._kind(call)
        self.require(call, f"monitoring.{kind}.update")
        found = self._found(call, stored)
        if found.get("etag") != call.json.get("etag"):
            raise Refused("ABORTED", "The etag is not that of the present version.")
        mask = [each for each in call.query.get("updateMask", "").split(",") if each]
        asked = {key: value for key, value in call.json.items() if not mask or key in mask}
        kept = found if mask else {"name": found["name"]}
        stored[call["id"]] = {**kept, **asked, "name": found["name"], **self._etag(kind)}
        return stored[call["id"]]

    def _etag(self, kind: str) -> Json:
        return {"etag": f"v{self.state.next()}"} if kind == "dashboards" else {}

    def _kind(self, call: Call) -> tuple[str, dict[str, Json]]:
        """The kind of resource in a request, and the stored resources of that kind."""
        kind = call.path.split("/")[4]
        return kind, {
            "alertPolicies": self.state.alert_policies,
            "notificationChannels": self.state.notification_channels,
            "dashboards": self.state.dashboards,
        }[kind]

    def _found(self, call: Call, stored: dict[str, Json]) -> Json:
        if call["id"] not in stored:
            raise not_found(f"Could not find {call.path.removeprefix('/')}.")
        return stored[call["id"]]


class Logging(Api):
    """Log-based metrics."""

    name = "logging.googleapis.com"

    def table(self) -> list[Route]:
        metrics = "/v2/projects/{project}/metrics"
        return [
            Route("GET", metrics, self._list),
            Route("POST", metrics, self._create),
            Route("GET", f"{metrics}/{{metric:path}}", self._get),
            Route("PUT", f"{metrics}/{{metric:path}}", self._update),
        ]

    def _list(self, call: Call) -> Json:
        self.require(call, "logging.logMetrics.list")
        return {"metrics": list(self.state.log_metrics.values())}

    def _create(self, call: Call) -> Json:
        self.require(call, "logging.logMetrics.create")
        name = str(call.json["name"])
        if name in self.state.log_metrics:
            raise exists(f"Metric {name} already exists")
        self.state.log_metrics[name] = call.json
        return call.json

    def _get(self, call: Call) -> Json:
        self.require(call, "logging.logMetrics.get")
        return self._found(call)

    def _update(self, call: Call) -> Json:
        self.require(call, "logging.logMetrics.update")
        self.state.log_metrics[call["metric"]] = {**call.json, "name": call["metric"]}
        return self.state.log_metrics[call["metric"]]

    def _found(self, call: Call) -> Json:
        if call["metric"] not in self.state.log_metrics:
            raise not_found(f"Metric {call['metric']} does not exist")
        return self.state.log_metrics[call["metric"]]
