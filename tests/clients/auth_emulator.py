"""Firebase's Auth emulator, from firebase-tools."""

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from emulator.function import hold_port

FIREBASE = Path(__file__).parent / "node_modules/.bin/firebase"
PROJECT = "demo-livetoken"
"""The emulator never contacts Google for a project whose name begins with `demo-`."""


@contextmanager
def running(seconds: float = 120.0) -> Iterator[str]:
    """Run the emulator in its own folder; it takes about eight seconds to start.

    Args:
        seconds: the time in which it must start.

    Yields:
        Its host and port.
    """
    with TemporaryDirectory(prefix="livetoken-auth-") as folder:
        port = hold_port()
        Path(folder, "firebase.json").write_text(json.dumps({"emulators": _emulators(port)}))
        quiet = {"CI": "true", "NO_UPDATE_NOTIFIER": "1", "HOME": folder, "TMPDIR": folder}
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [FIREBASE, "emulators:start", "--only=auth", f"--project={PROJECT}"],
                cwd=folder,
                env={**os.environ, **quiet, "XDG_CONFIG_HOME": folder},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            end = time.monotonic() + seconds
            while not _answers(port):
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _emulators(port: int) -> dict[str, object]:
    others = {name: {"host": "127.0.0.1", "port": hold_port()} for name in ("hub", "logging")}
    return {"auth": {"host": "127.0.0.1", "port": port}, **others, "ui": {"enabled": False}}


def _answers(port: int) -> bool:
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        asking.request("GET", "/")
        return asking.getresponse().status == 200
    except OSError:
        return False
    finally:
        asking.close()
