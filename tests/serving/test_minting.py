"""Minting: one retry if it can help, no text of Gemini's in the answer, many callers at once."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import refused
from stack import API_KEY, POLICY, Stack, until

from emulator.google_errors import REFUSALS
from livetoken import gemini
from livetoken.refusals import Reason


@pytest.mark.parametrize("fault", [502, 503, 504, "reset"])
def test_a_passing_fault_is_retried_once(livetoken: Stack, fault: int | str) -> None:
    before = len(livetoken.gemini.mints)
    livetoken.gemini.behaviour.faults.append(fault)
    assert livetoken.ask().status == 200
    assert len(livetoken.gemini.mints) == before + 2


@pytest.mark.parametrize("fault", [502, 503, 504, "reset"])
def test_a_standing_fault_is_tried_twice_and_no_more(livetoken: Stack, fault: int | str) -> None:
    before = len(livetoken.gemini.mints)
    livetoken.gemini.behaviour.fault = fault
    assert livetoken.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert len(livetoken.gemini.mints) == before + 2


@pytest.mark.parametrize(
    "fault",
    [
        *(400, 401, 403, 404, 408, 409, 425, 429, 499, 500),
        *("daily", "location", "html", "empty", "noname"),
    ],
)
def test_any_other_fault_is_not_retried(livetoken: Stack, fault: int | str) -> None:
    before = len(livetoken.gemini.mints)
    livetoken.gemini.behaviour.faults.append(fault)
    assert livetoken.ask().status in (429, 500, 503)
    assert len(livetoken.gemini.mints) == before + 1


@pytest.mark.slow
def test_a_retry_does_not_start_the_deadline_again(livetoken: Stack) -> None:
    livetoken.gemini.behaviour.faults.extend([503, "hang"])
    livetoken.gemini.behaviour.delay = 2
    assert livetoken.ask().is_refusal(Reason.GEMINI_TIMEOUT)
    assert livetoken.log()[-1]["gemini_ms"] < gemini.DEADLINE * 1000 + 500


def test_a_redirect_is_not_followed(livetoken: Stack) -> None:
    before = len(livetoken.gemini.mints)
    livetoken.gemini.behaviour.faults.append("redirect")
    assert livetoken.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert len(livetoken.gemini.mints) == before + 1


def test_the_key_is_not_sent_through_a_proxy(livetoken: Stack) -> None:
    """The function's environment names proxies that do not exist."""
    assert livetoken.ask().status == 200


def test_a_host_name_that_cannot_exist_is_unavailable(alone: Stack) -> None:
    with alone.running(GOOGLE_GEMINI_BASE_URL="https://-.invalid") as livetoken:
        assert livetoken.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
        assert "Traceback" not in livetoken.function.output()


def test_a_refused_connection_is_unavailable_and_counts_in_no_limit(alone: Stack) -> None:
    once = POLICY.replace("[profiles.default]", '[profiles.default]\nlimit = "1/day"')
    with alone.running(once, GOOGLE_GEMINI_BASE_URL="http://127.0.0.1:1") as livetoken:
        for _ in range(3):
            line = refused(livetoken, Reason.GEMINI_UNAVAILABLE)
            assert line["detail"] == "CONNECTION"


def test_a_certificate_of_an_unknown_authority_is_unavailable(alone: Stack) -> None:
    """The key is not sent to a server that only has the address."""
    with alone.running(SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt") as livetoken:
        assert livetoken.ask().is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert not alone.gemini.mints


@pytest.mark.parametrize("fault", [400, 403, 429, 500, 503, "daily", *REFUSALS])
def test_no_text_of_geminis_is_passed_on(livetoken: Stack, fault: int | str) -> None:
    livetoken.gemini.behaviour.fault = fault
    body = livetoken.ask().body
    assert b"secret" not in body
    assert API_KEY.encode() not in body


def test_retry_after_may_be_a_date(livetoken: Stack) -> None:
    livetoken.gemini.behaviour.fault = 429
    livetoken.gemini.behaviour.retry_delay = None
    moment = time.gmtime(time.time() + 30)
    livetoken.gemini.behaviour.retry_after = time.strftime("%a, %d %b %Y %H:%M:%S GMT", moment)
    assert 25 <= int(livetoken.ask().headers["retry-after"]) <= 31


@pytest.mark.parametrize("header", ["soon", "Mon, 99 Nov 2026 10:00:00 GMT", "-1", "1e3", "\u00b3"])
def test_a_malformed_retry_after_is_ignored(livetoken: Stack, header: str) -> None:
    livetoken.gemini.behaviour.fault = 429
    livetoken.gemini.behaviour.retry_delay = None
    livetoken.gemini.behaviour.retry_after = header
    assert livetoken.ask().headers["retry-after"] == str(gemini.RETRY_AFTER_QUOTA)


def test_retry_after_is_at_most_an_hour(livetoken: Stack) -> None:
    livetoken.gemini.behaviour.fault = 429
    livetoken.gemini.behaviour.retry_after = "999999"
    assert livetoken.ask().headers["retry-after"] == "3600"


def test_connections_are_kept_and_many_callers_wait_together(livetoken: Stack) -> None:
    livetoken.gemini.behaviour.delay = 0.5
    tokens = [livetoken.issuer.id_token("ada", sub=f"caller-{n}") for n in range(32)]
    before = len(livetoken.gemini.mints)
    with ThreadPoolExecutor(32) as callers:
        began = time.monotonic()
        answers = list(callers.map(lambda token: livetoken.ask(token=token), tokens))
        assert time.monotonic() - began < 5
        answers += callers.map(lambda token: livetoken.ask(token=token), tokens)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["name"] for answer in answers}) == 64
    ports = {request.port for request in livetoken.gemini.mints[before:]}
    assert len(ports) <= 40


def test_the_first_caller_finds_a_connection_open(alone: Stack) -> None:
    with alone.running() as livetoken:
        until(lambda: alone.requests.ports)
        assert livetoken.ask().status == 200
        warmed_up, minted = alone.requests.ports
        assert minted == warmed_up
