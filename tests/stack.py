"""The function as its clients meet it: a process, with the stand-in of Gemini and the issuer."""

import http.client
import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from emulator import metadata
from emulator.accounts import Accounts
from emulator.app_check import AppCheck
from emulator.clock import Clock
from emulator.function import Function
from emulator.gemini import Behaviour, Gemini
from emulator.issuer import Issuer, signing_key
from emulator.metadata import Metadata
from emulator.server import Server
from emulator.storage import Storage
from emulator.tls import Certificate
from livetoken import lock
from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes
from livetoken.refusals import Reason

API_KEY = "test-key-0123456789abcdefghijklmnopqrstuv"
ORIGIN = "https://app.example.com"
APP_CHECK_KEY = signing_key()

SHIPPED = Path(__file__).parent / "policy.toml"
"""The policy that this repository ships; a checkout of one's own has another at its top."""
POLICY = """
api_version = "v1alpha"
[profiles.default]
model = "gemini-3.8-live"
[profiles.default.config]
response_modalities = ["AUDIO"]
system_instruction = "You are a patient tutor."
temperature = 0.7
output_audio_transcription = {}
session_resumption = {}
[profiles.short]
model = "gemini-3.8-live"
expires_in = "5m"
start_within = "30s"
[profiles.short.config]
response_modalities = ["AUDIO"]
"""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_refusal(self, reason: Reason) -> bool:
        """Assert the contract's whole error shape for a reason; returns True, for asserts."""
        meaning, retry_after = reason.value, self.headers.get("retry-after")
        details: dict[str, Any] = {"reason": reason.name, "retryable": meaning.retryable}
        if meaning.code in (429, 503):
            assert retry_after is not None
            assert int(retry_after) > 0
            details["retryAfterSeconds"] = int(retry_after)
        assert self.json == {
            "error": {
                "code": meaning.code,
                "status": meaning.status,
                "message": meaning.message,
                "details": details,
            }
        }
        assert self.status == meaning.code
        assert self.headers["content-type"] == "application/json"
        assert self.headers.get("www-authenticate") == ("Bearer" if self.status == 401 else None)
        assert self.headers.get("allow") == ("POST, OPTIONS" if self.status == 405 else None)
        self.is_never_stored()
        return True

    def is_never_stored(self) -> None:
        """Assert what every answer has."""
        assert self.headers["cache-control"] == "no-store"
        assert self.headers["vary"] == "Origin"


@dataclass
class Stack:
    """The function, and what it talks to."""

    gemini: Gemini
    issuer: Issuer
    gemini_url: str
    gemini_plain_url: str
    issuer_url: str
    clock: Clock
    requests: "Requests"
    app_check: AppCheck
    app_check_url: str
    accounts: Accounts
    accounts_url: str
    metadata: Metadata
    metadata_url: str
    storage: Storage
    storage_url: str
    function: Function = field(init=False)

    def environment(self, **changes: str | None) -> dict[str, str]:
        """The environment of a function here; a None takes a variable out."""
        variables = {
            "GEMINI_API_KEY": API_KEY,
            "FIREBASE_PROJECT_ID": self.issuer.firebase_project,
            "GOOGLE_CLIENT_IDS": self.issuer.google_client_id,
            "ALLOWED_ORIGINS": ORIGIN,
            "GOOGLE_GEMINI_BASE_URL": self.gemini_url,
            "FIREBASE_KEYS_URL": f"{self.issuer_url}/keys/firebase",
            "GOOGLE_KEYS_URL": f"{self.issuer_url}/keys/google",
            "FIREBASE_PROJECT_NUMBER": self.app_check.project_number,
            "APP_CHECK_BASE_URL": self.app_check_url,
            "IDENTITY_TOOLKIT_BASE_URL": self.accounts_url,
            "STORAGE_BASE_URL": self.storage_url,
            "CLOUDSDK_CONFIG": "/nonexistent",
            **metadata.environment(self.metadata_url),
            **changes,
        }
        return {name: value for name, value in variables.items() if value is not None}

    @contextmanager
    def running(self, policy_text: str = POLICY, **changes: str | None) -> Iterator["Stack"]:
        """A function of its own, with a policy and changed variables."""
        with tempfile.TemporaryDirectory(prefix="livetoken-") as folder:
            file = Path(folder, "policy.toml")
            file.write_text(policy_text)
            if locked := _lock(policy_text):
                lock.path_for(file).write_text(locked)
            variables = self.environment(**{"POLICY_FILE": str(file), **changes})
            with (
                Path(folder, "log").open("wb") as log,
                Function(variables, log=log) as function,
            ):
                function.wait_until_up()
                started = replace(self)
                started.function = function
                yield started

    def ask(
        self,
        body: bytes | dict[str, Any] | None = b"{}",
        *,
        token: str | None = "",
        headers: Mapping[str, str | None] | None = None,
        method: str = "POST",
        path: str = "/",
    ) -> Answer:
        """One request; with no token named it is Ada's, with None there is none."""
        token = self.issuer.id_token("ada") if token == "" else token
        fields: dict[str, str | None] = {
            "Authorization": None if token is None else f"Bearer {token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        sent = [(name, value) for name, value in fields.items() if value is not None]
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        return self.send(sent, data, method, path)

    def send(
        self,
        headers: list[tuple[str, str]],
        body: bytes | None,
        method: str = "POST",
        path: str = "/",
    ) -> Answer:
        """One request with its headers as they are, some of them twice perhaps."""
        connection = http.client.HTTPConnection("127.0.0.1", self.function.port, timeout=20)
        try:
            connection.putrequest(method, path)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read())
        finally:
            connection.close()

    def send_raw(self, *parts: bytes, pause: float = 0) -> bytes:
        """Bytes as they are, with seconds between them, and the body of the answer."""
        with socket.create_connection(("127.0.0.1", self.function.port), 15) as client:
            for part in parts:
                client.sendall(part)
                time.sleep(pause)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            return answer.read()

    def log(self) -> list[dict[str, Any]]:
        """Every decision logged so far."""
        lines = [
            json.loads(line) for line in self.function.output().splitlines() if line[:1] == "{"
        ]
        return [line for line in lines if line["message"] in ("minted", "refused")]

    def logged(self, count: int) -> dict[str, Any]:
        """The last of `count` decisions, once there are that many."""
        until(lambda: len(self.log()) >= count)
        return self.log()[count - 1]


@cache
def _lock(policy_text: str) -> str | None:
    """The lock of a sound policy: a function with one starts in half the time."""
    source = policy_text.encode()
    try:
        return lock.write(source, compile_policy(source))
    except Mistakes:
        return None


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.02)


class Requests:
    """Every HTTP request that an app has answered, by the port that it came from."""

    def __init__(self, app: ASGIApp) -> None:
        self.ports: list[int] = []
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        if scope["type"] == "http":
            self.ports.append(scope["client"][1])


@contextmanager
def stack(certificate: Certificate) -> Iterator[Stack]:
    """A stack whose Gemini and issuer run in this process, where tests can see and change them.

    Every mint of the function is asserted to have asked for what a policy may, and no more.
    """
    clock, account = Clock(), Metadata()
    app_check = AppCheck(access_tokens=account.access_tokens, keys=[APP_CHECK_KEY])
    accounts = Accounts(access_tokens=account.access_tokens)
    behaviour = Behaviour(api_key=API_KEY, thinks=0.05, handle_after=0.05)  # to be fast
    gemini, issuer = Gemini(behaviour, clock), Issuer()
    storage = Storage(account.access_tokens)
    requests = Requests(gemini.app)
    with (
        Server(
            requests,
            tls=0,
            certificate=certificate,
            pong_after=lambda: behaviour.pong_after,
        ) as at,
        Server(issuer.app) as issuer_at,
        Server(app_check.app) as app_check_at,
        Server(accounts.app) as accounts_at,
        Server(account.app) as metadata_at,
        Server(storage.app) as storage_at,
    ):
        yield Stack(
            gemini,
            issuer,
            at.tls_url,
            at.url,
            issuer_at.url,
            clock,
            requests,
            app_check,
            app_check_at.url,
            accounts,
            accounts_at.url,
            account,
            metadata_at.url,
            storage,
            storage_at.url,
        )
        gemini.minted()
