#!/usr/bin/env bash
# Sets up a project for livetoken, once, and deploys it for the first time. Run by an owner:
#
#   deploy/setup.sh                 asks for the Gemini API key, and for a test person's password
#   deploy/setup.sh < key.txt       takes the key from a file or a pipe, and the password from SMOKE_PASSWORD
#
# It can be run again at any time: what is there already stays as it is.

# shellcheck source=deploy/lib.sh
source "$(dirname "$0")/lib.sh"
[ $# -eq 0 ] || fail "usage: deploy/setup.sh"

APIS=(
  run.googleapis.com cloudbuild.googleapis.com artifactregistry.googleapis.com
  secretmanager.googleapis.com iam.googleapis.com cloudresourcemanager.googleapis.com
)

# create_account NAME WHAT
create_account() {
  grep -qxF -- "$(account "$1")" <<<"$accounts" && return
  quietly iam service-accounts create "$1" --display-name="$2" ||
    fail "The service account $1 could not be made; see above. It takes roles/owner, or roles/iam.serviceAccountCreator."
}

# create_secret NAME WHAT HOW: make a secret, and ask for its value where it has none
create_secret() {
  if ! grep -qxF -- "$1" <<<"$secrets"; then
    quietly secrets create "$1" --replication-policy=automatic ||
      fail "The secret $1 could not be made; see above. It takes roles/owner, or roles/secretmanager.admin."
  fi
  local versions
  versions=$(ask secrets versions list "$1" --filter=state=enabled --limit=1 --format='value(name)') ||
    fail "The versions of the secret $1 cannot be listed; see above."
  [ -n "$versions" ] || add_version "$@"
}

# grant ACCOUNT ROLE WHERE...: WHERE is gcloud's group and the resource's name. An account that was
# just made is unknown elsewhere for a while, so that alone is tried again, for about a minute.
grant() {
  local member role=$2 pause=1 said
  member="serviceAccount:$(account "$1")"
  shift 2
  until said=$(quietly "${@:1:$#-1}" add-iam-policy-binding "${@: -1}" \
    --member="$member" --role="$role" --condition=None 2>&1); do
    if [[ $said != *"does not exist"* ]] || [ "$pause" -gt 32 ]; then
      fail "$said" $'\n'"$member could not be given $role; see above. It takes roles/owner."
    fi
    sleep "$pause"
    pause=$((pause * 2))
  done
}

preflight

cloud projects describe "$PROJECT" --format=none ||
  fail "The project $PROJECT cannot be seen; see above. Is its id in deploy/names.sh right, and have you run gcloud auth login?"
quietly services enable "${APIS[@]}" ||
  fail "The APIs could not be enabled; see above. The project needs billing, and you roles/owner or roles/serviceusage.serviceUsageAdmin."
say "enabled   ${#APIS[@]} APIs in $PROJECT"

accounts=$(ask iam service-accounts list --format='value(email)') ||
  fail "The service accounts cannot be listed; see above. Listing takes roles/owner or roles/iam.serviceAccountViewer."
create_account "$RUNTIME" "livetoken: runs the function"
create_account "$BUILDER" "livetoken: builds the container"
create_account "$RELEASER" "livetoken: releases from Cloud Build"
say "accounts  $RUNTIME, $BUILDER, $RELEASER"

secrets=$(ask secrets list --format='value(name.basename())') ||
  fail "The secrets cannot be listed; see above. Listing takes roles/owner or roles/secretmanager.viewer."
create_secret "$KEY_SECRET" "Gemini API key" "paste it, or send it through a pipe"
create_password() { create_secret "$SMOKE_SECRET" "password of $SMOKE_EMAIL" "type it, or set SMOKE_PASSWORD"; }
if [ -n "$SMOKE_EMAIL" ] && [ -z "${SMOKE_PASSWORD:-}" ] && [ -t 0 ]; then
  create_password
elif [ -n "$SMOKE_EMAIL" ]; then # a pipe carries the key, which shall never become the password
  create_password < <(printf '%s' "${SMOKE_PASSWORD:-}")
fi
say "secrets   $KEY_SECRET${SMOKE_EMAIL:+, $SMOKE_SECRET}"

# The function reads its key, and holds no role on the project or anything else in it.
grant "$RUNTIME" roles/secretmanager.secretAccessor secrets "$KEY_SECRET"
if [ "${facts[app_check]}" = consume ]; then # to tell App Check that a token is used
  grant "$RUNTIME" roles/firebaseappcheck.tokenVerifier projects "${facts[firebase_project]}"
fi
# The build reads the uploaded source, writes the image and its log.
grant "$BUILDER" roles/run.builder projects "$PROJECT"
# A release uploads, starts the build, replaces the service's revision and moves traffic. It sees which
# versions of the key there are, and reads none.
grant "$RELEASER" roles/run.sourceDeveloper projects "$PROJECT"
grant "$RELEASER" roles/serviceusage.serviceUsageConsumer projects "$PROJECT"
grant "$RELEASER" roles/logging.logWriter projects "$PROJECT"
grant "$RELEASER" roles/secretmanager.viewer secrets "$KEY_SECRET"
grant "$RELEASER" roles/iam.serviceAccountUser iam service-accounts "$(account "$RUNTIME")"
grant "$RELEASER" roles/iam.serviceAccountUser iam service-accounts "$(account "$BUILDER")"
[ -z "$SMOKE_EMAIL" ] || grant "$RELEASER" roles/secretmanager.secretAccessor secrets "$SMOKE_SECRET"
say "grants    each account has its one job"

read_traffic
if [ -n "$serving" ]; then
  say "serving   $serving, so nothing was deployed: deploy/deploy.sh releases"
else
  # Public for Cloud Run's IAM, which knows no Firebase users: the check is the function's. The switch
  # works under domain-restricted sharing too, where allUsers may hold no role.
  deploy_revision --no-invoker-iam-check
  read_traffic
  move "$serving=100" # by its name, so that a later deploy serves nobody before it is tried
fi

smoke "$url" || fail "$SERVICE is deployed at $url, and does not do what it must; see the table. Mend the cause, then run deploy/deploy.sh."
say "" "Apps ask for their tokens at $url"
