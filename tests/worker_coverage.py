"""A plugin of coverage: a worker of the function saves its data when SIGTERM ends it.

gunicorn's uvicorn worker restores the default of SIGTERM, which ends the process without `atexit`.
"""

import os
import signal
from typing import Any

import coverage

_set_signal = signal.signal


def coverage_init(_registry: object, _options: object) -> None:
    signal.signal = _signal  # type: ignore[assignment]  # for gunicorn, which imports it later


def _signal(number: int, handler: Any) -> Any:
    restores = number == signal.SIGTERM and handler == signal.SIG_DFL
    return _set_signal(number, _save_and_end if restores else handler)


def _save_and_end(number: int, _: object) -> None:
    if measuring := coverage.Coverage.current():
        measuring.stop()
        measuring.save()
    _set_signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
