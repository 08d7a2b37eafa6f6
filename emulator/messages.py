"""The messages of the Live API, field by field.

The top-level fields of the setup are those that the Developer API converter of google-genai 3.4.0
writes, the longest known list. Nested fields are those of `google.genai.types`, without the ones
that only Vertex AI has. Parts with a caller's own data (schemas, arguments, parts of a turn that
the stand-in does not read) may be any JSON.
"""

from __future__ import annotations

from collections.abc import Mapping

from emulator.fields import BOOLEAN, BYTES, FREE, INTEGER, NUMBER, STRING, STRINGS, Kind

EMPTY: Mapping[str, Kind] = {}

BLOB: Kind = {"data": BYTES, "mimeType": STRING, "displayName": STRING}

PART: Kind = {
    "text": STRING,
    "inlineData": BLOB,
    "fileData": {"fileUri": STRING, "mimeType": STRING, "displayName": STRING},
    "functionCall": FREE,
    "functionResponse": FREE,
    "executableCode": FREE,
    "codeExecutionResult": FREE,
    "toolCall": FREE,
    "toolResponse": FREE,
    "thought": BOOLEAN,
    "thoughtSignature": BYTES,
    "videoMetadata": FREE,
    "audioMetadata": FREE,
    "documentMetadata": FREE,
    "spreadsheetMetadata": FREE,
    "speechMetadata": FREE,
    "partMetadata": FREE,
    "audioTranscription": FREE,
    "mediaProcessing": FREE,
    "mediaResolution": FREE,
}

CONTENT: Kind = {"parts": [PART], "role": STRING}

VOICE: Kind = {
    "prebuiltVoiceConfig": {"voiceName": STRING},
    "replicatedVoiceConfig": {
        "mimeType": STRING,
        "voiceSampleAudio": BYTES,
        "consentAudio": BYTES,
        "voiceConsentSignature": {"signature": STRING},
    },
    "voice": STRING,
}

TRANSCRIPTION: Kind = {
    "languageCodes": [STRING],
    "languageAuto": EMPTY,
    "languageHints": {"languageCodes": [STRING]},
    "customVocabulary": [STRING],
    "adaptationPhrases": [STRING],
    "wordTimestamp": BOOLEAN,
    "diarization": BOOLEAN,
    "mode": ("MODE_UNSPECIFIED", "VERBATIM", "SMART"),
    "sourceText": STRING,
}

MODALITIES = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO")

GENERATION: Mapping[str, Kind] = {
    "responseModalities": [MODALITIES],
    "temperature": NUMBER,
    "topP": NUMBER,
    "topK": NUMBER,
    "candidateCount": INTEGER,
    "maxOutputTokens": INTEGER,
    "stopSequences": [STRING],
    "seed": INTEGER,
    "presencePenalty": NUMBER,
    "frequencyPenalty": NUMBER,
    "responseLogprobs": BOOLEAN,
    "logprobs": INTEGER,
    "responseMimeType": STRING,
    "responseSchema": FREE,
    "responseJsonSchema": FREE,
    "responseFormat": [FREE],
    "enableEnhancedCivicAnswers": BOOLEAN,
    "enableAffectiveDialog": BOOLEAN,
    "mediaResolution": (
        "MEDIA_RESOLUTION_UNSPECIFIED",
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_MEDIUM",
        "MEDIA_RESOLUTION_HIGH",
    ),
    "speechConfig": {
        "voiceConfig": VOICE,
        "languageCode": STRING,
        "multiSpeakerVoiceConfig": {
            "speakerVoiceConfigs": [{"speaker": STRING, "voiceConfig": VOICE}]
        },
    },
    "thinkingConfig": {
        "includeThoughts": BOOLEAN,
        "thinkingBudget": INTEGER,
        "thinkingLevel": (
            "THINKING_LEVEL_UNSPECIFIED",
            "MINIMAL",
            "LOW",
            "MEDIUM",
            "HIGH",
            "XHIGH",
        ),
    },
    "translationConfig": {"echoTargetLanguage": BOOLEAN, "targetLanguageCode": STRING},
    "audioTranscriptionConfig": TRANSCRIPTION,
}

TOOL: Kind = {
    "functionDeclarations": [
        {
            "name": STRING,
            "description": STRING,
            "parameters": FREE,
            "parametersJsonSchema": FREE,
            "response": FREE,
            "responseJsonSchema": FREE,
            "behavior": ("UNSPECIFIED", "BLOCKING", "NON_BLOCKING"),
        }
    ],
    "googleSearch": {
        "searchTypes": {"webSearch": EMPTY, "imageSearch": EMPTY},
        "timeRangeFilter": {"startTime": STRING, "endTime": STRING},
    },
    "googleSearchRetrieval": FREE,
    "googleMaps": {"authConfig": {"apiKey": STRING}, "enableWidget": BOOLEAN},
    "codeExecution": EMPTY,
    "urlContext": EMPTY,
    "computerUse": FREE,
    "fileSearch": {"fileSearchStoreNames": [STRING], "topK": INTEGER, "metadataFilter": STRING},
    "mcpServers": [FREE],
}

SETUP: Mapping[str, Kind] = {
    "model": STRING,
    "generationConfig": GENERATION,
    "systemInstruction": CONTENT,
    "tools": [TOOL],
    "sessionResumption": {"handle": STRING},
    "inputAudioTranscription": TRANSCRIPTION,
    "outputAudioTranscription": TRANSCRIPTION,
    "realtimeInputConfig": {
        "automaticActivityDetection": {
            "disabled": BOOLEAN,
            "startOfSpeechSensitivity": (
                "START_SENSITIVITY_UNSPECIFIED",
                "START_SENSITIVITY_HIGH",
                "START_SENSITIVITY_LOW",
            ),
            "endOfSpeechSensitivity": (
                "END_SENSITIVITY_UNSPECIFIED",
                "END_SENSITIVITY_HIGH",
                "END_SENSITIVITY_LOW",
            ),
            "prefixPaddingMs": INTEGER,
            "silenceDurationMs": INTEGER,
        },
        "activityHandling": (
            "ACTIVITY_HANDLING_UNSPECIFIED",
            "START_OF_ACTIVITY_INTERRUPTS",
            "NO_INTERRUPTION",
        ),
        "turnCoverage": (
            "TURN_COVERAGE_UNSPECIFIED",
            "TURN_INCLUDES_ONLY_ACTIVITY",
            "TURN_INCLUDES_ALL_INPUT",
            "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
        ),
        "interimTranscriptTimestampEnabled": BOOLEAN,
    },
    "contextWindowCompression": {
        "triggerTokens": INTEGER,
        "slidingWindow": {"targetTokens": INTEGER},
    },
    "proactivity": {"proactiveAudio": BOOLEAN, "proactiveVideo": BOOLEAN},
    "historyConfig": {"initialHistoryInClientContent": BOOLEAN},
    "avatarConfig": {
        "avatarName": STRING,
        "customizedAvatar": {"imageMimeType": STRING, "imageData": BYTES},
        "audioBitrateBps": INTEGER,
        "videoBitrateBps": INTEGER,
    },
    "safetySettings": [{"category": STRING, "threshold": STRING}],
    "labels": STRINGS,
}

FUNCTION_RESPONSE: Kind = {
    "id": STRING,
    "name": STRING,
    "response": FREE,
    "willContinue": BOOLEAN,
    "scheduling": ("SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT"),
    "parts": FREE,
}


def auth_token(setup: Mapping[str, Kind]) -> Mapping[str, Kind]:
    """The body of `POST auth_tokens`, with the fields that `setup` has."""
    return {
        "expireTime": STRING,
        "newSessionExpireTime": STRING,
        "uses": INTEGER,
        "fieldMask": STRING,
        "bidiGenerateContentSetup": setup,
    }


def client_message(setup: Mapping[str, Kind]) -> Mapping[str, Kind]:
    """The messages of a client; each has exactly one of these fields."""
    return {
        "setup": setup,
        "clientContent": {"turns": [CONTENT], "turnComplete": BOOLEAN},
        "realtimeInput": {
            "mediaChunks": [BLOB],
            "audio": BLOB,
            "audioStreamEnd": BOOLEAN,
            "video": BLOB,
            "text": STRING,
            "activityStart": EMPTY,
            "activityEnd": EMPTY,
        },
        "toolResponse": {"functionResponses": [FUNCTION_RESPONSE]},
        "contextUpdate": {"systemInstruction": CONTENT, "tools": {"tools": [TOOL]}},
    }
