"""Each end of a connection on the page: what resumes, what was lost, and what the page says."""

import re

import pytest
from playwright.sync_api import Browser, expect
from stack import Stack, until
from visitor import ANEW, ENDED, READY, RESUMED, Visitor, brief, until_on, visiting

RESUMABLE = "session_resumption = {}"
CLOSES = [1006, 1007, 1008, 1011]
ENDS = {1007: "Gemini ended the session because of a message of this page. Get a new token"}
LIMIT = re.compile(r"You have reached your rate limit\. Try again in (60|59) minutes\.")


def is_over(visitor: Visitor) -> None:
    """Wait until the page offers a new token and nothing else."""
    visitor.sees(ENDED)
    expect(visitor.button("Get a token")).to_be_enabled()
    for name in ("Talk", "Send", "Mute", "Cut the connection"):
        expect(visitor.button(name)).to_be_disabled()


# --- it resumes


@pytest.mark.parametrize("code", CLOSES)
def test_a_closed_connection_resumes(visitor: Visitor, alone: Stack, code: int) -> None:
    alone.gemini.behaviour.oddities = {2: code}
    visitor.ask()
    visitor.asks("one")
    visitor.write("two")
    visitor.sees(RESUMED)
    if code == 1007:
        visitor.sees("Gemini did not answer “two”.")
    else:
        visitor.sees("I heard: two (turn 2)")
    visitor.asks("three")
    visitor.sees(f"I heard: three (turn {2 if code == 1007 else 3})")
    visitor.picture(f"7-resumed-after-{code}")


def test_a_connection_that_is_cut_resumes(visitor: Visitor) -> None:
    visitor.talks()
    visitor.press("Mute")
    visitor.asks("one")
    visitor.press("Cut the connection")
    visitor.sees(RESUMED)
    visitor.sees("Connected. Unmute or write.")
    visitor.asks("two")
    assert "You: two" in visitor.transcript
    turns = [int(turn) for turn in re.findall(r"turn (\d)", " ".join(visitor.transcript))]
    assert turns == list(range(1, len(turns) + 1)), "one conversation"


def test_it_resumes_after_go_away(visitor: Visitor, alone: Stack) -> None:
    visitor.ask()
    visitor.asks("one")
    alone.gemini.behaviour.connection_life = 60
    alone.gemini.behaviour.go_away_before = 60
    visitor.sees(RESUMED)
    alone.gemini.behaviour.go_away_before = 5
    visitor.write("two")
    visitor.sees("I heard: two (turn 2)")
    first, *later = alone.gemini.sessions
    assert first.closed == 1000, "by the page, before Gemini ended it"
    assert later
    assert all(session.resumed for session in later)


def test_it_resumes_when_its_token_expires(chromium: Browser, alone: Stack) -> None:
    with visiting(chromium, alone, brief(RESUMABLE)) as visitor:
        visitor.ask()
        visitor.asks("one")
        visitor.sees(RESUMED)
        visitor.write("two")
        visitor.sees("I heard: two (turn 2)")


def test_it_waits_while_offline_and_resumes_when_online(visitor: Visitor, alone: Stack) -> None:
    visitor.talks()
    visitor.press("Mute")
    visitor.asks("one")
    before = len(visitor.asked)
    visitor.page.context.set_offline(True)
    visitor.sees("You are offline. The conversation goes on when you are back online.")
    visitor.write("meanwhile")
    visitor.picture("10-offline")
    visitor.page.wait_for_timeout(1_000)
    assert len(visitor.asked) == before, "it sends no requests while offline"
    visitor.page.context.set_offline(False)
    visitor.sees(RESUMED)
    visitor.sees("I heard: meanwhile")
    assert alone.gemini.sessions[-1].resumed


def test_a_refused_renewal_ends_nothing_before_its_connection_ends(
    chromium: Browser, alone: Stack
) -> None:
    policy = brief(RESUMABLE, expires="30m").replace("9/minute", "1/hour")
    with visiting(chromium, alone, policy) as visitor:
        visitor.ask()
        visitor.asks("one")
        requests = len(visitor.asked)
        alone.gemini.behaviour.connection_life = alone.gemini.behaviour.go_away_before = 3600
        until_on(visitor.page, lambda: len(visitor.asked) > requests)
        visitor.sees("Connected. Write.")
        visitor.asks("two")
        expect(visitor.page.get_by_role("alert")).to_be_empty()
        alone.gemini.behaviour.connection_life = 0
        visitor.is_told(LIMIT)
        is_over(visitor)
        visitor.press("Get a token")
        visitor.is_told(LIMIT)
        visitor.sees("Get a token first.")


# --- it forgets


def test_a_session_that_gemini_has_forgotten_begins_anew(visitor: Visitor, alone: Stack) -> None:
    visitor.ask()
    visitor.asks("one")
    alone.gemini.state.handles.clear()
    visitor.press("Cut the connection")
    visitor.sees("Gemini has forgotten this conversation.")
    visitor.sees(ANEW)
    visitor.asks("two")
    visitor.sees("I heard: two (turn 1)")
    assert RESUMED not in visitor.transcript
    visitor.picture("16-anew")


def test_what_came_after_the_last_handle_is_said_to_be_lost(visitor: Visitor, alone: Stack) -> None:
    visitor.ask()
    visitor.asks("one")
    alone.gemini.behaviour.handle_after = 3600
    visitor.write("two")
    visitor.sees("I heard: two (turn 2)")
    visitor.page.wait_for_function("() => played.at(-1).hasEnded")
    alone.gemini.behaviour.handle_after = 0
    visitor.press("Cut the connection")
    visitor.sees("Gemini has forgotten the last part of this conversation.")
    visitor.sees(RESUMED)
    visitor.asks("three")
    visitor.sees("I heard: three (turn 2)")


def test_a_conversation_without_an_answer_begins_anew(visitor: Visitor, alone: Stack) -> None:
    alone.gemini.behaviour.thinks = 3600
    visitor.ask()
    visitor.write("one")
    visitor.sees("Connected. Write.")
    until(lambda: alone.gemini.sessions[-1].messages)
    alone.gemini.behaviour.thinks = 0.05
    visitor.press("Cut the connection")
    visitor.sees(ANEW)
    visitor.sees("I heard: one (turn 1)")
    assert visitor.transcript == ["You: one", ANEW, "Gemini: I heard: one (turn 1)"]


def test_a_text_with_an_empty_answer_is_said_to_be_unanswered(
    visitor: Visitor, alone: Stack
) -> None:
    alone.gemini.behaviour.oddities = {2: "empty"}
    visitor.ask()
    visitor.asks("one")
    visitor.write("two")
    visitor.sees("Gemini did not answer “two”.")
    visitor.asks("three")


def test_sound_of_a_lost_connection_is_not_played(visitor: Visitor, alone: Stack) -> None:
    """Its answer is played from the start instead."""
    alone.gemini.behaviour.oddities = {2: 1011}
    visitor.ask()
    visitor.asks("one")
    before = len(visitor.played)
    visitor.page.evaluate("contexts[0].suspend()")  # so that the sound waits
    visitor.page.evaluate("document.querySelector('#text').value = 'two'")
    visitor.page.evaluate("document.querySelector('#write').requestSubmit()")
    visitor.sees(RESUMED)
    whole = sum(piece["seconds"] for piece in visitor.played[:before])
    visitor.sees("I heard: two (turn 2)")
    kept = [piece for piece in visitor.played[before:] if not piece["cut"]]
    assert sum(piece["seconds"] for piece in kept) <= whole + 0.01


# --- it ends


@pytest.mark.parametrize("code", CLOSES)
def test_a_profile_that_cannot_resume_ends(visitor: Visitor, alone: Stack, code: int) -> None:
    alone.gemini.behaviour.oddities = {2: code}
    visitor.ask(profile="quick")
    visitor.write("one")
    visitor.sees("I heard: one (turn 1)")
    visitor.write("two")
    visitor.is_told(ENDS.get(code, "The session has ended and cannot be resumed. Get a new token"))
    is_over(visitor)
    assert not {RESUMED, ANEW} & set(visitor.transcript)
    visitor.picture(f"6-ended-by-{code}")


def test_it_ends_with_its_token_if_it_cannot_resume(chromium: Browser, alone: Stack) -> None:
    with visiting(chromium, alone, brief()) as visitor:
        visitor.ask()
        visitor.write("one")
        visitor.sees("I heard: one (turn 1)")
        visitor.is_told("The session has ended and cannot be resumed.")
        visitor.is_told("SESSION_ENDED: Auth token has expired.")
        visitor.sees(re.compile(r"Ends in\s+over"))
        is_over(visitor)
        visitor.picture("8-expired")


def test_it_ends_if_the_user_has_signed_out(visitor: Visitor) -> None:
    visitor.ask()
    visitor.asks("one")
    visitor.page.route("**/issuer/token/ada", lambda route: route.fulfill(body=""))
    visitor.press("Cut the connection")
    visitor.is_told("You are not signed in. Sign in and try again.")
    is_over(visitor)


def test_it_ends_if_gemini_keeps_refusing(visitor: Visitor, alone: Stack) -> None:
    visitor.ask()
    visitor.asks("one")
    alone.gemini.behaviour.sessions_at_once = 0
    visitor.press("Cut the connection")
    visitor.sees("Connecting again with a new token…")
    visitor.is_told("Gemini did not resume the conversation. Get a new token", seconds=60)
    is_over(visitor)


# --- it does not begin


def test_a_refused_token_is_not_ready(visitor: Visitor, alone: Stack) -> None:
    alone.gemini.behaviour.sessions_at_once = 0
    visitor.ask()
    visitor.press("Talk")
    visitor.is_told("Gemini did not open a session with this token. Get a new token")
    visitor.sees("This token starts no session. Get a new one.")
    expect(visitor.button("Talk")).to_be_disabled()
    expect(visitor.button("Get a token")).to_be_focused()


def test_a_setup_that_gemini_does_not_accept(visitor: Visitor, alone: Stack) -> None:
    alone.gemini.behaviour.models.clear()
    visitor.ask()
    visitor.write("one")
    visitor.is_told("Gemini does not accept the setup of this session. Tell the developers")
    visitor.is_told("SESSION_REFUSED: token-based requests cannot use")
    visitor.sees("This token starts no session. Get a new one.")


def test_a_token_that_gemini_has_not_seen_is_still_ready(visitor: Visitor, alone: Stack) -> None:
    alone.gemini.behaviour.sessions_at_once = 0
    alone.gemini.behaviour.too_many = 429
    visitor.ask()
    visitor.press("Talk")
    visitor.is_told("Gemini cannot be reached. Check your network and try again.")
    visitor.sees(READY)
    alone.gemini.behaviour.sessions_at_once = None
    visitor.press("Talk")
    visitor.sees("Connected. Speak or write.")
    assert len(alone.gemini.minted()) == 1


# --- all of it


def test_a_conversation_with_gemini_at_its_worst(chromium: Browser, alone: Stack) -> None:
    """With the defaults of the stand-in: each text is answered, or said to be unanswered."""
    with visiting(chromium, alone, fast=False) as visitor:
        visitor.ask()
        for number in range(16):
            visitor.write(f"w{number}")
            told = rf"I heard: w{number} \(turn|did not answer “w{number}”"
            visitor.sees(re.compile(told), seconds=40)
        visitor.picture("17-at-its-worst")
        lines = visitor.transcript
        said = [line.removeprefix("You: ") for line in lines if line.startswith("You: ")]
        assert said == [f"w{number}" for number in range(16)], "one line for each"
        for number, words in enumerate(said):
            start = lines.index(f"You: {words}")
            end = lines.index(f"You: {said[number + 1]}") if number < 15 else len(lines)
            about = " ".join(lines[start:end])
            assert f"I heard: {words} " in about or f"did not answer “{words}”" in about
        closed = [session.closed for session in alone.gemini.sessions]
        assert closed == [1011, 1006, 1008, None]
        assert lines.count(RESUMED) == 3
