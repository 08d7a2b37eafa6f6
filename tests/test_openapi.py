"""docs/openapi.yaml describes what the function accepts and answers, and nothing else."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from stack import ORIGIN, Answer, Stack

from emulator.function import ROOT
from livetoken import answers
from livetoken.refusals import Reason, Refused

DOCUMENT = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text(encoding="utf-8"))
OF_THE_SERVER = {"content-length", "content-type", "date", "server"}
"""Headers that the HTTP server adds to every answer."""


def validator(schema: Any) -> Draft202012Validator:
    """A validator of a schema of the document."""
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator({"components": DOCUMENT["components"], **schema})


def described(described: Any) -> Any:
    """What a `$ref` of the document stands for."""
    if "$ref" not in described:
        return described
    found = DOCUMENT
    for name in described["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def check(status: int, headers: Mapping[str, str], body: Any, method: str = "post") -> None:
    """Assert that an answer is one that the document describes.

    Args:
        headers: by their names in lower case.
        body: the JSON value, or None for no body.
    """
    answer = DOCUMENT["paths"]["/"][method]["responses"][str(status)]
    known = {name.lower(): described(header) for name, header in answer["headers"].items()}
    assert headers.keys() - OF_THE_SERVER <= known.keys()
    for name, header in known.items():
        assert name in headers or not header.get("required"), name
        if name in headers:
            whole = header["schema"].get("type") == "integer"
            validator(header["schema"]).validate(int(headers[name]) if whole else headers[name])
    if body is None:
        assert "content" not in answer
    else:
        assert headers["content-type"] == "application/json"
        validator(answer["content"]["application/json"]["schema"]).validate(body)


def refusal(reason: Reason, retry_after: int | None) -> tuple[int, dict[str, str], Any]:
    """The answer of a reason: its status, headers and body."""
    response = answers.refused(Refused(reason, retry_after=retry_after), {})
    return response.status_code, dict(response.headers), json.loads(bytes(response.body))


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_every_reason_is_described_as_it_is_answered(reason: Reason) -> None:
    waits = reason.value.code in (429, 503)
    check(*refusal(reason, 7 if waits else None))
    schema = validator({"$ref": f"#/components/schemas/{reason.name}"})
    _, _, body = refusal(reason, None if waits else 7)
    assert not schema.is_valid(body), "retryAfterSeconds"
    _, _, body = refusal(reason, 7 if waits else None)
    assert schema.is_valid(body)
    error, details = body["error"], body["error"]["details"]
    for part, name, value in (
        *((error, "code", 418), (error, "status", "OK"), (error, "message", "")),
        *((details, "reason", "OTHER"), (details, "retryable", not details["retryable"])),
        *((details, "detail", "ALGORITHM"), (error, "other", 1), (body, "result", {})),
    ):
        right = part.get(name)
        part[name] = value
        assert not schema.is_valid(body), name
        part[name] = right
        if right is None:
            del part[name]
    assert schema.is_valid(body)


def test_no_other_reason_is_described() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    names = [reason.name for reason in Reason]
    assert schemas["Reason"]["enum"] == names
    assert [name for name in schemas if name.isupper()] == names
    responses = DOCUMENT["paths"]["/"]["post"]["responses"]
    assert set(responses) == {"200", *(str(reason.value.code) for reason in Reason)}


@pytest.mark.parametrize("body", [{}, {"data": {}}], ids=["plain", "callable"])
def test_a_token_has_exactly_the_fields_that_are_described(
    livetoken: Stack, body: dict[str, Any]
) -> None:
    answer = livetoken.ask(body, headers={"Origin": ORIGIN})
    assert answer.status == 200
    check(200, answer.headers, answer.json)
    token = answer.json["result"] if "data" in body else answer.json
    described = DOCUMENT["components"]["schemas"]["Token"]
    assert list(token) == list(described["properties"]) == described["required"]


@pytest.mark.parametrize("origin", [None, ORIGIN, "https://foreign.example"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
def test_the_headers_of_an_answer_are_those_that_are_described(
    livetoken: Stack, method: str, origin: str | None
) -> None:
    answer = livetoken.ask(None, method=method, headers={"Origin": origin, "Content-Type": None})
    body = answer.json if answer.body else None
    check(answer.status, answer.headers, body, "options" if method == "OPTIONS" else "post")


ANY: tuple[Any, ...] = (None, True, 1, ["default"], {})
"""A value of each type but text."""
ACCEPTED: list[Any] = [
    *({}, {"profile": "default"}, {"profile": "unknown"}, {"profile": ""}),
    *({"resume": "h"}, {"resume": "h" * 4096}, {"resume": "\U0001f600" * 600}),
    *({"profile": "default", "resume": " \u00a0\u200b\ue000\uffff "},),
    *({"data": None}, {"data": {}}, {"data": {"profile": "short"}}, {"data": {"resume": "h"}}),
    *({"choices": {}}, {"data": {"choices": {}}}, {"choices": {"v": 1}, "profile": "unknown"}),
    {"choices": {str(number): True for number in range(16)}, "profile": "unknown"},
]
REFUSED: list[Any] = [
    *(None, True, 7, "default", [], [{}], {"": 1}, {"Profile": "default"}, {"uses": 0}),
    *({"profile": value} for value in ANY),
    *({"resume": value} for value in (*ANY, "", "h" * 4097)),
    *({"resume": f"h{control}"} for control in "\0\t\n\r\x1b\x1f\x7f\x80\x85\x9f"),
    *({"data": value} for value in (*ANY[1:-1], "default", {"data": None}, {"data": {}})),
    *({"data": {"profile": 1}}, {"data": {"resume": ""}}, {"data": {"uses": 0}}),
    *({"data": {}, "profile": "default"}, {"data": None, "resume": "h"}),
    *({"choices": value} for value in ANY[:-1]),
    *({"choices": {"v": None}}, {"choices": {"v": []}}, {"choices": {"v": {}}}),
    {"choices": {str(number): True for number in range(17)}, "profile": "unknown"},
]


def test_the_function_accepts_the_bodies_that_the_schema_accepts(livetoken: Stack) -> None:
    operation = DOCUMENT["paths"]["/"]["post"]["requestBody"]
    schema = validator(operation["content"]["application/json"]["schema"])
    for body in ACCEPTED + REFUSED:
        answer = livetoken.ask(json.dumps(body).encode())
        accepted = answer.status in (200, 404)
        assert accepted or answer.is_refusal(Reason.INVALID_REQUEST)
        assert schema.is_valid(body) == accepted == (body in ACCEPTED), body
    assert not operation.get("required")
    assert livetoken.ask(b"").status == 200


def test_the_function_accepts_an_app_check_token_of_the_described_length(
    livetoken: Stack,
) -> None:
    (described,) = (
        each for each in DOCUMENT["paths"]["/"]["post"]["parameters"] if "$ref" not in each
    )
    longest = described["schema"]["maxLength"]
    answers: list[Answer] = [
        livetoken.ask(headers={described["name"]: "a" * length})
        for length in (longest, longest + 1)
    ]
    assert answers[0].status == 200
    assert answers[1].is_refusal(Reason.APP_CHECK_FAILED)
