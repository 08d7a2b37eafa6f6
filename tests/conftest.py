"""Fixtures that most tests share. A start of the function costs a second, an RSA key 90 ms."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest
from attack_table import pytest_terminal_summary as pytest_terminal_summary
from firestore_server import FirestoreServer, firestore_server
from google.genai import errors
from limited import Counting, Limited, new_caller
from policies import Check
from redis_server import RedisServer, join
from stack import Stack, stack
from stand_in import StandIn

from emulator import app_check, issuer, tls
from emulator.behaviour import Behaviour
from emulator.issuer import SigningKey
from emulator.tls import Certificate
from livetoken.cli.main import main

NOBODY = "http://127.0.0.1:1"
IGNORED = {
    "HTTPS_PROXY": NOBODY,
    "HTTP_PROXY": NOBODY,
    "ALL_PROXY": NOBODY,
    "GOOGLE_API_KEY": "other",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_USE_ENTERPRISE": "true",
    "GOOGLE_GENAI_API_VERSION": "v1",
    "GOOGLE_GENAI_CLIENT_MODE": "replay",
    "GOOGLE_CLOUD_LOCATION": "us-central1",
    "FIREBASE_AUTH_EMULATOR_HOST": "127.0.0.1:9099",
    "FUNCTIONS_EMULATOR": "true",
}
"""Variables of proxies, google-genai and Firebase, which must change nothing.

The shared function runs with all of them, so every test that uses it shows that it ignores them.
"""


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "slow: waits for real deadlines, searches long, or starts much: it is in make test-slow",
        "provokes(reason): the test provokes a row of the error table over HTTP",
        "reaches_gemini: the refusal comes after a request to Gemini",
    ):
        config.addinivalue_line("markers", marker)


@pytest.fixture(scope="session", autouse=True)
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    """A certificate authority: the only one that this process, its SDK and its functions trust."""
    made = tls.certificate(tmp_path_factory.mktemp("tls"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(made.ca_file))
        yield made


@pytest.fixture(scope="session", autouse=True)
def few_keys() -> Iterator[None]:
    """Every issuer and App Check takes its keys from the same few, in turn."""
    made = issuer.signing_key
    keys = cycle(made() for _ in range(8))

    def signing_key(bits: int = 2048) -> SigningKey:
        return next(keys) if bits == 2048 else made(bits)

    with pytest.MonkeyPatch.context() as patch:
        for module in (issuer, app_check):
            patch.setattr(module, "signing_key", signing_key)
        yield


@pytest.fixture(scope="session")
def shared(certificate: Certificate) -> Iterator[Stack]:
    with stack(certificate) as unstarted, unstarted.running(**IGNORED) as started:
        yield started


@pytest.fixture
def livetoken(shared: Stack) -> Iterator[Stack]:
    """The shared function. Every mint must be a whole lock; the fault injection is reset."""
    yield shared
    shared.gemini.minted()
    shared.gemini.behaviour.fault = None
    shared.gemini.behaviour.faults.clear()
    shared.gemini.behaviour.delay = 0
    shared.gemini.behaviour.retry_after = None
    shared.gemini.behaviour.retry_delay = Behaviour.retry_delay


@pytest.fixture
def alone(certificate: Certificate) -> Iterator[Stack]:
    """A stack for one test; its function has not started."""
    with stack(certificate) as unstarted:
        yield unstarted


@pytest.fixture
def stand_in(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in for Gemini, without a function."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    warnings.simplefilter("ignore", errors.ExperimentalWarning)
    made = StandIn(certificate)
    with made.server:
        yield made


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Check a policy: the exit status, and what was printed on standard output and error."""

    def check(source: str, *options: str) -> tuple[int, str, str]:
        file = tmp_path / "policy.toml"
        file.write_text(source, encoding="utf-8")
        status = main(["check", "--policy", str(file), *options])
        return status, *capsys.readouterr()

    return check


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[RedisServer]]:
    """Three nodes."""
    with ExitStack() as running:
        servers: list[RedisServer] = []
        for name in ("a", "b", "c"):
            folder = tmp_path / name
            folder.mkdir()
            servers.append(running.enter_context(RedisServer(folder, in_cluster=True)))
        join(servers)
        yield servers


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def firestore() -> Iterator[FirestoreServer]:
    with firestore_server() as server:
        yield server


@pytest.fixture(scope="session")
def counting(
    certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Counting]:
    with stack(certificate) as unstarted, ExitStack() as running:
        yield Counting(unstarted, tmp_path_factory.mktemp("counting"), running)


@pytest.fixture(params=["memory", "redis", pytest.param("firestore", marks=pytest.mark.slow)])
def counted(request: pytest.FixtureRequest, counting: Counting) -> Iterator[Limited]:
    """A caller who has not asked yet, at the function of each storage."""
    with new_caller(counting.function(request.param)) as caller:
        yield caller
