"""A real Redis server that tests can stop, kill and restart."""

import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from stack import until

from emulator.function import hold_port

PASSWORD = "redis-password-0123456789"


class RedisServer:
    """`redis-server` on its own port, which writes nothing to disk.

    Args:
        folder: its working folder.
    """

    def __init__(self, folder: Path) -> None:
        self.port = hold_port()
        self._folder = folder
        self.start()

    @property
    def uri(self) -> str:
        """The storage URI of its database 3."""
        return f"async+redis://:{PASSWORD}@127.0.0.1:{self.port}/3"

    def start(self) -> None:
        """Start it, empty, on the same port as before."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder),
            "save": "",
            "requirepass": PASSWORD,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
        until(self._answers)

    def hang(self) -> None:
        """Stop it: it accepts connections and commands, and does not answer."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue it: it answers the commands that have waited, and new ones."""
        self._process.send_signal(signal.SIGCONT)

    def die(self) -> None:
        """Kill it; its counters are lost."""
        self._process.kill()
        self._process.wait()

    def ask(self, *command: str, database: int = 3) -> str:
        """The output of redis-cli for a command."""
        words = ["redis-cli", "-p", str(self.port), "-n", str(database)]
        done = subprocess.run(
            [*words, *command],
            env={"REDISCLI_AUTH": PASSWORD, "PATH": "/usr/local/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def keys(self) -> list[str]:
        """Every key of the database."""
        return self.ask("KEYS", "*").split()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.go_on()
        self.die()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True
