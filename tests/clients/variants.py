"""Break livetoken.js on purpose and check that a test fails: `make test-clients-variants`."""

from pathlib import Path

import pytest
from broken import Variant

FILE = "clients/web/livetoken.js"
LOSSES = "test_livetoken_js_losses.py::test"


def variant(old: str, new: str, caught_by: str) -> Variant:
    """A mistake in livetoken.js, and the end of the name of the test that must fail."""
    return Variant(FILE, old, new, f"{LOSSES}_{caught_by}")


VARIANTS = {
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
        "      this.#turn.isSaved &&\n", "", "a_pause_begins_with_the_handle_of_the_last_turn"
    ),
    "a pause does not need the end of the turn": variant(
        "      !this.#turn.isGoing &&\n",
        "",
        "there_is_no_pause_if_a_handle_comes_while_the_model_thinks_on",
    ),
    "IN_PROGRESS is the end": variant(
        '"IN_PROGRESS"',
        '"REQUIRES_ACTION"',
        "there_is_no_pause_if_a_handle_comes_while_the_model_thinks_on",
    ),
    "a pause does not wait for the answer": variant(
        "      !this.#unanswered.isOwed &&\n", "", "there_is_no_pause_while_an_answer_is_owed"
    ),
    "a pause does not wait for the user": variant(
        "      !this.#unanswered.isSpeaking &&\n",
        "",
        "there_is_no_pause_between_activity_start_and_end",
    ),
    "a pause does not wait for the app": variant(
        " &&\n      !this.#calls.areOpen", "", "there_is_no_pause_while_a_call_is_open"
    ),
    "pictures are kept like speech": variant(
        "if (video) {", "if (false) {", "only_the_newest_picture_is_kept"
    ),
    "a turn without its end is never over": variant(
        "this.isGoing && this.#isGenerated && isHandle(update)",
        "false",
        "a_turn_without_its_end_is_over_with_its_handle",
    ),
    "it waits until Gemini closes": variant(
        "now >= this.#leaveBy || ",
        "",
        "without_a_pause_it_leaves_before_the_end_and_speech_is_sent_again",
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


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_caught(tmp_path: Path, name: str) -> None:
    VARIANTS[name].is_caught("tests/clients", tmp_path / "livetoken")
