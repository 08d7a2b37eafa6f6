-- From Log Analytics, for the time that is chosen on its page.
WITH entries AS (
  SELECT timestamp, json_payload AS payload
  FROM `PROJECT.global._Default._Default`
  WHERE log_id = 'run.googleapis.com/stdout'
    AND JSON_VALUE(resource.labels.service_name) = 'SERVICE'
  QUALIFY ROW_NUMBER() OVER (PARTITION BY timestamp, insert_id) = 1 -- an entry can be stored twice
),
