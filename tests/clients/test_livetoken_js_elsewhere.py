"""livetoken.js sends nothing to another server than livetoken, and takes nothing from one."""

from collections.abc import Iterator
from typing import Any

import pytest
from livetoken_app import CONVERSATIONS, App
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from emulator.page_app import CLIENT
from emulator.server import Server

NAME = "auth_tokens/a-B_c.d~1"
SOCKET = "wss://gemini.example.com/ws/google.ai.Service.BidiGenerateContentConstrained"
TOKEN = {"name": NAME, "webSocketUrl": SOCKET, "model": "models/any", "apiVersion": "v1alpha"}


class Elsewhere:
    """A server that any page may ask: it answers with a token, and records each request.

    It also serves livetoken.js, and redirects `/STATUS?URL`.
    """

    url: str

    def __init__(self) -> None:
        self.asked: list[Request] = []
        anyone = Middleware(
            CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"]
        )
        routes = [
            Route("/token", self._token, methods=["GET", "POST"]),
            Route("/{status:int}", self._redirect, methods=["POST"]),
            Route("/conversations.js", lambda _: FileResponse(CONVERSATIONS)),
            Mount("/clients/web", StaticFiles(directory=CLIENT)),
        ]
        self.app = Starlette(routes=routes, middleware=[anyone])

    async def _token(self, request: Request) -> Response:
        self.asked.append(request)
        return JSONResponse(TOKEN)

    async def _redirect(self, request: Request) -> Response:
        return RedirectResponse(request.url.query, request.path_params["status"])


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    made = Elsewhere()
    with Server(made.app) as server:
        made.url = server.url
        yield made


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(app: App, elsewhere: Elsewhere, status: int) -> None:
    with Server(Elsewhere().app) as redirecting:
        url = f"{redirecting.url}/{status}?{elsewhere.url}/token"
        error = app.get(url=url, appCheckTokens=["app-check"])["error"]
    assert elsewhere.asked == []
    assert (error["reason"], error["retryable"]) == ("UNREACHABLE", True)


def test_neither_cookies_nor_the_cache_are_used(app: App, elsewhere: Elsewhere) -> None:
    """The page's own origin would get cookies. Playwright turns the cache off if it routes."""
    app.page.context.add_cookies([{"name": "session", "value": "1", "url": elsewhere.url}])
    here = App(app.page.context.new_page(), app.around)
    here.opens(elsewhere.url)
    assert here.get(url=f"{elsewhere.url}/token") == TOKEN
    (asked,) = elsewhere.asked
    assert "cookie" not in asked.headers
    assert asked.headers.get("cache-control") == "no-cache"


def test_a_socket_with_tls_or_on_this_machine_is_accepted(app: App) -> None:
    for url in (
        SOCKET,
        "wss://[2001:db8::1]:8443/ws",
        "ws://localhost:8080/ws",
        "ws://127.0.0.1",
        "ws://[::1]:8080/ws",
    ):
        answer = {**TOKEN, "webSocketUrl": url}
        assert answered(app, answer) == answer


FOREIGN: list[dict[str, Any]] = [
    *(
        {"webSocketUrl": url}
        for url in (
            "ws://gemini.example.com/ws",
            "ws://127.0.0.1.example.com/ws",
            "ws://localhost.example.com/ws",
            "ws://localhost:1@gemini.example.com/ws",
            "wss://user:secret@gemini.example.com/ws",
            "wss://gemini.example.com/ws?access_token=other&",
            "wss://gemini.example.com/ws#",
            "wss:gemini.example.com",
            "https://gemini.example.com/ws",
            "javascript:alert(1)",
            "/ws",
            f" {SOCKET}",
            f"{SOCKET}\n",
            "",
            None,
            [SOCKET],
        )
    ),
    *(
        {"name": name}
        for name in (
            f"{NAME}&key=other",
            f"{NAME}#",
            f"{NAME}%26",
            f"{NAME}/",
            f"{NAME}\n",
            f"x/{NAME}",
            "auth_tokens/",
            "auth_tokens/ä",
            "",
            None,
            [NAME],
        )
    ),
]
"""What a token must not hold."""


def test_an_answer_with_another_name_or_url_is_not_a_token(app: App) -> None:
    for change in FOREIGN:
        answer = answered(app, {**TOKEN, **change})
        assert answer.get("error", {}).get("reason") == "UNREACHABLE", change
        assert answer["error"]["code"] == 200


def test_a_token_of_the_app_is_checked_in_the_same_way(app: App) -> None:
    sockets: list[str] = []
    app.page.on("websocket", lambda socket: sockets.append(socket.url))
    for change in FOREIGN:
        app.page.evaluate("(given) => talk(given, { start: false })", app.given())
        start = "(token) => seen.conversation.start(token).catch(({ message }) => message)"
        message = app.page.evaluate(start, {**TOKEN, **change})
        assert message == "The answer is not from livetoken.", change
        assert app.states == ["connecting", "closed: UNREACHABLE"]
    assert sockets == []


def answered(app: App, answer: dict[str, Any]) -> Any:
    """What the app gets if a server answers with JSON."""
    headers = {"Access-Control-Allow-Origin": "*"}
    app.page.route("**/elsewhere", lambda route: route.fulfill(headers=headers, json=answer))
    return app.get(url=f"{app.around.function.url}/elsewhere")
