"""`cloudbuild.yaml` and `cloudbuild-test.yaml`: real gcloud submits them, and each step runs in the
tarball that arrived."""

import hashlib
import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud.registry import index
from project import SERVICE, SOURCES, Project, Ran
from test_requirements import pins

from emulator.function import ROOT

RELEASE, TEST = "cloudbuild.yaml", "cloudbuild-test.yaml"
IMAGE = "google.com/cloudsdktool/google-cloud-cli"


def images(project: Project) -> list[str]:
    """The image of each step of both builds."""
    builds = [yaml.safe_load((project.root / name).read_text()) for name in (RELEASE, TEST)]
    return [step["name"] for build in builds for step in build["steps"]]


@pytest.fixture
def unpinned(deployed: Project) -> Project:
    """A checkout whose images have a tag and no digest, as before `pin-images.sh`."""
    for name in (RELEASE, TEST):
        text = (deployed.root / name).read_text()
        (deployed.root / name).write_text(re.sub("@sha256:.*", "@sha256:unpinned", text))
    tags = {each.partition("@")[0].removeprefix("gcr.io/") for each in images(deployed)}
    deployed.cloud.rules.public_images |= tags
    return deployed


@pytest.fixture
def pinned(unpinned: Project) -> Project:
    """The same with digests."""
    done = unpinned.run("deploy/pin-images.sh", principal="stranger@example.com")
    assert done.status == 0, done.output
    return unpinned


def workspace(project: Project, folder: Path, installed: str) -> Project:
    """The newest build's tarball, unpacked as in /workspace, with one virtual environment."""
    for name, content in project.cloud.tarball().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if content.startswith(b"#!"):
            file.chmod(0o755)
        if name.startswith("requirements"):
            os.utime(file, (1e9, 1e9))  # older than the installation, so that make installs nothing
    (folder / installed).symlink_to(ROOT / installed)
    return replace(project, root=folder)


def steps(project: Project, file: str) -> dict[str, dict[str, Any]]:
    build = yaml.safe_load((project.root / file).read_text())
    return {step["id"]: step for step in build["steps"]}


def run(project: Project, file: str, step: str) -> Ran:
    """Run a step's script as its build's account, with one file of tests in place of all."""
    build = yaml.safe_load((project.root / file).read_text())
    account = build["serviceAccount"].rpartition("/")[2].replace("$PROJECT_ID", "demo-livetoken")
    script = project.root.parent / f"{project.root.name}-{step}"
    script.write_text(steps(project, file)[step]["script"])
    script.chmod(0o755)
    fewer = {
        "PYTEST_ADDOPTS": "-n0 tests/serving/test_uploaded.py",
        "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache"),
    }
    return project.run(str(script), principal=account, variables=fewer)


def test_a_build_tests_then_releases_each_as_its_own_account(
    pinned: Project, tmp_path: Path
) -> None:
    (pinned.root / ".env").write_text("GEMINI_API_KEY=secret")
    (pinned.root / ".git").mkdir()
    (pinned.root / ".git/config").write_text("[remote]")
    submitted = pinned.run("deploy/build.sh")
    assert submitted.status == 0, submitted.output
    assert not [name for name in pinned.cloud.tarball() if name.startswith((".env", ".git/"))]
    release = workspace(pinned, tmp_path / "release", ".venv-release")
    assert [*steps(release, RELEASE)] == ["test", "release"]
    tested = run(release, RELEASE, "test")
    assert tested.status == 0, tested.output
    first, second = [
        each.body for each in pinned.cloud.state.builds.values() if "steps" in each.body
    ]
    accounts = [build["serviceAccount"].rpartition("/")[2] for build in (first, second)]
    assert accounts == [
        f"livetoken-{name}@$PROJECT_ID.iam.gserviceaccount.com" for name in ("release", "test")
    ]

    test = workspace(pinned, tmp_path / "test", ".venv")
    before, asked = pinned.serving.name, len(pinned.cloud.requests)
    tested = run(test, TEST, "test")
    assert tested.status == 0, tested.output
    assert " passed in " in tested.output
    assert pinned.cloud.requests[asked:] == []

    released = run(release, RELEASE, "release")
    assert released.status == 0, released.output
    assert f"To roll back: deploy/deploy.sh rollback {before}" in released.output
    assert pinned.cloud.traffic(SERVICE) == {pinned.serving.name: 100}
    assert pinned.serving.name != before


def test_a_step_fails_if_its_work_fails(pinned: Project, tmp_path: Path) -> None:
    before = pinned.serving.name
    assert pinned.run("deploy/build.sh", "test").status == 0
    release = workspace(pinned, tmp_path / "release", ".venv-release")
    pinned.cloud.rules.build_fails = "a test failed"
    refused = run(release, RELEASE, "test")
    assert (refused.status, "The build cloudbuild-test.yaml failed" in refused.last) == (1, True)
    (release.root / "policy.toml").write_text("api_version = 1")
    assert run(release, RELEASE, "release").status != 0
    test = workspace(pinned, tmp_path / "test", ".venv")
    (test.root / "main.py").write_text("import os\n")  # unused: the linter reports it
    tested = run(test, TEST, "test")
    assert tested.status != 0
    assert "F401" in tested.output
    assert pinned.serving.name == before


def test_a_release_installs_only_the_pins_of_the_function_and_of_release() -> None:
    listed = ["-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    python = ROOT / ".venv-release/bin/python"
    installed = json.loads(subprocess.check_output([python, *listed]))
    allowed = {**pins("requirements.txt"), **pins("requirements/release.txt")}
    names = {each["name"].lower().replace("_", "-") for each in installed}
    assert names - {"pip", "setuptools"} <= allowed.keys()


def test_images_are_pinned_by_digest_once_the_owner_has_looked_it_up(unpinned: Project) -> None:
    tags = [each.removesuffix("@sha256:unpinned") for each in images(unpinned)]
    assert unpinned.run("deploy/pin-images.sh").status == 0
    digest = f"sha256:{hashlib.sha256(index(IMAGE, tags[0].rpartition(':')[2])).hexdigest()}"
    assert images(unpinned) == [f"{tag}@{digest}" for tag in tags]
    before = {name: (unpinned.root / name).read_text() for name in (RELEASE, TEST)}
    assert unpinned.run("deploy/pin-images.sh").status == 0
    assert before == {name: (unpinned.root / name).read_text() for name in (RELEASE, TEST)}
    unpinned.cloud.rules.public_images.clear()
    assert "Could not look up the digest" in unpinned.run("deploy/pin-images.sh").last


@pytest.mark.parametrize(
    "name", [f"gcr.io/{IMAGE}:528.0.0", f"gcr.io/{IMAGE}:528.0.0@sha256:unpinned"]
)
def test_a_build_with_an_image_without_a_digest_is_refused(pinned: Project, name: str) -> None:
    pinned.cloud.requests.clear()
    text = (pinned.root / TEST).read_text()
    (pinned.root / TEST).write_text(re.sub("name: .*", f"name: {name}", text))
    for arguments in ((), ("test",)):
        done = pinned.run("deploy/build.sh", *arguments)
        assert done.status == 1
        assert f"cloudbuild-test.yaml does not pin the image {name} by its digest" in done.last
    assert pinned.cloud.requests == []


def test_nothing_can_run_a_build_as_shipped_before_its_images_are_pinned(unpinned: Project) -> None:
    submit = ("builds", "submit", f"--config={RELEASE}", "--ignore-file=.gitignore")
    said = unpinned.gcloud(*submit, f"--gcs-source-staging-dir=gs://{SOURCES}/builds", status=1)
    assert "invalid image name" in said
    assert [each for each in unpinned.cloud.state.builds.values() if "steps" in each.body] == []


def test_the_shipped_builds_name_one_version_and_its_digest_or_none() -> None:
    shipped = {
        line
        for name in (RELEASE, TEST)
        for line in re.findall(r"name: (.*)", (ROOT / name).read_text())
    }
    (image,) = shipped
    assert re.fullmatch(rf"gcr\.io/{IMAGE}:\d+\.\d+\.\d+@sha256:([0-9a-f]{{64}}|unpinned)", image)
