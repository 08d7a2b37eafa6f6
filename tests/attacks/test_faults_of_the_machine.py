"""A wrong clock, a log that takes nothing, no descriptors left, no CPU, and a killed worker."""

import json
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import pytest
from clocks import Clocks
from faults import LIMITED, descriptors, faulty, within, worker
from stack import POLICY, Stack, until

from emulator.function import Function
from livetoken import decisions, gemini
from livetoken.refusals import Reason

HOUR = 3600
LATE = 1.5  # seconds over a deadline on a busy machine


# ------------------------------------------------------------------ the clock


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Clocks:
    return Clocks(tmp_path_factory.mktemp("clocks"))


@pytest.mark.parametrize(
    ("ahead", "reason"), [(HOUR, Reason.ID_TOKEN_EXPIRED), (-HOUR, Reason.INVALID_ID_TOKEN)]
)
def test_with_a_wrong_clock_nobody_gets_a_token_until_it_is_right_again(
    alone: Stack, clocks: Clocks, ahead: int, reason: Reason
) -> None:
    """The keys, which age by the monotonic clock, are not fetched again."""
    with faulty(alone, **clocks.variables) as livetoken:
        token = alone.issuer.id_token("ada", exp=int(time.time()) + HOUR // 2)
        assert livetoken.ask(token=token).status == 200
        fetches = alone.issuer.fetches
        with clocks.wall_ahead(ahead):
            assert livetoken.ask(token=token).is_refusal(reason)
        assert len(alone.gemini.mints) == 1
        assert livetoken.ask(token=token).status == 200
        assert alone.issuer.fetches == fetches


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_clock_that_jumps_amid_a_mint_moves_no_deadline(
    alone: Stack, clocks: Clocks, ahead: int
) -> None:
    """The second try has what is left of the six seconds, by the monotonic clock."""
    with faulty(alone, **clocks.variables) as livetoken, ThreadPoolExecutor(1) as caller:
        alone.gemini.behaviour.delay = 0.5
        alone.gemini.behaviour.faults.append(503)
        answer = caller.submit(livetoken.ask)
        until(lambda: alone.gemini.mints)
        with clocks.wall_ahead(ahead):
            assert answer.result().status == 200
        line = livetoken.logged(1)
        assert 1000 < line["gemini_ms"] <= line["latency_ms"] < gemini.DEADLINE * 1000


def test_a_clock_that_jumps_back_opens_no_new_window(alone: Stack, clocks: Clocks) -> None:
    with faulty(alone, **clocks.variables) as livetoken:
        early = int(time.time()) - HOUR
        token = alone.issuer.id_token("ada", iat=early, auth_time=early)
        assert [livetoken.ask(token=token).status for _ in range(3)] == [200] * 3
        with clocks.wall_ahead(-HOUR // 2):
            for _ in range(3):
                assert livetoken.ask(token=token).is_refusal(Reason.LIMIT_REACHED)


def test_a_certificate_that_has_expired_gets_no_key(alone: Stack, clocks: Clocks) -> None:
    """The clock is ahead from the start: the warm-up connects to Gemini before any request."""
    alone.issuer.clock = lambda: time.time() + 8 * 24 * HOUR
    with clocks.wall_ahead(8 * 24 * HOUR), faulty(alone, **clocks.variables) as livetoken:
        assert livetoken.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert not alone.gemini.mints


# ------------------------------------------------------------------ the log


class Pipe:
    """A function whose standard output and error are a pipe, like those of a container."""

    def __init__(self, unstarted: Stack, folder: Path, more: ExitStack) -> None:
        (folder / "policy.toml").write_text(POLICY)
        os.mkfifo(folder / "log")
        self._reader = os.open(folder / "log", os.O_RDONLY | os.O_NONBLOCK)
        self._read = b""
        self._open = True
        log = more.enter_context((folder / "log").open("wb"))
        variables = unstarted.environment(POLICY_FILE=str(folder / "policy.toml"))
        self.livetoken = replace(unstarted)
        self.livetoken.function = more.enter_context(Function(variables, log=log))
        self.livetoken.function.wait_until_up()
        more.callback(self.leave)

    def leave(self) -> None:
        """Close the reader's end."""
        if self._open:
            os.close(self._reader)
        self._open = False

    def lines(self) -> list[str]:
        """The decisions read so far; each line must be whole."""
        try:
            while data := os.read(self._reader, 65_536):
                self._read += data
        except BlockingIOError:
            pass
        messages = [json.loads(line)["message"] for line in self._read.splitlines()]
        return [message for message in messages if message in ("minted", "refused")]


@pytest.fixture
def pipe(alone: Stack, tmp_path: Path) -> Iterator[Pipe]:
    with ExitStack() as more:
        yield Pipe(alone, tmp_path, more)


def refused_at_once(livetoken: Stack, count: int) -> None:
    """Requests without a credential on one connection, each of which is a line in the log."""
    with closing(HTTPConnection("127.0.0.1", livetoken.function.port, timeout=5)) as connection:
        for _ in range(count):
            connection.request("POST", "/")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 401


def test_a_log_that_nobody_reads_stalls_nobody_and_loses_no_line(pipe: Pipe) -> None:
    """The pipe takes 64 KiB, some 700 lines. Afterwards the reader gets what waited."""
    refused_at_once(pipe.livetoken, 1500)
    assert pipe.livetoken.ask().status == 200
    until(lambda: len(pipe.lines()) == 1501)
    assert pipe.lines() == ["refused"] * 1500 + ["minted"]


def test_a_log_that_nobody_reads_takes_bounded_memory(pipe: Pipe) -> None:
    """The oldest lines that wait are lost, the newest are not."""
    refused_at_once(pipe.livetoken, decisions.MAX_WAITING + 2000)
    assert pipe.livetoken.ask().status == 200
    until(lambda: pipe.lines()[-1:] == ["minted"])
    assert decisions.MAX_WAITING < len(pipe.lines()) < decisions.MAX_WAITING + 2000


def test_a_log_whose_reader_left_fails_no_request(pipe: Pipe) -> None:
    assert pipe.livetoken.ask().status == 200
    pipe.leave()
    for _ in range(3):
        assert pipe.livetoken.ask().status == 200
        assert pipe.livetoken.ask(token=None).is_refusal(Reason.NO_CREDENTIAL)


def test_a_full_disk_loses_lines_and_no_request(alone: Stack) -> None:
    """No file can grow past the size of the log. Once there is room, lines are written again."""
    with faulty(alone) as livetoken:
        assert livetoken.ask().status == 200
        livetoken.logged(1)
        pid, free = worker(livetoken), resource.getrlimit(resource.RLIMIT_FSIZE)
        size = len(livetoken.function.output())
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, free[1]))
        assert [livetoken.ask().status for _ in range(3)] == [200, 200, 429]
        assert len(livetoken.log()) == 1
        resource.prlimit(pid, resource.RLIMIT_FSIZE, free)
        assert livetoken.ask().is_refusal(Reason.LIMIT_REACHED)
        assert livetoken.logged(2)["reason"] == "LIMIT_REACHED"
        assert worker(livetoken) == pid


# ------------------------------------------------------------------ file descriptors


@contextmanager
def few_descriptors(livetoken: Stack, spare: int) -> Iterator[None]:
    """Leave the worker some descriptors: the limit is on their numbers, so gaps would be more."""
    pid = worker(livetoken)
    numbers = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    lowest_free = next(number for number in count() if number not in numbers)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free + spare, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def idle_connections(livetoken: Stack) -> Iterator[None]:
    """Hundreds of connections, which send nothing."""
    with ExitStack() as idle:
        for _ in range(300):
            address = ("127.0.0.1", livetoken.function.port)
            idle.enter_context(closing(socket.create_connection(address, 5)))
        yield


def test_without_descriptors_the_next_caller_is_served_once_the_idle_ones_go(alone: Stack) -> None:
    with faulty(alone) as livetoken:
        assert livetoken.ask().status == 200
        pid, before = worker(livetoken), descriptors(livetoken)
        for _ in range(2):
            # The next connection is closed at once, and not left to wait.
            with (
                few_descriptors(livetoken, 40),
                idle_connections(livetoken),
                pytest.raises(ConnectionError),
            ):
                livetoken.ask()
            until(lambda: descriptors(livetoken) <= before)
            assert livetoken.ask().status == 200
        assert worker(livetoken) == pid


def test_without_a_descriptor_for_gemini_the_use_is_given_back(alone: Stack) -> None:
    with faulty(alone, LIMITED) as livetoken:
        livetoken.gemini.behaviour.delay = 5  # longer than the second request takes
        head = {"Authorization": f"Bearer {alone.issuer.id_token('ada')}"}
        open_before = HTTPConnection("127.0.0.1", livetoken.function.port, timeout=15)
        with closing(open_before), ThreadPoolExecutor(1) as caller:
            open_before.connect()
            until(lambda: alone.requests.ports)  # of the connection that the worker opens first
            first = caller.submit(livetoken.ask)  # takes it
            until(lambda: alone.gemini.mints)
            with few_descriptors(livetoken, 0):
                open_before.request("POST", "/", headers=head)
                answer = open_before.getresponse()
                reason = json.loads(answer.read())["error"]["details"]["reason"]
                assert (answer.status, reason) == (503, "GEMINI_UNAVAILABLE")
            assert first.result().status == 200
        alone.gemini.behaviour.delay = 0
        assert [livetoken.ask().status for _ in range(3)] == [200, 200, 429]


# ------------------------------------------------------------------ CPU and memory


@pytest.mark.parametrize(("fault", "statuses"), [(None, {200, 504}), ("hang", {504})])
def test_a_function_without_cpu_amid_a_mint_answers_once_it_has_some(
    alone: Stack, fault: str | None, statuses: set[int]
) -> None:
    """The deadline passes meanwhile, so an answer that has arrived may be lost. Its use counts."""
    once = LIMITED.replace("3/hour", "1/hour")
    with faulty(alone, once) as livetoken, ThreadPoolExecutor(1) as caller:
        alone.gemini.behaviour.delay, alone.gemini.behaviour.fault = 0.5, fault
        answer = caller.submit(livetoken.ask)
        until(lambda: alone.gemini.mints)
        os.killpg(livetoken.function.process.pid, signal.SIGSTOP)
        time.sleep(gemini.DEADLINE + 0.5)
        os.killpg(livetoken.function.process.pid, signal.SIGCONT)
        began = time.monotonic()
        assert answer.result().status in statuses
        assert time.monotonic() - began < LATE
        within(LATE, livetoken.ask, Reason.LIMIT_REACHED)


def test_a_worker_that_is_killed_is_replaced(alone: Stack) -> None:
    """As the kernel kills one that takes too much memory. Counts in memory go with it."""
    with faulty(alone) as livetoken:
        assert [livetoken.ask().status for _ in range(4)] == [200, 200, 200, 429]
        killed = worker(livetoken)
        os.kill(killed, signal.SIGKILL)
        until(lambda: worker(livetoken) != killed)
        assert livetoken.ask().status == 200
