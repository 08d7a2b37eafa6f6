"""A proxy in front of the Auth emulator that signs its ID tokens, which have no signature.

It signs with the key of the issuer, so the function verifies these tokens like Firebase's and needs
no code for an emulator.
"""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator import jwt
from emulator.issuer import Issuer
from emulator.server import Server

TOKENS = ("idToken", "id_token", "access_token")
"""The fields of an answer with an ID token; the answer to a refresh has the last two."""
METHODS = ["GET", "POST", "OPTIONS"]


@dataclass
class SigningProxy:
    """The proxy; changes apply to the tokens that it signs afterwards."""

    emulator: str
    """The emulator's host and port."""
    issuer: Issuer
    claims: dict[str, Any] = field(default_factory=dict)
    """Claims that replace those of the emulator."""
    key: rsa.RSAPrivateKey | None = None
    """Signs instead of the issuer's key."""
    url: str = field(init=False)
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        self.app = Starlette(routes=[Route("/{path:path}", self._pass, methods=METHODS)])

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run a server at `url`."""
        with Server(self.app) as server:
            self.url = server.url
            yield

    def give_claims(self, uid: str, **claims: Any) -> None:
        """Give an account custom claims, as an administrator does; its next token has them."""
        self.administer("update", localId=uid, customAttributes=json.dumps(claims))

    def administer(self, verb: str, **message: Any) -> None:
        """Do something with an account as an administrator: `update` or `delete`."""
        path = f"/identitytoolkit.googleapis.com/v1/projects/{self.issuer.firebase_project}"
        headers = {"Authorization": "Bearer owner", "Content-Type": "application/json"}
        body = json.dumps(message).encode()
        answer = self._ask("POST", f"{path}/accounts:{verb}", headers, body)
        assert answer.status_code == 200, answer.body

    async def _pass(self, request: Request) -> Response:
        headers = {k: v for k, v in request.headers.items() if k != "accept-encoding"}
        address = f"{request.url.path}?{request.url.query}"
        body = await request.body()
        return await run_in_threadpool(self._ask, request.method, address, headers, body)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
        """Send a request to the emulator, and sign the tokens in its answer."""
        asking = http.client.HTTPConnection(self.emulator, timeout=10)
        try:
            asking.request(method, path, body, headers)
            answer = asking.getresponse()
            said = self._sign_all(answer.read())
            kept = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() == "content-type" or name.lower().startswith("access-control-")
            }
            return Response(said, answer.status, kept)
        finally:
            asking.close()

    def _sign_all(self, body: bytes) -> bytes:
        try:
            answer = json.loads(body)
        except ValueError:
            return body
        for name in TOKENS:
            if name in answer:
                answer[name] = self._sign(answer[name])
        return json.dumps(answer).encode()

    def _sign(self, token: str) -> str:
        claims = json.loads(jwt.from_base64url(token.split(".")[1]))
        return self.issuer.sign({**claims, **self.claims}, key=self.key)
