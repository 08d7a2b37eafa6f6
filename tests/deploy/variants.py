"""Broken variants of the scripts, and the test that catches each: `make test-deploy-variants`.

A test that no mistake can fail proves nothing. Each variant is one change of one file; the test
that is named must fail on it, and not merely be unable to start.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from project import copy_work_tree

SETUP, LIB, DEPLOY = "deploy/setup.sh", "deploy/lib.sh", "deploy/deploy.sh"
FROM_NOTHING = "test_setup.py::test_an_empty_project_serves_after_one_command"
RELEASE = "test_release.py::test_a_release_after_a_rollback_serves_everybody_and_nothing_sticks"
ROTATION = (
    "test_release.py::test_a_rotation_to_a_bad_key_moves_nobody_and_the_next_serves_and_can_go_back"
)


@dataclass(frozen=True)
class Variant:
    """A mistake: what the file says, what it says instead, and the test that fails."""

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
    "a grant to a new account is not tried again": Variant(
        SETUP, '[ "$pause" -gt 32 ]', '[ "$pause" -gt 0 ]', FROM_NOTHING
    ),
    "opened by a role of allUsers": Variant(
        SETUP,
        "deploy_revision --no-invoker-iam-check",
        "deploy_revision --allow-unauthenticated",
        FROM_NOTHING,
    ),
    "a later deploy past the scripts serves everybody": Variant(
        SETUP, '  move "$serving=100" #', "  : #", FROM_NOTHING
    ),
    "built as the project's default account": Variant(
        LIB,
        '--build-service-account="projects/$PROJECT/serviceAccounts/$(account "$BUILDER")"',
        "",
        FROM_NOTHING,
    ),
    "a key that is typed is printed": Variant(
        LIB,
        "  # printf is bash's own, so",
        '  say "storing $value"\n  # printf is bash\'s own, so',
        FROM_NOTHING,
    ),
    "an empty key is stored": Variant(
        LIB,
        '  [ -n "$value" ] || fail',
        "  true || fail",
        "test_setup.py::test_a_key_that_is_none_is_not_stored",
    ),
    "an account is made without looking": Variant(
        SETUP,
        '  grep -qxF -- "$(account "$1")" <<<"$accounts" && return\n',
        "",
        "test_setup.py::test_a_second_run_makes_nothing_and_asks_for_nothing",
    ),
    "a release checks nothing before it deploys": Variant(
        DEPLOY,
        "0:release | 1:release)\n    preflight\n",
        "0:release | 1:release)\n",
        "test_release.py::test_what_would_not_serve_touches_nothing",
    ),
    "everything here is uploaded": Variant(".gcloudignore", "\n*\n!main.py", "\n!main.py", RELEASE),
    "callers meet a revision that was not tried": Variant(
        DEPLOY,
        'deploy_revision --no-traffic --tag="$TRIAL"',
        'deploy_revision --tag="$TRIAL"',
        ROTATION,
    ),
    "a smoke test that fails stops nothing": Variant(
        DEPLOY, 'smoke "$trial_url" ||', 'smoke "$trial_url" || true ||', ROTATION
    ),
    "a release promotes what another release tried": Variant(
        DEPLOY,
        '[ "$trial" = "$tried" ] ||',
        "true ||",
        "test_release.py::test_a_release_that_another_overtakes_moves_nobody",
    ),
    "a canary that failed keeps its address": Variant(
        DEPLOY, "  trap withdraw EXIT", "  :", ROTATION
    ),
    "a release leaves all callers where they were": Variant(
        DEPLOY, '  move "$1=100"\n', "", RELEASE
    ),
    "a variable that was taken out stays": Variant(
        LIB,
        '--env-vars-file="$ENVIRONMENT"',
        '--update-env-vars="$(sed \'s/: "/=/; s/".*//\' "$ENVIRONMENT" | paste -sd, -)"',
        RELEASE,
    ),
    "the key is whichever is the newest": Variant(
        LIB,
        "GEMINI_API_KEY=$KEY_SECRET:$version",
        "GEMINI_API_KEY=$KEY_SECRET:latest",
        ROTATION,
    ),
    "a canary with most of the callers is taken for what serves": Variant(
        LIB,
        ' && [ "$revision" != "$canary" ]',
        "",
        "test_release.py::test_a_canary_has_its_share_outlives_a_failed_release_and_is_promoted_or_"
        "taken_away",
    ),
    "a key in a pipe becomes the password": Variant(
        SETUP,
        " && [ -t 0 ]; then",
        "; then",
        "test_setup.py::test_a_key_that_is_piped_is_never_the_password",
    ),
    "an alert is made a second time": Variant(
        "deploy/monitor.sh",
        '  if [ -n "$policy" ]; then',
        "  if false; then",
        "test_monitor.py::test_what_is_there_is_brought_up_to_date_and_what_is_missing_made",
    ),
    "a build releases what failed its tests": Variant(
        "cloudbuild.yaml",
        "      make test\n",
        "      make test || true\n",
        "test_pipeline.py::test_a_step_fails_where_its_work_does",
    ),
    "a build's image is whichever is the newest": Variant(
        "cloudbuild.yaml",
        "  - id: release\n    name: gcr.io/google.com/cloudsdktool/google-cloud-cli:528.0.0",
        "  - id: release\n    name: gcr.io/google.com/cloudsdktool/google-cloud-cli:latest",
        "test_pipeline.py::test_images_are_pinned_to_a_version",
    ),
}


def checkout(folder: Path) -> None:
    """A repository of this work tree, whose own tests can copy it again."""
    copy_work_tree(folder)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / ".git/info/exclude").write_text(".venv\n")  # a link, which .gitignore does not name


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_caught(tmp_path: Path, name: str) -> None:
    variant = VARIANTS[name]
    root = tmp_path / "livetoken"
    checkout(root)
    text = (root / variant.file).read_text()
    assert text.count(variant.old) == 1, f"{variant.file} holds it {text.count(variant.old)} times"
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
