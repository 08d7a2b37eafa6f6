"""Each token of the corpus gets the contract's answer, and good callers are served afterwards."""

from collections.abc import Callable, Iterator

import pytest
from forge import Attack, Forge
from stack import POLICY, Stack, stack
from tokens import TOKENS

from emulator.tls import Certificate


@pytest.fixture(scope="module")
def attacked(certificate: Certificate) -> Iterator[Stack]:
    """A function that all attacks share. At the end it must still serve a good caller."""
    with stack(certificate) as unstarted, unstarted.running(POLICY) as started:
        yield started
        assert started.ask().status == 200
        assert '"severity": "ERROR"' not in started.function.output()


@pytest.mark.parametrize("attack", TOKENS, ids=lambda attack: f"{attack.family}: {attack.name}")
def test_a_token_gets_the_contracts_answer(
    attacked: Stack, attack: Attack, record_property: Callable[[str, object], None]
) -> None:
    mints, lines = len(attacked.gemini.mints), len(attacked.log())
    token = attack.make(Forge(attacked.issuer, attacked.app_check))
    answer = attacked.ask(token=token)
    line = attacked.logged(lines + 1)
    record_property("family", attack.family)
    said = line.get("detail") or line.get("reason") or ""
    record_property("answer", f"{answer.status} {said}".strip())
    assert line.get("detail") == (attack.detail and attack.detail.name)
    assert answer.status == attack.status
    if attack.reason:
        assert answer.is_refusal(attack.reason)
    else:
        answer.is_never_stored()
    assert len(attacked.gemini.minted()) == mints + (attack.reason is None)
    longest = max(token.split("."), key=len)
    assert len(longest) < 30 or longest not in attacked.function.output()


def test_the_corpus_is_large_and_each_name_is_used_once() -> None:
    names = [(attack.family, attack.name) for attack in TOKENS]
    assert len(names) == len(set(names)) >= 90
    assert all(attack.source for attack in TOKENS)
