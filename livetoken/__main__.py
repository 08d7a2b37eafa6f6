"""`python -m livetoken check`, `lock`, `preflight`, `smoke` and `schema`."""

import argparse
import os
import sys
from pathlib import Path

from livetoken import facts, lock, policy, report
from livetoken.facts import Lock
from livetoken.policy import Policy
from livetoken.problems import Problems
from livetoken.settings import Settings, policy_file
from livetoken.smoke.options import Options, add_options


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 where all is well, 1 for mistakes."""
    parser = argparse.ArgumentParser(prog="python -m livetoken", description=__doc__)
    parser.set_defaults(json=False)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser(
        "check", help="print what each profile allows and what to think over, or every mistake"
    )
    writing = commands.add_parser("lock", help="write policy.lock.json")
    proving = commands.add_parser("smoke", help="prove that a deployment works, from outside")
    add_options(proving)
    for command in (checking, writing, proving):
        command.add_argument(
            "--policy", type=Path, default=policy_file(os.environ), help="default: %(default)s"
        )
    checking.add_argument("--json", action="store_true", help="print it for machines")
    writing.add_argument("--check", action="store_true", help="only say whether it is current")
    before = commands.add_parser(
        "preflight", help="say whether the function would start with these variables, and the lock"
    )
    before.add_argument("environment", type=Path, help="the variables, such as deploy/env.yaml")
    commands.add_parser("schema", help="print the JSON Schema of policy.toml, for editors")
    options = parser.parse_args(arguments)
    try:
        if options.command == "schema":
            return _schema()
        if options.command == "preflight":
            return _preflight(options.environment)
        if options.command == "check":
            return _check(options.policy, as_json=options.json)
        if options.command == "smoke":
            return _smoke(options.policy, Options.of(options), proving)
        return _lock(options.policy, only_compare=options.check)
    except Problems as problems:
        if options.json:
            print(report.problems_as_json(problems.lines))
        else:
            print(*problems.lines, sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _schema() -> int:
    from livetoken import schema

    print(schema.text(), end="")
    return 0


def _check(path: Path, *, as_json: bool) -> int:
    checked, text = _compiled(path)
    locked = Lock(str(lock.path_for(path)), _is_current(path, text))
    found = facts.gather(path, checked, locked)
    print(report.as_json(found) if as_json else report.as_text(found))
    return 0


def _smoke(path: Path, options: Options, parser: argparse.ArgumentParser) -> int:
    from livetoken.smoke.run import run

    source = policy.source(path)
    rules = policy.read(source)
    bodies = lock.fresh(lock.path_for(path), source, rules)
    if bodies is None:
        from livetoken.compiler import compile_policy

        bodies = compile_policy(rules)
    for name in options.profiles:
        if name not in bodies:
            parser.error(f"argument --profile: {path} has none named {name}")
    return run(options, rules, bodies)


def _lock(path: Path, *, only_compare: bool) -> int:
    _, text = _compiled(path)
    if _is_current(path, text):
        print(f"{lock.path_for(path)} is current.")
        return 0
    if only_compare:
        print(report.stale(lock.path_for(path)), file=sys.stderr)
        return 1
    try:
        lock.path_for(path).write_text(text, encoding="utf-8")
    except OSError as error:
        where = lock.path_for(path)
        raise Problems([f"lock: {where} cannot be written: {error.strerror}"]) from None
    print(f"{lock.path_for(path)} written. Review and commit it with {path.name}.")
    return 0


def _preflight(path: Path) -> int:
    from livetoken import deployment

    environ = deployment.read(path)
    file = policy_file(environ)
    rules, problems = policy.NONE, []
    try:
        rules, text = _compiled(file)
        if not _is_current(file, text):
            problems = [report.stale(lock.path_for(file))]
    except Problems as found:
        problems += found.lines
    try:
        settings = Settings.read({**environ, "GEMINI_API_KEY": "a-secret"}, rules)
    except Problems as found:
        problems += found.lines
    if problems:
        raise Problems(problems)
    print(deployment.facts(file, rules, settings))
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


if __name__ == "__main__":
    sys.exit(main())
