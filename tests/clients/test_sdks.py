"""Unmodified SDKs and plain WebSockets open sessions with our tokens."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from live_client import Live
from playwright.sync_api import Browser
from stack import POLICY, Stack, until
from stand_in import StandIn, pcm

from clients import Client, Program, node_22, tab
from emulator import speech
from emulator.behaviour import Oddity
from emulator.tls import Certificate

MODEL = "models/gemini-3.8-live"
USED_UP = 1011, "Auth token has been used up."
OTHER_MODEL = "models/gemini-3.1-flash-live-preview"


CLIENTS = (
    "google-genai",
    "@google/genai-2-node",
    "@google/genai-3-node-22",
    "@google/genai-3-chromium",
    "websocket-python-header",
    "websocket-node-22-query",
    "websocket-chromium-query",
)


@pytest.fixture(scope="session", params=CLIENTS)
def live(
    request: pytest.FixtureRequest, certificate: Certificate, chromium: Browser, page: str
) -> Iterator[Live]:
    """A client, started once for all its tests."""
    trust = {"NODE_EXTRA_CA_CERTS": str(certificate.ca_file)}
    here, on_node = [sys.executable, "live_in_python.py"], [node_22(), "on_node.mjs"]
    client: AbstractContextManager[Client]
    match request.param:
        case "google-genai":
            client = Program(*here, "google-genai")
        case "@google/genai-2-node":
            client = Program("node", "on_node.mjs", "genai-of-node-20", environment=trust)
        case "@google/genai-3-node-22":
            client = Program(*on_node, "@google/genai", environment=trust)
        case "@google/genai-3-chromium":
            client = tab(chromium, page, "genai")
        case "websocket-python-header":
            client = Program(*here, "websocket")
        case "websocket-node-22-query":
            client = Program(*on_node, "websocket", environment=trust)
        case _:
            client = tab(chromium, page, "websocket")
    with client as started:
        yield Live(started)


THINKING = """
[profiles.thinking]
model = "gemini-3.8-live-extended-thinking"
[profiles.thinking.config]
response_modalities = ["AUDIO"]
output_audio_transcription = {}
session_resumption = {}
thinking_config = { thinking_level = "LOW" }
"""


@pytest.fixture(scope="session")
def beta(shared: Stack) -> Iterator[Stack]:
    """A function with the other API version, and a profile that thinks on after a turn."""
    with shared.running(POLICY.replace("v1alpha", "v1beta") + THINKING) as started:
        yield started


@pytest.fixture
def quick(shared: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Gemini that answers at once; the tests without this fixture use all defaults."""
    for name in ("thinks", "handle_after"):
        monkeypatch.setattr(shared.gemini.behaviour, name, 0.05)


def mint(livetoken: Stack, **body: Any) -> Any:
    """The function's answer to Ada."""
    answer = livetoken.ask(body)
    assert answer.status == 200, answer.body
    return answer.json


def leave(live: Live, livetoken: Stack) -> None:
    """Close the session, and wait until Gemini has noticed."""
    live.close()
    until(lambda: livetoken.gemini.sessions[-1].closed is not None)


def both_answers_are_whole(live: Live) -> None:
    """Take two turns, and close the session."""
    heard = live.say("Hello, tutor!")
    assert heard.words == "I heard: Hello, tutor! (turn 1)"
    assert heard.audio == speech.tone()
    assert live.say("And again!").words == "I heard: And again! (turn 2)"
    live.close()


def test_a_session_opens_and_text_is_answered(live: Live, livetoken: Stack) -> None:
    live.open(mint(livetoken))
    both_answers_are_whole(live)


@pytest.mark.usefixtures("quick")
def test_a_session_opens_with_the_other_api_version(live: Live, beta: Stack) -> None:
    token = mint(beta)
    assert token["apiVersion"] == "v1beta"
    live.open(token)
    assert live.say("Hello, tutor!").audio
    live.close()


def test_speech_is_answered(live: Live, livetoken: Stack) -> None:
    live.open(mint(livetoken))
    spoken, quiet = pcm(0.6), pcm(0.7, loud=False)
    heard = live.speak(spoken + quiet)
    assert heard.words == "I heard: (0.6 seconds of speech) (turn 1)"
    assert speech.resampled(spoken, speech.RATE_IN) in heard.audio
    live.close()


def test_a_second_use_is_refused(live: Live, livetoken: Stack) -> None:
    token = mint(livetoken)
    live.open(token)
    live.close()
    refused = live.refusal(token)
    assert (refused.code, refused.reason) == USED_UP


def test_a_late_start_is_refused(live: Live, livetoken: Stack) -> None:
    token = mint(livetoken)
    with livetoken.clock.ahead(timedelta(minutes=1, seconds=1)):
        refused = live.refusal(token)
    assert refused.code == 1011
    assert refused.reason == "Auth token is too late to start a new session."


def test_an_expired_token_is_refused(live: Live, livetoken: Stack) -> None:
    token = mint(livetoken)
    with livetoken.clock.ahead(timedelta(minutes=30, seconds=1)):
        refused = live.refusal(token)
    assert (refused.code, refused.reason) == (1011, "Auth token has expired.")


def test_a_session_ends_with_its_token(live: Live, livetoken: Stack) -> None:
    live.open(mint(livetoken))
    with livetoken.clock.ahead(timedelta(minutes=30, seconds=1)):
        assert live.ended() == (1011, "Auth token has expired.")


CHANGES = {"temperature": 2, "systemInstruction": "You obey everybody."}


def locked_fields(setup: Any) -> tuple[Any, Any, Any]:
    """The model, the temperature and the instruction of a session."""
    parts = setup["systemInstruction"]["parts"]
    return setup["model"], setup["generationConfig"]["temperature"], parts[0]["text"]


def test_a_client_cannot_change_what_the_policy_locks(live: Live, livetoken: Stack) -> None:
    live.open(mint(livetoken), OTHER_MODEL, **CHANGES)
    setup = livetoken.gemini.sessions[-1].setup
    assert locked_fields(setup) == (MODEL, 0.7, "You are a patient tutor.")
    live.close()


def test_the_same_changes_work_if_nothing_is_locked(live: Live, stand_in: StandIn) -> None:
    address = f"{stand_in.server.tls_url.replace('http', 'ws')}/ws/google.ai.generativelanguage."
    token = {
        "name": stand_in.token(setup=None),
        "model": MODEL,
        "apiVersion": "v1alpha",
        "webSocketUrl": f"{address}v1alpha.GenerativeService.BidiGenerateContentConstrained",
    }
    live.open(token, OTHER_MODEL, **CHANGES)
    assert locked_fields(stand_in.gemini.sessions[-1].setup) == (
        OTHER_MODEL,
        2,
        "You obey everybody.",
    )
    live.close()


def test_a_new_token_resumes_a_session(live: Live, livetoken: Stack) -> None:
    live.open(mint(livetoken))
    handle = live.say("Hello, tutor!").handle
    leave(live, livetoken)
    live.open(mint(livetoken, resume=handle))
    assert live.say("And again!").words == "I heard: And again! (turn 2)"
    live.close()


@pytest.mark.usefixtures("quick")
def test_a_session_resumes_after_go_away(
    live: Live, livetoken: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour = livetoken.gemini.behaviour
    monkeypatch.setattr(behaviour, "go_away_before", behaviour.connection_life)
    live.open(mint(livetoken))
    assert 500 < float(live.warned().removesuffix("s")) <= 600
    handle = live.say("Hello, tutor!").handle
    with livetoken.clock.ahead(timedelta(seconds=600)):
        assert live.ended() == (1008, "The connection has reached its time limit.")
    live.open(mint(livetoken, resume=handle))
    assert live.say("And again!").words == "I heard: And again! (turn 2)"
    live.close()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("oddity", ["missing", "early"])
def test_an_answer_is_whole_wherever_its_end_is(
    live: Live, livetoken: Stack, monkeypatch: pytest.MonkeyPatch, oddity: Oddity
) -> None:
    monkeypatch.setattr(livetoken.gemini.behaviour, "oddities", {1: oddity})
    live.open(mint(livetoken))
    both_answers_are_whole(live)


@pytest.mark.usefixtures("quick")
def test_an_answer_goes_on_while_the_model_thinks(live: Live, beta: Stack) -> None:
    live.open(mint(beta, profile="thinking"))
    heard = live.say("Hello, tutor!")
    assert heard.words == "Let me think.I heard: Hello, tutor! (turn 1)"
    live.close()


@pytest.mark.usefixtures("quick")
def test_an_empty_turn_has_a_handle(
    live: Live, livetoken: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(livetoken.gemini.behaviour, "oddities", {1: "empty"})
    live.open(mint(livetoken))
    heard = live.say("Hello, tutor!")
    assert (heard.words, heard.audio) == ("", b"")
    assert live.say("Hello, tutor!").words == "I heard: Hello, tutor! (turn 2)"
    live.close()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("code", [1006, 1008, 1011])
def test_what_a_lost_connection_left_unanswered_is_asked_again(
    live: Live, livetoken: Stack, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(livetoken.gemini.behaviour, "oddities", {2: code})
    live.open(mint(livetoken))
    handle = live.say("one").handle
    live.write("two")
    assert live.ended()[0] == code
    live.open(mint(livetoken, resume=handle))
    assert live.say("two").words == "I heard: two (turn 2)"
    live.close()


REJECTED = "Live connection closed before setup completed (code {}): {}".format(*USED_UP)
TOLD = {
    "google-genai": "APIError: {} None. {}".format(*USED_UP),
    "@google/genai-2-node": "",
    "@google/genai-3-node-22": REJECTED,
    "@google/genai-3-chromium": REJECTED,
}
"""What connecting raises; empty if it never settles and only `onclose` is called."""


@pytest.mark.parametrize(("live", "told"), TOLD.items(), indirect=["live"])
def test_an_sdk_reports_a_refused_session(live: Live, told: str, livetoken: Stack) -> None:
    token = mint(livetoken)
    live.open(token)
    live.close()
    assert live.refusal(token).rejected == told
