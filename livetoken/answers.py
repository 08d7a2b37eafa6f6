"""A token, a refusal or a preflight as a response, with the headers that all of them have."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from livetoken.gemini import Grant
from livetoken.limits.limiter import Reservation
from livetoken.origins import PREFLIGHT
from livetoken.refusals import Refused
from livetoken.request import TokenRequest

_ALWAYS = {"Cache-Control": "no-store", "Vary": "Origin"}
_OF_CODE = {401: {"WWW-Authenticate": "Bearer"}, 405: {"Allow": "POST, OPTIONS"}}


def minted(
    grant: Grant, reserved: Reservation, asked: TokenRequest, cors: Mapping[str, str]
) -> Response:
    """Answer with a token. The first three fields are those of the SDK's AuthToken."""
    left = {} if reserved.left is None else {"budgetSecondsLeft": reserved.left}
    answer = {
        "name": grant.name,
        "expireTime": grant.expire_time,
        "newSessionExpireTime": grant.new_session_expire_time,
        "profile": grant.constraint.profile.name,
        "model": grant.constraint.model,
        "apiVersion": grant.api_version,
        "webSocketUrl": grant.web_socket_url,
        **left,
    }
    return JSONResponse(asked.wrap(answer), headers={**_ALWAYS, **cors})


def refused(refusal: Refused, cors: Mapping[str, str]) -> Response:
    """Answer with a refusal: its fixed sentence, and nothing of the request."""
    meaning = refusal.reason.value
    headers = {**_ALWAYS, **_OF_CODE.get(meaning.code, {}), **cors}
    details: dict[str, Any] = {"reason": refusal.reason.name, "retryable": meaning.retryable}
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
    """Answer a preflight (Fetch standard, CORS-preflight)."""
    return Response(status_code=204, headers={**_ALWAYS, **PREFLIGHT, **cors})
