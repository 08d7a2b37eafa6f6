"""A client app: google-genai, as its users hold it, on a token that the function answered with."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google import genai
from google.genai import types
from google.genai.errors import ExperimentalWarning


@dataclass(frozen=True)
class Heard:
    """One exchange, as the client heard it: 24 kHz 16-bit mono audio and its transcript."""

    audio: bytes
    transcript: str
    handle: str | None
    """With which the session goes on after its connection has ended; None where none came."""


async def converse(
    answer: Mapping[str, Any],
    text: str,
    *,
    config: types.LiveConnectConfig | None = None,
    base_url: str | None = None,
) -> Heard:
    """Open a session with a token, say something, and hear the answer out.

    The SDK connects by `wss` alone; it trusts the authorities in `SSL_CERT_FILE`.

    Args:
        answer: the function's answer.
        text: what to say.
        config: the client's own idea of the session.
        base_url: where Gemini listens by TLS, if not on the host of the answer.

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
