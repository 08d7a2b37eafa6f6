"""Turns the requested traffic of a service into its actual traffic.

"Rollbacks, gradual rollouts, and traffic migration" (Cloud Run), and knative's serving spec: a
target names a revision or sets `latestRevision`, percents add up to 100, a tag has its own URL. If
a target cannot serve, the traffic does not change and the conditions of the service say so; the
message for a missing revision is quoted from bug reports.
"""

from __future__ import annotations

from cloud.errors import invalid
from cloud.state import Json, Service

EVERYTHING_TO_LATEST: list[Json] = [{"latestRevision": True, "percent": 100}]


class NotServed(Exception):
    """The requested traffic cannot be served. The message says why."""


def check(targets: list[Json]) -> None:
    """Raise Refused if the targets are invalid."""
    where = "spec.traffic"
    percents = [int(target.get("percent", 0)) for target in targets]
    if any(not 0 <= percent <= 100 for percent in percents) or sum(percents) != 100:
        raise invalid(f"{where}: Invalid value: the percents of traffic must add up to 100")
    tags = [target["tag"] for target in targets if target.get("tag")]
    if len(tags) != len(set(tags)):
        raise invalid(f"{where}.tag: Invalid value: a tag may be assigned once")
    for target in targets:
        name = target.get("revisionName")
        if bool(name) == bool(target.get("latestRevision")):
            raise invalid(f"{where}: Invalid value: one of revisionName and latestRevision")


def served(service: Service, targets: list[Json]) -> list[Json]:
    """The targets of a service, each with its current revision.

    Raises:
        NotServed: a revision does not exist or is not ready.
    """
    made = []
    for target in targets:
        latest = bool(target.get("latestRevision"))
        name = service.latest_ready if latest else target["revisionName"]
        revision = service.revisions.get(name)
        if latest and revision is None:
            continue
        if revision is None:
            message = f"Revision '{name}' does not exist or is deleted. Update all traffic to"
            raise NotServed(f"{message} route to currently available revisions.")
        if not revision.ready:
            raise NotServed(f"Revision '{name}' is not ready and cannot serve traffic.")
        entry: Json = {"revisionName": name}
        entry |= {key: target[key] for key in ("percent", "tag") if target.get(key)}
        made.append(entry | ({"latestRevision": True} if latest else {}))
    return made
