"""The README keeps its promises: the table of errors is the code's, and the policy compiles."""

import importlib
import re
from pathlib import Path

import pytest

from livetoken import gemini, policy, settings
from livetoken.compiler import compile_policy
from livetoken.refusals import Reason

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ROW = re.compile(
    r"^\| `([A-Z_]+)` \| (\d+) \| ([A-Z_]+) \| (yes|no) \| .+ \| `(\w+)\.py::(\w+)` \|$",
    re.MULTILINE,
)
ROWS = {row[0]: row[1:] for row in ROW.findall(README)}


def test_the_table_of_errors_has_every_reason_in_order() -> None:
    assert list(ROWS) == [reason.name for reason in Reason]


@pytest.mark.parametrize("reason", Reason)
def test_a_row_says_what_the_code_does(reason: Reason) -> None:
    code, status, retry, _, _ = ROWS[reason.name]
    meaning = reason.value
    assert (int(code), status, retry == "yes") == (meaning.code, meaning.status, meaning.retryable)


@pytest.mark.parametrize("reason", Reason)
def test_a_row_names_a_test_that_provokes_it(reason: Reason) -> None:
    *_, module, name = ROWS[reason.name]
    test = getattr(importlib.import_module(module), name)
    provoked = [mark.args[0] for mark in test.pytestmark if mark.name == "provokes"]
    assert reason in provoked


def test_the_policy_of_the_readme_compiles() -> None:
    (source,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (body,) = compile_policy(policy.read(source.encode())).values()
    assert body["bidiGenerateContentSetup"]["generationConfig"]["temperature"] == 0.7


def test_the_variables_of_the_readme_are_those_that_are_read() -> None:
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", README.partition("## The deployment")[2]))
    read = set(re.findall(r'"([A-Z]+_[A-Z_]+)"', Path(settings.__file__).read_text()))
    assert read <= named


def test_the_deadline_of_the_readme_is_the_codes() -> None:
    assert f"no answer within {gemini.DEADLINE:.0f} s" in README


@pytest.mark.parametrize("page", ["README.md", "docs/security.md"])
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"\b(test_\w+)(?!\w|\.py)", (ROOT / page).read_text()))
    written = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert [name for name in named if f"def {name}(" not in written] == []
