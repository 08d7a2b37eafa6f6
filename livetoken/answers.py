"""Answers: one function a kind, each with the headers that every answer has."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from livetoken.dialects import Ask
from livetoken.gemini import Grant
from livetoken.origins import PREFLIGHT
from livetoken.refusals import Reason, Refused

_ALWAYS = {"Cache-Control": "no-store", "Vary": "Origin"}
_OF_CODE = {401: {"WWW-Authenticate": "Bearer"}, 405: {"Allow": "POST, OPTIONS"}}


def minted(grant: Grant, ask: Ask, cors: Mapping[str, str]) -> Response:
    """The token, in the dialect of its request; the first three fields are the SDK's AuthToken."""
    answer = {
        "name": grant.name,
        "expireTime": grant.expire_time,
        "newSessionExpireTime": grant.new_session_expire_time,
        "profile": grant.constraint.profile.name,
        "model": grant.constraint.model,
        "apiVersion": grant.api_version,
        "webSocketUrl": grant.web_socket_url,
    }
    return JSONResponse(ask.wrap(answer), headers={**_ALWAYS, **cors})


def refused(refusal: Refused, cors: Mapping[str, str]) -> Response:
    """A refusal: its fixed sentence, and nothing of what led to it."""
    reason: Reason = refusal.reason
    meaning = reason.value
    headers = {**_ALWAYS, **_OF_CODE.get(meaning.code, {}), **cors}
    details: dict[str, Any] = {"reason": reason.name, "retryable": meaning.retryable}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
        details["retryAfterSeconds"] = refusal.retry_after
    error = {
        "code": meaning.code,
        "status": meaning.status,
        "message": meaning.message,
        "details": details,
    }
    return JSONResponse({"error": error}, status_code=meaning.code, headers=headers)


def preflight(cors: Mapping[str, str]) -> Response:
    """The answer to OPTIONS (Fetch standard, CORS-preflight)."""
    return Response(status_code=204, headers={**_ALWAYS, **PREFLIGHT, **cors})
