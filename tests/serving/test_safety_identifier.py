"""`safety_identifier`: Gemini gets a hash of the caller that cannot be traced without the key."""

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from asking import ENVIRONMENT, function_of, profile, socket_url, wrong_variables
from policies import HEAD, SMALLEST, Check, compiled, policy
from stack import Stack, stack
from stand_in import message
from websockets.sync.client import connect

from emulator.tls import Certificate
from livetoken import lock
from livetoken.cli.main import main
from livetoken.policy import Policy
from livetoken.settings import Settings

KEY = "0123456789abcdef" * 4
CALLERS = "[callers]\nsafety_identifier = true\nallow_anonymous = true\n"
POLICY = (
    HEAD
    + CALLERS
    + profile("default", config="session_resumption = {}")
    + profile("labelled", config='labels = { team = "a" }')
    + profile("open", 'client_may_set = ["tools"]')
)
IDENTIFYING = policy(callers="safety_identifier = true")

livetoken = function_of(POLICY, SAFETY_IDENTIFIER_KEY=KEY)


@pytest.fixture(autouse=True)
def _open_fields(livetoken: Stack) -> None:
    livetoken.gemini.left_open = ("tools",)


def labels(livetoken: Stack, token: str = "", **ask: Any) -> Any:
    """The labels of the setup that a token is locked to."""
    answer = livetoken.ask(ask, token=token)
    assert answer.status == 200, answer.body
    return livetoken.gemini.minted()[-1].body["bidiGenerateContentSetup"].get("labels")


def hashed(text: str, key: str = KEY) -> dict[str, str]:
    """The label of an account, made a second time."""
    digest = hmac.digest(key.encode(), text.encode(), hashlib.sha256)
    return {"safety_identifier": digest.hex()[:40]}


def test_it_is_the_keyed_hash_of_the_account(livetoken: Stack) -> None:
    issuer = f"https://securetoken.google.com/{livetoken.issuer.firebase_project}"
    token = livetoken.issuer.id_token("ada", sub="the-uid")
    assert labels(livetoken, token) == hashed(f"{issuer}\nthe-uid")
    token = livetoken.issuer.id_token("grace", sub="1234567")
    assert labels(livetoken, token) == hashed("https://accounts.google.com\n1234567")
    firebase = {"sign_in_provider": "password", "tenant": "team-x"}
    token = livetoken.issuer.id_token("ada", sub="the-uid", firebase=firebase)
    assert labels(livetoken, token) == hashed(json.dumps([issuer, "team-x", "the-uid"]))


def test_it_is_the_same_for_all_of_a_callers_tokens_and_for_nobody_else(livetoken: Stack) -> None:
    tokens = [livetoken.issuer.id_token("ada", sub=sub) for sub in ("one", "two", "one")]
    one, two, again = (labels(livetoken, token) for token in tokens)
    assert one == again != two
    assert labels(livetoken, tokens[0], resume="a-handle") == one
    assert labels(livetoken, tokens[0], profile="open") == one


def test_it_has_the_form_of_a_label(livetoken: Stack) -> None:
    """Google's rule for labels: lower-case letters, digits, _ and -, at most 63 characters."""
    for sub in ("a", "é" * 100, "an@example.com", "\n\u2028"):
        (label,) = labels(livetoken, livetoken.issuer.id_token("ada", sub=sub)).items()
        assert all(re.fullmatch("[a-z0-9_-]{1,63}", text) for text in label)
        assert label[0] == "safety_identifier"


def test_the_policys_other_labels_stay(livetoken: Stack) -> None:
    token = livetoken.issuer.id_token("ada", sub="one")
    both = labels(livetoken, token, profile="labelled")
    assert both == {"team": "a", **labels(livetoken, token)}


@pytest.mark.parametrize("name", ["default", "open"])
def test_a_client_cannot_replace_or_drop_it(livetoken: Stack, name: str) -> None:
    answer = livetoken.ask({"profile": name}).json
    minted = livetoken.gemini.minted()[-1].body["bidiGenerateContentSetup"]["labels"]
    generation = {"responseModalities": ["AUDIO"]}
    for theirs in ({"safety_identifier": "somebody-else"}, {}):
        setup = {"model": "models/gemini-3.8-live", "generationConfig": generation}
        answer = livetoken.ask({"profile": name}).json
        with connect(socket_url(livetoken, answer)) as socket:
            socket.send(json.dumps({"setup": {**setup, "labels": theirs}}))
            assert message(socket) == {"setupComplete": {}}
        assert livetoken.gemini.sessions[-1].setup["labels"] == minted


def test_neither_it_nor_its_key_is_logged_or_answered(livetoken: Stack) -> None:
    answer = livetoken.ask()
    (label,) = labels(livetoken).values()
    livetoken.logged(len(livetoken.log()))
    for text in (livetoken.function.output(), answer.body.decode()):
        assert label not in text
        assert KEY not in text


def test_another_key_makes_another_name_and_without_the_setting_there_is_none(
    certificate: Certificate,
) -> None:
    with stack(certificate) as unstarted:
        other = "f" * 32
        with unstarted.running(IDENTIFYING, SAFETY_IDENTIFIER_KEY=other) as started:
            token = started.issuer.id_token("ada", sub="one")
            issuer = f"https://securetoken.google.com/{started.issuer.firebase_project}"
            assert labels(started, token) == hashed(f"{issuer}\none", other)
        with unstarted.running(SMALLEST, SAFETY_IDENTIFIER_KEY=other) as started:
            assert labels(started) is None


# ------------------------------------------------------------------ the key


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        (None, ["SAFETY_IDENTIFIER_KEY"]),
        ("", ["SAFETY_IDENTIFIER_KEY"]),
        ("x" * 31, ["SAFETY_IDENTIFIER_KEY"]),
        ("x" * 32, []),
        (KEY + "\n", ["SAFETY_IDENTIFIER_KEY"]),
        ("\u00e9" * 32, ["SAFETY_IDENTIFIER_KEY"]),
    ],
)
def test_a_function_with_the_setting_starts_only_with_a_key(
    key: str | None, wrong: list[str]
) -> None:
    assert wrong_variables(compiled(IDENTIFYING), SAFETY_IDENTIFIER_KEY=key) == wrong
    assert wrong_variables(compiled(SMALLEST), SAFETY_IDENTIFIER_KEY=key) == (wrong if key else [])


def test_the_key_is_not_in_the_settings_as_text() -> None:
    environment = {**ENVIRONMENT, "SAFETY_IDENTIFIER_KEY": KEY}
    settings = Settings.read(environment, compiled(IDENTIFYING))
    assert settings.safety_identifier_key == KEY
    assert KEY not in repr(settings)


def test_preflight_takes_no_key_from_the_file_and_says_that_one_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    variables, project = tmp_path / "env.yaml", 'FIREBASE_PROJECT_ID: "demo-project"\n'
    (tmp_path / "policy.toml").write_text(IDENTIFYING)
    assert main(["lock"]) == 0
    variables.write_text(f'{project}SAFETY_IDENTIFIER_KEY: "{KEY}"\n')
    assert main(["preflight", "env.yaml"]) == 1
    said = capsys.readouterr().err
    assert "env.yaml: SAFETY_IDENTIFIER_KEY: is a secret" in said
    assert KEY not in said
    variables.write_text(project)
    assert main(["preflight", "env.yaml"]) == 0
    assert "safety_identifier=on\n" in capsys.readouterr().out


def test_check_says_that_it_needs_a_key(check: Check) -> None:
    line = "  safety identifier  a keyed hash of the caller's account; needs SAFETY_IDENTIFIER_KEY"
    assert line in check(IDENTIFYING)[1].splitlines()
    assert "safety identifier" not in check(SMALLEST)[1]
    facts = [json.loads(check(each, "--json")[1]) for each in (IDENTIFYING, SMALLEST)]
    profiles = [each["profiles"]["default"] for each in facts]
    assert [each["safety_identifier"] for each in profiles] == [True, False]
    assert ["labels" in each["locked_empty"] for each in profiles] == [False, True]


def test_a_lock_that_leaves_the_labels_to_the_client_is_not_served(tmp_path: Path) -> None:
    source, file = policy(profile='client_may_set = ["labels"]'), tmp_path / "policy.lock.json"
    file.write_text(lock.write(b"", compiled(source)))
    assert lock.fresh(file, b"") is not None
    written = lock.write(b"", compiled(source))
    made = json.loads(written)
    assert made["callers"]["safety_identifier"] is False
    named = Policy.of({**made, "callers": {**made["callers"], "safety_identifier": True}})
    file.write_text(lock.write(b"", named))
    assert lock.fresh(file, b"") is None
