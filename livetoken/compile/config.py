"""Rules about a profile's config that google-genai's types do not express."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from livetoken import instruction
from livetoken.compile import functions, models
from livetoken.compile.strict import Found, Path, nodes

# RFC 5646, section 2.1, without languages of over three letters: none is registered.
_LANGUAGE = re.compile(
    r"[a-z]{2,3}(-[a-z]{3}){0,3}(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"
    r"(-[a-wyz0-9](-[a-z0-9]{2,8})+)*(-x(-[a-z0-9]{1,8})+)?",
    re.IGNORECASE,
)
_LANGUAGES = ("language_code", "language_codes", "target_language_code")


def mistakes(model: object, config: Mapping[str, Any]) -> Iterator[Found]:
    """Yield what a config says that no session accepts. Wrong types are reported elsewhere.

    Args:
        model: the name of the model, as written.
    """
    yield from models.mistakes(model, config)
    modalities = config.get("response_modalities")
    if isinstance(modalities, list):
        for index, each in enumerate(modalities):
            if each in modalities[:index]:
                yield ("response_modalities", str(index)), "is listed twice"
    voices = config.get("speech_config")
    both = ("voice_config", "multi_speaker_voice_config")
    if isinstance(voices, dict) and all(each in voices for each in both):
        yield ("speech_config", both[1]), f"excludes {both[0]}: write one of the two"
    proactivity = config.get("proactivity")
    says = proactivity.get if isinstance(proactivity, dict) else {}.get
    if says("proactive_video") is True and says("proactive_audio") is not True:
        yield ("proactivity", "proactive_video"), "requires proactive_audio = true"
    yield from _languages(config)
    yield from functions.mistakes(config)


def of_instruction(text: object, claims: Collection[str]) -> Iterator[Found]:
    """Yield the mistakes in a system instruction.

    Args:
        claims: the claims that its placeholders may name.
    """
    if isinstance(text, str) and text.strip():
        for claim in instruction.placeholders(text):
            if claim is None:
                yield (), "${ begins ${claim.…}; write $${ for a literal ${"
            elif claim not in claims:
                yield (), f"${{claim.{claim}}} is not among the profile's claims"
    elif text == {} or isinstance(text, str):
        yield (), "is empty: leave it out"
    else:
        for path, part in _texts(text):
            if not part.strip():
                yield path, "is empty: leave it out"
        if "${" in json.dumps(text, default=str):
            yield (), "in parts, it cannot contain ${: write it as one text"


def _texts(content: object) -> Iterator[tuple[Path, str]]:
    """Yield the texts of an instruction of parts."""
    above: Path = ()
    if isinstance(content, dict) and "parts" in content:
        above, content = ("parts",), content["parts"]
    if isinstance(content, dict) and isinstance(content.get("text"), str):
        yield ("text",), content["text"]
    for index, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, str):
            yield (*above, str(index)), part
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            yield (*above, str(index), "text"), part["text"]


def _languages(config: Mapping[str, Any]) -> Iterator[Found]:
    """Yield every language that is not a BCP 47 tag."""
    for path, value in nodes({key: each for key, each in config.items() if key != "tools"}):
        keys = [key for key in path if not key.isdigit()]
        is_language = isinstance(value, str) and keys and keys[-1] in _LANGUAGES
        if is_language and not _LANGUAGE.fullmatch(value):
            yield path, "must be a language tag (BCP 47), such as en-US"
