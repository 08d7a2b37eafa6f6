"""Identity Platform v1, for sign-in to a Firebase app: one user with a password.

The errors are from "Firebase Auth REST API". New projects have email enumeration protection, so an
unknown email and a wrong password give the same error.
"""

from __future__ import annotations

from cloud.call import Answer, Call, Route
from cloud.errors import invalid
from cloud.state import Json
from cloud.world import Api


class IdentityToolkit(Api):
    """Sign-in. It needs no access token; the API key names the project."""

    name = "identitytoolkit.googleapis.com"
    always_on = True

    def table(self) -> list[Route]:
        return [Route("POST", "/v1/accounts:signInWithPassword", self._sign_in)]

    def _sign_in(self, call: Call) -> Json | Answer:
        rules = self.world.rules
        if call.query.get("key") != rules.web_api_key:
            raise invalid("API key not valid. Please pass a valid API key.")
        person, asked = rules.person, call.json
        if (asked.get("email"), asked.get("password")) != (person.email, person.password):
            word = "INVALID_LOGIN_CREDENTIALS"
            reason = {"message": word, "domain": "global", "reason": "invalid"}
            return Answer({"error": {"code": 400, "message": word, "errors": [reason]}}, 400)
        refreshed = {"refreshToken": "refresh", "expiresIn": "3600"}
        return {
            "kind": "identitytoolkit#VerifyPasswordResponse",
            "localId": f"{person.name}-uid",
            "email": person.email,
            "displayName": "",
            "idToken": self.world.issuer.id_token(person.name, **person.claims),
            "registered": True,
            **(refreshed if asked.get("returnSecureToken") else {}),
        }
