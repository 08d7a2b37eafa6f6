-- What the reserved minutes of each profile cost at most, by week. A profile without a price in
-- deploy/prices.sql has no cost here.
SELECT
  week,
  profile,
  COUNT(*) AS tokens,
  ROUND(SUM(minutes), 2) AS minutes,
  ROUND(SUM(minutes * usd_a_minute), 2) AS usd_at_most
FROM decisions
LEFT JOIN prices USING (profile)
WHERE message = 'minted'
GROUP BY week, profile
ORDER BY week DESC, profile
