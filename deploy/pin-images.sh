#!/usr/bin/env bash
# Pins the images of cloudbuild.yaml and cloudbuild-test.yaml to the digests that their tags have now.
#
#   deploy/pin-images.sh    then review the digests and commit them
#
# It needs gcloud, and no role: the images are public.

# shellcheck source=deploy/lib.sh
source "$(dirname "$0")/lib.sh"
[ $# -eq 0 ] || fail "usage: deploy/pin-images.sh"

images=$(sed -nE 's/^ *name: ([^@]*).*/\1/p' "${BUILDS[@]}" | sort -u)
while read -r image; do
  # `gcloud artifacts` would need rights in Google's own project
  digest=$(gcloud --quiet --verbosity=error container images describe "$image" --format='value(image_summary.digest)' </dev/null) ||
    fail "Could not look up the digest of $image; see above."
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "The registry gave no digest of $image, but: $digest"
  for file in "${BUILDS[@]}"; do
    text=$(sed -E "s|^( *name: $image)(@.*)?$|\1@$digest|" "$file")
    printf '%s\n' "$text" >"$file"
  done
  say "pinned    $image@$digest"
done <<<"$images"
