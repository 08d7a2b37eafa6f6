"""Functions, requests and checks that many tests of the function share."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import wraps
from typing import Any

import pytest
from policies import UNLIMITED
from stack import Stack, stack

from emulator.tls import Certificate
from livetoken.fetch import Http
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


def profile(name: str, settings: str = "", config: str = "") -> str:
    """A profile in TOML, with more settings and more lines of its config."""
    return (
        f'[profiles.{name}]\nmodel = "gemini-3.8-live"\n{settings}\n'
        f'[profiles.{name}.config]\nresponse_modalities = ["AUDIO"]\n{config}\n'
    )


def function_of(policy: str, **variables: str) -> Any:
    """A fixture: a function that all tests of a module share."""

    @pytest.fixture(scope="module")
    def function(certificate: Certificate) -> Iterator[Stack]:
        with stack(certificate) as unstarted, unstarted.running(policy, **variables) as started:
            yield started

    return function


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test. Afterwards, close the HTTP client that a fixture has as `http`."""

    async def close_after(fixtures: dict[str, Any]) -> None:
        try:
            await test(**fixtures)
        finally:
            for fixture in fixtures.values():
                if isinstance(getattr(fixture, "http", None), Http):
                    fixture.http.close()

    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(close_after(fixtures))

    return run


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
