-- Refused requests by reason, the rule of the policy that refused, and how many callers had them. A
-- request that is refused before its ID token is verified has no caller. Times are in UTC.
SELECT
  reason,
  rule,
  COUNT(*) AS requests,
  COUNT(DISTINCT IF(sub IS NULL, NULL, TO_JSON_STRING(STRUCT(issuer, tenant, sub)))) AS callers,
  FORMAT_TIMESTAMP('%F %R', MAX(timestamp), 'UTC') AS last
FROM decisions
WHERE message = 'refused'
GROUP BY reason, rule
ORDER BY requests DESC, reason, rule
