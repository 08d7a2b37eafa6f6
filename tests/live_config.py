"""Every field of a Live session's config, as google-genai writes it, and a config that sets all."""

import ast
import inspect
import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from google.genai import _tokens_converters

from emulator import fields, messages

MODEL = "gemini-9-live"
"""A model that nothing is known about, so that a config may set every field."""

Path = tuple[str, ...]


def written(converter: Any) -> Iterator[tuple[str, Path]]:
    """Yield what a converter of google-genai writes: a field, and its path below `setup`."""
    for call in ast.walk(ast.parse(inspect.getsource(converter))):
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "setv":
            continue
        _, path, value = call.args
        first, *rest = ast.literal_eval(path)
        if first == "setup":
            (source,) = (
                ast.literal_eval(each.args[1])
                for each in ast.walk(value)
                if isinstance(each, ast.Call) and ast.unparse(each.func) == "getv"
            )
            yield source[0], tuple(rest)


PATHS = dict(written(_tokens_converters._LiveConnectConfig_to_mldev))
"""Every field of the config that the Developer API's converter writes, and where it writes it."""

WHOLE = "generation_config"
"""The field whose members a policy sets one by one."""

MEMBERS = {name: path for name, path in PATHS.items() if len(path) == 2}
"""The fields that it writes into `generationConfig`."""

OWN = {name: path[0] for name, path in PATHS.items() if len(path) == 1 and name != WHOLE}
"""The fields that it writes as fields of the setup."""

SETUP_FIELDS = ("model", "generationConfig", *OWN.values())
"""Every top-level field of the setup."""


CONFIG = """
response_modalities = ["AUDIO"]
temperature = 0.7
top_p = 0.8
top_k = 3.0
max_output_tokens = 100
media_resolution = "MEDIA_RESOLUTION_LOW"
seed = 5
thinking_config = { include_thoughts = false }
enable_affective_dialog = false
translation_config = { target_language_code = "fr" }
system_instruction = { role = "user", parts = [{ text = "You are a patient tutor." }] }
tools = [{ google_search = {} }]
session_resumption = {}
input_audio_transcription = { language_codes = ["de-DE"] }
output_audio_transcription = { language_codes = ["de-DE"] }
realtime_input_config = { activity_handling = "NO_INTERRUPTION" }
context_window_compression = { trigger_tokens = 1000, sliding_window = { target_tokens = 500 } }
proactivity = { proactive_audio = false }
history_config = { initial_history_in_client_content = false }
avatar_config = { avatar_name = "ours" }
safety_settings = [{ category = "HARM_CATEGORY_HARASSMENT", threshold = "BLOCK_LOW_AND_ABOVE" }]
labels = { team = "ours" }

[speech_config]
language_code = "de-DE"
voice_config = { prebuilt_voice_config = { voice_name = "Kore" } }
"""
"""A config that sets every field."""

OURS: Mapping[str, Any] = tomllib.loads(CONFIG)

LEAST = ("response_modalities",)
"""The fields that a config must set."""


def placed(config: Mapping[str, Any]) -> Any:
    """The setup that a config becomes, built from the converter's paths, in camelCase."""
    whole: dict[str, Any] = {"model": f"models/{MODEL}"}
    for name, value in config.items():
        *parents, last = PATHS[name]
        at = whole
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return fields.read(whole, messages.SETUP, "setup")


def toml(config: Mapping[str, Any]) -> str:
    """A config in TOML, one line per field."""
    return "".join(f"{name} = {_inline(value)}\n" for name, value in config.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_inline(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)
