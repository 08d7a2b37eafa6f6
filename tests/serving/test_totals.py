"""What all callers together may use, in each storage."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from asking import profile
from firestore_server import FirestoreServer
from policies import HEAD
from redis_server import RedisServer
from stack import Answer, Stack, stack

from emulator.tls import Certificate
from livetoken.refusals import Reason

PROFILES = {
    "few": 'total.limit = "5/hour"',
    "crowd": 'total.limit = "5/hour"',
    "short": 'total.budget = "10m/hour"\nexpires_in = "4m"\nleast = "3m"',
    "narrow": 'total.at_once = 5\nexpires_in = "6s"',
}
"""A profile for each test."""
POLICY = HEAD + "".join(
    profile(name, settings, "session_resumption = {}") for name, settings in PROFILES.items()
)
WHOLE = f"""{HEAD}
[total]
limit = "8/hour"
{profile("one", 'total.limit = "3/hour"')}
{profile("two")}
"""
CALLERS = count()
Storage = tuple[Stack, dict[str, str]]
"""A stack whose function has not started, and the variables of the storage."""


@pytest.fixture(
    scope="module", params=["memory", "redis", pytest.param("firestore", marks=pytest.mark.slow)]
)
def storage(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Storage]:
    with stack(certificate) as unstarted:
        variables = {}
        if request.param == "redis":
            redis: RedisServer = request.getfixturevalue("redis")
            variables = {"LIMITS_STORAGE": redis.uri}
        if request.param == "firestore":
            firestore: FirestoreServer = request.getfixturevalue("firestore")
            variables = firestore.variables(unstarted)
        yield unstarted, variables


@pytest.fixture(scope="module")
def livetoken(storage: Storage) -> Iterator[Stack]:
    unstarted, variables = storage
    with unstarted.running(POLICY, **variables) as started:
        yield started


def ask(livetoken: Stack, profile: str, sub: str = "", **body: str) -> Answer:
    """Ask as a new caller, or as the one that is named."""
    token = livetoken.issuer.id_token("ada", sub=sub or f"caller-{next(CALLERS)}")
    return livetoken.ask({"profile": profile, **body}, token=token)


def reached(livetoken: Stack, profile: str) -> tuple[str, int]:
    """Ask, and return the rule of the refusal and its Retry-After, in seconds."""
    lines = len(livetoken.log())
    answer = ask(livetoken, profile)
    assert answer.is_refusal(Reason.TOTAL_REACHED)
    return livetoken.logged(lines + 1)["rule"], int(answer.headers["retry-after"])


def alerts(livetoken: Stack) -> list[str]:
    """The alerts that were logged."""
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in livetoken.function.output().splitlines() if "80 %" in line
    ]
    assert all(line["severity"] == "WARNING" for line in lines)
    return [line["message"] for line in lines]


@pytest.mark.provokes(Reason.TOTAL_REACHED)
def test_a_profile_has_a_limit_for_all_together(livetoken: Stack) -> None:
    alert = "80 % of profiles.few.total.limit is used"
    assert [ask(livetoken, "few").status for _ in range(3)] == [200] * 3
    assert alert not in alerts(livetoken)
    assert [ask(livetoken, "few").status for _ in range(2)] == [200] * 2
    rule, wait = reached(livetoken, "few")
    assert rule == "profiles.few.total.limit"
    assert 3590 < wait <= 3600
    assert alerts(livetoken).count(alert) == 1


def test_a_profile_has_a_budget_for_all_together(livetoken: Stack) -> None:
    answers = [ask(livetoken, "short") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert "budgetSecondsLeft" not in answers[0].json
    assert reached(livetoken, "short")[0] == "profiles.short.total.budget"


def test_sessions_at_once_of_all_together_end(livetoken: Stack) -> None:
    assert [ask(livetoken, "narrow", "caller").status for _ in range(5)] == [200] * 5
    assert ask(livetoken, "narrow").is_refusal(Reason.TOTAL_REACHED)
    assert ask(livetoken, "narrow", "caller", resume="h").status == 200  # joins one of the five
    rule, wait = reached(livetoken, "narrow")
    assert rule == "profiles.narrow.total.at_once"
    assert 1 <= wait <= 6
    time.sleep(wait)
    assert ask(livetoken, "narrow").status == 200


def test_a_crowd_gets_no_more_than_the_total(livetoken: Stack) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(livetoken, "crowd"), range(60)))
    assert Counter(answer.status for answer in answers) == {200: 5, 503: 55}


def test_the_whole_policy_has_a_total_of_what_was_minted(storage: Storage) -> None:
    unstarted, variables = storage
    with unstarted.running(WHOLE, **variables) as livetoken:
        assert [ask(livetoken, "one").status for _ in range(3)] == [200] * 3
        for _ in range(9):
            assert reached(livetoken, "one")[0] == "profiles.one.total.limit"
        livetoken.gemini.behaviour.fault = 500
        for _ in range(9):
            assert ask(livetoken, "two").is_refusal(Reason.GEMINI_UNAVAILABLE)
        livetoken.gemini.behaviour.fault = None
        assert [ask(livetoken, "two").status for _ in range(5)] == [200] * 5
        assert reached(livetoken, "two")[0] == "total.limit"
        assert alerts(livetoken) == [
            f"80 % of {p} is used" for p in ("profiles.one.total.limit", "total.limit")
        ]
