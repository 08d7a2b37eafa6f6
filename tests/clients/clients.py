"""Clients outside of pytest's process, and how a test has them take a step."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self

from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent
PATIENCE = 30.0
"""Seconds after which a program is given up; it gives up a step sooner by itself."""


class Client(Protocol):
    """Whatever takes steps: a program, or what is loaded in a page."""

    def take(self, step: str, **asked: Any) -> Any:
        """Have it take a step, and return what came of it. Raises AssertionError."""
        ...


class Program:
    """A client that takes a step a line on its standard input, and answers on its output.

    Args:
        command: starts it, in this folder.
        environment: variables on top of this process's own.
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
        giving_up = Timer(PATIENCE, self._process.kill)
        giving_up.start()
        try:
            self._process.stdin.write(json.dumps({"step": step, **asked}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            giving_up.cancel()
        assert line, f"{self._process.args!r} ended"
        return came(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass(frozen=True)
class Tab:
    """A client in a page, which is a function of its window."""

    page: Page
    name: str

    def take(self, step: str, **asked: Any) -> Any:
        call = f"asked => window.{self.name}(asked)"
        return came(self.page.evaluate(call, {"step": step, **asked}))


def came(answer: Any) -> Any:
    """What came of a step that did not fail."""
    assert "failed" not in answer, answer["failed"]
    return answer


@contextmanager
def tab(browser: Browser, origin: str, name: str) -> Iterator[Tab]:
    """A client in a tab of its own, which takes any certificate."""
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(origin)
        yield Tab(page, name)


def node_22() -> Path | str:
    """The Node that npm installs, or else the machine's."""
    return next(HERE.glob("node_modules/node-linux-*/bin/node"), "node")
