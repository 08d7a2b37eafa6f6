"""The corpus of raw requests, against the real process: whole, and byte by byte."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import function_of
from raw_client import Wire, said
from raw_parts import RawRequest
from raw_requests import PROFILES, REQUESTS, UNFINISHED
from stack import POLICY, Stack

from livetoken.refusals import Reason

function = function_of(POLICY)
MOST_BY_BYTE = 10_000  # bytes that are sent one by one


def attack(stack: Stack, data: bytes, size: int | None = None) -> str:
    """Send one input. Return what its only answer says, checked against the contract."""
    token = stack.issuer.id_token("ada").encode()
    with Wire(stack.function.port) as wire:
        wire.send(data.replace(b"<token>", token), at_once=size)
        answer = wire.only_answer()
    what = said(answer)
    if answer is not None and what in Reason.__members__:
        assert answer.is_refusal(Reason[what])
    elif answer is not None and what in PROFILES:
        answer.is_never_stored()
    return what


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        pytest.param(raw, size, id=f"{raw.family}: {raw.name}, {how}")
        for raw in REQUESTS
        for size, how in ((None, "whole"), (1, "byte by byte"))
        if size is None or (not raw.at_once and len(raw.data) <= MOST_BY_BYTE)
    ],
)
def test_a_raw_request_is_read_in_one_way(
    function: Stack,
    raw: RawRequest,
    size: int | None,
    record_property: Callable[[str, object], None],
) -> None:
    before = len(function.gemini.mints)
    answer = attack(function, raw.data, size)
    record_property("family", raw.family)
    record_property("answer", answer)
    assert answer == raw.answer
    assert len(function.gemini.mints) - before == (answer in PROFILES)


def test_requests_that_do_not_go_on_end_and_stall_nobody(function: Stack) -> None:
    before = len(function.gemini.mints)
    with ThreadPoolExecutor(len(UNFINISHED)) as threads:
        answers = {
            name: threads.submit(attack, function, data) for name, (data, _) in UNFINISHED.items()
        }
        assert function.ask().status == 200
    expected = {name: answer for name, (_, answer) in UNFINISHED.items()}
    assert {name: answer.result() for name, answer in answers.items()} == expected
    assert len(function.gemini.mints) - before == 1
