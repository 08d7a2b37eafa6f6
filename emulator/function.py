"""The real function in a process of its own, started as in production."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

ROOT = Path(__file__).parents[1]

_CONFIGURED = (
    *("GEMINI_", "GOOGLE_", "FIREBASE_", "ALLOWED_ORIGINS", "POLICY_FILE", "LIMITS_STORAGE"),
    *("SWITCH_", "STORAGE_", "FIRESTORE_", "APP_CHECK_", "IDENTITY_TOOLKIT_", "GCE_METADATA_"),
    "CLOUDSDK_CONFIG",
)


class NotStarted(Exception):
    """Something did not start; the message says why, or is what the function printed."""


class Function:
    """`functions-framework` with exactly the given deployment variables.

    Args:
        environment: the variables of the deployment.
        port: the port on 127.0.0.1; 0 for a free one.
        log: a file for its standard output and error; other files go to the same folder.
        root: the folder with its code.
        target: the name of the function.
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
        try:
            self.port = hold_port(port)
        except OSError as error:
            raise NotStarted(f"port {port}: {error.strerror}") from None
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_CONFIGURED)}
        framework = str(Path(sys.executable).with_name("functions-framework"))
        command = [framework, f"--target={target}", "--host=127.0.0.1", f"--port={self.port}"]
        runtime = Path(log.name).parent  # for gunicorn's control socket, which would be in $HOME
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
            NotStarted: it ended, or it took longer.
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
        """What it has printed so far."""
        return Path(self._log.name).read_text(errors="replace")

    def stop(self) -> None:
        """End it and its workers with SIGTERM, and with SIGKILL after 5 seconds."""
        for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(seconds)
            except ProcessLookupError:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def hold_port(port: int = 0) -> int:
    """Hold a port on 127.0.0.1 while this process runs: the system gives it to nothing else.

    A socket that never listens holds it. A server that asks for this port can bind it beside that
    socket if it sets SO_REUSEADDR, as servers do.

    Args:
        port: the port; 0 for a free one.

    Returns:
        The port.

    Raises:
        OSError: it cannot be bound, for example because a server listens on it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        held: int = holder.getsockname()[1]
        holder.detach()  # it stays open
    return held
