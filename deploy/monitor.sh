#!/usr/bin/env bash
# Puts deploy/monitoring/ in place: metrics of the function's log, alerts, a dashboard.
#
#   deploy/monitor.sh you@example.com     who is told
#
# It can be run again at any time, and brings what is there up to date. It takes the roles
# logging.configWriter and monitoring.editor.

# shellcheck source=deploy/lib.sh
source "$(dirname "$0")/lib.sh"
[[ $# -eq 1 && $1 == ?*@?* ]] || fail "usage: deploy/monitor.sh EMAIL"
need_project

# named FILE: a file of deploy/monitoring/, for our service's name
named() { sed "s/service_name=\"livetoken\"/service_name=\"$SERVICE\"/" "$1"; }

# found NAME: the resource that `rows`, lines of NAME and resource with a tab between, has for a name
found() { awk -F '\t' -v name="$1" '$1 == name { print $2; exit }' <<<"$rows"; }

title() { sed -n 's/^displayName: "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$1"; }

rows=$(ask logging metrics list --format='value(name, name)') ||
  fail "The metrics cannot be listed; see above. It takes roles/logging.configWriter."
for file in deploy/monitoring/metrics/*.yaml; do
  name=$(basename "$file" .yaml)
  does=create
  [ -z "$(found "$name")" ] || does=update
  named "$file" | quietly logging metrics "$does" "$name" --config-from-file=- ||
    fail "The metric $name could not be put in place; see above. It takes roles/logging.configWriter."
done
say "metrics    livetoken_*"

rows=$(ask beta monitoring channels list --format='value(labels.email_address, name)') ||
  fail "The notification channels cannot be listed; see above. It takes roles/monitoring.editor."
channel=$(found "$1")
if [ -z "$channel" ]; then
  channel=$(ask beta monitoring channels create --display-name="$1" --type=email \
    --channel-labels="email_address=$1" --format='value(name)') ||
    fail "The channel to $1 could not be made; see above. It takes roles/monitoring.editor."
fi
say "channel    $1"

rows=$(ask alpha monitoring policies list --format='value(displayName, name)') ||
  fail "The alerts cannot be listed; see above. It takes roles/monitoring.editor."
for file in deploy/monitoring/alerts/*.yaml; do
  name=$(title "$file")
  policy=$(found "$name")
  if [ -n "$policy" ]; then
    to=(update "$policy" "--set-notification-channels=$channel")
  else
    to=(create "--notification-channels=$channel")
  fi
  named "$file" | quietly alpha monitoring policies "${to[@]}" --policy-from-file=- ||
    fail "The alert $name could not be put in place; see above. A metric that was just made is unknown for up to ten minutes: run it again then."
done
say "alerts     in deploy/monitoring/alerts/, each sent to $1"

file=deploy/monitoring/dashboard.yaml
rows=$(ask monitoring dashboards list --format='value(displayName, name, etag)') ||
  fail "The dashboards cannot be listed; see above. It takes roles/monitoring.editor."
board=$(found "$(title "$file")")
if [ -n "$board" ]; then
  etag=$(awk -F '\t' -v board="$board" '$2 == board { print $3 }' <<<"$rows") # names the version that it replaces
  { named "$file" && echo "etag: \"$etag\""; } | quietly monitoring dashboards update "$board" --config-from-file=-
else
  named "$file" | quietly monitoring dashboards create --config-from-file=-
fi || fail "The dashboard could not be put in place; see above. It takes roles/monitoring.editor."
say "dashboard  https://console.cloud.google.com/monitoring/dashboards?project=$PROJECT"
