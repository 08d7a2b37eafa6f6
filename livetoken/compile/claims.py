"""`require`: claims and their accepted values, and the forms of Google's and Firebase's claims."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from livetoken.compile.strict import Invalid, Path
from livetoken.policy import Scalar

MOST_NUMBER = 2**53
"""Up to here, JSON numbers mean the same to every reader (RFC 8259, section 6)."""

_OPERATOR = re.compile(
    r"!|(not_?|n)?in|not|any|all|x?or|and|is|eq|ne|equals|[gl]te?|min|max|regex|match(es)?"
    r"|contains|exists|(starts|ends)_?with|pattern|values|one_?of"
)
"""Words of other rule languages. `require` has values only."""

_SCALARS = {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}}
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*")
_ADDRESS = re.compile(r"[^@\s*]+@[^@\s*]+")
_PROVIDERS = {
    "google": "google.com",
    "apple": "apple.com",
    "facebook": "facebook.com",
    "github": "github.com",
    "microsoft": "microsoft.com",
    "twitter": "twitter.com",
    "email": "password",
    "emaillink": "password",
    "email/password": "password",
    "sms": "phone",
}
"""Names that people use for a way to sign in, and what Firebase's tokens say.

https://firebase.google.com/docs/auth/admin/verify-id-tokens and the SDKs' lists of provider ids."""


def _required(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("must be a table of claims, each with a list of accepted values")
    leaves = [(path, _mistake(claim, accepted)) for path, claim, accepted in claims(value)]
    if found := [(path, message) for path, message in leaves if message]:
        raise Invalid(found)
    return value


Require: TypeAlias = Annotated[
    Mapping[str, Any],
    PlainValidator(_required),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"anyOf": [_SCALARS, {"type": "object", "minProperties": 1}]},
        }
    ),
]


def claims(
    table: Mapping[str, Any], above: Path = (), path: Path = ()
) -> Iterator[tuple[Path, Path, Any]]:
    """Yield every claim of `require`: its path in the table, the claim, and its accepted values.

    A dot, or a table in the table, goes one object deeper. A table of operators is a value.
    """
    for key, value in table.items():
        claim = (*above, *key.split("."))
        is_table = isinstance(value, dict) and value and _is_sound(claim)
        is_operator = not above and _OPERATOR.fullmatch(key)
        if is_table and not is_operator and not any(map(_OPERATOR.fullmatch, value)):
            yield from claims(value, claim, (*path, key))
        else:
            yield (*path, key), claim, value


def _mistake(claim: Path, accepted: object) -> str | None:
    """Return what is wrong with a claim of `require` or with its accepted values."""
    if not _is_sound(claim):
        return "is not the path of a claim"
    if len(claim) > 1 and "/" in ".".join(claim):
        return "cannot be named: a dot in the name of a claim goes one object deeper"
    if isinstance(accepted, dict) and _OPERATOR.fullmatch(claim[-1]):
        return f"is not a claim: there is no operator {claim[-1]}, and all rules must pass"
    if isinstance(accepted, dict) and (words := list(filter(_OPERATOR.fullmatch, accepted))):
        named = json.dumps(".".join((*claim, words[0])))
        hint = f"for a claim of this name, write {named}"
        return f"must be a list of accepted values: there is no operator {words[0]}; {hint}"
    if not isinstance(accepted, list) or not accepted:
        return "must be a list of accepted values, at least one"
    if not all(_is_scalar(each) for each in accepted):
        return "must be a list of texts, numbers up to 2^53, true and false"
    mistake_in = _KNOWN.get(claim, lambda _: None)
    return next(filter(None, map(mistake_in, accepted)), None)


def _hd(value: Scalar) -> str | None:
    if value in ("gmail.com", "googlemail.com"):
        return f"{value} matches no account: personal accounts have no hd"
    if isinstance(value, str) and _DOMAIN.fullmatch(value):
        return None
    return f"{json.dumps(value)} matches no account: write a domain such as example.com"


def _email(value: Scalar) -> str | None:
    if isinstance(value, str) and _ADDRESS.fullmatch(value):
        return None
    hint = "write a whole address, or for a Workspace domain a rule on hd"
    return f"{json.dumps(value)} matches no account: {hint}"


def _truth(value: Scalar) -> str | None:
    return None if isinstance(value, bool) else "must be true or false, without quotes"


def _provider(value: Scalar) -> str | None:
    if not isinstance(value, str):
        return "must be text, such as google.com or password"
    name = _PROVIDERS.get(value.lower())
    return None if name in (None, value) else f"Firebase writes {value} as {name}"


_KNOWN: Mapping[Path, Callable[[Scalar], str | None]] = {
    ("hd",): _hd,
    ("email",): _email,
    ("email_verified",): _truth,
    ("firebase", "sign_in_provider"): _provider,
}
"""Claims whose form is known, and what is wrong with a value that they can never have."""


def _is_sound(claim: Path) -> bool:
    return all(part and part == part.strip() for part in claim)


def _is_scalar(value: Any) -> bool:
    """Whether a claim could have this value."""
    if type(value) in (int, float):
        return bool(abs(value) <= MOST_NUMBER)
    return isinstance(value, Scalar)
