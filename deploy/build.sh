#!/usr/bin/env bash
# Submits this checkout to Cloud Build, and waits for the build.
#
#   deploy/build.sh         run the tests, then release: cloudbuild.yaml
#   deploy/build.sh test    run only the tests: cloudbuild-test.yaml
#
# It fails if the build fails. The build's log is in Cloud Logging.

# shellcheck source=deploy/lib.sh
source "$(dirname "$0")/lib.sh"

case "$#:${1:-}" in
  0:) config=cloudbuild.yaml ;;
  1:test) config=cloudbuild-test.yaml ;;
  *) fail "usage: deploy/build.sh [test]" ;;
esac
need_project

while IFS=: read -r file image; do
  [[ $image =~ @sha256:[0-9a-f]{64}$ ]] ||
    fail "$file does not pin the image$image by its digest, so nothing was built. Run deploy/pin-images.sh and commit what it writes."
done < <(grep -H '^ *name:' "${BUILDS[@]}" | sed 's/: *name:/:/')

# .gcloudignore leaves only what serves and hides the tests, so use .gitignore.
cloud builds submit . --config="$config" --ignore-file=.gitignore --gcs-source-staging-dir="gs://$SOURCES/builds" ||
  fail "The build $config failed; see its log in Cloud Logging, at the address above."
