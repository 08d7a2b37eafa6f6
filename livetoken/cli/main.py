"""`python -m livetoken check`, `lock`, `schema`, `preflight` and `smoke`."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from livetoken import cautions, lock
from livetoken.cli import advice, check, preflight
from livetoken.cli.smoke import add_options
from livetoken.cli.smoke.checks import run
from livetoken.compile import defaults, policy_file, schema, toml_source
from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistake, Mistakes
from livetoken.policy import Policy
from livetoken.settings import Settings
from livetoken.settings import policy_file as policy_path


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 for success, 1 for mistakes."""
    parser = argparse.ArgumentParser(prog="python -m livetoken", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(run: Callable[[Any], int], about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(run.__name__.strip("_"), help=about)
        command.set_defaults(run=run, json=False, parser=command)
        return command

    checking = add(_check, "print what each profile allows, with warnings, or every mistake")
    checking.add_argument("--json", action="store_true", help="print JSON")
    locking = add(_lock, "compile the policy into policy.lock.json")
    locking.add_argument("--check", action="store_true", help="only compare, write nothing")
    add(_schema, "print the JSON Schema of policy.toml, for editors")
    before = add(_preflight, "check that the function would start with these variables and lock")
    before.add_argument("environment", type=Path, help="the variables, such as deploy/env.yaml")
    before.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME=SECRET",
        help="a variable, or a file, that the function gets from a secret",
    )
    smoking = add(_smoke, "test a deployment from outside")
    add_options(smoking)
    for command in (checking, locking, smoking):
        command.add_argument(
            "--policy", type=Path, default=policy_path(os.environ), help="default: %(default)s"
        )
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except Mistakes as found:
        if options.json:
            problems = [mistake._asdict() for mistake in found.mistakes]
            print(json.dumps({"problems": problems}, indent=2))
        else:
            print(*found.mistakes, sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _check(options: argparse.Namespace) -> int:
    source = lock.read_source(options.policy)
    policy, document = compile_policy(source), toml_source.parse(source)
    text, warnings = lock.write(source, policy), advice.of(policy, document)
    configs = policy_file.configs_in(defaults.merged(document))
    where = lock.path_for(options.policy)
    facts = {
        "policy": str(options.policy),
        "lock": {"path": str(where), "current": _is_current(options.policy, text)},
        **check.describe(policy, configs),
        "warnings": [asdict(each) for each in warnings],
    }
    print(json.dumps(facts, indent=2) if options.json else check.as_text(facts))
    return 0


def _lock(options: argparse.Namespace) -> int:
    _, text = _compiled(options.policy)
    where = lock.path_for(options.policy)
    if _is_current(options.policy, text):
        print(f"{where} is current.")
        return 0
    if options.check:
        print(check.stale(options.policy), file=sys.stderr)
        return 1
    try:
        where.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{where} cannot be written: {error.strerror}"
        raise Mistakes([Mistake("lock", message)]) from None
    print(f"{where} written. Review and commit it with {options.policy.name}.")
    return 0


def _schema(_: argparse.Namespace) -> int:
    print(schema.text(), end="")
    return 0


def _preflight(options: argparse.Namespace) -> int:
    environ = preflight.read(options.environment)
    file = policy_path(environ)
    variables = preflight.complete(environ, options.secret)
    in_variables, in_policy = partial(_in_file, options.environment), partial(_in_file, file)
    try:
        policy, text = _compiled(file)
    except Mistakes as error:
        others = Settings.mistakes(variables, error.app_check)
        raise Mistakes([*in_policy(error.mistakes), *in_variables(others)]) from None
    try:
        settings = Settings.read(variables, policy)
    except Mistakes as error:
        raise Mistakes(in_variables(error.mistakes)) from None
    if not _is_current(file, text):
        raise Mistakes([Mistake("lock", check.stale(file))])
    for each in in_policy(cautions.of(policy, settings)):
        print(f"warning: {each}", file=sys.stderr)
    print(preflight.facts(file, policy, settings))
    return 0


def _in_file(file: Path, mistakes: Iterable[Mistake]) -> list[Mistake]:
    """Return mistakes with the name of their file."""
    return [
        Mistake(str(file), each.message.removeprefix(f"{file} "))
        if each.path == "policy"
        else Mistake(f"{file}: {each.path}", each.message)
        for each in mistakes
    ]


def _smoke(options: argparse.Namespace) -> int:
    policy = lock.load(options.policy, lambda _: None)
    for name in options.profile:
        if name not in policy.profiles:
            options.parser.error(f"argument --profile: {options.policy} has no profile {name}")
    return asyncio.run(run(options, policy, _configs(options.policy)))


def _configs(path: Path) -> Mapping[str, Mapping[str, Any]]:
    return policy_file.complete_configs(lock.read_source(path))


def _compiled(path: Path) -> tuple[Policy, str]:
    """Return the policy and the text of its lock, compiled anew."""
    source = lock.read_source(path)
    policy = compile_policy(source)
    return policy, lock.write(source, policy)


def _is_current(path: Path, text: str) -> bool:
    try:
        return lock.path_for(path).read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False
