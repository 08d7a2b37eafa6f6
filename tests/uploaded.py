"""The files that a deploy uploads, started as a function with nothing else of the repository."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from stack import POLICY, Stack

from emulator.function import ROOT, Function
from livetoken import lock
from livetoken.compile.body import compile_policy

OWNERS = {"policy.toml", "policy.lock.json"}
"""What the owner of a deployment writes."""


def served(root: Path = ROOT) -> set[str]:
    """The files that serve, and all that a deploy may upload, by their paths in the repository."""
    folders = ("livetoken", "livetoken/compile", "livetoken/limits")
    code = {file for folder in folders for file in root.glob(f"{folder}/*.py")}
    code |= {root / "livetoken/compile/models.toml", root / "livetoken/limits/count.lua"}
    modules = {str(file.relative_to(root)) for file in code} - {"livetoken/__main__.py"}
    return {"main.py", "requirements.txt", *OWNERS, *modules}


def write_policy(folder: Path, text: str) -> None:
    """Write `policy.toml` and its lock into a folder."""
    source, file = text.encode(), folder / "policy.toml"
    file.write_bytes(source)
    lock.path_for(file).write_text(lock.write(source, compile_policy(source)))


@contextmanager
def uploaded(
    files: Iterable[str],
    folder: Path,
    unstarted: Stack,
    *,
    stale_lock: bool,
    root: Path = ROOT,
    policy: str = POLICY,
) -> Iterator[Stack]:
    """A function started from copies of some files alone.

    Neither the repository nor a `PYTHONPATH` is on its `sys.path`, only what `pip` installed.

    Args:
        files: their paths in `root`; the owner's policy and lock are replaced.
        folder: an empty folder, for the copies and the log.
        stale_lock: change the policy after locking it.
        policy: its text.
    """
    tree = folder / "tree"
    for name in files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if name not in OWNERS:
            shutil.copy2(root / name, tree / name)
    write_policy(tree, policy)
    if stale_lock:
        (tree / "policy.toml").write_text(f"{policy}\n# changed after it was locked\n")
    variables = unstarted.environment(PYTHONPATH="", PYTHONDONTWRITEBYTECODE="1")
    with (folder / "log").open("wb") as log, Function(variables, log=log, root=tree) as function:
        function.wait_until_up()
        started = replace(unstarted)
        started.function = function
        yield started
