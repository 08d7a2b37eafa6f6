"""Tokens that `smoke` shows: printed by commands of the user's, and forged out of those."""

import asyncio
import base64
import json
import os
import re
import secrets
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from livetoken.callers import GOOGLE_ISSUERS
from livetoken.smoke.table import Wrong

_MOST_BYTES = 64 * 1024  # of what a command prints
_JWT = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")


async def printed(command: tuple[str, ...], option: str, seconds: float) -> str:
    """Run a command, without a shell, and return the token that it prints.

    Raises:
        Wrong: it fails, takes too long, or prints no JSON Web Token. Nothing of what it printed
            is told.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise Wrong(f"{option}: {command[0]} cannot be run: {why}") from None
    try:
        async with asyncio.timeout(seconds):
            output = await _read(process.stdout)
            status = await process.wait()
    except TimeoutError:
        raise Wrong(f"{option}: not at its end within {seconds:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()  # asyncio sees no end before that of the pipe
    if status != 0:
        raise Wrong(f"{option}: the command ended with {status}")
    token = output.decode(errors="replace").strip()
    if not token:
        raise Wrong(f"{option}: the command printed nothing")
    if claims(token) is None:
        raise Wrong(f"{option}: the command printed something else than one JSON Web Token")
    return token


def claims(token: str) -> dict[str, Any] | None:
    """The claims of a JSON Web Token, as nobody has verified them; None where it is none."""
    match = _JWT.fullmatch(token)
    try:
        value = json.loads(_decoded(match[1])) if match else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def altered(token: str) -> str:
    """The token with one bit of its signature changed."""
    signed, _, signature = token.rpartition(".")
    data = _decoded(signature)
    return f"{signed}.{_encoded(bytes([data[0] ^ 1]) + data[1:] if data else b'none')}"


def unsigned(token: str) -> str:
    """The token with `alg` none (RFC 7519, section 6)."""
    head = json.loads(_decoded(token.partition(".")[0]))
    return f"{_json({**head, 'alg': 'none'})}.{token.split('.')[1]}."


def made_up() -> str:
    """A well-formed token that nobody has signed."""
    head = {"alg": "RS256", "kid": "livetoken-smoke", "typ": "JWT"}
    body = {"iss": GOOGLE_ISSUERS[0], "aud": "livetoken-smoke", "sub": "livetoken-smoke"}
    return f"{_json(head)}.{_json(body)}.{_encoded(secrets.token_bytes(256))}"


def why_refused(said: Mapping[str, Any]) -> str:
    """What of a token's claims may be why it is no ID token that the function accepts."""
    azp, aud, email = said.get("azp"), said.get("aud"), str(said.get("email"))
    foreign = azp not in (None, aud) and not str(azp).endswith(".apps.googleusercontent.com")
    if email.endswith(".gserviceaccount.com") or (said.get("iss") in GOOGLE_ISSUERS and foreign):
        return "it is a service account's token, which are refused; take a test person's"
    return f"it is of {said.get('iss')} for {aud}; is that one of the deployment's own?"


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """A command's output to its end, or more of it than a token can have."""
    try:
        return await stream.readexactly(_MOST_BYTES) if stream else b""
    except asyncio.IncompleteReadError as ended:
        return ended.partial


def _json(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(segment: str) -> bytes:
    """The bytes of unpadded base64url. Raises ValueError."""
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
