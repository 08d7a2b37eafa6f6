"""policy.lock.json: a fresh one spares the import of google-genai and changes no byte."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from policies import compiled
from stack import POLICY, Stack

from livetoken import lock
from livetoken.cli.main import main
from livetoken.policy import Policy

LEFT_OPEN = ("tools", "labels")

MASK = (
    "model,generationConfig,systemInstruction,sessionResumption,inputAudioTranscription,"
    "outputAudioTranscription,realtimeInputConfig,contextWindowCompression,proactivity,"
    "historyConfig,avatarConfig,safetySettings"
)
"""What the profile `open` locks."""

OPEN = """
[profiles.open]
model = "gemini-3.8-live"
client_may_set = ["labels", "tools"]
[profiles.open.config]
response_modalities = ["AUDIO"]
session_resumption = {}
"""


SOURCE = POLICY + OPEN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy, one profile of which has a mask, and its fresh lock."""
    (tmp_path / "policy.toml").write_text(SOURCE)
    (tmp_path / "policy.lock.json").write_text(lock.write(SOURCE.encode(), compiled(SOURCE)))
    return tmp_path


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    file = folder / "policy.lock.json"
    written = json.loads(file.read_text())
    change(written)
    file.write_text(json.dumps(written))


def fresh(folder: Path, source: str = SOURCE) -> Policy | None:
    return lock.fresh(folder / "policy.lock.json", source.encode())


def loaded(folder: Path) -> tuple[Policy, list[str]]:
    """The policy that a function serves, and its warnings."""
    warnings: list[str] = []
    return lock.load(folder / "policy.toml", warnings.append), warnings


def minted(stack: Stack, folder: Path) -> tuple[list[bytes], bool, bool]:
    """The bodies of mints of both profiles without times, whether the SDK was imported, warnings.

    Both tokens are minted by a new function.
    """
    stack.gemini.left_open, before = LEFT_OPEN, len(stack.gemini.mints)
    variables = {"POLICY_FILE": str(folder / "policy.toml"), "PYTHONPROFILEIMPORTTIME": "1"}
    with stack.running(**variables) as livetoken:
        for profile in ("open", "default"):
            assert livetoken.ask({"profile": profile}).status == 200
        output = livetoken.function.output()
    times = re.compile(rb'"(expireTime|newSessionExpireTime)":"[^"]*",')
    sent = [times.sub(b"", mint.raw) for mint in stack.gemini.minted()[before:]]
    warned = output.count('"severity": "WARNING"') == 1 and "policy.lock.json" in output
    return sent, bool(re.search(r"\|\s+google\.genai", output)), warned


def test_a_fresh_lock_and_a_compiled_policy_send_the_same_bytes(alone: Stack, folder: Path) -> None:
    locked, imported, warned = minted(alone, folder)
    assert (imported, warned) == (False, False)
    edit(folder, set_instruction)
    assert minted(alone, folder) == (locked, True, True)
    assert [json.loads(body).get("fieldMask") for body in locked] == [MASK, None]


def set_uses(written: Any) -> None:
    written["profiles"]["default"]["body"]["uses"] = 0


def set_instruction(written: Any) -> None:
    setup = written["profiles"]["default"]["body"]["bidiGenerateContentSetup"]
    setup["systemInstruction"]["parts"][0]["text"] = "You are a pirate."


def drop_setup(written: Any) -> None:
    del written["profiles"]["default"]["body"]["bidiGenerateContentSetup"]


def set_sdk(written: Any) -> None:
    written["google-genai"] = "3.3.9"


@pytest.mark.parametrize("change", [set_uses, set_instruction, drop_setup, set_sdk])
def test_an_edited_lock_is_compiled_over(folder: Path, change: Callable[[Any], None]) -> None:
    assert loaded(folder) == (compiled(SOURCE), [])
    edit(folder, change)
    policy, (warning,) = loaded(folder)
    assert policy == compiled(SOURCE)
    assert "policy.lock.json is missing or stale" in warning


@pytest.mark.parametrize("comment", ["\n# touched\n", " "])
def test_a_stale_or_missing_lock_is_not_fresh(folder: Path, comment: str) -> None:
    assert fresh(folder) == compiled(SOURCE)
    assert fresh(folder, SOURCE + comment) is None
    (folder / "policy.lock.json").unlink()
    assert fresh(folder) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"profiles": 1}', "\x00", "[" * 100_000]
)
def test_text_that_is_not_a_lock_is_not_fresh(folder: Path, text: str) -> None:
    (folder / "policy.lock.json").write_text(text)
    assert fresh(folder) is None


def set_model(written: Any) -> None:
    written["profiles"]["default"]["body"]["bidiGenerateContentSetup"]["model"] = "models/gemini-9"


def set_mask(written: Any) -> None:
    written["profiles"]["default"]["body"]["fieldMask"] = "model"


def drop_config(written: Any) -> None:
    del written["profiles"]["default"]["body"]["bidiGenerateContentSetup"]["generationConfig"]


def set_long_life(written: Any) -> None:
    written["profiles"]["default"]["expires_in"] = 20 * 3600


def set_text_time(written: Any) -> None:
    written["profiles"]["default"]["start_within"] = "1m"


def set_no_window(written: Any) -> None:
    written["profiles"]["default"]["bounds"]["limits"] = [{"amount": 3, "seconds": 0}]


LOOSENED = [
    *(set_uses, drop_setup, set_model, set_mask, drop_config),
    *(set_long_life, set_text_time, set_no_window),
]


def rehashed(folder: Path, change: Callable[[Any], None]) -> Policy | None:
    """The policy of a lock that was changed and hashed again, if it is taken for fresh."""
    path = folder / "policy.lock.json"
    written = json.loads(path.read_text())
    for name in ("format", "google-genai", "sha256"):
        del written[name]
    change(written)
    path.write_text(lock.write(SOURCE.encode(), Policy.of(written)))
    return fresh(folder)


@pytest.mark.parametrize("change", LOOSENED)
def test_a_lock_that_locks_less_is_not_fresh_whatever_its_hash(
    folder: Path, change: Callable[[Any], None]
) -> None:
    assert rehashed(folder, lambda written: None)
    assert rehashed(folder, change) is None


@pytest.mark.parametrize(
    ("profile", "mask"),
    [
        ("open", MASK.removesuffix(",safetySettings")),
        ("open", MASK.removeprefix("model,")),
        ("open", MASK + ",labels"),
        ("open", MASK + ",safetySettings"),
        ("open", MASK.replace("model,generationConfig", "generationConfig,model")),
        ("open", MASK.replace(",", ", ")),
        ("open", MASK.replace("generationConfig", "generation_config")),
        ("open", MASK.replace("generationConfig", "generationConfig.responseModalities")),
        ("open", MASK.split(",")),
        ("open", ""),
        ("open", None),
        ("open", ...),
        ("default", MASK),
        ("default", "model"),
        ("default", ""),
        ("default", None),
    ],
)
def test_a_lock_with_another_mask_is_not_fresh_whatever_its_hash(
    folder: Path, profile: str, mask: Any
) -> None:
    """`...` is a mask that was taken out."""

    def change(written: Any) -> None:
        bodies = {name: each["body"] for name, each in written["profiles"].items()}
        assert (bodies["open"]["fieldMask"], "fieldMask" in bodies["default"]) == (MASK, False)
        bodies[profile]["fieldMask"] = mask
        if mask is ...:
            del bodies[profile]["fieldMask"]

    assert rehashed(folder, change) is None


def test_a_lock_of_another_sdk_is_not_fresh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(lock, "version", lambda _: "3.3.9")
        assert rehashed(folder, lambda written: None)
    assert fresh(folder) is None


def test_lock_check_tells_stale_from_current(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "policy.lock.json").unlink()
    command = ["lock", "--policy", str(folder / "policy.toml"), "--check"]
    assert main(command[:-1]) == 0
    assert fresh(folder) == compiled(SOURCE)
    assert main(command) == 0
    edit(folder, set_uses)
    assert main(command) == 1
    assert "python -m livetoken lock" in capsys.readouterr().err
    assert "python -m livetoken lock" not in (folder / "policy.lock.json").read_text()


def test_a_lock_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "policy.lock.json").mkdir()
    assert main(["lock", "--policy", str(tmp_path / "policy.toml")]) == 1
    assert "cannot be written: Is a directory" in capsys.readouterr().err


def test_a_policy_with_mistakes_writes_no_lock(folder: Path) -> None:
    before = (folder / "policy.lock.json").read_text()
    (folder / "policy.toml").write_text(POLICY + "\nnonsense = 1\n")
    assert main(["lock", "--policy", str(folder / "policy.toml")]) == 1
    assert (folder / "policy.lock.json").read_text() == before
