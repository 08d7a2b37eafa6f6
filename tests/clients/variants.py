"""Break livetoken.js and the page, and check that a test fails: `make test-clients-variants`."""

from pathlib import Path

import pytest
from broken import Variant

FILE = "clients/web/livetoken.js"
LOSSES = "test_livetoken_js_losses.py::test"
PAUSES = "test_livetoken_js_pauses.py::test"


def variant(old: str, new: str, caught_by: str, tests: str = LOSSES) -> Variant:
    """A mistake in livetoken.js, and the end of the name of the test that must fail."""
    return Variant(FILE, old, new, f"{tests}_{caught_by}")


VARIANTS = {
    "a resumed session forgets what was chosen": variant(
        "JSON.stringify({ profile, resume, choices })",
        "JSON.stringify({ profile, resume, ...(resume ? {} : { choices }) })",
        "a_choice_is_made_again_when_the_session_resumes",
        "test_livetoken_js.py::test",
    ),
    "a session works after any message": variant(
        "if (serverContent?.modelTurn || serverContent?.turnComplete) {",
        "if (message) {",
        "sessions_without_a_turn_end_the_conversation",
    ),
    "sessions without a turn do not end the conversation": variant(
        " || this.#pace.isHopeless) return",
        ") return",
        "sessions_without_a_turn_end_the_conversation",
    ),
    "there is no cap a minute": variant(
        "TOKENS_A_MINUTE = 6",
        "TOKENS_A_MINUTE = 60",
        "the_waits_between_sessions_grow_whatever_gemini_says",
    ),
    "the waits do not grow": variant(
        "backoff(this.#restless - 1, LONGEST_REST)",
        "backoff(0)",
        "the_waits_between_sessions_grow_whatever_gemini_says",
    ),
    "a pause does not need the handle": variant(
        "      this.#turn.isSaved &&\n",
        "",
        "a_pause_begins_with_the_handle_of_the_last_turn",
        PAUSES,
    ),
    "a pause does not need the end of the turn": variant(
        "      !this.#turn.isGoing &&\n",
        "",
        "there_is_no_pause_if_a_handle_comes_while_the_model_thinks_on",
        PAUSES,
    ),
    "IN_PROGRESS is the end": variant(
        '"IN_PROGRESS"',
        '"REQUIRES_ACTION"',
        "there_is_no_pause_if_a_handle_comes_while_the_model_thinks_on",
        PAUSES,
    ),
    "a pause does not wait for the answer": variant(
        "      !this.#unanswered.isOwed &&\n",
        "",
        "there_is_no_pause_while_an_answer_is_owed",
        PAUSES,
    ),
    "a pause does not wait for the user": variant(
        "      !this.#unanswered.isSpeaking &&\n",
        "",
        "there_is_no_pause_between_activity_start_and_end",
        PAUSES,
    ),
    "a pause does not wait for the app": variant(
        " &&\n      !this.#calls.areOpen", "", "there_is_no_pause_while_a_call_is_open", PAUSES
    ),
    "pictures are kept like speech": variant(
        "if (video) {", "if (false) {", "only_the_newest_picture_is_kept"
    ),
    "a turn without its end is never over": variant(
        "this.isGoing && this.#isGenerated && isHandle(update)",
        "false",
        "a_turn_without_its_end_is_over_with_its_handle",
        PAUSES,
    ),
    "it waits until Gemini closes": variant(
        "now >= this.#leaveBy || ",
        "",
        "without_a_pause_it_leaves_before_the_end_and_speech_is_sent_again",
        PAUSES,
    ),
    "nothing is sent again": variant(
        "for (const message of messages) tell(() => this.send(message));",
        "",
        "a_connection_that_breaks_in_an_answer_is_resumed",
    ),
    "what was answered is sent again": variant(
        "this.#drop(({ isAnswering }) => isAnswering);",
        "",
        "a_pause_begins_with_the_handle_of_the_last_turn",
        PAUSES,
    ),
    "speech is dropped after ten seconds": variant(
        "KEPT_FOR = 30_000",
        "KEPT_FOR = 10_000",
        "text_waits_for_the_next_connection_and_old_speech_is_said_to_be_lost",
    ),
    "old speech is dropped without a word": variant(
        "    this.#sayLost({ audio });\n",
        "",
        "text_waits_for_the_next_connection_and_old_speech_is_said_to_be_lost",
    ),
    "an empty answer is an answer": variant(
        "const isEmpty = isComplete && !this.#hasContent;",
        "const isEmpty = false;",
        "an_empty_answer_is_said",
    ),
    "a session that never answers is kept": variant(
        "if (this.#connection.isResumed && !this.#pace.works && !this.#wasDeaf) {",
        "if (false) {",
        "a_resumed_session_that_never_answers_is_resumed_once_more",
    ),
    "what Gemini rejected is sent again": variant(
        "sent: isMistake });", "});", "a_message_that_gemini_rejects_is_not_sent_again"
    ),
    "the first message that Gemini rejects is the end": variant(
        "this.#mistakes > 1",
        "this.#mistakes > 0",
        "a_message_that_gemini_rejects_is_not_sent_again",
    ),
    "no message that Gemini rejects is the end": variant(
        "this.#mistakes > 1",
        "this.#mistakes > 9",
        "a_message_that_gemini_rejects_is_not_sent_again",
    ),
    "a forgotten turn is not told": variant(
        "const forgot = hasForgotten ?",
        "const forgot = anew ?",
        "a_turn_that_is_newer_than_the_handle_is_said_to_be_forgotten",
    ),
    "any handle is used": variant(
        "Boolean(update?.resumable && update.newHandle)",
        "Boolean(update?.newHandle)",
        "a_handle_that_is_not_resumable_is_not_used",
    ),
    "a dead handle is tried again": variant(
        "if (token && code === 1008 && handle) {",
        "if (false) {",
        "a_dead_handle_costs_one_token_and_the_conversation_begins_anew",
    ),
    "a conversation without an answer ends": variant(
        " || !this.#unanswered.hasAnswers;",
        ";",
        "if_nothing_was_answered_the_conversation_begins_anew",
    ),
    "void calls are answered": variant(
        '.filter(({ id }) => !this.#void.has(id ?? ""))', "", "calls_newer_than_the_handle_are_void"
    ),
    "calls that the handle knows are void": variant(
        "if (call.isOpen) call.isKnown = true;\n      else",
        "if (!call.isOpen)",
        "calls_that_a_handle_knows_outlive_a_connection",
    ),
    "cancelled calls are answered": variant(
        "if (toolCallCancellation) this.#calls.cancelled(toolCallCancellation.ids);",
        "",
        "a_cancelled_call_gets_no_response",
    ),
    "it needs AbortSignal.timeout": variant(
        "const { signal } = late;",
        "const signal = AbortSignal.timeout(ANSWER_WITHIN);",
        "it_needs_no_abort_signal_timeout",
    ),
}

TALK, TRANSCRIPT, PAGE = (f"emulator/page/{name}.js" for name in ("talk", "transcript", "page"))
SPEAKER, MICROPHONE = "clients/web/speaker.js", "clients/web/microphone.js"
CONTEXT = "clients/web/audio-context.js"
AUDIO, ENDS = "test_page_audio.py::test", "test_page_ends.py::test"
VARIANTS |= {
    "the session opens before the microphone": Variant(
        TALK,
        "      await this.listen();\n    } catch",
        "      await this.start(take());\n      await this.listen();\n    } catch",
        f"{AUDIO}_a_refused_microphone_costs_nothing",
    ),
    "suspended audio stays suspended": Variant(
        CONTEXT,
        "context.resume()",
        "Promise.resolve()",
        f"{AUDIO}_what_the_browser_suspends_resumes",
    ),
    "a closed context is still watched": Variant(
        CONTEXT,
        '    if (context.state === "closed") closed.abort();\n  });',
        "  });",
        f"{AUDIO}_a_closed_conversation_leaves_nothing_to_resume",
    ),
    "old sound is played": Variant(
        SPEAKER,
        "> STALE) this.clear();",
        "> 1e9) this.clear();",
        f"{AUDIO}_sound_that_waited_is_dropped",
    ),
    "the end of the microphone is not told": Variant(
        MICROPHONE,
        "      ended();\n",
        "",
        f"{AUDIO}_a_microphone_that_ends_does_not_end_the_conversation",
    ),
    "sound of a lost connection is played": Variant(
        TALK,
        "this.#speaker.clear(); // what was",
        "// what was",
        f"{ENDS}_sound_of_a_lost_connection_is_not_played",
    ),
    "a loss is not shown": Variant(
        TALK,
        "if (what) transcript.note(what);",
        "",
        f"{ENDS}_what_came_after_the_last_handle_is_said_to_be_lost",
    ),
    "a refused token stays ready": Variant(
        PAGE, 'held.state = "refused";', "{}", f"{ENDS}_a_refused_token_is_not_ready"
    ),
    "another user's token stays ready": Variant(
        PAGE,
        "  held = null; // it may be another user's\n",
        "",
        "test_page_errors.py::test_after_an_error_no_other_token_is_ready",
    ),
    "a late token is ready until a click": Variant(
        "emulator/page/token-card.js",
        "  if (begins <= 0 && !isStarted) onlate();\n",
        "",
        "test_page.py::test_a_token_that_is_too_late_is_not_ready",
    ),
    "a phone does not scroll to Talk": Variant(
        PAGE,
        'find("talking", HTMLElement).scrollIntoView();',
        "{}",
        "test_page.py::test_on_a_phone_a_new_token_is_on_the_screen_with_talk",
    ),
    "missing settings are not told": Variant(
        PAGE,
        'cannot start.";\n  problem.show(error);',
        'cannot start.";',
        "test_page.py::test_a_page_without_its_settings_says_so",
    ),
    "the page writes by clientContent": Variant(
        TALK,
        "send({ realtimeInput: { text: words } })",
        "send({ clientContent: { turns: [{ parts: [{ text: words }] }], turnComplete: true } })",
        "test_page.py::test_a_model_that_takes_no_content_after_the_first_turn",
    ),
    "a late transcript begins a turn": Variant(
        TRANSCRIPT,
        "const to = turn.isOver && !isLate() ? begin() : turn;",
        "const to = turn.isOver ? begin() : turn;",
        "test_page_transcript.py::test_turns_read_in_order",
    ),
    "the user's words come after the answer": Variant(
        TRANSCRIPT,
        "if (answer) answer.before(line);\n    else append(line);",
        "append(line);",
        "test_page_transcript.py::test_turns_read_in_order",
    ),
    "an early end is the end": Variant(
        TRANSCRIPT,
        "turn.isGenerated) && !isEarly()) advance();",
        "turn.isGenerated)) advance();",
        "test_page_transcript.py::test_turns_read_in_order",
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_caught(tmp_path: Path, name: str) -> None:
    VARIANTS[name].is_caught("tests/clients", tmp_path / "livetoken")
