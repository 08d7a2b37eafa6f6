"""What Google's error bodies say: the cause of a refusal, the quota that is used up, the wait.

A body is a google.rpc.Status in JSON. Its texts name the project and can repeat the API key, so
only members of `Detail` and numbers leave this module. A body in another format says nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from livetoken.refusals import Detail

REASONS: Mapping[str, Detail] = {
    "API_KEY_INVALID": Detail.KEY_INVALID,
    "CONSUMER_INVALID": Detail.KEY_INVALID,
    "CREDENTIALS_MISSING": Detail.KEY_INVALID,
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": Detail.KEY_INVALID,
    "API_KEY_SERVICE_BLOCKED": Detail.KEY_RESTRICTED,
    "API_KEY_HTTP_REFERRER_BLOCKED": Detail.KEY_RESTRICTED,
    "API_KEY_IP_ADDRESS_BLOCKED": Detail.KEY_RESTRICTED,
    "API_KEY_ANDROID_APP_BLOCKED": Detail.KEY_RESTRICTED,
    "API_KEY_IOS_APP_BLOCKED": Detail.KEY_RESTRICTED,
    "CONSUMER_SUSPENDED": Detail.SUSPENDED,
    "GCP_SUSPENDED": Detail.SUSPENDED,
    "SERVICE_DISABLED": Detail.API_DISABLED,
    "BILLING_DISABLED": Detail.BILLING_DISABLED,
}
"""Causes by the `reason` in google.rpc.ErrorInfo, from google/api/error_reason.proto."""

STATUSES: Mapping[str, Detail] = {
    "INVALID_ARGUMENT": Detail.FIELD_REFUSED,
    "FAILED_PRECONDITION": Detail.LOCATION_REFUSED,
    "PERMISSION_DENIED": Detail.KEY_DENIED,
    "UNAUTHENTICATED": Detail.KEY_INVALID,
}
"""Causes by `status`, if there is no ErrorInfo."""

QUOTAS: Mapping[str, Detail] = {
    "PerDay": Detail.QUOTA_PER_DAY,
    "PerMinute": Detail.QUOTA_PER_MINUTE,
}
"""Quotas by a part of their name, the longest first."""

_DURATION = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?s")  # google/protobuf/duration.proto


@dataclass(frozen=True)
class GoogleError:
    """An error body. It is not trusted: any value can be missing or of any type."""

    status: object
    details: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read a body. One in another format has no status and no details."""
        try:
            answer = json.loads(body.decode())
        except (ValueError, RecursionError):
            answer = None
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict):
            return cls(None, ())
        return cls(error.get("status"), tuple(_objects(error.get("details"))))

    @property
    def cause(self) -> Detail:
        """Why the request was refused; STATUS if that is not known."""
        infos = list(self._of_type("ErrorInfo"))
        table = REASONS if infos else STATUSES
        words = [info.get("reason") for info in infos] if infos else [self.status]
        known = (table[word] for word in words if isinstance(word, str) and word in table)
        return next(known, Detail.STATUS)

    @property
    def quota(self) -> Detail | None:
        """Which quota is used up: of several, the one that lasts longest."""
        names = [
            violation.get("quotaId")
            for failure in self._of_type("QuotaFailure")
            for violation in _objects(failure.get("violations"))
        ]
        for info in self._of_type("ErrorInfo"):
            names += [about.get("quota_limit") for about in _objects([info.get("metadata")])]
        said = " ".join(name for name in names if isinstance(name, str))
        return next((quota for part, quota in QUOTAS.items() if part in said), None)

    @property
    def retry_delay(self) -> int | None:
        """Whole seconds until another try can help, rounded up."""
        delays = (info.get("retryDelay") for info in self._of_type("RetryInfo"))
        read = (_DURATION.fullmatch(delay) for delay in delays if isinstance(delay, str))
        return max((int(it[1]) + (int(it[2] or 0) > 0) for it in read if it), default=None)

    def _of_type(self, name: str) -> Iterator[Mapping[str, Any]]:
        url = f"type.googleapis.com/google.rpc.{name}"
        return (detail for detail in self.details if detail.get("@type") == url)


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
