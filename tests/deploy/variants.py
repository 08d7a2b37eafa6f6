"""Break the scripts on purpose and check that a test fails: `make test-deploy-variants`.

Each variant is one change to one file. The named test must run on it and fail.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from project import copy_work_tree

SETUP, LIB, DEPLOY = "deploy/setup.sh", "deploy/lib.sh", "deploy/deploy.sh"
UPLOAD = "test_upload.py::test_a_deploy_uploads_what_serves_and_nothing_else"
FROM_NOTHING = "test_setup.py::test_an_empty_project_serves_after_one_command"
RELEASE = (
    "test_release.py::test_a_release_after_a_rollback_gets_all_traffic_and_keeps_no_old_setting"
)
ROTATION = (
    "test_release.py::test_a_bad_new_key_moves_no_traffic_and_a_good_one_serves_and_rolls_back"
)


@dataclass(frozen=True)
class Variant:
    """A mistake: the text of a file, what replaces it, and the test that must fail."""

    file: str
    old: str
    new: str
    caught_by: str


VARIANTS = {
    "the key may be read in the whole project": Variant(
        SETUP,
        'grant "$RUNTIME" roles/secretmanager.secretAccessor secrets "$KEY_SECRET"',
        'grant "$RUNTIME" roles/secretmanager.secretAccessor projects "$PROJECT"',
        FROM_NOTHING,
    ),
    "a release may read the key": Variant(
        SETUP,
        'grant "$RELEASER" roles/secretmanager.viewer secrets',
        'grant "$RELEASER" roles/secretmanager.secretAccessor secrets',
        FROM_NOTHING,
    ),
    "a grant to a new account is not retried": Variant(
        SETUP, '[ "$pause" -gt 32 ]', '[ "$pause" -gt 0 ]', FROM_NOTHING
    ),
    "the service is opened by a role for allUsers": Variant(
        SETUP,
        "deploy_revision --no-invoker-iam-check",
        "deploy_revision --allow-unauthenticated",
        FROM_NOTHING,
    ),
    "a later deploy without the scripts gets all traffic": Variant(
        SETUP, '  move "$serving=100" #', "  : #", FROM_NOTHING
    ),
    "the build runs as the project's default account": Variant(
        LIB,
        '--build-service-account="projects/$PROJECT/serviceAccounts/$(account "$BUILDER")"',
        "",
        FROM_NOTHING,
    ),
    "a key that is typed is printed": Variant(
        LIB,
        "  # printf is a bash builtin, so",
        '  say "storing $value"\n  # printf is a bash builtin, so',
        FROM_NOTHING,
    ),
    "an empty key is stored": Variant(
        LIB,
        '  [ -n "$value" ] || fail',
        "  true || fail",
        "test_setup.py::test_an_invalid_key_is_not_stored",
    ),
    "an account is created without a check that it exists": Variant(
        SETUP,
        '  grep -qxF -- "$(account "$1")" <<<"$accounts" && return\n',
        "",
        "test_setup.py::test_a_second_run_creates_nothing_and_asks_for_nothing",
    ),
    "a release deploys without the preflight": Variant(
        DEPLOY,
        "0:release | 1:release)\n    preflight\n",
        "0:release | 1:release)\n",
        "test_release.py::test_an_invalid_checkout_changes_nothing",
    ),
    "the whole checkout is uploaded": Variant(
        ".gcloudignore", "\n*\n!main.py", "\n!main.py", UPLOAD
    ),
    "an untested revision gets traffic": Variant(
        DEPLOY,
        'deploy_revision --no-traffic --tag="$TRIAL"',
        'deploy_revision --tag="$TRIAL"',
        ROTATION,
    ),
    "a failed smoke test does not stop the release": Variant(
        DEPLOY, 'smoke "$trial_url" ||', 'smoke "$trial_url" || true ||', ROTATION
    ),
    "a release promotes the revision of another release": Variant(
        DEPLOY,
        '[ "$trial" = "$tried" ] ||',
        "true ||",
        "test_release.py::test_a_release_that_loses_its_tag_to_another_moves_no_traffic",
    ),
    "a revision that failed keeps its URL": Variant(
        DEPLOY, "  trap withdraw EXIT", "  :", ROTATION
    ),
    "a release moves no traffic": Variant(DEPLOY, '  move "$1=100"\n', "", RELEASE),
    "a removed variable stays": Variant(
        LIB,
        '--env-vars-file="$ENVIRONMENT"',
        '--update-env-vars="$(sed \'s/: "/=/; s/".*//\' "$ENVIRONMENT" | paste -sd, -)"',
        RELEASE,
    ),
    "the key's version is not pinned": Variant(
        LIB,
        "GEMINI_API_KEY=$KEY_SECRET:$version",
        "GEMINI_API_KEY=$KEY_SECRET:latest",
        ROTATION,
    ),
    "a canary with most of the traffic counts as the serving revision": Variant(
        LIB,
        ' && [ "$revision" != "$canary" ]',
        "",
        "test_release.py::test_a_canary_keeps_its_share_through_a_failed_release_and_is_promoted_or_"
        "removed",
    ),
    "a piped key becomes the password": Variant(
        SETUP,
        " && [ -t 0 ]; then",
        "; then",
        "test_setup.py::test_a_piped_key_is_never_the_password",
    ),
    "an alert is created twice": Variant(
        "deploy/monitor.sh",
        '  if [ -n "$policy" ]; then',
        "  if false; then",
        "test_monitor.py::test_what_exists_is_updated_and_what_is_missing_is_created",
    ),
    "a build releases despite failed tests": Variant(
        "cloudbuild.yaml",
        "      make test\n",
        "      make test || true\n",
        "test_pipeline.py::test_a_step_fails_if_its_work_fails",
    ),
    "a build's image is not pinned": Variant(
        "cloudbuild.yaml",
        "  - id: release\n    name: gcr.io/google.com/cloudsdktool/google-cloud-cli:528.0.0",
        "  - id: release\n    name: gcr.io/google.com/cloudsdktool/google-cloud-cli:latest",
        "test_pipeline.py::test_images_are_pinned_to_a_version",
    ),
}


def checkout(folder: Path) -> None:
    """Copy this work tree into a repository, so that its tests can copy it again."""
    copy_work_tree(folder)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / ".git/info/exclude").write_text(".venv\n")  # .gitignore ignores only a folder


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_caught(tmp_path: Path, name: str) -> None:
    variant = VARIANTS[name]
    root = tmp_path / "livetoken"
    checkout(root)
    text = (root / variant.file).read_text()
    assert text.count(variant.old) == 1, f"{variant.file}: {variant.old!r}"
    (root / variant.file).write_text(text.replace(variant.old, variant.new))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-x", f"tests/deploy/{variant.caught_by}"],
        cwd=root,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stdout
    assert f"FAILED tests/deploy/{variant.caught_by}" in done.stdout, done.stdout
