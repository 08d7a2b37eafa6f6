#!/usr/bin/env bash
# Installs deploy/monitoring/: metrics from the function's log, alerts and a dashboard.
#
#   deploy/monitor.sh you@example.com     the address that receives the alerts
#
# It is safe to run again at any time: it updates what exists. It requires roles/logging.configWriter
# and roles/monitoring.editor.

# shellcheck source=deploy/lib.sh
source "$(dirname "$0")/lib.sh"
[[ $# -eq 1 && $1 == ?*@?* ]] || fail "usage: deploy/monitor.sh EMAIL"
need_project

# named FILE: print a file of deploy/monitoring/ with the name of our service
named() { sed "s/service_name=\"livetoken\"/service_name=\"$SERVICE\"/" "$1"; }

# found NAME: print the resource of that name in `rows`, whose lines are NAME, tab, resource
found() { awk -F '\t' -v name="$1" '$1 == name { print $2; exit }' <<<"$rows"; }

title() { sed -n 's/^displayName: "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$1"; }

rows=$(ask logging metrics list --format='value(name, name)') ||
  fail "Could not list the metrics; see above. This requires roles/logging.configWriter."
for file in deploy/monitoring/metrics/*.yaml; do
  name=$(basename "$file" .yaml)
  does=create
  [ -z "$(found "$name")" ] || does=update
  named "$file" | quietly logging metrics "$does" "$name" --config-from-file=- ||
    fail "Could not install the metric $name; see above. This requires roles/logging.configWriter."
done
say "metrics    livetoken_*"

rows=$(ask beta monitoring channels list --format='value(labels.email_address, name)') ||
  fail "Could not list the notification channels; see above. This requires roles/monitoring.editor."
channel=$(found "$1")
if [ -z "$channel" ]; then
  channel=$(ask beta monitoring channels create --display-name="$1" --type=email \
    --channel-labels="email_address=$1" --format='value(name)') ||
    fail "Could not create the notification channel to $1; see above. This requires roles/monitoring.editor."
fi
say "channel    $1"

rows=$(ask alpha monitoring policies list --format='value(displayName, name)') ||
  fail "Could not list the alerts; see above. This requires roles/monitoring.editor."
for file in deploy/monitoring/alerts/*.yaml; do
  name=$(title "$file")
  policy=$(found "$name")
  if [ -n "$policy" ]; then
    to=(update "$policy" "--set-notification-channels=$channel")
  else
    to=(create "--notification-channels=$channel")
  fi
  named "$file" | quietly alpha monitoring policies "${to[@]}" --policy-from-file=- ||
    fail "Could not install the alert $name; see above. Alerts cannot use a new metric for up to ten minutes: if that is the error, run this again later."
done
say "alerts     in deploy/monitoring/alerts/, each sent to $1"

file=deploy/monitoring/dashboard.yaml
rows=$(ask monitoring dashboards list --format='value(displayName, name, etag)') ||
  fail "Could not list the dashboards; see above. This requires roles/monitoring.editor."
board=$(found "$(title "$file")")
if [ -n "$board" ]; then
  etag=$(awk -F '\t' -v board="$board" '$2 == board { print $3 }' <<<"$rows") # the version to replace
  { named "$file" && echo "etag: \"$etag\""; } | quietly monitoring dashboards update "$board" --config-from-file=-
else
  named "$file" | quietly monitoring dashboards create --config-from-file=-
fi || fail "Could not install the dashboard; see above. This requires roles/monitoring.editor."
say "dashboard  https://console.cloud.google.com/monitoring/dashboards?project=$PROJECT"
