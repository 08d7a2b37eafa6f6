"""`cloudbuild.yaml`: real gcloud submits it, and each step runs in the tarball that arrived."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import SERVICE, Project, Ran

from emulator.function import ROOT

SUBMIT = (
    *("gcloud", "builds", "submit", "--project=demo-livetoken"),
    *("--config=cloudbuild.yaml", "--ignore-file=.gitignore"),
)


@pytest.fixture
def submitted(deployed: Project, tmp_path: Path) -> Iterator[Project]:
    """The tarball of a submitted build, unpacked as Cloud Build does in /workspace."""
    (deployed.root / ".env").write_text("GEMINI_API_KEY=secret")
    (deployed.root / ".git").mkdir()
    (deployed.root / ".git/config").write_text("[remote]")
    done = deployed.run(*SUBMIT)
    assert done.status == 0, done.output
    workspace = tmp_path / "workspace"
    for name, content in deployed.cloud.tarball().items():
        file = workspace / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if content.startswith(b"#!"):
            file.chmod(0o755)
        if name.startswith("requirements"):
            os.utime(file, (1e9, 1e9))  # older than the installation, so that make installs nothing
    (workspace / ".venv").symlink_to(ROOT / ".venv")  # so that nothing is installed again
    yield replace(deployed, root=workspace)


def steps(project: Project) -> dict[str, dict[str, Any]]:
    build = yaml.safe_load((project.root / "cloudbuild.yaml").read_text())
    return {step["id"]: step for step in build["steps"]}


def run(project: Project, step: str) -> Ran:
    """Run a step's script as its build's account, with one file of tests in place of all."""
    script = project.root.parent / step
    script.write_text(steps(project)[step]["script"])
    script.chmod(0o755)
    fewer = {
        "PYTEST_ADDOPTS": "-n0 tests/serving/test_uploaded.py",
        "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache"),
    }
    return project.run(
        str(script), principal=project.cloud.account("livetoken-release"), variables=fewer
    )


def test_a_build_tests_then_releases_as_its_own_account(submitted: Project) -> None:
    (build,) = [each for each in submitted.cloud.state.builds.values() if "steps" in each.body]
    assert build.body["serviceAccount"].endswith(
        "/livetoken-release@$PROJECT_ID.iam.gserviceaccount.com"
    )
    assert [step["id"] for step in build.body["steps"]] == ["test", "release"]
    assert not [name for name in submitted.cloud.tarball() if name.startswith((".env", ".git/"))]
    before = submitted.serving.name
    tested = run(submitted, "test")
    assert tested.status == 0, tested.output
    assert " passed in " in tested.output
    assert submitted.serving.name == before
    released = run(submitted, "release")
    assert released.status == 0, released.output
    assert f"To roll back: deploy/deploy.sh rollback {before}" in released.output
    assert submitted.serving.name != before
    assert submitted.cloud.traffic(SERVICE) == {submitted.serving.name: 100}


def test_a_step_fails_if_its_work_fails(submitted: Project) -> None:
    before = submitted.serving.name
    (submitted.root / "policy.toml").write_text("api_version = 1")
    assert run(submitted, "release").status != 0
    (submitted.root / "main.py").write_text("import os\n")  # unused: the linter reports it
    tested = run(submitted, "test")
    assert tested.status != 0
    assert "F401" in tested.output
    assert submitted.serving.name == before


def test_images_are_pinned_to_a_version() -> None:
    build = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
    tags = [step["name"].rpartition(":")[2] for step in build["steps"]]
    assert all(tag.split(".")[0].isdigit() and tag.count(".") == 2 for tag in tags), tags
