"""Tokens and other credentials that are genuine elsewhere."""

from typing import Any

from claims import ACCOUNT, GOOGLE, one
from forge import Row, family
from unfit_keys import STRANGER

CUSTOM = "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"


def word(name: str, text: str) -> Row:
    """A credential that is not a JWT."""
    return name, lambda _: text, "TOKEN_MALFORMED"


def other(name: str, expected: str, claims: dict[str, Any], header: dict[str, Any]) -> Row:
    """A token that is genuine elsewhere, signed with a key that we do not know."""
    return (
        name,
        lambda forge: forge.issuer.sign(
            {"iat": forge.now, "exp": forge.now + 3600, **claims},
            header={"kid": "0123456789abcdef", **header},
            key=STRANGER,
        ),
        expected,
    )


FOREIGN = [
    *family(
        "tokens for others",
        "RFC 8725, section 3.12; Firebase and Google Cloud, kinds of tokens",
        ("App Check token", lambda it: it.app_check.token(), "UNKNOWN_KEY"),
        (
            "session cookie",
            lambda it: it.genuine(
                iss=f"https://session.firebase.google.com/{it.issuer.firebase_project}"
            ),
            "ISSUER",
        ),
        other(
            "session cookie, its own key",
            "UNKNOWN_KEY",
            {"iss": "https://session.firebase.google.com/demo-livetoken"},
            {},
        ),
        other(
            "custom token",
            "UNKNOWN_KEY",
            {"iss": ACCOUNT, "sub": ACCOUNT, "aud": CUSTOM, "uid": "ada"},
            {},
        ),
        other(
            "custom token without kid",
            "KEY_ID",
            {"iss": ACCOUNT, "aud": CUSTOM, "uid": "ada"},
            {"kid": ...},
        ),
        one("custom token under Firebase's key", "ISSUER", iss=ACCOUNT, sub=ACCOUNT, aud=CUSTOM),
        other(
            "JWT of a service account",
            "UNKNOWN_KEY",
            {"iss": ACCOUNT, "sub": ACCOUNT, "aud": "https://a.run.app"},
            {},
        ),
        other("IAP", "ALGORITHM", {"iss": "https://cloud.google.com/iap"}, {"alg": "ES256"}),
        other("Apple", "UNKNOWN_KEY", {"iss": "https://appleid.apple.com"}, {}),
        other(
            "GitHub Actions",
            "UNKNOWN_KEY",
            {"iss": "https://token.actions.githubusercontent.com"},
            {},
        ),
        other("logout token", "TOKEN_TYPE", {"iss": GOOGLE, "events": {}}, {"typ": "logout+jwt"}),
        *(
            word(name, text)
            for name, text in (
                ("access token", "ya29.a0AfB_byC" + "x" * 180),
                ("refresh token", "1//0g" + "x" * 60),
                ("API key", "AIzaSy" + "x" * 33),
                ("token of Gemini", "auth_tokens/" + "0" * 64),
                ("PASETO", "v4.public." + "x" * 90),
                ("macaroon", "MDAxY2xvY2F0aW9u"),
                ("a word", "null"),
            )
        ),
    ),
]
