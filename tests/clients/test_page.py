"""The page in a browser: getting a token, talking and writing."""

import re

import pytest
from outside import Outside
from playwright.sync_api import Browser, Route, ViewportSize, expect
from stack import Stack, until
from visitor import READY, SIGNED_OUT, Visitor, brief, visiting

WORD = r"\(\d\.\d seconds of speech\)"


def test_a_user_signs_in_and_talks(visitor: Visitor, alone: Stack) -> None:
    alone.gemini.behaviour.plays = True
    visitor.picture("1-signed-in")
    visitor.ask()
    visitor.sees(READY)
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


def test_the_page_connects_to_gemini_on_another_host(chromium: Browser, alone: Stack) -> None:
    elsewhere = alone.gemini_url.replace("127.0.0.1", "localhost")
    with visiting(chromium, alone, gemini_url=elsewhere) as visitor:
        visitor.talks()
        assert visitor.asked[-1].startswith(elsewhere.replace("https", "wss"))
        visitor.write("Hello!")
        visitor.sees("I heard: Hello!")
        assert visitor.complaints == []


def test_a_second_use_is_refused(visitor: Visitor) -> None:
    visitor.talks()
    visitor.press("Use it a second time")
    visitor.sees("Gemini refused it, as expected, with 1011: Auth token has been used up.")
    visitor.picture("4-second-use")
    visitor.press("Stop")
    expect(visitor.button("Talk")).to_be_disabled()


@pytest.mark.parametrize("profile", ["default", "quick", "research"])
def test_each_profile_can_be_used(visitor: Visitor, alone: Stack, profile: str) -> None:
    visitor.ask("grace", profile)
    visitor.sees("Ready for grace. Press Talk, or write.")
    model = alone.gemini.minted()[-1].body["bidiGenerateContentSetup"]["model"]
    visitor.sees(f"{model}, v1alpha")
    visitor.write("Hello!")
    visitor.sees("Gemini: " + "Let me think." * (profile == "research"))
    visitor.sees("I heard: Hello! (turn 1)")
    visitor.sees("Connected. Write.")
    assert alone.gemini.sessions[-1].messages == [{"realtimeInput": {"text": "Hello!"}}]
    visitor.picture(f"5-profile-{profile}")


def test_a_model_that_takes_no_content_after_the_first_turn(
    chromium: Browser, alone: Stack
) -> None:
    policy = brief("session_resumption = {}", model="gemini-3.1-flash-live-preview", expires="30m")
    with visiting(chromium, alone, policy) as visitor:
        visitor.ask()
        for number, words in enumerate(("one", "two", "three"), 1):
            visitor.asks(words)
            visitor.sees(f"I heard: {words} (turn {number})")
        assert len(alone.gemini.sessions) == 1


def test_a_token_that_is_too_late_is_not_ready(chromium: Browser, alone: Stack) -> None:
    with visiting(chromium, alone, brief(start="3s")) as visitor:
        visitor.ask()
        visitor.sees(READY)
        expect(visitor.button("Talk")).to_be_focused()
        visitor.sees("It is too late to start a session with this token. Get a new one.")
        visitor.sees(re.compile(r"Must start within\s+too late"))
        for name in ("Talk", "Send"):
            expect(visitor.button(name)).to_be_disabled()
        expect(visitor.button("Get a token")).to_be_focused()
        visitor.picture("9-too-late")
        visitor.press("Get a token")
        visitor.sees(READY)


def test_a_wrong_clock_makes_no_token_late(visitor: Visitor) -> None:
    visitor.page.evaluate("() => { const { now } = Date; Date.now = () => now() + 600_000; }")
    visitor.ask()
    visitor.sees(READY)
    visitor.sees(re.compile(r"Must start within\s+0?(1:00|0:5\d)"))
    visitor.asks("Hello!")


@pytest.mark.parametrize(
    "screen", [{"width": 390, "height": 844}, {"width": 360, "height": 740}], ids=str
)
def test_on_a_phone_a_new_token_is_on_the_screen_with_talk(
    visitor: Visitor, screen: ViewportSize
) -> None:
    page = visitor.page
    page.set_viewport_size(screen)
    visitor.ask()
    for name in ("Talk", "Send"):
        expect(visitor.button(name)).to_be_in_viewport(ratio=1)
    for part in ("#state", "#start-clock", "#end-clock", "#details"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    page.screenshot(path=f"build/screenshots/13-phone-{screen['height']}.png")
    page.get_by_text("What it allows").click()
    visitor.sees("Rate limit")


def test_getting_a_token_while_offline_is_an_error(visitor: Visitor) -> None:
    visitor.page.context.set_offline(True)
    for person in ("ada", SIGNED_OUT):
        visitor.ask(person)
        visitor.is_told("livetoken cannot be reached. Check your connection and try again.")
        expect(visitor.button("Get a token")).to_be_enabled()
    visitor.page.context.set_offline(False)
    visitor.talks()
    expect(visitor.page.get_by_role("alert")).to_be_empty()


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
    visitor.sees(READY)


@pytest.mark.parametrize("status", [500, None])
def test_a_page_without_its_settings_says_so(visitor: Visitor, status: int | None) -> None:
    page = visitor.page
    if status:
        page.route("**/setup.json", lambda route: route.fulfill(status=status))
    else:
        page.route("**/setup.json", lambda route: route.abort())
    page.reload()
    visitor.is_told("The server of this page did not send its settings.")
    visitor.sees("The page cannot start.")
    expect(visitor.button("Get a token")).to_be_disabled()
    page.screenshot(path="build/screenshots/14-no-settings.png")


def test_a_keyboard_is_enough(visitor: Visitor) -> None:
    keys = visitor.page.keyboard
    for key in ("Tab", "ArrowDown", "Tab", "ArrowDown", "Tab", "Enter"):
        keys.press(key)
    visitor.sees("Ready for grace.")
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
    visitor.talks()
    visitor.sees("I heard")
    with pytest.raises(Exception, match="Failed to fetch"):
        visitor.page.evaluate("fetch('https://example.com/')")
    assert outside.asked_by_pages()[before:] == []
    visitor.page.context.new_page().goto("http://example.com/")
    assert set(outside.asked_by_pages()[before:]) == {"example.com"}, (
        "the proxy does record such requests"
    )
