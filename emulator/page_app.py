"""The server of the page on which people talk to Gemini. It is not deployed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

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


@dataclass
class Page:
    """The app that serves the page.

    Args:
        policy_file: the policy whose profiles the page offers.
        issuer: signs in its test users.
        app_check: signs its App Check tokens.
        function_url: where it gets tokens; may be set later, since the function must know the
            page's origin first.
        gemini_url: the base URL of Gemini if it is not on 127.0.0.1; the page may connect to this
            one host outside.
    """

    policy_file: Path
    issuer: Issuer
    app_check: AppCheck
    function_url: str = ""
    gemini_url: str = ""

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
                Middleware(_Headers, headers=self._headers()),
                Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
            ],
        )

    def _headers(self) -> dict[str, str]:
        """The headers of every answer. Scripts, styles and pictures come from the page's server."""
        connect = "'self' http://127.0.0.1:* ws://127.0.0.1:*"
        if self.gemini_url and urlsplit(self.gemini_url).hostname != "127.0.0.1":
            connect += f" wss://{urlsplit(self.gemini_url).netloc}"
        return {
            "Content-Security-Policy": (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                f"connect-src {connect}; "
                "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
            ),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }

    @staticmethod
    def origins(url: str) -> tuple[str, str]:
        """The origins of the page at a loopback URL: people open 127.0.0.1 or localhost."""
        return url, url.replace("127.0.0.1", "localhost")

    async def _setup(self, _: Request) -> Response:
        source = lock.read_source(self.policy_file)
        configs = policy_file.configs(source)
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
    """Adds headers to every answer."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._added = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._added]
            await send(message)

        await self._app(scope, receive, sent)
