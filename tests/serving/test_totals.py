"""What all callers together may use, in each storage."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from asking import profile
from firestore_server import FirestoreServer
from policies import HEAD
from redis_server import RedisServer
from stack import Answer, Stack

from livetoken.refusals import Reason

PROFILES = {
    "few": 'total.limit = "5/hour"',
    "short": 'total.budget = "10m/hour"\nexpires_in = "4m"\nleast = "3m"',
    "narrow": 'total.at_once = 5\nexpires_in = "6s"',
}
POLICY = HEAD + '[total]\nlimit = "200/hour"\n'
POLICY += "".join(
    profile(name, settings, "session_resumption = {}") for name, settings in PROFILES.items()
)
CALLERS = count()


@pytest.fixture(params=["memory", "redis", pytest.param("firestore", marks=pytest.mark.slow)])
def livetoken(request: pytest.FixtureRequest, alone: Stack) -> Iterator[Stack]:
    """A function of its own, for each storage."""
    variables = {}
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis")
        redis.ask("FLUSHALL")
        variables = {"LIMITS_STORAGE": redis.uri}
    if request.param == "firestore":
        firestore: FirestoreServer = request.getfixturevalue("firestore")
        firestore.empty()
        variables = firestore.variables(alone)
    with alone.running(POLICY, **variables) as started:
        yield started


@pytest.fixture
def ask(livetoken: Stack) -> Callable[..., Answer]:
    """Ask as a new caller."""

    def ask(profile: str, *, fresh: bool = True, **body: str) -> Answer:
        sub = f"caller-{next(CALLERS)}" if fresh else "caller"
        token = livetoken.issuer.id_token("ada", sub=sub)
        return livetoken.ask({"profile": profile, **body}, token=token)

    return ask


def alerts(livetoken: Stack) -> list[str]:
    """The paths of the totals of which alerts were logged."""
    lines = [
        json.loads(line) for line in livetoken.function.output().splitlines() if "80 %" in line
    ]
    assert all(line["severity"] == "WARNING" for line in lines)
    return [line["message"] for line in lines]


@pytest.mark.provokes(Reason.TOTAL_REACHED)
def test_a_profile_has_a_limit_for_all_together(
    livetoken: Stack, ask: Callable[..., Answer]
) -> None:
    assert [ask("few").status for _ in range(3)] == [200] * 3
    assert alerts(livetoken) == []
    assert [ask("few").status for _ in range(2)] == [200] * 2
    answer = ask("few")
    assert answer.is_refusal(Reason.TOTAL_REACHED)
    assert 3590 < int(answer.headers["retry-after"]) <= 3600
    assert livetoken.logged(6)["rule"] == "profiles.few.total.limit"
    assert alerts(livetoken) == ["80 % of profiles.few.total.limit is used"]
    assert ask("narrow").status == 200


def test_a_profile_has_a_budget_for_all_together(
    livetoken: Stack, ask: Callable[..., Answer]
) -> None:
    answers = [ask("short") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 503]
    assert answers[2].is_refusal(Reason.TOTAL_REACHED)
    assert "budgetSecondsLeft" not in answers[0].json
    assert livetoken.logged(3)["rule"] == "profiles.short.total.budget"


def test_sessions_at_once_of_all_together_end(livetoken: Stack, ask: Callable[..., Answer]) -> None:
    assert [ask("narrow", fresh=False).status for _ in range(5)] == [200] * 5
    assert ask("narrow").is_refusal(Reason.TOTAL_REACHED)
    assert ask("narrow", fresh=False, resume="h").status == 200  # joins one of the five
    wait = int(ask("narrow").headers["retry-after"])
    assert 1 <= wait <= 6
    time.sleep(wait)
    assert ask("narrow").status == 200


def test_the_whole_policy_has_a_total(livetoken: Stack, ask: Callable[..., Answer]) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask("few"), range(60)))
    assert Counter(answer.status for answer in answers) == {200: 5, 503: 55}
    livetoken.gemini.behaviour.fault = 500
    for _ in range(20):
        assert ask("short").is_refusal(Reason.GEMINI_UNAVAILABLE)
    livetoken.gemini.behaviour.fault = None
    assert [ask("short").status for _ in range(3)] == [200, 200, 503]
