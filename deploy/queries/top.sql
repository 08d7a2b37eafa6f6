-- The ten callers with the most reserved minutes, and their part of all minutes.
SELECT
  issuer,
  tenant,
  sub,
  COUNT(*) AS tokens,
  ROUND(SUM(minutes), 2) AS minutes,
  ROUND(SAFE_DIVIDE(SUM(minutes), SUM(SUM(minutes)) OVER ()), 3) AS part
FROM decisions
WHERE message = 'minted'
GROUP BY issuer, tenant, sub
ORDER BY minutes DESC, sub
LIMIT 10
