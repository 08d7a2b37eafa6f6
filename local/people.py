"""The people that the issuer knows, each one kind of caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["firebase", "google"]


@dataclass(frozen=True)
class Person:
    """One person and what is constant in their tokens; the issuer adds the issuer and the times."""

    name: str
    kind: Kind
    claims: Mapping[str, Any]


def _person(name: str, kind: Kind, /, **claims: Any) -> Person:
    return Person(name, kind, MappingProxyType(claims))


def _firebase(provider: str, **identities: list[str]) -> dict[str, Any]:
    return {"identities": identities, "sign_in_provider": provider}


ADA = _person(
    "ada",
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
"""Firebase, signed in with Google, with custom claims."""

GRACE = _person(
    "grace",
    "google",
    sub="109700000000000000002",
    name="Grace Hopper",
    email="grace@example.com",
    email_verified=True,
    hd="example.com",
)
"""A Google ID token of a Workspace account."""

BOB = _person(
    "bob",
    "firebase",
    sub="bob-uid",
    user_id="bob-uid",
    email="bob@example.com",
    email_verified=False,
    firebase=_firebase("password", email=["bob@example.com"]),
)
"""Firebase with a password; the email was never verified."""

GUEST = _person(
    "guest",
    "firebase",
    sub="guest-uid",
    user_id="guest-uid",
    provider_id="anonymous",
    firebase=_firebase("anonymous"),
)
"""A Firebase anonymous account."""

PEOPLE: Mapping[str, Person] = MappingProxyType(
    {person.name: person for person in (ADA, GRACE, BOB, GUEST)}
)
