"""The socket of a Live session: its token, its setup, and when it ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from emulator import fields, messages
from emulator.exchange import BROKEN, ENDED, INVALID, POLICY, Close, Exchange, send
from emulator.faults import google_error
from emulator.fields import Invalid, Kind
from emulator.server import abort
from emulator.state import Conversation, Session, State
from emulator.tokens import Refused, Setup, Token

VERSIONS = ("v1alpha", "v1beta")
CONSTRAINED = "BidiGenerateContentConstrained"
TOO_MANY = "You exceeded your current quota: too many concurrent sessions."


async def serve(state: State, setup_fields: Mapping[str, Kind], websocket: WebSocket) -> None:
    """Run one socket from its handshake to its end."""
    version, method = websocket.path_params["version"], websocket.path_params["method"]
    if version not in VERSIONS or method not in (CONSTRAINED, "BidiGenerateContent"):
        await websocket.send_denial_response(google_error(404, f"No {method} in {version}."))
        return
    if state.is_full and state.behaviour.too_many == 429:
        await websocket.send_denial_response(google_error(429, TOO_MANY))
        return
    await websocket.accept()
    known = messages.client_message(setup_fields)
    try:
        first = await _first_frame(state, websocket)
        token = _token(state, websocket, method)
        session, conversation = _open(state, token, _message(first, known).get("setup"))
    except Close as end:
        await _close(websocket, end)
        return
    except WebSocketDisconnect:
        return
    opened = state.clock()
    try:
        await send(websocket, {"setupComplete": {}})
        exchange = Exchange(state, token, session, conversation, websocket)
        try:
            await _first_to_end(
                _converse(websocket, session, exchange, known),
                _watch(state, token, opened, websocket),
                exchange.failed,
            )
        finally:
            await exchange.close()
    except Close as end:
        session.closed, conversation.thread.open = end.code, False
        await _close(websocket, end)
    except WebSocketDisconnect as left:
        session.closed = left.code
    finally:
        conversation.thread.open = False
        if session.closed is None:
            session.closed = BROKEN


def _token(state: State, websocket: WebSocket, method: str) -> Token:
    """The client's token, from the query or from its header."""
    shown = websocket.query_params.get("access_token")
    if shown is None:
        scheme, _, shown = websocket.headers.get("authorization", "").partition(" ")
        shown = shown if scheme == "Token" else ""
    token = state.tokens.get(shown)
    if token is None:
        raise Close(INVALID, "Missing or malformed auth token. Pass a valid ephemeral token.")
    if method != CONSTRAINED:
        raise Close(POLICY, f"Ephemeral tokens are accepted by {CONSTRAINED} only.")
    return token


def _open(state: State, token: Token, client: Setup | None) -> tuple[Session, Conversation]:
    """Open or resume a session. It never awaits, so two sockets cannot share one use."""
    if client is None:
        raise Close(INVALID, "The first message must be a setup.")
    now = state.clock()
    setup = token.effective(client)
    try:
        token.check_life(now)
        if state.is_full:
            raise Close(ENDED, TOO_MANY)
        _check_setup(state, setup)
        handle = _handle(state, token, setup, client)
        if handle is None:
            token.use(now)
            conversation = Conversation()
        else:
            conversation = _resumed(state, handle)
            setup["sessionResumption"]["handle"] = handle
    except Refused as refusal:
        raise Close(state.behaviour.refusal_code, str(refusal)) from None
    conversation.thread.open = True
    session = Session(token.name, setup, resumed=handle is not None)
    state.sessions.append(session)
    return session, conversation


def _handle(state: State, token: Token, setup: Setup, client: Setup) -> str | None:
    """The handle of the effective setup, or with a full lock and that setting the client's."""
    resumption = setup.get("sessionResumption")
    if resumption is None:
        return None
    if not resumption.get("handle") and token.replaces:
        resumption = client.get("sessionResumption", {})
        if not state.behaviour.client_handle_under_full_lock:
            return None
    return resumption.get("handle") or None


def _resumed(state: State, handle: str) -> Conversation:
    conversation = state.find(handle)
    if conversation is None:
        raise Close(POLICY, "BidiGenerateContent session not found")
    if conversation.thread.open:
        raise Close(ENDED, "The session is still open on another connection.")
    return conversation


def _check_setup(state: State, setup: Setup) -> None:
    model = state.behaviour.models.get(setup.get("model", ""))
    if model is None:
        raise Close(
            INVALID,
            "token-based requests cannot use project-scoped features such as tuned models",
        )
    if refusal := model.refusal(setup):
        raise Close(INVALID, f"{setup['model']}: {refusal}")


async def _converse(
    websocket: WebSocket, session: Session, exchange: Exchange, known: Mapping[str, Kind]
) -> None:
    while True:
        message = _message(await _frame(websocket), known)
        if "setup" in message:
            raise Close(INVALID, "The setup can be sent only once.")
        session.messages.append(message)
        try:
            await exchange.take(message)
        except Invalid as error:
            raise Close(INVALID, str(error)) from None


async def _watch(state: State, token: Token, opened: datetime, websocket: WebSocket) -> None:
    """Send `goAway` before the end of the connection, and close the socket at its end."""
    told = False
    while True:
        now, behaviour = state.clock(), state.behaviour
        left = opened + timedelta(seconds=behaviour.connection_life) - now
        if now >= token.expires:
            raise Close(ENDED, "Auth token has expired.")
        if left <= timedelta(0):
            raise Close(behaviour.end_code, "The connection has reached its time limit.")
        if not told and left <= timedelta(seconds=behaviour.go_away_before):
            told = True
            await send(websocket, {"goAway": {"timeLeft": _duration(left)}})
        await asyncio.sleep(behaviour.tick)


async def _first_to_end(*coroutines: Any) -> None:
    """Run all until the first one ends, and raise its exception."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _first_frame(state: State, websocket: WebSocket) -> str | bytes:
    try:
        async with asyncio.timeout(state.behaviour.setup_timeout):
            return await _frame(websocket)
    except TimeoutError:
        raise Close(POLICY, "No setup was received.") from None


async def _frame(websocket: WebSocket) -> str | bytes:
    event = await websocket.receive()
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code") or 1005)
    text: str | None = event.get("text")
    return text if text is not None else event["bytes"]


def _message(frame: str | bytes, known: Mapping[str, Kind]) -> dict[str, Any]:
    try:
        message: dict[str, Any] = fields.read(fields.parse(frame), known, "message")
    except Invalid as error:
        raise Close(INVALID, str(error)) from None
    if len(message) != 1:
        raise Close(INVALID, f"A message must have exactly one of {', '.join(known)}.")
    return message


async def _close(websocket: WebSocket, end: Close) -> None:
    if end.code == BROKEN:
        abort(websocket.scope)
        return
    reason = end.reason.encode()[:123].decode(errors="ignore")  # RFC 6455, 5.5
    try:
        await websocket.close(end.code, reason)
    except (RuntimeError, WebSocketDisconnect):
        return  # the client has disconnected


def _duration(left: timedelta) -> str:
    """A protobuf duration: `50s`, `0.4s`."""
    return re.sub(r"\.?0+s$", "s", f"{left.total_seconds():.3f}s")
