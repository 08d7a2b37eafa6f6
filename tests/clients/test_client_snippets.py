"""The code in docs/clients.md and in the README works, exactly as it is printed there."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from firebase_policy import policy
from playwright.sync_api import Browser, Page
from signing_proxy import SigningProxy
from stack import Stack, until
from starlette.staticfiles import StaticFiles

from clients import HERE
from emulator.function import ROOT
from emulator.page_app import CLIENT
from emulator.server import Server

# The app around a snippet; the test reads `heard` and `shown`.
APP = """
globalThis.heard = [];
globalThis.shown = [];
const LIVETOKEN_URL = {url};
const play = (sound) => heard.push(sound);
const show = (...what) => shown.push(what);
"""
USER = """
const auth = {{ currentUser: {{ getIdToken: async () => {id_token} }} }};
const source = {{ url: LIVETOKEN_URL, idToken: (refresh) => auth.currentUser.getIdToken(refresh) }};
"""
FIREBASE = """
import {{ initializeApp }} from "firebase/app";
import {{ CustomProvider }} from "firebase/app-check";
import {{ connectAuthEmulator, getAuth as authOf, signInWithCredential, GoogleAuthProvider }}
  from "firebase/auth";
import {{ Conversation }} from "./livetoken.js";

const app = initializeApp({{ apiKey: "made-up", projectId: "demo-livetoken", appId: "1:2:web:3" }});
const attested = {{ token: {app_check}, expireTimeMillis: Date.now() + 3_600_000 }};
const provider = new CustomProvider({{ getToken: async () => attested }});
connectAuthEmulator(authOf(app), {emulator}, {{ disableWarnings: true }});
const google = {{ sub: "109700000000000000004", email: "mary@example.com", email_verified: true }};
await signInWithCredential(authOf(app), GoogleAuthProvider.credential(JSON.stringify(google)));
"""
CONVERSATION = """
const onstate = (state, error) => shown.push([state, error?.reason]);
const conversation = new Conversation(source, { onmessage: () => {}, onstate });
"""


def snippets(title: str, language: str) -> list[str]:
    """The code under a title of docs/clients.md."""
    page = (ROOT / "docs/clients.md").read_text()
    return code(page.partition(f"\n## {title}\n")[2].partition("\n## ")[0], language)


def code(text: str, language: str) -> list[str]:
    """The code in a language in Markdown."""
    return [block.partition("\n```")[0] for block in text.split(f"```{language}\n")[1:]]


def filled(template: str, **values: str) -> str:
    """A template filled with JavaScript strings."""
    return template.format(**{name: json.dumps(value) for name, value in values.items()})


@pytest.fixture
def anywhere(alone: Stack) -> Iterator[Stack]:
    """A function that allows any origin, with a Gemini that does not use TLS."""
    plain = alone.gemini_plain_url
    with alone.running(ALLOWED_ORIGINS="*", GOOGLE_GEMINI_BASE_URL=plain) as started:
        yield started


@pytest.fixture
def load(chromium: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Loads a page with a script in a folder with the files that an app copies."""
    for file in CLIENT.glob("*.js"):
        shutil.copy(file, tmp_path)
    with (
        Server(StaticFiles(directory=tmp_path, html=True)) as server,
        chromium.new_context(permissions=["microphone"]) as context,
    ):

        def loaded(script: str, *, bundled: bool = False) -> Page:
            (tmp_path / "app.js").write_text(script)
            if bundled:
                how = ["--bundle", "--format=esm", "--outfile=app.js", "--allow-overwrite"]
                subprocess.run(
                    [HERE / "node_modules/.bin/esbuild", "app.js", *how, "--log-level=warning"],
                    cwd=tmp_path,
                    env={**os.environ, "NODE_PATH": str(HERE / "node_modules")},
                    check=True,
                )
            buttons = ("Talk", "Stop")
            button = "<!doctype html>" + "".join(
                f'<button id="{name.lower()}Button">{name}</button>' for name in buttons
            )
            module = '<script type="module" src="app.js"></script>'
            (tmp_path / "index.html").write_text(button + module)
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.goto(server.url)
            return page

        yield loaded


def test_a_web_page(load: Callable[..., Page], anywhere: Stack) -> None:
    (web_page,) = snippets("A web page", "js")
    user = filled(USER, id_token=anywhere.issuer.id_token("ada")).replace("const source", "const _")
    page = load(filled(APP, url=anywhere.function.url) + user + web_page)
    page.get_by_role("button", name="Talk").click()
    page.wait_for_function("() => shown.some(([state]) => state === 'open')")
    (session,) = anywhere.gemini.sessions
    until(lambda: any("realtimeInput" in message for message in session.messages))
    page.get_by_role("button", name="Stop").click()
    page.wait_for_function("() => shown.at(-1)[0] === 'closed'")
    until(lambda: session.closed == 1000)


def test_google_genai(load: Callable[..., Page], anywhere: Stack) -> None:
    over_livetoken_js, _ = snippets("@google/genai", "js")
    user = filled(USER, id_token=anywhere.issuer.id_token("ada"))
    page = load(filled(APP, url=anywhere.function.url) + user + over_livetoken_js, bundled=True)
    page.wait_for_function("() => heard.length > 0")
    assert page.evaluate("shown") == [["connecting", None], ["open", None]]


def test_firebase_for_the_web(
    load: Callable[..., Page], signing: SigningProxy, shared: Stack
) -> None:
    source, callable_sdk = snippets("Firebase for the web", "js")
    plain = shared.gemini_plain_url
    with shared.running(
        policy("required"), ALLOWED_ORIGINS="*", GOOGLE_GEMINI_BASE_URL=plain
    ) as started:
        firebase = filled(FIREBASE, app_check=shared.app_check.token(), emulator=signing.url)
        app = filled(APP, url=started.function.url) + firebase + source + CONVERSATION
        page = load(app + callable_sdk, bundled=True)
        page.wait_for_function("() => shown.length === 2")
        assert page.evaluate("shown") == [["connecting", None], ["open", None]]
        again = "await conversation.start().catch(() => {});\n"  # with `source` this time
        page = load(app + again, bundled=True)
        page.wait_for_function("() => shown.length === 2")
        assert page.evaluate("shown") == [["connecting", None], ["open", None]]


def test_refusals_are_shown_by_the_callable_sdk(
    load: Callable[..., Page], signing: SigningProxy, shared: Stack
) -> None:
    source, callable_sdk = snippets("Firebase for the web", "js")
    with shared.running(policy("required"), ALLOWED_ORIGINS="*") as started:
        firebase = filled(FIREBASE, app_check="no token", emulator=signing.url)
        app = filled(APP, url=started.function.url) + firebase + source + CONVERSATION
        page = load(app + callable_sdk, bundled=True)
        page.wait_for_function("() => shown.length === 1")
        assert page.evaluate("shown") == [["functions/unauthenticated", "APP_CHECK_FAILED", None]]


def run_python(code: str, function: Stack, tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(code)
    subprocess.run(
        [sys.executable, "-W", "ignore", script],
        env={**os.environ, "GOOGLE_GEMINI_BASE_URL": function.gemini_url},
        check=True,
        timeout=30,
    )


def test_python_resumes_over_connections(
    livetoken: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (python,) = snippets("Python", "python")
    issuer, behaviour = livetoken.issuer, livetoken.gemini.behaviour
    monkeypatch.setattr(behaviour, "go_away_before", behaviour.connection_life)
    before = len(livetoken.gemini.sessions)
    given = f"""
LIVETOKEN_URL, heard = {livetoken.function.url!r}, []
play = heard.append
def id_token(refresh):
    return {issuer.id_token("ada")!r} if refresh else {issuer.id_token("ada", exp=1)!r}
"""
    then = "\nasyncio.run(converse(['one', 'two', 'three']))\nassert any(heard)\n"
    run_python(given + python + then, livetoken, tmp_path)
    first, *later = livetoken.gemini.sessions[before:]
    assert not first.resumed
    assert later
    assert all(session.resumed for session in later)


def test_google_genai_without_livetoken_js(load: Callable[..., Page], anywhere: Stack) -> None:
    _, by_hand = snippets("@google/genai", "js")
    user = filled(USER, id_token=anywhere.issuer.id_token("ada"))
    gemini = json.dumps(anywhere.gemini_plain_url)
    base = f"""
import {{ GoogleGenAI, setDefaultBaseUrls }} from "@google/genai";
setDefaultBaseUrls({{ geminiUrl: {gemini} }});
const explain = show;
"""
    page = load(base + filled(APP, url=anywhere.function.url) + user + by_hand, bundled=True)
    page.wait_for_function("() => heard.some(({ data }) => data)")


def test_the_readmes_client(load: Callable[..., Page], anywhere: Stack) -> None:
    livetoken_js, *_ = code((ROOT / "README.md").read_text(), "js")
    user = filled(USER, id_token=anywhere.issuer.id_token("ada"))
    module = 'import { Conversation } from "./livetoken.js";\nconst data = "AAAA";\n'
    page = load(module + filled(APP, url=anywhere.function.url) + user + livetoken_js)
    page.wait_for_function("() => shown.length === 2")
    sent = {"audio": {"data": "AAAA", "mimeType": "audio/pcm;rate=16000"}}
    until(lambda: anywhere.gemini.sessions[-1].messages == [{"realtimeInput": sent}])
