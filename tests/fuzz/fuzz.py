"""Fuzz each parser for some seconds, then the function by docs/openapi.yaml, and print tables.

New inputs and failures are kept in build/fuzz. It ends with 1 if anything failed.
"""

import argparse
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import described
from harnesses import HARNESSES

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build/fuzz"
LIMITS = ("-max_len=9000", "-timeout=10", "-rss_limit_mb=1024")
Row = tuple[object, ...]


def main() -> int:
    """Run everything. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="for each parser")
    parser.add_argument("--examples", type=int, default=300, help="requests by openapi.yaml")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**31))
    options = parser.parse_args()
    print(f"Seed {options.seed}, {options.seconds} s for each parser.", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(lambda name: fuzz(name, options.seconds, options.seed), HARNESSES))
    head = ("parser", "inputs", "inputs/s", "coverage", "features", "new", "slowest", "failures")
    table(head, rows)
    requests = described.run(options.examples, options.seed)
    table(("check of openapi.yaml", "requests", "failures"), requests)
    return 1 if any(row[-1] for row in (*rows, *requests)) else 0


def fuzz(name: str, seconds: int, seed: int) -> Row:
    """Fuzz one parser in a process of its own. Returns its row of the table."""
    folder = BUILD / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    limits = (*LIMITS, f"-max_total_time={seconds}", f"-seed={seed}", "-print_final_stats=1")
    files = (f"-dict={HERE / 'words.dict'}", f"-artifact_prefix={folder}/")
    command = (sys.executable, HERE / "fuzzed.py", name, corpus, HERE / "corpus" / name)
    done = subprocess.run(
        [*command, *limits, *files], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    found = sorted(set(folder.iterdir()) - before)
    if done.returncode:
        print(f"{name} failed:", done.stdout[-3000:], *map(repr_of, found), sep="\n")

    def last(pattern: str) -> str:
        found = re.findall(pattern, done.stdout)
        return str(found[-1]) if found else "-"

    return (
        name,
        last(r"number_of_executed_units: (\d+)"),
        last(r"average_exec_per_sec: +(\d+)"),
        last(r"cov: (\d+)"),
        last(r"ft: (\d+)"),
        last(r"new_units_added: +(\d+)"),
        last(r"slowest: (.+)"),
        int(done.returncode != 0),
    )


def repr_of(file: Path) -> str:
    """An input that failed, and where it is."""
    data = file.read_bytes()
    return f"{file}: {len(data)} bytes: {data[:500]!r}"


def table(head: Row, rows: Iterable[Row]) -> None:
    """Print a table, with its numbers at the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *rest in cells:
        right = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print(first.ljust(widths[0]), *right, sep="  ", flush=True)
    print()


if __name__ == "__main__":
    sys.exit(main())
