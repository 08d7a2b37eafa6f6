"""Fuzz one harness with libFuzzer: the arguments are its name and libFuzzer's own.

Each slowest input so far is reported on standard error, in CPU time.
"""

import sys
import time

import atheris

with atheris.instrument_imports(include=["livetoken"]):
    from harnesses import HARNESSES

LONGEST = 1.0
"""Seconds of CPU time that an input may take. Most take under a millisecond."""


def main() -> None:
    name, *arguments = sys.argv[1:]
    harness, slowest = HARNESSES[name], 0.0
    harness(b"")  # prepares what all inputs share

    def run(data: bytes) -> None:
        nonlocal slowest
        began = time.process_time()
        harness(data)
        seconds = time.process_time() - began
        if seconds > slowest:
            slowest = seconds
            print(f"slowest: {seconds * 1000:.1f} ms", file=sys.stderr, flush=True)
        assert seconds < LONGEST

    atheris.Setup([sys.argv[0], *arguments], run)
    atheris.Fuzz()


main()
