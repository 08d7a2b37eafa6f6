"""A Firestore that tests can stop, kill and restart: our stand-in, or Google's emulator."""

import json
import os
import signal
import subprocess
import time
from abc import abstractmethod
from urllib.request import Request, urlopen

from stack import Stack, until
from storage_server import StorageServer

from emulator.firestore import Firestore
from emulator.function import hold_port
from emulator.server import Server


class FirestoreServer(StorageServer):
    """A Firestore."""

    def __init__(self) -> None:
        self.port = hold_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self, stack: Stack) -> dict[str, str]:
        """Let the function of a stack count here: its variables."""
        return {
            "LIMITS_STORAGE": f"async+firestore://{stack.metadata.project}/(default)",
            "FIRESTORE_BASE_URL": self.url,
        }

    @abstractmethod
    def empty(self) -> None:
        """Delete all documents."""


class StandInFirestore(FirestoreServer):
    """The stand-in. It keeps its documents when it is killed."""

    def __init__(self) -> None:
        self.stand_in = Firestore()
        super().__init__()

    def variables(self, stack: Stack) -> dict[str, str]:
        self.stand_in.access_tokens = stack.metadata.access_tokens
        return super().variables(stack)

    def empty(self) -> None:
        self.stand_in.documents.clear()

    def start(self) -> None:
        self._server = Server(self.stand_in.app, plain=self.port)
        self._server.start()

    def die(self) -> None:
        self._server.stop()

    def hang(self) -> None:
        self.stand_in.is_hanging = True

    def go_on(self) -> None:
        self.stand_in.is_hanging = False


class GoogleFirestore(FirestoreServer):
    """Google's emulator, which needs Java. It loses its documents when it is killed.

    `make test-firestore` says where its jar is, in FIRESTORE_JAR.
    """

    def variables(self, stack: Stack) -> dict[str, str]:
        stack.metadata.token = "owner"  # the only access token that the emulator takes
        return super().variables(stack)

    def empty(self) -> None:
        path = "emulator/v1/projects/demo-livetoken/databases/(default)/documents"
        urlopen(Request(f"{self.url}/{path}", method="DELETE")).close()

    def start(self) -> None:
        words = ("-Duser.language=en", "-cp", os.environ["FIRESTORE_JAR"])
        main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
        self._process = subprocess.Popen(
            ["java", *words, main, "start", "--host=127.0.0.1", f"--port={self.port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, seconds=60)

    def die(self) -> None:
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        """Whether it writes and reads, several times in a second: Java is slow at first."""
        root = "projects/demo-livetoken/databases/(default)/documents"
        name, began = f"{root}/warm/up", time.monotonic()
        for number in range(10):
            fields = {"number": {"integerValue": str(number)}}
            messages = {
                "commit": {"writes": [{"update": {"name": name, "fields": fields}}]},
                "batchGet": {"documents": [name]},
            }
            for method, message in messages.items():
                url, body = f"{self.url}/v1/{root}:{method}", json.dumps(message).encode()
                try:
                    urlopen(Request(url, body, {"Content-Type": "application/json"})).close()
                except OSError:
                    return False
        return time.monotonic() - began < 1


def firestore_server() -> FirestoreServer:
    """The stand-in, or Google's emulator with FIRESTORE=google in the environment."""
    return GoogleFirestore() if os.environ.get("FIRESTORE") == "google" else StandInFirestore()
