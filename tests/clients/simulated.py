"""A browser's network in virtual time: livetoken, the stand-in for Gemini, and what goes wrong.

Gemini is the real stand-in. livetoken is the function's own code for the constraint, the mint and
the answer; who asks is not checked, and nothing is counted: other tests do that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit

from virtual_time import Entry, VirtualLoop

from emulator.behaviour import Behaviour, Oddity
from emulator.gemini import Gemini
from emulator.server import ABORT
from livetoken import answers, constraint, fetch, gemini
from livetoken.caller import Caller
from livetoken.limits.limiter import Limiter
from livetoken.limits.memory import Memory
from livetoken.policy import Anonymous, Bounds, Profile
from livetoken.refusals import Refused
from livetoken.request import TokenRequest

EPOCH = datetime(2026, 12, 1, tzinfo=UTC)  # that of virtual.mjs
KEY = "test-key-0123456789"
CALLER = Caller("https://issuer.example", "ada", False, {}, None)
UNBOUNDED = Bounds()
LATENCY = (0.02, 0.25)  # seconds, each way

THINKING = "models/gemini-3.8-live-extended-thinking"
MODELS = ("models/gemini-3.8-live", THINKING, "models/gemini-3.1-flash-live-preview")


def profile(model: str, expires_in: int, bounds: Bounds) -> Profile:
    """A profile with resumption, transcripts and a function."""
    generation: dict[str, Any] = {"responseModalities": ["AUDIO"]}
    if model == THINKING:
        generation["thinkingConfig"] = {"thinkingLevel": "LOW"}
    setup = {
        "model": model,
        "generationConfig": generation,
        "tools": [{"functionDeclarations": [{"name": "look", "description": "Look."}]}],
        "sessionResumption": {},
        "outputAudioTranscription": {},
        "inputAudioTranscription": {},
    }
    body = {"uses": 1, "bidiGenerateContentSetup": setup}
    times = (expires_in, min(60, expires_in), min(60, expires_in))
    callers = (Anonymous(allowed=False, path=""), "off")
    return Profile("default", model, *times, *callers, bounds, Bounds(), (), (), (), (), body)


class Oddities(Mapping[int, Oddity]):
    """Something odd about some answers, at random."""

    def __init__(self, network: Network, share: float) -> None:
        self._network, self._share = network, share

    def __getitem__(self, number: int) -> Oddity:
        random = self._network.random
        if random.random() >= self._share:
            raise KeyError(number)
        kinds: tuple[Oddity, ...] = ("missing", "early", "empty", "unanswered")
        oddity = random.choice((*kinds, 1006, 1007, 1008, 1011))
        self._network.note("odd", of=oddity)
        return oddity

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Network:
    """What is between the browser and the servers.

    Attributes:
        log: what happened, here and in the browser, in order.
    """

    def __init__(
        self,
        seed: int,
        model: str,
        begin: Entry,
        browser: Any,
        *,
        expires_in: int = 1800,
        bounds: Bounds = UNBOUNDED,
    ) -> None:
        self.random = Random(f"{seed} {model}")
        self.loop = VirtualLoop(browser, self._sent, self.log_browser)
        self.log: list[Entry] = []
        self.behaviour = Behaviour(KEY, plays=True, tick=3.0, oddities={})
        self.gemini = Gemini(self.behaviour, self.clock)
        self.is_offline = False
        self.is_down = False
        self.varies = False
        """Whether connections last differently long."""
        self.sockets: dict[int, Socket] = {}
        self._profile = profile(model, expires_in, bounds)
        storage = Memory(lambda: int(self.loop.time() * 1000))
        self._limiter = Limiter(storage, UNBOUNDED, alert=lambda _: None, now=self.clock)
        self._livetoken = gemini.Gemini(
            InProcess(self.gemini.app),
            base_url="https://gemini.example",
            api_version="v1alpha",
            api_key=KEY,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self.loop.deliver(
            {**begin, "kind": "begin", "seed": seed, "url": "https://livetoken.example"}
        )

    def clock(self) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time())

    def note(self, kind: str, **entry: Any) -> None:
        self.log.append({"at": self.loop.time() * 1_000, "kind": kind, **entry})

    def log_browser(self, entry: Entry) -> None:
        self.log.append(entry)

    def latency(self) -> float:
        return self.random.uniform(*LATENCY)

    def start(self, coroutine: Any) -> None:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """End what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _sent(self, entry: Entry) -> None:
        """Take what the browser sends."""
        match entry["kind"]:
            case "connect":
                self.sockets[entry["id"]] = Socket(self, entry["id"], entry["url"])
            case "fetch":
                self.start(self._token(entry["id"], json.loads(entry["body"])))
            case "send":
                self.sockets[entry["id"]].sent(entry["data"])
            case "close":
                self.sockets[entry["id"]].left(entry["code"])

    async def _token(self, number: int, body: Entry) -> None:
        """livetoken."""
        answer: Entry = {"kind": "answer", "id": number}
        await asyncio.sleep(self.latency())
        if not (self.is_offline or self.is_down):
            asked = TokenRequest("default", body.get("resume"))
            resumes, seconds = asked.resume is not None, 0
            locked_to = constraint.constrain(self._profile, CALLER, asked, None)
            try:
                async with self._limiter.reserve(
                    CALLER, self._profile, resumes=resumes
                ) as reserved:
                    grant = await self._livetoken.mint(locked_to, reserved)
                seconds = reserved.seconds
                response = answers.minted(grant, reserved, asked, {})
            except Refused as refusal:
                response = answers.refused(refusal, {})
            await asyncio.sleep(self.latency())
            if not self.is_offline:
                answer |= {"status": response.status_code, "body": bytes(response.body).decode()}
            minted = response.status_code == 200
            self.note("answer", minted=minted, resumes=resumes, seconds=seconds)
            if minted and "status" not in answer:
                self.note("unseen")
        self.loop.deliver(answer)

    def cut(self, *, seen_after: float, code: int = 1006) -> None:
        """End the network of all sockets; the browser sees it after some seconds."""
        for socket in [*self.sockets.values()]:
            socket.cut(seen_after, code)


class InProcess(fetch.Http):
    """Calls an ASGI app."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._app = app

    async def post(
        self, url: str, body: bytes, *, credentials: Mapping[str, str], seconds: float
    ) -> fetch.Fetched:
        status, headers, parts = 0, dict.fromkeys(fetch.READ_HEADERS, ""), b""

        async def receive() -> Entry:
            return {"type": "http.request", "body": body}

        async def send(message: Entry) -> None:
            nonlocal status, parts
            if message["type"] == "http.response.start":
                status = message["status"]
                for name, value in message["headers"]:
                    if name.decode() in headers:
                        headers[name.decode()] = value.decode()
            else:
                parts += message.get("body", b"")

        scope = _scope(url) | {"type": "http", "method": "POST"}
        scope["headers"] = [(name.encode(), value.encode()) for name, value in credentials.items()]
        async with asyncio.timeout(seconds):
            await self._app(scope, receive, send)
        return fetch.Fetched(status, headers, parts)


class Socket:
    """One WebSocket of the browser. Messages arrive late and in order, until the network ends."""

    def __init__(self, network: Network, number: int, url: str) -> None:
        self._network, self._number, self._loop = network, number, network.loop
        self._arrived: asyncio.Queue[Entry] = asyncio.Queue()
        self._last = {"up": 0.0, "down": 0.0}
        self._ways: dict[str, tuple[float, list[tuple[Callable[..., None], Any]]]] = {}
        self._is_cut = self._is_over = False
        self.is_open = False
        """Whether it got `setupComplete` and neither side has closed it."""
        scope = _scope(url) | {"type": "websocket", "subprotocols": [], "headers": []}
        scope["extensions"] = {ABORT: lambda: self._end("down", 1006)}
        self._arrived.put_nowait({"type": "websocket.connect"})
        if network.is_offline:
            self.cut(0.05, 1006)
        else:
            network.start(self._serve(scope))

    def sent(self, data: str) -> None:
        """Take a message of the browser."""
        self._network.note("sent", socket=self._number, message=json.loads(data))
        self._later("up", self._arrived.put_nowait, {"type": "websocket.receive", "text": data})

    def left(self, code: int) -> None:
        """The browser closes it."""
        self.is_open = False
        self._network.note("left", socket=self._number, code=code)
        if not self._is_cut:
            self._later("up", self._end, "up", code)

    def cut(self, seen_after: float, code: int) -> None:
        """End the network; the server sees it within three seconds, the browser when it says."""
        if self._is_cut or self._is_over:
            return
        self._is_cut = True
        self.is_open = False
        self._network.note("cut", socket=self._number, code=code)
        self._loop.call_later(self._network.random.uniform(0, 3), self._gone, 1006)
        self._loop.call_later(seen_after, self._closed, code, "")

    async def _serve(self, scope: Entry) -> None:
        network = self._network
        if network.varies:
            network.behaviour.connection_life = network.random.uniform(540, 3480)
            network.behaviour.end_code = network.random.choice((1008, 1011))
        await asyncio.sleep(network.latency())
        await network.gemini.app(scope, self._arrived.get, self._send)

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        """Take what the server sends."""
        if self._is_over:
            raise OSError("the client has disconnected")
        match message["type"]:
            case "websocket.accept":
                self._later("down", self._deliver, {"kind": "open"})
            case "websocket.send":
                told = json.loads(message["bytes"])
                if "setupComplete" in told:
                    self.is_open = True
                if "goAway" in told:
                    self._network.note("leave", socket=self._number)
                self._later("down", self._deliver, {"kind": "message", "data": _silent(told)})
            case "websocket.close":
                self._end("down", message["code"], message.get("reason", ""))

    def _end(self, way: str, code: int, reason: str = "") -> None:
        """One side has closed it."""
        if self._is_over or self._is_cut:
            return
        if way == "down":
            self._network.note("ended", socket=self._number, code=code, was_open=self.is_open)
        self._gone(code)
        self._later("down", self._closed, code, reason)

    def _gone(self, code: int) -> None:
        self._is_over, self.is_open = True, False
        self._arrived.put_nowait({"type": "websocket.disconnect", "code": code})

    def _closed(self, code: int, reason: str) -> None:
        self._network.sockets.pop(self._number, None)
        self._loop.deliver({"kind": "closed", "id": self._number, "code": code, "reason": reason})

    def _deliver(self, event: Entry) -> None:
        self._loop.deliver({**event, "id": self._number})

    def _later(self, way: str, act: Callable[..., None], *given: Any) -> None:
        """Act after the latency, but in order, and not if the network has ended.

        What leaves at the same time arrives at the same time.
        """
        now = self._loop.time()
        left, batch = self._ways.get(way, (-1.0, []))
        if left != now:
            at = max(self._last[way] + 1e-6, now + self._network.latency())
            batch = []
            self._last[way], self._ways[way] = at, (now, batch)
            self._loop.call_at(at, self._arrive, batch)
        batch.append((act, given))

    def _arrive(self, batch: list[tuple[Callable[..., None], Any]]) -> None:
        for act, given in batch:
            if not self._is_cut:
                act(*given)


def _scope(url: str) -> Entry:
    parts = urlsplit(url)
    return {
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": parts.scheme,
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "client": ("127.0.0.1", 5),
        "server": (parts.hostname, 443),
    }


def _silent(message: Entry) -> str:
    """A message without its sound, which nobody hears and which would be most of the data."""
    for part in message.get("serverContent", {}).get("modelTurn", {}).get("parts", []):
        part["inlineData"]["data"] = ""
    return json.dumps(message)
