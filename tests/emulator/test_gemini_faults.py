"""Faults of the stand-in for Gemini, its record of mints, and its server."""

import http.client
import json
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from stand_in import KEY, SETUP, StandIn, eventually, hello, opened, turn, words
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.exceptions import ConnectionClosed

from emulator.server import Server
from emulator.tls import Certificate

# --- faults and the record ---


def test_a_status_fault_has_a_body_that_must_not_leak(stand_in: StandIn) -> None:
    stand_in.behaviour.faults.extend([429, 503])
    stand_in.behaviour.retry_after = "7"
    status, headers, data = stand_in.raw({})
    assert (status, headers["Retry-After"]) == (429, "7")
    assert b"upstream secret words" in data and KEY.encode() in data
    assert json.loads(data)["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert [stand_in.post({})[0] for _ in range(2)] == [503, 200]
    stand_in.behaviour.fault = 500
    assert [stand_in.post({})[0] for _ in range(2)] == [500, 500]
    stand_in.behaviour.fault = None
    assert stand_in.post({})[0] == 200


def test_a_fault_can_have_any_body(stand_in: StandIn) -> None:
    stand_in.behaviour.faults.append((409, b"any"))
    stand_in.behaviour.retry_after = "7"
    status, headers, data = stand_in.raw({})
    assert (status, headers["Retry-After"], data) == (409, "7", b"any")
    assert stand_in.gemini.mints[0].status == 409


def test_the_delay_comes_before_the_answer(stand_in: StandIn) -> None:
    stand_in.behaviour.delay = 0.15
    begun = time.monotonic()
    assert stand_in.post({})[0] == 200
    assert time.monotonic() - begun >= 0.15


@pytest.mark.parametrize(
    ("word", "body"),
    [
        ("empty", b"{}"),
        ("nothing", b""),
        ("noname", b'{"name":"projects/upstream secret words"}'),
        ("badname", b'{"name":5}'),
    ],
)
def test_an_answer_can_lack_a_token(stand_in: StandIn, word: str, body: bytes) -> None:
    stand_in.behaviour.faults.append(word)
    status, _, data = stand_in.raw({})
    assert (status, data) == (200, body)


def test_an_answer_can_have_another_format(stand_in: StandIn) -> None:
    stand_in.behaviour.faults.extend(["html", "list", "deep", "redirect", "nonsense"])
    assert stand_in.raw({})[2].startswith(b"<html>")
    assert isinstance(json.loads(stand_in.raw({})[2]), list)
    assert stand_in.raw({})[2].startswith(b"[" * 5000)
    status, headers, _ = stand_in.raw({})
    assert (status, headers["Location"]) == (307, "/v1alpha/auth_tokens?followed=1")
    assert stand_in.raw({})[0] == 501


def test_connections_can_break(stand_in: StandIn) -> None:
    stand_in.behaviour.faults.extend(["reset", "truncated"])
    with pytest.raises((ConnectionError, http.client.BadStatusLine)):
        stand_in.raw({})
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        stand_in.raw({})
    assert [mint.status for mint in stand_in.gemini.mints] == [None, 200]


@pytest.mark.parametrize(("word", "read"), [("hang", 0), ("slow", 3), ("huge", 5_000_000)])
def test_answers_can_take_forever(stand_in: StandIn, word: str, read: int) -> None:
    stand_in.behaviour.fault, stand_in.behaviour.drip = word, 0.02
    call = http.client.HTTPConnection(urlsplit(stand_in.server.url).netloc, timeout=0.2)
    call.request("POST", "/v1alpha/auth_tokens", b"{}")
    if word == "hang":
        with pytest.raises(TimeoutError):
            call.getresponse()
    else:
        answer = call.getresponse()
        assert len(answer.read(read)) == read and answer.length is None
    call.close()


def test_every_mint_is_recorded(stand_in: StandIn) -> None:
    stand_in.post({"uses": 1}, key=None, query="?a=b")
    stand_in.raw(b"no json")
    first, second = stand_in.gemini.mints
    assert (first.version, first.query, first.body) == ("v1alpha", {"a": "b"}, {"uses": 1})
    assert (first.status, first.token, first.raw) == (403, None, b'{"uses": 1}')
    assert first.headers["content-length"] == "11" and first.port != second.port > 0
    assert (second.body, second.raw, second.status) == (None, b"no json", 400)


@pytest.mark.parametrize(
    "change",
    [
        {"uses": 0},
        {"uses": 2},
        {"uses": None},
        {"expireTime": None},
        {"newSessionExpireTime": None},
        {"bidiGenerateContentSetup": None},
        {"bidiGenerateContentSetup": {}},
        {"bidiGenerateContentSetup": {"model": "gemini-3.8-live"}},
    ],
)
def test_minted_fails_if_a_mint_asks_for_too_much(
    stand_in: StandIn, change: dict[str, Any]
) -> None:
    good = {
        "uses": 1,
        "expireTime": stand_in.clock.at(100),
        "newSessionExpireTime": stand_in.clock.at(60),
        "bidiGenerateContentSetup": SETUP,
    }
    stand_in.post(good)
    assert [mint.body for mint in stand_in.gemini.minted()] == [good]
    assert stand_in.post({k: v for k, v in (good | change).items() if v is not None})[0] == 200
    with pytest.raises(AssertionError):
        stand_in.gemini.minted()


# --- the server ---


def test_it_listens_on_127_0_0_1_only(stand_in: StandIn) -> None:
    for url in (stand_in.server.url, stand_in.server.tls_url):
        assert urlsplit(url).hostname == "127.0.0.1"
    for host in ("0.0.0.0", "", "::", "localhost"):
        with pytest.raises(ValueError, match="only"):
            Server(stand_in.gemini.app, host=host)


def test_a_stopped_server_leaves_nothing_behind(certificate: Certificate) -> None:
    before = set(threading.enumerate())
    stand_in = StandIn(certificate)

    def hung() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            stand_in.raw({})

    with ExitStack() as stack:
        stand_in.server.start()
        stand_in.behaviour.delay = 30
        caller = threading.Thread(target=hung)
        caller.start()
        assert eventually(lambda: len(stand_in.gemini.mints) == 1)
        stand_in.behaviour.delay = 0
        port = urlsplit(stand_in.server.url).port
        ws = stack.enter_context(opened(stand_in, stand_in.token()))
        begun = time.monotonic()
        stand_in.server.stop()
        assert time.monotonic() - begun < 2
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=5)
        caller.join(5)
    assert eventually(lambda: set(threading.enumerate()) <= before)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port or 0), 1).close()
    with pytest.raises(RuntimeError):
        _ = stand_in.server.url


def test_a_port_in_use_is_an_error(stand_in: StandIn) -> None:
    port = urlsplit(stand_in.server.url).port
    with pytest.raises(OSError):
        Server(stand_in.gemini.app, plain=port).start()


def test_it_can_be_mounted_in_another_app(stand_in: StandIn) -> None:
    app = Starlette(routes=[Mount("/", stand_in.gemini.app)])
    stand_in.server.stop()
    stand_in.server = Server(app)
    with stand_in.server:
        for slash in ("/", "//"):
            with stand_in.socket(stand_in.token(), slash=slash) as ws:
                assert words(turn(ws, {"setup": {}}, hello())) == "I heard: hello (turn 1)"
