"""Write the parts of the docs that restate the code: `make docs`.

A page holds a part between two lines, `<!-- generated: NAME -->` and `<!-- end -->`, in YAML as
comments. NAME is a name in `PARTS`, or `check`, with its arguments. `--check` writes nothing, names
each page that is not current, and ends with 1.
"""

import ast
import contextlib
import inspect
import io
import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import openapi  # noqa: E402  # sys.path is set above
from explanations import REMEDIES, VARIABLES, WHEN  # noqa: E402  # sys.path is set above

from emulator.reports import REPORTS  # noqa: E402  # sys.path is set above
from livetoken import refusals, settings  # noqa: E402  # sys.path is set above
from livetoken.cli import advice  # noqa: E402  # sys.path is set above
from livetoken.cli.main import main as livetoken  # noqa: E402  # sys.path is set above

PAGES = ("README.md", "docs/*.md", "docs/openapi.yaml")
_MOST_LISTED = 8  # values of a setting
_KEYS = {"profiles": "NAME", "claims": "CLAIM", "choices": "CHOICE"}
"""What the docs call the keys of a table that the policy names itself."""
LABELS = 21  # characters of a line of `check` before its text
PART = re.compile(
    r"^([ #]*<!-- generated: (.+?) -->\n).*?^([ #]*<!-- end -->\n)", re.DOTALL | re.MULTILINE
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCHEMA = json.loads((ROOT / "docs/policy.schema.json").read_text(encoding="utf-8"))


class Incomplete(Exception):
    """The code and the docs name different things, or `check` found mistakes."""


def errors(_: str) -> Iterator[str]:
    """Every reason, with a test that provokes it over HTTP."""
    _complete("reason", WHEN, (reason.name for reason in refusals.Reason))
    tests = _provoking_tests()
    _complete("test that provokes", tests, WHEN)
    rows = []
    for reason in refusals.Reason:
        meaning, retry = reason.value, "yes" if reason.value.retryable else "no"
        when, test = WHEN[reason.name], f"`{tests[reason.name]}`"
        rows.append((f"`{reason.name}`", str(meaning.code), meaning.status, retry, when, test))
    return _table(("reason", "HTTP", "status", "retry", "when", "test"), rows)


def messages(_: str) -> Iterator[str]:
    """The fixed sentence of every reason, and its severity in the log."""
    rows = [
        (f"`{reason.name}`", reason.value.message, reason.value.severity)
        for reason in refusals.Reason
    ]
    return _table(("reason", "message", "severity"), rows)


def details(_: str) -> Iterator[str]:
    """The words of the log's `detail`, by what was checked."""
    source = inspect.getsource(refusals.Detail)
    groups: dict[str, list[str]] = {}
    for title, name in re.findall(r"^    (?:# (.+)|([A-Z_]+) = .*)$", source, re.MULTILINE):
        if title:
            groups[title] = []
        else:
            next(reversed(groups.values())).append(f"`{name}`")
    _complete(
        "detail",
        [name.strip("`") for names in groups.values() for name in names],
        (detail.name for detail in refusals.Detail),
    )
    rows = ((title, ", ".join(words)) for title, words in groups.items())
    return _table(("about", "details"), rows)


def variables(_: str) -> Iterator[str]:
    """Every environment variable of a deployment."""
    _complete("variable", VARIABLES, settings.VARIABLES)
    rows = ((f"`{name}`", *VARIABLES[name]) for name in settings.VARIABLES)
    return _table(("variable", "meaning", "default"), rows)


def policy(_: str) -> Iterator[str]:
    """Every setting of the policy but those inside `config`, by its JSON Schema."""
    return _table(("setting", "values", "meaning"), _settings(SCHEMA, ""))


def open_fields(_: str) -> Iterator[str]:
    """The fields that `client_may_set` may name."""
    profile = _resolved(_resolved(SCHEMA["properties"]["profiles"])["additionalProperties"])
    names = _resolved(_resolved(profile["properties"]["client_may_set"])["items"])["enum"]
    yield ", ".join(f"`{name}`" for name in names)


def warnings(_: str) -> Iterator[str]:
    """Every warning of `check`."""
    _complete("warning", REMEDIES, (code.name for code in advice.Code))
    rows = ((f"`{code.name}`", code.value, REMEDIES[code.name]) for code in advice.Code)
    return _table(("warning", "why", "what to do"), rows)


def check(arguments: str, before: str) -> Iterator[str]:
    """What `check` says of the policy above: its warnings, and some of a profile's rows.

    `arguments` is `PROFILE: LABEL, LABEL`.
    """
    source = re.findall(r"^```toml\n(.*?)^```$", before, re.DOTALL | re.MULTILINE)[-1]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "policy.toml")
        file.write_text(source, encoding="utf-8")
        found = json.loads(_run("check", "--policy", str(file), "--json"))["warnings"]
        lines = _run("check", "--policy", str(file)).splitlines()
    said = " and ".join(f"`{each['code']}` at `{each['path']}`" for each in found)
    yield f"`check` warns of {said or 'nothing'}. Part of what it prints:"
    yield ""
    yield "```text"
    profile, _, labels = arguments.partition(": ")
    yield profile
    label, seen = "", set()
    for line in lines[lines.index(profile) + 1 : lines.index("", lines.index(profile))]:
        label = line[:LABELS].strip() or label
        if label in labels.split(", "):
            seen.add(label)
            yield line
    _complete("row of check", labels.split(", "), seen)
    yield "```"


def modules(folder: str) -> Iterator[str]:
    """The modules of a folder, each with the first line of its docstring or first comment."""
    rows = []
    for file in sorted((ROOT / folder).iterdir()):
        if file.suffix == ".js":
            rows.append((f"`{file.name}`", _first_line(file)))
        elif file.suffix == ".py" and file.name != "__init__.py":
            rows.append((f"`{file.stem}`", _first_line(file)))
        elif (file / "__init__.py").exists():
            rows.append((f"`{file.name}/`", _first_line(file / "__init__.py")))
    return _table(("module", "what it holds"), rows)


def commands(_: str) -> Iterator[str]:
    """The commands of `python -m livetoken`."""
    listed = re.findall(r"^    ([a-z]+) +(.+(?:\n {8,}.+)*)", _run("--help"), re.MULTILINE)
    rows = ((f"`python -m livetoken {name}`", " ".join(does.split())) for name, does in listed)
    return _table(("command", "what it does"), rows)


def stand_in(_: str) -> Iterator[str]:
    """What the stand-in for Gemini does, by what it is about."""
    head = ("what it does", "source", "sure", "setting")
    for number, (title, reports) in enumerate(REPORTS.items()):
        yield from [""] * bool(number)
        yield f"## {title}"
        yield ""
        rows = (
            (each.what, each.source, each.sure, ", ".join(f"`{name}`" for name in each.settings))
            for each in reports
        )
        yield from _table(head, rows)


PARTS: Mapping[str, Callable[[str], Iterator[str]]] = {
    "errors": errors,
    "messages": messages,
    "details": details,
    "variables": variables,
    "policy": policy,
    "open-fields": open_fields,
    "warnings": warnings,
    "modules": modules,
    "stand-in": stand_in,
    "commands": commands,
    "openapi-version": lambda _: iter([f"  version: {PROJECT['version']}"]),
    "openapi-answers": lambda _: openapi.answers(WHEN),
    "openapi-preflight": lambda _: openapi.preflight(),
    "openapi-reasons": lambda _: openapi.reasons(),
}


def main(arguments: list[str]) -> int:
    """Write or compare every page. Returns the exit status."""
    only_compare, stale = arguments == ["--check"], False
    for page in (page for pattern in PAGES for page in sorted(ROOT.glob(pattern))):
        text = page.read_text(encoding="utf-8")
        made = PART.sub(_made, text)
        if made == text:
            continue
        stale = True
        name = page.relative_to(ROOT)
        if only_compare:
            print(f"{name} is not current. Run: make docs")
        else:
            page.write_text(made, encoding="utf-8")
            print(f"{name} written.")
    return 1 if stale and only_compare else 0


def _made(match: re.Match[str]) -> str:
    name, _, arguments = match[2].partition(" ")
    if name == "check":
        lines = check(arguments, match.string[: match.start()])
    else:
        lines = PARTS[name](arguments)
    body = "\n".join(lines)
    return f"{match[1]}{body}\n{match[3]}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(head)
    yield "|" + "---|" * len(head)
    yield from map(_row, rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _complete(kind: str, explained: Iterable[str], names: Iterable[str]) -> None:
    explained, names = set(explained), set(names)
    if explained != names:
        raise Incomplete(f"{kind} missing or unknown: {', '.join(sorted(explained ^ names))}")


def _provoking_tests() -> dict[str, str]:
    """The first test that provokes each reason, as `file::test`."""
    mark = re.compile(r"(?:pytest\.mark\.)?provokes\(Reason\.(\w+)\)")
    found: dict[str, str] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for marked in map(mark.fullmatch, map(ast.unparse, node.decorator_list)):
                    if marked:
                        found.setdefault(marked[1], f"{file.name}::{node.name}")
    return found


def _settings(schema: Any, path: str) -> Iterator[tuple[str, str, str]]:
    for name, described in schema.get("properties", {}).items():
        inner = _resolved(described)
        values = _values(inner, is_required=name in schema.get("required", ()))
        yield f"`{path}{name}`", values, inner.get("description", "")
        if name in ("config", "defaults"):
            continue
        yield from _settings(inner, f"{path}{name}.")
        tables = inner.get("additionalProperties")
        if name in _KEYS:
            yield from _settings(_resolved(tables), f"{path}{name}.{_KEYS[name]}.")


def _resolved(schema: Any) -> dict[str, Any]:
    """A schema with its `$ref` and its `allOf` put in place."""
    resolved: dict[str, Any] = {}
    for part in (schema, *schema.get("allOf", ())):
        if "$ref" in part:
            resolved |= SCHEMA["definitions"][part["$ref"].rpartition("/")[2]]
        resolved |= {key: value for key, value in part.items() if key not in ("$ref", "allOf")}
    return resolved


def _values(schema: Mapping[str, Any], *, is_required: bool) -> str:
    kinds = {"boolean": "true or false", "string": "text", "array": "a list"}
    kinds |= dict.fromkeys(("integer", "number"), "a number")
    if len(schema.get("enum", ())) in range(1, _MOST_LISTED):
        values = " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    else:
        types = schema.get("type", "")
        each = types if isinstance(types, list) else [types]
        values = " or ".join(kinds.get(name, "a table") for name in each)
    if "minimum" in schema and "maximum" in schema:
        values += f" from {schema['minimum']} to {schema['maximum']}"
    return f"{values}, required" if is_required else values


def _first_line(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        line = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    else:
        comment = re.match(r"/\*\*(.+?)\*/", text, re.DOTALL)
        words = " ".join(comment[1].replace("\n *", " ").split()) if comment else ""
        line = re.split(r"(?<=\.) ", words)[0]
    if not line:
        raise Incomplete(f"{file.relative_to(ROOT)} does not say what it holds")
    return line


def _run(*arguments: str) -> str:
    """What a command of `python -m livetoken` prints.

    Raises:
        Incomplete: the command found mistakes.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            status = livetoken([*arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
    if status:
        raise Incomplete(printed.getvalue())
    return printed.getvalue()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Incomplete as incomplete:
        sys.exit(f"docs: {incomplete}")
