"""livetoken.js with each version of @google/genai and with a WebSocket, also in Node."""

import base64
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Browser
from stack import Stack
from stand_in import pcm

from clients import Client, Program, node_22, tab
from emulator.tls import Certificate


@pytest.fixture(scope="module")
def anywhere(shared: Stack) -> Iterator[Stack]:
    """A function that allows any origin."""
    with shared.running(ALLOWED_ORIGINS="*") as started:
        yield started


@pytest.fixture(
    scope="module",
    params=["genai-2-node", "genai-3-node-22", "genai-3-chromium", "websocket-node-22"],
)
def app(
    request: pytest.FixtureRequest, certificate: Certificate, chromium: Browser, page: str
) -> Iterator[Client]:
    trust = {"NODE_EXTRA_CA_CERTS": str(certificate.ca_file)}
    on_node = ("on_node.mjs", "livetoken")
    client: AbstractContextManager[Client]
    match request.param:
        case "genai-2-node":
            client = Program("node", *on_node, "genai-of-node-20", environment=trust)
        case "genai-3-node-22":
            client = Program(node_22(), *on_node, "@google/genai", environment=trust)
        case "websocket-node-22":
            client = Program(node_22(), *on_node, "websocket", environment=trust)
        case _:
            client = tab(chromium, page, "conversation")
    with client as started:
        yield started


def start(app: Client, function: Stack) -> None:
    app.take("start", url=function.function.url, idToken=function.issuer.id_token("ada"))


def test_a_conversation_resumes_over_connections(
    app: Client, anywhere: Stack, livetoken: Stack
) -> None:
    start(app, anywhere)
    first = app.take("say", text="one")
    assert first == {"heard": "I heard: one (turn 1).", "sounded": True}
    app.take("reconnect")
    assert app.take("say", text="two")["heard"] == "I heard: two (turn 2)."
    app.take("close")


def test_it_sends_audio(app: Client, anywhere: Stack, livetoken: Stack) -> None:
    start(app, anywhere)
    heard = app.take("speak", data=base64.b64encode(pcm(0.5)).decode())["heard"]
    assert heard == "I heard: (0.5 seconds of speech) (turn 1)."
    app.take("close")


def test_a_message_means_the_same(app: Client, anywhere: Stack, livetoken: Stack) -> None:
    start(app, anywhere)
    assert app.take("sayInTwo")["heard"] == "I heard: first second (turn 1)."
    app.take("close")


def test_a_second_use_is_an_error(app: Client, anywhere: Stack, livetoken: Stack) -> None:
    start(app, anywhere)
    assert app.take("again") == {
        "reason": "SESSION_REFUSED",
        "code": 1011,
        "message": "Auth token has been used up.",
    }
    app.take("close")
