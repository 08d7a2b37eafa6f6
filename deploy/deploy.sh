#!/usr/bin/env bash
# Releases, and takes back.
#
#   deploy/deploy.sh                      release: a canary without callers, a smoke test, then all traffic
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

# move REVISION PERCENT FLAG...: give a revision a share of the callers
move() {
  local revision=$1 percent=$2
  shift 2
  quietly run services update-traffic "$SERVICE" --region="$REGION" --to-revisions="$revision=$percent" "$@" ||
    fail "The traffic could not be moved to $revision; see above. It is where it was."
}

# withdraw REVISION: take away the address of a canary, unless it is still that older one's
withdraw() {
  read_traffic
  [ "$canary" != "$1" ] || return 0
  quietly run services update-traffic "$SERVICE" --region="$REGION" --remove-tags="$CANARY" ||
    say "The canary keeps its address: deploy/deploy.sh rollback takes it away." >&2
}

# need_service: there must be one that serves; sets what read_traffic sets
need_service() {
  read_traffic
  [ -n "$serving" ] || fail "There is no service $SERVICE in $REGION that serves. Run deploy/setup.sh first."
}

# start_canary: deploy what is here beside what serves, and try it at an address of its own
start_canary() {
  local before=$serving older=$canary
  # shellcheck disable=SC2064 # as it is now
  trap "trap - EXIT; withdraw '$older'" EXIT # failed or interrupted: nobody shall find it at its address
  deploy_revision --no-traffic --tag="$CANARY"
  read_traffic
  [ -n "$canary" ] || fail "The new revision has no address to try it at. Callers are still on $before."
  say "" "$canary, without callers, at $canary_url"
  smoke "$canary_url" ||
    fail "$canary failed its smoke test and was taken away. Callers are still on $before. Mend the lines above, then release again.${advice:-}"
  local tried=$canary
  read_traffic
  trap - EXIT
  [ "$canary" = "$tried" ] || # nor is what is there now ours to take away
    fail "Another release took the address of $tried while it was tried. Callers are still on $serving. Let that one end, then release again."
}

# disable VERSION: how to take a version of the key away
disable() { printf 'gcloud secrets versions disable %s --secret=%s --project=%s' "$1" "$KEY_SECRET" "$PROJECT"; }

promote() {
  local before=$serving
  [ -n "$canary" ] || fail "There is no canary to promote. deploy/deploy.sh canary makes one."
  move "$canary" 100 --remove-tags="$CANARY"
  say "" "$canary serves everybody at $url" "To go back: deploy/deploy.sh rollback $before"
}

rollback() {
  local revision=${1:-}
  need_service
  if [ -z "$revision" ] && [ -n "$canary" ]; then
    move "$serving" 100 --remove-tags="$CANARY"
    say "$serving serves everybody. The canary $canary was taken away."
    return
  fi
  if [ -z "$revision" ]; then
    ask run revisions list --service="$SERVICE" --region="$REGION" --filter="status.conditions.type=Ready" \
      --sort-by=~metadata.creationTimestamp --limit=10 \
      --format='table(metadata.name:label=REVISION, metadata.creationTimestamp.date("%Y-%m-%d %H:%M"):label=MADE)' >&2
    fail "$serving serves. Name the revision to go back to: deploy/deploy.sh rollback REVISION"
  fi
  move "$revision" 100 ${canary:+--remove-tags="$CANARY"}
  say "$revision serves everybody. The next release starts from what is checked out then."
}

case "$#:${1:-release}" in
  0:release | 1:release)
    preflight
    need_service
    start_canary
    promote
    ;;
  1:canary | 2:canary)
    [[ ${2:-0} =~ ^[0-9]{1,2}$ ]] || usage
    preflight
    need_service
    start_canary
    [ "${2:-0}" -eq 0 ] || move "$canary" "$2"
    say "" "$canary has ${2:-0} % of the callers; $serving has the rest." \
      "deploy/deploy.sh promote gives it all, deploy/deploy.sh rollback takes it away."
    ;;
  1:promote)
    need_service
    promote
    ;;
  1:rollback | 2:rollback) rollback "${2:-}" ;;
  1:rotate)
    preflight
    need_service
    old=$(key_version) || exit 1
    add_version "$KEY_SECRET" "new Gemini API key"
    new=$(key_version) || exit 1
    advice=" If it is the new key, go back to version $old of it by: $(disable "$new")"
    start_canary
    promote
    say "" "Version $old of the key still works, for a rollback. When that is not needed any more, delete the" \
      "key in Google AI Studio, then:" "  $(disable "$old")"
    ;;
  1:smoke)
    preflight
    need_service
    smoke "$url"
    ;;
  *) usage ;;
esac
