"""The metadata server of a machine at Google: its service account and access tokens.

It has the part of "About VM metadata" (Compute Engine) that google-auth 2.62's `compute_engine`
uses. It creates a token for every request; Google's server reuses one until shortly before its end.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

FLAVOR = {"Metadata-Flavor": "Google"}
DEFAULT_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclass
class Metadata:
    """The metadata server of one machine."""

    project: str = "demo-livetoken"
    project_number: str = "123456789012"
    access_tokens: set[str] = field(default_factory=set)
    """The valid tokens; removing one revokes it."""
    life: int = 3600
    """Seconds in the `expires_in` of a token."""
    token: str = ""
    """The access token in every answer. If it is empty, each answer has a new one."""
    fault: int | str | None = None
    """How access tokens fail: "hang", or an HTTP status. Everything else still works."""
    fetches: int = 0
    """How many times an access token was requested."""
    scopes: tuple[str, ...] = ()
    """The scopes of the last request for an access token."""
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        self.app = Starlette(routes=[Route("/{path:path}", self._get)])

    @property
    def email(self) -> str:
        """The email address of the service account."""
        return f"livetoken@{self.project}.iam.gserviceaccount.com"

    def new_token(self) -> str:
        """The text of an access token."""
        return f"ya29.c.{secrets.token_urlsafe(48)}"

    async def _get(self, request: Request) -> Response:
        answer = await self._resource(request)
        answer.headers.update(FLAVOR)
        return answer

    async def _resource(self, request: Request) -> Response:
        path = request.path_params["path"]
        if path == "":
            return PlainTextResponse("computeMetadata/\n")
        if request.headers.get("metadata-flavor") != "Google":
            return PlainTextResponse("Missing Metadata-Flavor:Google header.\n", 403)
        account = "computeMetadata/v1/instance/service-accounts"
        match path.replace(f"{account}/{self.email}/", f"{account}/default/"):
            case "computeMetadata/v1/project/project-id":
                return PlainTextResponse(self.project)
            case "computeMetadata/v1/project/numeric-project-id":
                return PlainTextResponse(self.project_number)
            case "computeMetadata/v1/universe/universe-domain":
                return PlainTextResponse("googleapis.com")
            case "computeMetadata/v1/instance/service-accounts/default/":
                return self._account(request)
            case "computeMetadata/v1/instance/service-accounts/default/token":
                return await self._token(request)
        return PlainTextResponse("not found\n", 404)

    def _account(self, request: Request) -> Response:
        if request.query_params.get("recursive") != "true":
            return PlainTextResponse("aliases\nemail\nscopes\ntoken\n")
        scopes = list(DEFAULT_SCOPES)
        return JSONResponse({"aliases": ["default"], "email": self.email, "scopes": scopes})

    async def _token(self, request: Request) -> Response:
        self.fetches += 1
        asked = request.query_params.get("scopes")
        self.scopes = tuple(asked.split(",")) if asked else DEFAULT_SCOPES
        if self.fault == "hang":
            while (await request.receive())["type"] != "http.disconnect":
                pass
            return Response(status_code=499)
        if self.fault is not None:
            status = self.fault if isinstance(self.fault, int) else 501
            return PlainTextResponse(f"access tokens are unavailable: {self.fault}\n", status)
        token = self.new_token()
        self.access_tokens.add(token)
        return JSONResponse(
            {"access_token": token, "expires_in": self.life, "token_type": "Bearer"}
        )


def environment(url: str) -> dict[str, str]:
    """The variables that make google-auth use the server at `url`; set them before importing it.

    google-auth uses the second one to check whether there is a metadata server. It prefers
    gcloud's credentials, so set `CLOUDSDK_CONFIG` to an empty folder and unset
    `GOOGLE_APPLICATION_CREDENTIALS`.
    """
    host = url.removeprefix("http://")
    return {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host}
