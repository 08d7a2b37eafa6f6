"""An app with the Firebase SDK, as a test has it act."""

import json
from dataclasses import dataclass
from itertools import count
from typing import Any

from clients import Client
from livetoken.refusals import Reason

PASSWORD = "a password of nobody"
NUMBERS = count()


@dataclass(frozen=True)
class Error:
    """The FunctionsError that a call threw, by the SDK's own names."""

    code: str
    message: str
    details: Any

    def is_refusal(self, reason: Reason) -> bool:
        """Assert everything that an app can read of a reason; returns True, for asserts."""
        meaning = reason.value
        details = dict(self.details)
        if meaning.code in (429, 503):
            assert details.pop("retryAfterSeconds") > 0
        assert details == {"reason": reason.name, "retryable": meaning.retryable}
        assert self.code == f"functions/{meaning.status.lower().replace('_', '-')}"
        assert self.message == f"{meaning.message} [{meaning.code}]"
        return True


@dataclass(frozen=True)
class App:
    """An app, of which there is one at a time in a client."""

    client: Client
    auth_url: str
    app_check_url: str

    def start(self, function_url: str, *, app_check: bool = False) -> None:
        """Start anew, with nobody signed in."""
        asked = {"authUrl": self.auth_url, "functionUrl": function_url}
        if app_check:
            asked["appCheckUrl"] = self.app_check_url
        self.client.take("start", **asked)

    def sign_in_anew(self) -> str:
        """Make an account and sign in to it with its password; returns the user's id."""
        who = {"email": f"somebody-{next(NUMBERS)}@example.com", "password": PASSWORD}
        self.client.take("signUp", **who)
        return str(self.client.take("signInWithPassword", **who)["uid"])

    def sign_in_anonymously(self) -> None:
        self.client.take("signInAnonymously")

    def sign_in_with_google(self, **claims: Any) -> None:
        """Sign in with the claims of a Google ID token, which the emulator takes in its place."""
        self.client.take("signInWithGoogle", idToken=json.dumps(claims))

    def refresh(self) -> None:
        """Get a new ID token before the old one has expired."""
        self.client.take("refresh")

    def call(self, data: Any = None, *, limited_use: bool = False) -> Any:
        """Call the function, which answers with a token."""
        came = self._call(data, limited_use)
        assert "refused" not in came, came
        return came["data"]

    def error(self, data: Any = None, *, limited_use: bool = False) -> Error:
        """Call the function, which refuses."""
        came = self._call(data, limited_use)
        assert "refused" in came, came
        return Error(**came["refused"])

    def _call(self, data: Any, limited_use: bool) -> Any:
        return self.client.take("call", data=data, limitedUseAppCheckTokens=limited_use)
