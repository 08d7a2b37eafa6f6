"""The top level of a session's setup, and the mask that locks what is not left to the client.

Source: the Developer API converter of google-genai 3.4.0; a test keeps this list.
"""

from collections.abc import Collection, Mapping

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
"""Fields of the config that are fields of the setup of their own, and may be left to the client.

The others are all in `generationConfig`, whose `responseModalities` is always locked: without it
Gemini fills in one that today's models refuse.
"""

LOCKED = ("model", "generationConfig")


def mask(may_set: Collection[str]) -> str | None:
    """Return the `fieldMask` that leaves these fields of the config to the client and no others.

    With nothing left there is no mask: the token's setup then replaces the client's whole. With a
    mask, a field that it names overwrites the client's, where the policy sets none with nothing.
    Masks of names below the top level are often refused.
    """
    if not may_set:
        return None
    return ",".join((*LOCKED, *(field for name, field in FIELDS.items() if name not in may_set)))
