"""A client app that uses google-genai with a token from the function."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google import genai
from google.genai import types
from google.genai.errors import ExperimentalWarning


@dataclass(frozen=True)
class Heard:
    """What the client received: audio (24 kHz, 16-bit, mono) and its transcript."""

    audio: bytes
    transcript: str
    handle: str | None
    """The handle that resumes the session, or None."""


async def converse(
    answer: Mapping[str, Any],
    text: str,
    *,
    config: types.LiveConnectConfig | None = None,
    base_url: str | None = None,
) -> Heard:
    """Open a session with a token, send a text, and receive the whole answer.

    The SDK always uses `wss`; it trusts the certificates in `SSL_CERT_FILE`.

    Args:
        answer: the function's answer.
        text: the text to send.
        config: what the client asks for; audio if left out.
        base_url: where Gemini listens with TLS, if not on the host of `webSocketUrl`.

    Raises:
        google.genai.errors.APIError: the session is refused.
    """
    host = answer["webSocketUrl"].partition("://")[2].partition("/ws/")[0]
    base_url = base_url or f"https://{host}"
    options = types.HttpOptions(api_version=answer["apiVersion"], base_url=base_url)
    config = config or types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
    audio, transcript, handle = bytearray(), [], None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        client = genai.Client(api_key=answer["name"], vertexai=False, http_options=options)
        async with client.aio.live.connect(model=answer["model"], config=config) as session:
            turn = types.Content(role="user", parts=[types.Part(text=text)])
            await session.send_client_content(turns=turn, turn_complete=True)
            async for message in session.receive():
                audio += message.data or b""
                content = message.server_content
                if content and content.output_transcription:
                    transcript.append(content.output_transcription.text or "")
                update = message.session_resumption_update
                if update and update.resumable:
                    handle = update.new_handle
    return Heard(bytes(audio), "".join(transcript), handle)
