"""A real Redis server that tests can stop, kill and restart."""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack import until
from storage_server import StorageServer

from emulator.function import hold_port
from emulator.tls import Certificate

PASSWORD = "redis-password-0123456789"


class RedisServer(StorageServer):
    """`redis-server` on its own port.

    Args:
        folder: its working folder.
        certificate: lets it speak only TLS.
        password: of its users.
        durable: whether it writes each change to disk before it answers, and reads them at a start.
        in_cluster: whether it can be a node of a cluster, which `join` makes.
        variables: more variables of its environment.
    """

    def __init__(
        self,
        folder: Path,
        certificate: Certificate | None = None,
        password: str = PASSWORD,
        *,
        durable: bool = False,
        in_cluster: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.port = hold_port()
        self._folder = folder
        self._certificate = certificate
        self._password = password
        self._durable, self._in_cluster = durable, in_cluster
        self._variables = {**os.environ, **(variables or {})}
        self.start()

    @property
    def uri(self) -> str:
        """The storage URI of its database 3."""
        return f"async+redis://:{PASSWORD}@127.0.0.1:{self.port}/3"

    def start(self) -> None:
        """Start it on the same port as before; it is empty unless it is durable."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder),
            "save": "",
            "requirepass": self._password,
        }
        if self._durable:
            options |= {"appendonly": "yes", "appendfsync": "always"}
        if self._in_cluster:
            options |= {"cluster-enabled": "yes", "masterauth": self._password}
        if self._certificate is not None:
            options |= {
                "port": "0",
                "tls-port": str(self.port),
                "tls-cert-file": str(self._certificate.cert_file),
                "tls-key-file": str(self._certificate.key_file),
                "tls-auth-clients": "no",
            }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(
            ["redis-server", *words], stdout=subprocess.DEVNULL, env=self._variables
        )
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
        return _redis_cli("-p", str(self.port), "-n", str(database), *command)

    def keys(self) -> list[str]:
        """Every key of the database."""
        return self.ask("KEYS", "*").split()

    def owns(self, key: str) -> bool:
        """Whether it is the node of its cluster that has a key."""
        slot = int(self.ask("CLUSTER", "KEYSLOT", key, database=0))
        nodes = [line.split() for line in self.ask("CLUSTER", "NODES", database=0).splitlines()]
        slots = next(words[8:] for words in nodes if "myself" in words[2])
        ranges = [[int(each) for each in words.split("-")] for words in slots]
        return any(first <= slot <= last for first, last in ranges)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def join(servers: Sequence[RedisServer]) -> None:
    """Make one cluster of three servers or more."""
    addresses = [f"127.0.0.1:{server.port}" for server in servers]
    _redis_cli("--cluster", "create", *addresses, "--cluster-yes")
    until(
        lambda: all(
            "cluster_state:ok" in each.ask("CLUSTER", "INFO", database=0) for each in servers
        )
    )


def _redis_cli(*words: str) -> str:
    """The output of redis-cli."""
    done = subprocess.run(
        ["redis-cli", *words],
        env={"REDISCLI_AUTH": PASSWORD, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
