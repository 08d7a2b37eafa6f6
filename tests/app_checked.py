"""Policies with App Check, and requests to a function that has one."""

import json
from typing import Any

from asking import profile, refused
from stack import Answer, Stack

from livetoken.refusals import Reason

HEADER = "X-Firebase-AppCheck"
ACCOUNT_MODULES = {"google.auth.transport.requests", "requests"}
"""What is imported to get an access token of the runtime's service account."""

PROFILES = (
    profile("default")
    + profile("pro", 'require.plan = ["enterprise"]')
    + profile(
        "told",
        "claims.level.max_length = 5",
        'system_instruction = "Speak as for ${claim.level}."',
    )
)


def rules(mode: str, *apps: str) -> str:
    """A policy with App Check in a mode: off, required or consume.

    Args:
        apps: the ids of the accepted apps; all of the project if there are none.
    """
    everybody = "allow_anonymous = false\nrequire = { email_verified = [true] }\n"
    accepted = f"app_check_apps = {json.dumps(apps)}\n" if apps else ""
    callers = f'[callers]\napp_check = "{mode}"\n{accepted}{everybody}'
    return f'api_version = "v1alpha"\n{callers}{PROFILES}'


def ask(
    stack: Stack, check: str | None, body: bytes | dict[str, Any] = b"{}", **claims: Any
) -> Answer:
    """Ask with an App Check token, as Ada with some claims changed."""
    token = stack.issuer.id_token("ada", **claims)
    return stack.ask(body, token=token, headers={HEADER: check})


def refused_as(stack: Stack, check: str | None) -> str | None:
    """Ask, assert APP_CHECK_FAILED and no mint, return the detail in the log."""
    line = refused(stack, Reason.APP_CHECK_FAILED, headers={HEADER: check})
    assert (line["severity"], line["sub"]) == ("NOTICE", "ada-uid")
    return line.get("detail")


def unavailable_as(stack: Stack, check: str) -> str | None:
    """Ask, assert APP_CHECK_UNAVAILABLE and no mint, return the detail in the log."""
    line = refused(stack, Reason.APP_CHECK_UNAVAILABLE, headers={HEADER: check})
    assert line["severity"] == "ERROR"
    return line.get("detail")
