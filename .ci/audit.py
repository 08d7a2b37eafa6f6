"""Fail if a pinned requirement has a known vulnerability; say so if that cannot be looked up.

    python .ci/audit.py FILE…

Exit status: 0 if nothing was found or the database cannot be reached, 1 for a vulnerability, and
pip-audit's own for every other error.
"""

import json
import subprocess
import sys
from pathlib import Path

UNREACHABLE = ("ConnectionError", "ProxyError", "ConnectTimeout", "ReadTimeout", "ServiceError")


def main(files: list[str]) -> int:
    pip_audit = Path(sys.executable).with_name("pip-audit")
    # S603: the program is fixed; the arguments are those of the Makefile.
    command = [str(pip_audit), "--disable-pip", "--require-hashes", "--format=json"]
    for file in files:
        command += ["--requirement", file]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  # our own pip-audit
    if not done.stdout:
        if any(error in done.stderr for error in UNREACHABLE):
            print("Not audited: the vulnerability database cannot be reached.")
            return 0
        print(done.stderr, end="", file=sys.stderr)
        return done.returncode
    pins = json.loads(done.stdout)["dependencies"]
    skipped = [pin["name"] for pin in pins if "skip_reason" in pin]
    if len(skipped) == len(pins):
        print("Not audited: the vulnerability database knows none of these packages.")
        return 0
    if skipped:
        print("Not audited:", ", ".join(skipped))
    found = [(pin, each) for pin in pins for each in pin.get("vulns", ())]
    for pin, each in found:
        fixed = ", ".join(each["fix_versions"]) or "no release yet"
        print(f"{pin['name']} {pin['version']}: {each['id']}, fixed in {fixed}")
    print(f"{len(pins) - len(skipped)} pins audited, {len(found)} vulnerabilities found.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
