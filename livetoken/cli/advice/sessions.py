"""Warnings about what a session may do and how long it lasts.

What is said here about Gemini's sessions is reported and not promised. Sources: Google's Live API
pages on sessions, as of 2026-11-23, and `livetoken/compile/models.toml`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from livetoken.cli.advice.codes import Code, Finding
from livetoken.compile import models
from livetoken.compile.strict import Path, nodes
from livetoken.policy import Profile

AUDIO_LASTS = 15 * 60
"""Seconds of a session with audio and without compression."""

CONNECTION_LASTS = 10 * 60
"""Seconds of a connection, about."""

LEAST_START = 10
"""Seconds that a phone on a slow network may need to open a session."""

_FILE = re.compile(r"\S+\.(md|txt|toml|json|prompt)")


def of(profile: Profile, config: Mapping[str, Any], replaced: Iterable[str]) -> Iterator[Finding]:
    """Yield every rule about the sessions of a profile.

    Args:
        replaced: the fields of the config that drop a part of the inherited one.
    """
    above = ("profiles", profile.name)
    at: Path = (*above, "config")
    left_open, possible = profile.client_may_set, {*config, *profile.client_may_set}
    yield from _model(profile.model, (*above, "model"))
    for path in models.unsupported(profile.model, config):
        yield True, Code.NOT_SUPPORTED, (*at, *path), ""
    for path, voice in nodes(config.get("speech_config")):
        if path[-1:] == ("voice_name",) and voice not in models.facts().voices:
            meant = _meant(models.close_voice(voice))
            yield True, Code.VOICE_UNKNOWN, (*at, "speech_config", *path), meant
    text = "TEXT" in config["response_modalities"]
    yield text, Code.TEXT_MODALITY, (*at, "response_modalities"), ""
    instructed = config.get("system_instruction")
    is_file = isinstance(instructed, str) and bool(_FILE.fullmatch(instructed))
    yield "system_instruction" not in possible, Code.NO_INSTRUCTION, (*at, "system_instruction"), ""
    yield is_file, Code.INSTRUCTION_FILE, (*at, "system_instruction"), ""
    may_set = (*above, "client_may_set")
    yield "system_instruction" in left_open, Code.OPEN_INSTRUCTION, may_set, ""
    yield "tools" in left_open, Code.OPEN_TOOLS, may_set, ""
    starts = profile.start_within < LEAST_START
    yield starts, Code.SHORT_START, (*above, "start_within"), ""
    resumption = profile.expires_in > CONNECTION_LASTS and "session_resumption" not in possible
    yield resumption, Code.NO_RESUMPTION, (*at, "session_resumption"), ""
    field = "context_window_compression"
    is_long = profile.expires_in > AUDIO_LASTS
    yield is_long and field not in possible, Code.NO_COMPRESSION, (*at, field), ""
    for each in replaced:
        yield True, Code.REPLACES_DEFAULT, (*at, each), ""
    if field in config:
        yield from _compression(config[field], (*at, field))


def _model(name: str, path: Path) -> Iterator[Finding]:
    state, meant = models.facts().state(name), _meant(models.close_model(name))
    yield state == "withdrawn", Code.MODEL_GONE, path, ""
    yield state == "legacy", Code.MODEL_LEGACY, path, ""
    is_live = "live" in name or "native-audio" in name
    yield state is None and not is_live, Code.MODEL_NOT_LIVE, path, meant
    yield state is None and is_live, Code.MODEL_UNKNOWN, path, meant


def _compression(compression: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    window = compression.get("sliding_window")
    yield window is None, Code.COMPRESSION_OFF, path, ""
    if window and "trigger_tokens" in compression:
        is_over = window.get("target_tokens", 0) >= compression["trigger_tokens"]
        yield is_over, Code.TARGET_TOO_LARGE, (*path, "sliding_window", "target_tokens"), ""


def _meant(close: str | None) -> str:
    return f"Did you mean {close}?" if close else ""
