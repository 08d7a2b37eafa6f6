"""What is sound in a policy and still seldom meant: warnings, each with its reason.

What is known of Gemini's sessions here is reported, not promised: Google's Live API pages on
sessions and models, as of 2026-11-23.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import TypeAlias

from livetoken import instruction
from livetoken.callers import Caller
from livetoken.models import GONE, LEGACY
from livetoken.policy import CallerRules, Policy, Profile
from livetoken.problems import dotted
from livetoken.refusals import Refused
from livetoken.rules import Requirement

AUDIO_LASTS = timedelta(minutes=15)  # a session with audio, without compression
CONNECTION_LASTS = timedelta(minutes=10)  # about

_SELF_CHOSEN = ("name", "given_name", "family_name", "picture")
_NEW_ANONYMOUS_ACCOUNT = Caller(
    issuer="",
    sub="",
    anonymous=True,
    claims={
        "provider_id": "anonymous",
        "firebase": {"identities": {}, "sign_in_provider": "anonymous"},
    },
    signed_in_ago=0,
)


class Code(Enum):
    """Every warning: the member's name is its code, the value its reason."""

    MODEL_GONE = (
        "Google has withdrawn this model: tokens for it are made, and every session is refused."
    )
    MODEL_LEGACY = "Google calls this model legacy: it will be withdrawn."
    TEXT_MODALITY = (
        "Today's models answer in audio alone and refuse the session; text comes from"
        " output_audio_transcription."
    )
    NO_INSTRUCTION = (
        "Without an instruction the model is a general assistant: whoever holds a token can have"
        " it do anything on your key."
    )
    OPEN_INSTRUCTION = (
        "With system_instruction left open, whoever holds a token can have any assistant on your"
        " key."
    )
    OPEN_TOOLS = (
        "With tools left open, whoever holds a token can have Google's tools, such as search, on"
        " your key."
    )
    SELF_CHOSEN_CLAIM = (
        "People choose this claim themselves, and the instruction says it to the model; what"
        " steers a model should be a custom claim, which you alone can set."
    )
    UNUSED_CLAIM = (
        "The instruction does not name this claim; callers whose claim does not fit are refused all"
        " the same."
    )
    NO_COMPRESSION = (
        "A session with audio ends after 15 minutes without context_window_compression, before"
        " this token does."
    )
    NO_RESUMPTION = (
        "A connection ends after about ten minutes, and without session_resumption the session"
        " with it, before this token does."
    )
    NO_LIMIT = (
        'Whoever may ask can ask without end, on your key; a limit such as "30/hour" bounds what'
        " one caller can cost."
    )
    LIMIT_OF_NOBODY = (
        "Anonymous accounts may ask and App Check is off: a new account costs nothing and starts"
        " from zero, so the limit holds nobody."
    )
    IDLE_LIMIT = (
        "A longer time has no more tokens than a shorter one, whose limit then hardly ever refuses"
        " anybody."
    )
    UNVERIFIED_EMAIL = (
        "Anybody can sign up with somebody else's address: require email_verified = [true] too."
    )


@dataclass(frozen=True)
class Advice:
    """One warning: a code's name, the path of the setting that it is about, and the reason."""

    code: str
    path: str
    message: str


Found: TypeAlias = tuple[Code, str]
"""A code and a path."""


def of(policy: Policy) -> tuple[Advice, ...]:
    """Return the warnings about a policy without mistakes, none of them twice."""
    found = (each for profile in policy.profiles.values() for each in _all(policy.callers, profile))
    return tuple(Advice(code.name, path, code.value) for code, path in dict.fromkeys(found))


def _all(callers: CallerRules, profile: Profile) -> Iterator[Found]:
    required = (*callers.require, *profile.require)
    yield from _of_the_model(profile)
    yield from _of_the_instruction(profile, required)
    yield from _of_the_time(profile)
    yield from _of_the_limit(callers, profile)
    if not _is_email_verified(required):
        for requirement in required:
            if requirement.claim == ("email",):
                yield Code.UNVERIFIED_EMAIL, requirement.path


def _of_the_model(profile: Profile) -> Iterator[Found]:
    at = partial(dotted, "profiles", profile.name)
    model = profile.model.removeprefix("models/")
    if model in GONE:
        yield Code.MODEL_GONE, at("model")
    if model in LEGACY:
        yield Code.MODEL_LEGACY, at("model")
    if "TEXT" in profile.config["response_modalities"]:
        yield Code.TEXT_MODALITY, at("config", "response_modalities")


def _of_the_instruction(profile: Profile, required: tuple[Requirement, ...]) -> Iterator[Found]:
    at = partial(dotted, "profiles", profile.name)
    if not _has(profile, "system_instruction"):
        yield Code.NO_INSTRUCTION, at("config", "system_instruction")
    if "system_instruction" in profile.client_may_set:
        yield Code.OPEN_INSTRUCTION, at("client_may_set")
    if "tools" in profile.client_may_set:
        yield Code.OPEN_TOOLS, at("client_may_set")
    text = profile.config.get("system_instruction")
    named = set(instruction.holes(text)) if isinstance(text, str) else set()
    for claim in profile.claims:
        if claim not in named:
            yield Code.UNUSED_CLAIM, at("claims", claim)
        elif claim in _SELF_CHOSEN or (claim == "email" and not _is_email_verified(required)):
            yield Code.SELF_CHOSEN_CLAIM, at("claims", claim)


def _of_the_time(profile: Profile) -> Iterator[Found]:
    at = partial(dotted, "profiles", profile.name, "config")
    if profile.expires_in > AUDIO_LASTS and not _has(profile, "context_window_compression"):
        yield Code.NO_COMPRESSION, at("context_window_compression")
    if profile.expires_in > CONNECTION_LASTS and not _has(profile, "session_resumption"):
        yield Code.NO_RESUMPTION, at("session_resumption")


def _of_the_limit(callers: CallerRules, profile: Profile) -> Iterator[Found]:
    path = dotted("profiles", profile.name, "limit")
    if not profile.limit:
        yield Code.NO_LIMIT, path
    elif callers.app_check == "off" and _admits_anybody(callers, profile):
        yield Code.LIMIT_OF_NOBODY, path
    by_time = sorted(profile.limit, key=lambda limit: limit.seconds)
    if any(longer.amount <= shorter.amount for shorter, longer in pairwise(by_time)):
        yield Code.IDLE_LIMIT, path


def _has(profile: Profile, field: str) -> bool:
    """Whether a session can have a field, set by the policy or by the client."""
    return field in profile.config or field in profile.client_may_set


def _is_email_verified(required: tuple[Requirement, ...]) -> bool:
    return any(
        requirement.claim == ("email_verified",)
        and all(accepted is True for accepted in requirement.accepted)
        for requirement in required
    )


def _admits_anybody(callers: CallerRules, profile: Profile) -> bool:
    """Whether an account that was made a moment ago, by nobody in particular, may ask."""
    try:
        callers.admit(_NEW_ANONYMOUS_ACCOUNT)
        profile.admit(_NEW_ANONYMOUS_ACCOUNT)
    except Refused:
        return False
    return True
