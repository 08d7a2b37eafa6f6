"""Minting with the stand-in for Gemini, as a client sees it."""

import http.client
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.genai import types
from stand_in import KEY, MODEL, SETUP, StandIn, said, setup, start
from websockets.exceptions import InvalidStatus


def test_the_answer_is_only_a_name(stand_in: StandIn) -> None:
    status, answer = stand_in.post({"bidiGenerateContentSetup": SETUP})
    assert status == 200
    assert list(answer) == ["name"]
    prefix, _, hexadecimal = answer["name"].partition("/")
    assert prefix == "auth_tokens" and len(bytes.fromhex(hexadecimal)) == 32


def test_the_sdk_can_mint_and_use_a_token(stand_in: StandIn) -> None:
    now = stand_in.clock()
    config = types.CreateAuthTokenConfig(
        uses=1,
        expire_time=now + timedelta(minutes=30),
        new_session_expire_time=now + timedelta(minutes=1),
        live_connect_constraints=types.LiveConnectConstraints(
            model="gemini-3.8-live",
            config=types.LiveConnectConfig(
                response_modalities=[types.Modality.AUDIO],
                system_instruction="Be kind.",
                temperature=0.7,
                top_p=0.9,
                speech_config=types.SpeechConfig(language_code="en-US"),
                output_audio_transcription=types.AudioTranscriptionConfig(),
                context_window_compression=types.ContextWindowCompressionConfig(
                    sliding_window=types.SlidingWindow(target_tokens=100)
                ),
            ),
        ),
    )
    client = stand_in.sdk(KEY)
    token = client.auth_tokens.create(config=config)
    assert token.name
    assert said(stand_in.talk(token.name)) == "I heard: hello (turn 1)"
    assert stand_in.gemini.minted()[0].token == token.name
    generation = stand_in.gemini.sessions[0].setup["generationConfig"]
    assert generation["topP"] == 0.9 and generation["speechConfig"] == {"languageCode": "en-US"}


@pytest.mark.parametrize("version", ["v1alpha", "v1beta"])
def test_both_versions_mint_and_connect(stand_in: StandIn, version: str) -> None:
    status, answer = stand_in.post({"bidiGenerateContentSetup": SETUP}, version)
    assert status == 200
    assert said(stand_in.talk(answer["name"], version=version)) == "I heard: hello (turn 1)"


@pytest.mark.parametrize("version", ["v1", "v2", "v1alpha1"])
def test_other_versions_do_not_exist(stand_in: StandIn, version: str) -> None:
    assert stand_in.post({}, version)[0] == 404
    with pytest.raises(InvalidStatus) as refused:
        stand_in.socket(stand_in.token(), version=version)
    assert refused.value.response.status_code == 404


def test_tokens_cannot_be_listed_or_revoked(stand_in: StandIn) -> None:
    call = http.client.HTTPConnection(urlsplit(stand_in.server.url).netloc, timeout=5)
    for method, path in (("GET", "auth_tokens"), ("DELETE", stand_in.token())):
        call.request(method, f"/v1alpha/{path}", headers={"x-goog-api-key": KEY})
        answer = call.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (404, 404)
    call.close()


@pytest.mark.parametrize(
    ("body", "name", "where"),
    [
        ({"liveConnectConstraints": {}}, "liveConnectConstraints", "auth_token"),
        ({"config": {}}, "config", "auth_token"),
        ({"Uses": 1}, "Uses", "auth_token"),
        (
            {"bidiGenerateContentSetup": {"temperature": 1}},
            "temperature",
            "auth_token.bidi_generate_content_setup",
        ),
        (
            {"bidi_generate_content_setup": {"generation_config": {"top_P": 1}}},
            "top_P",
            "auth_token.bidi_generate_content_setup.generation_config",
        ),
        (
            {"bidiGenerateContentSetup": {"tools": [{}, {"retrieval": {}}]}},
            "retrieval",
            "auth_token.bidi_generate_content_setup.tools[1]",
        ),
        (
            {"bidiGenerateContentSetup": {"sessionResumption": {"transparent": True}}},
            "transparent",
            "auth_token.bidi_generate_content_setup.session_resumption",
        ),
    ],
)
def test_an_unknown_field_is_refused_before_the_key_is_checked(
    stand_in: StandIn, body: Any, name: str, where: str
) -> None:
    for key in (KEY, "bad", None):
        status, answer = stand_in.post(body, key=key)
        assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
        assert answer["error"]["message"] == (
            f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': "
            "Cannot find field."
        )


def test_null_means_unset(stand_in: StandIn) -> None:
    token = stand_in.token(setup(tools=None, labels=None))
    status, answer = stand_in.post({"uses": None, "expireTime": None, "fieldMask": None})
    assert status == 200, answer
    start(stand_in, token)
    assert stand_in.gemini.sessions[0].setup == SETUP


def test_a_field_can_be_made_unknown(stand_in: StandIn) -> None:
    locked = {"model": MODEL, "labels": {"a": "b"}}
    body = {"bidiGenerateContentSetup": locked, "fieldMask": "labels,model"}
    assert stand_in.post(body)[0] == 200
    stand_in.behaviour.unknown_fields = frozenset({"labels"})
    assert 'Unknown name "labels"' in stand_in.post(body)[1]["error"]["message"]
    status, answer = stand_in.post(body | {"bidiGenerateContentSetup": {"model": MODEL}})
    assert status == 400 and "field_mask is invalid" in answer["error"]["message"]


def test_a_nested_mask_is_refused_unless_the_setting_allows_it(
    stand_in: StandIn,
) -> None:
    locked = {"model": MODEL, "generationConfig": {"temperature": 1}}
    body = {"bidiGenerateContentSetup": locked, "fieldMask": "model,generationConfig.temperature"}
    assert stand_in.post(body)[0] == 400
    stand_in.behaviour.nested_masks = True
    assert stand_in.post(body)[0] == 200


@pytest.mark.parametrize(
    "mask", ["model,generationConfig", "model,generationConfig.temperature,tools", "tools"]
)
def test_a_field_of_the_setup_that_the_mask_does_not_name_is_refused(
    stand_in: StandIn, mask: str
) -> None:
    stand_in.behaviour.nested_masks = True
    locked = {"model": MODEL, "generationConfig": {"temperature": 1, "topK": 2}, "tools": []}
    body = {"bidiGenerateContentSetup": locked, "fieldMask": mask}
    status, answer = stand_in.post(body)
    assert status == 400
    assert answer["error"]["message"] == "field_mask is invalid for BidiGenerateContentSetup"
    whole = {**body, "fieldMask": "model,generationConfig,tools"}
    assert stand_in.post(whole)[0] == 200


def test_camel_case_and_snake_case_mean_the_same(stand_in: StandIn) -> None:
    stand_in.behaviour.nested_masks = True
    token = stand_in.token(
        None,
        bidi_generate_content_setup={
            "model": MODEL,
            "generation_config": {"response_modalities": ["AUDIO"]},
            "output_audio_transcription": {"language_codes": ["en"]},
        },
        field_mask="generation_config.response_modalities,outputAudioTranscription,model",
    )
    assert said(stand_in.talk(token)) == "I heard: hello (turn 1)"
    assert stand_in.gemini.sessions[0].setup == {
        "model": MODEL,
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "outputAudioTranscription": {"languageCodes": ["en"]},
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 50_000,
        [],
        "x",
        {"uses": "many"},
        {"uses": 1.5},
        {"uses": True},
        {"fieldMask": ["model"]},
        {"bidiGenerateContentSetup": [SETUP]},
        {"bidiGenerateContentSetup": setup(generationConfig={"temperature": "warm"})},
        {"bidiGenerateContentSetup": setup(generationConfig={"responseModalities": "AUDIO"})},
        {"bidiGenerateContentSetup": setup(generationConfig={"responseModalities": ["SMELL"]})},
        {"bidiGenerateContentSetup": setup(labels={"a": 1})},
        {"uses": 1, "expire_time": "x"},
        {"expireTime": "2026-13-45T00:00:00Z"},
        {"newSessionExpireTime": 5},
        {"fieldMask": "model", "field_mask": "model"},
    ],
)
def test_a_malformed_body_is_refused(stand_in: StandIn, body: Any) -> None:
    status, answer = stand_in.post(body)
    assert (status, answer["error"]["code"]) == (400, 400)
    assert stand_in.gemini.mints[0].status == 400 and stand_in.gemini.mints[0].token is None


def test_the_key_is_required_and_must_be_right(stand_in: StandIn) -> None:
    for key, query, expected, word in (
        (None, "", 403, "PERMISSION_DENIED"),
        (None, f"?key={KEY}", 403, "PERMISSION_DENIED"),
        ("bad", "", 400, "INVALID_ARGUMENT"),
    ):
        status, answer = stand_in.post({}, key=key, query=query)
        assert (status, answer["error"]["status"]) == (expected, word)
    assert "API key not valid" in answer["error"]["message"]
    assert stand_in.gemini.minted() == []


@pytest.mark.parametrize("name", ["expireTime", "newSessionExpireTime"])
def test_a_time_must_have_a_zone_and_be_within_twenty_hours(stand_in: StandIn, name: str) -> None:
    hour = 3600
    naive = stand_in.clock.at(60).removesuffix("+00:00")
    for refused in (naive, naive.replace("T", " ") + "Z", stand_in.clock.at(-1), ""):
        assert stand_in.post({name: refused})[0] == 400, refused
    assert stand_in.post({name: stand_in.clock.at(20 * hour + 2)})[0] == 400
    for accepted in (naive + "Z", stand_in.clock.at(20 * hour - 60), naive[:19] + ".123456789Z"):
        assert stand_in.post({name: accepted})[0] == 200, accepted


@pytest.mark.parametrize(
    "mask",
    [
        "nothing",
        "model,nothing",
        "model,",
        "tools.0",
        "tools[0]",
        "tools.functionDeclarations",
        "systemInstruction.parts.text",
        "bidiGenerateContentSetup.model",
        "labels.team",
        "generation_Config",
        " model",
    ],
)
def test_a_mask_with_a_bad_path_is_refused(stand_in: StandIn, mask: str) -> None:
    status, answer = stand_in.post({"bidiGenerateContentSetup": SETUP, "fieldMask": mask})
    assert status == 400
    assert answer["error"]["message"] == "field_mask is invalid for BidiGenerateContentSetup"
