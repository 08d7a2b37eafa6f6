-- From the table of a log sink, for the last 90 days. It has a column only for a field that some line
-- had, so the line is read as JSON.
WITH entries AS (
  SELECT timestamp, TO_JSON(jsonPayload) AS payload
  FROM `PROJECT.DATASET.run_googleapis_com_stdout`
  WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 90 DAY)
    AND resource.labels.service_name = 'SERVICE'
  QUALIFY ROW_NUMBER() OVER (PARTITION BY timestamp, insertId) = 1 -- an entry can be stored twice
),
