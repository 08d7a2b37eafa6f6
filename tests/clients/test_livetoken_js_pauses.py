"""When livetoken.js leaves a connection that is about to end, in Chromium."""

from typing import Any

from livetoken_app import ANSWER, END_OF_SPEECH, SPEECH, App, handle, picture
from stack import until

THINKS_ON: dict[str, Any] = {
    "serverContent": {"turnComplete": True, "interactionStatus": "IN_PROGRESS"}
}
GO_AWAY: dict[str, Any] = {"goAway": {"timeLeft": "50s"}}


def stays(app: App, seconds: float) -> None:
    """The first connection is still open, and stays open for some seconds of the page's clock."""
    app.page.evaluate("(ms) => new Promise((done) => setTimeout(done, ms))", seconds * 1_000)
    assert app.states == ["connecting", "open"]


def every_tenth(app: App, message: dict[str, Any]) -> None:
    """Send a message ten times a second."""
    app.page.evaluate("(it) => { window.sending = setInterval(() => send(it), 100); }", message)


def test_a_pause_begins_with_the_handle_of_the_last_turn(app: App) -> None:
    app.around.gemini.behaviour.handle_after = 1.5
    app.talks()
    app.is_told("one")
    app.say("two")
    app.hears("I heard: two (turn 2)")
    app.gets_go_away()
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
    app.gets_go_away()
    app.has_opened(2)
    assert app.said.index("goAway") < len(app.said) - app.said[::-1].index("turnComplete")
    assert app.lost == []


def test_there_is_no_pause_while_an_answer_is_owed(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.thinks = 1.5
    app.say("two")
    app.gets_go_away()
    app.has_opened(2)
    assert "I heard: two (turn 2)" in app.said
    assert len(app.received("realtimeInput")) == 0, "nothing had to be sent again"


def test_there_is_no_pause_while_the_user_speaks(app: App) -> None:
    app.talks()
    app.is_told("one")
    every_tenth(app, SPEECH)
    until(lambda: app.received("realtimeInput")[1:])
    app.gets_go_away()
    stays(app, 1)
    app.page.evaluate("clearInterval(sending)")
    app.send(END_OF_SPEECH)
    app.has_opened(2)
    assert any("seconds of speech) (turn 2)" in said for said in app.said)
    assert len(app.received("realtimeInput")) == 0, "nothing had to be sent again"


def test_there_is_no_pause_between_activity_start_and_end(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.send({"realtimeInput": {"activityStart": {}}})
    app.gets_go_away()
    stays(app, 1)
    app.send({"realtimeInput": {"activityEnd": {}}})
    app.has_opened(2)


def test_there_is_no_pause_while_a_call_is_open(app: App) -> None:
    app.around.gemini.behaviour.calls_functions = True
    app.talks(profile="tools")
    app.is_told("one")
    assert "call call-1" in app.said
    app.gets_go_away()
    stays(app, 1)
    app.responds("call-1")
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
    app.gets_go_away()
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
    app.gets_go_away()
    app.has_opened(2)


def test_a_turn_without_its_end_is_over_with_its_handle(app: App) -> None:
    app.around.gemini.behaviour.oddities = {2: "missing"}
    app.talks()
    app.is_told("one")
    app.is_told("two")
    assert app.said.count("turnComplete") == 1
    app.gets_go_away()
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
    sent = len(app.received("realtimeInput")) - 1
    assert f"({sent / 10:.1f} seconds of speech)" in answer, "from its beginning"
    assert sent > 10
    assert app.lost == []
