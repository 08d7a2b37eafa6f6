"""Sessions at the stand-in for Gemini: answers, resuming, and the end."""

import array
import asyncio
import base64
import json
import time
from typing import Any

import pytest
from google.genai import types
from stand_in import (
    AUDIO,
    MODEL,
    SETUP,
    StandIn,
    audio,
    eventually,
    handle,
    handle_of,
    hello,
    message,
    opened,
    parts,
    pcm,
    said,
    setup,
    sound,
    turn,
    words,
)

from emulator import speech

# --- resuming ---


def test_resuming_is_not_a_use_and_keeps_the_history(stand_in: StandIn) -> None:
    token = stand_in.token()
    handle = handle_of(stand_in.talk(token, "one", handle=True))
    stand_in.clock.advance(120)
    stand_in.behaviour.client_handle_under_full_lock = True
    again = stand_in.talk(token, "two", {"session_resumption": {"handle": handle}}, handle=True)
    assert said(again) == "I heard: two (turn 2)"
    assert stand_in.gemini.sessions[-1].setup == setup(sessionResumption={"handle": handle})
    third = stand_in.talk(token, "three", {"session_resumption": {"handle": handle_of(again)}})
    assert said(third) == "I heard: three (turn 3)"
    assert [one.resumed for one in stand_in.gemini.sessions] == [False, True, True]
    assert stand_in.refusal(token) == 1011


def test_an_expired_token_cannot_resume(stand_in: StandIn) -> None:
    token = stand_in.token(expireTime=stand_in.clock.at(600))
    handle = handle_of(stand_in.talk(token, handle=True))
    stand_in.clock.advance(601)
    assert stand_in.refusal(token, {"session_resumption": {"handle": handle}}) == 1011


def test_a_full_lock_ignores_the_clients_handle_unless_set(stand_in: StandIn) -> None:
    token = stand_in.token()
    config = {"session_resumption": {"handle": handle_of(stand_in.talk(token, handle=True))}}
    assert stand_in.refusal(token, config) == 1011, "it counts as a new session"
    stand_in.behaviour.client_handle_under_full_lock = True
    assert said(stand_in.talk(token, config=config)) == "I heard: hello (turn 2)"


def test_without_session_resumption_there_are_no_handles(stand_in: StandIn) -> None:
    handle = handle_of(stand_in.talk(stand_in.token(), handle=True))
    plain = {k: v for k, v in SETUP.items() if k != "sessionResumption"}
    got = stand_in.talk(stand_in.token(plain), config={"session_resumption": {"handle": handle}})
    assert said(got) == "I heard: hello (turn 1)"
    assert not [m for m in got if m.session_resumption_update]


@pytest.mark.parametrize("switch", [True, False])
def test_a_handle_pinned_in_a_new_token_resumes(stand_in: StandIn, switch: bool) -> None:
    stand_in.behaviour.client_handle_under_full_lock = switch
    handle = handle_of(stand_in.talk(stand_in.token(), "one", handle=True))
    pinned = stand_in.token(setup(sessionResumption={"handle": handle}))
    got = stand_in.talk(pinned, "two", {"session_resumption": {"handle": "of my own"}})
    assert said(got) == "I heard: two (turn 2)"
    assert stand_in.gemini.sessions[-1].resumed


def test_a_masked_session_resumption_overwrites_the_clients_handle(stand_in: StandIn) -> None:
    handle = handle_of(stand_in.talk(stand_in.token(), handle=True))
    config = {**AUDIO, "session_resumption": {"handle": handle}}
    for masked in ("model,sessionResumption", "model,generationConfig"):
        locked = {name: SETUP[name] for name in masked.split(",")}
        stand_in.talk(stand_in.token(locked, fieldMask=masked), config=config)
    assert [one.resumed for one in stand_in.gemini.sessions] == [False, False, True]


def test_an_invalid_handle_closes_1008(stand_in: StandIn) -> None:
    stand_in.behaviour.client_handle_under_full_lock = True
    token = stand_in.token(uses=0)
    handle = handle_of(stand_in.talk(token, handle=True))
    for dead in ("never given", handle):
        with stand_in.socket(token) as ws:
            client = {"model": MODEL, "sessionResumption": {"handle": dead}}
            assert stand_in.closed(ws, {"setup": client}) == 1008
            assert ws.close_reason == "BidiGenerateContent session not found"
        stand_in.behaviour.handle_life = 0


def test_an_open_session_cannot_be_resumed(stand_in: StandIn) -> None:
    token = stand_in.token()
    stand_in.behaviour.client_handle_under_full_lock = True
    with opened(stand_in, token) as ws:
        turn(ws, hello())
        config = {"session_resumption": {"handle": handle(ws)}}
        assert stand_in.refusal(token, config) == 1011
    assert eventually(lambda: stand_in.gemini.sessions[0].closed == 1000)
    assert said(stand_in.talk(token, config=config)) == "I heard: hello (turn 2)"


# --- the end ---


@pytest.mark.parametrize("code", [1008, 1011])
def test_a_connection_ends_after_go_away(stand_in: StandIn, code: int) -> None:
    stand_in.behaviour.end_code = code
    with opened(stand_in, stand_in.token()) as ws:
        stand_in.clock.advance(482)
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        stand_in.clock.advance(10.5)
        told = message(ws)["goAway"]["timeLeft"]
        assert told.endswith("s") and 40 <= float(told[:-1]) <= 50
        stand_in.clock.advance(50)
        assert stand_in.closed(ws) == code
    assert stand_in.gemini.sessions[0].closed == code


def test_the_life_of_a_connection_is_settable(stand_in: StandIn) -> None:
    stand_in.behaviour.connection_life, stand_in.behaviour.go_away_before = 0.3, 0.2
    with opened(stand_in, stand_in.token()) as ws:
        begun = time.monotonic()
        assert "goAway" in message(ws)
        assert stand_in.closed(ws) == 1008
        assert 0.2 < time.monotonic() - begun < 2


def test_a_session_closes_when_its_token_expires(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token(expireTime=stand_in.clock.at(100))) as ws:
        turn(ws, hello())
        stand_in.clock.advance(101)
        assert stand_in.closed(ws) == 1011


# --- answers ---


def test_an_answer_has_audio_transcript_handle_and_usage(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token()) as ws:
        got = turn(ws, hello("good day"))
        assert len(sound(got)) == 0.25 * 24_000 * 2 and any(sound(got))
        assert words(got) == "I heard: good day (turn 1)"
        assert [m for m in got if m.get("serverContent", {}).get("generationComplete")]
        assert got[-1]["usageMetadata"]["totalTokenCount"] > 0
        (mime,) = {part["inlineData"]["mimeType"] for m in got for part in parts(m)}
        assert mime == "audio/pcm;rate=24000"
        assert handle(ws)
        assert words(turn(ws, {"realtime_input": {"text": "again"}})) == "I heard: again (turn 2)"


def test_transcripts_come_only_if_the_setup_asks_for_them(stand_in: StandIn) -> None:
    plain = {"model": MODEL, "generationConfig": {"responseModalities": ["AUDIO"]}}
    with opened(stand_in, stand_in.token(plain)) as ws:
        got = turn(ws, audio(pcm(0.2)), {"realtimeInput": {"audioStreamEnd": True}})
    assert sound(got) and not words(got) and not words(got, "inputTranscription")
    assert not [m for m in got if "sessionResumptionUpdate" in m]


def test_a_turn_is_answered_when_it_is_complete(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token()) as ws:
        spoken = (("user", "one"), ("model", "I see."))
        turns = [{"role": role, "parts": [{"text": text}]} for role, text in spoken]
        first = {"client_content": {"turns": turns}}
        ws.send(json.dumps(first))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        assert words(turn(ws, hello("two"))) == "I heard: one two (turn 1); I said: I see."


def test_speech_is_echoed_after_silence(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token(setup(inputAudioTranscription={}))) as ws:
        quiet, voice = pcm(0.3, loud=False), pcm(0.4)
        for samples in (quiet, voice[:5000], voice[5000:], quiet):
            ws.send(json.dumps(audio(samples)))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        got = turn(ws, audio(quiet))
    assert words(got, "inputTranscription") == "(0.4 seconds of speech)"
    assert words(got) == "I heard: (0.4 seconds of speech) (turn 1)"
    tone, heard = len(speech.tone()), array.array("h", sound(got))
    echoed = heard[tone // 2 : -tone // 2]
    assert abs(len(echoed) - 0.4 * 24_000) < 0.05 * 24_000
    assert max(echoed) > 8000
    assert heard[: tone // 2].tobytes() == speech.tone()
    assert 5000 < max(heard[-tone // 2 :]) < 7000


def test_speech_is_echoed_when_the_stream_ends(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token()) as ws:
        end = {"realtimeInput": {"audioStreamEnd": True}}
        got = turn(ws, end, audio(pcm(0.3)), end)
    assert words(got) == "I heard: (0.3 seconds of speech) (turn 1)"


def test_a_click_is_not_speech(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token()) as ws:
        ws.send(json.dumps(audio(pcm(0.06) + pcm(1, loud=False))))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)


def test_a_turn_ends_when_its_audio_has_been_played(stand_in: StandIn) -> None:
    stand_in.behaviour.plays = True
    with opened(stand_in, stand_in.token()) as ws:
        begun = time.monotonic()
        got = turn(ws, hello())
        assert time.monotonic() - begun > 0.25
    assert not [m for m in got if "interrupted" in m.get("serverContent", {})]


@pytest.mark.parametrize(
    "speaking", [audio(pcm(0.2)), hello("wait"), {"realtimeInput": {"text": "wait"}}]
)
def test_an_answer_can_be_interrupted(stand_in: StandIn, speaking: Any) -> None:
    stand_in.behaviour.plays = True
    with opened(stand_in, stand_in.token()) as ws:
        ws.send(json.dumps(audio(pcm(3) + pcm(0.5, loud=False))))
        got = [message(ws)]
        while "generationComplete" not in got[-1].get("serverContent", {}):
            got.append(message(ws))
        got = turn(ws, speaking)
        assert {"serverContent": {"interrupted": True}} in got
        assert got[-1] == {"serverContent": {"turnComplete": True}}
        if "audio" in speaking.get("realtimeInput", {}):
            ws.send(json.dumps(audio(pcm(0.5, loud=False))))
        got = turn(ws)
        assert words(got).endswith("(turn 2)")


def test_a_setup_can_forbid_interruptions(stand_in: StandIn) -> None:
    stand_in.behaviour.plays = True
    polite = setup(realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"})
    with opened(stand_in, stand_in.token(polite)) as ws:
        spoken = audio(pcm(0.2) + pcm(0.5, loud=False))
        ws.send(json.dumps(spoken))
        begun = [message(ws)]
        while not parts(begun[-1]):
            begun.append(message(ws))
        first, second = turn(ws, spoken), turn(ws)
    first = [*begun, *first]
    got = [*first, *second]
    assert words(first).endswith("(turn 1)")
    assert words(second).endswith("(turn 2)")
    assert not [m for m in got if "interrupted" in m.get("serverContent", {})]


def test_activity_can_be_marked_by_hand(stand_in: StandIn) -> None:
    by_hand = {"automaticActivityDetection": {"disabled": True}}
    with opened(stand_in, stand_in.token(setup(realtimeInputConfig=by_hand))) as ws:
        ws.send(json.dumps(audio(pcm(0.2))))
        ws.send(json.dumps({"realtimeInput": {"activityEnd": {}}}))
        ws.send(json.dumps({"realtimeInput": {"activityStart": {}}}))
        for samples in (pcm(0.2), pcm(0.6, loud=False)):
            ws.send(json.dumps(audio(samples)))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        got = turn(ws, {"realtimeInput": {"activityEnd": {}}})
    assert words(got) == "I heard: (0.8 seconds of speech) (turn 1)"


def test_both_base64_alphabets_are_accepted(stand_in: StandIn) -> None:
    samples = array.array("h", [-1, -1025] * 4000).tobytes()
    standard = base64.b64encode(samples).decode()
    assert "/" in standard and "+" in standard
    echoes = []
    for data in (standard, standard.replace("+", "-").replace("/", "_"), standard.rstrip("=")):
        with opened(stand_in, stand_in.token()) as ws:
            sent = {"realtime_input": {"audio": {"mime_type": "audio/pcm", "data": data}}}
            echoes.append(sound(turn(ws, sent, {"realtimeInput": {"audioStreamEnd": True}})))
    assert echoes[0] and echoes[0] == echoes[1] == echoes[2]


def test_the_sdk_can_stream_audio_after_a_tool_response_without_an_answer(
    stand_in: StandIn,
) -> None:
    async def session() -> list[Any]:
        live = stand_in.sdk(stand_in.token()).aio.live
        async with live.connect(model=MODEL, config=AUDIO) as it:
            await it.send_tool_response(
                function_responses=types.FunctionResponse(id="1", name="f", response={"a": 1})
            )
            blob = types.Blob(data=pcm(0.5), mime_type="audio/pcm;rate=16000")
            await it.send_realtime_input(audio=blob)
            await it.send_realtime_input(audio_stream_end=True)
            return [message async for message in it.receive()]

    got = asyncio.run(session())
    assert said(got) == "I heard: (0.5 seconds of speech) (turn 1)"
    assert len(b"".join(m.data for m in got if m.data)) == 2 * len(speech.tone()) + 24_000
    assert list(stand_in.gemini.sessions[0].messages[0]) == ["toolResponse"]


@pytest.mark.parametrize(
    "sent",
    [
        {"hello": {}},
        {"setup": SETUP},
        {},
        {"realtimeInput": {"sound": {}}},
        {"realtimeInput": {"audio": {"data": "~~~"}}},
        {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/mp3"}}},
        {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcm;rate=0000"}}},
        b"\xff\xfe",
    ],
)
def test_an_unknown_message_closes_1007(stand_in: StandIn, sent: Any) -> None:
    with opened(stand_in, stand_in.token()) as ws:
        assert stand_in.closed(ws, sent) == 1007
    assert stand_in.gemini.sessions[0].closed == 1007
