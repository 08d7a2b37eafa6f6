"""An app with the Firebase SDK, controlled by a test."""

import json
from dataclasses import dataclass
from itertools import count
from typing import Any

from clients import Client
from livetoken.refusals import Reason

PASSWORD = "a made-up password"
NUMBERS = count()


@dataclass(frozen=True)
class Error:
    """The FunctionsError of a call, with the SDK's names."""

    code: str
    message: str
    details: Any

    def is_refusal(self, reason: Reason) -> bool:
        """Assert everything that an app can read about a reason; returns True, for asserts."""
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
    """An app; a client runs one at a time."""

    client: Client
    auth_url: str
    app_check_url: str

    def start(self, function_url: str, *, app_check: bool = False) -> None:
        """Start a new app, signed out."""
        asked = {"authUrl": self.auth_url, "functionUrl": function_url}
        if app_check:
            asked["appCheckUrl"] = self.app_check_url
        self.client.take("start", **asked)

    def sign_in_anew(self) -> str:
        """Create an account and sign in with its password; returns the user's id."""
        who = {"email": f"user-{next(NUMBERS)}@example.com", "password": PASSWORD}
        self.client.take("signUp", **who)
        return str(self.client.take("signInWithPassword", **who)["uid"])

    def sign_in_anonymously(self) -> None:
        self.client.take("signInAnonymously")

    def sign_in_with_google(self, **claims: Any) -> None:
        """Sign in with the claims of a Google ID token; the emulator accepts them unsigned."""
        self.client.take("signInWithGoogle", idToken=json.dumps(claims))

    def refresh(self) -> None:
        """Force a new ID token."""
        self.client.take("refresh")

    def call(self, data: Any = None, *, limited_use: bool = False) -> Any:
        """Call the function and return its token."""
        called = self._call(data, limited_use)
        assert "refused" not in called, called
        return called["data"]

    def error(self, data: Any = None, *, limited_use: bool = False) -> Error:
        """Call the function and return its error."""
        called = self._call(data, limited_use)
        assert "refused" in called, called
        return Error(**called["refused"])

    def _call(self, data: Any, limited_use: bool) -> Any:
        return self.client.take("call", data=data, limitedUseAppCheckTokens=limited_use)
