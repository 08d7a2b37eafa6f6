"""The stand-in for Firestore answers like Google's emulator, which `make test-firestore` asks."""

import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from firestore_server import FirestoreServer, StandInFirestore
from stack import until

ROOT = "projects/demo-livetoken/databases/(default)/documents"
NAME = f"{ROOT}/livetoken/a"
OTHER = f"{ROOT}/livetoken/b"
LONG_AGO = "2020-01-01T00:00:00.123456Z"
ONE = {"n": {"integerValue": "1"}}


def post(
    server: FirestoreServer, method: str, body: Any, token: str = "owner", root: str = ROOT
) -> tuple[int, Any]:
    """The status and the answer of a call."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    sent = body if isinstance(body, str) else json.dumps(body)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", f"/v1/{root}:{method}", sent, headers)
    answer = connection.getresponse()
    read = answer.status, json.loads(answer.read())
    connection.close()
    return read


def write(fields: Any = ONE, name: str = NAME, **condition: Any) -> Any:
    """A write of one document."""
    more = {"currentDocument": condition} if condition else {}
    return {"update": {"name": name, "fields": fields}, **more}


def commit(server: FirestoreServer, *writes: Any) -> tuple[int, Any]:
    return post(server, "commit", {"writes": writes})


def read(server: FirestoreServer, name: str = NAME) -> Any:
    """What is found of a document."""
    status, (answer,) = post(server, "batchGet", {"documents": [name]})
    assert status == 200
    return answer


@pytest.fixture(scope="module")
def server(firestore: FirestoreServer) -> FirestoreServer:
    if isinstance(firestore, StandInFirestore):
        firestore.stand_in.access_tokens.add("owner")
    assert commit(firestore, write())[0] == 200
    return firestore


@pytest.fixture
def stand_in() -> Iterator[StandInFirestore]:
    with StandInFirestore() as started:
        started.stand_in.access_tokens.add("owner")
        yield started


def array(*values: Any) -> Any:
    return {"arrayValue": {"values": [*values]}}


@pytest.mark.parametrize(
    ("method", "body", "code", "word"),
    [
        ("commit", [write(exists=False)], 409, "ALREADY_EXISTS"),
        ("commit", [write(name=OTHER), write(exists=False)], 409, "ALREADY_EXISTS"),
        ("commit", [write(updateTime=LONG_AGO)], 400, "FAILED_PRECONDITION"),
        ("commit", [write(name=OTHER, updateTime=LONG_AGO)], 400, "FAILED_PRECONDITION"),
        ("commit", [write(name=OTHER, exists=True)], 404, "NOT_FOUND"),
        ("commit", [write(updateTime="2020-01-01T00:00:00.123456789Z")], 400, "INVALID_ARGUMENT"),
        ("commit", [write(updateTime="yesterday")], 400, "INVALID_ARGUMENT"),
        ("commit", [write(name=f"{ROOT}/livetoken")], 400, "INVALID_ARGUMENT"),
        ("commit", [write(name=f"{ROOT}/livetoken/a/b")], 400, "INVALID_ARGUMENT"),
        ("commit", [write(name=f"{ROOT}/livetoken/__a__")], 400, "INVALID_ARGUMENT"),
        ("commit", [write(name=f"{ROOT}/livetoken/..")], 400, "INVALID_ARGUMENT"),
        ("commit", [{"unknown": 1}], 400, "INVALID_ARGUMENT"),
        ("commit", [write({"n": 1})], 400, "INVALID_ARGUMENT"),
        ("commit", [write({"n": {"integerValue": str(2**63)}})], 400, "INVALID_ARGUMENT"),
        ("commit", [write({"n": {"integerValue": "x"}})], 400, "INVALID_ARGUMENT"),
        ("commit", [write({"n": {"booleanValue": "x"}})], 400, "INVALID_ARGUMENT"),
        ("commit", [write({"n": {"timestampValue": "now"}})], 400, "INVALID_ARGUMENT"),
        ("commit", [write({"": {"nullValue": None}})], 400, "INVALID_ARGUMENT"),
        ("commit", [write({"n": array(array())})], 400, "INVALID_ARGUMENT"),
        ("commit", [write({"n": {"stringValue": "a" * 1_048_577}})], 400, "INVALID_ARGUMENT"),
        ("batchGet", [f"{ROOT}/livetoken"], 400, "INVALID_ARGUMENT"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(
    server: FirestoreServer, method: str, body: Any, code: int, word: str
) -> None:
    before = read(server)["found"]
    status, answer = post(server, method, {"writes" if method == "commit" else "documents": body})
    assert (status, answer["error"]["status"]) == (code, word)
    assert read(server)["found"] == before
    assert read(server, OTHER)["missing"] == OTHER


@pytest.mark.parametrize("body", ["not JSON", "[]", '"text"', '{"unknown": 1}'])
def test_what_is_no_request_is_refused(server: FirestoreServer, body: str) -> None:
    status, answer = post(server, "commit", body)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_version_is_that_of_the_last_change(server: FirestoreServer) -> None:
    fields = {"n": {"stringValue": "é"}, "at": {"timestampValue": "2026-01-01T00:00:00.123Z"}}
    first = read(server)["found"]["updateTime"]
    status, answer = commit(server, write(fields, updateTime=first))
    assert status == 200
    found = read(server)["found"]
    assert found["updateTime"] == answer["writeResults"][0]["updateTime"] == answer["commitTime"]
    assert first < found["updateTime"] < read(server)["readTime"]
    assert found["fields"]["n"] == fields["n"]
    assert commit(server, write(fields, updateTime=first))[0] == 400
    assert commit(server, write(fields, updateTime=found["updateTime"]))[0] == 200
    assert read(server)["found"] == found  # the same fields are no change
    assert commit(server, write(ONE, updateTime=found["updateTime"]))[0] == 200


def test_all_is_read_at_one_moment_and_once(server: FirestoreServer) -> None:
    names = [NAME, OTHER, NAME]
    _, answers = post(server, "batchGet", {"documents": names})
    assert len(answers) == 2
    assert len({answer["readTime"] for answer in answers}) == 1


def test_without_access_nothing_is_read(stand_in: StandInFirestore) -> None:
    body, other = {"documents": [NAME]}, ROOT.replace("(default)", "other")
    assert post(stand_in, "batchGet", body, token="expired")[0] == 401
    assert post(stand_in, "batchGet", body, token="")[0] == 403
    assert post(stand_in, "batchGet", body, root=ROOT.replace("demo", "my"))[0] == 403
    status, answer = post(stand_in, "batchGet", body, root=other)
    assert (status, answer["error"]["status"]) == (404, "NOT_FOUND")
    assert post(stand_in, "batchGet", {"documents": [NAME.replace("(default)", "other")]})[0] == 400


def test_two_commits_of_a_document_at_once_conflict(stand_in: StandInFirestore) -> None:
    stand_in.stand_in.delay = 1
    first = Thread(target=commit, args=(stand_in, write()))
    first.start()
    until(lambda: stand_in.stand_in.is_written(NAME))
    status, answer = commit(stand_in, write(), write(name=OTHER))
    assert (status, answer["error"]["status"]) == (409, "ABORTED")
    first.join()
    assert list(stand_in.stand_in.documents) == [NAME]


def test_its_clock_can_be_set(stand_in: StandInFirestore) -> None:
    moment = datetime(2027, 1, 1, tzinfo=UTC)
    stand_in.stand_in.clock = lambda: moment
    assert commit(stand_in, write())[1]["commitTime"] == "2027-01-01T00:00:00.000000Z"
    moment -= timedelta(days=1)
    assert read(stand_in)["readTime"] == "2027-01-01T00:00:00.000001Z"
