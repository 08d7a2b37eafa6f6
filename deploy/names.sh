# shellcheck shell=bash disable=SC2034 # lib.sh, setup.sh and deploy.sh read these
# What things are called. PROJECT must be filled in; the rest can stay as it is.

PROJECT=""                     # id of a Google Cloud project with billing, such as your Firebase project
REGION="us-central1"           # near your users: https://cloud.google.com/run/docs/locations

SERVICE="livetoken"            # the Cloud Run service
KEY_SECRET="livetoken-key"     # the secret that holds the Gemini API key

# Service accounts. Each may do one job.
RUNTIME="livetoken"            # the function runs as it: reads the key, and nothing else anywhere
BUILDER="livetoken-build"      # builds the container
RELEASER="livetoken-release"   # cloudbuild.yaml, which names it too, runs as it: releases, and reads no key

# The test person whose ID token the smoke test shows. Without one it checks refusals alone, and not
# that a token is made or that a model exists. For Firebase: a user with a password, made in the
# console, the web API key of the project's settings (it is public), and a secret with the password.
SMOKE_EMAIL=""
SMOKE_SECRET="livetoken-smoke-password"
FIREBASE_WEB_API_KEY=""
ID_TOKEN_COMMAND="${SMOKE_EMAIL:+deploy/id_token.py}"   # or any command that prints an ID token
APP_CHECK_COMMAND=""           # prints an App Check token, where the policy asks for one

# The VPC network and subnet in REGION through which the function reaches Redis. For LIMITS_STORAGE.
NETWORK=""
SUBNET=""
