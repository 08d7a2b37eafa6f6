"""`choices` in a request, over HTTP: the session has what was chosen, and nothing else is wider."""

import json
from typing import Any

import pytest
from asking import function_of, profile, refused, socket_url
from policies import HEAD
from stack import Answer, Stack
from stand_in import message
from websockets.sync.client import connect

from livetoken.refusals import Reason

VOICE = "speech_config.voice_config.prebuilt_voice_config.voice_name"
CHOICES = f"""
choices.voice = {{ path = "{VOICE}", values = ["Kore", "Puck"], default = "Kore" }}
choices.heat = {{ path = "temperature", values = [0.5, 1], default = 0.5 }}
choices.early = {{ path = "speech_config.language_code", values = ["de-DE"], default = "de-DE" }}
choices.quiet = {{ path = "realtime_input_config.automatic_activity_detection.disabled", """
CHOICES += "values = [false, true], default = false }\n"
CONFIG = 'session_resumption = {}\nsystem_instruction = "Level ${claim.level}."'
POLICY = (
    HEAD
    + profile("default", f"{CHOICES}\nclaims.level = {{ max_length = 2, default = 'A1' }}", CONFIG)
    + profile("limited", f'{CHOICES}\nlimit = "1/hour"')
    + profile("open", f'{CHOICES}\nclient_may_set = ["tools"]')
    + profile("none")
)

livetoken = function_of(POLICY)


@pytest.fixture(autouse=True)
def _open_fields(livetoken: Stack) -> None:
    livetoken.gemini.left_open = ("tools",)


def minted(livetoken: Stack, choices: Any, **ask: Any) -> tuple[Answer, Any]:
    """An answer with a token, and the setup that it is locked to."""
    answer = livetoken.ask({"choices": choices, **ask})
    assert answer.status == 200, answer.body
    return answer, livetoken.gemini.minted()[-1].body["bidiGenerateContentSetup"]


def said(setup: Any) -> tuple[Any, ...]:
    """What a setup has of each choice."""
    generation = setup["generationConfig"]
    speech = generation["speechConfig"]
    voice = speech["voice_config"]["prebuilt_voice_config"]["voice_name"]
    quiet = setup["realtimeInputConfig"]["automatic_activity_detection"]["disabled"]
    return voice, generation["temperature"], speech["language_code"], quiet


def test_a_request_gets_what_it_chooses_and_defaults_for_the_rest(livetoken: Stack) -> None:
    assert said(minted(livetoken, {})[1]) == ("Kore", 0.5, "de-DE", False)
    assert said(minted(livetoken, {"voice": "Puck"})[1]) == ("Puck", 0.5, "de-DE", False)
    every = {"quiet": True, "heat": 1, "voice": "Puck", "early": "de-DE"}
    assert said(minted(livetoken, every)[1]) == ("Puck", 1.0, "de-DE", True)
    assert said(minted(livetoken, {})[1]) == ("Kore", 0.5, "de-DE", False)


def test_a_callable_request_chooses_too(livetoken: Stack) -> None:
    answer = livetoken.ask({"data": {"choices": {"voice": "Puck"}}})
    assert answer.json["result"]["profile"] == "default"
    setup = livetoken.gemini.minted()[-1].body["bidiGenerateContentSetup"]
    assert said(setup)[0] == "Puck"


def test_nothing_else_of_the_setup_changes_and_there_is_no_mask(livetoken: Stack) -> None:
    _, plain = minted(livetoken, {})
    _, chosen = minted(livetoken, {"voice": "Puck"})
    voice = chosen["generationConfig"]["speechConfig"]["voice_config"]["prebuilt_voice_config"]
    voice["voice_name"] = "Kore"
    assert json.dumps(chosen) == json.dumps(plain)
    assert "fieldMask" not in livetoken.gemini.minted()[-1].body


def test_a_resumed_session_can_keep_or_change_its_choice(livetoken: Stack) -> None:
    for voice in ("Puck", "Kore"):
        _, setup = minted(livetoken, {"voice": voice}, resume="a-handle")
        assert setup["sessionResumption"] == {"handle": "a-handle"}
        assert said(setup)[0] == voice
        assert setup["systemInstruction"]["parts"] == [{"text": "Level B1."}]


@pytest.mark.parametrize("name", ["default", "open"])
def test_a_client_cannot_change_what_was_chosen(livetoken: Stack, name: str) -> None:
    answer, setup = minted(livetoken, {"voice": "Puck", "heat": 1}, profile=name)
    hostile = {
        "model": "models/gemini-9-live",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "temperature": 2.0,
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Leda"}}},
        },
        "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
    }
    with connect(socket_url(livetoken, answer.json)) as socket:
        socket.send(json.dumps({"setup": hostile}))
        assert message(socket) == {"setupComplete": {}}
    session = livetoken.gemini.sessions[-1].setup
    generation = session["generationConfig"]
    voice = generation["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"]
    assert (voice, generation["temperature"]) == ("Puck", 1.0)
    assert session["realtimeInputConfig"]["automaticActivityDetection"]["disabled"] is False
    assert setup["generationConfig"]["temperature"] == 1.0


@pytest.mark.parametrize(
    ("choices", "rule"),
    [
        ({"voice": "Leda"}, "voice"),
        ({"voice": "puck"}, "voice"),
        ({"voice": "Puck", "heat": 0.7}, "heat"),
        ({"heat": "1"}, "heat"),
        ({"heat": True}, "heat"),
        ({"quiet": 1}, "quiet"),
        ({"quiet": "true"}, "quiet"),
        ({"pitch": 1}, None),
        ({"": 1}, None),
        ({str(number): 1 for number in range(17)}, None),
    ],
)
def test_what_is_not_offered_is_refused(
    livetoken: Stack, choices: dict[str, Any], rule: str | None
) -> None:
    line = refused(livetoken, Reason.INVALID_REQUEST, {"choices": choices})
    assert line["detail"] == "CHOICE_NOT_OFFERED"
    assert line.get("rule") == (rule and f"profiles.default.choices.{rule}")
    assert "Leda" not in livetoken.function.output()


@pytest.mark.parametrize(
    ("choices", "detail"),
    [
        (b"null", "WRONG_TYPE"),
        (b'"Puck"', "WRONG_TYPE"),
        (b'["Puck"]', "WRONG_TYPE"),
        (b'{"voice": null}', "WRONG_TYPE"),
        (b'{"voice": ["Puck"]}', "WRONG_TYPE"),
        (b'{"voice": {"name": "Puck"}}', "WRONG_TYPE"),
        (b'{"heat": NaN}', "WRONG_TYPE"),
        (b'{"heat": -Infinity}', "WRONG_TYPE"),
        (b'{"heat": 1e999}', "CHOICE_NOT_OFFERED"),
        (b'{"heat": 01}', "NOT_JSON"),
        (b'{"quiet": t}', "NOT_JSON"),
        (b'{"heat": 1, "heat": 1}', "NOT_JSON"),
        (b"{heat: 1}", "NOT_JSON"),
    ],
)
def test_choices_of_another_shape_are_refused(
    livetoken: Stack, choices: bytes, detail: str
) -> None:
    body = b'{"choices": ' + choices + b"}"
    assert refused(livetoken, Reason.INVALID_REQUEST, body)["detail"] == detail


def test_a_profile_without_choices_offers_none(livetoken: Stack) -> None:
    assert livetoken.ask({"profile": "none", "choices": {}}).status == 200
    asked = {"profile": "none", "choices": {"voice": "Kore"}}
    assert refused(livetoken, Reason.INVALID_REQUEST, asked)["detail"] == "CHOICE_NOT_OFFERED"


def test_a_refused_choice_counts_in_no_limit(livetoken: Stack) -> None:
    for _ in range(3):
        asked = {"profile": "limited", "choices": {"voice": "Leda"}}
        refused(livetoken, Reason.INVALID_REQUEST, asked)
    assert minted(livetoken, {"voice": "Puck"}, profile="limited")
    refused(livetoken, Reason.LIMIT_REACHED, {"profile": "limited"})
