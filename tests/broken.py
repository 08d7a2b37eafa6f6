"""Break a file on purpose, and check that a test fails."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from emulator.function import ROOT

INSTALLED = (".venv", ".venv-release", "tests/clients/node_modules")
"""What is installed in a work tree."""


@dataclass(frozen=True)
class Variant:
    """A mistake: the text of a file, what replaces it, and the test that must fail."""

    file: str
    old: str
    new: str
    caught_by: str

    def is_caught(self, folder: str, root: Path) -> None:
        """Assert that the test fails in a copy of this work tree with the mistake.

        Args:
            folder: the folder of the test.
            root: where the copy is made.
        """
        test = f"{folder}/{self.caught_by}"
        copy_work_tree(root)
        subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)  # tests copy it again
        ignored = "\n".join(INSTALLED)
        (root / ".git/info/exclude").write_text(ignored)  # .gitignore ignores only folders
        text = (root / self.file).read_text()
        assert text.count(self.old) == 1, f"{self.file}: {self.old!r}"
        (root / self.file).write_text(text.replace(self.old, self.new))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n0", "-x", test],
            cwd=root,
            env={n: value for n, value in os.environ.items() if not n.startswith("PYTEST_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 1, done.stdout
        assert f"FAILED {test}" in done.stdout, done.stdout


def copy_work_tree(to: Path) -> None:
    """Copy the tracked and new files of this work tree, with links to what is installed in it."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    for name in filter(None, os.fsdecode(files).split("\0")):
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    for name in INSTALLED:
        if (ROOT / name).exists():
            (to / name).symlink_to((ROOT / name).resolve())
