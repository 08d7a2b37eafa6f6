"""Tokens that `smoke` sends: printed by the user's commands, and forgeries of them."""

import asyncio
import base64
import json
import os
import secrets
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from livetoken.callers import GOOGLE_ISSUERS
from livetoken.cli.smoke.table import CheckFailed

MOST_BYTES = 64 * 1024  # of a command's output, or of an answer


async def printed(command: tuple[str, ...], option: str, seconds: float) -> str:
    """Run a command, without a shell, and return the token that it prints.

    Raises:
        CheckFailed: the command fails, takes too long, or does not print a JSON Web Token. What it
            printed is not quoted.
    """
    process = None
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        async with asyncio.timeout(seconds):
            output = await _read(process.stdout)
            await process.wait()
    except TimeoutError:
        mistake = f"the command did not end within {seconds:g} s"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        mistake = f"{command[0]} cannot be run: {why}"
    else:
        token = output.decode(errors="replace").strip()
        if process.returncode == 0 and claims(token) is not None:
            return token
        failed = f"ended with {process.returncode}" if process.returncode else None
        mistake = f"the command {failed or 'did not print one JSON Web Token'}"
    finally:
        if process and process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()  # asyncio waits for the end of the pipe
    raise CheckFailed(f"{option}: {mistake}")


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """Return the whole output of a command, or more of it than a token can have."""
    try:
        return await stream.readexactly(MOST_BYTES) if stream else b""
    except asyncio.IncompleteReadError as ended:
        return ended.partial


def claims(token: str) -> dict[str, Any] | None:
    """Return the unverified claims of a JSON Web Token, or None if it is not one."""
    try:
        _, body, _ = token.split(".")
        value = _decoded(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and token.split() == [token] else None


def forgeries(token: str) -> dict[str, str]:
    """Return the token with another signature, and without one (RFC 7519, section 6)."""
    head, body, signature = token.split(".")
    altered = f"{'B' if signature.startswith('A') else 'A'}{signature[1:]}"
    unsigned = _encoded({**_decoded(head), "alg": "none"})
    return {"altered signature": f"{head}.{body}.{altered}", "no signature": f"{unsigned}.{body}."}


def made_up() -> str:
    """Return a well-formed token with a random signature."""
    head = {"alg": "RS256", "kid": "livetoken-smoke", "typ": "JWT"}
    body = {"iss": GOOGLE_ISSUERS[0], "aud": "livetoken-smoke", "sub": "livetoken-smoke"}
    return f"{_encoded(head)}.{_encoded(body)}.{secrets.token_urlsafe(256)}"


def _encoded(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _decoded(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
