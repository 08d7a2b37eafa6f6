"""The page in a browser, used with a microphone."""

import base64
import re
from collections.abc import Iterator

import pytest
import voice
from outside import Outside
from playwright.sync_api import Browser, Route, expect
from stack import Stack, until
from visitor import SIGNED_OUT, Visitor, visiting

WORD = r"\(\d\.\d seconds of speech\)"
RESUMED = "Resumed with a new token."

BRIEF = """
api_version = "v1alpha"
[profiles.default]
model = "gemini-3.8-live"
expires_in = "4s"
start_within = "2s"
limit = "{limit}"
[profiles.default.config]
response_modalities = ["AUDIO"]
output_audio_transcription = {{}}
{resumption}
"""


@pytest.fixture
def visitor(chromium: Browser, alone: Stack) -> Iterator[Visitor]:
    """A user of the page, with the policy of this repository."""
    with visiting(chromium, alone) as made:
        yield made


def talks(visitor: Visitor, person: str = "ada", profile: str = "default") -> None:
    visitor.ask(person, profile)
    visitor.press("Talk")
    visitor.sees("Connected. Speak or write.")


def test_a_user_signs_in_and_talks(visitor: Visitor, alone: Stack) -> None:
    visitor.picture("1-signed-in")
    visitor.ask()
    visitor.sees("Ready. Press Talk.")
    visitor.sees(re.compile(r"Must start within\s+0?(1:00|0:5\d)"))
    visitor.sees(re.compile(r"Ends in\s+(30:00|29:5\d)"))
    visitor.picture("2-token")
    visitor.press("Talk")
    visitor.sees(re.compile(rf"I heard: {WORD} \(turn 2\)"), seconds=20)
    visitor.picture("3-talking")

    lines = (
        rf"You: {WORD}",
        rf"Gemini: I heard: {WORD} \(turn 1\)",
        r"You interrupted\.",
        rf"You: {WORD}",
        rf"Gemini: I heard: {WORD} \(turn 2\)",
    )
    assert re.match("\n".join(lines), "\n".join(visitor.transcript))
    visitor.press("Stop")
    visitor.sees("Ended. Get a new token to talk again.")
    until(lambda: alone.gemini.sessions[-1].closed == 1000)
    assert visitor.complaints == []


def test_microphone_audio_arrives_at_16_khz(visitor: Visitor, alone: Stack) -> None:
    talks(visitor)
    visitor.sees("I heard")
    sent = [
        message["realtimeInput"]["audio"]
        for message in alone.gemini.sessions[-1].messages
        if "realtimeInput" in message
    ]
    assert {audio["mimeType"] for audio in sent} == {"audio/pcm;rate=16000"}
    samples = b"".join(base64.b64decode(audio["data"]) for audio in sent)
    assert voice.hertz(samples, 16_000) == pytest.approx(voice.HERTZ, rel=0.05)


def test_answers_are_played_and_an_interruption_stops_them(visitor: Visitor) -> None:
    talks(visitor)
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
    talks(visitor)
    for level in ("> 0.1", "< 0.1", "> 0.1"):
        visitor.page.wait_for_function(f"() => document.querySelector('#level').value {level}")


def test_the_page_connects_to_gemini_on_another_host(chromium: Browser, alone: Stack) -> None:
    elsewhere = alone.gemini_url.replace("127.0.0.1", "localhost")
    with visiting(chromium, alone, gemini_url=elsewhere) as visitor:
        talks(visitor)
        assert visitor.asked[-1].startswith(elsewhere.replace("https", "wss"))
        visitor.write("Hello!")
        visitor.sees("I heard: Hello!")
        assert visitor.complaints == []


def test_a_second_use_is_refused(visitor: Visitor) -> None:
    talks(visitor)
    visitor.press("Use it a second time")
    visitor.sees("Gemini refused it, as expected, with 1011: Auth token has been used up.")
    visitor.picture("4-second-use")
    visitor.press("Stop")
    expect(visitor.button("Talk")).to_be_disabled()


@pytest.mark.parametrize("profile", ["default", "quick", "research"])
def test_each_profile_can_be_used(visitor: Visitor, alone: Stack, profile: str) -> None:
    visitor.ask("grace", profile)
    visitor.sees("Ready. Press Talk.")
    model = alone.gemini.minted()[-1].body["bidiGenerateContentSetup"]["model"]
    visitor.sees(f"{model}, v1alpha")
    visitor.press("Talk")
    visitor.write("Hello!")
    visitor.sees("Gemini: I heard: Hello! (turn 1)")
    visitor.picture(f"5-profile-{profile}")


@pytest.mark.parametrize("profile", ["default", "quick"])
def test_a_lost_connection_resumes_if_the_profile_allows_it(visitor: Visitor, profile: str) -> None:
    talks(visitor, profile=profile)
    visitor.press("Mute")
    visitor.write("one")
    visitor.sees("I heard: one")
    visitor.press("Cut the connection")
    if profile == "default":
        visitor.sees(RESUMED)
        visitor.write("two")
        visitor.sees(re.compile(r"I heard: two \(turn \d\)"))
        turns = [int(turn) for turn in re.findall(r"turn (\d)", " ".join(visitor.transcript))]
        assert turns == list(range(1, len(turns) + 1)), "one conversation"
    else:
        visitor.is_told("The session has ended and cannot be resumed.")
        visitor.picture("6-ended")
        assert RESUMED not in visitor.transcript


def test_it_resumes_after_go_away(visitor: Visitor, alone: Stack) -> None:
    alone.gemini.behaviour.connection_life = 5
    alone.gemini.behaviour.go_away_before = 4
    talks(visitor)
    visitor.press("Mute")
    visitor.write("one")
    visitor.sees(RESUMED)
    visitor.picture("7-resumed")
    visitor.write("two")
    visitor.sees("I heard: two (turn 2)")
    first, *later = alone.gemini.sessions
    assert first.closed == 1000, "by the page, before Gemini ended it"
    assert later
    assert all(session.resumed for session in later)


def test_it_resumes_when_its_token_expires(chromium: Browser, alone: Stack) -> None:
    policy = BRIEF.format(limit="9/minute", resumption="session_resumption = {}")
    with visiting(chromium, alone, policy) as visitor:
        talks(visitor)
        visitor.press("Mute")
        visitor.write("one")
        visitor.sees("I heard: one")
        visitor.sees(RESUMED)
        visitor.write("two")
        visitor.sees(re.compile(r"I heard: two \(turn [23]\)"))


def test_it_ends_with_its_token_if_it_cannot_resume(chromium: Browser, alone: Stack) -> None:
    policy = BRIEF.format(limit="9/minute", resumption="")
    with visiting(chromium, alone, policy) as visitor:
        talks(visitor)
        visitor.is_told("The session has ended and cannot be resumed.")
        visitor.is_told("SESSION_ENDED: Auth token has expired.")
        visitor.sees(re.compile(r"Ends in\s+over"))
        visitor.picture("8-expired")


def test_a_token_that_is_too_late_starts_no_session(chromium: Browser, alone: Stack) -> None:
    policy = BRIEF.format(limit="9/minute", resumption="")
    with visiting(chromium, alone, policy) as visitor:
        visitor.ask()
        visitor.sees(re.compile(r"Must start within\s+too late"))
        visitor.press("Talk")
        visitor.is_told("Gemini did not open a session with this token. Get a new token")
        visitor.picture("9-too-late")


def test_it_waits_while_offline_and_resumes_when_online(visitor: Visitor, alone: Stack) -> None:
    talks(visitor)
    visitor.press("Mute")
    visitor.write("one")
    visitor.sees("I heard: one")
    visitor.page.context.set_offline(True)
    visitor.sees("You are offline. The conversation resumes when you are back online.")
    visitor.write("meanwhile")
    visitor.picture("10-offline")
    before = len(visitor.asked)
    visitor.page.wait_for_timeout(1_000)
    assert len(visitor.asked) == before, "it sends no requests while offline"
    visitor.page.context.set_offline(False)
    visitor.sees(RESUMED)
    visitor.sees("I heard: meanwhile")
    assert alone.gemini.sessions[-1].resumed


def test_getting_a_token_while_offline_is_an_error(visitor: Visitor) -> None:
    visitor.page.context.set_offline(True)
    for person in ("ada", SIGNED_OUT):
        visitor.ask(person)
        visitor.is_told("livetoken cannot be reached. Check your connection and try again.")
        expect(visitor.button("Get a token")).to_be_enabled()
    visitor.page.context.set_offline(False)
    talks(visitor)
    expect(visitor.page.get_by_role("alert")).to_be_empty()


def test_a_user_can_write_without_a_microphone(chromium: Browser, alone: Stack) -> None:
    with visiting(chromium, alone, microphone=False) as visitor:
        visitor.ask()
        visitor.press("Talk")
        visitor.is_told("This page is not allowed to use the microphone.")
        visitor.picture("11-no-microphone")
        visitor.write("Hello!")
        visitor.sees("I heard: Hello!")


def test_mute_stops_the_microphone(visitor: Visitor, alone: Stack) -> None:
    talks(visitor)
    visitor.sees("I heard")
    visitor.press("Mute")
    expect(visitor.button("Mute")).to_have_attribute("aria-pressed", "true")
    messages = alone.gemini.sessions[-1].messages
    until(lambda: messages[-1] == {"realtimeInput": {"audioStreamEnd": True}})
    visitor.page.wait_for_function("() => document.querySelector('#level').value > 0.1")
    assert messages[-1] == {"realtimeInput": {"audioStreamEnd": True}}


def test_nothing_can_be_pressed_before_the_choices_are_shown(visitor: Visitor) -> None:
    page, held = visitor.page, list[Route]()
    page.route("**/setup.json", lambda route: held.append(route))
    with page.expect_request("**/setup.json"):
        page.reload(wait_until="commit")
    expect(visitor.button("Get a token")).to_be_disabled()
    for role in ("button", "radio", "textbox"):
        expect(page.get_by_role(role, disabled=False)).to_have_count(0)
    held[0].continue_()
    visitor.ask()
    visitor.sees("Ready. Press Talk.")


def test_a_keyboard_is_enough(visitor: Visitor) -> None:
    keys = visitor.page.keyboard
    for key in ("Tab", "ArrowDown", "Tab", "ArrowDown", "Tab", "Enter"):
        keys.press(key)
    visitor.sees("Ready. Press Talk.")
    visitor.sees("quick")
    visitor.button("Talk").focus()
    keys.press("Enter")
    visitor.sees("Connected")
    visitor.page.get_by_label("Or write").focus()
    keys.type("Hello!")
    keys.press("Enter")
    visitor.sees("I heard: Hello!")
    visitor.button("Stop").focus()
    keys.press("Space")
    visitor.sees("Ended.")


def test_the_page_connects_to_no_other_machine(visitor: Visitor, outside: Outside) -> None:
    before = len(outside.asked_by_pages())
    talks(visitor)
    visitor.sees("I heard")
    with pytest.raises(Exception, match="Failed to fetch"):
        visitor.page.evaluate("fetch('https://example.com/')")
    assert outside.asked_by_pages()[before:] == []
    visitor.page.context.new_page().goto("http://example.com/")
    assert set(outside.asked_by_pages()[before:]) == {"example.com"}, (
        "the proxy does record such requests"
    )
