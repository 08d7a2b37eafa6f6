"""The corpus of raw requests through a real nginx: nobody gets what another caller asked for."""

import hashlib
import time
from contextlib import suppress
from pathlib import Path

import pytest
from asking import function_of
from nginx import SETTINGS, nginx
from raw_client import Wire, said
from raw_parts import SHORT, sized
from raw_requests import REQUESTS
from stack import POLICY, Stack, until

function = function_of(POLICY)
PAST_THE_HEAD = ("body", "type and encoding")  # nginx passes these on as they are


def attack(stack: Stack, port: int, data: bytes) -> None:
    """Send an input, its head first, and wait for an answer; nginx may have none."""
    token = stack.issuer.id_token("ada", sub="attacker").encode()
    with suppress(TimeoutError, AssertionError, ValueError), Wire(port, 1) as wire:
        head, end, body = data.replace(b"<token>", token).partition(b"\r\n\r\n")
        wire.send(head + end)
        if body:
            time.sleep(0.02)  # so that the body comes while the function mints
            wire.send(body)
        wire.answer()


def token_of(stack: Stack, port: int, sub: str) -> str:
    """Return the name of a caller's token, for the profile `short`."""
    token = stack.issuer.id_token("ada", sub=sub).encode()
    with Wire(port) as wire:
        wire.send(sized(SHORT).replace(b"<token>", token))
        answer = wire.answer()
    assert said(answer) == "short"
    assert answer is not None
    return str(answer.json["name"])


@pytest.mark.parametrize("settings", SETTINGS)
def test_each_caller_behind_nginx_gets_the_own_answer(
    function: Stack, settings: str, tmp_path: Path
) -> None:
    lines = len(function.log())
    function.gemini.behaviour.delay = 0.05
    tokens: dict[str, str] = {}
    with nginx(function, tmp_path, SETTINGS[settings]) as proxy:
        for number, raw in enumerate(raw for raw in REQUESTS if raw.family not in PAST_THE_HEAD):
            attack(function, proxy.port, raw.data)
            victim = f"victim-{number}"
            name = token_of(function, proxy.port, victim)
            tokens[hashlib.sha256(name.encode()).hexdigest()] = victim
        decisions = function.log()[lines:]
        # One decision for each request that nginx forwarded; it logs a little after it answers.
        until(lambda: len(decisions) <= len(proxy.forwarded()))
    assert [status for status in proxy.forwarded() if status >= "500"] == []
    owners = {line["token_sha256"]: line["sub"] for line in decisions if "token_sha256" in line}
    assert {token: owners.get(token) for token in tokens} == tokens
