"""The server behind TLS: finds the API or service of a request and its caller, and records it."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from cloud.artifactregistry import ArtifactRegistry
from cloud.call import Answer, Call, Record
from cloud.cloudbuild import CloudBuild
from cloud.errors import Refused, Unknown, disabled
from cloud.front import Front, Reply
from cloud.iam import Iam
from cloud.identitytoolkit import IdentityToolkit
from cloud.monitoring import Logging, Monitoring
from cloud.registry import Registry
from cloud.resourcemanager import ResourceManager
from cloud.run import Run
from cloud.secretmanager import SecretManager
from cloud.serviceusage import TITLES, ServiceUsage
from cloud.state import Json
from cloud.storage import Storage
from cloud.world import Api, World
from emulator.server import LOOPBACK, abort

_GCLOUDS_OWN = frozenset({Iam.name, ResourceManager.name})
"""APIs that count on gcloud's own project if a person calls them, and on the project of the account
if a service account does. gcloud's project has them enabled. A guess from gcloud's errors."""


class Google:
    """An ASGI app for all the hosts.

    Args:
        world: what the APIs work on.

    Attributes:
        lock: held while an API answers; hold it to read the state at the same time.
        requests: every request to an API, in order of arrival.
        unknown: every request that the stand-in does not implement.
    """

    def __init__(self, world: World) -> None:
        self.lock = threading.RLock()
        self.requests: list[Record] = []
        self.unknown: list[Record] = []
        self._world = world
        builds = CloudBuild(world)
        self.run = Run(world, builds)
        self.front = Front(world, self.run)
        self._apis: Sequence[Api] = (
            ServiceUsage(world),
            ResourceManager(world),
            Iam(world),
            SecretManager(world),
            ArtifactRegistry(world),
            Storage(world),
            builds,
            self.run,
            IdentityToolkit(world),
            Monitoring(world),
            Logging(world),
            Registry(world),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.body()
        host = request.headers.get("host", "").removesuffix(":443")
        if host.endswith(".run.app"):
            answer = _carried(await asyncio.to_thread(self._serve, request, host, body))
        else:
            given = await asyncio.to_thread(self._control, request, host, body)
            if given is None:
                abort(scope)
                return
            answer = given
        await answer(scope, receive, send)

    def _serve(self, request: Request, host: str, body: bytes) -> Reply:
        """Answer a request to the host of a service."""
        with self.lock:
            found = self.front.find(host, request.headers.get("authorization", ""))
            if isinstance(found, Reply):
                return found
            port = self.front.port(found)
        query = request.scope["query_string"]
        target = request.scope["raw_path"] + (b"?" + query if query else b"")
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
        ]
        return self.front.forward(port, request.method, target.decode("latin-1"), headers, body)

    def _control(self, request: Request, host: str, body: bytes) -> Response | None:
        """Answer a request to an API; None drops the connection."""
        path = request.scope["path"]
        if host.startswith(LOOPBACK):  # an instance reaches Cloud Storage at this address
            host = Storage.name
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        query = dict(parse_qsl(request.url.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(token.strip(), request.method, host, path, query, headers, body)
        record = Record(call.principal, call.method, host, path, query, body)
        with self.lock:
            self.requests.append(record)
            for fault in self._world.rules.faults:
                if fault.hits(call.method, host, path):
                    if fault.outcome == "drop":
                        return None
                    record.status = fault.outcome
                    message = "The service is currently unavailable."
                    error = {"code": fault.outcome, "message": message, "status": "UNAVAILABLE"}
                    return JSONResponse({"error": error}, fault.outcome)
            try:
                answer = self._answer(call)
            except Refused as refusal:
                record.message = refusal.message
                answer = Answer(refusal.body, refusal.code)
            except Unknown as error:
                answer = self._unanswered(record, f"the stand-in does not implement {error}")
            except Exception:  # a bug in the stand-in: report it to the test, and answer gcloud
                answer = self._unanswered(record, traceback.format_exc())
            record.status = answer.status
        if isinstance(answer.body, bytes):
            return Response(answer.body, answer.status, dict(answer.headers))
        return JSONResponse(answer.body, answer.status, dict(answer.headers))

    def _unanswered(self, record: Record, message: str) -> Answer:
        """Answer with 404, because gcloud retries 500 and above for half a minute."""
        self.unknown.append(record)
        record.message = message
        return Answer({"error": {"code": 404, "message": message, "status": "UNIMPLEMENTED"}}, 404)

    def _answer(self, call: Call) -> Answer:
        api = next((each for each in self._apis if each.serves(call.host)), None)
        if api is None:
            raise Unknown(f"the host {call.host}")
        state = self._world.state
        if not api.always_on or isinstance(api, ServiceUsage):
            self._authenticate(call)
            person = not call.principal.endswith("gserviceaccount.com")
            on = api.always_on or (api.name in _GCLOUDS_OWN and person)
            if not on and api.name not in state.enabled:
                raise disabled(api.name, TITLES[api.name], state.number)
        answer: Answer | Json | None = api.answer(call)
        if answer is None:
            raise Unknown(f"{call.method} https://{call.host}{call.path}")
        return answer if isinstance(answer, Answer) else Answer(answer)

    def _authenticate(self, call: Call) -> None:
        """Raise Refused if the token is unknown, or may not use the named project."""
        email, state = call.principal, self._world.state
        service_account = email.endswith("gserviceaccount.com")
        if "@" not in email or (service_account and email not in state.accounts):
            message = "Request had invalid authentication credentials. Expected OAuth 2 access"
            raise Refused("UNAUTHENTICATED", f"{message} token, login cookie or other valid.")
        project = call.headers.get("x-goog-user-project")
        if project:
            permission = "serviceusage.services.use"
            if not self._world.access.allowed(email, permission, f"projects/{project}"):
                message = f"Caller does not have required permission to use project {project}."
                ending = "Grant the caller the roles/serviceusage.serviceUsageConsumer role"
                raise Refused("PERMISSION_DENIED", f"{message} {ending}.")


def _carried(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    for name, value in reply.headers:
        response.headers.append(name, value)
    return response
