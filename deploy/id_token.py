#!/usr/bin/env python3
"""Sign in to Firebase as the test user, with a password, and print the ID token.

The password is the newest version of the secret SMOKE_SECRET. names.sh sets the variables.
https://firebase.google.com/docs/reference/rest/auth#section-sign-in-email-password
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

SIGN_IN = "https://identitytoolkit.googleapis.com/v1/accounts:signInWithPassword"


def main() -> str | None:
    """Print the ID token. Returns an error message, or None."""
    secret, project = os.environ["SMOKE_SECRET"], os.environ["PROJECT"]
    read = ["gcloud", "secrets", "versions", "access", "latest", "--secret", secret]
    password = subprocess.run([*read, "--project", project], stdout=subprocess.PIPE, text=True)
    if password.returncode:
        return f"Could not read the password in the secret {secret}; see above."
    user = {"email": os.environ["SMOKE_EMAIL"], "password": password.stdout.rstrip("\r\n")}
    request = urllib.request.Request(
        f"{SIGN_IN}?{urllib.parse.urlencode({'key': os.environ['FIREBASE_WEB_API_KEY']})}",
        json.dumps({**user, "returnSecureToken": True}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            print(json.load(answer)["idToken"])
    except urllib.error.HTTPError as error:
        word = json.load(error)["error"]["message"].split()[0]
        return f"{user['email']} could not sign in to Firebase: {word}."
    except OSError as error:
        return f"Could not reach Firebase: {error}."
    return None


if __name__ == "__main__":
    sys.exit(main())
