"""A plugin of coverage.py: a worker of the function writes its data when SIGTERM ends it.

gunicorn's uvicorn worker sets SIGTERM back to its default, which ends the process without `atexit`.
"""

import os
import signal
from typing import Any

import coverage

_set = signal.signal


def _save_and_end(number: int, _frame: object) -> None:
    if measuring := coverage.Coverage.current():
        measuring.stop()
        measuring.save()
    _set(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _signal(number: int, handler: Any) -> Any:
    default = number == signal.SIGTERM and handler == signal.SIG_DFL
    return _set(number, _save_and_end if default else handler)


def coverage_init(_registry: object, _options: object) -> None:
    setattr(signal, "signal", _signal)  # noqa: B010
