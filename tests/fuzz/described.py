"""Send requests that docs/openapi.yaml allows and forbids, and check the answers against it."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from stack import POLICY, stack

from emulator import tls

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REPORT = ROOT / "build/fuzz/openapi"
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance", "negative_data_rejection"),
    *("positive_data_acceptance", "missing_required_header", "ignored_auth"),
    *("unsupported_method", "allow_header_conformance"),
)
OFFERED = """
[profiles.default.choices.seed]
path = "seed"
values = [1, 2]
default = 1
"""
CHOICES = {
    "type": "object",
    "properties": {"seed": {"enum": [1, 2]}},
    "additionalProperties": False,
}
"""How that policy narrows what a request may choose."""
Row = tuple[str, int, int]


def run(examples: int, seed: int) -> list[Row]:
    """Run schemathesis against a function with stand-ins.

    Returns:
        For each check, how many answers it checked and how many failed.
    """
    with TemporaryDirectory(prefix="livetoken-") as folder:
        certificate = tls.certificate(Path(folder))
        os.environ["SSL_CERT_FILE"] = str(certificate.ca_file)
        with stack(certificate) as unstarted, unstarted.running(POLICY + OFFERED) as livetoken:
            token = livetoken.issuer.id_token("ada")
            status, output = _schemathesis(livetoken.function.url, token, examples, seed)
            mints = len(livetoken.gemini.mints)
    scenarios = list(_scenarios())
    checks = Counter((check["name"], check["status"]) for each in scenarios for check in each[1])
    answers = Counter(answer for each in scenarios for answer in each[0])
    print("Answers:", ", ".join(f"{status}: {count}" for status, count in sorted(answers.items())))
    rows = [(n, checks[n, "success"] + checks[n, "failure"], checks[n, "failure"]) for n in CHECKS]
    rows.append(("one mint for each 200", answers[200], abs(answers[200] - mints)))
    if status:
        print(output)
        rows.append(("schemathesis", sum(answers.values()), 1))
    return rows


def _description() -> Path:
    """The description, narrowed to what the policy of this test offers."""
    document = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text(encoding="utf-8"))
    document["components"]["schemas"]["Asked"]["properties"]["choices"] = CHOICES
    file = REPORT / "openapi.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def _schemathesis(url: str, token: str, examples: int, seed: int) -> tuple[int, str]:
    REPORT.mkdir(parents=True, exist_ok=True)
    for old in REPORT.glob("*.ndjson"):
        old.unlink()
    program, config = Path(sys.executable).with_name("schemathesis"), HERE / "schemathesis.toml"
    command = [str(program), "--config-file", str(config), "run", str(_description())]
    command += [
        "--url",
        url,
        "--header",
        f"Authorization: Bearer {token}",
        "--checks",
        ",".join(CHECKS),
    ]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(examples)]
    command += ["--seed", str(seed), "--continue-on-failure", "--no-color"]
    command += ["--generation-database", "none", "--report", "ndjson"]
    command += ["--report-dir", str(REPORT)]
    done = subprocess.run(
        command, cwd=REPORT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def _scenarios() -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """The status of each answer, and each check, by scenario of the report."""
    (report,) = REPORT.glob("*.ndjson")
    for line in report.read_text(encoding="utf-8").splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        exchanges = recorder.get("interactions", {}).values()
        checked = recorder.get("checks", {}).values()
        yield (
            [exchange["response"]["status_code"] for exchange in exchanges],
            [check for checks in checked for check in checks],
        )
