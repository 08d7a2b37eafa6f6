"""The real function as a process, started the way it runs in production."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

ROOT = Path(__file__).parents[1]

_CONFIGURED = (
    *("GEMINI_", "GOOGLE_", "FIREBASE_", "ALLOWED_ORIGINS", "POLICY_FILE", "LIMITS_STORAGE"),
    *("APP_CHECK_", "GCE_METADATA_", "CLOUDSDK_CONFIG"),
)


class NotStarted(Exception):
    """The function ended before it listened; the message is what it printed."""


class Function:
    """`functions-framework`, with no deployment's variables but those given.

    Args:
        environment: the variables of the deployment.
        port: where it listens, on loopback; 0 takes a free one.
        log: a file for its standard output and error; its folder takes what else it writes.
        root: the folder of its code.
        target: the name of the function in it.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        log: IO[bytes],
        port: int = 0,
        root: Path = ROOT,
        target: str = "mint_token",
    ) -> None:
        if port and not is_free(port):
            raise NotStarted(f"somebody else listens on port {port}")
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_CONFIGURED)}
        framework = str(Path(sys.executable).with_name("functions-framework"))
        command = [framework, f"--target={target}", "--host=127.0.0.1", f"--port={self.port}"]
        runtime = Path(log.name).parent  # gunicorn puts a control socket there, or else in $HOME
        self.process = subprocess.Popen(
            command,
            cwd=root,
            env={**inherited, "XDG_RUNTIME_DIR": str(runtime), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def wait_until_up(self, seconds: float = 20.0) -> None:
        """Wait until it listens.

        Raises:
            NotStarted: it ended first, or took longer than that.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise NotStarted(self.output())

    def output(self) -> str:
        """What it printed so far, where the log is a file."""
        return Path(self._log.name).read_text(errors="replace")

    def stop(self) -> None:
        """End it and its workers: politely, then at once."""
        for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(patience)
            except ProcessLookupError:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()


def free_port() -> int:
    """A port of loopback that nobody listens on.

    It is one that the system does not hand out by itself, so that nobody is given it before the
    function binds it; which one is left to chance, since several may look for one at once.
    """
    while True:
        port = random.randrange(20_000, 32_768)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of loopback."""
    with socket.socket() as listener, suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        return True
    return False
