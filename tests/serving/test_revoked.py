"""`revoked = "check"`: a user who is disabled, deleted or signed out everywhere gets no token."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from asking import function_of, in_a_loop, profile, refused
from policies import HEAD
from stack import API_KEY, Stack

from emulator.accounts import Accounts as StandIn
from emulator.accounts import Lookup
from emulator.faults import SECRET
from emulator.server import Server
from livetoken import accounts, fetch
from livetoken.accounts import Accounts
from livetoken.caller import Caller
from livetoken.callers import FIREBASE_ISSUER
from livetoken.google_api import GoogleApi
from livetoken.refusals import Detail, Reason, Refused

RULES = 'callers.revoked = "check"\n'
POLICY = f"{HEAD}{RULES}callers.allow_anonymous = true\n{profile('default')}"
NUMBERS = count()

checking = function_of(POLICY, PYTHONPROFILEIMPORTTIME="1")


@pytest.fixture
def livetoken(checking: Stack) -> Iterator[Stack]:
    """A function that asks Firebase; the fault injection is reset."""
    checking.accounts.lookups.clear()
    yield checking
    checking.accounts.fault = None
    checking.accounts.delay = 0


def new_user(stack: Stack, tenant: str | None = None, **state: Any) -> str:
    """Add a user whom the function has not looked up, and return the user's id."""
    uid = f"user-{next(NUMBERS)}"
    stack.accounts.add(uid, tenant, **state)
    return uid


def signed_in(stack: Stack, uid: str, tenant: str | None = None, **claims: Any) -> str:
    """An ID token of a user."""
    firebase = {"sign_in_provider": "password", "identities": {}}
    if tenant is not None:
        firebase["tenant"] = tenant
    return stack.issuer.id_token("ada", **{"sub": uid, "firebase": firebase, **claims})


def refusal(stack: Stack, reason: Reason, token: str) -> tuple[str | None, str | None]:
    """Ask, assert the refusal and no mint, return the detail and the rule in the log."""
    line = refused(stack, reason, token=token)
    return line.get("detail"), line.get("rule")


# ------------------------------------------------------------------ what Firebase says


def test_a_user_is_looked_up_once_in_a_minute(livetoken: Stack) -> None:
    uid = new_user(livetoken)
    for _ in range(3):
        assert livetoken.ask(token=signed_in(livetoken, uid)).status == 200
    (lookup,) = livetoken.accounts.lookups
    assert (lookup.project, lookup.tenant, lookup.users) == ("demo-livetoken", None, [uid])
    assert (lookup.authorization or "").removeprefix("Bearer ") in livetoken.metadata.access_tokens


def test_a_disabled_user_is_not_allowed(livetoken: Stack) -> None:
    token = signed_in(livetoken, new_user(livetoken, disabled=True))
    for _ in range(2):
        assert refusal(livetoken, Reason.NOT_ALLOWED, token) == (
            "ACCOUNT_DISABLED",
            "callers.revoked",
        )
    assert len(livetoken.accounts.lookups) == 1


def test_a_user_who_is_deleted_signs_in_again(livetoken: Stack) -> None:
    token = signed_in(livetoken, "nobody")
    assert refusal(livetoken, Reason.INVALID_ID_TOKEN, token) == (
        "ACCOUNT_DELETED",
        "callers.revoked",
    )


def test_only_a_sign_in_before_the_revocation_is_refused(livetoken: Stack) -> None:
    revoked_at = int(time.time()) - 30
    uid = new_user(livetoken, validSince=str(revoked_at))
    before = signed_in(livetoken, uid, auth_time=revoked_at - 1)
    assert refusal(livetoken, Reason.INVALID_ID_TOKEN, before) == (
        "SESSIONS_REVOKED",
        "callers.revoked",
    )
    assert livetoken.ask(token=signed_in(livetoken, uid, auth_time=revoked_at)).status == 200
    assert livetoken.ask(token=signed_in(livetoken, uid, auth_time=revoked_at + 1)).status == 200
    assert len(livetoken.accounts.lookups) == 1


def test_what_a_user_lacks_refuses_nobody(livetoken: Stack) -> None:
    uid = new_user(livetoken, validSince=..., disabled=...)
    assert livetoken.ask(token=signed_in(livetoken, uid)).status == 200


def test_a_user_of_a_tenant_is_another_user(livetoken: Stack) -> None:
    uid = new_user(livetoken, "tenant-1")
    livetoken.accounts.add(uid, disabled=True)
    assert livetoken.ask(token=signed_in(livetoken, uid, "tenant-1")).status == 200
    assert livetoken.ask(token=signed_in(livetoken, uid)).is_refusal(Reason.NOT_ALLOWED)
    assert [each.tenant for each in livetoken.accounts.lookups] == ["tenant-1", None]


def test_an_anonymous_user_is_looked_up_too(livetoken: Stack) -> None:
    assert livetoken.ask(token=livetoken.issuer.id_token("guest")).status == 200
    assert [each.users for each in livetoken.accounts.lookups] == [["guest-uid"]]


def test_users_of_google_are_not_looked_up(livetoken: Stack) -> None:
    assert livetoken.ask(token=livetoken.issuer.id_token("grace")).status == 200
    assert not livetoken.accounts.lookups


def test_a_user_is_looked_up_in_the_project_of_the_token(alone: Stack) -> None:
    with alone.running(POLICY, FIREBASE_PROJECT_ID="another-project,demo-livetoken") as function:
        another = {"iss": f"{FIREBASE_ISSUER}another-project", "aud": "another-project"}
        token = function.issuer.id_token("ada", **another)
        assert refusal(function, Reason.ACCOUNTS_UNAVAILABLE, token) == ("STATUS", None)
        assert function.ask(token=function.issuer.id_token("ada")).status == 200
    projects = [each.project for each in alone.accounts.lookups]
    assert projects == ["another-project", "demo-livetoken"]


def test_without_revoked_nobody_is_looked_up(shared: Stack) -> None:
    assert shared.ask(token=signed_in(shared, "nobody")).status == 200
    assert not shared.accounts.lookups


# ------------------------------------------------------------------ when Firebase cannot be asked


@pytest.mark.provokes(Reason.ACCOUNTS_UNAVAILABLE)
@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        *((status, "STATUS") for status in (400, 401, 403, 404, 429, 500, 503)),
        *((word, "NOT_AN_ACCOUNT") for word in ("html", "list", "empty", "another")),
        ("reset", "CONNECTION"),
    ],
)
def test_an_answer_that_does_not_tell_mints_nothing_and_is_not_kept(
    livetoken: Stack, fault: int | str, detail: str
) -> None:
    token = signed_in(livetoken, new_user(livetoken))
    livetoken.accounts.fault = fault
    assert refusal(livetoken, Reason.ACCOUNTS_UNAVAILABLE, token) == (detail, None)
    livetoken.accounts.fault = None
    assert livetoken.ask(token=token).status == 200


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("disabled", [None, 0, 1, "true", [], {}]),
        ("validSince", [None, 1, "", "-1", "1.5", "soon", []]),
        ("localId", [None, ..., 7, "another-uid"]),
    ],
)
def test_a_user_of_another_form_mints_nothing(
    livetoken: Stack, name: str, values: list[Any]
) -> None:
    for value in values:
        token = signed_in(livetoken, new_user(livetoken, **{name: value}))
        assert refusal(livetoken, Reason.ACCOUNTS_UNAVAILABLE, token) == ("NOT_AN_ACCOUNT", None)


def test_without_an_access_token_nothing_is_minted(alone: Stack) -> None:
    alone.metadata.fault = 404
    with alone.running(POLICY) as function:
        token = function.issuer.id_token("ada")
        assert refusal(function, Reason.ACCOUNTS_UNAVAILABLE, token) == ("NO_ACCESS_TOKEN", None)
    assert not alone.accounts.lookups


def test_many_requests_of_a_user_at_once_cost_one_lookup(livetoken: Stack) -> None:
    livetoken.accounts.delay = 0.5
    token, together = signed_in(livetoken, new_user(livetoken)), threading.Barrier(20)

    def one(_: int) -> int:
        together.wait(10)
        return livetoken.ask(token=token).status

    with ThreadPoolExecutor(20) as callers:
        assert list(callers.map(one, range(20))) == [200] * 20
    assert len(livetoken.accounts.lookups) == 1


# ------------------------------------------------------------------ the order, and the log


def test_the_account_comes_after_the_id_token_and_before_everything_else(alone: Stack) -> None:
    rules = f'{RULES}callers.app_check = "required"\ncallers.require.plan = ["pro"]\n'
    with alone.running(f"{HEAD}{rules}{profile('default')}") as function:
        uid = new_user(function, disabled=True)
        for claims in ({"aud": "another"}, {"exp": int(time.time()) - 60}):
            assert function.ask(token=signed_in(function, uid, **claims)).status == 401
        assert not function.accounts.lookups
        token = signed_in(function, uid, plan="free")
        for body in (b"{", b"{}", b'{"profile": "nobody"}'):
            assert function.ask(body, token=token).is_refusal(Reason.NOT_ALLOWED)
        assert function.logged(5)["detail"] == "ACCOUNT_DISABLED"
        assert function.logged(5)["sub"] == uid


def test_no_output_tells_what_firebase_said(livetoken: Stack) -> None:
    uid = new_user(livetoken, disabled=True)
    answers = [livetoken.ask(token=signed_in(livetoken, uid))]
    for fault in (403, 500, "html", "another"):
        livetoken.accounts.fault = fault
        answers.append(livetoken.ask(token=signed_in(livetoken, new_user(livetoken))))
    shown = livetoken.function.output().encode() + b"".join(answer.body for answer in answers)
    for secret in (f"{uid}@example.com", "another-uid", "ya29", API_KEY, SECRET, "Traceback"):
        assert secret.encode() not in shown


# ------------------------------------------------------------------ for how long


class Part:
    """`Accounts` in this process, with a real endpoint and a clock that tests move."""

    def __init__(self, service: StandIn, url: str) -> None:
        self.service = service
        self.seconds = 1000.0
        self.http = fetch.Http()
        api = GoogleApi(self.http, self, Reason.ACCOUNTS_UNAVAILABLE)
        self.part = Accounts(api, url, now=lambda: self.seconds)

    async def headers(self) -> dict[str, str]:
        """Those of a service account."""
        return {"authorization": "Bearer x"}

    def forget(self) -> None: ...

    async def check(self, uid: str) -> Detail | None:
        """Check a user, and return why the user is refused."""
        issuer = f"{FIREBASE_ISSUER}demo-livetoken"
        try:
            await self.part.check(Caller(issuer, uid, False, {"auth_time": 2_000_000_000}, 0))
        except Refused as refusal:
            return refusal.detail
        return None

    @property
    def asked(self) -> list[str]:
        """The users who were looked up."""
        return [uid for lookup in self.service.lookups for uid in lookup.users]


@pytest.fixture
def part() -> Iterator[Part]:
    service = StandIn(access_tokens={"x"})
    for uid in "abc":
        service.add(uid)
    with Server(service.app) as server:
        yield Part(service, server.url)


@in_a_loop
async def test_a_user_who_is_disabled_is_refused_within_a_minute(part: Part) -> None:
    assert await part.check("a") is None
    part.service.add("a", disabled=True)
    part.seconds += 59.9
    assert await part.check("a") is None
    part.seconds += 0.1
    assert await part.check("a") is Detail.ACCOUNT_DISABLED
    part.service.add("a")
    part.seconds += 60
    assert await part.check("a") is None
    assert part.asked == ["a"] * 3


@in_a_loop
async def test_the_oldest_user_is_forgotten_first(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_KEPT", 2)
    for uid in "abccba":
        assert await part.check(uid) is None
    assert part.asked == ["a", "b", "c", "a"]


@in_a_loop
async def test_the_minute_counts_from_the_question(part: Part) -> None:
    """Firebase may have answered at its beginning or at its end."""
    part.service.delay = 0.2
    first = asyncio.create_task(part.check("a"))
    for _ in range(1000):
        if part.service.lookups:
            break
        await asyncio.sleep(0.01)
    part.seconds += 30  # until the answer
    assert await first is None
    part.seconds += 30
    assert await part.check("a") is None
    assert part.service.lookups == [Lookup("demo-livetoken", None, ["a"], "Bearer x")] * 2
