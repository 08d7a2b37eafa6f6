"""The gunicorn worker: uvloop and httptools, and the warm-up as the first task of its loop.

functions-framework loads the function before gunicorn forks and gives Starlette no lifespan, so the
worker's loop factory is the one place that runs after the fork, on the loop that will serve.
"""

import os
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

_running: set[Task[None]] = set()  # asyncio holds its tasks weakly


def serve_on(loop_factory: str) -> None:
    """Have each worker make its event loop with `loop_factory`, written `module:function`.

    gunicorn kills a worker that was silent for a while, which functions-framework sets to the
    request's timeout that Cloud Run names. But Cloud Run stops the CPU between requests, and a
    worker that wakes has been silent: it would be killed with the request that woke it.
    """
    os.environ["CLOUD_RUN_TIMEOUT_SECONDS"] = "0"
    UvicornWorker.CONFIG_KWARGS = {"loop": loop_factory, "http": _Http, "ws": "none"}


class _Http(HttpToolsProtocol):
    """uvicorn's protocol, but that trailers are no headers (RFC 9110, section 6.5.1).

    Its own files the fields after a chunked body with those before it, so that a credential there
    would count or not as packets happen to arrive.
    """

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.headers: list[tuple[bytes, bytes]] = []


def _ended(task: Task[None]) -> None:
    """Forget a warm-up; where it failed, the first caller meets the same and it is logged there."""
    _running.discard(task)
    if not task.cancelled():
        task.exception()


def loop_starting_with(warm_up: Callable[[], Coroutine[Any, Any, None]]) -> AbstractEventLoop:
    """Return a new event loop whose first task is the warm-up."""
    loop = uvloop.new_event_loop()

    def start() -> None:
        task = loop.create_task(warm_up())
        _running.add(task)
        task.add_done_callback(_ended)

    loop.call_soon(start)
    return loop
