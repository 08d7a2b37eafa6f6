"""What models refuse in a setup, and how sure that is; a part of the table in `reports.py`."""

from emulator.report import PROJECTS, REFERENCE, Report

SETUPS = (
    Report(
        "All models refuse TEXT, IMAGE and VIDEO, and a modality twice.",
        "js-genai#382, cookbook#784, Google's page of the model",
        "fairly",
        "test_all_but_audio_and_a_modality_twice_are_refused",
        ("models",),
    ),
    Report(
        "The 3.8 models refuse enable_affective_dialog, even if it is false, and"
        " proactive_audio = false.",
        "Google's page of the model, python-genai#865",
        "yes",
        "test_3_8_refuses_affective_dialog_and_proactive_audio_turned_off",
        ("models",),
    ),
    Report(
        "proactive_video requires proactive_audio. That it is refused without is the harsher"
        " reading.",
        REFERENCE,
        "fairly",
        "test_proactive_video_requires_proactive_audio",
        ("models",),
    ),
    Report(
        "gemini-3.8-live refuses any thinking config.",
        "Google's page of the model",
        "yes",
        "test_3_8_live_refuses_any_thinking_config",
        ("models",),
    ),
    Report(
        "The extended model requires a thinking level.",
        "Google's page of the model, hermes-agent#114116",
        "yes",
        "test_the_extended_model_requires_a_level_of_three_and_no_budget",
        ("models",),
    ),
    Report(
        "That level is LOW, MEDIUM or HIGH, without a thinking budget.",
        PROJECTS,
        "fairly",
        "test_the_extended_model_requires_a_level_of_three_and_no_budget",
        ("models",),
    ),
    Report(
        "The 3.8 models do not support code execution, URL context, Google Maps and file search."
        " That they are refused is the harsher reading.",
        "Google's page of the model",
        "fairly",
        "test_3_8_refuses_tools_that_google_lists_as_not_supported",
        ("models",),
    ),
    Report(
        "The extended model refuses functions that are BLOCKING.",
        "Google's page of the model, gemini-skills#81",
        "yes",
        "test_the_extended_model_refuses_functions_that_block",
        ("models",),
    ),
    Report(
        "With parameters_json_schema a model calls the function without arguments. The stand-in"
        " refuses it for the extended model: that is the harsher reading. gemini-3.8-live accepts"
        " it.",
        "python-genai#1147, livekit/agents#7302",
        "fairly",
        "test_the_extended_model_refuses_json_schema",
        ("models",),
    ),
    Report(
        "A function's name begins with a letter or _, and has only letters, digits, _, dots, colons"
        " and dashes. It has at most 64 characters by Gemini's refusals, 128 by its reference.",
        "google-genai's reference, ccs#219, 9router#369",
        "yes",
        "test_a_function_needs_a_well_formed_name",
        ("models",),
    ),
    Report(
        "Two functions of one name are refused.",
        "Open-WebUI-Functions#135, huf#341",
        "yes",
        "test_two_functions_of_one_name_are_refused",
        ("models",),
    ),
    Report(
        "parameters is refused if it requires a property that is not defined, has a list without"
        " items, an enum that is not of STRING, or additionalProperties. All but the last are"
        " reported of models that are not Live.",
        "AIStudioToAPI#154, hermes-agent#71804, 9router#359, livekit/agents#7302",
        "fairly",
        "test_a_schema_that_gemini_refuses_is_found_at_any_depth",
        ("models",),
    ),
    Report(
        "The temperature is from 0 to 2, top_p from 0 to 1, and max_output_tokens at least 1. That"
        " others are refused is the harsher reading.",
        REFERENCE,
        "fairly",
        "test_a_number_out_of_its_range_is_refused",
        ("models",),
    ),
    Report(
        "An unknown voice is refused (seen on Vertex AI). That it is refused here too is the"
        " harsher reading.",
        "litellm#38395",
        "one report",
        "test_an_unknown_voice_is_refused",
        ("models",),
    ),
    Report(
        "The translation model accepts what the other models do, and the other models accept its"
        " translation_config (seen before 3.8).",
        "sokuji#398",
        "one report",
        "test_the_translation_model_accepts_what_others_do",
        ("models",),
    ),
)
