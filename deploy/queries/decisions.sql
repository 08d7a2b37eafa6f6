decisions AS (
  SELECT
    timestamp,
    DATE(TIMESTAMP_TRUNC(timestamp, ISOWEEK, 'UTC'), 'UTC') AS week, -- its Monday
    JSON_VALUE(payload.message) AS message,
    JSON_VALUE(payload.reason) AS reason,
    JSON_VALUE(payload.rule) AS rule,
    JSON_VALUE(payload.profile) AS profile,
    JSON_VALUE(payload.issuer) AS issuer,
    JSON_VALUE(payload.tenant) AS tenant,
    JSON_VALUE(payload.sub) AS sub,
    CAST(JSON_VALUE(payload.seconds) AS FLOAT64) / 60 AS minutes,
    JSON_VALUE(payload.resumed) = 'true' AS resumed
  FROM entries
  WHERE JSON_VALUE(payload.message) IN ('minted', 'refused')
),
