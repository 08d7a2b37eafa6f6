"""The stand-in for Gemini is as unkind as the reports on the real one."""

import ast
import dataclasses
import json

import pytest
from stand_in import (
    KEY,
    SETUP,
    StandIn,
    eventually,
    handle,
    message,
    opened,
    parts,
    pinned,
    text,
    turn,
    until,
    words,
)
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection

from emulator.behaviour import Behaviour
from emulator.function import ROOT
from emulator.google_errors import REFUSALS
from emulator.reports import REPORTS

TECHNICAL = {"delay", "drip", "fault", "setup_timeout", "silence", "tick"}
"""Fields of `Behaviour` that are about no report."""


# --- the table ---


def test_each_report_names_a_test_and_settings_that_exist() -> None:
    reports = [report for group in REPORTS.values() for report in group]
    files = (ROOT / "tests/emulator").glob("test_*.py")
    trees = [ast.parse(file.read_text()).body for file in files]
    tests = {node.name for tree in trees for node in tree if isinstance(node, ast.FunctionDef)}
    fields = {field.name for field in dataclasses.fields(Behaviour)}
    assert {report.test for report in reports} <= tests
    assert {name for report in reports for name in report.settings} == fields - TECHNICAL
    assert all(report.what.endswith(".") and report.source for report in reports)
    assert len({report.what for report in reports}) == len(reports)


# --- minting ---


def test_a_429_has_its_delay_in_the_body_and_no_header(stand_in: StandIn) -> None:
    stand_in.behaviour.fault, stand_in.behaviour.retry_delay = 429, "12.5s"
    status, headers, data = stand_in.raw({})
    details = {one["@type"].rpartition(".")[2]: one for one in json.loads(data)["error"]["details"]}
    assert (status, headers["Retry-After"]) == (429, None)
    assert details["RetryInfo"]["retryDelay"] == "12.5s"
    assert details["QuotaFailure"]["violations"]


def test_a_cancelled_mint_passes_when_it_is_repeated(stand_in: StandIn) -> None:
    stand_in.behaviour.faults.extend([499, 408])
    answers = [stand_in.post({}) for _ in range(3)]
    assert [status for status, _ in answers] == [499, 408, 200]
    assert answers[0][1]["error"]["status"] == "CANCELLED"


def test_a_daily_quota_names_a_delay_of_seconds(stand_in: StandIn) -> None:
    stand_in.behaviour.faults.append("daily")
    status, answer = stand_in.post({})
    failure, info = answer["error"]["details"]
    assert (status, answer["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert [("PerDay" in each["quotaId"]) for each in failure["violations"]] == [True, False]
    assert info["retryDelay"] == "45.837906927s"


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_its_cause_in_its_status_and_details(stand_in: StandIn, name: str) -> None:
    stand_in.behaviour.faults.append(name)
    status, answer = stand_in.post({})
    error = answer["error"]
    words = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
    assert status == error["code"] == REFUSALS[name].code
    if name in ("leaked", "location"):
        word = "FAILED_PRECONDITION" if name == "location" else words[status]
        assert (error["status"], "details" in error) == (word, False)
        return
    info, text = error["details"]
    assert (error["status"], info["reason"]) == (words[status], name)
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["metadata"]["containerInfo"] == f"api_key:{KEY}"
    assert text["message"] == error["message"]
    assert (KEY in error["message"]) == (name == "CONSUMER_SUSPENDED")


def test_a_bad_key_and_a_bad_field_are_told_apart(stand_in: StandIn) -> None:
    key = stand_in.post({}, key="bad")[1]["error"]
    field = stand_in.post({"use": 1})[1]["error"]
    assert key["status"] == field["status"] == "INVALID_ARGUMENT"
    assert key["details"][0]["reason"] == "API_KEY_INVALID"
    assert field["details"][0]["@type"].endswith(".BadRequest")


# --- opening a session ---


def test_sessions_beyond_the_accounts_number_are_refused_at_the_socket(stand_in: StandIn) -> None:
    stand_in.behaviour.sessions_at_once = 1
    first, second = stand_in.token(), stand_in.token()
    with opened(stand_in, first):
        with stand_in.socket(second) as ws:
            assert stand_in.closed(ws, {"setup": SETUP}) == 1011
        stand_in.behaviour.too_many = 429
        with pytest.raises(InvalidStatus) as refused:
            stand_in.socket(second)
        assert refused.value.response.status_code == 429
    assert eventually(lambda: stand_in.gemini.sessions[0].closed is not None)
    with opened(stand_in, second) as ws:
        assert words(turn(ws, text("hello"))), "a refused session is not a use"


# --- handles ---


def test_the_handle_comes_after_the_turn(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token()) as ws:
        got = turn(ws, text("one"))
        assert not [one for one in got if one.get("sessionResumptionUpdate", {}).get("newHandle")]
        assert handle(ws)


def test_a_handle_is_a_snapshot_unless_set(stand_in: StandIn) -> None:
    said = []
    for stand_in.behaviour.snapshots in (True, False):
        with opened(stand_in, stand_in.token()) as ws:
            turn(ws, text("one"))
            issued = handle(ws)
            turn(ws, text("two"))
        with opened(stand_in, pinned(stand_in, issued)) as ws:
            said.append(words(turn(ws, text("three"))))
    assert said == ["I heard: three (turn 2)", "I heard: three (turn 3)"]


def test_updates_come_without_a_handle(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token()) as ws:
        got = turn(ws, text("one"))
        while not got[-1].get("sessionResumptionUpdate", {}).get("newHandle"):
            got.append(message(ws))
    updates = [one["sessionResumptionUpdate"] for one in got if "sessionResumptionUpdate" in one]
    assert updates[:-1] == [{"resumable": False}, {}]


# --- the connection ---


@pytest.mark.parametrize("code", [1006, 1007, 1008, 1011])
def test_a_connection_can_end_in_the_middle_of_an_answer(stand_in: StandIn, code: int) -> None:
    stand_in.behaviour.oddities = {2: code, 3: code}
    with opened(stand_in, stand_in.token()) as ws:
        turn(ws, text("one"))
        issued = handle(ws)
        assert ended(ws) == code
    with opened(stand_in, pinned(stand_in, issued)) as ws:
        assert ended(ws) == code, "it happens again"
    with opened(stand_in, pinned(stand_in, issued)) as ws:
        assert words(turn(ws, text("four"))) == "I heard: four (turn 2)"


def ended(ws: ClientConnection) -> int:
    """Send a text, and return the code with which the socket closes after the first audio."""
    ws.send(json.dumps(text("two")))
    assert parts(until(ws, "modelTurn")[-1])
    with pytest.raises(ConnectionClosedError) as end:
        message(ws)
    return end.value.rcvd.code if end.value.rcvd else 1006


def test_a_pong_can_be_late(stand_in: StandIn) -> None:
    stand_in.behaviour.pong_after = 60
    with opened(stand_in, stand_in.token()) as ws:
        assert not ws.ping().wait(0.2)
        stand_in.behaviour.pong_after = 0
        assert ws.ping().wait(5)
