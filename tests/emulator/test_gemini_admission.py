"""Which tokens open a session at the stand-in for Gemini, and with which setup.

The tests use google-genai if it can send what they need, and `websockets` for hostile clients and
for clients that connect as JavaScript does.
"""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from stand_in import (
    AUDIO,
    MODEL,
    SETUP,
    THINKING,
    StandIn,
    hello,
    message,
    said,
    setup,
    start,
    turn,
    words,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from emulator.models import Model

# --- which tokens open a session ---


@pytest.mark.parametrize("shown", [None, "auth_tokens/" + "0" * 64, "nonsense"])
def test_a_bad_token_closes_1007_after_the_first_frame(
    stand_in: StandIn, shown: str | None
) -> None:
    with stand_in.socket(shown) as ws:
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.05)
        assert stand_in.closed(ws, {"setup": SETUP}) == 1007
        assert "Missing or malformed auth token" in (ws.close_reason or "")
    assert shown is None or stand_in.refusal(shown) == 1007, "the SDK cannot use it either"


def test_a_token_works_with_the_constrained_method_only(stand_in: StandIn) -> None:
    token = stand_in.token()
    with stand_in.socket(token, method="BidiGenerateContent") as ws:
        assert stand_in.closed(ws, {"setup": SETUP}) in (1007, 1008)
    assert said(stand_in.talk(token)), "that was not a use"


@pytest.mark.parametrize("slash", ["/", "//"])
def test_a_client_that_connects_like_javascript_is_accepted(stand_in: StandIn, slash: str) -> None:
    with stand_in.socket(stand_in.token(), slash=slash) as ws:
        got = turn(ws, {"setup": {"model": MODEL}}, hello())
    assert got[0] == {"setupComplete": {}}
    assert words(got) == "I heard: hello (turn 1)"


@pytest.mark.parametrize(
    "first",
    [
        hello(),
        "no json",
        {"setup": {"modle": MODEL}},
        {"setup": SETUP, "clientContent": {}},
        {"setup": None},
        {},
        [],
        "[" * 50_000,
    ],
)
def test_the_first_message_must_be_a_setup(stand_in: StandIn, first: Any) -> None:
    token = stand_in.token()
    with stand_in.socket(token) as ws:
        assert stand_in.closed(ws, first) == 1007
    assert stand_in.gemini.sessions == []
    assert said(stand_in.talk(token)), "a refused setup is not a use"


def test_a_client_that_sends_nothing_is_disconnected(stand_in: StandIn) -> None:
    stand_in.behaviour.setup_timeout = 0.05
    with stand_in.socket(stand_in.token()) as ws:
        assert stand_in.closed(ws) == 1008


def test_a_second_use_is_refused(stand_in: StandIn) -> None:
    token = stand_in.token()
    stand_in.talk(token)
    assert stand_in.refusal(token) == 1011
    stand_in.behaviour.refusal_code = 1008
    assert stand_in.refusal(token) == 1008
    assert len(stand_in.gemini.sessions) == 1


@pytest.mark.parametrize(("uses", "sessions"), [(None, 1), (2, 2), ("1", 1)])
def test_a_token_starts_as_many_sessions_as_it_has_uses(
    stand_in: StandIn, uses: Any, sessions: int
) -> None:
    token = stand_in.token(uses=uses)
    for _ in range(sessions):
        start(stand_in, token)
    with stand_in.socket(token) as ws:
        assert stand_in.closed(ws, {"setup": SETUP}) == 1011


def test_zero_uses_are_unlimited_and_negative_uses_refused(stand_in: StandIn) -> None:
    token = stand_in.token(uses=0)
    for _ in range(4):
        start(stand_in, token)
    assert stand_in.post({"uses": -1})[0] == 400


def test_sockets_at_the_same_time_share_one_use(stand_in: StandIn) -> None:
    token = stand_in.token()
    gate = threading.Barrier(12)

    def race(ws: ClientConnection) -> bool:
        gate.wait(5)
        ws.send(json.dumps({"setup": {"model": MODEL}}))
        try:
            return message(ws) == {"setupComplete": {}}
        except ConnectionClosed:
            return False

    with ExitStack() as stack, ThreadPoolExecutor(12) as pool:
        sockets = [stack.enter_context(stand_in.socket(token)) for _ in range(12)]
        won = list(pool.map(race, sockets))
    assert won.count(True) == 1 == len(stand_in.gemini.sessions)


def test_an_expired_token_is_refused(stand_in: StandIn) -> None:
    late = stand_in.clock.at(3000)
    token = stand_in.token(expireTime=stand_in.clock.at(1000), newSessionExpireTime=late)
    stand_in.clock.advance(1001)
    assert stand_in.refusal(token) == 1011


def test_a_late_start_is_refused(stand_in: StandIn) -> None:
    given, default = stand_in.token(newSessionExpireTime=stand_in.clock.at(10)), stand_in.token()
    stand_in.clock.advance(11)
    assert stand_in.refusal(given) == 1011
    start(stand_in, default)
    default = stand_in.token()
    stand_in.clock.advance(61)
    assert stand_in.refusal(default) == 1011


# --- which setup it has ---


def test_a_full_lock_silently_replaces_the_clients_setup(stand_in: StandIn) -> None:
    config = {"response_modalities": ["TEXT"], "system_instruction": "Obey me.", "temperature": 2}
    stand_in.talk(stand_in.token(), config=config, model="gemini-of-mine")
    assert stand_in.gemini.sessions[0].setup == SETUP


def test_a_mask_overwrites_its_fields_and_clears_unset_ones(
    stand_in: StandIn,
) -> None:
    stand_in.behaviour.nested_masks = True
    token = stand_in.token(
        {"model": MODEL, "systemInstruction": {"parts": [{"text": "Teach."}]}},
        fieldMask="model,systemInstruction,tools,generationConfig.temperature",
    )
    client = {
        "model": "models/other",
        "generationConfig": {"responseModalities": ["AUDIO"], "temperature": 2, "seed": 7},
        "systemInstruction": {"parts": [{"text": "Obey me."}]},
        "tools": [{"googleSearch": {}}],
        "inputAudioTranscription": {},
    }
    start(stand_in, token, client)
    assert stand_in.gemini.sessions[0].setup == {
        "model": MODEL,
        "generationConfig": {"responseModalities": ["AUDIO"], "seed": 7},
        "systemInstruction": {"parts": [{"text": "Teach."}]},
        "inputAudioTranscription": {},
    }


def test_without_a_setup_in_the_token_the_clients_is_used(stand_in: StandIn) -> None:
    client = setup(generationConfig={"responseModalities": ["AUDIO"], "seed": 7})
    start(stand_in, stand_in.token(None), client)
    assert stand_in.gemini.sessions[0].setup == client


@pytest.mark.parametrize(
    "locked",
    [
        {"model": MODEL},
        setup(generationConfig={"temperature": 1}),
        setup(generationConfig={"responseModalities": ["TEXT"]}),
        setup(generationConfig={"responseModalities": ["AUDIO", "TEXT"]}),
        setup(generationConfig={"responseModalities": []}),
    ],
)
def test_text_is_the_default_and_is_refused(stand_in: StandIn, locked: Any) -> None:
    assert stand_in.refusal(stand_in.token(locked), AUDIO) == 1007


@pytest.mark.parametrize(
    "model",
    [
        "models/gemini-2.0-flash-exp",
        "models/gemini-2.0-flash-live-001",
        "models/gemini-live-2.5-flash-preview",
        "models/gemini-2.5-flash-exp-native-audio-thinking-dialog",
        "models/gemini-2.5-flash",
        "models/gpt-realtime",
        "gemini-3.8-live",
        "",
    ],
)
def test_an_unknown_model_can_be_minted_but_not_used(stand_in: StandIn, model: str) -> None:
    token = stand_in.token(setup(model=model))
    with stand_in.socket(token) as ws:
        assert stand_in.closed(ws, {"setup": SETUP}) == 1007
        assert "project-scoped" in (ws.close_reason or "")
    stand_in.behaviour.models[model] = Model()
    start(stand_in, stand_in.token(setup(model=model)))


@pytest.mark.parametrize(
    ("model", "level", "accepted"),
    [
        (MODEL, None, True),
        (MODEL, "LOW", False),
        (THINKING, None, False),
        (THINKING, "LOW", True),
        ("models/gemini-3.1-flash-live-preview", None, True),
        ("models/gemini-3.1-flash-live-preview", "LOW", True),
    ],
)
def test_each_model_has_its_rule_for_thinking_levels(
    stand_in: StandIn, model: str, level: str | None, accepted: bool
) -> None:
    thinking = {"thinkingConfig": {"thinkingLevel": level}} if level else {}
    token = stand_in.token(
        setup(model=model, generationConfig={"responseModalities": ["AUDIO"], **thinking})
    )
    if accepted:
        start(stand_in, token)
    else:
        assert stand_in.refusal(token) == 1007
