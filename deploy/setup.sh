#!/usr/bin/env bash
# Sets up a Google Cloud project for livetoken and deploys for the first time. A project owner runs it:
#
#   deploy/setup.sh                 asks for the Gemini API key and the test user's password
#   deploy/setup.sh < key.txt       reads the key from a file or pipe, and the password from SMOKE_PASSWORD
#
# It is safe to run again at any time: existing resources stay as they are.

# shellcheck source=deploy/lib.sh
source "$(dirname "$0")/lib.sh"
[ $# -eq 0 ] || fail "usage: deploy/setup.sh"

APIS=(
  run.googleapis.com cloudbuild.googleapis.com artifactregistry.googleapis.com
  secretmanager.googleapis.com iam.googleapis.com cloudresourcemanager.googleapis.com
)

REPOSITORY=(artifacts repositories "projects/$PROJECT/locations/$REGION/repositories/$IMAGES")

# create_account NAME WHAT
create_account() {
  grep -qxF -- "$(account "$1")" <<<"$accounts" && return
  quietly iam service-accounts create "$1" --display-name="$2" ||
    fail "Could not create the service account $1; see above. This requires roles/owner or roles/iam.serviceAccountCreator."
}

# create_secret NAME WHAT HOW: create a secret if it is missing, and read its value if it has none
create_secret() {
  if ! grep -qxF -- "$1" <<<"$secrets"; then
    quietly secrets create "$1" --replication-policy=automatic ||
      fail "Could not create the secret $1; see above. This requires roles/owner or roles/secretmanager.admin."
  fi
  local versions
  versions=$(ask secrets versions list "$1" --filter=state=enabled --limit=1 --format='value(name)') ||
    fail "Could not list the versions of the secret $1; see above."
  [ -n "$versions" ] || add_version "$@"
}

# create_bucket NAME: create a private bucket if it is missing
create_bucket() {
  grep -qxF -- "$1" <<<"$buckets" ||
    quietly storage buckets create "gs://$1" --location="$REGION" --uniform-bucket-level-access --public-access-prevention ||
    fail "Could not create the bucket $1; see above. This requires roles/owner or roles/storage.admin."
}

# create_stores: create what gcloud would create at the first deploy, so that roles can be granted on it
create_stores() {
  local found
  create_bucket "$SOURCES"
  found=$(ask artifacts repositories list --location="$REGION" --format='value(name.basename())') ||
    fail "Could not list the repositories; see above. This requires roles/owner or roles/artifactregistry.admin."
  grep -qxF -- "$IMAGES" <<<"$found" ||
    quietly artifacts repositories create "$IMAGES" --location="$REGION" --repository-format=docker ||
    fail "Could not create the repository $IMAGES; see above. This requires roles/owner or roles/artifactregistry.admin."
}

# grant ACCOUNT ROLE WHERE...: WHERE is gcloud's command group and the resource's name; `condition` may
# narrow it. Other services do not see a new account at once: only that error is retried, for about a minute.
grant() {
  local member role=$2 pause=1 said
  member="serviceAccount:$(account "$1")"
  shift 2
  until said=$(quietly "${@:1:$#-1}" add-iam-policy-binding "${@: -1}" \
    --member="$member" --role="$role" --condition="${condition:-None}" 2>&1); do
    if [[ $said != *"does not exist"* ]] || [ "$pause" -gt 32 ]; then
      fail "$said" $'\n'"Could not grant $role to $member; see above. This requires roles/owner."
    fi
    sleep "$pause"
    pause=$((pause * 2))
  done
}

# revoke ACCOUNT ROLE: take back a role on the project that an older version of this script granted
revoke() {
  local member found
  member="serviceAccount:$(account "$1")"
  found=$(ask projects get-iam-policy "$PROJECT" --flatten='bindings[].members' --format='value(bindings.role)' \
    --filter="bindings.role=$2 AND bindings.members=$member AND NOT bindings.condition:*") ||
    fail "Could not read the roles on the project; see above. This requires roles/owner."
  [ -z "$found" ] ||
    quietly projects remove-iam-policy-binding "$PROJECT" --member="$member" --role="$2" --condition=None ||
    fail "Could not take $2 on the project back from $member; see above. This requires roles/owner."
}

preflight

cloud projects describe "$PROJECT" --format=none ||
  fail "Could not read the project $PROJECT; see above. Check PROJECT in deploy/names.sh, and sign in with gcloud auth login."
quietly services enable "${APIS[@]}" ||
  fail "Could not enable the APIs; see above. The project needs billing, and you need roles/owner or roles/serviceusage.serviceUsageAdmin."
say "enabled   ${#APIS[@]} APIs in $PROJECT"

accounts=$(ask iam service-accounts list --format='value(email)') ||
  fail "Could not list the service accounts; see above. This requires roles/owner or roles/iam.serviceAccountViewer."
create_account "$RUNTIME" "livetoken: runs the function"
create_account "$BUILDER" "livetoken: builds the container"
create_account "$TESTER" "livetoken: runs the tests in Cloud Build"
create_account "$RELEASER" "livetoken: releases from Cloud Build"
say "accounts  $RUNTIME, $BUILDER, $TESTER, $RELEASER"

secrets=$(ask secrets list --format='value(name.basename())') ||
  fail "Could not list the secrets; see above. This requires roles/owner or roles/secretmanager.viewer."
create_secret "$KEY_SECRET" "Gemini API key" "paste it, or send it through a pipe"
create_password() { create_secret "$SMOKE_SECRET" "password of $SMOKE_EMAIL" "type it, or set SMOKE_PASSWORD"; }
if [ -n "$SMOKE_EMAIL" ] && [ -z "${SMOKE_PASSWORD:-}" ] && [ -t 0 ]; then
  create_password
elif [ -n "$SMOKE_EMAIL" ]; then # standard input is the key, so it must never be read as the password
  create_password < <(printf '%s' "${SMOKE_PASSWORD:-}")
fi
if [ "${facts[safety_identifier]}" = on ]; then # only the function needs this key, so it is made here
  create_secret "$SAFETY_SECRET" "key of the safety identifiers" "try again" \
    < <("${LIVETOKEN[0]}" -c 'import secrets; print(secrets.token_hex())')
fi
for pair in "${bound[@]}"; do
  [ "${pair#*=}" = "$SAFETY_SECRET" ] || grep -qxF -- "${pair#*=}" <<<"$secrets" ||
    fail "There is no secret ${pair#*=} (SECRETS in deploy/names.sh). Create it: gcloud secrets create ${pair#*=} --project=$PROJECT --data-file=FILE"
done
say "secrets   $KEY_SECRET${SMOKE_EMAIL:+, $SMOKE_SECRET}"

buckets=$(ask storage buckets list --format='value(name)') ||
  fail "Could not list the buckets; see above. This requires roles/owner or roles/storage.admin."
create_stores
say "stores    $SOURCES, $IMAGES"

# The switch. An empty SWITCH_OBJECT means that there is none.
switch=${facts[switch]}
grep -q '^SWITCH_OBJECT:' "$ENVIRONMENT" || switch=gs://$SERVICE-switch-$PROJECT/$SERVICE.json
if [ -n "$switch" ]; then
  bucket=${switch#gs://} bucket=${bucket%%/*}
  create_bucket "$bucket"
  grant "$RUNTIME" roles/storage.objectViewer storage buckets "gs://$bucket"
  if [ -z "${facts[switch]}" ]; then
    printf '\n# stops all minting and bans callers: deploy/deploy.sh stop\nSWITCH_OBJECT: "%s"\n' "$switch" >>"$ENVIRONMENT"
    say "switch    $switch, written to $ENVIRONMENT: commit it. It works from the next deploy on"
  else
    say "switch    $switch"
  fi
fi

# The function may read its secrets and its switch. The policy and the environment can need further roles.
grant "$RUNTIME" roles/secretmanager.secretAccessor secrets "$KEY_SECRET"
for pair in "${bound[@]}"; do
  grant "$RUNTIME" roles/secretmanager.secretAccessor secrets "${pair#*=}"
  grant "$RELEASER" roles/secretmanager.viewer secrets "${pair#*=}"
done
if [ "${facts[app_check]}" = consume ]; then # to consume App Check tokens
  grant "$RUNTIME" roles/firebaseappcheck.tokenVerifier projects "${facts[firebase_project]}"
fi
IFS=, read -ra looked_up <<<"${facts[looked_up]}"
for project in "${looked_up[@]}"; do # to look up revoked users
  grant "$RUNTIME" roles/firebaseauth.viewer projects "$project"
done
if [ -n "${facts[firestore]}" ]; then # to count limits, in this database only
  IFS=/ read -r project database <<<"${facts[firestore]}"
  condition="title=livetoken limits,expression=resource.name==\"projects/$project/databases/$database\"" \
    grant "$RUNTIME" roles/datastore.user projects "$project"
fi
# The build reads the uploaded source, and writes the image and the build log.
grant "$BUILDER" roles/logging.logWriter projects "$PROJECT"
grant "$BUILDER" roles/storage.objectViewer storage buckets "gs://$SOURCES"
grant "$BUILDER" roles/artifactregistry.writer "${REPOSITORY[@]}"
# The tests run code of many packages, so their account may only read its source and write its log.
grant "$TESTER" roles/logging.logWriter projects "$PROJECT"
grant "$TESTER" roles/storage.objectViewer storage buckets "gs://$SOURCES"
# A release uploads the source, starts the builds, creates a revision and moves traffic. It can list the
# versions of the key, but not read them.
grant "$RELEASER" roles/run.developer projects "$PROJECT"
grant "$RELEASER" roles/cloudbuild.builds.editor projects "$PROJECT"
grant "$RELEASER" roles/serviceusage.serviceUsageConsumer projects "$PROJECT"
grant "$RELEASER" roles/logging.logWriter projects "$PROJECT"
grant "$RELEASER" roles/storage.bucketViewer projects "$PROJECT" # gcloud lists the buckets, to see whose $SOURCES is
grant "$RELEASER" roles/storage.objectCreator storage buckets "gs://$SOURCES"
grant "$RELEASER" roles/storage.objectViewer storage buckets "gs://$SOURCES"
grant "$RELEASER" roles/artifactregistry.reader "${REPOSITORY[@]}"
grant "$RELEASER" roles/secretmanager.viewer secrets "$KEY_SECRET"
for account in "$RUNTIME" "$BUILDER" "$TESTER"; do
  grant "$RELEASER" roles/iam.serviceAccountUser iam service-accounts "$(account "$account")"
done
[ -z "$SMOKE_EMAIL" ] || grant "$RELEASER" roles/secretmanager.secretAccessor secrets "$SMOKE_SECRET"
revoke "$BUILDER" roles/run.builder
revoke "$RELEASER" roles/run.sourceDeveloper
say "grants    each account has only the roles that it needs"

read_traffic
if [ -n "$serving" ]; then
  say "serving   $serving already serves, so nothing was deployed. To release: deploy/deploy.sh"
else
  # Cloud Run's IAM does not know Firebase users, so the service is public and the function checks each
  # caller. Unlike a role for allUsers, this flag also works under domain-restricted sharing.
  deploy_revision --no-invoker-iam-check
  read_traffic
  move "$serving=100" # by name, so that a later deploy gets no traffic before it is tested
fi

smoke "$url" || fail "$SERVICE is deployed at $url, but failed the smoke test; see above. Fix the cause, then run deploy/deploy.sh."
say "" "Apps request tokens at $url"
