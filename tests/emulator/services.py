"""App Check and the metadata server as tests use them."""

import json
from collections.abc import Iterator
from typing import Any

from wire import HttpAnswer, send

from emulator.app_check import AppCheck
from emulator.issuer import signing_key
from emulator.metadata import Metadata
from emulator.server import Server

KEY = signing_key()


class Services:
    """App Check and the metadata server with their servers; they share access tokens."""

    def __init__(self) -> None:
        self.metadata = Metadata()
        self.app_check = AppCheck(access_tokens=self.metadata.access_tokens, keys=[KEY])
        self.app_check_at = Server(self.app_check.app)
        self.metadata_at = Server(self.metadata.app)

    def get_keys(self, timeout: float = 5) -> HttpAnswer:
        return send(self.app_check_at.url, "/v1/jwks", timeout=timeout)

    def served(self) -> list[dict[str, Any]]:
        answer = self.get_keys()
        assert answer.status == 200
        found: list[dict[str, Any]] = answer.json["keys"]
        return found

    def check(
        self,
        body: str | bytes | dict[str, Any],
        *,
        project: str = "demo-livetoken",
        authorization: str | None = "",
        timeout: float = 5,
    ) -> HttpAnswer:
        """Ask whether a token was used before.

        Args:
            body: a token, or a whole body.
            authorization: the header; an allowed access token if left out, None for no header.
        """
        if isinstance(body, str):
            body = {"app_check_token": body}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        if authorization == "":
            self.app_check.access_tokens.add("of-the-test")
            authorization = "Bearer of-the-test"
        headers = {} if authorization is None else {"Authorization": authorization}
        path = f"/v1beta/projects/{project}:verifyAppCheckToken"
        return send(self.app_check_at.url, path, "POST", headers, body, timeout)


def running() -> Iterator[Services]:
    """Both services, for a fixture."""
    made = Services()
    with made.app_check_at, made.metadata_at:
        yield made
