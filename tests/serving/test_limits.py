"""How often: in this process's memory and in a real Redis, at once, and when Redis fails."""

import http.client
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from redis_server import PASSWORD, RedisServer
from stack import Answer, Stack, stack, until

from emulator.gemini import Gemini
from emulator.tls import Certificate
from livetoken import limits
from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes
from livetoken.refusals import Reason
from livetoken.settings import Settings

AT_ONCE = 200  # requests
NUMBERS = count()
PROFILES = {
    "default": "3/hour",
    "other": "3/hour",
    "soon": "2/2 seconds",
    "both": "2/2 seconds; 3/hour",
    "one": "1/3 seconds",
    "crowd": "20/hour",
    "free": "",
    "paid": "1/hour",
    "day": "2/hour; 10/day",
    "long": "30/hour; 2/20 seconds",
}
POLICY = 'api_version = "v1alpha"\n' + "".join(
    f"""
[profiles.{name}]
model = "gemini-3.8-live"
{f'limit = "{limit}"' if limit else ""}
{'require = { plan = ["pro"] }' if name == "paid" else ""}
[profiles.{name}.config]
response_modalities = ["AUDIO"]
"""
    for name, limit in PROFILES.items()
)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def functions(certificate: Certificate, redis: RedisServer) -> Iterator[dict[str, Stack]]:
    """A function for each storage, and a second one that counts in Redis."""
    with (
        stack(certificate) as unstarted,
        unstarted.running(POLICY) as memory,
        unstarted.running(POLICY, LIMITS_STORAGE=redis.uri) as first,
        unstarted.running(POLICY, LIMITS_STORAGE=redis.uri) as second,
    ):
        yield {"memory": memory, "redis": first, "second": second}


@pytest.fixture
def limited(functions: dict[str, Stack]) -> Iterator["Limited"]:
    """Somebody who has asked for nothing yet, at the function that counts in Redis."""
    yield from somebody(functions, "redis")


@pytest.fixture(params=["memory", "redis"])
def counted(request: pytest.FixtureRequest, functions: dict[str, Stack]) -> Iterator["Limited"]:
    """Somebody who has asked for nothing yet, at either function."""
    yield from somebody(functions, request.param)


def somebody(functions: dict[str, Stack], storage: str) -> Iterator["Limited"]:
    started = functions[storage]
    gemini = started.gemini
    gemini.mints.clear()
    gemini.most_at_once = 0
    yield Limited(started, f"ada-{next(NUMBERS)}", len(started.log()))
    gemini.minted()
    gemini.behaviour.fault = None
    gemini.behaviour.faults.clear()
    gemini.behaviour.delay = 0


@dataclass(frozen=True)
class Limited:
    """Somebody who asks one function, whose log had some lines before."""

    function: Stack
    sub: str
    lines: int

    @property
    def gemini(self) -> Gemini:
        return self.function.gemini

    def token(self, person: str = "ada", **claims: Any) -> str:
        return self.function.issuer.id_token(person, **{"sub": self.sub, **claims})

    def ask(self, profile: str = "default", token: str | None = None, **body: Any) -> Answer:
        return self.function.ask({"profile": profile, **body}, token=token or self.token())

    def statuses(self, profile: str, count: int) -> list[int]:
        return [self.ask(profile).status for _ in range(count)]

    def logged(self, number: int) -> dict[str, Any]:
        """The line of the `number`th decision since."""
        return self.function.logged(self.lines + number)

    def at_once(
        self, profile: str, count: int = AT_ONCE, *more: Stack, apart: float = 0
    ) -> list[Answer]:
        """The answers to requests sent together, or some seconds apart without waiting for answers.

        Args:
            more: functions that are asked in turn with this one.
        """
        token, ready = self.token(), threading.Barrier(count, timeout=60)
        asked = (self.function, *more)

        def ask(number: int) -> Answer:
            ready.wait()
            time.sleep(number * apart)
            return asked[number % len(asked)].ask({"profile": profile}, token=token)

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(ask, range(count)))


class Cutter:
    """Forwards connections to a server; breaks one off once it has carried some bytes there."""

    def __init__(self, port: int) -> None:
        self.cuts_after: bytes | None = None
        self._generation = 0
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def uri(self, redis: RedisServer) -> str:
        """The storage URI of a server by this way."""
        return redis.uri.replace(str(redis.port), str(self._listener.getsockname()[1]))

    def swallow(self) -> None:
        """Carry nothing more on the connections that there are, and leave them open."""
        self._generation += 1

    def __enter__(self) -> "Cutter":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket) -> None:
        generation = self._generation
        with suppress(OSError), source, to:
            while data := source.recv(65_536):
                if generation != self._generation:
                    continue
                cuts = self.cuts_after is not None and self.cuts_after in data
                if cuts:
                    self.cuts_after = None
                    source.shutdown(socket.SHUT_RDWR)
                to.sendall(data)
                if cuts:
                    time.sleep(0.05)  # the server runs it
                    return


@pytest.fixture
def cutter(redis: RedisServer) -> Iterator[Cutter]:
    with Cutter(redis.port) as made:
        yield made


@pytest.fixture
def behind(alone: Stack, redis: RedisServer, cutter: Cutter) -> Iterator[Limited]:
    """Somebody at a function that reaches Redis by way of the cutter."""
    with alone.running(POLICY, LIMITS_STORAGE=cutter.uri(redis)) as started:
        somebody = Limited(started, f"ada-{next(NUMBERS)}", 0)
        until(lambda: somebody.ask("long").status == 200)  # connected
        started.gemini.mints.clear()
        yield somebody


# ------------------------------------------------------------------ in either storage


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


def test_another_token_of_the_same_person_changes_nothing(counted: Limited) -> None:
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
    """Who is over the short limit is told its end, and the long one has room for all others."""
    counted.gemini.behaviour.delay = 0.5
    answers = counted.at_once("long", 60)
    assert Counter(answer.status for answer in answers) == {200: 2, 429: 58}
    waits = [int(answer.headers["retry-after"]) for answer in answers if answer.status == 429]
    assert max(waits) <= 20


def test_the_turn_of_a_window_lets_nobody_slip_through(counted: Limited) -> None:
    """Many ask at the very moment that Retry-After told them."""
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
def test_a_mint_that_failed_gives_its_use_back(counted: Limited, fault: int | str) -> None:
    counted.gemini.behaviour.fault = fault
    for number in range(5):
        counted.ask("both")
        assert counted.logged(number + 1)["reason"].startswith("GEMINI_")
    counted.gemini.behaviour.fault = None
    assert counted.statuses("both", 3) == [200, 200, 429]


def test_a_gemini_that_is_not_there_gives_uses_back(alone: Stack) -> None:
    with alone.running(POLICY, GOOGLE_GEMINI_BASE_URL="http://127.0.0.1:9") as livetoken:
        for _ in range(5):
            assert livetoken.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)


@pytest.mark.parametrize("fault", ["reset", "truncated", "empty", "html", "huge"])
def test_a_mint_in_doubt_has_used_its_use(counted: Limited, fault: str) -> None:
    counted.gemini.behaviour.fault = fault
    assert counted.ask("paid").is_refusal(Reason.GEMINI_UNAVAILABLE)
    counted.gemini.behaviour.fault = None
    assert counted.ask("paid").is_refusal(Reason.LIMIT_REACHED)


def test_a_mint_without_an_answer_has_used_its_use(counted: Limited) -> None:
    counted.gemini.behaviour.fault = "hang"
    assert counted.ask("paid").is_refusal(Reason.GEMINI_TIMEOUT)
    counted.gemini.behaviour.fault = None
    assert counted.ask("paid").is_refusal(Reason.LIMIT_REACHED)


def test_a_second_try_that_failed_leaves_the_first_in_doubt(counted: Limited) -> None:
    counted.gemini.behaviour.faults.extend(["reset", 503])
    assert counted.ask("paid").is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert counted.ask("paid").is_refusal(Reason.LIMIT_REACHED)


def test_200_at_once_mint_exactly_the_allowed_number(counted: Limited) -> None:
    counted.gemini.behaviour.delay = 1.5
    answers = counted.at_once("crowd")
    assert Counter(answer.status for answer in answers) == {200: 20, 429: AT_ONCE - 20}
    assert len(counted.gemini.minted()) == counted.gemini.most_at_once == 20
    assert counted.ask("crowd").status == 429


def test_200_at_once_that_all_fail_leave_the_whole_limit(counted: Limited) -> None:
    counted.gemini.behaviour.delay = 0.5
    counted.gemini.behaviour.fault = 500
    counted.at_once("crowd")
    assert counted.gemini.most_at_once == 20
    counted.gemini.behaviour.delay = 0
    counted.gemini.behaviour.fault = None
    assert counted.statuses("crowd", 21) == [200] * 20 + [429]


# ------------------------------------------------------------------ in Redis


def test_two_functions_count_together(limited: Limited, functions: dict[str, Stack]) -> None:
    limited.gemini.behaviour.delay = 1.5
    before = len(functions["second"].log())
    answers = limited.at_once("crowd", AT_ONCE, functions["second"])
    assert Counter(answer.status for answer in answers) == {200: 20, 429: AT_ONCE - 20}
    assert len(limited.gemini.minted()) == limited.gemini.most_at_once == 20
    assert len(functions["second"].log()) - before == AT_ONCE / 2
    assert limited.ask("crowd").status == 429


def test_redis_is_told_no_name_and_forgets_everything(limited: Limited, redis: RedisServer) -> None:
    redis.ask("FLUSHALL")
    limited.gemini.behaviour.faults.append(500)
    limited.statuses("both", 4)
    found = redis.keys()
    keys = [key for key in found if not key.startswith("livetoken:warm")]
    assert len(keys) == 4  # for each limit a window and its counter
    for key in keys:
        assert limited.sub not in key
        assert 0 < int(redis.ask("TTL", key)) <= 3600 + limits.KEPT_AFTER
    for database in (0, 1):
        assert redis.ask("DBSIZE", database=database) == "0\n"


@pytest.mark.provokes(Reason.LIMITS_UNAVAILABLE)
def test_a_redis_that_dies_mints_nothing_and_comes_back(
    limited: Limited, redis: RedisServer
) -> None:
    assert limited.ask().status == 200
    redis.die()
    try:
        for number in range(3):
            assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
            assert limited.logged(number + 2)["detail"] == "CONNECTION"
        assert limited.ask("free").status == 200
    finally:
        redis.start()
    assert len(limited.gemini.minted()) == 2
    assert limited.statuses("default", 4) == [200, 200, 200, 429]


def test_a_redis_that_hangs_costs_a_second_and_mints_nothing(
    limited: Limited, redis: RedisServer
) -> None:
    assert limited.ask().status == 200
    redis.hang()
    try:
        for number in range(2):
            began = time.monotonic()
            assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
            assert 0.9 < time.monotonic() - began < 1.9
            assert limited.logged(number + 2)["detail"] == "NO_ANSWER"
    finally:
        redis.go_on()
    assert len(limited.gemini.minted()) == 1
    assert limited.statuses("other", 4) == [200, 200, 200, 429]


def test_a_hang_amid_a_crowd_never_mints_one_too_many(limited: Limited, redis: RedisServer) -> None:
    def hang() -> None:
        until(lambda: limited.gemini.mints)
        redis.hang()
        time.sleep(1.5)
        redis.go_on()

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


@pytest.mark.parametrize("hung", [1.5, 4.0])
def test_a_use_given_back_to_a_hanging_redis_is_none_in_the_next_window(
    limited: Limited, redis: RedisServer, hung: float
) -> None:
    """The server takes the command while it hangs, and runs it when the window may be over."""
    limited.gemini.behaviour.delay = 0.5
    limited.gemini.behaviour.fault = 500

    def hang() -> None:
        until(lambda: limited.gemini.mints)
        redis.hang()

    began = time.monotonic()
    threading.Thread(target=hang).start()
    assert limited.ask("one").is_refusal(Reason.GEMINI_UNAVAILABLE)
    time.sleep(max(0, began + hung - time.monotonic()))
    limited.gemini.behaviour.delay = 0
    limited.gemini.behaviour.fault = None
    redis.go_on()
    time.sleep(max(0.0, began + 4.5 - time.monotonic()))
    assert limited.statuses("one", 3) == [200, 429, 429]
    time.sleep(3.1)
    assert limited.statuses("one", 3) == [200, 429, 429]


def test_a_crowd_finds_a_new_redis_ready(alone: Stack, redis: RedisServer) -> None:
    redis.ask("SCRIPT", "FLUSH")
    before = redis.ask("CLIENT", "LIST").count("\n")
    with alone.running(POLICY, LIMITS_STORAGE=redis.uri) as livetoken:
        until(lambda: "livetoken:warm/" in redis.ask("KEYS", "*"))
        assert livetoken.ask({"profile": "free"}).status == 200  # all but Redis has been asked
        answers = Limited(livetoken, f"ada-{next(NUMBERS)}", 0).at_once("crowd", 30)
        assert Counter(answer.status for answer in answers) == {200: 20, 429: 10}
        assert redis.ask("CLIENT", "LIST").count("\n") - before <= limits.MAX_CONNECTIONS


def test_a_connection_that_redis_closed_is_made_anew(limited: Limited, redis: RedisServer) -> None:
    for _ in range(3):
        assert limited.ask().status == 200
        redis.ask("CLIENT", "KILL", "TYPE", "normal")
        time.sleep(0.1)


def test_a_connection_whose_other_end_is_gone_without_a_word_is_given_up(
    behind: Limited, cutter: Cutter
) -> None:
    assert behind.ask().status == 200
    cutter.swallow()
    assert behind.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
    assert behind.statuses("other", 4) == [200, 200, 200, 429]


def test_a_use_is_given_back_once_though_the_connection_breaks(
    behind: Limited, cutter: Cutter
) -> None:
    assert behind.statuses("default", 2) == [200, 200]
    behind.gemini.behaviour.faults.append(500)
    cutter.cuts_after = b"$2\r\n-1\r\n"
    assert behind.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert cutter.cuts_after is None
    assert behind.statuses("default", 3) == [200, 429, 429]


def test_a_use_is_given_back_where_another_limit_cannot_be_counted(
    behind: Limited, cutter: Cutter
) -> None:
    for _ in range(3):
        cutter.cuts_after = b"/day/86400"
        assert behind.ask("day").is_refusal(Reason.LIMITS_UNAVAILABLE)
    assert behind.statuses("day", 3) == [200, 200, 429]


def test_a_wrong_password_mints_nothing(alone: Stack, redis: RedisServer) -> None:
    uri = redis.uri.replace(PASSWORD, "wrong-password-98765")
    with alone.running(POLICY, LIMITS_STORAGE=uri) as livetoken:
        assert livetoken.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
        assert livetoken.ask({"profile": "free"}).status == 200
        assert "wrong-password" not in livetoken.function.output()
    assert len(alone.gemini.minted()) == 1


def test_no_password_is_in_the_log(limited: Limited, redis: RedisServer) -> None:
    limited.ask()
    redis.die()
    try:
        limited.ask()
    finally:
        redis.start()
    assert PASSWORD not in limited.function.function.output()
    assert "Traceback" not in limited.function.function.output()


# ------------------------------------------------------------------ at start


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("async+memory://", True),
        ("async+redis://127.0.0.1:6379", True),
        ("async+redis://:secret@redis.example:6380/2", True),
        ("async+rediss://redis.example:6380", False),
        ("async+redis://redis.example", False),
        ("async+redis://", False),
        ("async+redis://:secret@/0", False),
        ("async+redis://redis.example:6379?stream_timeout=60", False),
        ("memory://", False),
        ("redis://127.0.0.1", False),
        ("async+memcached://127.0.0.1", False),
        ("async+mongodb://127.0.0.1", False),
        ("async+redis://127.0.0.1:port", False),
        ("async+redis://127.0.0.1:99999", False),
        ("secret", False),
    ],
)
def test_a_storage_that_is_none_is_a_problem_where_a_policy_has_a_limit(
    uri: str, good: bool
) -> None:
    environment = {
        "GEMINI_API_KEY": "key",
        "FIREBASE_PROJECT_ID": "demo-project",
        "LIMITS_STORAGE": uri,
    }
    limited = compile_policy(POLICY.encode())
    if good:
        assert "secret" not in repr(Settings.read(environment, limited))
        return
    with pytest.raises(Mistakes) as found:
        Settings.read(environment, limited)
    (line,) = map(str, found.value.mistakes)
    assert line.startswith("LIMITS_STORAGE: ")
    assert "secret" not in line


@pytest.mark.parametrize("limited", [True, False])
def test_the_library_is_imported_only_where_a_policy_has_a_limit(
    alone: Stack, limited: bool
) -> None:
    text = POLICY if limited else re.sub("limit = .*", "", POLICY)
    with alone.running(text, PYTHONPROFILEIMPORTTIME="1") as livetoken:
        assert livetoken.ask().status == 200
        output = livetoken.function.output()
    assert bool(re.search(r"\|\s+limits\n", output)) is limited
    assert not re.search(r"\|\s+coredis", output)
