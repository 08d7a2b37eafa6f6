# shellcheck shell=bash disable=SC2034 # lib.sh reads it
# How an instance is cut. The figures are those of `make bench`, on a core of a shared machine with
# Python 3.11, Gemini answering after 150 ms and Google's keys at hand; docs/operations.md has them all.

# Google's image with security updates by itself, of the newest Python that the tests run on:
# https://cloud.google.com/run/docs/runtimes/python, until October 2029.
BASE_IMAGE=python313

# One instance carries over 1,000 tokens a second, and a limit that counts in memory is exact in one
# alone. With Redis, or without limits, more are for more callers than that.
MAX_INSTANCES=1

SIZE=(
  --cpu=1                # one event loop: a second core would idle
  --memory=512Mi         # 120 MiB was the most, at 1,000 callers at once; 512 is the least of the second generation
  --concurrency=250      # at 250 the core is 85 % busy and p99 is 0.3 to 0.5 s; at 500 it is 1.7 s
  --timeout=30           # the slowest answer: a body 5 s, keys 5, App Check 10, limits 2, Gemini 6
  --cpu-boost            # for Cloud Run's own work at a start; the function's takes 0.35 s on one core or two
  --min-instances=0      # a start of under a second and no bill while nobody asks; 1 spares the first caller that
  --max-instances="$MAX_INSTANCES"
)
