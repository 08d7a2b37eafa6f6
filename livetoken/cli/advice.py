"""Warnings: valid settings that are probably mistakes, each with its reason.

What is said here about Gemini's sessions is reported and not promised. Source: Google's Live API
pages on sessions and models, as of 2026-11-23.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import Any

from livetoken import instruction
from livetoken.caller import Caller
from livetoken.compile.models import GONE, LEGACY
from livetoken.mistakes import dotted
from livetoken.policy import CallerRules, Policy, Profile
from livetoken.refusals import Refused

AUDIO_LASTS = 15 * 60
"""Seconds of a session with audio and without compression."""

CONNECTION_LASTS = 10 * 60
"""Seconds of a connection, about."""

_SELF_CHOSEN = ("name", "given_name", "family_name", "picture")
_ANONYMOUS = {"identities": {}, "sign_in_provider": "anonymous"}
_CLAIMS = {"provider_id": "anonymous", "firebase": _ANONYMOUS}
_NEW_ANONYMOUS_ACCOUNT = Caller("", "", True, _CLAIMS, 0)


class Code(Enum):
    """Every warning. The member's name is its code, the value its reason."""

    MODEL_GONE = "Google has withdrawn this model: Gemini refuses every session with it."
    MODEL_LEGACY = "Google calls this model legacy and will withdraw it."
    TEXT_MODALITY = "Current models answer in audio only; use output_audio_transcription for text."
    NO_INSTRUCTION = "Without an instruction, callers can use the model for anything, on your key."
    OPEN_INSTRUCTION = "Callers can give the model any instruction, on your key."
    OPEN_TOOLS = "Callers can use Google's tools, such as search, on your key."
    SELF_CHOSEN_CLAIM = "People choose this claim themselves. Custom claims are set only by you."
    UNUSED_CLAIM = "The instruction does not name it, and yet it refuses callers it does not fit."
    NO_COMPRESSION = "Without it, a session with audio ends after 15 minutes, before the token."
    NO_RESUMPTION = "Without it, a session ends with its connection, after about 10 minutes."
    NO_LIMIT = 'A caller can get any number of tokens, on your key. Set one such as "30/hour".'
    LIMIT_OF_NOBODY = "Anybody can make anonymous accounts without App Check: this stops nobody."
    IDLE_LIMIT = "A longer time allows no more tokens, so the shorter limit hardly applies."
    UNVERIFIED_EMAIL = "People can sign up with any address. Require email_verified = [true] too."


@dataclass(frozen=True)
class Advice:
    """One warning: the name of its code, the path of its setting, and its reason."""

    code: str
    path: str
    message: str


def of(policy: Policy, configs: Mapping[str, Mapping[str, Any]]) -> tuple[Advice, ...]:
    """Return the warnings about a policy, none of them twice.

    Args:
        configs: the config of each profile, as written.
    """
    found = (
        (code, path)
        for name, profile in policy.profiles.items()
        for applies, code, path in _rules(policy.callers, profile, configs[name])
        if applies
    )
    return tuple(Advice(code.name, path, code.value) for code, path in dict.fromkeys(found))


def _rules(
    callers: CallerRules, profile: Profile, config: Mapping[str, Any]
) -> Iterator[tuple[bool, Code, str]]:
    """Yield every rule for a profile: whether it applies, its code, and the path of its setting."""
    at = partial(dotted, "profiles", profile.name)
    model, ends = profile.model.removeprefix("models/"), profile.expires_in
    left_open, possible = profile.client_may_set, {*config, *profile.client_may_set}
    required = (*callers.require, *profile.require)
    verified = any(
        each.claim == ("email_verified",) and all(value is True for value in each.accepted)
        for each in required
    )
    yield model in GONE, Code.MODEL_GONE, at("model")
    yield model in LEGACY, Code.MODEL_LEGACY, at("model")
    text = "TEXT" in config["response_modalities"]
    yield text, Code.TEXT_MODALITY, at("config", "response_modalities")
    path = at("config", "system_instruction")
    yield "system_instruction" not in possible, Code.NO_INSTRUCTION, path
    yield "system_instruction" in left_open, Code.OPEN_INSTRUCTION, at("client_may_set")
    yield "tools" in left_open, Code.OPEN_TOOLS, at("client_may_set")
    instructed = config.get("system_instruction")
    named = set(instruction.placeholders(instructed)) if isinstance(instructed, str) else set()
    for claim in (each.claim for each in profile.claims):
        self_chosen = claim in _SELF_CHOSEN or (claim == "email" and not verified)
        yield claim not in named, Code.UNUSED_CLAIM, at("claims", claim)
        yield claim in named and self_chosen, Code.SELF_CHOSEN_CLAIM, at("claims", claim)
    for field, lasts, code in (
        ("context_window_compression", AUDIO_LASTS, Code.NO_COMPRESSION),
        ("session_resumption", CONNECTION_LASTS, Code.NO_RESUMPTION),
    ):
        yield ends > lasts and field not in possible, code, at("config", field)
    yield not profile.limits, Code.NO_LIMIT, at("limit")
    unbounded = callers.app_check == "off" and _may_anybody_ask(callers, profile)
    yield bool(profile.limits) and unbounded, Code.LIMIT_OF_NOBODY, at("limit")
    by_time = sorted(profile.limits, key=lambda limit: limit.seconds)
    idle = any(longer.amount <= shorter.amount for shorter, longer in pairwise(by_time))
    yield idle, Code.IDLE_LIMIT, at("limit")
    for each in required:
        yield each.claim == ("email",) and not verified, Code.UNVERIFIED_EMAIL, each.path


def _may_anybody_ask(callers: CallerRules, profile: Profile) -> bool:
    """Whether an anonymous account that was made a moment ago may ask."""
    try:
        callers.check(_NEW_ANONYMOUS_ACCOUNT)
        profile.check(_NEW_ANONYMOUS_ACCOUNT)
    except Refused:
        return False
    return True
