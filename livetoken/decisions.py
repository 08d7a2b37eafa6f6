"""One log line a decision: opened before anything else, written on every way out.

Cloud Logging reads JSON lines on standard output
(https://cloud.google.com/logging/docs/structured-logging). Never in one: a token, a key, an email,
a body, an exception's text.
"""

import asyncio
import hashlib
import json
import re
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.datastructures import Headers

from livetoken.callers import Caller
from livetoken.gemini import Attempt, Grant
from livetoken.refusals import Detail, Reason, Refused

# https://cloud.google.com/trace/docs/trace-context#legacy-http-header; the caller may forge it.
_TRACE = re.compile(r"([0-9a-fA-F]{32})(?:/[0-9]{1,20})?(?:;o=[0-9])?")


class Decision:
    """What is known of one request, filled in as it goes.

    `caller` and `profile` are set once they are verified and found; `attempt` is what reached
    Gemini.
    """

    def __init__(self, headers: Headers, trace_project: str | None) -> None:
        self._opened = time.perf_counter()
        self._trace = _trace(headers, trace_project)
        self._grant: Grant | None = None
        self._refusal: Refused | None = None
        self._error: BaseException | None = None
        self._left = False
        self._silent = False
        self.caller: Caller | None = None
        self.profile: str | None = None
        self.attempt = Attempt()

    def minted(self, grant: Grant) -> None:
        self._grant = grant

    def refused(self, refusal: Refused) -> None:
        self._refusal = refusal

    def failed(self, error: BaseException) -> Refused:
        """Record the unforeseen and return what the caller is told of it: nothing."""
        self._error = error
        self._refusal = Refused(Reason.INTERNAL)
        return self._refusal

    def left(self) -> None:
        """Record that the caller did not wait for the token."""
        self._left = True

    def nothing(self) -> None:
        """Record that there was nothing to decide, as with a preflight: no line is written."""
        self._silent = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            self._refusal = Refused(Reason.INTERNAL, Detail.SHUT_DOWN)
        elif error is not None:
            self.failed(error)
        if not self._silent:
            write(self._line())

    def _line(self) -> dict[str, Any]:
        refusal = self._refusal
        detail = Detail.CALLER_LEFT if self._left else refusal and refusal.detail
        return {
            "severity": refusal.reason.value.severity if refusal else "INFO",
            "message": "minted" if self._grant and not refusal else "refused",
            "reason": refusal.reason.name if refusal else None,
            "detail": detail.name if detail else None,
            "rule": refusal.rule if refusal else None,
            "profile": self.profile,
            "issuer": self.caller.issuer if self.caller else None,
            "sub": _person(self.caller.sub) if self.caller else None,
            "token_sha256": _sha256(self._grant.name) if self._grant else None,
            "latency_ms": _milliseconds(time.perf_counter() - self._opened),
            "gemini_ms": _milliseconds(self.attempt.seconds),
            "gemini_status": self.attempt.status,
            "error_type": type(self._error).__name__ if self._error else None,
            "error_at": _place(self._error) if self._error else None,
            "logging.googleapis.com/trace": self._trace,
        }


def write(line: dict[str, Any]) -> None:
    """Write one line to standard output, what is None left out.

    An output that is full or closed costs the line, and no caller the answer.
    """
    known = {name: value for name, value in line.items() if value is not None}
    with suppress(OSError):
        sys.stdout.write(json.dumps(known) + "\n")
        sys.stdout.flush()


def _trace(headers: Headers, project: str | None) -> str | None:
    match = _TRACE.fullmatch(headers.get("x-cloud-trace-context", ""))
    return f"projects/{project}/traces/{match[1].lower()}" if match and project else None


def _person(sub: str) -> str:
    """A subject as the log may hold it: Firebase lets a project choose an email for a user id."""
    return f"sha256:{_sha256(sub)}" if "@" in sub else sub


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _place(error: BaseException) -> str | None:
    """File and line of ours where an error came up; never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/lib/python" not in frame.filename] or frames
    if not ours:
        return None
    return f"{'/'.join(Path(ours[-1].filename).parts[-2:])}:{ours[-1].lineno}"
