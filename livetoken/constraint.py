"""What a token is locked to: the body of a profile, completed for one caller.

Four things are filled in: the claims that the system instruction names, what the request chooses
among the policy's values, the caller's safety identifier, and the handle of the session to resume.
Each is one JSON scalar; nothing else changes.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from livetoken import instruction
from livetoken.caller import Caller
from livetoken.policy import Profile, Scalar
from livetoken.refusals import Detail, Reason, Refused
from livetoken.request import TokenRequest

SETUP = "bidiGenerateContentSetup"

SAFETY_LABEL = "safety_identifier"
"""The key in the setup's `labels` by which Google tells an app's users apart. Source: the
description of `labels` in google-genai 3.4.0."""

FIELDS: Mapping[str, str] = {
    "system_instruction": "systemInstruction",
    "tools": "tools",
    "session_resumption": "sessionResumption",
    "input_audio_transcription": "inputAudioTranscription",
    "output_audio_transcription": "outputAudioTranscription",
    "realtime_input_config": "realtimeInputConfig",
    "context_window_compression": "contextWindowCompression",
    "proactivity": "proactivity",
    "history_config": "historyConfig",
    "avatar_config": "avatarConfig",
    "safety_settings": "safetySettings",
    "labels": "labels",
}
"""The fields of the config that have a field of their own in the setup: the client may set these.

All others are in `generationConfig`, whose `responseModalities` is always locked: without it Gemini
fills in a modality that today's models refuse. Source: the Developer API converter of google-genai
3.4.0; a test compares this list with it.
"""

_ALWAYS_LOCKED = ("model", "generationConfig")


def mask(may_set: Collection[str]) -> str | None:
    """Return the `fieldMask` that leaves these fields of the config to the client and no others.

    If the client may set nothing, there is no mask: the token's setup replaces the client's whole.
    With a mask, each field that it names overwrites the client's, even if the policy does not set
    it. Gemini often refuses masks of names below the top level.
    """
    if not may_set:
        return None
    locked = (field for name, field in FIELDS.items() if name not in may_set)
    return ",".join((*_ALWAYS_LOCKED, *locked))


@dataclass(frozen=True)
class Constraint:
    """What one token is locked to: the request to Gemini without its times."""

    profile: Profile
    model: str
    _tail: bytes

    def request(self, expire_time: str, new_session_expire_time: str) -> bytes:
        """Return the whole body. Both times are RFC 3339."""
        times = {"expireTime": expire_time, "newSessionExpireTime": new_session_expire_time}
        return _json(times)[:-1] + b"," + self._tail


def constrain(
    profile: Profile, caller: Caller, asked: TokenRequest, safety_identifier: str | None
) -> Constraint:
    """Complete the body of a profile for a caller.

    Args:
        safety_identifier: what names the caller to Gemini, or None.

    Raises:
        Refused: INVALID_REQUEST if there is a handle and the policy does not set
            `session_resumption`, or if a choice is not offered; NOT_ALLOWED if a claim cannot be
            put into the instruction.
    """
    setup = dict(profile.body[SETUP])
    if asked.resume is not None:
        if "sessionResumption" not in setup:
            raise Refused(Reason.INVALID_REQUEST, Detail.NO_RESUMPTION)
        setup["sessionResumption"] = {**setup["sessionResumption"], "handle": asked.resume}
    choices = {each.name: each for each in profile.choices}
    for name, value in asked.choices.items():
        if name not in choices:
            raise Refused(Reason.INVALID_REQUEST, Detail.CHOICE_NOT_OFFERED)
        setup = _with(setup, choices[name].at, choices[name].value(value))
    if safety_identifier is not None:
        setup["labels"] = {**setup.get("labels", {}), SAFETY_LABEL: safety_identifier}
    texts = {each.claim: each.of(caller) for each in profile.claims}
    if "systemInstruction" in setup:
        parts = [_filled(part, texts) for part in setup["systemInstruction"]["parts"]]
        setup["systemInstruction"] = {**setup["systemInstruction"], "parts": parts}
    body = {**profile.body, SETUP: setup}
    return Constraint(profile, setup["model"], _json(body)[1:])


def _with(table: Mapping[str, Any], at: tuple[str, ...], value: Scalar) -> dict[str, Any]:
    """Return a copy of a table with another value at a path that it has."""
    first, *rest = at
    return {**table, first: _with(table[first], tuple(rest), value) if rest else value}


def _filled(part: Mapping[str, Any], texts: Mapping[str, str]) -> Mapping[str, Any]:
    """Fill a part of the instruction. Only an instruction of one text has placeholders."""
    return {**part, "text": instruction.fill(part["text"], texts)} if "text" in part else part


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
