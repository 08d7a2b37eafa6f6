"""Limits in Firestore: what it stores, what it costs, and what happens when its calls fail.

What other storages promise too is in test_storages.py.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from app_checked import ACCOUNT_MODULES
from asking import imported, profile
from firestore_server import StandInFirestore
from limited import POLICY, Limited, connect, new_caller
from policies import HEAD
from stack import Stack, stack

from emulator.faults import SECRET
from emulator.firestore import Firestore, Stored
from emulator.tls import Certificate
from livetoken.refusals import Reason

ALL_TOGETHER = profile("all", 'limit = "3/hour"\ntotal.limit = "5/hour"')


@pytest.fixture(scope="module")
def server() -> Iterator[StandInFirestore]:
    with StandInFirestore() as started:
        yield started


@pytest.fixture(scope="module")
def function(certificate: Certificate, server: StandInFirestore) -> Iterator[Stack]:
    """A function whose environment names an emulator, which it must not use."""
    more = {"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "PYTHONPROFILEIMPORTTIME": "1"}
    with (
        stack(certificate) as unstarted,
        unstarted.running(POLICY + ALL_TOGETHER, **server.variables(unstarted), **more) as started,
    ):
        connect(started)
        yield started


@pytest.fixture
def database(server: StandInFirestore) -> Iterator[Firestore]:
    yield server.stand_in
    server.stand_in.faults.clear()


@pytest.fixture
def limited(function: Stack, database: Firestore) -> Iterator[Limited]:
    """A caller who has not asked yet."""
    with new_caller(function) as caller:
        yield caller


def test_the_account_of_the_function_gets_access_to_firestore_alone(limited: Limited) -> None:
    assert limited.ask().status == 200
    assert limited.function.metadata.scopes == ("https://www.googleapis.com/auth/datastore",)
    modules = imported(limited.function)
    assert {"livetoken.limits.firestore", *ACCOUNT_MODULES} <= modules
    assert not modules & {"redis", "grpc"}


def test_documents_hold_no_names_and_expire_when_nothing_counts(
    limited: Limited, database: Firestore
) -> None:
    database.documents.clear()
    limited.gemini.behaviour.faults.append(500)
    limited.statuses("both", 4)
    limited.ask("minutes")
    limited.ask("minutes", resume="h")
    assert len(database.documents) == 2  # one for each profile
    for name, document in database.documents.items():
        assert limited.sub not in name + json.dumps(document.fields)
        assert set(document.fields) == {"counts", "expires"}
        expires = datetime.fromisoformat(document.fields["expires"]["timestampValue"])
        assert timedelta(minutes=59) < expires - datetime.now(UTC) <= timedelta(hours=1)


@pytest.mark.parametrize(("profile", "documents"), [("default", 1), ("all", 2)])
def test_a_mint_costs_one_read_and_one_write_of_each_document(
    limited: Limited, database: Firestore, profile: str, documents: int
) -> None:
    database.documents.clear()
    reads, writes = database.reads, database.writes
    assert limited.statuses(profile, 3) == [200] * 3
    assert (database.reads - reads, database.writes - writes) == (3 * documents, 3 * documents)
    limited.ask(profile)  # it is refused
    assert (database.reads - reads, database.writes - writes) == (4 * documents, 3 * documents)


def test_a_failed_mint_costs_twice_as_much(limited: Limited, database: Firestore) -> None:
    reads, writes = database.reads, database.writes
    limited.gemini.behaviour.fault = 500
    assert limited.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert (database.reads - reads, database.writes - writes) == (2, 2)


def test_a_use_whose_answer_is_lost_counts_once(limited: Limited, database: Firestore) -> None:
    database.faults.append("lost")
    assert limited.ask("paid", limited.token(plan="pro")).is_refusal(Reason.LIMITS_UNAVAILABLE)
    assert limited.ask("paid", limited.token(plan="pro")).is_refusal(Reason.LIMIT_REACHED)
    assert limited.gemini.mints == []


def test_a_mint_whose_give_back_is_lost_is_given_back_once(
    limited: Limited, database: Firestore
) -> None:
    assert limited.statuses("default", 2) == [200, 200]
    limited.gemini.behaviour.faults.append(500)
    database.faults.extend([None, "lost"])
    assert limited.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert database.faults == []
    assert limited.statuses("default", 2) == [200, 429]


@pytest.mark.parametrize("faults", [[409], [409, 409, 409]])
def test_a_conflict_is_tried_again(
    limited: Limited, database: Firestore, faults: list[int]
) -> None:
    database.faults.extend(faults)
    assert limited.statuses("default", 4) == [200, 200, 200, 429]


@pytest.mark.parametrize("fault", [400, 403, 429, 500, 503, "html", "reset", "lost"])
def test_any_other_failure_mints_nothing(
    limited: Limited, database: Firestore, fault: int | str
) -> None:
    database.faults.append(fault)
    assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
    assert limited.logged(1)["detail"] == "CONNECTION"
    assert limited.gemini.mints == []
    assert limited.ask().status == 200
    assert SECRET not in limited.function.function.output()


def test_a_revoked_access_token_is_replaced(limited: Limited) -> None:
    assert limited.ask().status == 200
    limited.function.metadata.access_tokens.clear()
    assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
    assert limited.ask().status == 200


def test_a_document_that_somebody_else_wrote_mints_nothing(
    limited: Limited, database: Firestore
) -> None:
    database.documents.clear()
    assert limited.ask().status == 200
    (name,) = database.documents
    now = datetime.now(UTC)
    for counts in ("[]", "text", '{"windows": {"limit 3600": ["a"]}}', '{"sessions": [3]}'):
        fields = {"counts": {"stringValue": counts}}
        database.documents[name] = Stored(fields, now, now)
        assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
    database.documents[name] = Stored({"other": {"stringValue": "a"}}, now, now)
    assert limited.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
    assert len(limited.gemini.mints) == 1


def test_without_an_access_token_or_a_database_nothing_is_minted(
    alone: Stack, server: StandInFirestore
) -> None:
    variables = server.variables(alone)
    policy = HEAD + profile("default", 'limit = "3/hour"') + profile("free")
    other = {**variables, "LIMITS_STORAGE": "async+firestore://demo-livetoken/other"}
    alone.metadata.fault = 500
    with alone.running(policy, **variables) as livetoken:
        assert livetoken.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
        assert livetoken.ask({"profile": "free"}).status == 200
    alone.metadata.fault = None
    with alone.running(policy, **other) as livetoken:
        assert livetoken.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
        assert livetoken.ask({"profile": "free"}).status == 200
