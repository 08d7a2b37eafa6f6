"""Storages that instances share count together, and nothing is minted while one of them fails.

What each storage does, the memory included, is in test_limits.py, test_budgets.py and
test_totals.py.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from firestore_server import FirestoreServer
from limited import AT_ONCE, POLICY, Limited, connect, new_caller
from redis_server import PASSWORD, RedisServer
from stack import Stack, stack, until

from emulator.tls import Certificate
from livetoken.refusals import Reason

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Shared:
    """Two functions that count in one server."""

    server: RedisServer | FirestoreServer
    first: Stack
    second: Stack


@pytest.fixture(scope="module", params=["redis", "firestore"])
def shared(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Shared]:
    server: RedisServer | FirestoreServer = request.getfixturevalue(request.param)
    with stack(certificate) as unstarted:
        if isinstance(server, RedisServer):
            variables = {"LIMITS_STORAGE": server.uri}
        else:
            variables = server.variables(unstarted)
        with (
            unstarted.running(POLICY, **variables) as first,
            unstarted.running(POLICY, **variables) as second,
        ):
            connect(first)
            connect(second)
            yield Shared(server, first, second)


@pytest.fixture
def limited(shared: Shared) -> Iterator[Limited]:
    """A caller of the first function who has not asked yet."""
    with new_caller(shared.first) as caller:
        yield caller


def test_two_functions_count_together(limited: Limited, shared: Shared) -> None:
    limited.gemini.behaviour.delay = 1.5
    before = len(shared.second.log())
    answers = limited.at_once("crowd", AT_ONCE, shared.second)
    assert Counter(answer.status for answer in answers) == {200: 20, 429: AT_ONCE - 20}
    assert len(limited.gemini.minted()) == limited.gemini.most_at_once == 20
    assert len(shared.second.log()) - before == AT_ONCE / 2
    assert limited.ask("crowd").status == 429


def test_a_session_is_renewed_by_another_function(limited: Limited, shared: Shared) -> None:
    with new_caller(shared.second) as other:
        assert limited.ask("pair").status == 200
        body, token = {"profile": "pair", "resume": "h"}, limited.token()
        statuses = [other.function.ask(body, token=token).status for _ in range(6)]
        assert statuses == [200] * 5 + [429]  # three tokens each of two sessions


@pytest.mark.provokes(Reason.LIMITS_UNAVAILABLE)
def test_a_storage_that_dies_mints_nothing_and_comes_back(limited: Limited, shared: Shared) -> None:
    assert limited.ask().status == 200
    shared.server.die()
    try:
        for number in range(3):
            assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
            assert limited.logged(number + 2)["detail"] == "CONNECTION"
        assert limited.ask("free").status == 200
    finally:
        shared.server.start()
    assert len(limited.gemini.minted()) == 2
    assert limited.statuses("other", 4) == [200, 200, 200, 429]
    for hidden in (PASSWORD, "Traceback"):
        assert hidden not in limited.function.function.output()


def test_a_storage_that_hangs_costs_a_second_and_mints_nothing(
    limited: Limited, shared: Shared
) -> None:
    assert limited.ask().status == 200
    shared.server.hang()
    try:
        for number in range(2):
            began = time.monotonic()
            assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
            assert 0.9 < time.monotonic() - began < 3
            assert limited.logged(number + 2)["detail"] == "NO_ANSWER"
    finally:
        shared.server.go_on()
    assert len(limited.gemini.minted()) == 1
    assert limited.statuses("other", 4) == [200, 200, 200, 429]


def test_a_hang_amid_a_crowd_never_mints_one_too_many(limited: Limited, shared: Shared) -> None:
    def hang() -> None:
        until(lambda: limited.gemini.mints)
        shared.server.hang()
        time.sleep(1.5)
        shared.server.go_on()

    limited.gemini.behaviour.delay = 0.2
    amid = threading.Thread(target=hang)
    amid.start()
    first = limited.at_once("crowd", 60, apart=0.02)
    amid.join()
    reasons = {answer.json["error"]["details"]["reason"] for answer in first if answer.status > 200}
    assert "LIMITS_UNAVAILABLE" in reasons
    assert reasons <= {"LIMIT_REACHED", "LIMITS_UNAVAILABLE"}
    until(lambda: limited.ask("other").status == 200)
    minted = [answer.status for answer in first].count(200)
    minted += limited.statuses("crowd", 30).count(200)
    assert minted <= 20


@pytest.mark.slow
@pytest.mark.parametrize("hung", [1.5, 4.0])
def test_what_is_given_back_late_does_not_reach_the_next_window(
    limited: Limited, shared: Shared, hung: float
) -> None:
    """A hanging server accepts the request, and does it when the window may be over."""
    limited.gemini.behaviour.delay = 0.5
    limited.gemini.behaviour.fault = 500

    def hang() -> None:
        until(lambda: limited.gemini.mints)
        shared.server.hang()

    began = time.monotonic()
    threading.Thread(target=hang).start()
    assert limited.ask("one").is_refusal(Reason.GEMINI_UNAVAILABLE)
    time.sleep(max(0, began + hung - time.monotonic()))
    limited.gemini.behaviour.delay = 0
    limited.gemini.behaviour.fault = None
    shared.server.go_on()
    time.sleep(max(0.0, began + 4.5 - time.monotonic()))
    assert limited.statuses("one", 3) == [200, 429, 429]
    time.sleep(3.1)
    assert limited.statuses("one", 3) == [200, 429, 429]
