"""The JavaScript of docs/clients.md and of the README works, exactly as it is printed there."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from firebase_policy import policy
from playwright.sync_api import Browser, Page
from signing_proxy import SigningProxy
from snippets import code, snippets
from stack import Stack, until
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clients import HERE, node_22
from emulator.function import ROOT
from emulator.page_app import CLIENT
from emulator.server import Server

GEMINI = "wss://generativelanguage.googleapis.com"

# The app around a snippet; the test reads `heard` and `shown`.
APP = """
globalThis.heard = [];
globalThis.shown = [];
const LIVETOKEN_URL = {url};
const play = (sound) => heard.push(sound);
const show = (...what) => shown.push(what);
"""
USER = """
const auth = {{
  authStateReady: async () => {{}},
  currentUser: {{ getIdToken: async () => {id_token} }},
}};
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
"""
SIGN_IN = """
const google = { sub: "109700000000000000004", email: "mary@example.com", email_verified: true };
await signInWithCredential(authOf(app), GoogleAuthProvider.credential(JSON.stringify(google)));
"""
CONVERSATION = """
const onstate = (state, error) => shown.push([state, error?.reason]);
const conversation = new Conversation(source, { onmessage: () => {}, onstate });
"""


def filled(template: str, **values: str) -> str:
    """A template filled with JavaScript strings."""
    return template.format(**{name: json.dumps(value) for name, value in values.items()})


def write_page(folder: Path, script: str) -> None:
    """Write a page with a script and two buttons, and the files that an app copies."""
    for file in CLIENT.glob("*.js"):
        shutil.copy(file, folder)
    (folder / "app.js").write_text(script)
    buttons = "".join(
        f'<button id="{name.lower()}Button">{name}</button>' for name in ("Talk", "Stop")
    )
    module = '<script type="module" src="app.js"></script>'
    (folder / "index.html").write_text("<!doctype html>" + buttons + module)


@pytest.fixture
def anywhere(alone: Stack) -> Iterator[Stack]:
    """A function that allows any origin, with a Gemini that does not use TLS."""
    plain = alone.gemini_plain_url
    with alone.running(ALLOWED_ORIGINS="*", GOOGLE_GEMINI_BASE_URL=plain) as started:
        yield started


@pytest.fixture
def load(chromium: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Loads a page with a script in a folder with the files that an app copies."""
    with (
        Server(StaticFiles(directory=tmp_path, html=True)) as server,
        chromium.new_context(permissions=["microphone"]) as context,
    ):

        def loaded(script: str, *, bundled: bool = False) -> Page:
            write_page(tmp_path, script)
            if bundled:
                how = ["--bundle", "--format=esm", "--outfile=app.js", "--allow-overwrite"]
                subprocess.run(
                    [HERE / "node_modules/.bin/esbuild", "app.js", *how, "--log-level=warning"],
                    cwd=tmp_path,
                    env={**os.environ, "NODE_PATH": str(HERE / "node_modules")},
                    check=True,
                )
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.goto(server.url)
            return page

        yield loaded


def web_page(function: Stack) -> str:
    """The app of a web page."""
    snippet, _ = snippets("A web page", "js")
    user = filled(USER, id_token=function.issuer.id_token("ada")).replace("const source", "const _")
    return filled(APP, url=function.function.url) + user + snippet


def test_a_web_page(load: Callable[..., Page], anywhere: Stack) -> None:
    page = load(web_page(anywhere))
    page.get_by_role("button", name="Talk").click()
    page.wait_for_function("() => shown.some(([state]) => state === 'open')")
    (session,) = anywhere.gemini.sessions
    until(lambda: any("realtimeInput" in message for message in session.messages))
    page.get_by_role("button", name="Stop").click()
    page.wait_for_function("() => shown.at(-1)[0] === 'closed'")
    until(lambda: session.closed == 1000)


def test_no_session_opens_if_the_microphone_is_refused(
    load: Callable[..., Page], anywhere: Stack
) -> None:
    page = load(web_page(anywhere))
    page.context.clear_permissions()
    page.get_by_role("button", name="Talk").click()
    page.wait_for_function("() => shown.length === 2")
    assert page.evaluate("shown") == [["closed", None], ["failed", "NotAllowedError"]]
    assert page.get_by_role("button", name="Talk").is_enabled()
    assert anywhere.gemini.minted() == []


def test_a_web_page_built_by_vite_under_a_content_security_policy(
    chromium: Browser, anywhere: Stack, tmp_path: Path
) -> None:
    _, config = snippets("A web page", "js")
    (tmp_path / "vite.config.js").write_text(config)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    write_page(tmp_path, web_page(anywhere))
    vite = HERE / "node_modules/vite/bin/vite.js"
    subprocess.run([node_22(), vite, "build", "--logLevel=warn"], cwd=tmp_path, check=True)

    function, gemini = anywhere.function.url, anywhere.gemini_plain_url.replace("http", "ws")
    (directives,) = snippets("A web page", "csp")
    allowed = directives.replace("https://livetoken.example.com", function).replace(GEMINI, gemini)
    with (
        Server(guarded(StaticFiles(directory=tmp_path / "dist", html=True), allowed)) as server,
        chromium.new_context(permissions=["microphone"]) as context,
    ):
        page = context.new_page()
        page.goto(server.url)
        page.get_by_role("button", name="Talk").click()
        sessions = anywhere.gemini.sessions
        until(lambda: page.evaluate("shown") and any(session.messages for session in sessions))


def guarded(app: ASGIApp, policy: str) -> ASGIApp:
    """An app that sends a Content-Security-Policy."""

    async def guarding(scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"content-security-policy", policy.strip().encode()))
            await send(message)

        await app(scope, receive, with_policy)

    return guarding


def test_google_genai(load: Callable[..., Page], anywhere: Stack) -> None:
    (over_livetoken_js,) = snippets("@google/genai", "js")
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
        page = load(app.replace(source, SIGN_IN + source) + callable_sdk, bundled=True)
        page.wait_for_function("() => shown.length === 2")
        assert page.evaluate("shown") == [["connecting", None], ["open", None]]
        # The user is still signed in, which the SDK knows a moment after it has loaded.
        again = "await conversation.start().catch(() => {});\n"
        page = load(app + again, bundled=True)
        page.wait_for_function("() => shown.length === 2")
        assert page.evaluate("shown") == [["connecting", None], ["open", None]]


def test_refusals_are_shown_by_the_callable_sdk(
    load: Callable[..., Page], signing: SigningProxy, shared: Stack
) -> None:
    source, callable_sdk = snippets("Firebase for the web", "js")
    with shared.running(policy("required"), ALLOWED_ORIGINS="*") as started:
        firebase = filled(FIREBASE, app_check="no token", emulator=signing.url)
        app = filled(APP, url=started.function.url) + firebase + SIGN_IN + source + CONVERSATION
        page = load(app + callable_sdk, bundled=True)
        page.wait_for_function("() => shown.length === 1")
        assert page.evaluate("shown") == [["functions/unauthenticated", "APP_CHECK_FAILED", None]]


def test_the_readmes_client(load: Callable[..., Page], anywhere: Stack) -> None:
    livetoken_js, *_ = code((ROOT / "README.md").read_text(), "js")
    user = filled(USER, id_token=anywhere.issuer.id_token("ada"))
    module = 'import { Conversation } from "./livetoken.js";\nconst data = "AAAA";\n'
    page = load(module + filled(APP, url=anywhere.function.url) + user + livetoken_js)
    page.wait_for_function("() => shown.length === 2")
    sent = {"audio": {"data": "AAAA", "mimeType": "audio/pcm;rate=16000"}}
    until(lambda: anywhere.gemini.sessions[-1].messages == [{"realtimeInput": sent}])
