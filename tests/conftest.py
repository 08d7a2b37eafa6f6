"""One function for all tests that leave it as they found it; a start costs a second."""

import warnings
from collections.abc import Iterator

import pytest
from google.genai import errors
from stack import Stack, stack
from stand_in import StandIn

from emulator import tls
from emulator.tls import Certificate


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "provokes(reason): the test provokes a row of the error table over HTTP",
        "reaches_gemini: the refusal comes after a request to Gemini",
    ):
        config.addinivalue_line("markers", marker)


@pytest.fixture(scope="session", autouse=True)
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    """An authority that this process, its SDK and its functions trust, and no other."""
    made = tls.certificate(tmp_path_factory.mktemp("tls"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(made.ca_file))
        yield made


@pytest.fixture(scope="session")
def shared(certificate: Certificate) -> Iterator[Stack]:
    with stack(certificate) as unstarted, unstarted.running() as started:
        yield started


@pytest.fixture
def livetoken(shared: Stack) -> Iterator[Stack]:
    """The shared function; Gemini has seen nothing but whole locks, and is left as it was."""
    yield shared
    shared.gemini.minted()
    shared.gemini.behaviour.fault = None
    shared.gemini.behaviour.faults.clear()
    shared.gemini.behaviour.delay = 0
    shared.gemini.behaviour.retry_after = None


@pytest.fixture
def alone(certificate: Certificate) -> Iterator[Stack]:
    """A stack of one's own, its function not started."""
    with stack(certificate) as unstarted:
        yield unstarted


@pytest.fixture
def stand_in(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in of Gemini alone."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    warnings.simplefilter("ignore", errors.ExperimentalWarning)
    made = StandIn(certificate)
    with made.server:
        yield made
