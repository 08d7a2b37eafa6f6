"""One log line for each decision: opened before anything else, written on every way out.

Cloud Logging reads JSON lines on standard output
(https://cloud.google.com/logging/docs/structured-logging). A line never holds a token, a key, an
email, a body or the text of an exception.
"""

import asyncio
import hashlib
import json
import os
import re
import select
import time
import traceback
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from starlette.datastructures import Headers

from livetoken.caller import Caller, loggable
from livetoken.gemini import Grant
from livetoken.limits.limiter import Reservation
from livetoken.refusals import Detail, Reason, Refused

# https://cloud.google.com/trace/docs/trace-context#legacy-http-header; callers can forge it.
_TRACE = re.compile(r"([0-9a-fA-F]{32})(?:/[0-9]{1,20})?(?:;o=[0-9])?")

MAX_WAITING = 4000
"""Lines that wait in memory at most while nobody reads the output; then the oldest are lost."""

TRY_AGAIN = 0.5
"""Seconds until lines that wait are written, if no other line comes first."""


class Decision:
    """What is known about one request, filled in on its way.

    `caller` is set once verified, `profile` once found, `reserved` once counted, `grant` once
    minted. `left` is whether the caller did not wait for the token. No line is written if it is
    `silent`.
    """

    def __init__(self, headers: Headers, trace_project: str | None) -> None:
        self._opened = time.perf_counter()
        self._trace = _trace(headers, trace_project)
        self._error: BaseException | None = None
        self.caller: Caller | None = None
        self.profile: str | None = None
        self.reserved: Reservation | None = None
        self.grant: Grant | None = None
        self.refusal: Refused | None = None
        self.left = False
        self.silent = False

    def failed(self, error: BaseException) -> Refused:
        """Record an unexpected error, and return a refusal that does not tell what it was."""
        self._error = error
        self.refusal = Refused(Reason.INTERNAL)
        return self.refusal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if isinstance(error, asyncio.CancelledError):
            self.refusal = Refused(Reason.INTERNAL, Detail.SHUT_DOWN)
        elif error is not None:
            self.failed(error)
        if not self.silent:
            write(self._line())

    def _line(self) -> dict[str, Any]:
        grant, refusal, error = self.grant, self.refusal, self._error
        reserved = self.reserved
        account = self.caller.account if self.caller else None
        outcome = grant or refusal  # either knows what became of the request to Gemini
        detail = Detail.CALLER_LEFT if self.left else refusal and refusal.detail
        return {
            "severity": refusal.reason.value.severity if refusal else "INFO",
            "message": "minted" if grant and not refusal else "refused",
            "reason": refusal.reason.name if refusal else None,
            "detail": detail.name if detail else None,
            "rule": refusal.rule if refusal else None,
            "profile": self.profile,
            "seconds": reserved.seconds if grant and reserved else None,
            "budget_seconds_left": reserved.left if grant and reserved else None,
            "resumed": reserved.resumed if grant and reserved else None,
            "issuer": account.issuer if account else None,
            "tenant": loggable(account.tenant) if account and account.tenant else None,
            "sub": loggable(account.sub) if account else None,
            "token_sha256": _sha256(grant.name) if grant else None,
            "latency_ms": _milliseconds(time.perf_counter() - self._opened),
            "gemini_ms": _milliseconds(outcome.seconds) if outcome else None,
            "gemini_status": outcome.status if outcome else None,
            "error_type": type(error).__name__ if error else None,
            "error_at": _place(error) if error else None,
            "logging.googleapis.com/trace": self._trace,
        }


class _Output:
    """A file descriptor that takes lines, and never makes the event loop wait for its reader.

    If it is closed or its disk is full, a line is lost. If it is a pipe that nobody reads, lines
    wait in memory.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._again: asyncio.TimerHandle | None = None

    def write(self, line: bytes) -> None:
        self._waiting.append(line)
        self._flush()

    def _flush(self) -> None:
        """Write what can be written now; try again later if lines are left.

        A pipe that poll(2) calls writable takes 4 KiB at once (pipe(7)), and a line is shorter.
        """
        while self._waiting and self._poll.poll(0):
            with suppress(OSError):
                os.write(self._descriptor, self._waiting.popleft())
        if self._waiting and self._again is None:
            with suppress(RuntimeError):  # no event loop yet: the next line takes this one along
                self._again = asyncio.get_running_loop().call_later(TRY_AGAIN, self._flush_again)

    def _flush_again(self) -> None:
        self._again = None
        self._flush()


_output = _Output(1)


def write(line: dict[str, Any]) -> None:
    """Write one line to standard output, without the values that are None."""
    known = {name: value for name, value in line.items() if value is not None}
    _output.write(json.dumps(known).encode() + b"\n")


def _trace(headers: Headers, project: str | None) -> str | None:
    match = _TRACE.fullmatch(headers.get("x-cloud-trace-context", ""))
    return f"projects/{project}/traces/{match[1].lower()}" if match and project else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _place(error: BaseException) -> str:
    """Return the file and line of ours where an error was raised, never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/lib/python" not in frame.filename] or frames
    return f"{'/'.join(Path(ours[-1].filename).parts[-2:])}:{ours[-1].lineno}"
