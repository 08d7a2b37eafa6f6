"""The refusals with which Google answers a mint, and the details of its errors (google.rpc)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SERVICE = "generativelanguage.googleapis.com"
PROJECT = "projects/secret-project"
PER_MINUTE = "AuthTokenRequestsPerMinutePerProject"
PER_DAY = "AuthTokenRequestsPerDayPerProject-FreeTier"
"""Named like those of `generateContent`; no report has the quotas of `auth_tokens`."""


@dataclass(frozen=True)
class Refusal:
    """An error that repeating the request does not help against.

    Args:
        code: its HTTP status.
        message: its text; `{key}` is the API key, which Google repeats.
        word: its status, if that is not the usual one of the code.
        has_info: whether ErrorInfo has the refusal's name as its reason.
    """

    code: int
    message: str
    word: str | None = None
    has_info: bool = True


REFUSALS: Mapping[str, Refusal] = {
    "API_KEY_INVALID": Refusal(400, "API key not valid. Please pass a valid API key."),
    "API_KEY_SERVICE_BLOCKED": Refusal(403, f"Requests to this API {SERVICE} are blocked."),
    "API_KEY_HTTP_REFERRER_BLOCKED": Refusal(403, "Requests from referer <empty> are blocked."),
    "API_KEY_IP_ADDRESS_BLOCKED": Refusal(
        403, "The originating IP address 203.0.113.7 violates the restriction of the API key."
    ),
    "API_KEY_ANDROID_APP_BLOCKED": Refusal(
        403, "Requests from this Android client application <empty> are blocked."
    ),
    "API_KEY_IOS_APP_BLOCKED": Refusal(
        403, "Requests from this iOS client application <empty> are blocked."
    ),
    "SERVICE_DISABLED": Refusal(
        403, f"Generative Language API has not been used in {PROJECT} before or it is disabled."
    ),
    "BILLING_DISABLED": Refusal(403, f"This API method requires billing on {PROJECT}."),
    "CONSUMER_SUSPENDED": Refusal(
        403, "Permission denied: Consumer 'api_key:{key}' has been suspended."
    ),
    "CONSUMER_INVALID": Refusal(403, f"Permission denied on resource {PROJECT}."),
    "CREDENTIALS_MISSING": Refusal(
        401, "API keys are not supported by this API. Expected OAuth2 access token."
    ),
    "leaked": Refusal(
        403, "Your API key was reported as leaked. Please use another API key.", has_info=False
    ),
    "location": Refusal(
        400,
        "User location is not supported for the API use.",
        "FAILED_PRECONDITION",
        has_info=False,
    ),
}
"""By the reason in ErrorInfo, or a name of ours if it has none."""


def detail(kind: str, **fields: object) -> Mapping[str, object]:
    """One of the details of an error."""
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def error_info(reason: str, key: str) -> Mapping[str, object]:
    """Why a request is refused."""
    about = {"service": SERVICE, "consumer": PROJECT, "containerInfo": f"api_key:{key}"}
    return detail("ErrorInfo", reason=reason, domain="googleapis.com", metadata=about)


def quota_failure(*quotas: str) -> Mapping[str, object]:
    """Which quotas are used up."""
    metric = f"{SERVICE}/auth_token_requests"
    violations = [{"quotaMetric": metric, "quotaId": quota} for quota in quotas]
    return detail("QuotaFailure", violations=violations)
