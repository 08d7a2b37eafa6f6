"""The page's microphone and speaker, also if the browser refuses or suspends them."""

import base64

import pytest
import voice
from playwright.sync_api import Browser, expect
from stack import Stack, until
from visitor import READY, Visitor, brief, visiting

NOT_ALLOWED = "This page is not allowed to use the microphone. Allow it in the browser’s settings"
WAKES = {
    "a click": "mouse",
    "a key": "keyboard",
    "the focus": "dispatchEvent(new Event('focus'))",
    "becoming visible": "document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))",
}


def test_microphone_audio_arrives_at_16_khz(visitor: Visitor, alone: Stack) -> None:
    visitor.talks()
    visitor.sees("I heard")
    sent = [
        message["realtimeInput"]["audio"]
        for message in alone.gemini.sessions[-1].messages
        if "realtimeInput" in message
    ]
    assert {audio["mimeType"] for audio in sent} == {"audio/pcm;rate=16000"}
    samples = b"".join(base64.b64decode(audio["data"]) for audio in sent)
    assert voice.hertz(samples, 16_000) == pytest.approx(voice.HERTZ, rel=0.05)


def test_answers_are_played_and_an_interruption_stops_them(visitor: Visitor, alone: Stack) -> None:
    alone.gemini.behaviour.plays = True
    visitor.talks()
    visitor.sees("(turn 2)", seconds=20)
    played = visitor.played
    assert {piece["rate"] for piece in played} == {24_000}
    assert max(piece["peak"] for piece in played) > 0.2, "the user's voice is louder than the tones"
    answer = 0.25 + voice.WORD + 0.25
    whole = sum(piece["seconds"] for piece in played)
    assert whole == pytest.approx(2 * answer, abs=0.5)
    cut = [piece["cut"] for piece in played]
    assert any(cut[: len(cut) // 2]), "the second word clears the first answer"
    assert not any(cut[len(cut) // 2 :])


def test_the_level_follows_the_voice(visitor: Visitor) -> None:
    visitor.talks()
    for level in ("> 0.1", "< 0.1", "> 0.1"):
        visitor.page.wait_for_function(f"() => document.querySelector('#level').value {level}")


def test_mute_stops_the_microphone(visitor: Visitor, alone: Stack) -> None:
    visitor.talks()
    visitor.sees("I heard")
    visitor.press("Mute")
    expect(visitor.button("Mute")).to_have_attribute("aria-pressed", "true")
    messages = alone.gemini.sessions[-1].messages
    until(lambda: messages[-1] == {"realtimeInput": {"audioStreamEnd": True}})
    visitor.page.wait_for_function("() => document.querySelector('#level').value > 0.1")
    assert messages[-1] == {"realtimeInput": {"audioStreamEnd": True}}


def test_a_refused_microphone_costs_nothing(chromium: Browser, alone: Stack) -> None:
    with visiting(chromium, alone, microphone=False) as visitor:
        visitor.ask()
        visitor.press("Talk")
        visitor.is_told(NOT_ALLOWED)
        visitor.sees(READY)
        visitor.picture("11-no-microphone")
        assert alone.gemini.sessions == []
        assert not [url for url in visitor.asked if url.startswith("ws")]
        visitor.page.context.grant_permissions(["microphone"])
        visitor.press("Talk")
        visitor.sees("Connected. Speak or write.")
        expect(visitor.page.get_by_role("alert")).to_be_empty()
        visitor.sees("I heard")
        assert len(alone.gemini.minted()) == 1, "with the same token"


def test_a_user_can_write_without_a_microphone(chromium: Browser, alone: Stack) -> None:
    with visiting(chromium, alone, microphone=False) as visitor:
        visitor.ask()
        visitor.press("Talk")
        visitor.is_told(NOT_ALLOWED)
        visitor.asks("Hello!")
        visitor.sees("Connected. Write.")
        visitor.press("Use the microphone")
        visitor.is_told(NOT_ALLOWED)
        visitor.asks("Still here?")
        visitor.page.context.grant_permissions(["microphone"])
        visitor.press("Use the microphone")
        visitor.sees("Connected. Speak or write.")
        visitor.sees("seconds of speech")
        assert len(alone.gemini.sessions) == 1


def test_a_microphone_that_ends_does_not_end_the_conversation(
    visitor: Visitor, alone: Stack
) -> None:
    visitor.talks()
    visitor.sees("I heard")
    visitor.page.context.clear_permissions()
    visitor.sees("The microphone has ended.")
    visitor.sees("Connected. Write.")
    messages = alone.gemini.sessions[-1].messages
    until(lambda: messages[-1] == {"realtimeInput": {"audioStreamEnd": True}})
    expect(visitor.page.locator("#level")).to_have_js_property("value", 0)
    visitor.asks("Hello!")
    visitor.picture("15-microphone-ended")
    visitor.page.context.grant_permissions(["microphone"])
    visitor.press("Use the microphone")
    visitor.sees("Connected. Speak or write.")
    visitor.page.wait_for_function("() => document.querySelector('#level').value > 0.1")
    assert len(alone.gemini.sessions) == 1


def test_a_permission_that_comes_too_late_for_the_token_gets_another(
    chromium: Browser, alone: Stack
) -> None:
    with visiting(chromium, alone, brief(expires="30m")) as visitor:
        visitor.page.evaluate(
            """() => {
              const { getUserMedia } = navigator.mediaDevices;
              const allowed = new Promise((resolve) => { window.allow = resolve; });
              navigator.mediaDevices.getUserMedia = (asked) =>
                allowed.then(() => getUserMedia.call(navigator.mediaDevices, asked));
            }"""
        )
        visitor.ask()
        visitor.press("Talk")
        visitor.sees("Waiting for the microphone…")
        visitor.sees("too late")
        visitor.page.evaluate("allow()")
        visitor.sees("Connected. Speak or write.")
        assert len(alone.gemini.minted()) == 2
        assert visitor.transcript == []


def test_stop_works_while_the_browser_asks_for_permission(visitor: Visitor, alone: Stack) -> None:
    never = "() => { navigator.mediaDevices.getUserMedia = () => new Promise(() => {}); }"
    visitor.page.evaluate(never)
    visitor.ask()
    visitor.press("Talk")
    visitor.sees("Waiting for the microphone…")
    expect(visitor.button("Send")).to_be_disabled()
    visitor.press("Stop")
    visitor.sees(READY)
    assert alone.gemini.sessions == []


def suspend(visitor: Visitor) -> None:
    """Let the browser suspend the speaker and the microphone, as during a phone call."""
    suspended = visitor.page.evaluate(
        """async () => {
          await Promise.all(contexts.map((context) => context.suspend()));
          return contexts.map(({ state }) => state);
        }"""
    )
    assert suspended == ["suspended", "suspended"]


def wait_until_running(visitor: Visitor) -> None:
    visitor.page.wait_for_function("() => contexts.every(({ state }) => state === 'running')")


@pytest.mark.parametrize("wake", WAKES)
def test_what_the_browser_suspends_resumes(visitor: Visitor, wake: str) -> None:
    visitor.talks()
    suspend(visitor)
    visitor.page.evaluate("document.querySelector('#level').value = 0")
    match WAKES[wake]:
        case "mouse":
            visitor.page.mouse.click(5, 5)
        case "keyboard":
            visitor.page.keyboard.press("Shift")
        case script:
            visitor.page.evaluate(script)
    wait_until_running(visitor)
    visitor.page.wait_for_function("() => document.querySelector('#level').value > 0.1")


def test_sound_that_waited_is_dropped(visitor: Visitor) -> None:
    visitor.talks()
    visitor.press("Mute")
    page = visitor.page
    visitor.asks("one")
    page.wait_for_function("() => played.length > 0 && played.every(({ hasEnded }) => hasEnded)")
    before = len(visitor.played)
    suspend(visitor)
    page.evaluate("document.querySelector('#text').value = 'two'")
    page.evaluate("document.querySelector('#write').requestSubmit()")  # no gesture
    visitor.sees("I heard: two ")
    page.wait_for_timeout(1_500)
    page.mouse.click(5, 5)
    wait_until_running(visitor)
    assert all(piece["cut"] for piece in visitor.played[before:])
    after = len(visitor.played)
    visitor.asks("three")
    page.wait_for_function(f"() => played.slice({after}).some(({{ hasEnded }}) => hasEnded)")
    assert not any(piece["cut"] for piece in visitor.played[after:])


def test_a_closed_conversation_leaves_nothing_to_resume(visitor: Visitor) -> None:
    visitor.page.evaluate("""() => {
      const add = addEventListener;
      window.listening = [];
      window.addEventListener = (kind, listener, options) => {
        if (options?.capture && options.signal) listening.push(options.signal);
        add(kind, listener, options);
      };
    }""")
    visitor.talks()
    assert visitor.page.evaluate("listening.filter(({ aborted }) => !aborted).length") > 0
    visitor.press("Stop")
    visitor.page.wait_for_function("() => listening.every(({ aborted }) => aborted)")
    assert visitor.page.evaluate("contexts.every(({ state }) => state === 'closed')")
    assert visitor.complaints == []
