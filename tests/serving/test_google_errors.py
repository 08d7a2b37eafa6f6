"""What Gemini says when it does not mint: the cause for the log, the wait for the caller."""

import json
from typing import Any

import pytest
from stack import Stack

from emulator.google_errors import PER_DAY, REFUSALS, detail, error_info, quota_failure
from livetoken import gemini
from livetoken.refusals import Reason

CAUSES = {
    "API_KEY_INVALID": "KEY_INVALID",
    "CONSUMER_INVALID": "KEY_INVALID",
    "CREDENTIALS_MISSING": "KEY_INVALID",
    "API_KEY_SERVICE_BLOCKED": "KEY_RESTRICTED",
    "API_KEY_HTTP_REFERRER_BLOCKED": "KEY_RESTRICTED",
    "API_KEY_IP_ADDRESS_BLOCKED": "KEY_RESTRICTED",
    "API_KEY_ANDROID_APP_BLOCKED": "KEY_RESTRICTED",
    "API_KEY_IOS_APP_BLOCKED": "KEY_RESTRICTED",
    "CONSUMER_SUSPENDED": "SUSPENDED",
    "SERVICE_DISABLED": "API_DISABLED",
    "BILLING_DISABLED": "BILLING_DISABLED",
    "leaked": "KEY_DENIED",
    "location": "LOCATION_REFUSED",
}
PASSING = (408, 409, 425, 499)
MALFORMED = (
    *("", "45", "s", "5 s", " 5s", "5s ", "5s\n", "5S", "5ms", "+5s", "-5s", "1.s", ".5s", "1,5s"),
    *("1e3s", "0x5s", "NaNs", "NaN", "Infinitys", "1.0000000001s", "9999999999999s", "\u0665s"),
)


def body_of(*details: object, **error: object) -> bytes:
    """An error of Google with these details."""
    return json.dumps({"error": {"details": details, **error}}).encode()


def refused(livetoken: Stack, fault: Any, reason: Reason) -> tuple[dict[str, Any], int | None]:
    """Fail one mint. Returns what the log adds to what it always says, and the wait in seconds.

    The whole answer and the whole line are known, so no text of Gemini's is in them.
    """
    lines, mints = len(livetoken.log()), len(livetoken.gemini.mints)
    livetoken.gemini.behaviour.fault = fault
    answer = livetoken.ask()
    assert answer.is_refusal(reason)
    assert len(livetoken.gemini.mints) - mints == (2 if fault in (502, 503, 504) else 1)
    line = livetoken.logged(lines + 1)
    assert line.pop("latency_ms") >= line.pop("gemini_ms") > 0
    always = {
        "severity": reason.value.severity,
        "message": "refused",
        "reason": reason.name,
        "profile": "default",
        "issuer": f"https://securetoken.google.com/{livetoken.issuer.firebase_project}",
        "sub": livetoken.issuer.claims("ada")["sub"],
    }
    assert line.items() >= always.items()
    wait = answer.headers.get("retry-after")
    rest = {name: value for name, value in line.items() if name not in always}
    return rest, None if wait is None else int(wait)


# ------------------------------------------------------------------ the cause


@pytest.mark.parametrize("fault", REFUSALS)
def test_the_log_says_why_gemini_refused(livetoken: Stack, fault: str) -> None:
    rest, _ = refused(livetoken, fault, Reason.GEMINI_REFUSED)
    assert rest == {"detail": CAUSES[fault], "gemini_status": REFUSALS[fault].code}


def test_a_field_that_gemini_does_not_know_is_told_from_a_bad_key(
    livetoken: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = frozenset({"outputAudioTranscription"})
    monkeypatch.setattr(livetoken.gemini.behaviour, "unknown_fields", unknown)
    rest, _ = refused(livetoken, None, Reason.GEMINI_REFUSED)
    assert rest == {"detail": "FIELD_REFUSED", "gemini_status": 400}
    assert livetoken.gemini.mints[-1].status == 400


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ({"status": "INVALID_ARGUMENT"}, "FIELD_REFUSED"),
        ({"status": "UNAUTHENTICATED"}, "KEY_INVALID"),
        ({"status": "NOT_FOUND"}, "STATUS"),
        ({"status": "secret words"}, "STATUS"),
        ({"status": "API_KEY_INVALID"}, "STATUS"),
        ({"reasons": ["INVALID_ARGUMENT"]}, "STATUS"),
        ({}, "STATUS"),
        # A reason that is not known says more than the status, and we do not know what.
        ({"status": "INVALID_ARGUMENT", "reasons": ["SECRET_WORDS"]}, "STATUS"),
        ({"status": "INVALID_ARGUMENT", "reasons": [None]}, "STATUS"),
        ({"status": "INVALID_ARGUMENT", "reasons": ["A", "API_KEY_INVALID"]}, "KEY_INVALID"),
        ({"status": "PERMISSION_DENIED", "reasons": ["GCP_SUSPENDED"]}, "SUSPENDED"),
        ({"reasons": ["ACCESS_TOKEN_TYPE_UNSUPPORTED"]}, "KEY_INVALID"),
    ],
)
def test_only_known_statuses_and_reasons_are_causes(
    livetoken: Stack, error: dict[str, Any], cause: str
) -> None:
    infos = [error_info(reason, "key") for reason in error.pop("reasons", ())]
    body = body_of(*infos, message="API key not valid", **error)
    rest, _ = refused(livetoken, (400, body), Reason.GEMINI_REFUSED)
    assert rest == {"detail": cause, "gemini_status": 400}


# ------------------------------------------------------------------ what passes


@pytest.mark.parametrize("status", PASSING)
def test_a_status_that_passes_is_unavailable_and_left_to_the_caller_to_repeat(
    livetoken: Stack, status: int
) -> None:
    rest, wait = refused(livetoken, status, Reason.GEMINI_UNAVAILABLE)
    assert rest == {"detail": "STATUS", "gemini_status": status}
    assert wait == gemini.RETRY_AFTER_UNAVAILABLE
    livetoken.gemini.behaviour.fault = None
    assert livetoken.ask().status == 200


def test_a_daily_quota_is_told_from_a_passing_one(livetoken: Stack) -> None:
    """Gemini names the same delay of seconds with both."""
    passing = {"detail": "QUOTA_PER_MINUTE", "gemini_status": 429}
    assert refused(livetoken, 429, Reason.GEMINI_QUOTA) == (passing, 46)
    daily = {"detail": "QUOTA_PER_DAY", "gemini_status": 429}
    assert refused(livetoken, "daily", Reason.GEMINI_QUOTA) == (daily, 3600)
    livetoken.gemini.behaviour.retry_after = "7"
    assert refused(livetoken, "daily", Reason.GEMINI_QUOTA) == (daily, 3600)


@pytest.mark.parametrize(
    ("quota", "known", "seconds"),
    [
        (quota_failure("RequestsPerMonth"), {}, 5),
        (quota_failure("requests per day"), {}, 5),
        (quota_failure(), {}, 5),
        (detail("ErrorInfo", metadata={"quota_limit": PER_DAY}), {"detail": "QUOTA_PER_DAY"}, 3600),
        (detail("Help", violations=[{"quotaId": PER_DAY}]), {}, 5),
        (detail("ErrorInfo", reason=PER_DAY), {}, 5),
    ],
)
def test_a_quota_that_is_not_known_has_no_detail(
    livetoken: Stack, quota: object, known: dict[str, str], seconds: int
) -> None:
    body = body_of(quota, detail("RetryInfo", retryDelay="5s"), message=PER_DAY)
    rest, wait = refused(livetoken, (429, body), Reason.GEMINI_QUOTA)
    assert rest == {**known, "gemini_status": 429}
    assert wait == seconds


# ------------------------------------------------------------------ the wait


@pytest.mark.parametrize(
    ("delay", "header", "seconds"),
    [
        ("45.837906927s", None, 46),
        ("45.000000001s", None, 46),
        ("45.0s", None, 45),
        ("0s", None, 1),
        ("0.4s", None, 1),
        ("3599.5s", None, 3600),
        ("86400s", None, 3600),
        ("999999999999.999999999s", None, 3600),
        ("5s", "7", 7),
        ("20s", "7", 20),
        ("20s", "soon", 20),
        ("-20s", "7", 7),
        (None, "7", 7),
        (None, None, 10),
        (None, "soon", 10),
    ],
)
def test_the_wait_is_the_longer_of_the_two_that_gemini_names(
    livetoken: Stack, delay: str | None, header: str | None, seconds: int
) -> None:
    behaviour = livetoken.gemini.behaviour
    behaviour.retry_delay, behaviour.retry_after = delay, header
    assert refused(livetoken, 429, Reason.GEMINI_QUOTA)[1] == seconds


@pytest.mark.parametrize("delay", MALFORMED)
def test_a_malformed_delay_is_ignored(livetoken: Stack, delay: str) -> None:
    livetoken.gemini.behaviour.retry_delay = delay
    assert refused(livetoken, 429, Reason.GEMINI_QUOTA)[1] == gemini.RETRY_AFTER_QUOTA


@pytest.mark.parametrize("status", [499, 500, 503])
def test_other_failures_can_name_a_delay_too(livetoken: Stack, status: int) -> None:
    """Of several, the longest counts."""
    infos = [detail("RetryInfo", retryDelay=delay) for delay in ("7.2s", "3s", "x")]
    livetoken.gemini.behaviour.fault = (status, body_of(*infos))
    answer = livetoken.ask()
    assert answer.is_refusal(Reason.GEMINI_UNAVAILABLE)
    assert answer.headers["retry-after"] == "8"


# ------------------------------------------------------------------ hostile bodies

WRONG: tuple[object, ...] = (None, True, 5, -5.5, "", "secret words", [], ["x"], {}, {"x": {}})
HOSTILE = (
    *(b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b"<html>secret words</html>", b"[" * 200_000),
    *(b'{"error":' * 25_000, b"9" * 200_000, b'{"error": 1e999}', b'{"error": NaN}'),
    b'{"error": {"status": "\\ud800", "details": [NaN]}}',
    *(json.dumps(each).encode() for each in WRONG),
    json.dumps([{"error": {"status": "INVALID_ARGUMENT"}}]).encode(),
    *(json.dumps({"error": each}).encode() for each in WRONG),
    *(json.dumps({"error": {"status": each, "details": each}}).encode() for each in WRONG),
    *(body_of(each) for each in WRONG),
    *(body_of({"@type": each, "reason": "API_KEY_INVALID"}) for each in WRONG),
    *(
        body_of(
            detail("ErrorInfo", reason=each, metadata=each),
            detail("ErrorInfo", metadata={"quota_limit": each}),
            detail("QuotaFailure", violations=each),
            detail("QuotaFailure", violations=[each]),
            detail("QuotaFailure", violations=[{"quotaId": each}]),
            detail("RetryInfo", retryDelay=each),
        )
        for each in WRONG
    ),
    body_of(*[{"@type": "x" * 90}] * 2_000),
)


@pytest.mark.parametrize(
    ("status", "reason", "detail", "wait"),
    [
        (400, Reason.GEMINI_REFUSED, "STATUS", None),
        (429, Reason.GEMINI_QUOTA, None, 10),
        (500, Reason.GEMINI_UNAVAILABLE, "STATUS", 2),
    ],
)
def test_a_body_in_another_format_says_nothing(
    livetoken: Stack, status: int, reason: Reason, detail: str | None, wait: int | None
) -> None:
    known = {"detail": detail} if detail else {}
    for body in HOSTILE:
        rest, seconds = refused(livetoken, (status, body), reason)
        assert (rest, seconds) == ({**known, "gemini_status": status}, wait), body[:200]
