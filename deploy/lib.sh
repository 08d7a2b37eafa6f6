# shellcheck shell=bash
# Shared by the scripts: the checks before any change, and the one way to deploy.

set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=deploy/names.sh
source deploy/names.sh
# shellcheck source=deploy/size.sh
source deploy/size.sh

LIVETOKEN=(.venv-release/bin/python -m livetoken)
ENVIRONMENT=deploy/env.yaml
# shellcheck disable=SC2034 # setup.sh, build.sh and pin-images.sh read these
BUILDS=(cloudbuild.yaml cloudbuild-test.yaml)
# gcloud's names for the bucket of uploaded sources and for the repository of the images built from them
# shellcheck disable=SC2034
SOURCES=run-sources-$PROJECT-$REGION IMAGES=cloud-run-source-deploy
# Tags give a revision a public URL: TRIAL during this run's smoke test, CANARY once it has passed. Each
# run has its own TRIAL, which contains the time at which it began, in seconds.
TRIAL=trial-$(date +%s) CANARY=canary

trap 'fail "Unexpected error on line $LINENO. Run this again to continue."' ERR
trap 'fail "Interrupted. Run this again to continue."' INT TERM HUP

say() { printf '%s\n' "$@"; }

# fail SENTENCE...: print what went wrong and what to do, and exit with 1
fail() {
  trap - ERR
  printf '\n%s\n' "$*" >&2
  exit 1
}

if [ "$((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1]))" -lt 404 ]; then
  fail "bash 4.4 or later is required; this is $BASH_VERSION. On a Mac: brew install bash. Cloud Shell has it too."
fi

# cloud ARGUMENT...: gcloud on our project, without prompts
cloud() { gcloud --project="$PROJECT" --quiet "$@"; }

# quietly ARGUMENT...: the same, printing only errors
quietly() { cloud --no-user-output-enabled "$@"; }

# ask ARGUMENT...: the same for a query, without the warning that a filter matched nothing
ask() { cloud --verbosity=error "$@"; }

account() { printf '%s@%s.iam.gserviceaccount.com' "$1" "$PROJECT"; }

# need_project: exit unless PROJECT is set and gcloud is installed
need_project() {
  [ -n "$PROJECT" ] || fail "PROJECT is empty in deploy/names.sh. Set it to the ID of your Google Cloud project."
  command -v gcloud >/dev/null || fail "gcloud is not installed: https://cloud.google.com/sdk/docs/install"
}

# preflight: exit before any change if the function would not start; sets `facts`, and `bound`, the secrets
# besides the key, each VARIABLE=SECRET or /FILE=SECRET
preflight() {
  need_project
  make --silent ready-release || fail "Could not install the tools that check the policy; see above. To use another Python: PYTHON=python3.13 $0"

  local text name value file
  read -ra bound <<<"$SECRETS"
  text=$("${LIVETOKEN[@]}" preflight "$ENVIRONMENT" "${bound[@]/#/--secret=}") ||
    fail "Nothing was deployed. Fix the errors above. If the lock is stale, run make lock and commit it with the policy."
  declare -gA facts=()
  while IFS='=' read -r name value; do facts[$name]=$value; done <<<"$text"
  [ "${facts[safety_identifier]}" = off ] || bound+=("SAFETY_IDENTIFIER_KEY=$SAFETY_SECRET")

  text=$(gcloud meta list-files-for-upload .) || fail "gcloud cannot list the files to upload; see above."
  for file in main.py requirements.txt "${facts[policy]}" "${facts[lock]}"; do
    grep -qxF -- "$file" <<<"$text" || fail "$file would not be uploaded. Add the line !$file to .gcloudignore."
  done
  say "checked   ${facts[policy]}, its lock and $ENVIRONMENT; $(wc -l <<<"$text") files to upload"

  if [ "${facts[network]}" = required ] && [ -z "$NETWORK" ]; then
    fail "$ENVIRONMENT keeps limits in a Redis without TLS. Set NETWORK and SUBNET in deploy/names.sh to the VPC network and subnet that reach it."
  fi
  if [ "${facts[limits]}" = memory ] && [ "$MAX_INSTANCES" -gt 1 ]; then
    say "note      each of up to $MAX_INSTANCES instances counts limits separately, so callers may get $MAX_INSTANCES times the limit. docs/operations.md shows how to use Firestore or Redis."
  fi
}

# add_version SECRET WHAT HOW: read a value from the terminal or a pipe, and store it as a new version
add_version() {
  local secret=$1 what=$2 value="" LC_ALL=C # so that [:graph:] is ASCII only
  if [ -t 0 ]; then
    read -rsp "$what (not shown): " value || true
    printf '\n'
  else
    IFS= read -r value || true
  fi
  [ -n "$value" ] || fail "No $what was given, so nothing was stored. Run this again and $3."
  case $value in *[![:graph:]]*) fail "The $what contains a space or a character that is not ASCII, so it was not stored." ;; esac
  # printf is a bash builtin, so the value never appears in the process list
  printf '%s' "$value" | quietly secrets versions add "$secret" --data-file=- ||
    fail "Could not store the $what in the secret $secret; see above. This requires roles/secretmanager.secretVersionAdder."
}

# key_version [SECRET]: print the number of the newest enabled version of the key, or of another secret
key_version() {
  local version secret=${1:-$KEY_SECRET}
  version=$(ask secrets versions list "$secret" --filter=state=enabled \
    --sort-by=~createTime --limit=1 --format='value(name.basename())') ||
    fail "Could not list the versions of the secret $secret; see above. If you have not run deploy/setup.sh, run it first."
  [ -n "$version" ] || fail "The secret $secret has no enabled version. Run deploy/setup.sh, or deploy/deploy.sh rotate."
  printf '%s' "$version"
}

# deploy_revision FLAG...: build and deploy this checkout. The versions of secrets are pinned: all instances
# of a revision use the same key, and a rollback restores the key that the revision ran with.
deploy_revision() {
  local version secrets pair other
  version=$(key_version) || exit 1
  secrets="GEMINI_API_KEY=$KEY_SECRET:$version"
  for pair in "${bound[@]}"; do
    other=$(key_version "${pair#*=}") || exit 1
    secrets+=",$pair:$other"
  done
  say "deploying $SERVICE to $REGION, with version $version of the key; building takes a minute or two"
  cloud run deploy "$SERVICE" --region="$REGION" \
    --source=. --function=mint_token --base-image="$BASE_IMAGE" \
    --build-service-account="projects/$PROJECT/serviceAccounts/$(account "$BUILDER")" \
    --service-account="$(account "$RUNTIME")" \
    --env-vars-file="$ENVIRONMENT" --set-secrets="$secrets" \
    ${NETWORK:+--network="$NETWORK" --subnet="$SUBNET" --vpc-egress=private-ranges-only} \
    "${SIZE[@]}" "$@" ||
    fail "The deploy failed; see above. Callers are not affected. Fix the cause and run this again."
}

# read_traffic: set `url`; `serving`, the revision with the most traffic apart from the canary; `canary`,
# `trial` and `trial_url`, empty if missing; `others`, the trial tags of other runs; and `unknown`, tags that
# neither these scripts nor OWN_TAGS explain
# shellcheck disable=SC2034 # the scripts read them
read_traffic() {
  local rows revision percent tag address tagged most=0
  serving="" url="" canary="" trial="" trial_url="" others=() unknown=()
  rows=$(ask run services list --region="$REGION" --filter="metadata.name=$SERVICE" \
    --flatten='status.traffic[]' --format='csv[no-heading](status.url,status.traffic.revisionName,status.traffic.percent,status.traffic.tag,status.traffic.url)') ||
    fail "Could not read the service $SERVICE; see above. If you have not run deploy/setup.sh, run it first."
  while IFS=, read -r address revision percent tag tagged; do
    url=$address
    if [ "$tag" = "$CANARY" ]; then
      canary=$revision
    elif [ "$tag" = "$TRIAL" ]; then
      trial=$revision trial_url=$tagged
    elif [[ $tag =~ ^trial(-[0-9]{1,12})?$ ]]; then
      others+=("$tag")
    elif [ -n "$tag" ] && [[ " $OWN_TAGS " != *" $tag "* ]]; then
      unknown+=("$tag")
    fi
  done <<<"$rows"
  while IFS=, read -r address revision percent tag tagged; do
    if [ "${percent:-0}" -gt "$most" ] && [ "$revision" != "$canary" ]; then most=$percent serving=$revision; fi
  done <<<"$rows"
}

# list WORD...: join words with commas
list() { (IFS=, && printf '%s' "$*"); }

# remove_tags TAG...: remove the URLs of tags. If that fails, print the command that does it.
remove_tags() {
  local words=(run services update-traffic "$SERVICE" --region="$REGION" --remove-tags="$(list "$@")")
  quietly "${words[@]}" ||
    { say "note      these URLs stay public; see above. To remove them: gcloud ${words[*]} --project=$PROJECT" && return 1; }
}

# sweep: remove the URLs of runs that were killed. A run takes minutes, so one that began an hour ago has
# ended; a younger one may be under way, and keeps its URL until a command moves the traffic.
sweep() {
  local tag began ended=() young=()
  for tag in "${others[@]}"; do
    began=${tag#trial} began=${began#-} # older versions of these scripts used `trial` alone
    if [ "${began:-0}" -lt $((${TRIAL#trial-} - 3600)) ]; then ended+=("$tag"); else young+=("$tag"); fi
  done
  if [ ${#ended[@]} -gt 0 ] && remove_tags "${ended[@]}"; then
    others=("${young[@]}")
    say_swept "${ended[@]}"
  fi
  for tag in "${young[@]}"; do
    say "note      $tag is the public URL of a release that began $(((${TRIAL#trial-} - ${tag#trial-}) / 60)) minutes ago and may be under way"
  done
  [ ${#unknown[@]} -eq 0 ] ||
    say "note      deploy.sh did not create the tags $(list "${unknown[@]}"). Each gives a revision a public URL. Add those that you need to OWN_TAGS in deploy/names.sh, and remove the others with gcloud run services update-traffic $SERVICE --region=$REGION --project=$PROJECT --remove-tags=TAG"
}

say_swept() { say "swept     $(list "$@"): public URLs of releases that had not finished"; }

# move SHARES FLAG...: set each revision's share of the traffic, and remove the tags of the canary and of
# all trials. A release that is under way then stops: it must not undo this later.
move() {
  local words=(--to-revisions="$1") tags=(${canary:+"$CANARY"} ${trial:+"$TRIAL"} "${others[@]}")
  [ ${#tags[@]} -eq 0 ] || words+=(--remove-tags="$(list "${tags[@]}")")
  quietly run services update-traffic "$SERVICE" --region="$REGION" "${words[@]}" "${@:2}" ||
    fail "Could not move the traffic; see above. It is unchanged."
  [ ${#others[@]} -eq 0 ] || say_swept "${others[@]}"
}

# smoke URL: test a deployment over HTTP, as its callers use it
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
