#!/usr/bin/env bash
# Prints a query about who used how much, for your project: used, top, refused or spend.
#
#   deploy/ledger.sh QUERY            for Log Analytics: paste it there, and save it
#   deploy/ledger.sh QUERY DATASET    for the BigQuery dataset of a log sink

# shellcheck source=deploy/lib.sh
source "$(dirname "$0")/lib.sh"
case "$#:${1-}" in
  [12]:used | [12]:top | [12]:refused | [12]:spend) ;;
  *) fail "usage: deploy/ledger.sh used|top|refused|spend [DATASET]" ;;
esac
[ -n "$PROJECT" ] || fail "PROJECT is empty in deploy/names.sh. Set it to the ID of your Google Cloud project."

source=log-analytics
[ $# -eq 1 ] || source=bigquery
sed "s/PROJECT/$PROJECT/; s/DATASET/${2-}/; s/SERVICE/$SERVICE/" "deploy/queries/sources/$source.sql"
cat deploy/queries/decisions.sql deploy/prices.sql "deploy/queries/$1.sql"
