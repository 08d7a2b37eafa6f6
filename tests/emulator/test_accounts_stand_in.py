"""The stand-in of Identity Toolkit answers lookups as documented, and only administrators."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from wire import HttpAnswer, send

from emulator.accounts import Accounts, Lookup
from emulator.people import PEOPLE
from emulator.server import Server


class Running:
    """The stand-in and its server."""

    def __init__(self) -> None:
        self.accounts = Accounts(access_tokens={"of-the-test"})
        self.at = Server(self.accounts.app)

    def lookup(
        self,
        body: Any,
        *,
        of: str = "projects/demo-livetoken",
        authorization: str | None = "Bearer of-the-test",
    ) -> HttpAnswer:
        """Look users up; the body is a list of user ids, or whole."""
        message = {"localId": body} if isinstance(body, list) else body
        sent = message if isinstance(message, bytes) else json.dumps(message).encode()
        headers = {} if authorization is None else {"Authorization": authorization}
        return send(self.at.url, f"/v1/{of}/accounts:lookup", "POST", headers, sent)


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    with made.at:
        yield made


def test_the_firebase_users_exist_and_others_are_left_out(running: Running) -> None:
    uids = [each.claims["sub"] for each in PEOPLE.values()]
    answer = running.lookup(uids).json
    assert answer["kind"] == "identitytoolkit#GetAccountInfoResponse"
    assert [user["localId"] for user in answer["users"]] == ["ada-uid", "bob-uid", "guest-uid"]
    assert all(user["disabled"] is False for user in answer["users"])
    assert all(isinstance(user["validSince"], str) for user in answer["users"])
    nobody = {"kind": "identitytoolkit#GetAccountInfoResponse"}
    assert running.lookup(["nobody"]).json == nobody
    assert running.lookup([]).json == nobody


def test_a_user_of_a_tenant_is_found_there_only(running: Running) -> None:
    running.accounts.add("one", "tenant-1", disabled=True, validSince="7", email=...)
    (user,) = running.lookup(["one"], of="projects/demo-livetoken/tenants/tenant-1").json["users"]
    assert (user["disabled"], user["validSince"], "email" in user) == (True, "7", False)
    assert "users" not in running.lookup(["one"]).json
    assert "users" not in running.lookup(["one"], of="projects/demo-livetoken/tenants/2").json
    assert running.accounts.lookups[0] == Lookup(
        "demo-livetoken", "tenant-1", ["one"], "Bearer of-the-test"
    )


@pytest.mark.parametrize("authorization", [None, "of-the-test", "Basic of-the-test", "Bearer x"])
def test_others_may_not_look_users_up(running: Running, authorization: str | None) -> None:
    answer = running.lookup(["ada-uid"], authorization=authorization)
    assert (answer.status, answer.json["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_another_project_is_not_answered(running: Running) -> None:
    answer = running.lookup(["ada-uid"], of="projects/other")
    assert (answer.status, answer.json["error"]["status"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b'"x"', b"[" * 100_000),
        *({}, {"localid": ["ada-uid"]}, {"localId": "ada"}, {"localId": [1]}, {"localId": None}),
    ],
)
def test_another_message_is_refused(running: Running, body: Any) -> None:
    answer = running.lookup(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_an_unknown_fault_is_said(running: Running) -> None:
    running.accounts.fault = "unheard-of"
    assert running.lookup(["ada-uid"]).status == 501
