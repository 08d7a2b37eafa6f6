"""Instances of revisions: functions-framework processes, each in the files of its build."""

from __future__ import annotations

import hashlib
import http.client
import io
import secrets
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from cloud.state import Image
from emulator.function import Function, NotStarted

_Key: TypeAlias = tuple[str, str, frozenset[tuple[str, str]]]
_NOWHERE = "/proc/nonexistent"
"""A folder that not even root can create."""


class Instances:
    """The running processes. Revisions with the same files and variables share one.

    A shared process has the `K_REVISION` of the revision that started it.

    Args:
        folder: for the unpacked files and the logs.
        platform: variables that the platform gives every instance.
    """

    def __init__(self, folder: Path, platform: Mapping[str, str]) -> None:
        self.platform = dict(platform)
        self._folder = folder
        self._running: dict[_Key, Function] = {}
        self._revisions: dict[str, _Key] = {}

    def start(
        self,
        service: str,
        revision: str,
        image: Image,
        variables: Mapping[str, str],
        probe: str | None = None,
    ) -> Function:
        """An instance of a revision: the running one, or a new one.

        Args:
            variables: the plain variables and the values of the secrets.
            probe: a path that must answer once the instance has started.

        Raises:
            NotStarted: it ended before it listened, or the probe failed. The message is its
                output.
        """
        digest = hashlib.sha256(image.source).hexdigest()[:16]
        key = digest, image.target, frozenset(variables.items())
        known = self._running.get(key)
        if known is None or known.process.poll() is not None:
            known = self._running[key] = self._started(service, revision, image, variables, digest)
        self._revisions[revision] = key
        if probe is not None and not _serves(known, probe):
            raise NotStarted(known.output())
        return known

    def of(self, revision: str) -> Function | None:
        """A revision's running instance, or None."""
        found = self._running.get(self._revisions[revision]) if self._has(revision) else None
        return found if found is not None and found.process.poll() is None else None

    def running(self) -> frozenset[str]:
        """The revisions that have an instance."""
        return frozenset(name for name in self._revisions if self.of(name) is not None)

    def end(self, revision: str) -> None:
        """Stop a revision's instance; the next request starts a new one."""
        if self._has(revision):
            key = self._revisions.pop(revision)
            self._revisions = {name: each for name, each in self._revisions.items() if each != key}
            self._running.pop(key).stop()

    def keep(self, revisions: Iterable[str]) -> None:
        """Stop the instances of all other revisions."""
        wanted = set(revisions)
        self._revisions = {name: key for name, key in self._revisions.items() if name in wanted}
        for key in self._running.keys() - set(self._revisions.values()):
            self._running.pop(key).stop()

    def output(self, revision: str) -> str:
        """The output of a revision's instance; empty if none was started."""
        return self._running[self._revisions[revision]].output() if self._has(revision) else ""

    def _has(self, revision: str) -> bool:
        return self._revisions.get(revision) in self._running

    def _started(
        self, service: str, revision: str, image: Image, variables: Mapping[str, str], digest: str
    ) -> Function:
        root = self._unpacked(image, digest)
        if not (root / "requirements.txt").exists():
            raise NotStarted("ModuleNotFoundError: nothing was installed without requirements.txt")
        own = self._folder / f"instance-{secrets.token_hex(4)}"
        own.mkdir()
        environment = {
            "HOME": _NOWHERE,
            "XDG_RUNTIME_DIR": _NOWHERE,
            "K_SERVICE": service,
            "K_REVISION": revision,
            "K_CONFIGURATION": service,
            "FUNCTION_TARGET": image.target,
            **self.platform,
            **variables,
        }
        with (own / "log").open("wb") as log:
            function = Function(environment, log=log, root=root, target=image.target)
        try:
            function.wait_until_up()
        except NotStarted:
            function.stop()
            raise
        return function

    def _unpacked(self, image: Image, digest: str) -> Path:
        root = self._folder / f"source-{digest}"
        if not root.exists():
            with zipfile.ZipFile(io.BytesIO(image.source)) as archive:
                archive.extractall(root)
        return root


def _serves(function: Function, path: str) -> bool:
    """Whether a GET of a path gets an answer other than an error."""
    connection = http.client.HTTPConnection("127.0.0.1", function.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
