"""Clients outside pytest's process, which a test controls step by step."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from types import MappingProxyType
from typing import Any, Protocol, Self

from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent
DEADLINE = 30.0
"""Seconds after which a program is killed; its own limit for a step is shorter."""


class Client(Protocol):
    """A client: a program, or a function in a page."""

    def take(self, step: str, **asked: Any) -> Any:
        """Let it take a step, and return the result. Raises AssertionError."""
        ...


class Program:
    """A client that reads one step per line from standard input, and writes the results.

    Args:
        command: its command, run in this folder.
        environment: variables in addition to those of this process.
    """

    def __init__(
        self, *command: str | Path, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=HERE,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def take(self, step: str, **asked: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        deadline = Timer(DEADLINE, self._process.kill)
        deadline.start()
        try:
            self._process.stdin.write(json.dumps({"step": step, **asked}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            deadline.cancel()
        assert line, f"{self._process.args!r} ended"
        return result(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass(frozen=True)
class Tab:
    """A client that is a function of a page's window."""

    page: Page
    name: str

    def take(self, step: str, **asked: Any) -> Any:
        call = f"asked => window.{self.name}(asked)"
        return result(self.page.evaluate(call, {"step": step, **asked}))


def result(answer: Any) -> Any:
    """The result of a step, which must not have failed."""
    assert "failed" not in answer, answer["failed"]
    return answer


@contextmanager
def tab(browser: Browser, origin: str, name: str) -> Iterator[Tab]:
    """A client in its own tab, which accepts any certificate."""
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(origin)
        yield Tab(page, name)


def node_22() -> Path | str:
    """The Node that npm installed, or that of the machine."""
    return next(HERE.glob("node_modules/node-linux-*/bin/node"), "node")
