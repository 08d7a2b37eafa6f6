-- Tokens and reserved minutes of each caller, by week.
SELECT
  week,
  issuer,
  tenant,
  sub,
  COUNT(*) AS tokens,
  COUNTIF(resumed) AS resumed,
  ROUND(SUM(minutes), 2) AS minutes
FROM decisions
WHERE message = 'minted'
GROUP BY week, issuer, tenant, sub
ORDER BY week DESC, minutes DESC, sub
