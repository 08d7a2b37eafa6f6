"""Requests and checks that many tests of the function share."""

import re
from collections.abc import Mapping
from typing import Any

from policies import UNLIMITED
from stack import Stack

from livetoken.mistakes import Mistakes
from livetoken.policy import Policy
from livetoken.refusals import Reason
from livetoken.settings import Settings

ENVIRONMENT = {
    "GEMINI_API_KEY": "key",
    "FIREBASE_PROJECT_ID": "demo-project",
    "FIREBASE_PROJECT_NUMBER": "123456789012",
}
"""Variables with which every policy can be served."""


def refused(
    stack: Stack, reason: Reason, body: bytes | dict[str, Any] = b"{}", **request: Any
) -> dict[str, Any]:
    """Send a request that is refused before the mint, and return its line in the log.

    Args:
        reason: what the refusal must be.
        request: more arguments of `Stack.ask`.
    """
    mints, lines = len(stack.gemini.mints), len(stack.log())
    assert stack.ask(body, **request).is_refusal(reason)
    assert len(stack.gemini.mints) == mints
    return stack.logged(lines + 1)


def wrong_variables(policy: Policy = UNLIMITED, /, **changes: str | None) -> list[str]:
    """The names of the variables that are reported as mistakes; a None removes a variable."""
    environment = {k: v for k, v in {**ENVIRONMENT, **changes}.items() if v is not None}
    try:
        Settings.read(environment, policy)
    except Mistakes as found:
        return [mistake.path for mistake in found.mistakes]
    return []


def imported(stack: Stack) -> set[str]:
    """The modules that a function has imported; it must run with PYTHONPROFILEIMPORTTIME."""
    found = set(re.findall(r"\|\s+([\w.]+)$", stack.function.output(), re.MULTILINE))
    assert "livetoken.service" in found
    return found


def socket_url(stack: Stack, answer: Mapping[str, Any]) -> str:
    """The URL at which JavaScript would open its socket with a token, but without TLS.

    The synchronous sockets of websockets read and write TLS on two threads, which may hang.
    """
    secure, plain = (
        url.replace("http", "ws", 1) for url in (stack.gemini_url, stack.gemini_plain_url)
    )
    url = answer["webSocketUrl"].replace(secure, plain)
    return f"{url}?access_token={answer['name']}"
