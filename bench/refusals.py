"""Compare refusals with a mint: the CPU time of a request that each check refuses.

    PYTHONPATH=. .venv/bin/python bench/refusals.py

The function runs on one core. The callers, the issuer and a stand-in of Gemini share the other
core. The stand-in answers at once, over TLS. Requests of each kind are sent one after the other
over a kept-alive connection, a few of one kind and then of the next, in many short rounds, so that
what else the machine does slows all kinds alike. CPU is that of the function alone. A value is the
median of the rounds, and a ratio the median of the ratios to the mints of the same round.
"""

import asyncio
import json
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvloop
from http_clients import Answering
from instance import deployment, function, processes, stay_on_second_core
from raw_http import Client, request
from sizing import POLICY

from emulator import jwt
from emulator.function import Function
from emulator.issuer import Issuer
from emulator.tls import certificate

REQUESTS, ROUNDS, AT_ONCE = 64, 50, 32  # of each kind
MOST = 0.25  # of a mint


@dataclass(frozen=True)
class Kind:
    """One kind of request and its answer. A mint is the first kind."""

    name: str
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes = b"{}"


def kinds(issuer: Issuer) -> Iterator[Kind]:
    """Every kind of request, with tokens that are valid for an hour."""

    def token(name: str, token: str, status: int = 401, reason: str = "INVALID_ID_TOKEN") -> Kind:
        return Kind(name, status, reason, {"authorization": f"Bearer {token}"})

    def junk(name: str, claims: bytes, signature: bytes = bytes(256)) -> Kind:
        """A genuine header over claims that nobody signed."""
        return token(name, issuer.sign_raw(head, claims, signature=signature))

    def header(name: str, **entries: object) -> Kind:
        return token(name, issuer.sign(claims, header=entries))

    good, claims = issuer.id_token("ada"), issuer.claims("ada")
    head = jwt.as_json(issuer.header("firebase"))
    genuine = {"authorization": f"Bearer {good}"}
    yield Kind("mint", 200, "", genuine)
    yield Kind("no credential", 401, "NO_CREDENTIAL", {})
    yield Kind("not bearer", 401, "NO_CREDENTIAL", {"authorization": f"Basic {good}"})
    yield token("malformed", "a.b.c")
    yield token("8 KiB of dots", "." * 8000)
    yield token("8 KiB, malformed at its end", "a." + "a" * 8000 + ".a~")
    yield header("algorithm", alg="HS256")
    yield header("unknown key", kid="unheard-of")
    yield junk("junk signature", jwt.as_json(claims))
    yield junk("junk: 1,800 empty lists", b"[" + b"[]," * 1799 + b"[]]")
    yield junk("junk: nested 900 deep", b"[" * 900 + b"]" * 900)
    yield junk("junk: 5 KiB of signature", b"{}", bytes(5000))
    yield header("8 KiB of text in the header", pad="a" * 5000)
    yield header("8 KiB of lists in the header", pad=[[]] * 1400)
    yield header("1 KiB of lists in the header", kid="x", pad=[[]] * 160)
    late = int(time.time()) - 60
    yield token("expired", issuer.id_token("ada", exp=late), reason="ID_TOKEN_EXPIRED")
    yield token("wrong audience", issuer.id_token("ada", aud="other"))
    yield token("wrong issuer", issuer.id_token("ada", iss="other"))
    yield token("anonymous", issuer.id_token("guest"), 403, "NOT_ALLOWED")
    yield Kind("unknown profile", 404, "UNKNOWN_PROFILE", genuine, b'{"profile": "none"}')
    keys = json.dumps({f"{number:x}": 0 for number in range(950)}, separators=(",", ":"))
    yield Kind("8 KiB of names in the body", 400, "INVALID_REQUEST", genuine, keys.encode())
    lists = b'{"profile": [' + b"[]," * 2700 + b"[]]}"
    yield Kind("8 KiB of lists in the body", 400, "INVALID_REQUEST", genuine, lists)


def as_bytes(kind: Kind) -> bytes:
    """The bytes of a request."""
    return request(None, kind.body, "".join(f"{k}: {v}\r\n" for k, v in kind.headers.items()))


async def ask(client: Client, kind: Kind) -> None:
    """Send requests of one kind, and check the answers."""
    asked = as_bytes(kind)

    async def one_after_the_other() -> None:
        for _ in range(REQUESTS // AT_ONCE):
            answer = await client.ask(asked)
            assert answer.status == kind.status, (kind.name, answer.body)
            assert kind.reason.encode() in answer.body, (kind.name, answer.body)

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


def cpu(group: int) -> int:
    """The CPU time of the function so far, in nanoseconds (the kernel's sched-stats.rst)."""
    tasks = (task for each in processes(group) for task in each.glob("task/*/schedstat"))
    return sum(int(task.read_text().split()[0]) for task in tasks)


async def main() -> None:
    """Measure and print the table."""
    stay_on_second_core()
    issuer, loop = Issuer(), asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as name:
        made = certificate(Path(name))
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(made.cert_file, made.key_file)
        gemini = await loop.create_server(Answering, "127.0.0.1", 0, ssl=tls)
        port = gemini.sockets[0].getsockname()[1]
        with deployment(POLICY, issuer, port) as (variables, folder):
            variables |= {
                "SSL_CERT_FILE": str(made.ca_file),
                "GOOGLE_GEMINI_BASE_URL": f"https://127.0.0.1:{port}",
                "GOOGLE_CLIENT_IDS": issuer.google_client_id,
                "GOOGLE_KEYS_URL": variables["FIREBASE_KEYS_URL"].replace("firebase", "google"),
            }
            with function(variables, folder, {0}) as running:
                show([each async for each in rounds(running, issuer)][1:])  # the first one warms up


async def rounds(running: Function, issuer: Issuer) -> AsyncIterator[dict[str, float]]:
    """The microseconds of CPU of one request of each kind, in each round."""
    client = Client(running.port)
    for _ in range(ROUNDS + 1):
        used = {}
        for kind in kinds(issuer):
            before = cpu(running.process.pid)
            await ask(client, kind)
            used[kind.name] = (cpu(running.process.pid) - before) / REQUESTS / 1000
        yield used


def show(used: list[dict[str, float]]) -> None:
    print(f"{'request':<30}{'CPU, µs':>9}{'of a mint':>12}")
    for name in used[0]:
        spent = statistics.median(each[name] for each in used)
        ratio = statistics.median(each[name] / each["mint"] for each in used)
        over = "  over" if name != "mint" and ratio > MOST else ""
        print(f"{name:<30}{spent:>9,.0f}{ratio:>12.2f}{over}")


if __name__ == "__main__":
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("This needs two cores.")
    uvloop.run(main())
