"""Serves an app on 127.0.0.1: a plain and a TLS listener on one event loop.

The protocols are uvicorn's. Its main loop and its shutdown are replaced, so that starting and
stopping take milliseconds, even with open sockets.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, MutableMapping
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from emulator.tls import Certificate

LOOPBACK = "127.0.0.1"
ABORT = "emulator.abort"


def abort(scope: MutableMapping[str, Any]) -> None:
    """End the connection of `scope` immediately, whatever has been sent on it."""
    scope["extensions"][ABORT]()


class Server:
    """uvicorn in a daemon thread.

    Args:
        app: the ASGI app; both listeners serve it.
        plain: port of the plain listener; 0 for a free one, None for no plain listener.
        tls: the same for TLS.
        certificate: the certificate of the TLS listener, which requires it.
        host: the address to listen on; everything except 127.0.0.1 is refused.
        pong_after: seconds from a ping of a client to its pong.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        plain: int | None = 0,
        tls: int | None = None,
        certificate: Certificate | None = None,
        host: str = LOOPBACK,
        pong_after: Callable[[], float] = lambda: 0,
    ) -> None:
        if host != LOOPBACK:
            raise ValueError(f"the stand-ins listen on {LOOPBACK} only, not on {host}")
        if tls is not None and certificate is None:
            raise ValueError("a TLS listener needs a certificate")
        self._app = app
        self._ports = {"http": plain, "https": tls}
        self._certificate = certificate
        self._pong_after = pong_after
        self._sockets: dict[str, socket.socket] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._listening = threading.Event()
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>` of the plain listener."""
        return self._url("http")

    @property
    def tls_url(self) -> str:
        """`https://127.0.0.1:<port>` of the TLS listener."""
        return self._url("https")

    def start(self) -> None:
        """Return when every listener accepts connections. Raises OSError if a port is in use."""
        if self._thread is not None:
            raise RuntimeError("the server has been started")
        try:
            for scheme, port in self._ports.items():
                if port is not None:
                    self._sockets[scheme] = socket.create_server((LOOPBACK, port))
        except OSError:
            self._close_sockets()
            raise
        self._thread = threading.Thread(target=self._run, name="emulator-server", daemon=True)
        self._thread.start()
        self._listening.wait()
        if self._failure is not None:
            self.stop()
            raise self._failure

    def stop(self) -> None:
        """End every connection and the thread; does nothing if it is not running."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None
        self._close_sockets()
        self._listening.clear()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _url(self, scheme: str) -> str:
        if scheme not in self._sockets:
            raise RuntimeError(f"there is no {scheme} listener")
        return f"{scheme}://{LOOPBACK}:{self._sockets[scheme].getsockname()[1]}"

    def _run(self) -> None:
        factory = self._config("http").get_loop_factory()
        try:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._serve())
        except BaseException as error:  # raised in the thread that waits for the start
            self._failure = error
        finally:
            self._listening.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listeners = [
            _Listener(self._config(scheme), sock, self._stop)
            for scheme, sock in self._sockets.items()
        ]
        for listener in listeners:
            await listener.open()
        self._listening.set()
        await self._stop.wait()
        for listener in listeners:
            await listener.close()

    def _config(self, scheme: str) -> uvicorn.Config:
        certificate = self._certificate if scheme == "https" else None
        return uvicorn.Config(
            self._app,
            http="httptools",
            ws=_late_pongs(self._pong_after),
            lifespan="off",
            log_level="critical",
            access_log=False,
            ssl_certfile=certificate.cert_file if certificate else None,
            ssl_keyfile=certificate.key_file if certificate else None,
        )

    def _close_sockets(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()


def _late_pongs(pong_after: Callable[[], float]) -> type[asyncio.Protocol]:
    """A WebSocket protocol whose pongs are late."""

    class LatePongs(WebSocketsSansIOProtocol):
        def handle_ping(self) -> None:
            pong = b"".join(self.conn.data_to_send())
            self.loop.call_later(pong_after(), self._send_late, pong)

        def _send_late(self, pong: bytes) -> None:
            if not self.transport.is_closing():
                self.transport.write(pong)

    return LatePongs


class _Listener(uvicorn.Server):
    """One listener, opened and closed by `Server` instead of by signals and a polling loop."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._socket = sock
        self._stop = stop

    async def open(self) -> None:
        if not self.config.loaded:
            self.config.load()
        self.config.loaded_app = self._with_abort(self.config.loaded_app)
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup([self._socket])
        await self.on_tick(0)

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _with_abort(self, app: Any) -> Any:
        async def carried(scope: Scope, receive: Receive, send: Send) -> None:
            def abort_now() -> None:
                for connection in list(self.server_state.connections):
                    if getattr(connection, "client", None) == scope["client"]:
                        connection.transport.abort()

            scope.setdefault("extensions", {})[ABORT] = abort_now
            await app(scope, receive, send)

        return carried
