"""The gunicorn worker: its connections, and its loop, whose first task is the warm-up.

functions-framework loads the function before gunicorn forks, and gives Starlette no lifespan. The
worker's loop factory is the only place that runs after the fork, on the loop that will serve.
"""

import gc
import os
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from uvicorn_worker import UvicornWorker

from livetoken.connection import Connection

_running: set[Task[None]] = set()  # asyncio holds its tasks weakly


def serve_on(loop_factory: str) -> None:
    """Have each worker make its event loop with `loop_factory`, written `module:function`.

    gunicorn kills a worker that was silent for longer than its timeout, which functions-framework
    sets to Cloud Run's request timeout. But Cloud Run stops the CPU between requests, so a worker
    that wakes up has been silent and would be killed with the request that woke it.
    """
    os.environ["CLOUD_RUN_TIMEOUT_SECONDS"] = "0"
    UvicornWorker.CONFIG_KWARGS = {
        "loop": loop_factory,
        "http": Connection,
        "ws": "none",
        "proxy_headers": False,  # nothing reads the caller's address
        "server_header": False,
        "timeout_graceful_shutdown": 8,  # s; Cloud Run kills the instance 10 s after SIGTERM
    }


def _ended(task: Task[None]) -> None:
    """Forget a warm-up. If it failed, the first request meets the same failure and logs it."""
    _running.discard(task)
    if not task.cancelled():
        task.exception()


def loop_starting_with(warm_up: Callable[[], Coroutine[Any, Any, None]]) -> AbstractEventLoop:
    """Return a new event loop whose first task is the warm-up.

    What was loaded before is taken out of the garbage collector's work.
    """
    gc.freeze()
    loop = uvloop.new_event_loop()

    def start() -> None:
        task = loop.create_task(warm_up())
        _running.add(task)
        task.add_done_callback(_ended)

    loop.call_soon(start)
    return loop
