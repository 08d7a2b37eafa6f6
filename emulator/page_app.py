"""The page on which a person talks, and what it fetches; nothing of it is deployed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator.app_check import AppCheck
from emulator.issuer import Issuer
from emulator.people import PEOPLE
from livetoken import lock
from livetoken.cli import check
from livetoken.compile import policy_file
from livetoken.compile.body import compile_policy

FILES = Path(__file__).with_name("page")
CLIENT = Path(__file__).parents[1] / "clients" / "web"

# Scripts, styles and pictures are the page's own, and it talks to this machine alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self' http://127.0.0.1:* ws://127.0.0.1:*; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass
class Page:
    """The app that serves it.

    Args:
        policy_file: whose profiles it offers.
        issuer: who signs its people in.
        app_check: who vouches for it.
        function_url: where it asks for tokens; may be set later, since the function has to know
            the page's origin first.
    """

    policy_file: Path
    issuer: Issuer
    app_check: AppCheck
    function_url: str = ""

    @property
    def app(self) -> ASGIApp:
        """The ASGI app."""
        return Starlette(
            routes=[
                Route("/setup.json", self._setup),
                Mount("/issuer", self.issuer.app),
                Mount("/app-check", self.app_check.app),
                Mount("/clients/web", StaticFiles(directory=CLIENT)),
                Mount("/", StaticFiles(directory=FILES, html=True)),
            ],
            middleware=[
                Middleware(_Headers),
                Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
            ],
        )

    @staticmethod
    def origins(url: str) -> tuple[str, str]:
        """The origins of the page at a URL of the loopback address: people type either."""
        return url, url.replace("127.0.0.1", "localhost")

    async def _setup(self, _: Request) -> Response:
        source = lock.read_source(self.policy_file)
        configs = policy_file.configs(policy_file.parse(source))
        facts = check.describe(compile_policy(source), configs)
        return JSONResponse(
            {
                "functionUrl": self.function_url,
                "people": [{"name": each.name, "about": each.about} for each in PEOPLE.values()],
                "profiles": facts["profiles"],
                "defaultProfile": facts["default_profile"],
            }
        )


class _Headers:
    """Gives every answer the headers of a page that keeps to itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app(scope, receive, sent)
