"""`python -m livetoken check` and `python -m livetoken lock`."""

import argparse
import os
import sys
from pathlib import Path

from livetoken import lock, policy, report
from livetoken.dialects import DEFAULT_PROFILE
from livetoken.policy import Policy
from livetoken.problems import Problems
from livetoken.settings import policy_file


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 for a sound policy, 1 for one with mistakes."""
    parser = argparse.ArgumentParser(prog="python -m livetoken", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="print what each profile allows, or every mistake")
    writing = commands.add_parser("lock", help="write policy.lock.json")
    for command in (checking, writing):
        command.add_argument(
            "--policy", type=Path, default=policy_file(os.environ), help="default: %(default)s"
        )
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
    checked, text = _compiled(path)
    print(report.table(checked))
    if DEFAULT_PROFILE not in checked.profiles:
        print(f"\nThere is no profile {DEFAULT_PROFILE}: a request must name one.")
    if not _is_current(path, text):
        print(f"\n{_stale(path)}")
    return 0


def _lock(path: Path, *, only_compare: bool) -> int:
    _, text = _compiled(path)
    if _is_current(path, text):
        print(f"{lock.path_for(path)} is current.")
        return 0
    if only_compare:
        print(_stale(path), file=sys.stderr)
        return 1
    try:
        lock.path_for(path).write_text(text, encoding="utf-8")
    except OSError as error:
        where = lock.path_for(path)
        raise Problems([f"lock: {where} cannot be written: {error.strerror}"]) from None
    print(f"{lock.path_for(path)} written. Review and commit it with {path.name}.")
    return 0


def _compiled(path: Path) -> tuple[Policy, str]:
    """Return the policy, and what its lock must be, compiled anew."""
    from livetoken.compiler import compile_policy

    source = policy.source(path)
    rules = policy.read(source)
    return rules, lock.write(source, compile_policy(rules))


def _is_current(path: Path, text: str) -> bool:
    try:
        return lock.path_for(path).read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def _stale(path: Path) -> str:
    return f"{lock.path_for(path)} is not current. Run: python -m livetoken lock"


if __name__ == "__main__":
    sys.exit(main())
