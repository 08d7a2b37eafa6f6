"""A real nginx in front of the function."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack import Stack, until

from emulator.function import hold_port

CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  log_format statuses "$upstream_status $status";
  access_log {folder}/access.log statuses;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{
    default upgrade;
    "" "";
  }}
  upstream livetoken {{
    server 127.0.0.1:{upstream};
    keepalive 1;
  }}
  server {{
    listen 127.0.0.1:{port};
    large_client_header_buffers 4 256k;
    client_max_body_size 10m;
    location / {{
      proxy_pass http://livetoken;
      proxy_set_header Host $host;
      {settings}
    }}
  }}
}}
"""

SETTINGS = {
    "WebSockets": """
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_request_buffering off;
""",
    "kept connections": """
      proxy_http_version 1.1;
      proxy_set_header Connection "";
""",
    "HTTP/1.0": "",
}
"""Settings of the location by name; the first is in most tutorials about WebSockets."""


@dataclass(frozen=True)
class Nginx:
    """nginx on 127.0.0.1; it speaks with the function over one kept connection."""

    port: int
    _folder: Path

    def forwarded(self) -> list[str]:
        """The function's status for each request that it may have got; 499 if the client left."""
        lines = (self._folder / "access.log").read_text().splitlines()
        requests = (line.split() for line in lines)
        return [
            answered if sent == "-" else sent
            for sent, answered in requests
            if sent != "-" or answered == "499"
        ]


@contextmanager
def nginx(stack: Stack, folder: Path, settings: str) -> Iterator[Nginx]:
    """Run nginx in front of a function, with more settings of its location."""
    port = hold_port()
    file = folder / "nginx.conf"
    file.write_text(
        CONFIGURATION.format(
            folder=folder, port=port, upstream=stack.function.port, settings=settings
        )
    )
    started = Nginx(port, folder)
    with subprocess.Popen(["nginx", "-p", str(folder), "-c", str(file)]) as process:
        try:
            until((folder / "pid").exists)
            yield started
        finally:
            process.terminate()
