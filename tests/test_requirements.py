"""requirements.txt and requirements/*.txt: what installs today also installs in a year."""

import json
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from emulator.function import ROOT

AUDITED = {"name": "certifi", "version": "2026.10.18", "vulns": []}
VULNERABLE = {**AUDITED, "vulns": [{"id": "PYSEC-1", "fix_versions": ["2027.1"]}]}
SKIPPED = {"name": "certifi", "skip_reason": "not found"}


def pins(file: str) -> dict[str, Requirement]:
    lines = (ROOT / file).read_text().splitlines()
    found = (Requirement(line.rstrip(" \\")) for line in lines if line and line[0] not in " #")
    return {pin.name: pin for pin in found if pin.marker is None or pin.marker.evaluate()}


@pytest.mark.parametrize("file", ["requirements.txt", "requirements/dev.txt"])
def test_a_pin_names_the_extras_that_other_pins_ask_for(file: str) -> None:
    """Otherwise pip rejects the pin, if it checks hashes, once a newer version is released."""
    pinned = pins(file)
    for pin in pinned.values():
        for text in requires(pin.name) or ():
            asked = Requirement(text)
            chosen = [{"extra": each} for each in pin.extras or {""}]
            wanted = asked.marker is None or any(map(asked.marker.evaluate, chosen))
            if wanted and asked.name in pinned:
                assert asked.extras <= pinned[asked.name].extras, f"{pin.name} asks for {asked}"


@pytest.mark.parametrize(
    ("found", "error", "status", "said"),
    [
        ([AUDITED], "", 0, "1 pins audited, 0 vulnerabilities found."),
        ([VULNERABLE], "", 1, "certifi 2026.10.18: PYSEC-1, fixed in 2027.1"),
        ([VULNERABLE, SKIPPED], "", 1, "Not audited: certifi"),
        ([SKIPPED], "", 0, "Not audited: the vulnerability database knows none"),
        (None, "requests.exceptions.ConnectionError: …", 0, "database cannot be reached"),
        (None, "ERROR: invalid requirement", 1, "invalid requirement"),
    ],
)
def test_the_audit_fails_for_a_vulnerability_and_not_for_a_missing_network(
    found: list[object] | None, error: str, status: int, said: str, tmp_path: Path
) -> None:
    report = json.dumps({"dependencies": found}) if found else ""
    answer = f"import sys; print({error!r}, file=sys.stderr); print({report!r}, end='')"
    pip_audit = tmp_path / "pip-audit"
    pip_audit.write_text(f"#!{sys.executable}\n{answer}; sys.exit({int(not found or status)})\n")
    pip_audit.chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    done = subprocess.run(
        [str(tmp_path / "python"), ROOT / ".ci/audit.py", "requirements.txt"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode, said in done.stdout) == (status, True), done.stdout
