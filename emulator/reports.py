"""What the stand-in for Gemini does, why, and how sure that is: the index of its code.

`docs/stand-in.md` shows this table. A name with # is an issue or a pull request on GitHub.
"""

from __future__ import annotations

from collections.abc import Mapping

from emulator.report import PROJECTS, REFERENCE, Report
from emulator.setup_reports import SETUPS

MINTING = (
    Report(
        "Tokens exist in v1alpha and v1beta. Other versions answer 404.",
        "Google's guide to ephemeral tokens, js-genai#691",
        "fairly",
        "test_other_versions_do_not_exist",
    ),
    Report(
        "An unknown field is a 400, before the key is checked.",
        PROJECTS,
        "yes",
        "test_an_unknown_field_is_refused_before_the_key_is_checked",
    ),
    Report(
        "A missing key is a 403, a bad key a 400.",
        "cookbook#821, js-genai#600",
        "fairly",
        "test_the_key_is_required_and_must_be_right",
        ("api_key",),
    ),
    Report(
        "A time without a zone, or 20 hours or more ahead, is a 400.",
        REFERENCE,
        "yes",
        "test_a_time_must_have_a_zone_and_be_within_twenty_hours",
    ),
    Report(
        "A mask with a list index or an unknown path is a 400.",
        "js-genai#1492",
        "yes",
        "test_a_mask_with_a_bad_path_is_refused",
    ),
    Report(
        "A mask of nested fields is often a 400, depending on the model. Top-level names work.",
        "js-genai#1492, cookbook#1333",
        "sometimes",
        "test_a_nested_mask_is_refused_unless_the_setting_allows_it",
        ("nested_masks",),
    ),
    Report(
        "If the setup has a field that the mask does not name, the answer is 400.",
        "gemini-live-api-examples#49, cookbook#1333",
        "yes",
        "test_a_field_of_the_setup_that_the_mask_does_not_name_is_refused",
    ),
    Report(
        "If the mask names one field that the server does not know, the whole mask is a 400.",
        "js-genai#1492",
        "yes",
        "test_a_field_can_be_made_unknown",
        ("unknown_fields",),
    ),
    Report(
        "A 429 has RetryInfo and QuotaFailure in its body and no Retry-After header.",
        "dcdpr/jp#1061, Roo-Code#2118",
        "yes",
        "test_a_429_has_its_delay_in_the_body_and_no_header",
        ("retry_delay", "retry_after"),
    ),
    Report(
        "A 499 or a 408 does not come again when the request is repeated.",
        "python-genai#2506",
        "fairly",
        "test_a_cancelled_mint_passes_when_it_is_repeated",
        ("faults",),
    ),
    Report(
        "A daily quota can come with a delay of seconds, like one per minute. Reports disagree on"
        " whether the quota is back by then.",
        "plyr.fm#2046, python-genai#2044, OmniRoute#9504",
        "fairly",
        "test_a_daily_quota_names_a_delay_of_seconds",
        ("faults",),
    ),
    Report(
        "A 400, 401 or 403 has many causes. Its status and the reason in ErrorInfo tell most apart;"
        " a key that was reported as leaked has no ErrorInfo. The body can repeat the key.",
        "langchain-google#930, python-genai#1764, GeminiApp#10, nanobanana#19, continue#10902,"
        " continue#12781, generative-ai-docs#74, php-docs-samples#1235",
        "yes",
        "test_a_refusal_says_its_cause_in_its_status_and_details",
        ("faults",),
    ),
    Report(
        "A token can be minted for a model that does not exist, was withdrawn or is not a Live"
        " model. Its sessions close with 1007.",
        "several projects; livekit/agents#4421, WhisperJAV#112, hermes-agent#114116",
        "yes",
        "test_an_unknown_model_can_be_minted_but_not_used",
        ("models",),
    ),
)

OPENING = (
    Report(
        "A token works at BidiGenerateContentConstrained only.",
        "cookbook#821",
        "yes",
        "test_a_token_works_with_the_constrained_method_only",
    ),
    Report(
        "If the token is missing or made up, the socket opens and closes with 1007 after the first"
        " message.",
        PROJECTS,
        "yes",
        "test_a_bad_token_closes_1007_after_the_first_frame",
    ),
    Report(
        "If the token is used up, expired or too late to start, the socket closes with 1011."
        " Perhaps with 1008.",
        "three projects",
        "fairly",
        "test_a_second_use_is_refused",
        ("refusal_code",),
    ),
    Report(
        "A setup without a mask replaces the client's whole setup, and the client is not told.",
        REFERENCE,
        "yes",
        "test_a_full_lock_silently_replaces_the_clients_setup",
    ),
    Report(
        "A mask replaces the client's value of each field that it names, and the client is not"
        " told.",
        REFERENCE,
        "yes",
        "test_a_mask_overwrites_its_fields_and_clears_unset_ones",
    ),
    Report(
        "A setup without modalities means TEXT, which the models refuse with 1007.",
        PROJECTS,
        "fairly",
        "test_text_is_the_default_and_is_refused",
        ("models",),
    ),
    Report(
        "Sessions beyond the account's number are refused at the socket with 1011 or 429, not when"
        " the token is minted.",
        "public notes of 2025",
        "fairly",
        "test_sessions_beyond_the_accounts_number_are_refused_at_the_socket",
        ("sessions_at_once", "too_many"),
    ),
    Report(
        "If the token's setup has no mask, the client's own handle is ignored.",
        "one live report on gemini-3.8-live; three projects agree",
        "fairly",
        "test_a_full_lock_ignores_the_clients_handle_unless_set",
        ("client_handle_under_full_lock",),
    ),
    Report(
        "A handle in the token's setup resumes its session.",
        "two projects",
        "fairly",
        "test_a_handle_pinned_in_a_new_token_resumes",
    ),
    Report(
        "Resuming does not count as a use. It works until the token's expireTime.",
        REFERENCE,
        "fairly",
        "test_resuming_is_not_a_use_and_keeps_the_history",
    ),
    Report(
        "An unknown or old handle closes the socket with 1008 before setupComplete.",
        PROJECTS,
        "yes",
        "test_an_invalid_handle_closes_1008",
        ("handle_life",),
    ),
    Report(
        "A session that still has an open connection cannot be resumed: 1011.",
        "sip-to-ai#14",
        "fairly",
        "test_an_open_session_cannot_be_resumed",
    ),
)

ANSWERS = (
    Report(
        "An answer takes a second or more to begin.",
        PROJECTS,
        "yes",
        "test_an_answer_takes_a_while_to_begin",
        ("thinks",),
    ),
    Report(
        "An empty serverContent with usageMetadata comes before the first turn (seen with 3.1).",
        "livekit/agents#5238",
        "fairly",
        "test_an_empty_content_with_usage_comes_before_the_first_turn",
    ),
    Report(
        "One frame can have several parts and several fields.",
        "mastra#18190, AVA-AI#350",
        "yes",
        "test_a_frame_has_several_parts_and_fields",
    ),
    Report(
        "Transcripts come in pieces. The user's begins after the answer has begun, and can end"
        " after turnComplete.",
        "pipecat#1788",
        "yes",
        "test_transcripts_come_in_pieces_and_late",
    ),
    Report(
        "turnComplete can be missing after generationComplete, can come early, or can come without"
        " an answer.",
        "livekit/agents#4979, python-genai#2117",
        "sometimes",
        "test_the_end_of_a_turn_can_be_missing_early_or_all_there_is",
        ("oddities",),
    ),
    Report(
        "About one text in twenty is not answered (seen with 3.1).",
        "gemini-live-api-examples#55",
        "one report",
        "test_a_text_can_stay_unanswered",
        ("oddities",),
    ),
    Report(
        "turnComplete comes when the audio has been played.",
        "livekit/agents#6431",
        "yes",
        "test_a_turn_ends_when_its_audio_has_been_played",
        ("plays",),
    ),
    Report(
        "3.1 closes with 1007 on clientContent after the first turn, and on mediaChunks.",
        "livekit/agents#5262, pipecat#4168, adk-python#5076",
        "yes",
        "test_3_1_closes_1007_on_late_content_and_on_media_chunks",
        ("models",),
    ),
    Report(
        "2.5 can close with 1007 on clientContent beside audio. Resuming helps.",
        "pipecat#4403",
        "sometimes",
        "test_a_connection_can_end_in_the_middle_of_an_answer",
        ("oddities",),
    ),
    Report(
        "A client can send turns with the role model in all of a session. The role system closes"
        " with 1007.",
        "livekit/agents#7289, js-genai#820",
        "yes",
        "test_a_turn_of_the_model_is_taken_and_one_of_the_system_closes_1007",
    ),
    Report(
        "contextUpdate changes the instruction and the tools in an open session. Whether a token's"
        " lock prevents that is not known; by default it does.",
        "Google's SDKs of five languages",
        "unknown",
        "test_a_context_update_changes_what_is_locked_only_if_set",
        ("context_updates",),
    ),
    Report(
        "The extended model thinks on after a turnComplete with IN_PROGRESS. The end says IDLE.",
        "gemini-skills#81, aiden-firmware#708",
        "yes",
        "test_a_turn_in_progress_is_not_the_end",
        ("models",),
    ),
    Report(
        "A resumed session can hear everything and never answer.",
        "voiceclaw#255",
        "one report",
        "test_a_resumed_session_can_stay_silent",
        ("deaf_after_resuming",),
    ),
)

FUNCTIONS = (
    Report(
        "Functions of 3.8 do not block: the turn that called one goes on, and the response gets an"
        " answer of its own. Those of 3.1 block.",
        "vercel/ai#20787",
        "yes",
        "test_a_function_blocks_its_turn_on_3_1_only",
        ("models", "calls_functions"),
    ),
    Report(
        "If a turn is interrupted, toolCallCancellation names its open call.",
        "vercel/ai#20787",
        "yes",
        "test_an_interruption_cancels_the_call_of_its_turn",
    ),
    Report(
        "A response to an unknown call is dropped, or closes with 1007.",
        "voiceclaw#53",
        "fairly",
        "test_a_response_to_an_unknown_call_is_dropped_or_closes_1007",
        ("unknown_call_closes",),
    ),
)

HANDLES = (
    Report(
        "The handle comes after turnComplete.",
        "python-genai#2527, bifrost#4988",
        "yes",
        "test_the_handle_comes_after_the_turn",
        ("handle_after",),
    ),
    Report(
        "A handle resumes the session as it was when the handle was issued.",
        "livekit/agents#6000, pipecat#5465",
        "fairly",
        "test_a_handle_is_a_snapshot_unless_set",
        ("snapshots",),
    ),
    Report(
        "Updates also come empty, and with resumable: false.",
        "codetrial#3, mastra#18190",
        "yes",
        "test_updates_come_without_a_handle",
    ),
)

CONNECTION = (
    Report(
        "goAway comes before the end of a connection. How long a connection lasts is not promised:"
        " 542 seconds and 58 minutes were seen.",
        PROJECTS,
        "yes",
        "test_a_connection_ends_after_go_away",
        ("connection_life", "go_away_before"),
    ),
    Report(
        "If the client stays after goAway, the connection closes with 1008 or 1011.",
        "reachy_mini#357, sokuji#179",
        "yes",
        "test_a_connection_ends_after_go_away",
        ("end_code",),
    ),
    Report(
        "A session closes with 1011 when its token expires.",
        REFERENCE,
        "yes",
        "test_a_session_closes_when_its_token_expires",
    ),
    Report(
        "A connection can close with 1011 or 1008, or break, at any time. It can happen again"
        " after resuming.",
        "adk-streaming-guide#11, js-genai#1236",
        "sometimes",
        "test_a_connection_can_end_in_the_middle_of_an_answer",
        ("oddities",),
    ),
    Report(
        "A pong can take 8 to 30 seconds.",
        "sip-to-ai#14, python-genai#2935",
        "sometimes",
        "test_a_pong_can_be_late",
        ("pong_after",),
    ),
)

REPORTS: Mapping[str, tuple[Report, ...]] = {
    "Minting": MINTING,
    "Opening a session": OPENING,
    "What models refuse in a setup": SETUPS,
    "Answers": ANSWERS,
    "Functions": FUNCTIONS,
    "Handles": HANDLES,
    "The connection": CONNECTION,
}
"""The reports by what they are about."""
