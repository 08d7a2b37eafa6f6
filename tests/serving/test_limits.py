"""Limits, in each storage: what counts, for how long, and for whom."""

import http.client
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from asking import imported
from limited import AT_ONCE, Counting, Limited

from livetoken.refusals import Reason


@pytest.mark.provokes(Reason.LIMIT_REACHED)
def test_what_is_over_the_limit_is_refused_and_costs_no_mint(counted: Limited) -> None:
    assert counted.statuses("default", 3) == [200] * 3
    answer = counted.ask()
    assert answer.is_refusal(Reason.LIMIT_REACHED)
    assert 3590 < int(answer.headers["retry-after"]) <= 3600
    assert len(counted.gemini.mints) == 3
    assert counted.logged(4)["rule"] == "profiles.default.limit"


def test_each_caller_and_each_profile_counts_for_itself(counted: Limited) -> None:
    assert counted.statuses("default", 4) == [200, 200, 200, 429]
    assert counted.statuses("other", 4) == [200, 200, 200, 429]
    assert counted.ask(token=counted.token(sub=f"{counted.sub}-2")).status == 200
    assert counted.ask(token=counted.token("grace")).status == 200  # the other issuer's
    assert counted.statuses("free", 5) == [200] * 5


def test_other_tokens_of_one_person_count_together(counted: Limited) -> None:
    for _ in range(3):
        assert counted.ask(token=counted.token(name="A.")).status == 200
    answer = counted.ask(token=counted.token(email="new@example.com"))
    assert answer.status == 429


def test_after_retry_after_there_is_room_again(counted: Limited) -> None:
    for _ in range(2):
        assert counted.statuses("soon", 2) == [200, 200]
        answer = counted.ask("soon")
        assert answer.is_refusal(Reason.LIMIT_REACHED)
        assert 1 <= int(answer.headers["retry-after"]) <= 2
        time.sleep(int(answer.headers["retry-after"]))


def test_of_two_limits_each_holds_and_a_refusal_counts_in_neither(counted: Limited) -> None:
    assert counted.statuses("both", 6) == [200, 200, 429, 429, 429, 429]
    time.sleep(2.1)
    assert counted.statuses("both", 1) == [200]
    answer = counted.ask("both")
    assert int(answer.headers["retry-after"]) > 3500
    assert len(counted.gemini.minted()) == 3


def test_a_crowd_that_one_limit_refuses_takes_no_room_of_the_other(counted: Limited) -> None:
    """Callers over the short limit get the end of its window, and use up none of the long one."""
    counted.gemini.behaviour.delay = 0.5
    answers = counted.at_once("long", 60)
    assert Counter(answer.status for answer in answers) == {200: 2, 429: 58}
    waits = [int(answer.headers["retry-after"]) for answer in answers if answer.status == 429]
    assert max(waits) <= 20


def test_at_the_turn_of_a_window_no_request_slips_through(counted: Limited) -> None:
    """Many requests arrive at the moment that Retry-After named."""
    body, head = b'{"profile": "one"}', {"Content-Type": "application/json"}
    head["Authorization"] = f"Bearer {counted.token()}"
    assert counted.ask("one").status == 200
    turn = time.monotonic() + 3

    def hammer(_: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", counted.function.function.port)
        minted = 0
        with closing(connection):
            while time.monotonic() < turn + 0.5:
                connection.request("POST", "/", body, head)
                answer = connection.getresponse()
                minted += answer.status == 200
                answer.read()
        return minted

    time.sleep(2.3)
    with ThreadPoolExecutor(60) as pool:
        assert sum(pool.map(hammer, range(60))) == 1


def test_a_refused_request_counts_in_no_limit(counted: Limited) -> None:
    unpaid = counted.token("bob")
    assert counted.ask("paid", unpaid).is_refusal(Reason.NOT_ALLOWED)
    assert counted.ask("paid", resume="no resumption").is_refusal(Reason.INVALID_REQUEST)
    assert counted.statuses("paid", 2) == [200, 429]


@pytest.mark.parametrize("fault", [400, 403, 429, 500, 503, "redirect"])
def test_a_failed_mint_does_not_count(counted: Limited, fault: int | str) -> None:
    counted.gemini.behaviour.fault = fault
    for number in range(5):
        counted.ask("both")
        assert counted.logged(number + 1)["reason"].startswith("GEMINI_")
    counted.gemini.behaviour.fault = None
    assert counted.statuses("both", 3) == [200, 200, 429]


@pytest.mark.parametrize("fault", ["reset", "truncated", "empty", "html", "huge"])
def test_a_mint_whose_result_is_unknown_counts(counted: Limited, fault: str) -> None:
    counted.gemini.behaviour.fault = fault
    assert counted.ask("paid").is_refusal(Reason.GEMINI_UNAVAILABLE)
    counted.gemini.behaviour.fault = None
    assert counted.ask("paid").is_refusal(Reason.LIMIT_REACHED)


@pytest.mark.slow
def test_a_mint_without_an_answer_counts(counted: Limited) -> None:
    counted.gemini.behaviour.fault = "hang"
    assert counted.ask("paid").is_refusal(Reason.GEMINI_TIMEOUT)
    counted.gemini.behaviour.fault = None
    assert counted.ask("paid").is_refusal(Reason.LIMIT_REACHED)


def test_after_a_retry_the_first_try_may_still_count(counted: Limited) -> None:
    counted.gemini.behaviour.faults.extend(["reset", 503])
    assert counted.ask("paid").is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert counted.ask("paid").is_refusal(Reason.LIMIT_REACHED)


def test_200_at_once_mint_exactly_the_allowed_number(counted: Limited) -> None:
    counted.gemini.behaviour.delay = 1.5
    answers = counted.at_once("crowd")
    assert Counter(answer.status for answer in answers) == {200: 20, 429: AT_ONCE - 20}
    assert len(counted.gemini.minted()) == counted.gemini.most_at_once == 20
    assert counted.ask("crowd").status == 429


def test_200_at_once_that_all_fail_do_not_count(counted: Limited) -> None:
    counted.gemini.behaviour.delay = 0.5
    counted.gemini.behaviour.fault = 500
    counted.at_once("crowd")
    assert counted.gemini.most_at_once == 20
    counted.gemini.behaviour.delay = 0
    counted.gemini.behaviour.fault = None
    assert counted.statuses("crowd", 21) == [200] * 20 + [429]


@pytest.mark.parametrize("storage", ["memory", "redis"])
def test_the_start_says_if_each_instance_counts_alone(counting: Counting, storage: str) -> None:
    said = (
        "counted in memory, for this instance alone" in counting.function(storage).function.output()
    )
    assert said == (storage == "memory")


def test_limits_in_memory_import_no_other_storage(counting: Counting) -> None:
    assert counting.function("memory").ask().status == 200
    modules = imported(counting.function("memory"))
    assert "livetoken.limits.memory" in modules
    assert not modules & {"redis", "livetoken.limits.firestore", "google.auth.transport.requests"}
