"""Real gcloud and whatever else a shell has, in the environment of a stand-in."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cloud.cloud import OWNER, Cloud

PATIENCE = 120  # seconds that a command may take


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Terminal:
    """A shell of an account in a folder."""

    cloud: Cloud
    folder: Path
    """Where commands run."""
    home: Path

    def run(self, *words: str, principal: str = OWNER, stdin: str = "", code: int = 0) -> Done:
        """Run a command, and assert its exit code.

        Args:
            words: the command and its arguments.
            principal: the email of the account that acts.
            code: the exit code that is right.
        """
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.cloud.environment(self.home, principal),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    def gcloud(self, *words: str, principal: str = OWNER, stdin: str = "", code: int = 0) -> Done:
        """Run gcloud on the stand-in's project."""
        project = f"--project={self.cloud.state.project}"
        return self.run("gcloud", *words, project, principal=principal, stdin=stdin, code=code)
