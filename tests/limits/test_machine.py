"""No sequence of requests, failures, restarts and clock steps gives more than the bounds.

Hypothesis drives the real function over HTTP. What callers can use is added up here in another way:
by what reaches Gemini. Time passes by a library that moves the clocks of the function and of Redis.
The stand-in for Firestore has a clock that can be set.

`test_rules` has the exact moments, which a process cannot meet.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from asking import profile
from clocks import Clocks
from firestore_server import StandInFirestore
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from policies import HEAD
from redis_server import RedisServer
from stack import Answer, Stack
from usable import HOUR, LATE, Token, is_within, possible, windows_of
from world import FirestoreClock, World

from emulator.behaviour import Fault

LIFE, LEAST = 300, 60  # seconds
TOKENS = 3  # usable ones of a session, at most


@dataclass(frozen=True)
class Bounded:
    """A profile. `total_` is for all callers; a budget is in seconds in an hour."""

    limit: int = 1000
    budget: int = 100_000
    at_once: int = 100
    total_budget: int = 100_000
    total_at_once: int = 100

    @property
    def settings(self) -> str:
        return (
            f'expires_in = "{LIFE}s"\nleast = "{LEAST}s"\n'
            f'limit = "{self.limit}/hour"\n'
            f'budget = "{self.budget}s/hour"\n'
            f"at_once = {self.at_once}\n"
            f'total.budget = "{self.total_budget}s/hour"\n'
            f"total.at_once = {self.total_at_once}\n"
        )


PROFILES = {
    "tokens": Bounded(limit=4),
    "minutes": Bounded(budget=700),
    "sessions": Bounded(at_once=2),
    "both": Bounded(budget=900, at_once=1),
    "totals": Bounded(total_budget=900, total_at_once=4),
    "all": Bounded(limit=5, budget=1000, at_once=2, total_budget=1500, total_at_once=3),
}
"""Each has a bound that the others do not hide."""
POLICY = (
    HEAD
    + '[total]\nlimit = "1000/hour"\n'
    + "".join(
        profile(name, each.settings, "session_resumption = {}") for name, each in PROFILES.items()
    )
)
CALLERS = ("ann", "bea", "cyd")
APART = 5
"""Seconds around the end of a window in which nothing is asked: here it is not known exactly."""
SURE, IN_DOUBT = (400, 429), ("noname", "empty")
"""Faults with which Gemini surely minted nothing, and those with which it may have."""
KILLS = HANGS = 1
"""Of the function and of its storage, in one sequence; each takes a second."""
OUTCOMES = {
    "minted",
    "clipped",
    "LIMIT_REACHED",
    "BUDGET_REACHED",
    "AT_ONCE_REACHED",
    "TOTAL_REACHED",
    "GEMINI_UNAVAILABLE",
}
"""What each storage must have answered in the end; the last is a mint in doubt."""
MOST_IN_DOUBT = 5
"""Requests that a storage may have counted. What must hold is tried for every subset of them."""
EXAMPLES, STEPS = 10, 40  # sequences for each profile, and what happens in one


class Spending(RuleBasedStateMachine):
    """Callers, and what they got."""

    world: World
    profile: str
    bounded: Bounded

    def __init__(self) -> None:
        super().__init__()
        self.world.step_wall(0)
        self.begin_anew()
        self.dishonest: set[str] = set()
        self.sessions = count()
        self.kills = self.hangs = 0

    def begin_anew(self) -> None:
        """Let everything be over."""
        self.world.let_pass(3 * HOUR)
        self.tokens: list[Token] = []

    # ------------------------------------------------------------------ what happens

    @rule(
        caller=st.sampled_from(CALLERS),
        fault=st.sampled_from([None, None, *SURE, *IN_DOUBT]),
    )
    def begin(self, caller: str, fault: Fault | None) -> None:
        self.ask(caller, next(self.sessions), fault=fault)

    @rule(
        caller=st.sampled_from(CALLERS),
        place=st.integers(0, 3),
        fault=st.sampled_from([None, None, None, *SURE, *IN_DOUBT]),
    )
    def resume(self, caller: str, place: int, fault: Fault | None) -> None:
        """Go on with a session of the caller, the first to end or another."""
        sessions = sorted({token.session for token in self.usable(caller)})
        if sessions:
            self.ask(caller, sessions[place % len(sessions)], resumes=True, fault=fault)

    @rule(caller=st.sampled_from(CALLERS), number=st.integers(1, 5))
    def resume_of_another(self, caller: str, number: int) -> None:
        """Begin sessions with requests that claim to resume."""
        self.dishonest.add(caller)
        for _ in range(number):
            self.ask(caller, next(self.sessions), resumes=True)

    @rule(caller=st.sampled_from(CALLERS), number=st.integers(2, 5))
    def begin_together(self, caller: str, number: int) -> None:
        self.keep_apart()
        with ThreadPoolExecutor(number) as pool:
            sent = [pool.submit(self.send, caller, next(self.sessions)) for _ in range(number)]
        for each in sent:
            each.result()

    @rule(seconds=st.sampled_from([7, 41, 113, 251, 263, 307, 613, 1511, 2909, 3607]))
    def let_pass(self, seconds: int) -> None:
        self.world.let_pass(seconds)

    @rule(caller=st.sampled_from(CALLERS), before=st.sampled_from([20, 100, 200]))
    def spend_at_a_border(self, caller: str, before: int) -> None:
        """Ask just before a window ends, for a token that lasts into the next, and after it."""
        mine = [token for token in self.tokens if token.caller == caller]
        ends = windows_of(mine, spill=False)
        if ends and ends[-1] - before > self.world.now():
            self.world.let_pass(int(ends[-1] - before - self.world.now()))
            self.ask(caller, next(self.sessions))
            for _ in range(3):
                self.world.let_pass(LIFE)
                self.ask(caller, next(self.sessions))

    @rule(drift=st.sampled_from([0, -45, 45]))
    def step_wall(self, drift: int) -> None:
        self.world.step_wall(drift)

    @precondition(lambda self: self.tokens and self.kills < KILLS)
    @rule()
    def kill_function(self) -> None:
        self.kills += 1
        self.world.kill()
        if self.world.server is None:
            self.tokens.clear()  # counts in memory end with their instance

    @precondition(lambda self: self.world.server and self.tokens)
    @rule()
    def kill_server(self) -> None:
        assert self.world.server is not None
        self.world.server.die()
        self.world.server.start()

    @precondition(lambda self: self.world.server and self.hangs < HANGS)
    @rule(caller=st.sampled_from(CALLERS))
    def hang_server(self, caller: str) -> None:
        assert self.world.server is not None
        self.hangs += 1
        self.keep_apart()
        self.world.server.hang()
        self.send(caller, next(self.sessions))
        self.world.server.go_on()

    # ------------------------------------------------------------------ what must hold

    @invariant()
    def all_is_within_the_bounds(self) -> None:
        for caller in CALLERS:
            mine = [token for token in self.tokens if token.caller == caller]
            honest = caller not in self.dishonest
            self.is_bounded(mine, self.bounded.budget, self.bounded.at_once, honest=honest)
            assert self.most_in_a_window(mine) <= self.bounded.limit
        budget, at_once = self.bounded.total_budget, self.bounded.total_at_once
        self.is_bounded(self.tokens, budget, at_once, honest=not self.dishonest)

    def is_bounded(self, tokens: list[Token], budget: int, at_once: int, *, honest: bool) -> None:
        usable = [each for each in tokens if each.is_minted and each.end > self.world.now()]
        assert len(usable) <= TOKENS * at_once
        assert not honest or len({each.session for each in usable}) <= at_once
        assert any(is_within(each, budget, 1 if honest else 2) for each in possible(tokens))

    def most_in_a_window(self, tokens: list[Token]) -> int:
        """The most tokens in a window of the limit, as it is most favourable to the function."""

        def most(tokens: Sequence[Token]) -> int:
            begins = [token.begin for token in tokens if token.is_minted]
            ends = windows_of(tokens, spill=False)
            return max(
                (sum(end - HOUR <= each < end for each in begins) for end in ends), default=0
            )

        return min(most(each) for each in possible(tokens))

    # ------------------------------------------------------------------ how it is seen

    def usable(self, caller: str) -> list[Token]:
        now = self.world.now()
        return [
            token
            for token in self.tokens
            if token.caller == caller and token.is_minted and token.end > now
        ]

    def keep_apart(self) -> None:
        """Let time pass until neither now nor the end of a new token is near a window's end."""
        if sum(not token.is_minted for token in self.tokens) > MOST_IN_DOUBT:
            self.begin_anew()
        callers = [[token for token in self.tokens if token.caller == each] for each in CALLERS]
        ends = [
            end
            for tokens in (*callers, self.tokens)
            for some in possible(tokens)
            for spill in (False, True)
            for end in windows_of(some, spill=spill)
        ]
        while any(abs(self.world.now() + each - end) < APART for end in ends for each in (0, LIFE)):
            self.world.let_pass(APART)

    def ask(
        self, caller: str, session: int, *, resumes: bool = False, fault: Fault | None = None
    ) -> None:
        """Ask for a token, with a fault of Gemini."""
        self.keep_apart()
        gemini, is_idle = self.world.function.gemini, not self.tokens
        gemini.behaviour.fault = fault
        answer = self.send(caller, session, resumes=resumes)
        gemini.behaviour.fault = None
        is_down = b"LIMITS_UNAVAILABLE" in answer.body  # after a kill or a hang
        assert not is_idle or fault or is_down or answer.status == 200
        if fault in IN_DOUBT and answer.json["error"]["details"]["reason"] == "GEMINI_UNAVAILABLE":
            end = self.world.end_of(gemini.mints[-1].body["expireTime"])
            self.tokens.append(Token(caller, session, self.world.now(), end))
        if fault:  # callers try again
            self.ask(caller, session if resumes else next(self.sessions), resumes=resumes)

    def send(self, caller: str, session: int, *, resumes: bool = False) -> Answer:
        """Send a request, and keep what it got."""
        function = self.world.function
        body = {"profile": self.profile} | ({"resume": "handle"} if resumes else {})
        answer = function.ask(body, token=function.issuer.id_token("ada", sub=caller))
        now = self.world.now()
        if answer.status == 200:
            end = self.world.end_of(answer.json["expireTime"])
            assert LEAST - LATE < end - now <= LIFE
            self.tokens.append(Token(caller, session, now, end))
            self.world.seen["minted" if end - now > LIFE - LATE else "clipped"] += 1
            return answer
        reason = answer.json["error"]["details"]["reason"]
        self.world.seen[reason] += 1
        if reason == "LIMITS_UNAVAILABLE":
            self.tokens.append(Token(caller, session, now, now + LIFE, is_minted=False))
        return answer


def drive(world: World) -> None:
    """Run the machine."""
    often = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # real time passes too, so a sequence cannot be made shorter
        suppress_health_check=list(HealthCheck),
    )
    for name, bounded in PROFILES.items():
        of = {"world": world, "profile": name, "bounded": bounded}
        run_state_machine_as_test(type("Machine", (Spending,), of), settings=often)
    assert world.seen.keys() >= OUTCOMES


@pytest.fixture
def clocks(tmp_path: Path) -> Callable[[str], Clocks]:
    def made(name: str) -> Clocks:
        folder = tmp_path / name
        folder.mkdir()
        return Clocks(folder)

    return made


@pytest.mark.slow
def test_in_memory(alone: Stack, clocks: Callable[[str], Clocks]) -> None:
    own = clocks("function")
    with closing(World(starts(alone, own), [own])) as world:
        drive(world)


@pytest.mark.slow
def test_in_redis(alone: Stack, clocks: Callable[[str], Clocks], tmp_path: Path) -> None:
    own, of_redis = clocks("function"), clocks("redis")
    with RedisServer(tmp_path, durable=True, variables=of_redis.variables) as redis:
        start = starts(alone, own, LIMITS_STORAGE=redis.uri)
        with closing(World(start, [own, of_redis], redis)) as world:
            drive(world)


@pytest.mark.slow
def test_in_firestore(alone: Stack, clocks: Callable[[str], Clocks]) -> None:
    own = clocks("function")
    with StandInFirestore() as server:
        start = starts(alone, own, **server.variables(alone))
        with closing(World(start, [own, FirestoreClock(server)], server)) as world:
            drive(world)


def starts(unstarted: Stack, clocks: Clocks, **variables: str) -> Callable[[ExitStack], Stack]:
    """How a function with these clocks is started."""
    variables = {
        "GOOGLE_GEMINI_BASE_URL": unstarted.gemini_plain_url,
        **clocks.variables,
        **variables,
    }
    return lambda running: running.enter_context(unstarted.running(POLICY, **variables))
