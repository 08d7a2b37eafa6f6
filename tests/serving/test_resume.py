"""`resume`: a session goes on after its connection has ended; the token decides which session."""

import asyncio
import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asking import function_of, profile, refused, socket_url
from google.genai import errors, types
from policies import HEAD, compiled
from stack import Stack, until
from stand_in import message
from websockets.sync.client import connect

from emulator.client import Heard, converse
from emulator.state import Conversation
from livetoken.caller import Caller
from livetoken.constraint import constrain
from livetoken.refusals import Reason
from livetoken.request import TokenRequest


def tutor(name: str, left: list[str], resumption: str = "session_resumption = {}") -> str:
    return profile(
        name,
        f"client_may_set = {left}\nclaims.level.max_length = 20",
        'system_instruction = "You tutor a learner of level ${claim.level}."\n'
        f"temperature = 0.7\noutput_audio_transcription = {{}}\n{resumption}",
    )


POLICY = HEAD + tutor("default", []) + tutor("tools", ["tools"])
POLICY += tutor("left", ["session_resumption"], "") + tutor("none", [], "")

LEFT_OPEN = {"default": (), "tools": ("tools",), "left": ("sessionResumption",), "none": ()}
"""By profile: the fields of the setup that it leaves to the client."""

PINNING = pytest.mark.parametrize("profile", ["default", "tools"])
"""The profiles that lock resumption: one locks everything, one has a mask."""

SWITCHED = pytest.mark.usefixtures("client_handle")

NASTY = {
    "a quote": '"',
    "a backslash": "\\",
    "a backslash and a quote": '\\"',
    "an escaped quote": "\\u0022",
    "the rest of a body": '"}},"uses":0,"fieldMask":"model","newSessionExpireTime":"',
    "a hole": "${claim.level}",
    "a literal hole": "$${claim.level}",
    "placeholders": "%s {0} {resume} \\1 \\g<0>",
    "unicode": "é 日本 \U0001f388",
    "separators of lines": "\u2028\u2029",
    "a change of direction": "\u202e",
    "a byte order mark": "\ufeff",
    "a space": " ",
    "a number": "0",
    "a null": "null",
    "markup": "</script><!--",
}


started = function_of(POLICY)


@pytest.fixture
def livetoken(started: Stack) -> Iterator[Stack]:
    """The function of this file; the stand-in for Gemini is reset."""
    behaviour = started.gemini.behaviour
    before = dict(vars(behaviour))
    yield started
    vars(behaviour).update(before)
    behaviour.faults.clear()


@pytest.fixture(params=[False, True])
def client_handle(request: pytest.FixtureRequest, livetoken: Stack) -> bool:
    """Whether Gemini accepts a client's handle under a full lock: unknown, so both are tested."""
    accepted: bool = request.param
    livetoken.gemini.behaviour.client_handle_under_full_lock = accepted
    return accepted


def mint(livetoken: Stack, profile: str = "default", resume: str | None = None) -> Any:
    """One token of a profile, with or without a handle pinned in it."""
    gemini = livetoken.gemini
    gemini.mints.clear()
    gemini.left_open = LEFT_OPEN[profile]
    body = {"profile": profile} if resume is None else {"profile": profile, "resume": resume}
    answer = livetoken.ask(json.dumps(body, ensure_ascii=False).encode())
    assert answer.status == 200, answer.body
    assert len(gemini.minted()) == 1
    return answer.json


def request(livetoken: Stack) -> dict[str, Any]:
    """The last request to Gemini, without its times."""
    body = livetoken.gemini.minted()[-1].body
    return {name: value for name, value in body.items() if not name.endswith("Time")}


def talk(livetoken: Stack, answer: Any, text: str, handle: str | None = None) -> Heard:
    """One session with the SDK, and its end; `handle` is the client's own."""
    resumption = types.SessionResumptionConfig(handle=handle)
    audio = [types.Modality.AUDIO]
    config = types.LiveConnectConfig(response_modalities=audio, session_resumption=resumption)
    heard = asyncio.run(converse(answer, text, config=config))
    until(lambda: livetoken.gemini.sessions[-1].closed is not None)
    return heard


def closed(livetoken: Stack, answer: Any, handle: str | None = None) -> int:
    """The code with which the SDK is refused a session."""
    before = len(livetoken.gemini.sessions)
    with pytest.raises(errors.APIError) as refusal:
        talk(livetoken, answer, "refused", handle)
    assert len(livetoken.gemini.sessions) == before
    return int(refusal.value.code)


def begin(livetoken: Stack, profile: str = "default") -> str:
    """The handle of a session of one turn, which has ended."""
    heard = talk(livetoken, mint(livetoken, profile), "one")
    assert heard.transcript == "I heard: one (turn 1)"
    assert heard.handle
    return heard.handle


# ------------------------------------------------------------------ a session goes on


@SWITCHED
@PINNING
def test_a_locked_session_goes_on_with_a_fresh_token(livetoken: Stack, profile: str) -> None:
    first = mint(livetoken, profile)
    heard = talk(livetoken, first, "one")
    for turn, text in ((2, "two"), (3, "three")):
        fresh = mint(livetoken, profile, heard.handle)
        assert fresh["name"] != first["name"]
        heard = talk(livetoken, fresh, text)
        assert heard.transcript == f"I heard: {text} (turn {turn})"
    assert talk(livetoken, mint(livetoken, profile), "else").transcript == "I heard: else (turn 1)"


@SWITCHED
def test_a_session_goes_on_with_the_same_token_if_the_client_may_set_the_handle(
    livetoken: Stack,
) -> None:
    token = mint(livetoken, "left")
    heard = talk(livetoken, token, "one")
    for turn, text in ((2, "two"), (3, "three")):
        heard = talk(livetoken, token, text, heard.handle)
        assert heard.transcript == f"I heard: {text} (turn {turn})"
    assert closed(livetoken, token) == 1011, "it starts no second session"


def test_a_clients_own_handle_under_a_full_lock_changes_nothing_else(
    livetoken: Stack, client_handle: bool
) -> None:
    """What Gemini does is unknown; either way the rest of the setup is the policy's."""
    spent = mint(livetoken)
    setup = livetoken.gemini.minted()[-1].body["bidiGenerateContentSetup"]
    handle = talk(livetoken, spent, "one").handle
    if client_handle:
        assert talk(livetoken, spent, "two", handle).transcript == "I heard: two (turn 2)"
        setup = {**setup, "sessionResumption": {"handle": handle}}
    else:
        assert closed(livetoken, spent, handle) == 1011, "it would be a second session"
        unspent = mint(livetoken)
        assert talk(livetoken, unspent, "two", handle).transcript == "I heard: two (turn 1)"
    assert livetoken.gemini.sessions[-1].setup == setup


@SWITCHED
def test_a_clients_own_handle_is_ignored_if_a_mask_locks_resumption(livetoken: Stack) -> None:
    handle = begin(livetoken, "tools")
    token = mint(livetoken, "tools")
    assert talk(livetoken, token, "two", handle).transcript == "I heard: two (turn 1)"
    assert closed(livetoken, token, handle) == 1011


def test_without_resumption_no_handle_is_given_or_taken(livetoken: Stack) -> None:
    handle = begin(livetoken)
    heard = talk(livetoken, mint(livetoken, "none"), "two", handle)
    assert (heard.transcript, heard.handle) == ("I heard: two (turn 1)", None)


def test_a_callable_client_resumes_too(livetoken: Stack) -> None:
    handle = begin(livetoken)
    answer = livetoken.ask({"data": {"resume": handle}}).json["result"]
    assert talk(livetoken, answer, "two").transcript == "I heard: two (turn 2)"


@pytest.mark.parametrize("profile", ["default", "left"])
def test_a_session_goes_on_after_the_time_to_start_and_until_the_token_ends(
    livetoken: Stack, profile: str
) -> None:
    unstarted, token = mint(livetoken, profile), mint(livetoken, profile)
    handle = talk(livetoken, token, "one").handle
    if profile == "default":
        token = mint(livetoken, profile, handle)
    for minutes in (2, 29):
        with livetoken.clock.ahead(timedelta(minutes=minutes)):
            assert closed(livetoken, unstarted) == 1011
            heard = talk(livetoken, token, "later", handle)
            assert heard.transcript == "I heard: later (turn 2)"
    with livetoken.clock.ahead(timedelta(minutes=30)):
        assert closed(livetoken, token, handle) == 1011


# ------------------------------------------------------------------ and no other session does


@SWITCHED
@PINNING
def test_the_pinned_handle_wins_over_a_clients_own(livetoken: Stack, profile: str) -> None:
    own = begin(livetoken, profile)
    victim = Conversation(turns=["a secret", "another"])
    theirs = livetoken.gemini.state.issue_handle(victim)
    token = mint(livetoken, profile, own)
    assert talk(livetoken, token, "two", theirs).transcript == "I heard: two (turn 2)"
    session = livetoken.gemini.sessions[-1]
    assert (session.setup["sessionResumption"], session.resumed) == ({"handle": own}, True)
    assert victim.turns == ["a secret", "another"]


@SWITCHED
@PINNING
def test_a_resuming_token_works_again_only_for_its_own_session(
    livetoken: Stack, profile: str
) -> None:
    """Gemini does not count resuming as a use, so the handle limits the token to one session."""
    token = mint(livetoken, profile, begin(livetoken, profile))
    newer = talk(livetoken, token, "two").handle
    assert newer is not None
    assert talk(livetoken, token, "else", newer).transcript == "I heard: else (turn 2)"
    with connect(socket_url(livetoken, token)) as socket:
        socket.send(json.dumps({"setup": {"model": token["model"]}}))
        assert message(socket) == {"setupComplete": {}}
        assert closed(livetoken, token) == 1011, "one connection at a time"


@SWITCHED
@PINNING
def test_a_token_pinned_to_a_dead_handle_opens_nothing(livetoken: Stack, profile: str) -> None:
    live, old = begin(livetoken, profile), begin(livetoken, profile)
    for dead in ("never given", old):
        token = mint(livetoken, profile, dead)
        if dead == old:
            livetoken.gemini.behaviour.handle_life = 0
        assert closed(livetoken, token) == 1008
        assert closed(livetoken, token, live) == 1008
    token = mint(livetoken, profile)
    assert talk(livetoken, token, "anew").transcript == "I heard: anew (turn 1)"


# ------------------------------------------------------------------ the request to Gemini


@pytest.mark.parametrize("handle", ["a-handle_01", *NASTY.values()], ids=["plain", *NASTY])
@PINNING
def test_a_handle_adds_one_string_to_the_policys_request(
    livetoken: Stack, profile: str, handle: str
) -> None:
    mint(livetoken, profile)
    unpinned = request(livetoken)
    setup = unpinned["bidiGenerateContentSetup"]
    assert setup["systemInstruction"]["parts"] == [{"text": "You tutor a learner of level B1."}]
    assert setup["sessionResumption"] == {}
    mint(livetoken, profile, handle)
    setup["sessionResumption"] = {"handle": handle}
    assert request(livetoken) == unpinned


def test_a_callers_handle_is_not_in_the_next_callers_token(livetoken: Stack) -> None:
    mint(livetoken)
    unpinned = request(livetoken)
    mint(livetoken, resume="a handle")
    mint(livetoken)
    assert request(livetoken) == unpinned


# ------------------------------------------------------------------ what is not a handle


def refusal(livetoken: Stack, body: dict[str, Any]) -> str:
    """Ask, assert INVALID_REQUEST and no mint, return the detail in the log."""
    data = json.dumps(body, ensure_ascii=False).encode()
    return str(refused(livetoken, Reason.INVALID_REQUEST, data)["detail"])


@pytest.mark.parametrize("character", ["a", "\u00e9\U0001f388" + "a" * 30])
def test_a_handle_has_at_most_4096_characters(livetoken: Stack, character: str) -> None:
    handle = (character * 4096)[:4096]
    mint(livetoken, resume=handle)
    setup = livetoken.gemini.minted()[-1].body["bidiGenerateContentSetup"]
    assert setup["sessionResumption"] == {"handle": handle}
    assert refusal(livetoken, {"resume": handle + "a"}) == "NOT_A_HANDLE"


@pytest.mark.parametrize("profile", ["none", "left"])
@pytest.mark.parametrize("is_callable", [False, True])
def test_a_handle_is_refused_if_the_policy_does_not_set_resumption(
    livetoken: Stack, profile: str, is_callable: bool
) -> None:
    ask = {"profile": profile, "resume": "a handle"}
    assert refusal(livetoken, {"data": ask} if is_callable else ask) == "NO_RESUMPTION"


# ------------------------------------------------------------------ the log


def test_no_handle_is_in_the_log(livetoken: Stack) -> None:
    handle = "secret-handle-of-somebody"
    lines = len(livetoken.log())
    mint(livetoken, resume=handle)
    assert livetoken.ask({"profile": "left", "resume": handle}).status == 400
    assert livetoken.ask({"resume": handle + "\n"}).status == 400
    assert livetoken.ask({"resume": handle * 200}).status == 400
    assert livetoken.ask({"profile": handle, "resume": handle}).status == 404
    livetoken.gemini.behaviour.faults.extend([400, 500, "html"])
    for _ in range(3):
        assert livetoken.ask({"resume": handle}).status >= 500
    until(lambda: len(livetoken.log()) == lines + 8)
    assert "secret-handle" not in livetoken.function.output()


def test_the_policys_other_resumption_fields_stay() -> None:
    """The Developer API has no such field today, so one is made up."""
    made = compiled(POLICY).profiles["default"]
    body: Any = deepcopy(made.body)
    body["bidiGenerateContentSetup"]["sessionResumption"] = {"made_up": 1}
    caller = Caller("issuer", "ada", False, {"level": "B1"}, None)
    constraint = constrain(replace(made, body=body), caller, TokenRequest(resume="a handle"), None)
    sent = json.loads(constraint.request("2030-01-01T00:30:00Z", "2030-01-01T00:01:00Z"))
    resumption = sent["bidiGenerateContentSetup"]["sessionResumption"]
    assert resumption == {"made_up": 1, "handle": "a handle"}
