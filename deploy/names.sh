# shellcheck shell=bash disable=SC2034 # lib.sh, setup.sh and deploy.sh read these
# Names of the project and of everything in it. Set PROJECT; the rest has defaults.

PROJECT=""                     # ID of a Google Cloud project with billing, such as your Firebase project
REGION="us-central1"           # choose one near your users: https://cloud.google.com/run/docs/locations

SERVICE="livetoken"            # the Cloud Run service
KEY_SECRET="livetoken-key"     # the secret that holds the Gemini API key
SAFETY_SECRET="livetoken-safety-key"   # the secret that hashes callers, if the policy has safety_identifier
SECRETS=""                     # more secrets, separated by spaces: LIMITS_STORAGE=SECRET, or /FILE=SECRET for a file

OWN_TAGS=""                    # your own tags of the service, separated by spaces; deploy.sh reports unknown ones

# Service accounts, one for each job
RUNTIME="livetoken"            # runs the function; has only the roles that docs/operations.md lists
BUILDER="livetoken-build"      # builds the container
TESTER="livetoken-test"        # runs the tests in Cloud Build; has no rights. cloudbuild-test.yaml names it too
RELEASER="livetoken-release"   # releases from Cloud Build; cannot read the key. cloudbuild.yaml names it too

# The test user whose ID token the smoke test sends. Without one, the smoke test checks only that
# requests are refused, not that tokens work or that the models exist. For Firebase: the email of a user
# with a password, created in the console; the secret that stores the password; and the web API key from
# the project settings, which is public.
SMOKE_EMAIL=""
SMOKE_SECRET="livetoken-smoke-password"
FIREBASE_WEB_API_KEY=""
ID_TOKEN_COMMAND="${SMOKE_EMAIL:+deploy/id_token.py}"   # or any command that prints an ID token
APP_CHECK_COMMAND=""           # prints an App Check token, if the policy requires one

# The VPC network and subnet in REGION through which the function reaches a Redis that is not public
NETWORK=""
SUBNET=""
