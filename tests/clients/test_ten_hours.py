"""livetoken.js in virtual time: long conversations in which much goes wrong, at random from a seed.

`ten_hours.py` runs more of them; `judged.py` says what a conversation must keep.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import ten_hours
from simulated import MODELS

from livetoken.policy import Bounds, Limit

PATHS = {key: key for key in ("budget", "at_once")}
SLICES = Bounds((), (Limit(2 * 3600, 86_400),), 1, PATHS)


def converse(*given: Any, **named: Any) -> ten_hours.Result:
    """Converse in a thread of its own: in this one, Playwright's event loop may be running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ten_hours.converse, *given, **named).result()


@pytest.mark.parametrize(("seed", "model"), [*zip((1, 2, 3), MODELS, strict=True)])
def test_what_is_said_in_ten_hours_is_answered_or_said_to_be_lost(seed: int, model: str) -> None:
    result = converse(seed, model)
    print(result.summary())
    assert not result.failures, result.report()
    assert result.counts["said"] > 200
    assert result.counts["lost"] > 50
    assert result.counts["tokens"] > 100


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", [4, 5, 6])
def test_what_is_said_in_an_hour_is_answered_or_said_to_be_lost(seed: int, model: str) -> None:
    result = converse(seed, model, hours=1)
    assert not result.failures, result.report()


def test_ten_quiet_hours_lose_nothing_and_take_seven_tokens_an_hour() -> None:
    result = converse(7, MODELS[0], kind=True)
    print(result.summary())
    assert not result.failures, result.report()
    assert result.counts["lost"] == 0
    assert result.counts["tokens an hour"] == 1 + 7, "the first, and one for each connection's end"


@pytest.mark.parametrize(("expires_in", "tokens"), [(60, 75), (120, 38), (300, 15), (600, 8)])
def test_an_hour_in_slices_costs_an_hour_of_the_budget_and_loses_nothing(
    expires_in: int, tokens: int
) -> None:
    """The numbers of tokens are those of docs/policy.md."""
    result = converse(11, MODELS[0], hours=1, kind=True, expires_in=expires_in, bounds=SLICES)
    print(result.summary())
    assert not result.failures, result.report()
    assert result.counts["lost"] == 0
    assert result.counts["tokens"] == tokens
    assert 3600 <= result.counts["seconds"] <= 3600 + expires_in
    assert result.counts["refused"] == 0


@pytest.mark.parametrize("seed", [12, 13])
def test_an_hour_in_slices_on_a_bad_network_is_answered_or_said_to_be_lost(seed: int) -> None:
    """What Gemini has forgotten begins anew, as a second session until the first one's end."""
    bounds = replace(SLICES, at_once=2)
    result = converse(seed, MODELS[0], hours=1, expires_in=300, bounds=bounds)
    print(result.summary())
    assert not result.failures, result.report()


@pytest.mark.parametrize("model", MODELS)
def test_closing_while_a_token_is_asked_for_leaves_no_timer(model: str) -> None:
    result = converse(8, model, hours=0.2, calm=False)
    assert not result.failures, result.report()


def test_a_seed_gives_the_same_conversation_again() -> None:
    first, second = (converse(9, MODELS[0], hours=0.5) for _ in range(2))
    assert first.counts["said"] > 20
    assert first.hash == second.hash
    assert first.hash != converse(10, MODELS[0], hours=0.5).hash
