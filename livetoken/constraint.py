"""What a token is locked to: a profile's compiled body, made whole for one caller.

The body has two kinds of holes: the claims that its system instruction names, and the handle of the
session that it shall go on with. Each is filled with one JSON string; nothing else changes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from livetoken import instruction
from livetoken.callers import Caller
from livetoken.policy import Profile
from livetoken.refusals import Detail, Reason, Refused

SETUP = "bidiGenerateContentSetup"


@dataclass(frozen=True)
class Constraint:
    """One token's constraint: the request to Gemini, but for its times."""

    profile: Profile
    model: str
    _tail: bytes

    def request(self, expire_time: str, new_session_expire_time: str) -> bytes:
        """Return the whole body for two times, RFC 3339."""
        times = {"expireTime": expire_time, "newSessionExpireTime": new_session_expire_time}
        return _json(times)[:-1] + b"," + self._tail


@dataclass(frozen=True)
class Compiled:
    """A profile and its body, as `policy.lock.json` holds it."""

    profile: Profile
    body: Mapping[str, Any]

    def constraint(self, caller: Caller, resume: str | None) -> Constraint:
        """Fill the holes for a caller.

        Args:
            resume: the handle that is pinned, if there is one.

        Raises:
            Refused: INVALID_REQUEST for a handle that this profile does not take, NOT_ALLOWED for
                a claim that may not stand in the instruction.
        """
        setup = dict(self.body[SETUP])
        if resume is not None:
            if "session_resumption" not in self.profile.config:
                raise Refused(Reason.INVALID_REQUEST, Detail.NO_RESUMPTION)
            setup["sessionResumption"] = {**setup["sessionResumption"], "handle": resume}
        texts = {name: text.of(caller) for name, text in self.profile.claims.items()}
        if isinstance(self.profile.config.get("system_instruction"), str):
            (part,) = setup["systemInstruction"]["parts"]
            filled = {**part, "text": instruction.fill(part["text"], texts)}
            setup["systemInstruction"] = {**setup["systemInstruction"], "parts": [filled]}
        body = {**self.body, SETUP: setup}
        return Constraint(self.profile, setup["model"], _json(body)[1:])


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
