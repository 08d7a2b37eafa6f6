"""The client of `make run`, which uses google-genai, against an unkind Gemini."""

import asyncio
from typing import Any

import pytest
from google.genai import live
from google.genai.errors import APIError
from stand_in import MODEL, THINKING, StandIn, setup
from websockets.asyncio.client import connect

from emulator.behaviour import Oddity
from emulator.client import Heard, Lost, converse


def talk(stand_in: StandIn, token: str, text: str = "hello") -> Heard:
    answer = {"name": token, "model": MODEL, "apiVersion": "v1alpha", "webSocketUrl": ""}
    session = converse(answer, text, base_url=stand_in.server.tls_url)
    return asyncio.run(asyncio.wait_for(session, 30))


@pytest.mark.parametrize("oddity", ["missing", "early"])
def test_an_odd_end_of_a_turn_loses_nothing(stand_in: StandIn, oddity: Oddity) -> None:
    stand_in.behaviour.oddities = {1: oddity}
    heard = talk(stand_in, stand_in.token())
    assert (heard.transcript, len(heard.audio)) == ("I heard: hello (turn 1)", 12_000)
    assert heard.handle
    again = talk(stand_in, stand_in.token(setup(sessionResumption={"handle": heard.handle})))
    assert again.transcript == "I heard: hello (turn 2)"


def test_an_empty_turn_is_heard_as_one(stand_in: StandIn) -> None:
    stand_in.behaviour.oddities = {1: "empty"}
    heard = talk(stand_in, stand_in.token())
    assert (heard.audio, heard.transcript) == (b"", "")
    assert heard.handle


def test_a_turn_in_progress_is_heard_to_its_end(stand_in: StandIn) -> None:
    generation = {"responseModalities": ["AUDIO"], "thinkingConfig": {"thinkingLevel": "LOW"}}
    stand_in.behaviour.thinks = 3  # longer than it waits for a handle
    heard = talk(stand_in, stand_in.token(setup(model=THINKING, generationConfig=generation)))
    assert heard.transcript == "Let me think.I heard: hello (turn 1)"
    assert heard.handle


@pytest.mark.parametrize("code", [1006, 1007, 1008, 1011])
def test_a_lost_connection_is_not_a_refusal(stand_in: StandIn, code: int) -> None:
    stand_in.behaviour.oddities = {1: code}
    token = stand_in.token()
    with pytest.raises(Lost, match=str(code)):
        talk(stand_in, token)
    with pytest.raises(APIError, match="used up"):
        talk(stand_in, token)


def test_late_pongs_do_not_end_a_session(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's keepalive, with a fiftieth of its times, if the client does not turn it off."""

    def soon(*arguments: Any, **how: Any) -> connect:
        return connect(*arguments, **{"ping_interval": 0.4, "ping_timeout": 0.4, **how})

    monkeypatch.setattr(live, "ws_connect", soon)
    stand_in.behaviour.pong_after, stand_in.behaviour.thinks = 60, 2
    assert talk(stand_in, stand_in.token()).transcript == "I heard: hello (turn 1)"
