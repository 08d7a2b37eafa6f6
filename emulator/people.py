"""The test users of the issuer, one for each kind of caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["firebase", "google"]


@dataclass(frozen=True)
class Person:
    """A test user and their constant claims; the issuer adds `iss`, `aud` and the times."""

    name: str
    about: str
    kind: Kind
    claims: Mapping[str, Any]


def _person(name: str, about: str, kind: Kind, /, **claims: Any) -> Person:
    return Person(name, about, kind, MappingProxyType(claims))


def _firebase(provider: str, **identities: list[str]) -> dict[str, Any]:
    return {"identities": identities, "sign_in_provider": provider}


ADA = _person(
    "ada",
    "Firebase, signed in with Google, with custom claims",
    "firebase",
    sub="ada-uid",
    user_id="ada-uid",
    name="Ada Lovelace",
    email="ada@example.com",
    email_verified=True,
    plan="pro",
    level="B1",
    firebase=_firebase(
        "google.com", **{"google.com": ["109700000000000000001"], "email": ["ada@example.com"]}
    ),
)

GRACE = _person(
    "grace",
    "a Google ID token of a Workspace account",
    "google",
    sub="109700000000000000002",
    name="Grace Hopper",
    email="grace@example.com",
    email_verified=True,
    hd="example.com",
)

BOB = _person(
    "bob",
    "Firebase with a password; the email was never verified",
    "firebase",
    sub="bob-uid",
    user_id="bob-uid",
    email="bob@example.com",
    email_verified=False,
    firebase=_firebase("password", email=["bob@example.com"]),
)

GUEST = _person(
    "guest",
    "a Firebase anonymous account",
    "firebase",
    sub="guest-uid",
    user_id="guest-uid",
    provider_id="anonymous",
    firebase=_firebase("anonymous"),
)

PEOPLE: Mapping[str, Person] = MappingProxyType(
    {person.name: person for person in (ADA, GRACE, BOB, GUEST)}
)
