"""The stand-in for Gemini: mints ephemeral tokens and runs Live sessions.

It answers as the Gemini Developer API is known to; `Behaviour` sets what is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from emulator import faults, fields, google_errors, live, messages, tokens
from emulator.behaviour import Behaviour
from emulator.state import MintRequest, Session, State

__all__ = ["Behaviour", "Gemini", "MintRequest", "Session"]

KEY_HEADER = "x-goog-api-key"
SOCKET = "ws/google.ai.generativelanguage.{version}.GenerativeService.{method}"


class Gemini:
    """The app and its state.

    Args:
        behaviour: its settings; may be changed at any time.
        clock: the current time with a zone, for all lifetimes.
    """

    def __init__(
        self, behaviour: Behaviour, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.behaviour = behaviour
        self.most_at_once = 0
        """The largest number of mints that ran at the same time."""
        self.left_open: Collection[str] = ()
        """Fields of the setup, in camelCase, that the tested policy leaves to clients."""
        self.state = State(behaviour, clock)
        self.app = Starlette(
            routes=[
                Route("/{version}/auth_tokens", self._auth_tokens, methods=["POST"]),
                WebSocketRoute(f"/{SOCKET}", self._socket),
                WebSocketRoute(f"//{SOCKET}", self._socket),
            ],
            exception_handlers={404: _not_found, 405: _not_found},
        )

    @property
    def mints(self) -> list[MintRequest]:
        """Every POST to `auth_tokens`."""
        return self.state.mints

    @property
    def sessions(self) -> list[Session]:
        """Every socket that got `setupComplete`."""
        return self.state.sessions

    def minted(self) -> list[MintRequest]:
        """The mints that got 200.

        Raises:
            AssertionError: one of them asked for more than the function may ask for.
        """
        answered = [mint for mint in self.mints if mint.status == 200]
        for mint in answered:
            assert_constrained(mint, self.left_open)
        return answered

    async def _auth_tokens(self, request: Request) -> Response:
        raw = await request.body()
        mint = MintRequest(
            version=request.path_params["version"],
            headers=dict(request.headers),
            query=dict(request.query_params),
            body=_parsed(raw),
            raw=raw,
            port=request.client.port if request.client else 0,
        )
        self.mints.append(mint)
        self.most_at_once = max(self.most_at_once, sum(each.status is None for each in self.mints))
        fault = self.behaviour.next_fault()
        if self.behaviour.delay:
            await asyncio.sleep(self.behaviour.delay)
        if fault is not None:
            answer = await faults.answer(fault, request, self.behaviour)
            mint.status = None if fault in ("hang", "reset") else answer.status_code
            return answer
        answer = self._mint(mint)
        mint.status = answer.status_code
        return answer

    def _mint(self, mint: MintRequest) -> Response:
        if mint.version not in live.VERSIONS:
            return faults.google_error(404, f"Version {mint.version} has no auth_tokens.")
        setup = self._setup_fields()
        try:
            fields.parse(mint.raw)
            body = fields.read(mint.body, messages.auth_token(setup), "auth_token")
            _instants(body)
        except fields.Invalid as error:
            violation = {"field": "auth_token", "description": str(error)}
            details = [google_errors.detail("BadRequest", fieldViolations=[violation])]
            return faults.google_error(400, str(error), details)
        key = mint.headers.get(KEY_HEADER)
        if not key:
            return faults.google_error(
                403, "Method doesn't allow unregistered callers. Please use API Key."
            )
        if key != self.behaviour.api_key:
            return faults.refusal("API_KEY_INVALID", key)
        try:
            nested = self.behaviour.nested_masks
            token = tokens.make(body, self.state.clock(), setup, nested_masks=nested)
        except fields.Invalid as error:
            return faults.google_error(400, str(error))
        self.state.tokens[token.name] = token
        mint.token = token.name
        return JSONResponse({"name": token.name})

    async def _socket(self, websocket: WebSocket) -> None:
        await live.serve(self.state, self._setup_fields(), websocket)

    def _setup_fields(self) -> dict[str, fields.Kind]:
        unknown = self.behaviour.unknown_fields
        return {name: kind for name, kind in messages.SETUP.items() if name not in unknown}


def assert_constrained(mint: MintRequest, left_open: Collection[str] = ()) -> None:
    """Assert what every mint of the function must have: one use, two times with a zone, a setup.

    A mask must lock every top-level field except those in `left_open`.
    """
    try:
        body = fields.read(mint.body, messages.auth_token(messages.SETUP), "auth_token")
        _instants(body)
    except fields.Invalid as error:
        raise AssertionError(f"a mint had an invalid body: {error}") from None
    assert body.get("uses") == 1, f"a mint had uses {body.get('uses')!r}, not 1"
    if "fieldMask" in body:
        masked, locked = set(body["fieldMask"].split(",")), messages.SETUP.keys() - set(left_open)
        assert left_open, "a mint had a mask, although nothing is left to clients"
        assert masked == locked, f"a mint had another mask: {sorted(masked ^ locked)}"
    for name in ("expireTime", "newSessionExpireTime"):
        assert name in body, f"a mint had no {name}"
    model = body.get("bidiGenerateContentSetup", {}).get("model", "")
    assert model.startswith("models/"), f"a mint had no complete setup: {model!r}"
    generation = body["bidiGenerateContentSetup"].get("generationConfig", {})
    assert generation.get("responseModalities"), "a mint had no modalities"


def _instants(body: dict[str, Any]) -> None:
    for name in ("expireTime", "newSessionExpireTime"):
        if name in body:
            tokens.instant(body[name])


def _parsed(raw: bytes) -> Any:
    try:
        return fields.parse(raw)
    except fields.Invalid:
        return None


async def _not_found(request: Request, _: Exception) -> Response:
    return faults.google_error(404, f"{request.method} {request.url.path} does not exist.")
