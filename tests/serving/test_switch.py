"""The copy of the owner's switch: when it is read, how old it may be, and what counts as one.

With the stand-in of Cloud Storage, over HTTP, and a clock that the tests set.
"""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from asking import in_a_loop
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.server import Server
from emulator.storage import Storage
from livetoken import fetch, switch
from livetoken.caller import Caller
from livetoken.refusals import Detail, Reason, Refused
from livetoken.switch import Switch

BUCKET, NAME = "switches", "one/switch.json"
NOTHING: dict[str, Any] = {"stopped": False, "banned": []}
FAULTS = [
    *((fault, Detail.STATUS) for fault in (400, 401, 403, 429, 500, 503)),
    ("reset", Detail.CONNECTION),
    ("hang", Detail.NO_ANSWER),
]


class Owner:
    """A switch, its object, and a clock. It is also the account that reads the object."""

    def __init__(self, storage: Storage, url: str, *, keeps: bool = True) -> None:
        self.storage = storage
        self.seconds = 1000.0
        self.http = fetch.Http()
        self.reported: list[Detail] = []
        self.forgotten = 0
        storage.access_tokens.add("a-token")
        storage.fault = None
        self.set(NOTHING)
        self.switch = Switch(
            self.http,
            self,
            place=f"gs://{BUCKET}/{NAME}",
            base_url=url,
            keeps=keeps,
            report=self.reported.append,
            now=lambda: self.seconds,
        )

    async def headers(self) -> Mapping[str, str]:
        return {"authorization": "Bearer a-token"}

    def forget(self) -> None:
        self.forgotten += 1

    def set(self, content: Any) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.storage.write(BUCKET, NAME, raw)

    async def stopped(self) -> Detail | bool | None:
        """False, or why minting is stopped: None means that the owner stopped it."""
        try:
            await self.switch.check()
        except Refused as refusal:
            assert refusal.reason is Reason.STOPPED
            assert (refusal.retry_after or 0) > 0
            return refusal.detail
        return False

    def banned(self, sub: str) -> bool:
        try:
            self.switch.check_caller(Caller("https://issuer.example", sub, False, {}, None))
        except Refused as refusal:
            assert (refusal.reason, refusal.detail) == (Reason.NOT_ALLOWED, Detail.BANNED)
            return True
        return False

    async def settle(self) -> None:
        """Let the read that is under way end."""
        if reading := self.switch._reading:
            await reading


@pytest.fixture(scope="module")
def at() -> Iterator[tuple[Storage, str]]:
    storage = Storage()
    with Server(storage.app) as server:
        yield storage, server.url


@pytest.fixture(params=[True, False], ids=["keep", "refuse"])
def owner(request: pytest.FixtureRequest, at: tuple[Storage, str]) -> Owner:
    at[0].reads.clear()
    return Owner(*at, keeps=request.param)


@in_a_loop
async def test_a_young_copy_is_not_read_again_and_no_request_waits(owner: Owner) -> None:
    assert await owner.stopped() is False
    owner.storage.fault = "hang"
    for age in (29.9, 30.1, 44.9):
        owner.seconds = 1000 + age
        for _ in range(50):
            _does_not_wait(owner)
    owner.storage.fault = None
    await owner.settle()
    assert len(owner.storage.reads) == 2


def _does_not_wait(owner: Owner) -> None:
    """Assert that a request passes without a wait, even for the event loop."""
    with pytest.raises(StopIteration):
        owner.switch.check().send(None)


@in_a_loop
async def test_requests_wait_for_a_copy_that_is_young_enough(owner: Owner) -> None:
    assert await owner.stopped() is False
    owner.set({"stopped": True, "banned": []})
    owner.seconds += 45
    assert await asyncio.gather(*(owner.stopped() for _ in range(50))) == [None] * 50
    assert len(owner.storage.reads) == 2


@in_a_loop
async def test_an_object_that_has_not_changed_is_not_sent_again(owner: Owner) -> None:
    owner.set({"stopped": False, "banned": ["eve"]})
    for _ in range(3):
        assert await owner.stopped() is False
        assert owner.banned("eve")
        assert not owner.banned("ev")
        owner.seconds += 60
    assert [read.status for read in owner.storage.reads] == [200, 304, 304]
    owner.set(NOTHING)
    assert await owner.stopped() is False
    assert not owner.banned("eve")


@in_a_loop
async def test_a_deleted_object_stops_and_bans_nobody(owner: Owner) -> None:
    owner.set({"stopped": True, "banned": ["eve"]})
    assert await owner.stopped() is None
    owner.storage.delete(BUCKET, NAME)
    owner.seconds += 60
    assert await owner.stopped() is False
    assert not owner.banned("eve")


@pytest.mark.parametrize(("fault", "detail"), FAULTS)
@in_a_loop
async def test_what_cannot_be_read_keeps_the_last_state_or_refuses(
    owner: Owner, fault: int | str, detail: Detail, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeout = 0.3 if fault == "hang" else switch.READ_TIMEOUT
    owner.set({"stopped": False, "banned": ["eve"]})
    assert await owner.stopped() is False
    monkeypatch.setattr(switch, "READ_TIMEOUT", timeout)
    owner.storage.fault = fault
    for _ in range(3):
        owner.seconds += 60
        assert await owner.stopped() is (False if owner.switch._keeps else detail)
        assert owner.banned("eve")
    assert owner.reported == [detail]
    assert owner.forgotten == (3 if fault == 401 else 0)
    monkeypatch.undo()
    owner.storage.fault = None
    owner.set({"stopped": True, "banned": []})
    reads = len(owner.storage.reads)
    await owner.stopped()
    assert len(owner.storage.reads) == reads  # the last began less than ten seconds ago
    owner.seconds += 10
    if owner.switch._keeps:
        _does_not_wait(owner)
    await owner.settle()
    assert await owner.stopped() is None
    owner.storage.fault = fault
    owner.seconds += 60
    monkeypatch.setattr(switch, "READ_TIMEOUT", timeout)
    assert await owner.stopped() is (None if owner.switch._keeps else detail)  # it stays stopped
    assert owner.reported == [detail, detail]


MALFORMED = [
    *(b"", b"{", b"null", b"[]", b"true", b"\xff", b"[" * 9000, b"{}"),
    *(b'{"stopped": true}', b'{"banned": []}', b'[["stopped", true], ["banned", []]]'),
    b'{"stopped": false, "banned": [], "stopped": true}',
    *({"stopped": stopped, "banned": []} for stopped in ("true", 1, None)),
    *({"stopped": True, "banned": banned} for banned in ("eve", None, {"eve": 1}, [1], [""])),
    {"stopped": True, "banned": ["eve@example.com"]},
    {"stoped": True, "banned": []},
    {"stopped": False, "banned": [], "more": 1},
]


@pytest.mark.parametrize("content", MALFORMED)
@in_a_loop
async def test_what_is_not_a_switch_is_reported_at_once_and_changes_nothing(
    owner: Owner, content: Any
) -> None:
    assert await owner.stopped() is False
    owner.set(content)
    owner.seconds += 31
    assert await owner.stopped() is False
    await owner.settle()
    assert owner.reported == [Detail.NOT_A_SWITCH]
    owner.seconds += 20
    assert await owner.stopped() is (False if owner.switch._keeps else Detail.NOT_A_SWITCH)
    assert owner.reported == [Detail.NOT_A_SWITCH]


@in_a_loop
async def test_a_list_that_is_too_long_is_reported(owner: Owner) -> None:
    owner.set({"stopped": False, "banned": [f"uid-{number:024}" for number in range(9000)]})
    assert await owner.stopped() is Detail.ANSWER_TOO_LONG
    assert owner.reported == [Detail.ANSWER_TOO_LONG]
    owner.set({"stopped": False, "banned": [f"uid-{number:024}" for number in range(7000)]})
    owner.seconds += 10
    assert await owner.stopped() is False
    assert owner.banned("uid-000000000000000000006999")


@in_a_loop
async def test_a_read_that_a_pause_of_the_instance_cut_is_made_again(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cloud Run stops the CPU between requests, and with it a read in the background."""
    assert await owner.stopped() is False
    monkeypatch.setattr(switch, "READ_TIMEOUT", 1)
    owner.storage.fault = "hang"
    owner.seconds += 31
    assert await owner.stopped() is False
    for _ in range(1000):
        if len(owner.storage.reads) == 2:
            break
        await asyncio.sleep(0.01)
    assert len(owner.storage.reads) == 2
    monkeypatch.undo()
    owner.seconds += 600
    owner.storage.fault = None
    owner.set({"stopped": True, "banned": []})
    assert await owner.stopped() is None


@in_a_loop
async def test_a_copy_is_as_old_as_the_beginning_of_its_read(owner: Owner) -> None:
    assert await owner.stopped() is False
    owner.storage.delay = 0.2
    owner.seconds += 31
    assert await owner.stopped() is False
    for _ in range(1000):
        if owner.storage.reads[-1].status == 304:
            break
        await asyncio.sleep(0.01)
    owner.set({"stopped": True, "banned": []})
    owner.storage.delay = 0
    owner.seconds += 45
    await owner.settle()
    assert await owner.stopped() is None


STEPS = st.one_of(
    st.tuples(st.just("later"), st.floats(0.5, 70)),
    st.tuples(st.just("set"), st.booleans()),
    st.tuples(st.just("fault"), st.sampled_from([None, None, 403, 503, "reset"])),
    st.tuples(st.just("settle"), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, max_size=25), keeps=st.booleans())
def test_no_request_goes_by_a_state_that_is_older_than_45_seconds(
    at: tuple[Storage, str], steps: list[tuple[str, Any]], keeps: bool
) -> None:
    """Unless the object could not be read since then, and the last known state is kept."""

    async def run() -> None:
        owner = Owner(*at, keeps=keeps)
        history = [(owner.seconds, False)]  # what the owner decided, and from when on
        readable_from = owner.seconds
        for kind, value in [*steps, ("later", 1.0)]:
            if kind == "later":
                owner.seconds += value
                found = await owner.stopped()
                recent = _in_force(history, owner.seconds - 45)
                readable = owner.seconds >= readable_from
                if isinstance(found, Detail):
                    assert not readable
                elif readable or not keeps:
                    assert (found is None) in recent
            elif kind == "set":
                owner.set({"stopped": value, "banned": []})
                history.append((owner.seconds, value))
            elif kind == "fault":
                await owner.settle()
                owner.storage.fault = value
                if value is not None:
                    readable_from = math.inf
                elif readable_from == math.inf:
                    readable_from = owner.seconds + 20
            else:
                await owner.settle()
        owner.http.close()

    asyncio.run(run())


def _in_force(history: list[tuple[float, bool]], since: float) -> set[bool]:
    """What was decided at any time since then."""
    before = [stopped for at, stopped in history if at <= since][-1:]
    return {*before, *(stopped for at, stopped in history if at > since)}
