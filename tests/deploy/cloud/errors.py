"""Refusals in the format of Google's errors (AIP-193, google.rpc.Code)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

STATUS_WORDS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
"""The names in google.rpc.Code, each with its HTTP status."""


class Refused(Exception):
    """A request that Google would answer with an error.

    Args:
        status: a key of `STATUS_WORDS`.
        message: what gcloud prints.
        details: more objects, each with its `@type`.
    """

    def __init__(self, status: str, message: str, details: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = list(details)

    @property
    def code(self) -> int:
        """The HTTP status."""
        return STATUS_WORDS[self.status]

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        error = {"code": self.code, "message": self.message, "status": self.status}
        return {"error": error | ({"details": self.details} if self.details else {})}


class Unknown(Exception):
    """Something that the stand-in does not implement. It fails the test."""


def invalid(message: str) -> Refused:
    return Refused("INVALID_ARGUMENT", message)


def precondition(message: str) -> Refused:
    return Refused("FAILED_PRECONDITION", message)


def not_found(message: str) -> Refused:
    return Refused("NOT_FOUND", message)


def exists(message: str) -> Refused:
    return Refused("ALREADY_EXISTS", message)


def denied(permission: str, resource: str) -> Refused:
    """The refusal that names the missing permission, in the words of most of Google's APIs."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "domain": "iam.googleapis.com",
        "metadata": {"permission": permission, "resource": resource},
    }
    message = f"Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
    return Refused("PERMISSION_DENIED", message, [info])


def disabled(api: str, title: str, project_number: str) -> Refused:
    """The refusal if the project has not enabled an API."""
    console = "https://console.developers.google.com/apis/api"
    url = f"{console}/{api}/overview?project={project_number}"
    message = (
        f"{title} has not been used in project {project_number} before or it is disabled. Enable it"
        f" by visiting {url} then retry. If you enabled this API recently, wait a few minutes for"
        " the action to propagate to our systems and retry."
    )
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"consumer": f"projects/{project_number}", "service": api},
    }
    return Refused("PERMISSION_DENIED", message, [info])
