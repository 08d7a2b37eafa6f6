"""Budgets and sessions at once, in each storage."""

import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from limited import Limited
from stack import Answer

from livetoken.refusals import Reason


def lasts(answer: Answer) -> float:
    """Seconds that a token lasts from now on."""
    assert answer.status == 200
    ends = datetime.fromisoformat(answer.json["expireTime"])
    return (ends - datetime.now(UTC)).total_seconds()


@pytest.mark.provokes(Reason.BUDGET_REACHED)
def test_a_token_is_never_longer_than_what_is_left(counted: Limited) -> None:
    first, second, third = (counted.ask("minutes") for _ in range(3))
    assert 290 < lasts(first) <= 300
    assert first.json["budgetSecondsLeft"] == 180
    assert 170 < lasts(second) <= 180
    assert second.json["budgetSecondsLeft"] == 0
    assert third.is_refusal(Reason.BUDGET_REACHED)
    assert 3590 < int(third.headers["retry-after"]) <= 3600
    assert len(counted.gemini.mints) == 2
    assert counted.logged(1) | {"seconds": 300, "budget_seconds_left": 180} == counted.logged(1)
    assert counted.logged(3)["rule"] == "profiles.minutes.budget"


def test_without_a_budget_the_answer_does_not_name_one(counted: Limited) -> None:
    assert "budgetSecondsLeft" not in counted.ask().json


def test_a_resume_is_charged_for_the_time_after_its_session(counted: Limited) -> None:
    began = time.monotonic()
    assert counted.ask("minutes").json["budgetSecondsLeft"] == 180
    time.sleep(1)
    left = counted.ask("minutes", resume="h").json["budgetSecondsLeft"]
    took = time.monotonic() - began
    assert 180 - took - 1 < left <= 179
    assert counted.logged(2)["resumed"] is True
    assert 1 <= counted.logged(2)["seconds"] < took + 1
    third = counted.ask("minutes", resume="h")  # its session has two usable tokens
    assert third.json["budgetSecondsLeft"] == 0
    assert 170 < lasts(third) <= 180


def test_another_caller_has_a_budget_of_their_own(counted: Limited) -> None:
    for sub in ("one", "two"):
        token = counted.token(sub=f"{counted.sub}-{sub}")
        assert counted.ask("minutes", token).json["budgetSecondsLeft"] == 180


def test_what_lasts_into_the_next_window_is_charged_there(counted: Limited) -> None:
    """Without that, the third token would be as long as the others."""
    assert counted.ask("split").json["budgetSecondsLeft"] == 1
    time.sleep(4.05)
    assert counted.ask("split").status == 200  # it lasts over the end of the window
    time.sleep(1)
    third = counted.ask("split")
    assert lasts(third) <= 2
    assert third.json["budgetSecondsLeft"] == 0
    answer = counted.ask("split")
    assert answer.is_refusal(Reason.BUDGET_REACHED)
    assert int(answer.headers["retry-after"]) <= 5


@pytest.mark.parametrize("fault", [400, 429, 500])
def test_a_failed_mint_costs_no_time_and_no_session(counted: Limited, fault: int) -> None:
    counted.gemini.behaviour.fault = fault
    for _ in range(3):
        assert counted.ask("minutes").status != 200
        assert counted.ask("single").status in (fault, 500, 503)
    counted.gemini.behaviour.fault = None
    assert counted.ask("minutes").json["budgetSecondsLeft"] == 180
    assert counted.ask("single").status == 200


def test_a_mint_whose_result_is_unknown_costs_its_time(counted: Limited) -> None:
    counted.gemini.behaviour.fault = "truncated"
    assert counted.ask("minutes").is_refusal(Reason.GEMINI_UNAVAILABLE)
    counted.gemini.behaviour.fault = None
    assert counted.ask("minutes").json["budgetSecondsLeft"] == 0


@pytest.mark.provokes(Reason.AT_ONCE_REACHED)
def test_a_session_counts_until_its_token_ends(counted: Limited) -> None:
    assert counted.ask("single").status == 200
    answer = counted.ask("single")
    assert answer.is_refusal(Reason.AT_ONCE_REACHED)
    assert counted.logged(2)["rule"] == "profiles.single.at_once"
    time.sleep(int(answer.headers["retry-after"]))
    assert counted.ask("single").status == 200


def test_a_session_has_three_usable_tokens_at_most(counted: Limited) -> None:
    assert counted.ask("pair").status == 200
    assert [counted.ask("pair", resume="h").status for _ in range(2)] == [200, 200]
    assert counted.ask("pair", resume="h").status == 200  # begins the second session
    assert [counted.ask("pair", resume="h").status for _ in range(2)] == [200, 200]
    assert counted.ask("pair", resume="h").is_refusal(Reason.AT_ONCE_REACHED)


def test_200_at_once_get_exactly_the_budget(counted: Limited) -> None:
    answers = counted.at_once("minutes")
    assert Counter(answer.status for answer in answers) == {200: 2, 429: 198}
    left = [answer.json["budgetSecondsLeft"] for answer in answers if answer.status == 200]
    assert sorted(left) == [0, 180]
