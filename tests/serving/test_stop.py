"""The owner's switch, over HTTP: it stops all minting and bans callers."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from app_checked import ACCOUNT_MODULES, ask, rules
from asking import imported, refused
from clocks import Clocks
from stack import Stack

from livetoken.refusals import Reason

BUCKET, NAME = "switches", "one/switch.json"
SWITCH = {"SWITCH_OBJECT": f"gs://{BUCKET}/{NAME}"}
UNREADABLE = "the switch cannot be read"


def write(stack: Stack, stopped: bool = False, banned: tuple[str, ...] = ()) -> None:
    content = json.dumps({"stopped": stopped, "banned": banned})
    stack.storage.write(BUCKET, NAME, content.encode())


def errors(stack: Stack) -> list[dict[str, Any]]:
    """What the function logged of a switch that it cannot read."""
    lines = stack.function.output().splitlines()
    logged = [json.loads(line) for line in lines if line[:1] == "{"]
    return [line for line in logged if line["message"] == UNREADABLE]


@contextmanager
def switched(alone: Stack, **changes: str) -> Iterator[Stack]:
    with alone.running(**SWITCH, **changes) as livetoken:
        yield livetoken


@pytest.mark.provokes(Reason.STOPPED)
def test_a_stopped_function_mints_nothing_and_says_so(alone: Stack) -> None:
    write(alone, stopped=True)
    with switched(alone) as livetoken:
        line = refused(livetoken, Reason.STOPPED)
        assert (line["severity"], line.get("detail"), line.get("sub")) == ("NOTICE", None, None)
        answer = livetoken.ask(token=None)
        assert answer.is_refusal(Reason.STOPPED)
        assert answer.headers["retry-after"] == "60"
        assert livetoken.ask(method="GET").is_refusal(Reason.METHOD_NOT_ALLOWED)
        foreign = {"Origin": "https://evil.example"}
        assert livetoken.ask(headers=foreign).is_refusal(Reason.ORIGIN_NOT_ALLOWED)
        allowed = {"Origin": "https://app.example.com"}
        assert livetoken.ask(None, method="OPTIONS", headers=allowed).status == 204
        read = livetoken.ask(headers=allowed)
        assert read.headers["access-control-allow-origin"] == "https://app.example.com"
    assert not alone.gemini.mints


@pytest.mark.provokes(Reason.NOT_ALLOWED)
def test_a_banned_caller_is_refused_at_every_issuer_and_in_every_tenant(alone: Stack) -> None:
    write(alone, banned=("ada-uid", f"sha256:{'0' * 64}"))
    with switched(alone) as livetoken:
        token = livetoken.issuer.id_token
        tenant = {"tenant": "shop-1", "sign_in_provider": "password", "identities": {}}
        for banned in (
            token("ada"),
            token("ada", firebase=tenant),
            token("grace", sub="ada-uid"),
        ):
            line = refused(livetoken, Reason.NOT_ALLOWED, token=banned)
            assert (line["detail"], line["sub"]) == ("BANNED", "ada-uid")
        for body in (b"{", {"resume": "a handle"}, {"profile": "nobody"}):
            assert livetoken.ask(body).is_refusal(Reason.NOT_ALLOWED)
        forged = token("ada")[:-4] + "AAAA"
        assert livetoken.ask(token=forged).is_refusal(Reason.INVALID_ID_TOKEN)
        for other in (token("bob"), token("grace"), token("ada", sub="ada-uid2")):
            assert livetoken.ask(token=other).status == 200


def test_a_uid_that_is_an_email_is_banned_by_what_the_log_shows(alone: Stack) -> None:
    with alone.running() as unswitched:
        token = alone.issuer.id_token("ada", sub="ada@example.com")
        assert unswitched.ask(token=token).status == 200
        shown = unswitched.logged(1)["sub"]
    write(alone, banned=(shown,))
    with switched(alone) as livetoken:
        assert refused(livetoken, Reason.NOT_ALLOWED, token=token)["detail"] == "BANNED"
        assert livetoken.ask().status == 200


def test_one_read_serves_many_requests_with_a_token_that_may_only_read(alone: Stack) -> None:
    write(alone)
    with switched(alone, PYTHONPROFILEIMPORTTIME="1") as livetoken:
        for _ in range(20):
            assert livetoken.ask().status == 200
        assert imported(livetoken) >= ACCOUNT_MODULES
    (read,) = alone.storage.reads
    assert (read.path, read.status) == (f"{BUCKET}/{NAME}", 200)
    assert alone.metadata.scopes == ("https://www.googleapis.com/auth/devstorage.read_only",)


def test_without_a_switch_nothing_is_read(alone: Stack) -> None:
    write(alone, stopped=True)
    with alone.running(PYTHONPROFILEIMPORTTIME="1") as livetoken:
        assert livetoken.ask().status == 200
        assert not imported(livetoken) & ACCOUNT_MODULES
    assert not alone.storage.reads


def test_a_missing_object_stops_nothing_and_a_missing_bucket_everything(alone: Stack) -> None:
    with switched(alone) as livetoken:
        assert refused(livetoken, Reason.STOPPED)["detail"] == "STATUS"
        (line,) = errors(livetoken)
        assert (line["severity"], line["detail"]) == ("ERROR", "STATUS")
    alone.storage.buckets.add(BUCKET)
    with switched(alone) as livetoken:
        assert livetoken.ask().status == 200
        assert not errors(livetoken)


@pytest.mark.parametrize(
    ("switch", "reason"),
    [({"stopped": True}, Reason.STOPPED), ({"banned": ("ada-uid",)}, Reason.NOT_ALLOWED)],
)
def test_a_change_during_a_request_stops_its_mint(
    alone: Stack, tmp_path: Path, switch: dict[str, Any], reason: Reason
) -> None:
    """The request begins with a copy of 40 s, which a read renews meanwhile."""
    clocks = Clocks(tmp_path)
    write(alone)
    with alone.running(rules("consume"), **SWITCH, **clocks.variables) as livetoken:
        assert ask(livetoken, alone.app_check.token()).status == 200
        clocks.set(monotonic=40)
        write(alone, **switch)
        alone.app_check.verdict_delay = 1
        assert ask(livetoken, alone.app_check.token()).is_refusal(reason)
        assert len(alone.app_check.checks) == 2
        assert len(alone.gemini.mints) == 1


@pytest.mark.slow
def test_an_instance_that_never_read_it_mints_nothing_until_it_has(alone: Stack) -> None:
    write(alone)
    alone.storage.fault = 503
    with switched(alone, SWITCH_UNREADABLE="keep") as livetoken:
        answer = livetoken.ask()
        assert answer.is_refusal(Reason.STOPPED)
        assert livetoken.logged(1)["detail"] == "STATUS"
        assert refused(livetoken, Reason.STOPPED)["detail"] == "STATUS"
        assert len(errors(livetoken)) == 1
        alone.storage.fault = None
        time.sleep(int(answer.headers["retry-after"]))
        assert livetoken.ask().status == 200


def test_without_an_access_token_it_cannot_be_read(alone: Stack) -> None:
    write(alone)
    alone.metadata.fault = 404
    with switched(alone) as livetoken:
        assert refused(livetoken, Reason.STOPPED)["detail"] == "NO_ACCESS_TOKEN"
    assert not alone.storage.reads


@pytest.mark.slow
def test_a_stop_and_a_ban_hold_on_every_busy_instance_within_a_minute(alone: Stack) -> None:
    write(alone)
    with ExitStack() as running:
        instances = [running.enter_context(switched(alone)) for _ in range(2)]
        assert {each.ask().status for each in instances} == {200}
        write(alone, banned=("ada-uid",))
        _meet_within_a_minute(instances, Reason.NOT_ALLOWED)
        bob = alone.issuer.id_token("bob")
        assert {each.ask(token=bob).status for each in instances} == {200}
        write(alone, stopped=True, banned=("ada-uid",))
        _meet_within_a_minute(instances, Reason.STOPPED)
        assert len(alone.storage.reads) <= 2 * (1 + 120 / 30)


def _meet_within_a_minute(instances: list[Stack], reason: Reason) -> None:
    """Ask every second, and assert that each instance refuses a minute after now at the latest."""
    end = time.monotonic() + 60
    for instance in instances:
        while instance.ask().status != reason.value.code:
            assert time.monotonic() < end
            time.sleep(1)
        assert instance.ask().is_refusal(reason)
