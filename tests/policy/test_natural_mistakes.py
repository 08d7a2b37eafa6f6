"""Mistakes that people make in a policy, as data, each with the answer that they should get."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from policies import CONFIG, HEAD, PROFILE, SMALLEST

from livetoken.cli import advice
from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes

CASES = tomllib.loads(Path(__file__).with_name("natural_mistakes.toml").read_text("utf-8"))
LEAST = 225


def whole(case: Mapping[str, Any]) -> str:
    """The policy of a case."""
    if "policy" in case:
        return str(case["policy"])
    callers = f"[callers]\n{case['callers']}\n" if "callers" in case else ""
    profile = PROFILE.replace("gemini-3.8-live", case.get("model", "gemini-3.8-live"))
    return "\n".join(
        (
            HEAD + callers + case.get("defaults", ""),
            profile + case.get("profile", ""),
            CONFIG + case.get("config", ""),
            case.get("rest", ""),
        )
    )


def told(source: str) -> list[str]:
    """What `check` says of a policy: its mistakes, or its warnings."""
    try:
        policy = compile_policy(source.encode())
    except Mistakes as error:
        return [str(each) for each in error.mistakes]
    found = advice.of(policy, tomllib.loads(source))
    return [f"{each.code} {each.path}" for each in found]


@pytest.mark.parametrize("case", CASES["mistake"], ids=lambda case: case["title"])
def test_a_natural_mistake_is_told(case: Mapping[str, Any]) -> None:
    usual = told(SMALLEST)
    assert [line for line in told(whole(case)) if line not in usual] == case["says"]


def test_no_natural_mistake_passes_in_silence() -> None:
    assert len(CASES["mistake"]) >= LEAST
    assert all(case["says"] for case in CASES["mistake"])
