"""A proxy that records the browser's requests to other machines, and forwards none."""

import socketserver
import threading
from typing import Self
from urllib.parse import urlsplit

GEMINI = "generativelanguage.googleapis.com"
GOOGLES = (".google.com", ".googleapis.com", ".gvt1.com", ".googleusercontent.com")


class Outside:
    """The proxy, in a thread. The browser uses it for everything except loopback."""

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

    def asked_by_pages(self) -> list[str]:
        """The requested hosts, without Google's, which Chromium contacts by itself at any time.

        Gemini's host is included, since Chromium never contacts it by itself.
        """
        targets = (line.split()[1] for line in self.asked)
        urls = (target if "://" in target else f"//{target}" for target in targets)
        hosts = [urlsplit(url).hostname or "" for url in urls]
        return [host for host in hosts if host == GEMINI or not host.endswith(GOOGLES)]

    @property
    def address(self) -> str:
        """`127.0.0.1:<port>`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
