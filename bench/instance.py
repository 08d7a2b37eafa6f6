"""One instance of the function under load: started on a core, its CPU, memory and descriptors."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from emulator.function import Function
from emulator.issuer import Issuer
from emulator.server import Server
from livetoken import lock
from livetoken.compile.body import compile_policy

TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def deployment(
    policy: bytes, issuer: Issuer, gemini_port: int
) -> Iterator[tuple[dict[str, str], Path]]:
    """The variables of a function with a policy and its lock, and a folder for its log."""
    with tempfile.TemporaryDirectory() as name, Server(issuer.app) as issuer_at:
        folder = Path(name)
        file = folder / "policy.toml"
        file.write_bytes(policy)
        lock.path_for(file).write_text(lock.write(policy, compile_policy(policy)))
        variables = {
            "GEMINI_API_KEY": "key",
            "POLICY_FILE": str(file),
            "FIREBASE_PROJECT_ID": issuer.firebase_project,
            "FIREBASE_KEYS_URL": f"{issuer_at.url}/keys/firebase",
            "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{gemini_port}",
        }
        yield variables, folder


@contextmanager
def function(variables: Mapping[str, str], folder: Path, cores: set[int]) -> Iterator[Function]:
    """The function on some cores. This process stays on the second core, if there are two."""
    os.sched_setaffinity(0, cores)
    try:
        with (folder / "log").open("wb") as log, Function(variables, log=log) as running:
            stay_on_second_core()
            running.wait_until_up()
            yield running
    finally:
        stay_on_second_core()


def stay_on_second_core() -> None:
    """Leave the first core to the function."""
    os.sched_setaffinity(0, {1} if (os.cpu_count() or 1) > 1 else {0})


def processes(group: int) -> list[Path]:
    """The processes of the function: gunicorn's master and its worker."""
    found = []
    for each in Path("/proc").iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            if each.name.isdigit() and os.getpgid(int(each.name)) == group:
                found.append(each)
    return found


def cpu(group: int) -> float:
    """The CPU time of the function so far, in seconds."""
    fields = [(each / "stat").read_text().rpartition(")")[2].split() for each in processes(group)]
    return sum(int(stat[11]) + int(stat[12]) for stat in fields) / TICKS


def memory(group: int) -> float:
    """The memory of the function in MiB (PSS: each shared page counts in part)."""
    text = "".join((each / "smaps_rollup").read_text() for each in processes(group))
    return sum(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:") / 1024


def descriptors(group: int) -> int:
    """How many files and sockets the function has open."""
    return sum(len(list((each / "fd").iterdir())) for each in processes(group))


def others(group: int) -> float:
    """CPU seconds so far on the first two cores of whatever is neither the function nor this.

    Interrupts count as busy, because a process's own time includes those that interrupted it.
    """
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    cores = [line[1:] for line in lines if line[0] in ("cpu0", "cpu1")]
    idle = (3, 4)  # of the eight fields of proc(5), the last of which is steal
    busy = sum(int(core[field]) for core in cores for field in range(8) if field not in idle)
    return busy / TICKS - cpu(group) - time.process_time()
