"""What may be minted for a policy, claims and a request, said a second time.

It shares no rule with the function.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from hidden import HIDDEN

from emulator import messages
from livetoken.constraint import FIELDS

REFUSED = HIDDEN | {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
CHOICES: dict[str, Any] = {
    "heat": {"path": "temperature", "values": [0, 0.5, 2], "default": 0.5},
    "speaks": {"path": "speech_config.language_code", "values": ["de-DE", "fr"], "default": "fr"},
    "seen": {"path": "output_audio_transcription.diarization", "values": [True], "default": True},
}
PLACES = {
    "heat": ("generationConfig", "temperature"),
    "speaks": ("generationConfig", "speechConfig", "language_code"),
    "seen": ("outputAudioTranscription", "diarization"),
}
"""Where the setup has each choice."""


def found(claims: dict[str, Any], path: str) -> Iterator[Any]:
    """The claim at a path, if there is one."""
    first, _, rest = path.partition(".")
    if first in claims and not rest:
        yield claims[first]
    elif isinstance(claims.get(first), dict):
        yield from found(claims[first], rest)


def meets(claims: dict[str, Any], require: dict[str, list[Any]]) -> bool:
    """Whether claims meet a rule: equal JSON text, except that 1 and 1.0 are the same number."""

    def as_json(value: Any) -> str:
        number = type(value) in (int, float)
        return json.dumps(float(value) if number else value)

    for path, accepted in require.items():
        values = [each for value in found(claims, path) for each in _as_list(value)]
        if not {as_json(value) for value in values} & {as_json(value) for value in accepted}:
            return False
    return True


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def instruction(profile: dict[str, Any], claims: dict[str, Any]) -> str | None:
    """The instruction that the model must get; None if the caller gets no token."""
    said: dict[str, str] = {}
    for name, rule in profile.get("claims", {}).items():
        (value, *_) = [*found(claims, name), rule.get("default")]
        fits = isinstance(value, str) and len(value) <= rule["max_length"]
        if not fits or not REFUSED.isdisjoint([*value, *map(unicodedata.category, value)]):
            return None
        said[name] = value
    text: str = profile["config"].get("system_instruction", "")
    parts = re.split(r"(\$\$\{|\$\{claim\.[a-z.]+\})", text)
    return "".join(
        "${" if part == "$${" else said[part[8:-1]] if part[:8] == "${claim." else part
        for part in parts
    )


def is_offered(profile: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether a profile offers all that a request chooses."""
    offered = profile.get("choices", {})
    return all(
        name in offered and any(_same(value, each) for each in offered[name]["values"])
        for name, value in asked.items()
    )


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def assert_not_wider(
    mint: dict[str, Any],
    profile: dict[str, Any],
    body: Any,
    said: str,
    handle: str | None,
    asked: dict[str, Any],
    identifier: str | None,
) -> None:
    """The request to Gemini is the compiled body with its placeholders filled."""
    expected = json.loads(json.dumps(body))
    setup = expected["bidiGenerateContentSetup"]
    if "systemInstruction" in setup:
        setup["systemInstruction"]["parts"][0]["text"] = said
    if handle is not None:
        setup["sessionResumption"]["handle"] = handle
    for name, choice in profile.get("choices", {}).items():
        *above, last = PLACES[name]
        table = setup
        for key in above:
            table = table[key]
        assert table[last] == choice["default"]
        table[last] = asked.get(name, choice["default"])
    if identifier is not None:
        setup.setdefault("labels", {})["safety_identifier"] = identifier
    times = {name: mint[name] for name in ("expireTime", "newSessionExpireTime")}
    assert mint == {**times, **expected}
    assert mint["uses"] == 1
    open_fields = {FIELDS[name] for name in profile.get("client_may_set", ())}
    masked = set(mint.get("fieldMask", ",".join(messages.SETUP)).split(","))
    assert masked == messages.SETUP.keys() - open_fields
