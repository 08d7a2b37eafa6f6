"""A client app that uses google-genai with a token from the function."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from google import genai
from google.genai import types
from google.genai.errors import APIError, ExperimentalWarning
from google.genai.live import AsyncSession

AFTER_TURN = 2.0  # seconds in which the handle, or the rest of a transcript, may come
BYTES_A_SECOND = 48_000  # of audio: 24 kHz, 16 bits, mono


class Lost(Exception):
    """The session opened, and its connection ended before the answer did."""


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
    """Open a session with a token, send a text, and receive the whole answer and its handle.

    Args:
        answer: the function's answer.
        text: the text to send.
        config: what the client asks for; audio if left out.
        base_url: where Gemini listens with TLS, if not on the host of `webSocketUrl`.

    Raises:
        google.genai.errors.APIError: the session is refused.
        Lost: the connection ends before the answer.
    """
    async with connected(answer, config=config, base_url=base_url) as session:
        await session.send_realtime_input(text=text)
        try:
            return await _hear(session)
        except APIError as error:
            raise Lost(f"{error.code}: {error.details}") from None


@asynccontextmanager
async def connected(
    answer: Mapping[str, Any],
    *,
    config: types.LiveConnectConfig | None = None,
    base_url: str | None = None,
) -> AsyncIterator[AsyncSession]:
    """A session after its `setupComplete`. The arguments and the refusal are those of `converse`.

    The SDK always uses `wss`; it trusts the certificates in `SSL_CERT_FILE`. Its keepalive is off,
    because Gemini's pongs can take longer than the 20 seconds that it waits for them.
    """
    host = answer["webSocketUrl"].partition("://")[2].partition("/ws/")[0]
    base_url = base_url or f"https://{host}"
    options = types.HttpOptions(
        api_version=answer["apiVersion"],
        base_url=base_url,
        async_client_args={"ping_interval": None},
    )
    config = config or types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        client = genai.Client(api_key=answer["name"], vertexai=False, http_options=options)
        async with client.aio.live.connect(model=answer["model"], config=config) as session:
            yield session


async def _hear(session: AsyncSession) -> Heard:
    """Receive an answer, and the handle after it, which takes up to two seconds to come.

    An answer that lacks its `turnComplete` ends when its audio has been played.
    """
    audio, transcript, handle, ended = bytearray(), "", None, False
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as deadline:
            now = asyncio.get_running_loop().time
            while not (ended and handle):
                async for message in session.receive():  # ends with the turn
                    audio += message.data or b""
                    content = message.server_content or types.LiveServerContent()
                    if content.output_transcription:
                        transcript += content.output_transcription.text or ""
                    if content.interaction_status == types.InteractionStatus.IN_PROGRESS:
                        deadline.reschedule(None)
                    elif content.generation_complete and not ended:
                        deadline.reschedule(now() + len(audio) / BYTES_A_SECOND + AFTER_TURN)
                    update = message.session_resumption_update
                    if update and update.resumable and update.new_handle:
                        handle = update.new_handle
                        if ended:
                            break
                else:
                    ended = True
                    deadline.reschedule(now() + AFTER_TURN)
    return Heard(bytes(audio), transcript, handle)
