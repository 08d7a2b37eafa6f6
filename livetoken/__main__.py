"""`python -m livetoken check` and `python -m livetoken lock`."""

import argparse
import os
import sys
from pathlib import Path

from livetoken import lock, policy, report
from livetoken.problems import Problems
from livetoken.settings import policy_file


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 for a sound policy, 1 for one with mistakes."""
    parser = argparse.ArgumentParser(prog="python -m livetoken", description=__doc__)
    parser.add_argument(
        "--policy", type=Path, default=policy_file(os.environ), help="default: %(default)s"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="print what each profile allows, or every mistake")
    writing = commands.add_parser("lock", help="write policy.lock.json")
    writing.add_argument("--check", action="store_true", help="only say whether it is current")
    options = parser.parse_args(arguments)
    try:
        if options.command == "check":
            return _check(options.policy)
        return _lock(options.policy, only_compare=options.check)
    except Problems as problems:
        print(*problems.lines, sep="\n", file=sys.stderr)
        return 1


def _check(path: Path) -> int:
    text = _compiled(path)
    print(report.table(policy.read(policy.source(path))))
    if not _is_current(path, text):
        print(f"\n{_stale(path)}")
    return 0


def _lock(path: Path, *, only_compare: bool) -> int:
    text = _compiled(path)
    if _is_current(path, text):
        print(f"{lock.path_for(path)} is current.")
        return 0
    if only_compare:
        print(_stale(path), file=sys.stderr)
        return 1
    lock.path_for(path).write_text(text, encoding="utf-8")
    print(f"{lock.path_for(path)} written. Review and commit it with {path.name}.")
    return 0


def _compiled(path: Path) -> str:
    """Compile the policy anew and return what its lock must be."""
    from livetoken.compiler import compile_policy

    source = policy.source(path)
    return lock.write(source, compile_policy(policy.read(source)))


def _is_current(path: Path, text: str) -> bool:
    try:
        return lock.path_for(path).read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def _stale(path: Path) -> str:
    return f"{lock.path_for(path)} is not current. Run: python -m livetoken lock"


if __name__ == "__main__":
    sys.exit(main())
