"""Break the scripts on purpose and check that a test fails: `make test-deploy-variants`.

Each variant is one change to one file. The named test must run on it and fail.
"""

from pathlib import Path

import pytest
from broken import Variant

SETUP, LIB, DEPLOY = "deploy/setup.sh", "deploy/lib.sh", "deploy/deploy.sh"
UPLOAD = "test_upload.py::test_a_deploy_uploads_what_serves_and_nothing_else"
FROM_NOTHING = "test_setup.py::test_an_empty_project_serves_after_one_command"
RELEASE = (
    "test_release.py::test_a_release_after_a_rollback_gets_all_traffic_and_keeps_no_old_setting"
)
ROTATION = (
    "test_release.py::test_a_bad_new_key_moves_no_traffic_and_a_good_one_serves_and_rolls_back"
)

TAGS = "test_tags.py::test"
SWEEP = f"{TAGS}_a_command_that_moves_no_traffic_removes_only_urls_that_are_over_an_hour_old"
RELEASE_BUILD, TEST_BUILD = "cloudbuild.yaml", "cloudbuild-test.yaml"
BUILD = "test_pipeline.py::test_a_build_tests_then_releases_each_as_its_own_account"
STEP = "test_pipeline.py::test_a_step_fails_if_its_work_fails"
SAFETY = "test_setup.py::test_a_policy_with_safety_identifiers_gets_a_key_that_nobody_sees"
STOP = "test_stop.py::test"
FIRESTORE = "test_setup.py::test_limits_in_firestore_get_access_to_their_database_alone"
SECRETS = "test_setup.py::test_more_secrets_reach_the_function_and_nobody_else"
OLDER = "test_setup.py::test_wider_grants_of_an_older_setup_are_revoked_and_the_owners_are_kept"


VARIANTS = {
    "the key may be read in the whole project": Variant(
        SETUP,
        'grant "$RUNTIME" roles/secretmanager.secretAccessor secrets "$KEY_SECRET"',
        'grant "$RUNTIME" roles/secretmanager.secretAccessor projects "$PROJECT"',
        FROM_NOTHING,
    ),
    "a release may read the key": Variant(
        SETUP,
        'grant "$RELEASER" roles/secretmanager.viewer secrets "$KEY_SECRET"',
        'grant "$RELEASER" roles/secretmanager.secretAccessor secrets "$KEY_SECRET"',
        FROM_NOTHING,
    ),
    "the key of safety identifiers is printed": Variant(
        SETUP,
        "'import secrets; print(secrets.token_hex())'",
        "'import secrets, sys; print(secrets.token_hex(), file=sys.stderr)'",
        SAFETY,
    ),
    "a release does not bind the key of safety identifiers": Variant(
        LIB, 'secrets+=",$pair:$other"', ":", SAFETY
    ),
    "a release may read the key of safety identifiers": Variant(
        SETUP,
        'grant "$RELEASER" roles/secretmanager.viewer secrets "${pair#*=}"',
        'grant "$RELEASER" roles/secretmanager.secretAccessor secrets "${pair#*=}"',
        SAFETY,
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
        DEPLOY, "  $passed ||\n", "  true ||\n", ROTATION
    ),
    "a release undoes a rollback": Variant(
        DEPLOY,
        '[ "$trial $serving $canary" = "$tried $before" ] ||',
        "true ||",
        f"{TAGS}_a_release_stops_if_a_rollback_removed_its_url",
    ),
    "a release undoes a change of the traffic": Variant(
        DEPLOY,
        '[ "$trial $serving $canary" = "$tried $before" ] ||',
        '[ "$trial" = "$tried" ] ||',
        f"{TAGS}_a_release_stops_if_the_traffic_is_not_as_it_found_it",
    ),
    "the URL of a killed release stays": Variant(
        LIB,
        ' ${trial:+"$TRIAL"} "${others[@]}")',
        ' ${trial:+"$TRIAL"})',
        f"{TAGS}_any_command_that_moves_traffic_removes_the_url_that_a_killed_release_left",
    ),
    "the URL of a release under way is removed": Variant(LIB, " - 3600)) ]", ")) ]", SWEEP),
    "a release that fails removes the URL of another": Variant(
        DEPLOY,
        'remove_tags "$TRIAL" >&2',
        'remove_tags "$TRIAL" "${others[@]}" >&2',
        SWEEP,
    ),
    "the URLs of killed releases stay if a command fails": Variant(
        LIB, "${#ended[@]} -gt 0 ]", "${#ended[@]} -gt 9 ]", SWEEP
    ),
    "a tag of the owner is removed": Variant(LIB, "^trial(-[0-9]{1,12})?$", "^.", SWEEP),
    "a smoke test removes URLs": Variant(
        DEPLOY,
        "1:smoke)\n    preflight\n    need_service\n",
        "1:smoke)\n    preflight\n    need_service\n    sweep\n",
        SWEEP,
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
    "failed tests pass": Variant(TEST_BUILD, " make test\n", " make test || true\n", STEP),
    "a build releases despite failed tests": Variant(
        RELEASE_BUILD, " deploy/build.sh test\n", " deploy/build.sh test || true\n", STEP
    ),
    "the tests run as the account that releases": Variant(
        TEST_BUILD, "serviceAccounts/livetoken-test@", "serviceAccounts/livetoken-release@", BUILD
    ),
    "a release runs the packages of development": Variant(
        LIB, "(.venv-release/bin/python ", "(.venv/bin/python ", BUILD
    ),
    "a build's image has no fixed version": Variant(
        RELEASE_BUILD,
        "  - id: release\n    name: gcr.io/google.com/cloudsdktool/google-cloud-cli:",
        "  - id: release\n    name: gcr.io/google.com/cloudsdktool/google-cloud-cli:latest-",
        "test_pipeline.py::test_the_shipped_builds_name_one_version_and_its_digest_or_none",
    ),
    "an image without a digest is built": Variant(
        "deploy/build.sh",
        "[0-9a-f]{64}$ ]] ||",
        "[0-9a-f]{64}$ ]] || true ||",
        "test_pipeline.py::test_a_build_with_an_image_without_a_digest_is_refused",
    ),
    "an old digest stays": Variant(
        "deploy/pin-images.sh",
        "(@.*)?$",
        "$",
        "test_pipeline.py::test_images_are_pinned_by_digest_once_the_owner_has_looked_it_up",
    ),
    "a build may write to every repository": Variant(
        SETUP,
        'grant "$BUILDER" roles/artifactregistry.writer "${REPOSITORY[@]}"',
        'grant "$BUILDER" roles/artifactregistry.writer projects "$PROJECT"',
        FROM_NOTHING,
    ),
    "the tests may read every bucket": Variant(
        SETUP,
        'grant "$TESTER" roles/storage.objectViewer storage buckets "gs://$SOURCES"',
        'grant "$TESTER" roles/storage.objectViewer projects "$PROJECT"',
        FROM_NOTHING,
    ),
    "the wide grants of an older setup stay": Variant(
        SETUP, 'revoke "$RELEASER" roles/run.sourceDeveloper\n', "", OLDER
    ),
    "the function may read every bucket": Variant(
        SETUP,
        'grant "$RUNTIME" roles/storage.objectViewer storage buckets "gs://$bucket"',
        'grant "$RUNTIME" roles/storage.objectViewer projects "$PROJECT"',
        FROM_NOTHING,
    ),
    "the bucket of the switch is made although the owner wants none": Variant(
        SETUP,
        """grep -q '^SWITCH_OBJECT:' "$ENVIRONMENT" || switch=""",
        '[ -n "$switch" ] || switch=',
        f"{STOP}_the_setup_makes_the_bucket_that_the_owner_names",
    ),
    "a change of the switch undoes another": Variant(
        DEPLOY,
        ' --if-generation-match="$generation"',
        "",
        f"{STOP}_a_change_that_meets_another_is_made_again",
    ),
    "a stop forgets who is banned": Variant(
        "deploy/switch.py",
        """[str(uid) for uid in switch["banned"]]""",
        "[]",
        f"{STOP}_a_stop_and_a_ban_hold_until_they_are_taken_back",
    ),
    "an object that is not a switch is replaced": Variant(
        "deploy/switch.py",
        """    except (ValueError, TypeError, KeyError):
        return 'The object is not a switch such as {"stopped": false, "banned": ["uid"]}.'
""",
        """    except (ValueError, TypeError, KeyError):
        stopped, banned = False, []
""",
        f"{STOP}_an_object_that_is_not_a_switch_is_left_as_it_is",
    ),
    "a grant does not say that it has no condition": Variant(
        SETUP, '--role="$role" --condition="${condition:-None}"', '--role="$role"', OLDER
    ),
    "the grant for Firestore is for all databases": Variant(
        SETUP, '--condition="${condition:-None}"', "--condition=None", FIRESTORE
    ),
    "the secrets besides the key cannot be read": Variant(
        SETUP,
        'grant "$RUNTIME" roles/secretmanager.secretAccessor secrets "${pair#*=}"',
        ":",
        SECRETS,
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_caught(tmp_path: Path, name: str) -> None:
    VARIANTS[name].is_caught("tests/deploy", tmp_path / "livetoken")
