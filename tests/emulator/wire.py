"""What the tests of the stand-ins read off the wire: HTTP answers, and the parts of a JWT."""

import base64
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class HttpAnswer:
    """An HTTP answer; at most one megabyte of its body is read."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def send(
    url: str,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 5,
) -> HttpAnswer:
    """Send one request with this exact path to the server at a URL."""
    call = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    try:
        call.request(method, path, body, dict(headers or {}))
        answer = call.getresponse()
        return HttpAnswer(answer.status, answer.headers, answer.read(1_000_000))
    finally:
        call.close()


def unpadded(text: str) -> bytes:
    """The bytes of base64url, which must have no padding."""
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jwt_parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a JWT."""
    header, claims = (json.loads(unpadded(part)) for part in token.split(".")[:2])
    return header, claims
