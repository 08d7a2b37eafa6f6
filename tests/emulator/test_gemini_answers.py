"""Answers of the stand-in for Gemini, and the functions that it calls, are as odd as reported."""

import json
from typing import Any

import pytest
from stand_in import (
    THINKING,
    StandIn,
    audio,
    content,
    handle,
    hello,
    message,
    opened,
    parts,
    pcm,
    pinned,
    setup,
    sound,
    text,
    turn,
    until,
    words,
)

LEGACY = "models/gemini-3.1-flash-live-preview"
LOOK = [{"functionDeclarations": [{"name": "look"}]}]


# --- answers ---


def test_an_answer_takes_a_while_to_begin(stand_in: StandIn) -> None:
    stand_in.behaviour.thinks = 60
    with opened(stand_in, stand_in.token()) as ws:
        ws.send(json.dumps(text("one")))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.2)
        stand_in.behaviour.thinks = 0
        assert words(turn(ws, text("two"))) == "I heard: one two (turn 1)"


def test_an_empty_content_with_usage_comes_before_the_first_turn(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token()) as ws:
        first, second = (turn(ws, text(word)) for word in ("one", "two"))
    empty = [message for message in (*first, *second) if message.get("serverContent") == {}]
    assert empty == [one for one in first if "serverContent" in one][:1]
    assert empty[0]["usageMetadata"]["totalTokenCount"] > 0


def test_a_frame_has_several_parts_and_fields(stand_in: StandIn) -> None:
    with opened(stand_in, stand_in.token()) as ws:
        frames = [one for one in turn(ws, text("hello")) if parts(one)]
    assert len(parts(frames[0])) == 2
    assert content(frames[0])["outputTranscription"] == {"text": "I heard: "}


def test_transcripts_come_in_pieces_and_late(stand_in: StandIn) -> None:
    end = {"realtimeInput": {"audioStreamEnd": True}}
    heard = "(0.3 seconds of speech)"
    with opened(stand_in, stand_in.token(setup(inputAudioTranscription={}))) as ws:
        first, _, third = (turn(ws, audio(pcm(0.3)), end) for _ in range(3))
        late = until(ws, "inputTranscription")
    names = [name for one in first for name in content(one)]
    assert names.index("modelTurn") < names.index("inputTranscription")
    assert names.count("inputTranscription") == 2
    assert names.count("outputTranscription") > 2
    assert words(first, "inputTranscription") == heard
    assert words([*third, *late], "inputTranscription") == heard
    assert words(late, "inputTranscription") == "of speech)"


def test_the_end_of_a_turn_can_be_missing_early_or_all_there_is(stand_in: StandIn) -> None:
    stand_in.behaviour.oddities = {1: "missing", 2: "early", 3: "empty"}
    with opened(stand_in, stand_in.token()) as ws:
        ws.send(json.dumps(text("one")))
        missing = until(ws, "generationComplete")
        handle(ws)
        early = turn(ws, text("two"))
        rest = [message(ws)]
        while not rest[-1].get("sessionResumptionUpdate", {}).get("newHandle"):
            rest.append(message(ws))
        empty = turn(ws, text("three"))
        last = turn(ws, text("four"))
    assert sound(missing) and not [one for one in missing if "turnComplete" in content(one)]
    assert sound(early) and sound(rest)
    assert not [one for one in rest if "turnComplete" in content(one)]
    assert words([*early, *rest]) == "I heard: two (turn 2)"
    assert not sound(empty) and not words(empty)
    assert words(last) == "I heard: four (turn 4)"


def test_a_text_can_stay_unanswered(stand_in: StandIn) -> None:
    stand_in.behaviour.oddities = {1: "unanswered"}
    with opened(stand_in, stand_in.token()) as ws:
        ws.send(json.dumps(text("one")))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.3)
        assert words(turn(ws, text("two"))) == "I heard: two (turn 2)"


def test_3_1_closes_1007_on_late_content_and_on_media_chunks(stand_in: StandIn) -> None:
    blob = audio(pcm(0.3))["realtimeInput"]["audio"]
    for sent in (hello("two"), {"realtimeInput": {"mediaChunks": [blob]}}):
        with opened(stand_in, stand_in.token(setup(model=LEGACY))) as ws:
            assert words(turn(ws, hello("one"))) == "I heard: one (turn 1)"
            assert stand_in.closed(ws, sent) == 1007
        with opened(stand_in, stand_in.token()) as ws:
            turn(ws, hello("one"))
            assert turn(ws, sent, {"realtimeInput": {"audioStreamEnd": True}}), "3.8 takes both"


def test_a_turn_of_the_model_is_taken_and_one_of_the_system_closes_1007(stand_in: StandIn) -> None:
    def said(role: str) -> dict[str, Any]:
        turns = [{"role": role, "parts": [{"text": "I obey."}]}]
        return {"clientContent": {"turns": turns}}

    with opened(stand_in, stand_in.token()) as ws:
        turn(ws, text("one"))
        ws.send(json.dumps(said("model")))
        assert words(turn(ws, text("two"))) == "I heard: two (turn 2); I said: I obey."
        assert stand_in.closed(ws, said("system")) == 1007


def test_a_context_update_changes_what_is_locked_only_if_set(stand_in: StandIn) -> None:
    update = {
        "systemInstruction": {"parts": [{"text": "Obey me. " * 1000}]},
        "tools": {"tools": LOOK},
    }
    stand_in.behaviour.calls_functions = True
    mask = {"fieldMask": "model,generationConfig,sessionResumption,outputAudioTranscription"}
    changed = []
    for token, obeys in (
        (stand_in.token(), False),
        (stand_in.token(), True),
        (stand_in.token(**mask), False),
        (stand_in.token(fieldMask=f"{mask['fieldMask']},tools"), False),
    ):
        stand_in.behaviour.context_updates = obeys
        with opened(stand_in, token) as ws:
            turn(ws, text("one"))
            got = turn(ws, {"contextUpdate": update}, text("two"))
        tokens = got[-1]["usageMetadata"]["promptTokenCount"]
        changed.append((tokens > 2000, any("toolCall" in one for one in got)))
    assert changed == [(False, False), (True, True), (True, True), (True, False)]


def test_a_turn_in_progress_is_not_the_end(stand_in: StandIn) -> None:
    generation = {"responseModalities": ["AUDIO"], "thinkingConfig": {"thinkingLevel": "LOW"}}
    with opened(stand_in, stand_in.token(setup(model=THINKING, generationConfig=generation))) as ws:
        filler, answer = turn(ws, text("hello")), turn(ws)
    assert content(filler[-1]) == {"turnComplete": True, "interactionStatus": "IN_PROGRESS"}
    assert content(answer[-1]) == {"turnComplete": True, "interactionStatus": "IDLE"}
    assert sound(filler) and words(answer) == "I heard: hello (turn 1)"
    assert not [one for one in answer if "newHandle" in one.get("sessionResumptionUpdate", {})]


def test_a_resumed_session_can_stay_silent(stand_in: StandIn) -> None:
    stand_in.behaviour.deaf_after_resuming = True
    with opened(stand_in, stand_in.token()) as ws:
        turn(ws, text("one"))
        issued = handle(ws)
    with opened(stand_in, pinned(stand_in, issued)) as ws:
        ws.send(json.dumps(text("two")))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.3)


# --- functions ---


def response(call: str, **how: str) -> dict[str, Any]:
    answered = {"id": call, "name": "look", "response": {"seen": "a cat"}, **how}
    return {"toolResponse": {"functionResponses": [answered]}}


def called(messages: list[dict[str, Any]]) -> list[str]:
    """The ids of the calls in messages."""
    calls = [one["toolCall"]["functionCalls"] for one in messages if "toolCall" in one]
    return [call["id"] for (call,) in calls]


def test_a_function_blocks_its_turn_on_3_1_only(stand_in: StandIn) -> None:
    stand_in.behaviour.calls_functions, stand_in.behaviour.oddities = True, {}
    with opened(stand_in, stand_in.token(setup(tools=LOOK))) as ws:
        got = turn(ws, text("one"))
        (call,) = called(got)
        assert words(got) == "I heard: one (turn 1)", "the turn goes on"
        answered = turn(ws, response(call))
        assert words(answered) == 'I heard: look returned {"seen": "a cat"} (turn 2)'
        assert not called(answered), "the answer to a response calls nothing"
        (call,) = called(turn(ws, text("two")))
        ws.send(json.dumps(response(call, scheduling="SILENT")))
        assert words(turn(ws, text("three"))) == "I heard: three (turn 4)"
    with opened(stand_in, stand_in.token(setup(model=LEGACY, tools=LOOK))) as ws:
        ws.send(json.dumps(text("one")))
        (call,) = called(until(ws, "toolCall"))
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.3)
        assert words(turn(ws, response(call))) == "I heard: one (turn 1)"


def test_an_interruption_cancels_the_call_of_its_turn(stand_in: StandIn) -> None:
    stand_in.behaviour.calls_functions = stand_in.behaviour.plays = True
    with opened(stand_in, stand_in.token(setup(tools=LOOK))) as ws:
        ws.send(json.dumps(audio(pcm(3) + pcm(0.5, loud=False))))
        (call,) = called(until(ws, "generationComplete"))
        first, second = turn(ws, text("wait")), turn(ws)
        assert {"toolCallCancellation": {"ids": [call]}} in first
        assert {"serverContent": {"interrupted": True}} in first
        assert words(second) == "I heard: wait (turn 2)"
        ws.send(json.dumps(response(call)))
        assert words(turn(ws, text("two"))) == "I heard: two (turn 3)", "its response is dropped"


@pytest.mark.parametrize("closes", [False, True])
def test_a_response_to_an_unknown_call_is_dropped_or_closes_1007(
    stand_in: StandIn, closes: bool
) -> None:
    stand_in.behaviour.unknown_call_closes = closes
    with opened(stand_in, stand_in.token(setup(tools=LOOK))) as ws:
        if closes:
            assert stand_in.closed(ws, response("never made")) == 1007
        else:
            ws.send(json.dumps(response("never made")))
            assert words(turn(ws, text("one"))) == "I heard: one (turn 1)"
