"""The clocks of another process, which a test sets."""

import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest


class Clocks:
    """The clocks of processes that load a library of ours first, by its `variables`.

    Args:
        folder: for the library, and for the file that says how far the clocks are ahead.
    """

    def __init__(self, folder: Path) -> None:
        if not shutil.which("cc"):
            pytest.skip("this needs a C compiler")
        library, self._file = folder / "clocks.so", folder / "clocks"
        self._file.touch()
        self.set()
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", source, "-o", library], check=True)
        self.variables: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "CLOCKS": str(self._file),
        }

    def set(self, *, wall: int = 0, monotonic: int = 0) -> None:
        """Set the clocks to some seconds ahead of this machine's, in bytes that are mapped."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("@ll", wall, monotonic))

    @contextmanager
    def wall_ahead(self, seconds: int) -> Iterator[None]:
        """Let the wall clock jump to some seconds ahead, and back. The others stay as they are."""
        self.set(wall=seconds)
        try:
            yield
        finally:
            self.set()
