"""The Python and the Kotlin of docs/clients.md work, exactly as they are printed there."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from snippets import PAGE, snippets
from stack import Stack

from clients import HERE
from emulator.behaviour import ODDITIES
from emulator.state import Session

QUESTIONS = [f"question {number}" for number in range(1, 19)]
"""Enough for each oddity of the stand-in."""
LOST = ["question 8"]
"""The stand-in's answer to it is empty."""


@pytest.fixture
def odd(livetoken: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A Gemini with all its defaults and one more loss, before a handle. It thinks fast."""
    monkeypatch.setattr(livetoken.gemini.behaviour, "thinks", 0.05)
    monkeypatch.setattr(livetoken.gemini.behaviour, "oddities", {**ODDITIES, 11: 1011})
    return livetoken


def asked(sessions: list[Session]) -> list[list[str]]:
    """The questions that each connection carried."""
    return [
        [text for message in each.messages if (text := message["realtimeInput"].get("text"))]
        for each in sessions
    ]


def resumed(sessions: list[Session]) -> bool:
    """Assert that each lost connection was resumed, and what it left unanswered was asked again."""
    first, *later = asked(sessions)
    assert first == QUESTIONS[:10]
    assert later == [QUESTIONS[9:10], QUESTIONS[9:11], QUESTIONS[10:13], QUESTIONS[12:]]
    assert [each.closed for each in sessions[:4]] == [1011, 1011, 1006, 1008]
    return [each.resumed for each in sessions] == [False, True, True, True, True]


# The SDK's keepalive, a hundred times as fast: it ends the connection unless it is off.
KEEPALIVE = """
from websockets.asyncio.client import connect
connect.__init__.__kwdefaults__.update(ping_interval=0.2, ping_timeout=0.2)
"""


def run_python(then: str, function: Stack, tmp_path: Path, *, renewed: bool = True) -> Any:
    """Run the code for Python and more, and return what is printed, as JSON.

    The ID token is expired until renewed.
    """
    (python,) = snippets("Python", "python")
    expired = function.issuer.id_token("ada", exp=1)
    other = function.issuer.id_token("ada") if renewed else expired
    given = f"""
import json
LIVETOKEN_URL, heard = {function.function.url!r}, []
play = heard.append
def id_token(refresh):
    return {other!r} if refresh else {expired!r}
"""
    script = tmp_path / "app.py"
    script.write_text(given + KEEPALIVE + python + then)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        env={**os.environ, "GOOGLE_GEMINI_BASE_URL": function.gemini_url},
        check=True,
        timeout=120,
        stdout=subprocess.PIPE,
    )
    return json.loads(ran.stdout)


def test_python_answers_every_question_or_says_that_it_is_lost(odd: Stack, tmp_path: Path) -> None:
    before = len(odd.gemini.sessions)
    then = f"""
conversation = Conversation()
asyncio.run(conversation.ask_all({QUESTIONS}))
print(json.dumps([conversation.lost, len(heard) > 0]))
"""
    assert run_python(then, odd, tmp_path) == [LOST, True]
    assert resumed(odd.gemini.sessions[before:])


def test_python_leaves_after_go_away_and_begins_anew_with_a_dead_handle(
    odd: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, before = odd.gemini.behaviour, len(odd.gemini.sessions)
    monkeypatch.setattr(behaviour, "go_away_before", behaviour.connection_life)
    then = """
conversation = Conversation()
asyncio.run(conversation.ask_all(["one", "two"]))
conversation.handle = "unknown"
asyncio.run(conversation.ask_all(["three"]))
print(json.dumps(conversation.lost))
"""
    assert run_python(then, odd, tmp_path) == []
    sessions = odd.gemini.sessions[before:]
    assert asked(sessions) == [["one"], ["two"], ["three"]]
    assert [each.resumed for each in sessions] == [False, True, False]


def test_python_does_not_repeat_what_gemini_rejects(
    odd: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(odd.gemini.sessions)
    monkeypatch.setattr(odd.gemini.behaviour, "oddities", {2: 1007})
    then = """
conversation = Conversation()
asyncio.run(conversation.ask_all(["one", "two", "three"]))
print(json.dumps(conversation.lost))
"""
    assert run_python(then, odd, tmp_path) == ["two"]
    assert asked(odd.gemini.sessions[before:]) == [["one", "two"], ["three"]]


def test_python_gives_up_where_trying_again_cannot_help(odd: Stack, tmp_path: Path) -> None:
    then = """
conversation = Conversation()
try:
    asyncio.run(conversation.ask_all(["one"]))
except Refused as refused:
    print(json.dumps([refused.reason, conversation.failures]))
"""
    assert run_python(then, odd, tmp_path, renewed=False) == ["ID_TOKEN_EXPIRED", 1]


JARS = Path("/usr/share/java")
OKHTTP = next(JARS.glob("okhttp-[0-9]*.jar"))
COMPILER = HERE / "node_modules/kotlin-compiler/lib"
LIBRARIES = ":".join(
    str(jar)
    for jar in (
        COMPILER / "kotlin-stdlib.jar",
        COMPILER / "kotlinx-coroutines-core-jvm.jar",
        OKHTTP,
        JARS / "okio.jar",
        JARS / "com.android.json.jar",
    )
)
IMPORTS = """
import android.util.Base64
import java.io.IOException
import java.util.concurrent.TimeUnit
import kotlin.random.Random
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.delay
import kotlinx.coroutines.withContext
import okhttp3.*
import okio.ByteString
import org.json.JSONException
import org.json.JSONObject
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The class path of an app with the code for Android."""
    folder = tmp_path_factory.mktemp("kotlin")
    (kotlin,) = snippets("Android", "kotlin")
    (folder / "Snippet.kt").write_text(IMPORTS + kotlin)
    java = ["java", "-cp", f"{COMPILER}/*", "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"]
    options = ["-no-stdlib", "-no-reflect", "-cp", LIBRARIES, "-d", str(folder / "app.jar")]
    sources = [folder / "Snippet.kt", *(HERE / "kotlin").glob("*.kt")]
    subprocess.run([*java, *options, *sources], check=True, timeout=300)
    return f"{folder}/app.jar:{LIBRARIES}"


def run_kotlin(app: str, function: Stack, *questions: str, renewed: bool = True) -> list[str]:
    """Ask the questions, and return what happened; the ID token is expired until renewed."""
    expired = function.issuer.id_token("ada", exp=1)
    with function.running(GOOGLE_GEMINI_BASE_URL=function.gemini_plain_url) as started:
        ran = subprocess.run(
            ["java", "-cp", app, "MainKt", *questions],
            env={
                **os.environ,
                "LIVETOKEN_URL": started.function.url,
                "ID_TOKEN": expired,
                "RENEWED_ID_TOKEN": function.issuer.id_token("ada") if renewed else expired,
            },
            check=True,
            timeout=120,
            stdout=subprocess.PIPE,
            text=True,
        )
    return ran.stdout.splitlines()


def test_kotlin_answers_every_question_or_says_that_it_is_lost(odd: Stack, app: str) -> None:
    before = len(odd.gemini.sessions)
    told = run_kotlin(app, odd, *QUESTIONS)
    assert [line for line in told if line.startswith("lost")] == [f"lost {LOST[0]}"]
    assert told.count("turn") == len(QUESTIONS)
    assert resumed(odd.gemini.sessions[before:])


def test_kotlin_speaks_and_leaves_after_go_away(
    odd: Stack, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, before = odd.gemini.behaviour, len(odd.gemini.sessions)
    monkeypatch.setattr(behaviour, "go_away_before", behaviour.connection_life)
    told = run_kotlin(app, odd, "one", "(speech)")
    assert told.count("turn") == 2
    first, second = odd.gemini.sessions[before:][:2]
    assert (first.closed, second.resumed) == (1000, True)
    assert any("audio" in message["realtimeInput"] for message in second.messages)


def test_kotlin_begins_anew_with_a_dead_handle(
    odd: Stack, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, before = odd.gemini.behaviour, len(odd.gemini.sessions)
    monkeypatch.setattr(behaviour, "go_away_before", behaviour.connection_life)
    monkeypatch.setattr(behaviour, "handle_life", -1.0)
    told = run_kotlin(app, odd, "one", "two")
    assert [line for line in told if not line.startswith("heard")] == ["turn", "forgotten", "turn"]
    sessions = odd.gemini.sessions[before:]
    assert asked(sessions)[:2] == [["one"], ["two"]]
    assert not any(each.resumed for each in sessions)


def test_kotlin_does_not_repeat_what_gemini_rejects(
    odd: Stack, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(odd.gemini.sessions)
    monkeypatch.setattr(odd.gemini.behaviour, "oddities", {2: 1007})
    told = run_kotlin(app, odd, "one", "(rejected)", "three")
    assert "lost (rejected)" in told
    assert asked(odd.gemini.sessions[before:]) == [["one", "(rejected)"], ["three"]]


def test_kotlin_gives_up_where_trying_again_cannot_help(odd: Stack, app: str) -> None:
    assert run_kotlin(app, odd, "one", renewed=False) == ["refused ID_TOKEN_EXPIRED"]


def test_the_docs_name_the_version_of_okhttp() -> None:
    assert f"OkHttp {OKHTTP.stem.removeprefix('okhttp-')}" in PAGE
