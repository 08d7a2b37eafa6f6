# shellcheck shell=bash
# What the scripts share: checking before anything is touched, and one way to deploy.

set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=deploy/names.sh
source deploy/names.sh
# shellcheck source=deploy/size.sh
source deploy/size.sh

LIVETOKEN=(.venv/bin/python -m livetoken)
ENVIRONMENT=deploy/env.yaml
# Tags that give a revision an address of its own: while it is tried, and once it has passed.
TRIAL=trial CANARY=canary

trap 'fail "Stopped by a failure that is not foreseen (line $LINENO). Run it again: it goes on from there."' ERR
trap 'fail "Interrupted. Run it again: it goes on from there."' INT TERM HUP

say() { printf '%s\n' "$@"; }

# fail SENTENCE...: end, and say what to do
fail() {
  trap - ERR
  printf '\n%s\n' "$*" >&2
  exit 1
}

if [ "$((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1]))" -lt 404 ]; then
  fail "This takes bash 4.4 or newer, and is $BASH_VERSION. On a Mac: brew install bash. Cloud Shell has one, too."
fi

# cloud ARGUMENT...: gcloud, on our project and asking nothing
cloud() { gcloud --project="$PROJECT" --quiet "$@"; }

# quietly ARGUMENT...: the same, printing only what goes wrong
quietly() { cloud --no-user-output-enabled "$@"; }

# ask ARGUMENT...: the same for a question, whose filter may well match nothing
ask() { cloud --verbosity=error "$@"; }

account() { printf '%s@%s.iam.gserviceaccount.com' "$1" "$PROJECT"; }

# need_project: there must be a project, and gcloud
need_project() {
  [ -n "$PROJECT" ] || fail "deploy/names.sh: PROJECT is empty. Write the id of your Google Cloud project there."
  command -v gcloud >/dev/null || fail "gcloud is not installed: https://cloud.google.com/sdk/docs/install"
}

# preflight: refuse, before anything is touched, what would not serve; sets `facts`
preflight() {
  need_project
  make --silent ready || fail "The tools that check the policy could not be installed; see above. Another Python: PYTHON=python3.13 $0"

  local text name value file
  text=$("${LIVETOKEN[@]}" preflight "$ENVIRONMENT") ||
    fail "Nothing was deployed: mend the lines above. make lock writes the lock; commit it with the policy."
  declare -gA facts=()
  while IFS='=' read -r name value; do facts[$name]=$value; done <<<"$text"

  text=$(gcloud meta list-files-for-upload .) || fail "gcloud cannot say what it would upload; see above."
  for file in main.py requirements.txt "${facts[policy]}" "${facts[lock]}"; do
    grep -qxF -- "$file" <<<"$text" || fail "$file would not be uploaded. Name it in .gcloudignore, with a ! before it."
  done
  say "checked   ${facts[policy]}, its lock and $ENVIRONMENT; $(wc -l <<<"$text") files to upload"

  if [ "${facts[limits]}" = redis ] && [ -z "$NETWORK" ]; then
    fail "$ENVIRONMENT counts limits in Redis: write the VPC network and subnet that reach it into deploy/names.sh."
  fi
  if [ "${facts[limits]}" = memory ] && [ "$MAX_INSTANCES" -gt 1 ]; then
    say "note      limits count in each instance for itself: up to $MAX_INSTANCES times as often. docs/operations.md has Redis."
  fi
}

# add_version SECRET WHAT HOW: ask for a secret, or read it from a pipe, and add it as a new version
add_version() {
  local secret=$1 what=$2 value="" LC_ALL=C # where only ASCII is [:graph:]
  if [ -t 0 ]; then
    read -rsp "$what (not shown): " value || true
    printf '\n'
  else
    IFS= read -r value || true
  fi
  [ -n "$value" ] || fail "No $what was given, and none was stored. Run it again and $3."
  case $value in *[![:graph:]]*) fail "The $what holds a blank or a character that is not ASCII, and was not stored." ;; esac
  # printf is bash's own, so that the value is in no list of processes
  printf '%s' "$value" | quietly secrets versions add "$secret" --data-file=- ||
    fail "The $what could not be stored in the secret $secret; see above. Adding takes roles/secretmanager.secretVersionAdder."
}

# key_version: the newest version of the key that is enabled, as a number
key_version() {
  local version
  version=$(ask secrets versions list "$KEY_SECRET" --filter=state=enabled \
    --sort-by=~createTime --limit=1 --format='value(name.basename())') ||
    fail "The versions of the secret $KEY_SECRET cannot be listed; see above. Has deploy/setup.sh been run?"
  [ -n "$version" ] || fail "The secret $KEY_SECRET has no version that is enabled. Run deploy/setup.sh, or deploy/deploy.sh rotate."
  printf '%s' "$version"
}

# deploy_revision FLAG...: build and deploy what is here. The key's version is pinned, so that all
# instances of a revision have one key, and a rollback brings back the key that it ran with.
deploy_revision() {
  local version
  version=$(key_version) || exit 1
  say "deploying $SERVICE to $REGION, with version $version of the key; building takes a minute or two"
  cloud run deploy "$SERVICE" --region="$REGION" \
    --source=. --function=mint_token --base-image="$BASE_IMAGE" \
    --build-service-account="projects/$PROJECT/serviceAccounts/$(account "$BUILDER")" \
    --service-account="$(account "$RUNTIME")" \
    --env-vars-file="$ENVIRONMENT" --set-secrets="GEMINI_API_KEY=$KEY_SECRET:$version" \
    ${NETWORK:+--network="$NETWORK" --subnet="$SUBNET" --vpc-egress=private-ranges-only} \
    "${SIZE[@]}" "$@" ||
    fail "The deploy failed; see above. Callers notice nothing of it. Mend the cause and run it again."
}

# read_traffic: sets `url`, `canary`, `trial` and `trial_url`, the `tags` of these that there are, and
# `serving`: of all but the canary, the revision with the most callers
# shellcheck disable=SC2034 # the scripts read them
read_traffic() {
  local rows revision percent tag address tagged most=0
  serving="" url="" canary="" trial="" trial_url="" tags=""
  rows=$(ask run services list --region="$REGION" --filter="metadata.name=$SERVICE" \
    --flatten='status.traffic[]' --format='csv[no-heading](status.url,status.traffic.revisionName,status.traffic.percent,status.traffic.tag,status.traffic.url)') ||
    fail "The service $SERVICE cannot be read; see above. Has deploy/setup.sh been run?"
  while IFS=, read -r address revision percent tag tagged; do
    url=$address
    case $tag in
      "$CANARY") canary=$revision ;;
      "$TRIAL") trial=$revision trial_url=$tagged ;;
      *) continue ;;
    esac
    tags+=${tags:+,}$tag
  done <<<"$rows"
  while IFS=, read -r address revision percent tag tagged; do
    if [ "${percent:-0}" -gt "$most" ] && [ "$revision" != "$canary" ]; then most=$percent serving=$revision; fi
  done <<<"$rows"
}

# move SHARES FLAG...: give revisions their shares of the callers, and take the `tags` away
move() {
  local shares=$1
  shift
  quietly run services update-traffic "$SERVICE" --region="$REGION" --to-revisions="$shares" \
    ${tags:+--remove-tags="$tags"} "$@" ||
    fail "The traffic could not be moved; see above. It is where it was."
}

# smoke URL: try a deployment as its callers will
smoke() {
  local origin
  local -a origins options=(--policy="${facts[policy]}")
  IFS=, read -ra origins <<<"${facts[origins]}"
  for origin in "${origins[@]}"; do options+=(--origin="$origin"); done
  [ -z "$ID_TOKEN_COMMAND" ] || options+=(--id-token-command="$ID_TOKEN_COMMAND")
  [ -z "$APP_CHECK_COMMAND" ] || options+=(--app-check-command="$APP_CHECK_COMMAND")
  "${LIVETOKEN[@]}" smoke "${options[@]}" "$1"
}
export PROJECT SMOKE_EMAIL SMOKE_SECRET FIREBASE_WEB_API_KEY # for deploy/id_token.py
