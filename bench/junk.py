"""Requests that must be refused, and cost the function as little as possible."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from raw_http import Client, Lost, request

from emulator import jwt
from emulator.issuer import Issuer


class Callers(Protocol):
    """What junk is made of: genuine tokens, and their issuer."""

    issuer: Issuer
    tokens: list[str]


@dataclass(frozen=True)
class Kind:
    """A kind of junk. `send` sends one request; `rate` is how many a second, if not by its cost."""

    send: Callable[[Client, Callers], Awaitable[None]]
    rate: float | None = None


def _requests(make: Callable[[Issuer], bytes]) -> Kind:
    """A kind that is one request on a kept connection, made once."""
    made: list[bytes] = []

    async def send(client: Client, callers: Callers) -> None:
        if not made:
            made.append(make(callers.issuer))
        await client.ask(made[0])

    return Kind(send)


def _forged(claims: str) -> Callable[[Issuer], bytes]:
    """A token with a known key id, claims in JSON, and a junk signature."""

    def make(issuer: Issuer) -> bytes:
        header, signature = jwt.as_json(issuer.header("firebase")), secrets.token_bytes(256)
        return request(issuer.sign_raw(header, claims.encode(), signature=signature))

    return make


async def _many_keys(client: Client, callers: Callers) -> None:
    body = json.dumps(dict.fromkeys(map(str, range(900)), 0)).encode()
    await client.ask(request(secrets.choice(callers.tokens), body))


async def _new_connection(client: Client, _: Callers) -> None:
    connection = await client.connect()
    try:
        await connection.ask(request(None))
    finally:
        connection.transport.close()


async def _connect_and_leave(client: Client, _: Callers) -> None:
    (await client.connect()).transport.abort()


async def _withhold_body(client: Client, callers: Callers) -> None:
    """A genuine credential and a body that never comes, until the function gives up."""
    token = secrets.choice(callers.tokens)
    connection = await client.connect()
    try:
        await asyncio.wait_for(connection.ask(request(token, b"{}")[:-1]), 8)
    except TimeoutError:
        raise Lost(began=False) from None
    finally:
        connection.transport.close()


KINDS = {
    "no credential": _requests(lambda _: request(None)),
    "a credential that is not a token": _requests(lambda _: request("x.y.z")),
    "a forged signature": _requests(_forged('{"iss": "x"}')),
    "forged, with 1,800 lists as claims": _requests(_forged("[" + "[]," * 1799 + "[]]")),
    "forged, with claims 900 deep": _requests(_forged("[" * 900 + "]" * 900)),
    "a genuine token, 900 keys as body": Kind(_many_keys),
    "HTTP that is broken": _requests(lambda _: b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
    "a new connection for each request": Kind(_new_connection),
    "connections without a request": Kind(_connect_and_leave),
    "bodies that never come": Kind(_withhold_body, rate=50),
}
