"""The front end of Cloud Run: it routes `*.run.app` to instances, by the traffic table.

"Container runtime contract" and "Troubleshoot Cloud Run": a caller without permission gets an HTML
page, with 403 without a credential and 401 with one that is not Google's for this service. An
unknown host gets 404. Paths that end in `z` are reserved: some of them at Google, all of them here.
"""

from __future__ import annotations

import http.client
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cloud.run import NotReady, Run
from cloud.run_json import urls
from cloud.state import Revision, Service
from cloud.world import World

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "te"})
_OUR_OWN = _HOP_BY_HOP | {"server", "date", "content-length"}


@dataclass(frozen=True)
class Reply:
    """An answer to a client of a service. Header names keep their case."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, ignoring case."""
        found = (value for each, value in self.headers if each.lower() == name.lower())
        return next(found, None)


class Front:
    """Routes requests to revisions.

    Args:
        world: the services.
        run: knows their URLs and starts their instances.
    """

    def __init__(self, world: World, run: Run) -> None:
        self._world = world
        self._run = run
        self._asked = 0

    def find(self, host: str, authorization: str) -> Revision | Reply:
        """The revision for a request to a host, or the refusal. The caller holds the lock."""
        for service in self._world.state.services.values():
            for url in urls(service, self._world.state.number):
                tag, dashes, rest = host.partition("---")
                own = url.removeprefix("https://")
                if host == own:
                    return self._admitted(service, "", authorization)
                if dashes and rest == own:
                    return self._admitted(service, tag, authorization)
        return _page(404, "Page not found", "The requested URL was not found on this server.")

    def port(self, revision: Revision) -> int | None:
        """The port of a revision's instance, or None if none starts. The caller holds the lock."""
        running = self._world.instances.of(revision.name)
        if running is None:
            try:
                running = self._run.start(revision)
            except NotReady:
                return None
        return running.port

    def forward(
        self,
        port: int | None,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
    ) -> Reply:
        """Forward a request to an instance, with the headers that the platform adds.

        Args:
            port: the instance's port, if it has one.
            target: path and query, not decoded.
        """
        if port is None:
            return _page(503, "Service Unavailable", "The service you requested is not available.")
        if target.partition("?")[0].endswith("z"):
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in _with_platforms(headers):
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            kept = [each for each in answer.getheaders() if each[0].lower() not in _OUR_OWN]
            content = answer.read()
        except (OSError, http.client.HTTPException):
            return _page(503, "Service Unavailable", "The service you requested is not available.")
        finally:
            connection.close()
        return Reply(answer.status, kept, content)

    def _admitted(self, service: Service, tag: str, authorization: str) -> Revision | Reply:
        resource = self._run.resource(service.region, service.name)
        invoker = self._world.access.allowed("", "run.routes.invoke", resource)
        if not self._run.is_open(service) and not invoker:
            if authorization:
                return _page(
                    401, "Unauthorized", "Your client does not have permission to the requested URL"
                )
            return _page(
                403, "Forbidden", "Your client does not have permission to get URL / from here."
            )
        serving = [each for each in service.serving if tag == each.get("tag", "") or not tag]
        targets = [each for each in serving if tag or each.get("percent")]
        if not targets:
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        chosen = targets[0]
        if not tag:
            place = self._asked * 37 % 100  # 37 and 100 are coprime, so each value comes once
            self._asked += 1
            for each in targets:
                chosen = each
                place -= int(each["percent"])
                if place < 0:
                    break
        return service.revisions[chosen["revisionName"]]


def _with_platforms(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """A client's headers, with those that Google's front end sets or replaces."""
    given = {name.lower(): value for name, value in headers}
    forwarded = given.get("x-forwarded-for")
    client = "127.0.0.1"
    trace = given.get("x-cloud-trace-context") or f"{secrets.token_hex(16)}/1;o=1"
    own = {
        "x-forwarded-for": f"{forwarded}, {client}" if forwarded else client,
        "x-forwarded-proto": "https",
        "forwarded": f'for="{client}";proto=https',
        "x-cloud-trace-context": trace,
        "traceparent": f"00-{trace.partition('/')[0]}-0000000000000001-01",
    }
    kept = [each for each in headers if each[0].lower() not in {*own, *_HOP_BY_HOP}]
    return [*kept, *own.items()]


def _page(status: int, title: str, sentence: str) -> Reply:
    page = (
        f"<html><head><title>{status} {title}</title></head>"
        f"<body><h1>Error: {title}</h1><h2>{sentence}</h2></body></html>\n"
    )
    return Reply(status, [("Content-Type", "text/html; charset=UTF-8")], page.encode())
