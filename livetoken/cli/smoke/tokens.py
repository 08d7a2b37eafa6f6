"""Tokens that `smoke` sends: printed by the user's commands, and forgeries of them."""

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
from livetoken.cli.smoke.table import CheckFailed

_MOST_BYTES = 64 * 1024  # of the output of a command
_JWT = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")


async def printed(command: tuple[str, ...], option: str, seconds: float) -> str:
    """Run a command, without a shell, and return the token that it prints.

    Raises:
        CheckFailed: the command fails, takes too long, or does not print a JSON Web Token. What it
            printed is not quoted.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise CheckFailed(f"{option}: {command[0]} cannot be run: {why}") from None
    try:
        async with asyncio.timeout(seconds):
            output = await _read(process.stdout)
            status = await process.wait()
    except TimeoutError:
        raise CheckFailed(f"{option}: the command did not end within {seconds:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()  # asyncio waits for the end of the pipe
    if status != 0:
        raise CheckFailed(f"{option}: the command ended with {status}")
    token = output.decode(errors="replace").strip()
    if not token:
        raise CheckFailed(f"{option}: the command printed nothing")
    if claims(token) is None:
        raise CheckFailed(f"{option}: the command did not print one JSON Web Token")
    return token


def claims(token: str) -> dict[str, Any] | None:
    """Return the unverified claims of a JSON Web Token, or None if it is not one."""
    match = _JWT.fullmatch(token)
    try:
        value = json.loads(_decoded(match[1])) if match else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def altered(token: str) -> str:
    """Return the token with one bit of its signature changed."""
    signed, _, signature = token.rpartition(".")
    data = _decoded(signature)
    return f"{signed}.{_encoded(bytes([data[0] ^ 1]) + data[1:] if data else b'none')}"


def unsigned(token: str) -> str:
    """Return the token with `alg` none (RFC 7519, section 6)."""
    head = json.loads(_decoded(token.partition(".")[0]))
    return f"{_json({**head, 'alg': 'none'})}.{token.split('.')[1]}."


def made_up() -> str:
    """Return a well-formed token with a random signature."""
    head = {"alg": "RS256", "kid": "livetoken-smoke", "typ": "JWT"}
    body = {"iss": GOOGLE_ISSUERS[0], "aud": "livetoken-smoke", "sub": "livetoken-smoke"}
    return f"{_json(head)}.{_json(body)}.{_encoded(secrets.token_bytes(256))}"


def why_refused(said: Mapping[str, Any]) -> str:
    """Return why the function may not accept an ID token with these claims."""
    azp, aud, email = said.get("azp"), said.get("aud"), str(said.get("email"))
    foreign = azp not in (None, aud) and not str(azp).endswith(".apps.googleusercontent.com")
    if email.endswith(".gserviceaccount.com") or (said.get("iss") in GOOGLE_ISSUERS and foreign):
        return "it is the token of a service account, which is refused; use that of a test user"
    return f"it is from {said.get('iss')} for {aud}; does the deployment accept that?"


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """Return the whole output of a command, or more of it than a token can have."""
    try:
        return await stream.readexactly(_MOST_BYTES) if stream else b""
    except asyncio.IncompleteReadError as ended:
        return ended.partial


def _json(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(data: bytes) -> str:
    """Encode as unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(segment: str) -> bytes:
    """Decode unpadded base64url. Raises ValueError."""
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
