"""What livetoken.js keeps of a conversation when connections end, in Chromium."""

import base64
import itertools
from typing import Any

import pytest
from livetoken_app import App
from stack import until
from stand_in import audio, pcm

SPEECH = audio(pcm(0.1))
END_OF_SPEECH: dict[str, Any] = {"realtimeInput": {"audioStreamEnd": True}}
ANSWER: dict[str, Any] = {"serverContent": {"modelTurn": {"parts": []}}}
COMPLETE: dict[str, Any] = {"serverContent": {"turnComplete": True}}
THINKS_ON: dict[str, Any] = {
    "serverContent": {"turnComplete": True, "interactionStatus": "IN_PROGRESS"}
}
GO_AWAY: dict[str, Any] = {"goAway": {"timeLeft": "50s"}}


def handle(name: str, resumable: bool = True) -> dict[str, Any]:
    return {"sessionResumptionUpdate": {"newHandle": name, "resumable": resumable}}


def picture(name: str) -> dict[str, Any]:
    data = base64.b64encode(name.encode()).decode()
    return {"realtimeInput": {"video": {"data": data, "mimeType": "image/jpeg"}}}


def go_away(app: App) -> None:
    """Make Gemini announce the end of the connection, long before it."""
    behaviour = app.around.gemini.behaviour
    behaviour.go_away_before = behaviour.connection_life
    app.hears("goAway")
    behaviour.go_away_before = 50


def stays(app: App, seconds: float) -> None:
    """The connection is not left."""
    before = len(app.states)
    app.page.wait_for_timeout(seconds * 1_000)
    assert app.states[before:] == []


def every_tenth(app: App, message: dict[str, Any]) -> None:
    """Send a message ten times a second."""
    app.page.evaluate("(it) => { window.sending = setInterval(() => send(it), 100); }", message)


def is_called(app: App) -> None:
    """Begin a turn with a call, after a turn with a handle."""
    behaviour = app.around.gemini.behaviour
    app.talks(profile="tools")
    app.is_told("one")
    behaviour.calls_functions = True
    behaviour.plays = True
    app.say("two")
    app.hears("call call-2")


def respond(app: App, call: str) -> None:
    app.send(
        {"toolResponse": {"functionResponses": [{"id": call, "name": "look_up", "response": {}}]}}
    )


def received(app: App, kind: str) -> list[Any]:
    """What Gemini received on the current connection."""
    messages = app.around.gemini.sessions[-1].messages
    return [message[kind] for message in messages if kind in message]


# --- a pause ---


def test_a_pause_begins_with_the_handle_of_the_last_turn(app: App) -> None:
    app.around.gemini.behaviour.handle_after = 1.5
    app.talks()
    app.is_told("one")
    app.say("two")
    app.hears("I heard: two (turn 2)")
    go_away(app)
    stays(app, 0.7)
    app.has_opened(2)
    app.is_told("three")
    assert "I heard: three (turn 3)" in app.said, "the second turn was not forgotten"
    assert app.lost == []


def test_there_is_no_pause_during_an_answer(app: App) -> None:
    behaviour = app.around.gemini.behaviour
    app.talks()
    app.is_told("one")
    behaviour.plays = True
    app.say("two")
    app.hears("I heard: two (turn 2)")
    go_away(app)
    app.has_opened(2)
    assert app.said.index("goAway") < len(app.said) - app.said[::-1].index("turnComplete")
    assert app.lost == []


def test_there_is_no_pause_while_an_answer_is_owed(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.thinks = 1.5
    app.say("two")
    go_away(app)
    app.has_opened(2)
    assert "I heard: two (turn 2)" in app.said
    assert len(received(app, "realtimeInput")) == 0, "nothing had to be sent again"


def test_there_is_no_pause_while_the_user_speaks(app: App) -> None:
    app.talks()
    app.is_told("one")
    every_tenth(app, SPEECH)
    until(lambda: received(app, "realtimeInput")[1:])
    go_away(app)
    stays(app, 1)
    app.page.evaluate("clearInterval(sending)")
    app.send(END_OF_SPEECH)
    app.has_opened(2)
    assert any("seconds of speech) (turn 2)" in said for said in app.said)
    assert len(received(app, "realtimeInput")) == 0, "nothing had to be sent again"


def test_there_is_no_pause_between_activity_start_and_end(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.send({"realtimeInput": {"activityStart": {}}})
    go_away(app)
    stays(app, 1)
    app.send({"realtimeInput": {"activityEnd": {}}})
    app.has_opened(2)


def test_there_is_no_pause_while_a_call_is_open(app: App) -> None:
    app.around.gemini.behaviour.calls_functions = True
    app.talks(profile="tools")
    app.is_told("one")
    assert "call call-1" in app.said
    go_away(app)
    stays(app, 1)
    respond(app, "call-1")
    app.has_opened(2)
    assert "I heard: look_up returned {} (turn 2)" in app.said
    assert app.lost == []


def test_there_is_no_pause_while_the_model_thinks_on(app: App) -> None:
    behaviour = app.around.gemini.behaviour
    app.talks(profile="thinking")
    app.is_told("one")
    behaviour.thinks = 1.5
    app.say("two")
    app.page.wait_for_function(
        "() => seen.said.filter((each) => each === 'turnComplete').length === 3"
    )
    go_away(app)
    app.has_opened(2)
    assert "I heard: two (turn 2)" in app.said
    assert app.lost == []


def test_there_is_no_pause_if_a_handle_comes_while_the_model_thinks_on(app: App) -> None:
    app.gemini_says(ANSWER, THINKS_ON, handle("h"), GO_AWAY)
    app.talks()
    app.hears("goAway")
    stays(app, 1)


def test_pictures_end_no_pause(app: App) -> None:
    app.talks()
    app.is_told("one")
    every_tenth(app, picture("live"))
    go_away(app)
    app.has_opened(2)


def test_a_turn_without_its_end_is_over_with_its_handle(app: App) -> None:
    app.around.gemini.behaviour.oddities = {2: "missing"}
    app.talks()
    app.is_told("one")
    app.is_told("two")
    assert app.said.count("turnComplete") == 1
    go_away(app)
    app.has_opened(2)
    app.is_told("three")
    assert "I heard: three (turn 3)" in app.said


def test_without_a_pause_it_leaves_before_the_end_and_speech_is_sent_again(app: App) -> None:
    behaviour = app.around.gemini.behaviour
    app.talks()
    app.is_told("one")
    every_tenth(app, SPEECH)
    app.page.wait_for_timeout(500)
    life, behaviour.connection_life = behaviour.connection_life, 7
    app.hears("goAway")
    behaviour.connection_life = life
    app.has_opened(2)
    assert [session.closed for session in app.around.gemini.sessions] == [1000, None]
    app.page.evaluate("clearInterval(sending)")
    app.send(END_OF_SPEECH)
    until(lambda: any("seconds of speech) (turn 2)" in said for said in app.said))
    (answer,) = [said for said in app.said if "seconds of speech) (turn 2)" in said]
    sent = len(received(app, "realtimeInput")) - 1
    assert f"({sent / 10:.1f} seconds of speech)" in answer, "from its beginning"
    assert sent > 10
    assert app.lost == []


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
    sent = [next(iter(each)) for each in received(app, "realtimeInput")]
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
    assert received(app, "realtimeInput") == [
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
    until(lambda: received(app, "realtimeInput"))
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


def test_updates_without_a_handle_change_nothing(app: App) -> None:
    """The stand-in sends `resumable: false` before each answer, and an empty update after it."""
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.thinks = 0.1
    app.around.gemini.behaviour.handle_after = 60
    app.say("two")
    app.page.wait_for_function("() => seen.said.at(-1) === 'turnComplete'")
    app.cut()
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
    respond(app, "call-2")
    respond(app, "call-3")
    until(lambda: received(app, "toolResponse"))
    ((response,),) = [each["functionResponses"] for each in received(app, "toolResponse")]
    assert response["id"] == "call-3"


def test_a_response_is_not_sent_again_if_its_call_is_void(app: App) -> None:
    app.around.gemini.behaviour.unknown_call_closes = True
    is_called(app)
    respond(app, "call-2")
    app.cut()
    app.hears("call call-3")
    assert app.lost[0]["toolCalls"] == ["call-2"]
    assert received(app, "toolResponse") == []


def test_calls_that_a_handle_knows_outlive_a_connection(app: App) -> None:
    behaviour = app.around.gemini.behaviour
    behaviour.unknown_call_closes = True
    behaviour.calls_functions = True
    app.talks(profile="tools")
    app.is_told("one")
    app.cut()
    app.has_opened(2)
    respond(app, "call-1")
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
    respond(app, "call-1")
    app.hears("call call-2")
    assert received(app, "toolResponse") == []


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
        assert seventh - first >= 60_000, "six tokens a minute at most"
    waits = [after - before for before, after in itertools.pairwise(tried)]
    assert waits[4] > 3 * waits[1]
    assert app.states[-1] in ("open", "resuming")


def test_it_needs_no_abort_signal_timeout(app: App) -> None:
    """React Native has none."""
    app.page.evaluate("delete AbortSignal.timeout")
    assert "name" in app.get()
