# shellcheck shell=bash disable=SC2034 # lib.sh reads it
# Size of an instance. `make bench` measured the figures on one core of a shared machine, with Python
# 3.11, a Gemini that answers after 150 ms and Google's keys cached. docs/operations.md has all of them.

# The newest Python that the tests run on. Google updates this image automatically, until October 2029:
# https://cloud.google.com/run/docs/runtimes/python
BASE_IMAGE=python313

# One instance mints over 1,000 tokens a second. Limits in memory are exact only with one instance; with
# Redis, or without limits, raise this for more load.
MAX_INSTANCES=1

SIZE=(
  --cpu=1                # one event loop: a second core would be idle
  --memory=512Mi         # 92 MiB was the peak, with 1,000 concurrent callers; 512 is the minimum of the second generation
  --concurrency=250      # at 250, the core is 85 % busy and p99 is 0.4 s; at 500, p99 can be seconds
  --timeout=30           # the slowest response adds up: body 2 s, keys 5 s, App Check 10 s, limits 2 s, Gemini 6 s
  --cpu-boost            # speeds up Cloud Run's part of a start; the function's part takes half a second on one core or two
  --min-instances=0      # no cost while idle, and a start takes under a second; 1 saves the first caller that second
  --max-instances="$MAX_INSTANCES"
)
