"""How sessions of the Live models differ, and what each refuses in a setup.

Sources: Google's pages of the models and of the Live API, and the reports in `reports.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from emulator import declarations
from emulator.tokens import Setup

Refusal: TypeAlias = Callable[[Setup], str | None]
"""Returns why a model refuses a setup, or None."""

VOICES = """
Achernar Achird Algenib Algieba Alnilam Aoede Autonoe Callirrhoe Charon Despina Enceladus Erinome
Fenrir Gacrux Iapetus Kore Laomedeia Leda Orus Puck Pulcherrima Rasalgethi Sadachbia Sadaltager
Schedar Sulafat Umbriel Vindemiatrix Zephyr Zubenelgenubi
""".split()  # noqa: SIM905  # a list would take thirty lines
"""The prebuilt voices. Source: Google's guide to speech generation, as of 2026-08-19."""

_RANGES = {"temperature": (0, 2), "topP": (0, 1), "maxOutputTokens": (1, 2**31 - 1)}


@dataclass(frozen=True)
class Model:
    """How sessions of one model behave."""

    refusals: tuple[Refusal, ...] = ()
    tools_block: bool = False
    """Whether a function blocks the turn that called it if its declaration has no `behavior`."""
    content_is_history: bool = False
    """Whether `clientContent` is refused after the first turn."""
    takes_media_chunks: bool = True
    """Whether the deprecated `mediaChunks` is accepted."""
    has_status: bool = False
    """Whether `turnComplete` comes with an `interactionStatus`, and thinking goes on after it."""

    def refusal(self, setup: Setup) -> str | None:
        """Why the model refuses a setup, or None."""
        return next(filter(None, (refusal(setup) for refusal in self.refusals)), None)


def _generation(setup: Setup) -> Mapping[str, Any]:
    found: Mapping[str, Any] = setup.get("generationConfig", {})
    return found


def only_audio(setup: Setup) -> str | None:
    """Without modalities Gemini means TEXT."""
    modalities = _generation(setup).get("responseModalities") or ["TEXT"]
    if others := [each for each in modalities if each != "AUDIO"]:
        return f"the model cannot answer in {', '.join(others)}, only in AUDIO."
    return "a modality is listed twice." if len(modalities) > 1 else None


def in_range(setup: Setup) -> str | None:
    for name, (least, most) in _RANGES.items():
        value = _generation(setup).get(name, least)
        if not least <= value <= most:
            return f"{name} is {value}, and must be from {least} to {most}."
    return None


def known_voice(setup: Setup) -> str | None:
    """Vertex AI refuses unknown names. That this API does too is the harsher reading."""
    config = _generation(setup).get("speechConfig", {}).get("voiceConfig", {})
    name = config.get("prebuiltVoiceConfig", {}).get("voiceName")
    return None if name is None or name.title() in VOICES else f"there is no voice {name}."


def proactive_audio_with_video(setup: Setup) -> str | None:
    proactivity = setup.get("proactivity", {})
    if proactivity.get("proactiveVideo") and not proactivity.get("proactiveAudio"):
        return "proactive_video requires proactive_audio."
    return None


def no_thinking(setup: Setup) -> str | None:
    if "thinkingConfig" in _generation(setup):
        return "the model does not accept a thinking config."
    return None


def a_level(setup: Setup) -> str | None:
    """Since 2026-09-15."""
    thinking = _generation(setup).get("thinkingConfig", {})
    if "thinkingLevel" not in thinking:
        return "the model requires a thinking level."
    if thinking["thinkingLevel"] not in ("LOW", "MEDIUM", "HIGH"):
        return f"the model does not accept the thinking level {thinking['thinkingLevel']}."
    if "thinkingBudget" in thinking:
        return "a thinking level and a thinking budget exclude each other."
    return None


def no_affective_dialog(setup: Setup) -> str | None:
    if "enableAffectiveDialog" in _generation(setup):
        return "the model does not accept enable_affective_dialog."
    return None


def no_reactive_audio(setup: Setup) -> str | None:
    if setup.get("proactivity", {}).get("proactiveAudio") is False:
        return "proactive_audio cannot be turned off for the model."
    return None


def no_blocking(setup: Setup) -> str | None:
    if any(each.get("behavior") == "BLOCKING" for each in declarations.functions(setup)):
        return "the functions of the model must be NON_BLOCKING."
    return None


def no_json_schema(setup: Setup) -> str | None:
    """Reports say that the arguments are then empty; a refusal is the harsher reading."""
    if any("parametersJsonSchema" in each for each in declarations.functions(setup)):
        return "the model does not support parameters_json_schema."
    return None


def no_unsupported_tools(setup: Setup) -> str | None:
    """Google lists them as not supported; that they are refused is the harsher reading."""
    unsupported = ("codeExecution", "urlContext", "googleMaps", "fileSearch")
    named = [name for name in unsupported if any(name in tool for tool in setup.get("tools", []))]
    return f"the model does not support {', '.join(named)}." if named else None


_OF_ALL = (only_audio, in_range, known_voice, proactive_audio_with_video, declarations.refusal)
_OF_3_8 = (*_OF_ALL, no_affective_dialog, no_reactive_audio, no_unsupported_tools)

MODELS: Mapping[str, Model] = {
    "models/gemini-3.8-live": Model((*_OF_3_8, no_thinking)),
    "models/gemini-3.8-live-extended-thinking": Model(
        (*_OF_3_8, a_level, no_blocking, no_json_schema), has_status=True
    ),
    "models/gemini-3.1-flash-live-preview": Model(
        _OF_ALL, tools_block=True, content_is_history=True, takes_media_chunks=False
    ),
    "models/gemini-3.5-live-translate-preview": Model(_OF_ALL),
}
