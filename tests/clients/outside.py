"""A proxy in the place of all that is not on this machine: it writes down what is asked for."""

import socketserver
import threading
from types import TracebackType
from typing import Self


class Outside:
    """The proxy, in a thread. A browser asks it for everything that is not on loopback."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The first line of each request."""
        asked = self.asked

        class Answering(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline(8192).decode(errors="replace").strip()
                if line:
                    asked.append(line)
                status = b"502 Bad Gateway" if line.startswith("CONNECT") else b"200 OK"
                self.wfile.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """`127.0.0.1:<port>`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
