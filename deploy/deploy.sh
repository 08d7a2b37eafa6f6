#!/usr/bin/env bash
# Releases, rolls back and changes the key.
#
#   deploy/deploy.sh                      release: deploy without traffic, run the smoke test, move all traffic
#   deploy/deploy.sh canary [PERCENT]     the same, but move only PERCENT of the traffic (default 0)
#   deploy/deploy.sh promote              move all traffic to the canary
#   deploy/deploy.sh rollback [REVISION]  move all traffic off the canary, or to REVISION
#   deploy/deploy.sh rotate               store a new Gemini API key and release with it
#   deploy/deploy.sh stop                 stop all minting, without a release
#   deploy/deploy.sh start                mint again
#   deploy/deploy.sh ban UID              refuse an account; unban UID: accept it again
#   deploy/deploy.sh smoke                run the smoke test on the revision that serves
#
# It is safe to run again at any time. Traffic moves only to a revision that passed its smoke test, or
# to one that you name. Each command that changes the traffic also removes the public URLs that killed
# releases left.

# shellcheck source=deploy/lib.sh
source "$(dirname "$0")/lib.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' deploy/deploy.sh >&2
  exit 2
}

# need_service: exit unless a revision serves; sets what read_traffic sets
need_service() {
  read_traffic
  [ -n "$serving" ] || fail "No revision of $SERVICE serves in $REGION. Run deploy/setup.sh first."
}

# withdraw: remove the URL of a revision whose smoke test did not pass
withdraw() {
  trap - EXIT
  read_traffic
  [ -z "$trial" ] || remove_tags "$TRIAL" >&2 || true
}

# try_revision: deploy this checkout without traffic, and test it at its own URL; sets `trial`
try_revision() {
  local tried passed=true before="$serving $canary"
  trap withdraw EXIT # in case this fails or is interrupted
  deploy_revision --no-traffic --tag="$TRIAL"
  read_traffic
  [ -n "$trial" ] || fail "The new revision has no URL for its smoke test. Traffic has not moved."
  say "" "$trial gets no traffic yet. Testing it at $trial_url"
  smoke "$trial_url" || passed=false
  tried=$trial
  read_traffic
  [ "$trial $serving $canary" = "$tried $before" ] ||
    fail "Another command moved the traffic while $tried was built and tested, so this release stops. Release again if you still want it."
  $passed ||
    fail "$tried failed its smoke test, so its URL was removed. Traffic has not moved. Fix the errors above and release again."
  trap - EXIT
}

# serve REVISION: move all traffic to it
serve() {
  local before=$serving
  move "$1=100"
  say "" "$1 serves all traffic at $url" "To roll back: deploy/deploy.sh rollback $before"
}

# disable VERSION: print the command that disables a version of the key
disable() { printf '  gcloud secrets versions disable %s --secret=%s --project=%s' "$1" "$KEY_SECRET" "$PROJECT"; }

# served VARIABLE FIELD: print a field of an environment variable of the serving revision
served() {
  ask run revisions list --service="$SERVICE" --region="$REGION" --flatten='spec.containers[].env[]' \
    --filter="metadata.name=$serving AND spec.containers.env.name=$1" \
    --format="value(spec.containers.env.$2)" ||
    fail "Could not read the revision $serving; see above."
}

rollback() {
  local revision=${1:-}
  need_service
  sweep
  if [ -z "$revision" ] && [ -n "$canary${others[*]}" ]; then
    move "$serving=100"
    say "$serving serves all traffic.${canary:+ The canary $canary was removed.}"
    return
  fi
  if [ -z "$revision" ]; then
    ask run revisions list --service="$SERVICE" --region="$REGION" --filter="status.conditions.type=Ready" \
      --sort-by=~metadata.creationTimestamp --limit=10 \
      --format='table(metadata.name:label=REVISION, metadata.creationTimestamp.date("%Y-%m-%d %H:%M"):label=CREATED)' >&2
    fail "$serving serves now. Name the revision to roll back to: deploy/deploy.sh rollback REVISION"
  fi
  move "$revision=100"
  say "$revision serves all traffic. The next release deploys the checkout, so fix the checkout first."
}

# change_switch VERB [UID]: change the switch, and do it again if somebody else changed it meanwhile
change_switch() {
  local switch generation old new said
  need_project
  need_service
  switch=$(served SWITCH_OBJECT value) || exit 1
  [ -n "$switch" ] ||
    fail "$serving has no switch, so nothing was changed. Run deploy/setup.sh, then deploy/deploy.sh. To stop everything now, delete the key in Google AI Studio."
  for _ in 1 2 3 4 5; do
    old="" new=""
    if generation=$(ask storage objects describe "$switch" --format='value(generation)' 2>&1); then
      old=$(ask storage cat "$switch") || continue
    elif [[ $generation == *"not found: 404"* ]]; then
      generation=0
    else
      fail "$generation"$'\n'"Could not read $switch; see above. This requires roles/storage.objectUser on its bucket."
    fi
    new=$(deploy/switch.py "$@" <<<"$old") ||
      fail "$switch was not changed; see above. To replace an object that is broken: echo '{\"stopped\": true, \"banned\": []}' | gcloud storage cp - $switch"
    [ "$new" != "$old" ] || break
    said=$(printf '%s\n' "$new" | quietly storage cp - "$switch" --if-generation-match="$generation" 2>&1) && break
    [[ $said == *"HTTPError 412"* ]] ||
      fail "$said"$'\n'"Could not write $switch; see above. This requires roles/storage.objectUser on its bucket."
    new="" # somebody else changed it
  done
  [ -n "$new" ] || fail "Others keep changing $switch, so this change was not made. Run this again."
  case $1 in
    stop) say "stopped   no token is minted any more" ;;
    start) say "started   tokens are minted again" ;;
    ban) say "banned    $2 gets no token any more" ;;
    unban) say "unbanned  $2 is treated like any caller again" ;;
  esac
  say "written   $switch, at $(date -u +%H:%M:%S) UTC; in force on every instance 60 seconds later" \
    "note      tokens that were minted before stay valid until they expire"
}

case "$#:${1:-release}" in
  0:release | 1:release)
    preflight
    need_service
    sweep
    try_revision
    serve "$trial"
    ;;
  1:canary | 2:canary)
    percent=${2:-0}
    [[ $percent =~ ^(0|[1-9][0-9]?)$ ]] || usage
    preflight
    need_service
    sweep
    try_revision
    move "$trial=$percent,$serving=$((100 - percent))" --update-tags="$CANARY=$trial"
    say "" "$trial gets $percent % of the traffic; $serving gets the rest." \
      "To move all traffic to it: deploy/deploy.sh promote. To remove it: deploy/deploy.sh rollback."
    ;;
  1:promote)
    need_service
    sweep
    [ -n "$canary" ] || fail "No canary to promote. Create one with deploy/deploy.sh canary."
    serve "$canary"
    ;;
  1:rollback | 2:rollback) rollback "${2:-}" ;;
  1:rotate)
    preflight
    need_service
    sweep
    old=$(served GEMINI_API_KEY valueFrom.secretKeyRef.key) || exit 1
    add_version "$KEY_SECRET" "new Gemini API key" "paste it, or send it through a pipe"
    new=$(key_version) || exit 1
    say "stored    version $new of the key. Every release uses it from now on. To return to the old key, run:" \
      "$(disable "$new")"
    try_revision
    serve "$trial"
    say "" "A rollback still uses version $old of the key. When you no longer need that, delete the key in" \
      "Google AI Studio, then run:" "$(disable "$old")"
    ;;
  1:stop | 1:start | 2:ban | 2:unban) change_switch "$@" ;;
  1:smoke)
    preflight
    need_service
    smoke "$url" || fail "$serving failed the smoke test; see above. To roll back: deploy/deploy.sh rollback"
    ;;
  *) usage ;;
esac
