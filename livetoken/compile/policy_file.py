"""`policy.toml`: its one definition, by which it is read, checked and described to editors."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import pydantic
from google.genai import types
from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)

from livetoken import instruction
from livetoken.compile.models import MODELS
from livetoken.compile.strict import Found, Invalid, Path, Table, found_in, mirror
from livetoken.constraint import FIELDS
from livetoken.mistakes import Mistake, Mistakes
from livetoken.policy import APP_ID, MOST_EXPIRES_IN, Limit, Scalar

EXPIRES_IN = 30 * 60
"""Seconds. Gemini's own default; it is always sent."""

START_WITHIN = 60
"""Seconds. Gemini's own default; it is always sent."""

MOST_NUMBER = 2**53
"""Up to here, JSON numbers mean the same to every reader (RFC 8259, section 6)."""

_PART = r"[^{}.\s](?:[^{}.]*[^{}.\s])?"
_CLAIM = rf"{_PART}(?:\.{_PART})*"
_PROFILE = r"[A-Za-z0-9_-]{1,64}"
_MODEL = r"(?:models/)?[a-z0-9][a-z0-9.-]*"
_TIME = r"(?=.*[1-9])(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?"
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "month": 2592000, "year": 31104000}
"""Seconds. A month has 30 days and a year 360, as in the limits library."""
_LIMIT = rf"\s*([1-9][0-9]{{0,5}})\s*(?:/|per)\s*([1-9][0-9]{{0,3}})?\s*({'|'.join(_UNITS)})s?\s*"
_SCALARS = {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}}


def _model(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(_MODEL, value):
        return value
    raise Invalid("must be the name of a model, such as gemini-3.8-live")


def _named(pattern: str) -> dict[str, Any]:
    """Describe the keys of a table."""
    return {"propertyNames": {"pattern": f"^(?:{pattern})$"}}


def _whole(pattern: str) -> WithJsonSchema:
    """Describe text that a pattern matches as a whole."""
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern})$"})


def _seconds(value: object) -> int:
    match = re.fullmatch(_TIME, value) if isinstance(value, str) else None
    if match is None:
        raise Invalid('must be a time over 0, such as "90s", "30m" or "1h30m"')
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _limits(value: object) -> tuple[Limit, ...]:
    parts = value.split(";") if isinstance(value, str) else [""]
    matches = [re.fullmatch(_LIMIT, part) for part in parts]
    limits = [
        Limit(int(match[1]), int(match[2] or 1) * _UNITS[match[3]]) for match in matches if match
    ]
    if len(limits) < len(parts):
        units = ", ".join(_UNITS)
        raise Invalid(f'must be such as "30/hour" or "5/10 minutes; 50/day", of {units}')
    if len({limit.seconds for limit in limits}) < len(limits):
        raise Invalid("has two limits over the same time")
    return tuple(limits)


def _apps(value: object) -> tuple[str, ...]:
    apps = value if isinstance(value, list) else []
    if not apps or not all(isinstance(each, str) and re.fullmatch(APP_ID, each) for each in apps):
        raise Invalid('must be a list of Firebase app ids, such as ["1:123:web:abc"]')
    if len(set(apps)) < len(apps):
        raise Invalid("lists an app twice")
    return tuple(apps)


def _required(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("must be a table of claims, each with a list of accepted values")
    leaves = [(path, _mistake(claim, accepted)) for path, claim, accepted in claims(value)]
    if found := [(path, message) for path, message in leaves if message]:
        raise Invalid(found)
    return value


def claims(
    table: Mapping[str, Any], above: Path = (), path: Path = ()
) -> Iterator[tuple[Path, Path, Any]]:
    """Yield every claim of `require`: its path in the table, the claim, and its accepted values.

    A dot, or a table in the table, goes one object deeper.
    """
    for key, value in table.items():
        claim = (*above, *key.split("."))
        if isinstance(value, dict) and value and _is_sound(claim):
            yield from claims(value, claim, (*path, key))
        else:
            yield (*path, key), claim, value


def _mistake(claim: Path, accepted: object) -> str | None:
    """Return what is wrong with a claim of `require` or with its accepted values."""
    if not _is_sound(claim):
        return "is not the path of a claim"
    if not isinstance(accepted, list) or not accepted:
        return "must be a list of accepted values, at least one"
    if not all(_is_scalar(each) for each in accepted):
        return "must be a list of texts, numbers up to 2^53, true and false"
    return None


def _is_sound(claim: Path) -> bool:
    return all(part and part == part.strip() for part in claim)


def _is_scalar(value: Any) -> bool:
    """Whether a claim could have this value."""
    if type(value) in (int, float):
        return bool(abs(value) <= MOST_NUMBER)
    return isinstance(value, Scalar)


def _as_written(value: Any, validate: pydantic.ValidatorFunctionWrapHandler) -> Any:
    """Check a config, and keep it as it was written."""
    validate(value)
    return value


Time: TypeAlias = Annotated[int, PlainValidator(_seconds), _whole(_TIME)]
"""Seconds, written such as "1h30m"."""

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
Limits: TypeAlias = Annotated[
    tuple[Limit, ...], PlainValidator(_limits), _whole(f"{_LIMIT}(?:;{_LIMIT})*")
]
AppIds: TypeAlias = Annotated[
    tuple[str, ...],
    PlainValidator(_apps),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "string", "pattern": f"^(?:{APP_ID})$"},
        }
    ),
]
_FieldName: Any = Literal[tuple(FIELDS)]
OpenFields: Any = Annotated[list[_FieldName], Field(json_schema_extra={"uniqueItems": True})]
Model: TypeAlias = Annotated[str, PlainValidator(_model), _whole(_MODEL)]
Config: Any = Annotated[mirror(types.LiveConnectConfig), pydantic.WrapValidator(_as_written)]


class SettingsTable(Table):
    """A table of the policy. The docstring of a setting is its description in the JSON Schema."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class CallersTable(SettingsTable):
    """`[callers]`."""

    allow_anonymous: bool = False
    """Whether Firebase anonymous accounts may ask, which are free to make; false if left out."""
    app_check: Literal["off", "required", "consume"] = "off"
    """Firebase App Check: off, required, or consume (each token works once); off if left out."""
    require: Require = {}
    """Claims and their accepted values, such as email_verified = [true]. Callers without the claim
    are refused. A dot in a claim goes one object deeper."""
    max_auth_age: Time | None = None
    """The longest time since the last sign-in, which the token must then say; any if left out."""
    app_check_apps: AppIds = ()
    """Firebase app ids whose App Check tokens are accepted; all of the project if left out."""

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        if "app_check_apps" in table and table.get("app_check", "off") == "off":
            yield ("app_check_apps",), "has no effect with app_check off"


class ClaimTable(SettingsTable):
    """`[profiles.NAME.claims.CLAIM]`."""

    max_length: int = Field(ge=1, le=instruction.MAX_LENGTH)
    """The most characters (code points) that the claim may have."""
    default: str | None = None
    """The text for a caller without the claim. Without a default, such a caller is refused."""

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        most, default = table.get("max_length"), table.get("default")
        most = most if type(most) is int else instruction.MAX_LENGTH
        if isinstance(default, str) and instruction.mistake(default, most):
            yield (
                ("default",),
                "must be at most max_length long, without invisible characters",
            )


class ProfileTable(SettingsTable):
    """`[profiles.NAME]`."""

    model: Model
    """The Live model, such as gemini-3.8-live."""
    expires_in: Time = EXPIRES_IN
    """When a token and its session end: under 20 hours; 30m if left out."""
    start_within: Time | None = None
    """When the session must have started: at most expires_in; 1m if left out."""
    limit: Limits = ()
    """Tokens for one caller, such as 30/hour; 50/day. Any number if left out."""
    require: Require = {}
    """As in [callers], and in addition to it."""
    client_may_set: OpenFields = ()
    """Fields of the config that the client may set; all others are locked."""
    config: Config = None
    """The session, locked: google-genai's LiveConnectConfig."""
    claims: dict[str, ClaimTable] = Field({}, json_schema_extra=_named(_CLAIM))
    """Claims that system_instruction names as ${claim.level}."""

    @pydantic.field_validator("expires_in")
    @classmethod
    def _in_range(cls, seconds: int) -> int:
        if seconds >= MOST_EXPIRES_IN:
            raise Invalid(f"must be under {MOST_EXPIRES_IN / 3600:g} hours")
        return seconds

    @pydantic.field_validator("start_within")
    @classmethod
    def _before_the_end(cls, seconds: int, info: pydantic.ValidationInfo) -> int:
        if seconds > info.data.get("expires_in", MOST_EXPIRES_IN):
            raise Invalid("must be at most expires_in")
        return seconds

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        open_fields, config = list(_names(table.get("client_may_set"))), table.get("config", {})
        for index, name in enumerate(open_fields):
            if name in open_fields[:index]:
                yield ("client_may_set", str(index)), "is listed twice"
        for name in _names(table.get("claims")):
            if not re.fullmatch(_CLAIM, name):
                yield ("claims", name), "is not the path of a claim"
        if "config" not in table:
            yield ("config", "response_modalities"), "is required"
        if not isinstance(config, dict):
            return
        for name in (each for each in FIELDS if each in config and each in open_fields):
            yield ("client_may_set",), f"{name} is set in config: either lock it or leave it open"
        yield from _thinking(table.get("model"), config)
        yield from _instruction(config.get("system_instruction"), list(_names(table.get("claims"))))


class PolicyTable(SettingsTable):
    """The whole file."""

    api_version: Literal["v1alpha", "v1beta"]
    """The version of Gemini's API where tokens are made and used."""
    callers: CallersTable = CallersTable()
    """Who may ask at all."""
    profiles: dict[str, ProfileTable] = Field(min_length=1, json_schema_extra=_named(_PROFILE))
    """What one token may do. A request that does not name a profile gets the one named default."""

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        for name in _names(table.get("profiles")):
            if isinstance(name, str) and not re.fullmatch(_PROFILE, name):
                yield ("profiles", name), "a name is 1 to 64 letters, digits, - and _"


def _names(value: object) -> Iterator[Any]:
    """Yield the items of a list or the keys of a table; nothing of any other value."""
    yield from value if isinstance(value, dict | list) else ()


def _thinking(model: object, config: Mapping[str, Any]) -> Iterator[Found]:
    known = MODELS.get(model.removeprefix("models/")) if isinstance(model, str) else None
    thinking = config.get("thinking_config")
    level = thinking.get("thinking_level") if isinstance(thinking, dict) else None
    if known is not None and known.thinking_level != (level is not None):
        verb = "requires" if known.thinking_level else "refuses"
        yield ("config", "thinking_config", "thinking_level"), f"{model} {verb} one"


def _instruction(text: object, claims: list[str]) -> Iterator[Found]:
    path = ("config", "system_instruction")
    if text in ("", {}):
        yield path, "is empty: leave it out"
    elif isinstance(text, str):
        for claim in instruction.placeholders(text):
            if claim is None:
                yield path, "${ begins ${claim.…}; write $${ for a literal ${"
            elif claim not in claims:
                yield path, f"${{claim.{claim}}} is not among the profile's claims"
    elif "${" in json.dumps(text, default=str):
        yield path, "${ is a placeholder only in an instruction that is plain text"


def parse(source: bytes) -> dict[str, Any]:
    """Parse a policy's bytes.

    Raises:
        Mistakes: they are not TOML.
    """
    try:
        return tomllib.loads(source.decode())
    except (ValueError, RecursionError) as error:
        raise Mistakes([Mistake("policy", f"is not TOML: {error}")]) from None


def read(document: Mapping[str, Any]) -> tuple[PolicyTable | None, list[Found]]:
    """Read a parsed policy. It is None if there are mistakes, which come second.

    Raises:
        Mistakes: the document is nested too deeply.
    """
    try:
        return PolicyTable.model_validate(document), []
    except pydantic.ValidationError as error:
        return None, list(found_in(error))
    except RecursionError:
        raise Mistakes([Mistake("policy", "is nested too deeply")]) from None


def configs(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the config of each profile as written, mistakes included, by the profile's name."""
    profiles = document.get("profiles")
    tables = profiles.items() if isinstance(profiles, dict) else ()
    found = {name: table.get("config") for name, table in tables if isinstance(table, dict)}
    return {name: config for name, config in found.items() if isinstance(config, dict)}


def app_check(document: Mapping[str, Any]) -> str:
    """Return what a policy says about App Check, even if it has mistakes."""
    callers = document.get("callers")
    said = callers.get("app_check") if isinstance(callers, dict) else None
    return said if said in ("required", "consume") else "off"
