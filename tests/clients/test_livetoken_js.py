"""livetoken.js, which apps copy, in Chromium."""

from typing import Any

import pytest
from livetoken_app import App, an_app, expired
from playwright.sync_api import Browser
from stack import Stack, until

from livetoken.refusals import Reason

# --- a token ---


def test_an_expired_id_token_is_renewed(app: App) -> None:
    answer = app.get(idTokens=[expired(app.around), app.around.issuer.id_token("ada")])
    assert answer["name"].startswith("auth_tokens/")
    assert app.asked["idToken"] == [False, True]


def test_an_id_token_is_renewed_only_once(app: App) -> None:
    answer = app.get(idTokens=[expired(app.around)])
    assert answer["error"]["reason"] == "ID_TOKEN_EXPIRED"
    assert answer["error"]["retryable"] is False
    assert app.asked["idToken"] == [False, True]


def test_a_used_app_check_token_is_renewed(chromium: Browser, alone: Stack) -> None:
    with an_app(chromium, alone, app_check="consume") as app:
        once, fresh = alone.app_check.token(), alone.app_check.token()
        assert "name" in app.get(appCheckTokens=[once])
        assert "name" in app.get(appCheckTokens=[once, fresh])
        assert app.asked["appCheckToken"] == [False, True]
        assert app.asked["idToken"] == [False, False], "a valid token is not renewed"


def test_both_tokens_can_expire_at_the_same_time(chromium: Browser, alone: Stack) -> None:
    with an_app(chromium, alone, app_check="required") as app:
        answer = app.get(
            idTokens=[expired(alone), alone.issuer.id_token("ada")],
            appCheckTokens=[alone.app_check.token(exp=1), alone.app_check.token()],
        )
        assert "name" in answer
        assert app.asked == {
            "idToken": [False, True, True],
            "appCheckToken": [False, False, True],
        }


def test_without_an_app_check_token_nothing_is_renewed(chromium: Browser, alone: Stack) -> None:
    with an_app(chromium, alone, app_check="required") as app:
        assert app.get()["error"]["reason"] == "APP_CHECK_FAILED"
        assert app.asked["idToken"] == [False]


TRACED = """async ([url, idToken, headers]) => {
    const untraced = window.fetch;
    window.fetch = (url, options) => {
        const sent = new Headers(options.headers);
        for (const [name, value] of Object.entries(headers)) sent.set(name, value);
        return untraced(url, { ...options, headers: sent });
    };
    const { getToken } = await import("/clients/web/livetoken.js");
    const source = { url, idToken: async () => idToken, appCheckToken: async () => "app-check" };
    return getToken(source).then(({ name }) => name, ({ reason }) => reason);
}"""
"""Gets a token while fetch is wrapped, as Sentry and OpenTelemetry do, to add headers."""


def test_headers_that_tracing_adds_do_not_stop_a_request(app: App) -> None:
    """Without routes: if a page has one, Playwright answers preflights instead of the function."""
    page, given = app.page.context.new_page(), app.given()
    page.goto(app.page.url)

    def get(**headers: str) -> str:
        found: str = page.evaluate(TRACED, [given["url"], given["idTokens"][0], headers])
        return found

    span = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
    tracing = {"sentry-trace": f"{span}-1", "traceparent": f"00-{span}-01", "tracestate": "v=1"}
    assert get(baggage="sentry-environment=production", **tracing).startswith("auth_tokens/")
    assert get(other="1") == "UNREACHABLE"


def test_an_error_has_all_fields_of_the_answer(chromium: Browser, alone: Stack) -> None:
    with an_app(chromium, alone, limit="1/hour") as app:
        app.get()
        error = app.get()["error"]
        wait = error.pop("retryAfterSeconds")
        assert 3000 < wait <= 3601
        meaning = Reason.LIMIT_REACHED.value
        assert error == {
            "name": "LivetokenError",
            "reason": "LIMIT_REACHED",
            "code": meaning.code,
            "retryable": meaning.retryable,
        }


@pytest.mark.parametrize(
    ("status", "body"), [(502, "<html>Bad Gateway</html>"), (200, "{}"), (403, '{"error": {}}')]
)
def test_an_answer_of_another_server_is_unreachable(app: App, status: int, body: str) -> None:
    headers = {"Access-Control-Allow-Origin": "*"}
    app.page.route(
        "**/elsewhere", lambda route: route.fulfill(status=status, headers=headers, body=body)
    )
    error = app.get(url=f"{app.around.function.url}/elsewhere")["error"]
    assert (error["reason"], error["code"], error["retryable"]) == ("UNREACHABLE", status, True)


def test_no_answer_is_unreachable(app: App) -> None:
    app.page.route("**/nowhere", lambda route: route.abort())
    error = app.get(url=f"{app.around.function.url}/nowhere")["error"]
    assert (error["reason"], error["retryable"]) == ("UNREACHABLE", True)


# --- a conversation ---


def test_a_lost_connection_is_resumed(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.cut()
    app.say("two")
    app.hears("I heard: two (turn 2)")
    assert app.states == ["connecting", "open", "resuming", "open"]
    assert app.asked["idToken"] == [False, False]
    tokens = {mint.token for mint in app.around.gemini.minted()}
    assert len(tokens) == 2, "each connection has its own token"


def voice(setup: dict[str, Any]) -> Any:
    """The voice of a session."""
    speech = setup["generationConfig"]["speechConfig"]["voiceConfig"]
    return speech["prebuiltVoiceConfig"]["voiceName"]


def test_a_choice_is_made_again_when_the_session_resumes(app: App) -> None:
    app.talks(choices={"voice": "Puck"})
    app.is_told("one")
    app.cut()
    app.is_told("two")
    sessions = app.around.gemini.sessions[-2:]
    assert [voice(session.setup) for session in sessions] == ["Puck", "Puck"]
    assert "name" in app.get()
    setup = app.around.gemini.minted()[-1].body["bidiGenerateContentSetup"]
    speech = setup["generationConfig"]["speechConfig"]["voice_config"]
    assert speech["prebuilt_voice_config"]["voice_name"] == "Kore"
    refused = app.get(choices={"voice": "Leda"})["error"]
    assert (refused["reason"], refused["retryable"]) == ("INVALID_REQUEST", False)


def test_it_resumes_before_its_token_expires(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.page.clock.fast_forward("28:50")
    assert app.states == ["connecting", "open"]
    app.page.clock.fast_forward("00:15")
    app.page.wait_for_function("() => seen.states.length === 4")
    assert app.states == ["connecting", "open", "resuming", "open"]
    app.say("two")
    app.hears("I heard: two (turn 2)")


def test_a_refused_renewal_keeps_the_connection(chromium: Browser, alone: Stack) -> None:
    with an_app(chromium, alone, limit="1/hour") as app:
        app.talks()
        app.is_told("one")
        app.page.clock.fast_forward("29:40")
        app.page.wait_for_function("() => seen.states.length === 4")
        assert app.states == ["connecting", "open", "resuming", "open"]
        app.say("two")
        app.hears("I heard: two (turn 2)")
        assert len(alone.gemini.sessions) == 1
        app.cut()
        app.is_in("closed: LIMIT_REACHED")


def test_it_gives_up_a_socket_that_never_opens(app: App) -> None:
    app.page.route_web_socket("**/*", lambda socket: None)
    app.page.evaluate("(given) => void talk(given).catch(() => {})", app.given())
    until(lambda: app.around.gemini.minted())
    app.comes_to("closed")
    assert app.states == ["connecting", "closed: SESSION_REFUSED"]


def test_an_exception_in_the_app_stops_nothing(app: App) -> None:
    mistakes: list[str] = []
    app.page.on("pageerror", lambda error: mistakes.append(str(error)))
    app.talks()
    app.page.evaluate("() => { seen.states.push = (state) => { throw Error(state); }; }")
    app.is_told("one")
    app.cut()
    app.say("two")
    app.hears("I heard: two (turn 2)")
    assert mistakes == ["resuming", "open"]


def test_it_resumes_after_an_outage_of_livetoken(app: App) -> None:
    app.talks()
    app.is_told("one")
    app.around.gemini.behaviour.faults.extend([500, 503, 503, 503, 503, 503])
    app.cut()
    app.is_in("resuming")
    app.page.wait_for_function("() => asked.idToken.length >= 2")
    app.comes_to("open")
    app.say("two")
    app.hears("I heard: two (turn 2)")
    assert len(app.asked["idToken"]) > 2


def test_closing_while_connecting_leaves_no_session(app: App) -> None:
    app.page.evaluate("(given) => talk(given, { start: false })", app.given())
    app.page.evaluate(
        "async () => { const it = seen.conversation.start(); seen.conversation.close(); await it; }"
    )
    assert app.states == ["connecting", "closed"]
    assert [session.closed for session in app.around.gemini.sessions] in ([], [1000], [1005])


def test_closing_while_a_socket_does_not_open_closes_once(app: App) -> None:
    app.page.route_web_socket("**/*", lambda socket: None)
    app.page.evaluate("(given) => void talk(given)", app.given())
    until(lambda: app.around.gemini.minted())
    app.page.evaluate("seen.conversation.close()")
    assert app.states == ["connecting", "closed"]


def test_a_closed_conversation_accepts_no_calls(app: App) -> None:
    app.talks()
    app.page.evaluate("seen.conversation.close()")
    assert app.states[-1] == "closed"
    for call in ("say('two')", "seen.conversation.start()"):
        with pytest.raises(Exception, match=r"The conversation is closed|start only once"):
            app.page.evaluate(call)


def test_a_used_token_is_refused(app: App) -> None:
    app.talks()
    message = app.page.evaluate(
        """async (given) => {
          const { token } = seen.conversation;
          await talk(given, { start: false });
          return seen.conversation.start(token).catch(({ reason, code }) => [reason, code]);
        }""",
        app.given(),
    )
    assert message == ["SESSION_REFUSED", 1011]
    assert app.states == ["connecting", "closed: SESSION_REFUSED"]
