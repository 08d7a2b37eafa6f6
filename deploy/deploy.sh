#!/usr/bin/env bash
# Releases, and takes back.
#
#   deploy/deploy.sh                      release: a revision without callers, a smoke test, then all traffic
#   deploy/deploy.sh canary [PERCENT]     stop after the smoke test, with PERCENT of the callers (default 0)
#   deploy/deploy.sh promote              all traffic to that canary
#   deploy/deploy.sh rollback [REVISION]  all traffic off the canary, or to a revision that served before
#   deploy/deploy.sh rotate               take a new Gemini API key, and release with it
#   deploy/deploy.sh smoke                try what serves
#
# It can be run again at any time. Callers move only to a revision that passed its smoke test, or that
# you name.

# shellcheck source=deploy/lib.sh
source "$(dirname "$0")/lib.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' deploy/deploy.sh >&2
  exit 2
}

# need_service: there must be one that serves; sets what read_traffic sets
need_service() {
  read_traffic
  [ -n "$serving" ] || fail "There is no service $SERVICE in $REGION that serves. Run deploy/setup.sh first."
}

# withdraw: nobody shall find what was not tried to its end
withdraw() {
  trap - EXIT
  read_traffic
  [ -n "$trial" ] || return 0
  quietly run services update-traffic "$SERVICE" --region="$REGION" --remove-tags="$TRIAL" ||
    say "What was tried keeps its address, without callers: deploy/deploy.sh rollback takes it away." >&2
}

# try_revision: deploy what is here beside what serves, and try it at an address of its own; sets `trial`
try_revision() {
  trap withdraw EXIT # it failed, or was interrupted
  deploy_revision --no-traffic --tag="$TRIAL"
  read_traffic
  [ -n "$trial" ] || fail "The new revision has no address to try it at. Callers are where they were."
  say "" "$trial, without callers, at $trial_url"
  smoke "$trial_url" ||
    fail "$trial failed its smoke test and was taken away. Callers are where they were. Mend the lines above, then release again."
  local tried=$trial
  read_traffic
  trap - EXIT
  [ "$trial" = "$tried" ] || # nor is what is there now ours to take away
    fail "Another release took the address of $tried while it was tried. Callers are where they were. Let that one end, then release again."
}

# serve REVISION: give it all callers
serve() {
  local before=$serving
  move "$1=100"
  say "" "$1 serves everybody at $url" "To go back: deploy/deploy.sh rollback $before"
}

# disable VERSION: how to take a version of the key away
disable() { printf '  gcloud secrets versions disable %s --secret=%s --project=%s' "$1" "$KEY_SECRET" "$PROJECT"; }

# served_version: the version of the key that what serves has
served_version() {
  ask run revisions list --service="$SERVICE" --region="$REGION" --flatten='spec.containers[].env[]' \
    --filter="metadata.name=$serving AND spec.containers.env.name=GEMINI_API_KEY" \
    --format='value(spec.containers.env.valueFrom.secretKeyRef.key)' ||
    fail "The revision $serving cannot be read; see above."
}

rollback() {
  local revision=${1:-}
  need_service
  if [ -z "$revision" ] && [ -n "$tags" ]; then
    move "$serving=100"
    say "$serving serves everybody. The canary ${canary:-$trial} was taken away."
    return
  fi
  if [ -z "$revision" ]; then
    ask run revisions list --service="$SERVICE" --region="$REGION" --filter="status.conditions.type=Ready" \
      --sort-by=~metadata.creationTimestamp --limit=10 \
      --format='table(metadata.name:label=REVISION, metadata.creationTimestamp.date("%Y-%m-%d %H:%M"):label=MADE)' >&2
    fail "$serving serves. Name the revision to go back to: deploy/deploy.sh rollback REVISION"
  fi
  move "$revision=100"
  say "$revision serves everybody. The next release starts from what is checked out then."
}

case "$#:${1:-release}" in
  0:release | 1:release)
    preflight
    need_service
    try_revision
    serve "$trial"
    ;;
  1:canary | 2:canary)
    percent=${2:-0}
    [[ $percent =~ ^(0|[1-9][0-9]?)$ ]] || usage
    preflight
    need_service
    try_revision
    tags=$TRIAL
    move "$trial=$percent,$serving=$((100 - percent))" --update-tags="$CANARY=$trial"
    say "" "$trial has $percent % of the callers; $serving has the rest." \
      "deploy/deploy.sh promote gives it all, deploy/deploy.sh rollback takes it away."
    ;;
  1:promote)
    need_service
    [ -n "$canary" ] || fail "There is no canary to promote. deploy/deploy.sh canary makes one."
    serve "$canary"
    ;;
  1:rollback | 2:rollback) rollback "${2:-}" ;;
  1:rotate)
    preflight
    need_service
    old=$(served_version) || exit 1
    add_version "$KEY_SECRET" "new Gemini API key" "paste it, or send it through a pipe"
    new=$(key_version) || exit 1
    say "stored    version $new of the key, which every release takes from now on. To go back to the old key, type:" \
      "$(disable "$new")"
    try_revision
    serve "$trial"
    say "" "Version $old of the key still works, for a rollback. When that is not needed any more, delete the" \
      "key in Google AI Studio, then:" "$(disable "$old")"
    ;;
  1:smoke)
    preflight
    need_service
    smoke "$url" || fail "$serving serves, and does not do what it must; see the table. deploy/deploy.sh rollback goes back."
    ;;
  *) usage ;;
esac
