"""How sessions of the Live models differ, and what each refuses in a setup.

Sources: Google's pages of the models and of the Live API, and the reports in `reports.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from emulator.tokens import Setup

Refusal: TypeAlias = Callable[[Setup], str | None]
"""Returns why a model refuses a setup, or None."""


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


def functions(setup: Setup) -> Iterator[Mapping[str, Any]]:
    """The declarations of the client's functions."""
    for tool in setup.get("tools", []):
        yield from tool.get("functionDeclarations", [])


def _thinking(setup: Setup) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = setup.get("generationConfig", {}).get("thinkingConfig")
    return found


def only_audio(setup: Setup) -> str | None:
    """Without modalities Gemini means TEXT."""
    modalities = setup.get("generationConfig", {}).get("responseModalities") or ["TEXT"]
    if modalities == ["AUDIO"]:
        return None
    return f"the model cannot answer in {', '.join(modalities)}, only in AUDIO."


def no_thinking(setup: Setup) -> str | None:
    return "the model does not accept a thinking config." if _thinking(setup) is not None else None


def a_level(setup: Setup) -> str | None:
    """Since 2026-09-15."""
    thinking = _thinking(setup) or {}
    if "thinkingLevel" not in thinking:
        return "the model requires a thinking level."
    if thinking["thinkingLevel"] not in ("LOW", "MEDIUM", "HIGH"):
        return f"the model does not accept the thinking level {thinking['thinkingLevel']}."
    if "thinkingBudget" in thinking:
        return "a thinking level and a thinking budget exclude each other."
    return None


def no_affective_dialog(setup: Setup) -> str | None:
    if "enableAffectiveDialog" in setup.get("generationConfig", {}):
        return "the model does not accept enable_affective_dialog."
    return None


def no_reactive_audio(setup: Setup) -> str | None:
    if setup.get("proactivity", {}).get("proactiveAudio") is False:
        return "proactive_audio cannot be turned off for the model."
    return None


def no_blocking(setup: Setup) -> str | None:
    if any(function.get("behavior") == "BLOCKING" for function in functions(setup)):
        return "the functions of the model must be NON_BLOCKING."
    return None


def no_unsupported_tools(setup: Setup) -> str | None:
    """Google lists them as not supported; that they are refused is the harsher reading."""
    unsupported = ("codeExecution", "urlContext", "googleMaps", "fileSearch")
    named = [name for name in unsupported if any(name in tool for tool in setup.get("tools", []))]
    return f"the model does not support {', '.join(named)}." if named else None


_OF_3_8 = (only_audio, no_affective_dialog, no_reactive_audio, no_unsupported_tools)

MODELS: Mapping[str, Model] = {
    "models/gemini-3.8-live": Model((*_OF_3_8, no_thinking)),
    "models/gemini-3.8-live-extended-thinking": Model(
        (*_OF_3_8, a_level, no_blocking), has_status=True
    ),
    "models/gemini-3.1-flash-live-preview": Model(
        (only_audio,), tools_block=True, content_is_history=True, takes_media_chunks=False
    ),
}
