"""One cloud and one set of stand-ins per worker; each test restores its starting state."""

import shutil
from collections.abc import Iterator

import pytest
from cloud import NAMES, Cloud, Snapshot
from project import Project, checkout
from stack import Stack, stack

from emulator import tls
from emulator.tls import Certificate


@pytest.fixture(scope="session", autouse=True)
def gcloud() -> None:
    """Every test here runs gcloud, which is not on PyPI."""
    if shutil.which("gcloud") is None:
        pytest.fail("gcloud is not installed: https://cloud.google.com/sdk/docs/install")


@pytest.fixture(scope="session", autouse=True)
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    """A certificate authority that also signs for Google's hosts."""
    made = tls.certificate(tmp_path_factory.mktemp("tls"), NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(made.ca_file))
        yield made


@pytest.fixture(scope="session")
def _everything(certificate: Certificate) -> Iterator[tuple[Cloud, Stack, Snapshot]]:
    with stack(certificate) as around, Cloud(certificate, issuer=around.issuer) as cloud:
        yield cloud, around, cloud.snapshot()


@pytest.fixture
def project(_everything: tuple[Cloud, Stack, Snapshot]) -> Iterator[Project]:
    """A new Google Cloud project, and a checkout to deploy to it."""
    cloud, around, new = _everything
    cloud.restore(new)
    around.gemini.mints.clear()
    with checkout(cloud, around) as project:
        yield project
    around.gemini.minted()
    assert cloud.refused == [], "a request went to a host that is not Google's"


@pytest.fixture
def settled(project: Project) -> Project:
    """The same project after `setup.sh` has created everything, before its first deploy."""
    project.put_in_place()
    return project


@pytest.fixture(scope="session")
def _set_up(_everything: tuple[Cloud, Stack, Snapshot]) -> Snapshot:
    cloud, around, new = _everything
    cloud.restore(new)
    with checkout(cloud, around) as project:
        project.put_in_place()
        lines = "source deploy/lib.sh; preflight; deploy_revision --no-invoker-iam-check"
        done = project.run("bash", "-c", lines)
        assert done.status == 0, done.output
        return cloud.snapshot()


@pytest.fixture
def deployed(_set_up: Snapshot, project: Project) -> Project:
    """The same project, set up and serving."""
    project.cloud.restore(_set_up)
    return project
