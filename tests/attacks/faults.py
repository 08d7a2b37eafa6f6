"""A function with a limit, whose surroundings fail, and what must hold however they do."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import limited
from redis_server import PASSWORD
from stack import API_KEY, POLICY, Answer, Stack, until

from livetoken.refusals import Reason

LIMITED = POLICY.replace("[profiles.default]", '[profiles.default]\nlimit = "3/hour"')
SECRETS = ("eyJ", "auth_tokens/", API_KEY, PASSWORD, "secret words", "Traceback", "Exception")
"""What no output may hold. Each ID token begins with the first, each minted token with the next."""


@contextmanager
def faulty(unstarted: Stack, policy: str = LIMITED, **changes: str | None) -> Iterator[Stack]:
    """A function of its own, whose output must hold no secret and no traceback in the end."""
    with unstarted.running(policy, **changes) as started:
        yield started
        output = started.function.output()
    assert not [secret for secret in SECRETS if secret in output], output


def connect(livetoken: Stack) -> None:
    """Let the function connect to Redis, and forget that it minted."""
    limited.connect(livetoken)
    livetoken.gemini.mints.clear()


def worker(livetoken: Stack) -> int:
    """The process id of the function's worker; gunicorn's master is its parent."""
    master = livetoken.function.process.pid
    children = Path(f"/proc/{master}/task/{master}/children")
    until(children.read_text)
    return int(children.read_text().split()[0])


def descriptors(livetoken: Stack) -> int:
    """How many files and sockets the worker has open."""
    return len(list(Path(f"/proc/{worker(livetoken)}/fd").iterdir()))


def within(seconds: float, ask: Callable[[], Answer], reason: Reason) -> Answer:
    """Assert that a request is refused for a reason within its deadline; returns the answer."""
    began = time.monotonic()
    answer = ask()
    assert answer.is_refusal(reason)
    assert time.monotonic() - began < seconds
    return answer
