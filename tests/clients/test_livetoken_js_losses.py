"""What livetoken.js keeps of a conversation when connections end, in Chromium."""

import itertools
from typing import Any

import pytest
from livetoken_app import ANSWER, COMPLETE, END_OF_SPEECH, SPEECH, App, handle, picture
from stack import until


def is_called(app: App) -> None:
    """Begin a turn with a call, after a turn with a handle."""
    behaviour = app.around.gemini.behaviour
    app.talks(profile="tools")
    app.is_told("one")
    behaviour.calls_functions = True
    behaviour.plays = True
    app.say("two")
    app.hears("call call-2")


# --- what was not answered ---


@pytest.mark.parametrize("code", [1011, 1006, 1008])
def test_a_connection_that_breaks_in_an_answer_is_resumed(app: App, code: int) -> None:
    app.around.gemini.behaviour.oddities = {2: code}
    app.talks()
    app.is_told("one")
    app.say("two")
    app.hears("I heard: two (turn 2)")
    assert app.states == ["connecting", "open", "resuming", "open"]
    assert app.lost == []


def test_a_message_during_a_renewal_is_not_lost(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.delay = 0.5
    app.around.gemini.behaviour.thinks = 2
    app.page.clock.fast_forward("29:40")
    app.is_in("resuming")
    app.say("two")
    app.hears("I heard: two (turn 2)")
    assert app.states == ["connecting", "open", "resuming", "open"]
    assert app.lost == []


@pytest.mark.parametrize(("age", "arrives"), [("00:20", True), ("00:35", False)])
def test_text_waits_for_the_next_connection_and_old_speech_is_said_to_be_lost(
    app: App, age: str, arrives: bool
) -> None:
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.delay = 0.5
    app.cut()
    app.is_in("resuming")
    app.send(SPEECH)
    app.send(END_OF_SPEECH)
    app.say("two")
    app.page.clock.fast_forward(age)
    app.has_opened(2)
    app.page.wait_for_function("() => seen.said.some((each) => each.endsWith('two (turn 2)'))")
    sent = [next(iter(each)) for each in app.received("realtimeInput")]
    assert sent == ["audio"] * arrives + ["audioStreamEnd", "text"]
    assert sum(lost["audio"] for lost in app.lost) == (0 if arrives else 100)


def test_only_the_newest_picture_is_kept(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.delay = 0.5
    app.send(picture("seen"))
    app.cut()
    app.is_in("resuming")
    app.send(picture("old"))
    app.say("What is this?")
    app.send(picture("new"))
    app.hears("I heard: What is this? (turn 2)")
    assert app.received("realtimeInput") == [
        picture("new")["realtimeInput"],
        {"text": "What is this?"},
    ]


def test_an_empty_answer_is_said(app: App) -> None:
    app.around.gemini.behaviour.oddities = {2: "empty"}
    app.talks()
    app.is_told("one")
    app.is_told("two")
    (lost,) = app.lost
    assert lost["messages"] == [{"realtimeInput": {"text": "two"}}]
    assert lost["forgot"] == "nothing"


def test_a_text_without_an_answer_is_said(app: App) -> None:
    app.around.gemini.behaviour.oddities = {2: "unanswered"}
    app.talks()
    app.is_told("one")
    app.say("two")
    app.page.wait_for_timeout(500)
    app.page.clock.fast_forward("00:16")
    until(lambda: app.lost)
    (lost,) = app.lost
    assert lost["messages"] == [{"realtimeInput": {"text": "two"}}]
    app.is_told("three")
    assert app.states == ["connecting", "open"]


def test_a_resumed_session_that_never_answers_is_resumed_once_more(app: App) -> None:
    behaviour = app.around.gemini.behaviour
    behaviour.deaf_after_resuming = True
    app.talks()
    app.is_told("one")
    app.cut()
    app.has_opened(2)
    app.say("two")
    until(lambda: app.received("realtimeInput"))
    app.page.wait_for_timeout(500)
    behaviour.delay = 1
    app.page.clock.fast_forward("00:16")
    app.is_in("resuming")
    behaviour.deaf_after_resuming = False
    app.hears("I heard: two (turn 2)")
    assert app.lost == []


def test_a_message_that_gemini_rejects_is_not_sent_again(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.thinks = 1
    rejected = {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/webm"}}}
    app.say("two")
    app.send(rejected)
    app.has_opened(2)
    (lost,) = app.lost
    assert lost["messages"] == [{"realtimeInput": {"text": "two"}}]
    app.is_told("three")
    assert "I heard: three (turn 2)" in app.said
    app.send(rejected)
    app.has_opened(3)
    app.send(rejected)
    app.is_in("closed: SESSION_ENDED")
    assert len(app.around.gemini.minted()) == 3


# --- what Gemini has forgotten ---


def test_a_turn_that_is_newer_than_the_handle_is_said_to_be_forgotten(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.handle_after = 60
    app.say("two")
    app.page.wait_for_function("() => seen.said.at(-1) === 'turnComplete'")
    app.cut()
    app.has_opened(2)
    assert app.lost == [{"forgot": "last", "messages": [], "audio": 0, "toolCalls": []}]
    app.say("three")
    app.hears("I heard: three (turn 2)")


def test_a_handle_that_is_not_resumable_is_not_used(app: App) -> None:
    asked: list[Any] = []
    app.page.on("request", lambda request: asked.append(request.post_data_json))
    app.gemini_says(ANSWER, COMPLETE, handle("good"), handle("bad", resumable=False), closes=True)
    app.talks()
    app.has_opened(2)
    assert asked[1] == {"resume": "good"}


def test_a_dead_handle_costs_one_token_and_the_conversation_begins_anew(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.handle_life = 0
    app.cut()
    app.say("two")
    app.hears("I heard: two (turn 1)")
    assert app.lost == [{"forgot": "everything", "messages": [], "audio": 0, "toolCalls": []}]
    assert len(app.around.gemini.minted()) == 3, "one for each session, one for the dead handle"


def test_if_nothing_was_answered_the_conversation_begins_anew(app: App) -> None:
    app.talks(profile="short")
    app.cut()
    app.has_opened(2)
    app.say("one")
    app.hears("I heard: one (turn 1)")
    assert app.lost == []


def test_without_handles_an_answered_conversation_ends_with_its_connection(app: App) -> None:
    app.talks(profile="short")
    app.say("one")
    app.hears("turnComplete")
    app.cut()
    app.is_in("closed: SESSION_ENDED")
    assert len(app.around.gemini.minted()) == 1


# --- calls ---


def test_calls_newer_than_the_handle_are_void(app: App) -> None:
    is_called(app)
    app.cut()
    app.hears("call call-3")
    assert app.lost == [{"forgot": "nothing", "messages": [], "audio": 0, "toolCalls": ["call-2"]}]
    app.responds("call-2")
    app.responds("call-3")
    until(lambda: app.received("toolResponse"))
    ((response,),) = [each["functionResponses"] for each in app.received("toolResponse")]
    assert response["id"] == "call-3"


def test_a_response_is_not_sent_again_if_its_call_is_void(app: App) -> None:
    app.around.gemini.behaviour.unknown_call_closes = True
    is_called(app)
    app.responds("call-2")
    app.cut()
    app.hears("call call-3")
    assert app.lost[0]["toolCalls"] == ["call-2"]
    assert app.received("toolResponse") == []


def test_calls_that_a_handle_knows_outlive_a_connection(app: App) -> None:
    behaviour = app.around.gemini.behaviour
    behaviour.unknown_call_closes = True
    behaviour.calls_functions = True
    app.talks(profile="tools")
    app.is_told("one")
    app.cut()
    app.has_opened(2)
    app.responds("call-1")
    app.hears("I heard: look_up returned {} (turn 2)")
    assert app.lost == []


def test_a_cancelled_call_gets_no_response(app: App) -> None:
    behaviour = app.around.gemini.behaviour
    behaviour.calls_functions = True
    behaviour.plays = True
    app.talks(profile="tools")
    app.say("one")
    app.hears("call call-1")
    app.say("two")
    app.hears("cancel call-1")
    app.responds("call-1")
    app.hears("call call-2")
    assert app.received("toolResponse") == []


# --- tokens ---


def test_sessions_without_a_turn_end_the_conversation(app: App) -> None:
    """Handles alone do not show that a session works."""
    app.gemini_says(handle("h"), closes=True)
    app.talks()
    app.comes_to("closed")
    assert app.states[-1] == "closed: SESSION_ENDED"
    assert len(app.around.gemini.minted()) == 5, "each of them costs a token"


def test_the_waits_between_sessions_grow_whatever_gemini_says(app: App) -> None:
    """Here each session seems to work, and ends."""
    app.gemini_says(handle("h1"), ANSWER, COMPLETE, handle("h2"), closes=True)
    app.talks()
    for _ in range(150):
        app.page.clock.run_for(1_000)
        app.page.wait_for_timeout(30)
    tried: list[float] = app.page.evaluate("seen.tried")
    for first, seventh in zip(tried, tried[6:], strict=False):
        # A token is counted a moment before it is tried.
        assert seventh - first > 59_900, "six tokens a minute at most"
    waits = [after - before for before, after in itertools.pairwise(tried)]
    shortest = [250, 500, 1_000, 2_000, 4_000]  # ms: half of each doubled rest is random
    for wait, least in zip(waits, shortest, strict=False):
        assert wait >= least
    assert len(waits) > len(shortest)
    assert app.states[-1] in ("open", "resuming")


def test_it_needs_no_abort_signal_timeout(app: App) -> None:
    """React Native has none."""
    app.page.evaluate("delete AbortSignal.timeout")
    assert "name" in app.get()
