"""Whatever a policy holds, it compiles or has mistakes: each on a line, and none twice."""

import copy
import datetime
import random
import tomllib
from typing import Any

import pytest
from policies import policy
from stack import SHIPPED
from test_natural_mistakes import CASES, whole

from livetoken.cli import advice, check
from livetoken.compile import defaults, policy_file
from livetoken.compile.body import compile_document
from livetoken.mistakes import Mistakes

ROUNDS = 400
ODD: tuple[Any, ...] = (
    *(1, -1, 1.5, 10**30, float("nan"), float("inf"), True, False, datetime.date(2026, 1, 1)),
    *("", " ", "x", "é\n", "AUDIO", "object", "5m", "1/day"),
    *([], {}, [[]], [{}], ["AUDIO"], ["a", "a"], {"a": 1}, {"type": "object"}, {"not": ["x"]}),
)
KEYS = (
    *("model", "config", "require", "limit", "claims", "profiles", "defaults", "callers", "uses"),
    *("tools", "function_declarations", "name", "parameters", "parameters_json_schema", "anyOf"),
    *("type", "properties", "required", "items", "enum", "$defs", "speech_config", "voice"),
    *("choices", "path", "values", "default", "temperature", "labels", "safety_identifier"),
    *("thinking_config", "system_instruction", "firebase", "hd", "email", "not", "a.b"),
)

CHOICES = policy(
    callers="safety_identifier = true",
    profile="""
choices.heat = { path = "temperature", values = [0.5, 1], default = 1 }
choices.mode = { path = "input_audio_transcription.diarization", values = [true], default = true }
""",
)
SOUND = [tomllib.loads(text) for text in (SHIPPED.read_text(encoding="utf-8"), CHOICES)]


def documents() -> list[dict[str, Any]]:
    """Every natural mistake that is TOML."""
    found = []
    for case in CASES["mistake"]:
        try:
            found.append(tomllib.loads(whole(case)))
        except ValueError:
            continue
    return found


def containers(value: Any) -> list[Any]:
    """A value and everything in it, if it is a table or a list."""
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(each for item in inner for each in containers(item))]


def changed(document: dict[str, Any], chance: random.Random, others: list[Any]) -> dict[str, Any]:
    """A document with up to four odd changes."""
    made = copy.deepcopy(document)
    for _ in range(chance.randint(1, 4)):
        at = chance.choice(containers(made))
        pasted = chance.random() < 0.3
        value = copy.deepcopy(chance.choice(containers(chance.choice(others)) if pasted else ODD))
        if isinstance(at, dict):
            key = chance.choice(list(at) if at and chance.random() < 0.6 else KEYS)
            at[key] = value
        else:
            at.append(value)
    return made


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
)
def test_an_odd_policy_compiles_or_has_mistakes(seed: int) -> None:
    chance, known = random.Random(seed), documents()
    outcomes = set()
    for _ in range(ROUNDS):
        document = changed(chance.choice(chance.choice((known, SOUND))), chance, known)
        try:
            policy = compile_document(document)
        except Mistakes as error:
            lines = [str(each) for each in error.mistakes]
            assert lines, document
            assert len(lines) == len(set(lines)), document
            assert not any("\n" in line for line in lines), document
            outcomes.add("mistakes")
        else:
            configs = policy_file.configs_in(defaults.merged(document))
            assert check.describe(policy, configs)["profiles"]
            warnings = advice.of(policy, document)
            assert len(warnings) == len(set(warnings)), document
            outcomes.add("compiled")
    assert outcomes == {"mistakes", "compiled"}
