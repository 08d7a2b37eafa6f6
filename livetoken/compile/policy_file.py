"""`policy.toml`: its one definition, by which it is read, checked and described to editors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

import pydantic
from google.genai import types
from pydantic import ConfigDict, Field

from livetoken import instruction
from livetoken.compile import config as config_rules
from livetoken.compile import defaults, toml_source
from livetoken.compile.claims import Require
from livetoken.compile.places import Places
from livetoken.compile.strict import Found, Invalid, Table, found_in, mirror
from livetoken.compile.values import AppIds, Limits, Model, Time, seconds
from livetoken.constraint import FIELDS
from livetoken.mistakes import Mistake, Mistakes
from livetoken.policy import MOST_EXPIRES_IN

EXPIRES_IN = 30 * 60
"""Seconds. Gemini's own default; it is always sent."""

START_WITHIN = 60
"""Seconds. Gemini's own default; it is always sent."""

_PART = r"[^{}.\s](?:[^{}.]*[^{}.\s])?"
_CLAIM = rf"{_PART}(?:\.{_PART})*"
_PROFILE = r"[A-Za-z0-9_-]{1,64}"


def _named(pattern: str) -> dict[str, Any]:
    """Describe the keys of a table."""
    return {"propertyNames": {"pattern": f"^(?:{pattern})$"}}


def _as_written(value: Any, validate: pydantic.ValidatorFunctionWrapHandler) -> Any:
    """Check a config, and keep it as it was written."""
    validate(value)
    return value


_FieldName: Any = Literal[tuple(FIELDS)]
OpenFields: Any = Annotated[list[_FieldName], Field(json_schema_extra={"uniqueItems": True})]
Config: Any = Annotated[mirror(types.LiveConnectConfig), pydantic.WrapValidator(_as_written)]


def _names(value: object) -> Iterator[Any]:
    """Yield the items of a list or the keys of a table; nothing of any other value."""
    yield from value if isinstance(value, dict | list) else ()


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


class DefaultsTable(SettingsTable):
    """`[defaults]`, whose keys are those of a profile."""

    model: Model | None = None
    """The Live model, such as gemini-3.8-live; every profile needs one."""
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
    """The session, locked: google-genai's LiveConnectConfig; response_modalities is required."""
    claims: dict[str, ClaimTable] = Field({}, json_schema_extra=_named(_CLAIM))
    """Claims that system_instruction names as ${claim.level}."""

    @pydantic.field_validator("expires_in")
    @classmethod
    def _in_range(cls, seconds: int) -> int:
        if seconds >= MOST_EXPIRES_IN:
            raise Invalid(f"must be under {MOST_EXPIRES_IN / 3600:g} hours")
        return seconds

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        open_fields = list(_names(table.get("client_may_set")))
        for index, name in enumerate(open_fields):
            if name in open_fields[:index]:
                yield ("client_may_set", str(index)), "is listed twice"
        for name in _names(table.get("claims")):
            if isinstance(name, str) and not re.fullmatch(_CLAIM, name):
                yield ("claims", name), "is not the path of a claim"


class ProfileTable(DefaultsTable):
    """`[profiles.NAME]`, with what it inherits from `[defaults]`."""

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        yield from super().rules(table)
        if "model" not in table:
            yield ("model",), "is required"
        if "start_within" in table and _is_late(table):
            yield ("start_within",), "must be at most expires_in"
        config, claims = table.get("config", {}), list(_names(table.get("claims")))
        if not isinstance(config, dict):
            return
        if "response_modalities" not in config:
            yield ("config", "response_modalities"), "is required"
        for name in (each for each in FIELDS if each in config):
            if name in _names(table.get("client_may_set")):
                message = f"{name} is set in config or in [defaults]: lock it or leave it open"
                yield ("client_may_set",), message
        with suppress(RecursionError):  # the compiler says so
            for path, message in list(config_rules.mistakes(table.get("model"), config)):
                yield ("config", *path), message
        if "system_instruction" in config:
            instructed = config["system_instruction"]
            for path, message in config_rules.of_instruction(instructed, claims):
                yield ("config", "system_instruction", *path), message


class PolicyTable(SettingsTable):
    """The whole file."""

    api_version: Literal["v1alpha", "v1beta"]
    """The version of Gemini's API where tokens are made and used."""
    callers: CallersTable = CallersTable()
    """Who may ask at all."""
    defaults: DefaultsTable | None = None
    """What profiles share. A profile overrides it: config field by field, claims one by one."""
    profiles: dict[str, ProfileTable] = Field(min_length=1, json_schema_extra=_named(_PROFILE))
    """What one token may do. A request that does not name a profile gets the one named default."""

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        for name in _names(table.get("profiles")):
            if isinstance(name, str) and not re.fullmatch(_PROFILE, name):
                yield ("profiles", name), "a name is 1 to 64 letters, digits, - and _"


_PLACES = Places(
    PolicyTable.model_fields.keys(),
    CallersTable.model_fields.keys(),
    ProfileTable.model_fields.keys(),
)


def _is_late(table: Mapping[str, Any]) -> bool:
    """Whether a session may start after its token ends. Other mistakes are reported elsewhere."""
    ends = MOST_EXPIRES_IN
    with suppress(Invalid):
        ends = seconds(table.get("expires_in", f"{EXPIRES_IN}s"))
    with suppress(Invalid):
        return seconds(table["start_within"]) > ends
    return False


def read(document: Mapping[str, Any]) -> tuple[PolicyTable | None, list[Found]]:
    """Read a merged policy. It is None if there are mistakes, which come second.

    Raises:
        Mistakes: the document is nested too deeply.
    """
    try:
        return PolicyTable.model_validate(document), []
    except pydantic.ValidationError as error:
        return None, list(_PLACES.placed(found_in(error), document))
    except RecursionError:
        raise Mistakes([Mistake("policy", "is nested too deeply")]) from None


def configs(source: bytes) -> dict[str, dict[str, Any]]:
    """Return the config of each profile of a policy's bytes, by the profile's name.

    Raises:
        Mistakes: they are not TOML.
    """
    return configs_in(defaults.merged(toml_source.parse(source)))


def configs_in(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the config of each profile of a merged policy, mistakes included."""
    profiles = document.get("profiles")
    tables = profiles.items() if isinstance(profiles, dict) else ()
    found = {name: table.get("config") for name, table in tables if isinstance(table, dict)}
    return {name: config for name, config in found.items() if isinstance(config, dict)}


def app_check(document: Mapping[str, Any]) -> str:
    """Return what a policy says about App Check, even if it has mistakes."""
    callers = document.get("callers")
    said = callers.get("app_check") if isinstance(callers, dict) else None
    return said if said in ("required", "consume") else "off"
