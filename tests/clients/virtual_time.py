"""An event loop in virtual time, in step with a program of virtual.mjs."""

from __future__ import annotations

import asyncio
import json
import selectors
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent

Entry = dict[str, Any]


class Browser:
    """A program of virtual.mjs. It runs only inside `run`."""

    def __init__(self, script: str) -> None:
        self._process = subprocess.Popen(
            ["node", script], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, until: float | None, events: list[Entry]) -> Entry:
        """Let it take events and run its timers until it sends something, or until a time.

        Args:
            until: milliseconds since the start.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"until": until, "events": events}).encode()
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the program ended"
        found: Entry = json.loads(answer)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits: if nothing is to be done before some time, the browser runs until then.

    Args:
        browser: its messages go to `sent`, its log to `logged`.
    """

    def __init__(
        self, browser: Browser, sent: Callable[[Entry], None], logged: Callable[[Entry], None]
    ) -> None:
        self._browser, self._sent, self._logged = browser, sent, logged
        self._now = 0.0
        self._mail: list[Entry] = []
        self.left: Entry = {}
        """What the browser has not ended, by kind."""
        super().__init__(_Selector(self._idle))

    def time(self) -> float:
        return self._now

    def deliver(self, event: Entry) -> None:
        """Bring an event to the browser now."""
        self._mail.append(event)

    def _idle(self, timeout: float | None) -> None:
        until = None if timeout is None else (self._now + timeout) * 1_000
        mail, self._mail = self._mail, []
        answer = self._browser.run(until, mail)
        now = answer["now"]
        assert until is not None or answer["out"], "nothing will ever happen again"
        self._now = max(self._now, self._now + (timeout or 0) if now == until else now / 1_000)
        for entry in answer["log"]:
            self._logged(entry)
        for entry in answer["out"]:
            self.call_soon(self._sent, entry)
        self.left = answer["left"]


class _Selector(selectors.SelectSelector):
    def __init__(self, idle: Callable[[float | None], None]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._idle(timeout)
        return []
