"""What each model refuses in a setup: the socket closes with 1007, and the reason says why."""

from typing import Any

import pytest
from stand_in import MODEL, SETUP, THINKING, StandIn, message, setup
from websockets.exceptions import ConnectionClosed

from emulator.walk import Failed, Walk

OLDER = "models/gemini-3.1-flash-live-preview"
TRANSLATION = "models/gemini-3.5-live-translate-preview"
EVERY = (MODEL, THINKING, OLDER, TRANSLATION)
THE_3_8 = (MODEL, THINKING)
AT = {"type": "OBJECT", "properties": {"at": {"type": "STRING"}}}


def refusal(
    stand_in: StandIn, model: str, generation: dict[str, Any] | None = None, **rest: Any
) -> str:
    """Why a model refuses a setup, without the model's name; empty if the session opens."""
    level = {"thinkingConfig": {"thinkingLevel": "LOW"}} if model == THINKING else {}
    generation = {"responseModalities": ["AUDIO"], **level, **(generation or {})}
    token = stand_in.token(setup(model=model, generationConfig=generation, **rest))
    with stand_in.socket(token) as ws:
        ws.send('{"setup": {}}')
        try:
            assert message(ws) == {"setupComplete": {}}
        except ConnectionClosed as end:
            assert end.rcvd is not None
            assert end.rcvd.code == 1007
            about, _, why = end.rcvd.reason.partition(": ")
            assert about == model
            return why
    return ""


def declaring(stand_in: StandIn, *functions: dict[str, Any], model: str = MODEL) -> str:
    """Why a model refuses these functions; empty if it does not."""
    return refusal(stand_in, model, tools=[{"functionDeclarations": [*functions]}])


def test_all_but_audio_and_a_modality_twice_are_refused(stand_in: StandIn) -> None:
    for model in EVERY:
        for one in ("IMAGE", "VIDEO", "TEXT"):
            why = refusal(stand_in, model, {"responseModalities": ["AUDIO", one]})
            assert why == f"the model cannot answer in {one}, only in AUDIO."
        why = refusal(stand_in, model, {"responseModalities": ["AUDIO", "AUDIO"]})
        assert why == "a modality is listed twice."
        assert not refusal(stand_in, model)


@pytest.mark.parametrize("model", THE_3_8)
def test_3_8_refuses_affective_dialog_and_proactive_audio_turned_off(
    stand_in: StandIn, model: str
) -> None:
    for value in (True, False):
        why = refusal(stand_in, model, {"enableAffectiveDialog": value})
        assert "enable_affective_dialog" in why
        why = refusal(stand_in, model, proactivity={"proactiveAudio": value})
        assert ("proactive_audio" in why) is not value
    assert not refusal(stand_in, OLDER, {"enableAffectiveDialog": True})


def test_proactive_video_requires_proactive_audio(stand_in: StandIn) -> None:
    both = {"proactiveVideo": True, "proactiveAudio": True}
    assert "proactive_audio" in refusal(stand_in, MODEL, proactivity={"proactiveVideo": True})
    assert not refusal(stand_in, MODEL, proactivity=both)


@pytest.mark.parametrize("thinking", [{}, {"includeThoughts": True}, {"thinkingLevel": "LOW"}])
def test_3_8_live_refuses_any_thinking_config(stand_in: StandIn, thinking: Any) -> None:
    assert "thinking" in refusal(stand_in, MODEL, {"thinkingConfig": thinking})
    assert not refusal(stand_in, OLDER, {"thinkingConfig": thinking})


def test_the_extended_model_requires_a_level_of_three_and_no_budget(stand_in: StandIn) -> None:
    def why(**thinking: Any) -> str:
        return refusal(stand_in, THINKING, {"thinkingConfig": thinking})

    assert "requires a thinking level" in why(thinkingBudget=1024)
    assert "requires a thinking level" in why()
    for level in ("MINIMAL", "XHIGH"):
        assert level in why(thinkingLevel=level)
    assert "exclude each other" in why(thinkingLevel="LOW", thinkingBudget=1024)
    for level in ("LOW", "MEDIUM", "HIGH"):
        assert not why(thinkingLevel=level)


@pytest.mark.parametrize("model", THE_3_8)
@pytest.mark.parametrize("tool", ["codeExecution", "urlContext", "googleMaps", "fileSearch"])
def test_3_8_refuses_tools_that_google_lists_as_not_supported(
    stand_in: StandIn, model: str, tool: str
) -> None:
    assert tool in refusal(stand_in, model, tools=[{"googleSearch": {}}, {tool: {}}])
    assert not refusal(stand_in, model, tools=[{"googleSearch": {}}])
    assert not refusal(stand_in, OLDER, tools=[{tool: {}}])


def test_the_extended_model_refuses_functions_that_block(stand_in: StandIn) -> None:
    look = {"name": "look", "behavior": "BLOCKING"}
    assert "NON_BLOCKING" in declaring(stand_in, look, model=THINKING)
    assert not declaring(stand_in, {**look, "behavior": "NON_BLOCKING"}, model=THINKING)
    assert not declaring(stand_in, look, model=MODEL)


def test_the_extended_model_refuses_json_schema(stand_in: StandIn) -> None:
    look = {"name": "look", "parametersJsonSchema": {"type": "object"}}
    assert "parameters_json_schema" in declaring(stand_in, look, model=THINKING)
    assert not declaring(stand_in, look, model=MODEL)
    assert "exclude each other" in declaring(stand_in, {**look, "parameters": AT})


@pytest.mark.parametrize("name", ["find order", "2nd", "-look", "läuft", "a" * 65, "look\n"])
def test_a_function_needs_a_well_formed_name(stand_in: StandIn, name: str) -> None:
    for model in EVERY:
        assert declaring(stand_in, {"name": name}, model=model).startswith("Invalid function name")


def test_names_of_functions_may_have_what_google_lists(stand_in: StandIn) -> None:
    assert declaring(stand_in, {"description": "It has no name."}).startswith("Invalid")
    for name in ("_look", "Look2", "shop.find:order-2", "a" * 64):
        assert not declaring(stand_in, {"name": name})


def test_two_functions_of_one_name_are_refused(stand_in: StandIn) -> None:
    look, find = {"name": "look"}, {"name": "find"}
    assert declaring(stand_in, look, find, look).endswith("declaration found: look")
    tools = [{"functionDeclarations": [look]}, {"functionDeclarations": [find, look]}]
    assert refusal(stand_in, MODEL, tools=tools).endswith("declaration found: look")
    assert not declaring(stand_in, look, find)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({**AT, "required": ["at", "place"]}, "property place is not defined"),
        ({"type": "OBJECT", "required": ["at"]}, "property at is not defined"),
        ({"type": "ARRAY"}, "items: missing field"),
        ({"type": "INTEGER", "enum": ["1"]}, "only allowed for STRING"),
        ({**AT, "additionalProperties": False}, "additionalProperties"),
        ({**AT, "additional_properties": True}, "additionalProperties"),
    ],
)
def test_a_schema_that_gemini_refuses_is_found_at_any_depth(
    stand_in: StandIn, schema: dict[str, Any], why: str
) -> None:
    inside = (
        schema,
        {"type": "OBJECT", "properties": {"deep": schema}},
        {"type": "ARRAY", "items": schema},
        {"anyOf": [AT, schema]},
        {"any_of": [schema]},
    )
    for parameters in inside:
        assert why in declaring(stand_in, {"name": "look", "parameters": parameters})
    sound = {**AT, "required": ["at"]}
    deep = {"type": "ARRAY", "items": {"type": "STRING", "enum": ["a"]}}
    for parameters in (sound, deep):
        assert not declaring(stand_in, {"name": "look", "parameters": parameters})


def test_a_number_out_of_its_range_is_refused(stand_in: StandIn) -> None:
    for name, wrong, sound in (
        ("temperature", (-0.1, 2.1), (0, 2)),
        ("topP", (-0.1, 1.1, 95), (0, 1)),
        ("maxOutputTokens", (-1, 0), (1, 8192)),
    ):
        for value in wrong:
            assert refusal(stand_in, MODEL, {name: value}).startswith(f"{name} is {value}, ")
        for value in sound:
            assert not refusal(stand_in, MODEL, {name: value})


def test_an_unknown_voice_is_refused(stand_in: StandIn) -> None:
    for name, known in (("Puck", True), ("puck", True), ("Puk", False), ("alloy", False)):
        voice = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": name}}}
        assert refusal(stand_in, MODEL, {"speechConfig": voice}) == (
            "" if known else f"there is no voice {name}."
        )


def test_the_translation_model_accepts_what_others_do(stand_in: StandIn) -> None:
    generation = {"temperature": 1, "translationConfig": {"targetLanguageCode": "ja"}}
    for model in (TRANSLATION, OLDER):
        assert not refusal(stand_in, model, generation, tools=[{"googleSearch": {}}])


def test_the_steps_of_a_client_fail_with_the_reason_of_the_refusal(stand_in: StandIn) -> None:
    walk = Walk("", "", "", ["default"], stand_in.server.tls_url, stand_in.clock)
    answer = {"model": MODEL, "apiVersion": "v1alpha", "webSocketUrl": ""}
    sound = stand_in.token(SETUP)
    assert walk.talk({**answer, "name": sound}, "hello").audio
    generation = {"responseModalities": ["AUDIO"], "enableAffectiveDialog": True}
    wrong = stand_in.token(setup(generationConfig=generation))
    with pytest.raises(Failed) as failed:
        walk.talk({**answer, "name": wrong}, "hello")
    assert str(failed.value) == (
        "Gemini closed the session with 1007: models/gemini-3.8-live: the model does not accept"
        " enable_affective_dialog."
    )
