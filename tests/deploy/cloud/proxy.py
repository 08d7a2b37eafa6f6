"""An HTTP proxy on loopback that sends Google's hosts to one port and refuses all others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"


class Proxy:
    """A proxy for `CONNECT`, in its own thread.

    Args:
        port: the port on loopback at the end of every tunnel.
        leads_to: whether a host is allowed.

    Attributes:
        refused: the refused requests, as `host:port` or, without `CONNECT`, as the first line of
            the request.
    """

    def __init__(self, port: int, leads_to: Callable[[str], bool]) -> None:
        self.refused: list[str] = []
        self.port = 0
        self._target = port
        self._leads_to = leads_to
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line = head.partition("\r\n")[0]
            method, place, _ = line.split(" ")
            host = place.rpartition(":")[0]
            if method == "CONNECT" and place.endswith(":443") and self._leads_to(host):
                await self._tunnel(reader, writer)
            else:
                self.refused.append(place if method == "CONNECT" else line)
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, self._target)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        finally:
            inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy all data, then close the other side."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
