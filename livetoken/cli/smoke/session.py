"""A Live session, held with google-genai, and why it failed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import websockets
from google import genai
from google.genai import types
from google.genai.errors import APIError
from google.genai.live import AsyncSession

from livetoken.cli.smoke.expected import Expected, Heard
from livetoken.cli.smoke.table import CheckFailed

NO_MODEL = "models/livetoken-smoke-no-such-model"
AFTER_TURN = 2.0  # seconds in which a transcript or a handle may still come, in any order


class SessionRefused(CheckFailed):
    """Gemini refused to start the session."""


class SessionClosed(CheckFailed):
    """An open session was closed. `is_refusal` says whether Gemini refused a message."""

    is_refusal: bool = False


class _Deadline:
    """Of a turn: first the latest, and near once nothing more has to come."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._latest = timeout.when()
        self.is_soon = False

    def bring_near(self, playing: float = 0) -> None:
        """Wait no longer than the audio plays, and a while after that."""
        self.is_soon = True
        now = asyncio.get_running_loop().time()
        self._timeout.reschedule(now + playing + AFTER_TURN)

    def put_off(self) -> None:
        """More has to come."""
        self.is_soon = False
        self._timeout.reschedule(self._latest)


@dataclass
class Session:
    """An open session. `seconds` limit each turn."""

    live: AsyncSession
    seconds: float
    is_closed: bool = False

    async def turn(
        self, sending: Awaitable[None], heard: Heard, awaited: Collection[str] = ()
    ) -> None:
        """Send something, and take the answer and what comes after it.

        Args:
            awaited: the attributes of `heard` to wait for after the turn, if only for a while.

        Raises:
            SessionClosed: the session is closed.
            CheckFailed: the session fails, or the turn does not end in time.
        """
        with _failures(self.seconds, is_open=True):
            try:
                async with asyncio.timeout(self.seconds) as timeout:
                    deadline = _Deadline(timeout)
                    await sending
                    await self._listen(heard, awaited, deadline)
            except (APIError, websockets.ConnectionClosed):
                self.is_closed = True
                raise
            except TimeoutError:
                if not deadline.is_soon:
                    what = f"opened, {heard} received, but the turn did not end"
                    raise CheckFailed(f"{what} within {self.seconds:g} s") from None

    async def _listen(self, heard: Heard, awaited: Collection[str], deadline: _Deadline) -> None:
        ended = interrupted = False
        while not (ended and all(getattr(heard, each) for each in awaited)):
            async for message in self.live.receive():  # ends with each turn
                heard.take(message)
                content = message.server_content or types.LiveServerContent()
                interrupted = interrupted or bool(content.interrupted)
                if content.interaction_status == types.InteractionStatus.IN_PROGRESS:
                    deadline.put_off()
                elif not ended and (content.generation_complete or message.tool_call):
                    deadline.bring_near(heard.seconds)  # the end of a turn may be missing
                if ended and all(getattr(heard, each) for each in awaited):
                    return
            if interrupted:  # that was the end of the turn before
                interrupted = False
                deadline.put_off()
            else:
                ended = True
                deadline.bring_near()


@asynccontextmanager
async def opened(
    grant: Mapping[str, str], expected: Expected, seconds: float, *, hostile: bool
) -> AsyncIterator[Session]:
    """Open a session with a token: with a hostile setup, or with the policy's own.

    Raises:
        SessionRefused: Gemini refuses the session.
        CheckFailed: the session cannot be opened.
    """
    own = types.LiveConnectConfig.model_validate_json(json.dumps(expected.config))
    model, config = (NO_MODEL, expected.hostile) if hostile else (expected.model, own)
    base = grant["webSocketUrl"].removeprefix("wss://").partition("/ws/")[0]
    options = types.HttpOptions(
        api_version=grant["apiVersion"],
        base_url=f"https://{base}",
        async_client_args={"ping_interval": None, "close_timeout": AFTER_TURN},
    )  # Gemini's pongs can take longer than the keepalive waits for them
    async with AsyncExitStack() as stack:
        with _failures(seconds):
            client = genai.Client(api_key=grant["name"], vertexai=False, http_options=options)
            connection = client.aio.live.connect(model=model, config=config)
            async with asyncio.timeout(seconds):
                live = await stack.enter_async_context(connection)
            if live.setup_complete is None:
                raise CheckFailed("the first message of the session was not setupComplete")
        yield Session(live, seconds)


@contextmanager
def _failures(seconds: float, *, is_open: bool = False) -> Iterator[None]:
    """Turn what google-genai raises into a CheckFailed."""
    try:
        yield
    except Exception as error:  # `_failure` tells the kinds apart
        raise _failure(error, seconds, is_open=is_open) from None


def _failure(error: Exception, seconds: float, *, is_open: bool) -> CheckFailed:
    """Return the failure for an error of a session."""
    match error:
        case CheckFailed():
            return error
        case TimeoutError():
            return CheckFailed(f"no session within {seconds:g} s")
        case APIError():
            code, reason = error.code, str(error.details)
        case websockets.ConnectionClosed(rcvd=websockets.Close() as close):
            code, reason = close.code, close.reason
        case websockets.InvalidStatus():
            code, reason = error.response.status_code, "no socket at all"
        case OSError() | websockets.WebSocketException():
            return CheckFailed(f"connection failed: {str(error) or type(error).__name__}")
        case _:  # the SDK raises many kinds, whose texts quote messages
            return CheckFailed(f"google-genai failed on a message: {type(error).__name__}")
    if is_open:
        closed = SessionClosed(f"closed with {code}: {reason}")
        closed.is_refusal = code in (1007, 1008)
        return closed
    if code in (1007, 1008, 1011) or 400 <= code < 500 or 4000 <= code < 5000:
        return SessionRefused(f"refused with {code}: {reason}")
    return CheckFailed(f"failed with {code}: {reason}")
