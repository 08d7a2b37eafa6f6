-- What a minute of a session costs in each profile, in US dollars: fill in yours. deploy/ledger.sh uses it.
prices AS (
  SELECT 'default' AS profile, CAST(NULL AS FLOAT64) AS usd_a_minute
  UNION ALL SELECT 'quick', NULL
  UNION ALL SELECT 'research', NULL
)
