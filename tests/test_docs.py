"""The docs are current, their policies compile, and what they name exists."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from policies import mistakes
from stack import Stack

from emulator.function import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
SCHEMA = json.loads((ROOT / "docs/policy.schema.json").read_text(encoding="utf-8"))


def policies(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```toml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


SHARED, CHOOSING, TUTOR, DOMAIN, KIOSK, TRIAL, AGENT = policies("docs/policy.md")
(README,) = policies("README.md")


def test_every_generated_part_of_the_docs_is_current() -> None:
    """Among them: every reason has a test, and `check` says of a policy what its page says."""
    command = [sys.executable, "docs/generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("source", [README, SHARED, CHOOSING, TUTOR, DOMAIN, KIOSK, TRIAL, AGENT])
def test_a_policy_of_the_docs_has_no_mistake_and_fits_the_schema(source: str) -> None:
    Draft7Validator(SCHEMA).validate(tomllib.loads(source))
    assert mistakes(source) == []


ASKS: dict[str, tuple[str, list[tuple[str, str, dict[str, Any], str | None]]]] = {
    "tutor": (
        TUTOR,
        [
            ("bob", "default", {}, "callers.require.email_verified"),
            ("guest", "default", {}, "callers.allow_anonymous"),
            ("ada", "default", {"plan": ..., "level": ...}, None),
            ("ada", "default", {"level": "B2+"}, "defaults.claims.level"),
            ("ada", "pro", {"plan": "free"}, "profiles.pro.require.plan"),
            ("ada", "pro", {"plan": ["free", "team"]}, None),
        ],
    ),
    "domain": (
        DOMAIN,
        [
            ("grace", "default", {}, None),
            ("grace", "default", {"hd": ...}, "callers.require.hd"),
            ("grace", "lab", {}, None),
            ("grace", "lab", {"email": "bob@example.com"}, "profiles.lab.require.email"),
            ("ada", "lab", {}, "callers.require.hd"),
        ],
    ),
    "kiosk": (
        KIOSK,
        [
            ("guest", "default", {}, None),
            ("ada", "default", {}, "callers.require.firebase.sign_in_provider"),
        ],
    ),
    "trial": (
        TRIAL,
        [
            ("guest", "trial", {}, None),
            ("guest", "default", {}, "callers.allow_anonymous"),
            ("ada", "default", {}, None),
            ("ada", "trial", {}, "profiles.trial.require.firebase.sign_in_provider"),
        ],
    ),
    "agent": (
        AGENT,
        [
            ("ada", "default", {"customer": True, "shop": "Clocks & Co."}, None),
            ("ada", "default", {"customer": True}, "profiles.default.claims.shop"),
            ("ada", "default", {"customer": "true"}, "callers.require.customer"),
            ("ada", "default", {"customer": True, "auth_time": 1}, "callers.max_auth_age"),
        ],
    ),
}
"""Who asks a worked policy for which profile, with which claims, and the rule that refuses."""


@pytest.mark.parametrize(("source", "asks"), ASKS.values(), ids=ASKS)
def test_a_worked_policy_admits_the_callers_that_its_page_says(
    alone: Stack, source: str, asks: list[tuple[str, str, dict[str, Any], str | None]]
) -> None:
    alone.gemini.left_open = ["systemInstruction"] if source == DOMAIN else []
    with alone.running(source) as livetoken:
        for count, (person, profile, claims, rule) in enumerate(asks, 1):
            token = livetoken.issuer.id_token(person, **claims)
            app_check = {"X-Firebase-AppCheck": livetoken.app_check.token()}
            answer = livetoken.ask({"profile": profile}, token=token, headers=app_check)
            assert answer.status == (403 if rule else 200)
            assert livetoken.logged(count).get("rule") == rule


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if not re.match(r"[a-z]+://", link):
            yield link, (page.parent / path if path else page), anchor


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link, target, anchor in links(page):
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_test_that_the_docs_name_exists() -> None:
    files = list((ROOT / "tests").rglob("test_*.py"))
    written = "".join(file.read_text(encoding="utf-8") for file in files)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`(?:test_\w+\.py::)?(test_\w+)`", text):
            assert f"def {name}(" in written, name
        for name in re.findall(r"\b(test_\w+\.py)\b", text):
            assert name in {file.name for file in files}, name


def test_the_changelog_and_the_readme_name_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (latest, *_) = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", changelog, re.MULTILINE)
    assert latest == version
    assert f"Version {version}" in (ROOT / "README.md").read_text(encoding="utf-8")
