"""Identity Toolkit: tells a project's administrators what it knows about a user.

Format: "projects.accounts.lookup" and "projects.tenants.accounts.lookup" (Identity Platform, REST
v1). Without a match there are no `users`; int64 is text. The errors are those of Google's front
end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator import fields
from emulator.faults import SECRET, google_error, hang, reset
from emulator.people import PEOPLE

MESSAGE: Mapping[str, fields.Kind] = {
    **{name: [fields.STRING] for name in ("localId", "email", "phoneNumber", "initialEmail")},
    **dict.fromkeys(("idToken", "delegatedProjectNumber", "tenantId"), fields.STRING),
    "federatedUserId": [{"providerId": fields.STRING, "rawId": fields.STRING}],
}
"""The fields of a request."""

UserKey: TypeAlias = tuple[str | None, str]
"""The tenant of a user, or None, and the user's id."""


@dataclass
class Lookup:
    """One request."""

    project: str
    tenant: str | None
    users: list[str]
    authorization: str | None


@dataclass
class Accounts:
    """The users of one project. The Firebase users of `emulator.people` exist."""

    project: str = "demo-livetoken"
    access_tokens: set[str] = field(default_factory=set)
    """The access tokens that may look users up; `emulator.metadata` adds to this set."""
    users: dict[UserKey, dict[str, Any]] = field(default_factory=dict)
    """What differs from a new user, such as `disabled` and `validSince`."""
    fault: int | str | None = None
    """How lookups fail: "html", "list", "empty", "another", "hang", "reset", or an HTTP status."""
    delay: float = 0.0
    """Seconds that a lookup takes."""
    lookups: list[Lookup] = field(default_factory=list)
    """Every request, in order of arrival."""
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        for person in PEOPLE.values():
            if person.kind == "firebase":
                self.add(person.claims["sub"])
        self.app = Starlette(
            routes=[
                Route(
                    f"/v1/projects/{{project}}{tenant}/accounts:lookup",
                    self._lookup,
                    methods=["POST"],
                )
                for tenant in ("", "/tenants/{tenant}")
            ]
        )

    def add(self, uid: str, tenant: str | None = None, **changes: Any) -> None:
        """Add a user, or change one."""
        self.users[tenant, uid] = changes

    async def _lookup(self, request: Request) -> Response:
        asked, tenant = _message(await request.body()), request.path_params.get("tenant")
        authorization = request.headers.get("authorization")
        uids = asked.get("localId", []) if isinstance(asked, dict) else []
        project = request.path_params["project"]
        self.lookups.append(Lookup(project, tenant, uids, authorization))
        await asyncio.sleep(self.delay)
        if self.fault == "hang":
            return await hang(request)
        if self.fault == "reset":
            return await reset(request)
        if self.fault is not None:
            return self._faulted(self.fault)
        scheme, _, access_token = (authorization or "").partition(" ")
        if scheme != "Bearer" or access_token not in self.access_tokens:
            return google_error(401, "Request had invalid authentication credentials.")
        if isinstance(asked, Response):
            return asked
        if project != self.project:
            return google_error(403, "The caller does not have permission.")
        found = [_user(uid, self.users[tenant, uid]) for uid in uids if (tenant, uid) in self.users]
        answer: dict[str, Any] = {"kind": "identitytoolkit#GetAccountInfoResponse"}
        return JSONResponse(answer | ({"users": found} if found else {}))

    def _faulted(self, fault: int | str) -> Response:
        match fault:
            case int():
                return google_error(fault, f"{SECRET}: accounts cannot be looked up")
            case "html":
                return Response(f"<html>{SECRET}</html>", media_type="text/html")
            case "list":
                return JSONResponse([])
            case "empty":
                return JSONResponse({})
            case "another":
                return JSONResponse({"users": [_user("another-uid", {})]})
        return google_error(501, f"The stand-in has no fault {fault}.")


def _message(body: bytes) -> dict[str, Any] | Response:
    """The message in a request, or the error for something else."""
    try:
        message: dict[str, Any] = fields.read(fields.parse(body), MESSAGE, "request")
    except fields.Invalid as error:
        return google_error(400, str(error))
    if "localId" not in message:
        return google_error(400, "The stand-in knows accounts by their local_id only.")
    return message


def _user(uid: str, changes: dict[str, Any]) -> dict[str, Any]:
    known = {
        "localId": uid,
        "email": f"{uid}@example.com",
        "providerUserInfo": [],
        "validSince": "1700000000",
        "disabled": False,
        "lastLoginAt": "1700000000000",
        "createdAt": "1700000000000",
    }
    return {name: value for name, value in {**known, **changes}.items() if value is not ...}
