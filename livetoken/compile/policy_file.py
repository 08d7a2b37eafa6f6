"""`policy.toml`: its one definition, by which it is read, checked and described to editors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, TypeAlias

import pydantic
from google.genai import types
from pydantic import ConfigDict, Field

from livetoken import instruction
from livetoken.compile import choices as choice_rules
from livetoken.compile import config as config_rules
from livetoken.compile import defaults, toml_source
from livetoken.compile.claims import Require
from livetoken.compile.places import Places
from livetoken.compile.strict import Found, Invalid, Path, Table, found_in, mirror
from livetoken.compile.values import (
    AppIds,
    Budgets,
    Limits,
    Model,
    ScalarValue,
    Time,
    budgets,
    seconds,
)
from livetoken.constraint import FIELDS, SAFETY_LABEL
from livetoken.mistakes import Mistake, Mistakes
from livetoken.policy import APP_CHECK_MODES, MOST_CHOICES, MOST_EXPIRES_IN, Limit

EXPIRES_IN = 30 * 60
"""Seconds. Gemini's own default; it is always sent."""

START_WITHIN = 60
"""Seconds. Gemini's own default; it is always sent."""

LEAST = 60
"""Seconds that a token must last with a budget."""

SESSIONS_AT_ONCE = 32
"""Sessions that one caller may have if sessions are counted and `at_once` is left out."""

MOST_AT_ONCE_OF_ONE = 1000
"""Sessions at once that one caller can be given. Each mint looks at all of them."""

MOST_AT_ONCE = 100_000
"""Sessions at once that all callers together can be given."""

_PART = r"[^{}.\s](?:[^{}.]*[^{}.\s])?"
_CLAIM = rf"{_PART}(?:\.{_PART})*"
_NAMES = "a name is 1 to 64 letters, digits, - and _"
_NAME = r"[A-Za-z0-9_-]{1,64}"


def _named(pattern: str) -> dict[str, Any]:
    """Describe the keys of a table."""
    return {"propertyNames": {"pattern": f"^(?:{pattern})$"}}


def _as_written(value: Any, validate: pydantic.ValidatorFunctionWrapHandler) -> Any:
    """Check a config, and keep it as it was written."""
    validate(value)
    return value


AppCheckMode: TypeAlias = Literal["off", "required", "consume"]

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
    """Whether Firebase anonymous accounts, which are free to make, may ask; false if left out."""
    app_check: AppCheckMode = "off"
    """Firebase App Check: off, required, or consume (each token works once); off if left out."""
    require: Require = {}
    """Claims and their accepted values, such as email_verified = [true]. Callers without the claim
    are refused. A dot in a claim goes one object deeper."""
    max_auth_age: Time | None = None
    """The longest time since the last sign-in, which the token must then say; any if left out."""
    app_check_apps: AppIds = ()
    """Firebase app ids whose App Check tokens are accepted; all of the project if left out."""
    revoked: Literal["off", "check"] = "off"
    """Whether to ask Firebase, once a minute for each user, if the user is disabled, deleted or
    signed out everywhere; off if left out."""
    safety_identifier: bool = False
    """Whether Gemini gets a keyed hash of the caller's account, so that Google can tell one abuser
    from other callers; false if left out. Needs SAFETY_IDENTIFIER_KEY."""


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


class ChoiceTable(SettingsTable):
    """`[profiles.NAME.choices.CHOICE]`."""

    path: str = Field(json_schema_extra={"enum": list(choice_rules.fields())})
    """The field of the config: one text, number or switch, such as speech_config.language_code."""
    values: Annotated[
        list[ScalarValue], Field(min_length=1, json_schema_extra={"uniqueItems": True})
    ]
    """The values that a request may choose, each as the config would have it."""
    default: ScalarValue
    """The value for a request that does not choose."""

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        yield from choice_rules.mistakes_of(table)


class TotalTable(SettingsTable):
    """`[total]`, and `[profiles.NAME.total]`."""

    limit: Limits = ()
    """Tokens for all callers together, such as 5000/day. Any number if left out."""
    budget: Budgets = ()
    """Minutes for all callers together, such as 600h/day. Any number if left out."""
    at_once: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] | None = None
    """Sessions of all callers together. Any number if left out."""


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
    budget: Budgets = ()
    """Minutes for one caller's sessions, such as 60m/day. A token that lasts longer than what is
    left is made shorter. Any number if left out."""
    least: Time | None = None
    """With a budget: a token that would be shorter is refused; 1m if left out."""
    at_once: Annotated[int, Field(ge=1, le=MOST_AT_ONCE_OF_ONE)] | None = None
    """Sessions of one caller, each counted until its token ends. Any number if left out, but 32
    with a budget, or if a total has a budget or at_once."""
    total: TotalTable = TotalTable()
    """What all callers of the profile may use together."""
    allow_anonymous: bool | None = None
    """Replaces callers.allow_anonymous for this profile."""
    app_check: AppCheckMode | None = None
    """Replaces callers.app_check for this profile."""
    require: Require = {}
    """As in [callers], and in addition to it."""
    client_may_set: OpenFields = ()
    """Fields of the config that the client may set; all others are locked."""
    config: Config = None
    """The session, locked: google-genai's LiveConnectConfig; response_modalities is required."""
    claims: dict[str, ClaimTable] = Field({}, json_schema_extra=_named(_CLAIM))
    """Claims that system_instruction names as ${claim.level}."""
    choices: Annotated[dict[str, ChoiceTable], Field(max_length=MOST_CHOICES)] = Field(
        {}, json_schema_extra=_named(_NAME)
    )
    """What a request may choose, by the name that it uses."""

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
        for name in _names(table.get("choices")):
            if isinstance(name, str) and not re.fullmatch(_NAME, name):
                yield ("choices", name), _NAMES


class ProfileTable(DefaultsTable):
    """`[profiles.NAME]`, with what it inherits from `[defaults]`."""

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        yield from super().rules(table)
        if "model" not in table:
            yield ("model",), "is required"
        for key in ("start_within", "least"):
            if key in table and _is_over(table, key):
                yield (key,), "must be at most expires_in"
        if "least" in table and any(_least(table) > each.amount for each in _budgets(table)):
            yield ("least",), "must be at most the budget"
        config, claims = table.get("config", {}), list(_names(table.get("claims")))
        if not isinstance(config, dict):
            return
        if "response_modalities" not in config:
            yield ("config", "response_modalities"), "is required"
        for name in (each for each in FIELDS if each in config):
            if name in _names(table.get("client_may_set")):
                message = f"{name} is set in config or in [defaults]: lock it or leave it open"
                yield ("client_may_set",), message
        yield from choice_rules.clashes(table)
        with suppress(RecursionError):  # the compiler says so
            yield from list(choice_rules.mistakes(table))
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
    total: TotalTable = TotalTable()
    """What all callers of all profiles may use together."""
    defaults: DefaultsTable | None = None
    """What profiles share. A profile overrides it: config field by field, claims one by one."""
    profiles: dict[str, ProfileTable] = Field(min_length=1, json_schema_extra=_named(_NAME))
    """What one token may do. A request that does not name a profile gets the one named default."""

    @classmethod
    def rules(cls, table: Mapping[str, Any]) -> Iterator[Found]:
        callers = table.get("callers")
        has_apps = isinstance(callers, dict) and "app_check_apps" in callers
        if has_apps and app_check(table) == "off":
            yield ("callers", "app_check_apps"), "has no effect with app_check off"
        for name in _names(table.get("profiles")):
            if isinstance(name, str) and not re.fullmatch(_NAME, name):
                yield ("profiles", name), _NAMES
            profile = table["profiles"][name] if isinstance(table["profiles"], dict) else None
            if isinstance(profile, dict) and "least" in profile:
                tables = (profile, profile.get("total"), table.get("total"))
                if not any(isinstance(each, dict) and "budget" in each for each in tables):
                    yield ("profiles", name, "least"), "has no effect without a budget"
                totals = [each for each in tables[1:] if isinstance(each, dict)]
                amounts = [each.amount for total in totals for each in _budgets(total)]
                if _least(profile) > min(amounts, default=_least(profile)):
                    yield ("profiles", name, "least"), "must be at most the budget of each total"
            if isinstance(profile, dict) and _names_callers(table):
                yield from _identified(profile, ("profiles", name))


_PLACES = Places(
    PolicyTable.model_fields.keys(),
    CallersTable.model_fields.keys(),
    ProfileTable.model_fields.keys(),
)


def _names_callers(table: Mapping[str, Any]) -> bool:
    callers = table.get("callers")
    return isinstance(callers, dict) and callers.get("safety_identifier") is True


def _identified(profile: Mapping[str, Any], at: Path) -> Iterator[Found]:
    """Yield the settings of a profile that leave the identifier to the client or replace it."""
    if "labels" in _names(profile.get("client_may_set")):
        message = "labels hold the safety identifier of [callers]: lock them"
        yield (*at, "client_may_set"), message
    config = profile.get("config")
    if SAFETY_LABEL in _names(config.get("labels") if isinstance(config, dict) else None):
        message = "is set by safety_identifier in [callers]: leave it out"
        yield (*at, "config", "labels", SAFETY_LABEL), message


def _is_over(table: Mapping[str, Any], key: str) -> bool:
    """Whether a time is longer than a token's life. Other mistakes are reported elsewhere."""
    ends = MOST_EXPIRES_IN
    with suppress(Invalid):
        ends = seconds(table.get("expires_in", f"{EXPIRES_IN}s"))
    with suppress(Invalid):
        return seconds(table[key]) > ends
    return False


def _least(table: Mapping[str, Any]) -> int:
    with suppress(Invalid):
        return seconds(table["least"])
    return 0


def _budgets(table: Mapping[str, Any]) -> tuple[Limit, ...]:
    with suppress(Invalid):
        return budgets(table["budget"]) if "budget" in table else ()
    return ()


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


def complete_configs(source: bytes) -> dict[str, dict[str, Any]]:
    """Return the same with the default of each choice.

    Raises:
        Mistakes: they are not TOML.
    """
    document = defaults.merged(toml_source.parse(source))
    return {
        name: choice_rules.completed(config, choice_rules.offers(document["profiles"][name]))
        for name, config in configs_in(document).items()
    }


def configs_in(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the config of each profile of a merged policy, mistakes included."""
    profiles = document.get("profiles")
    tables = profiles.items() if isinstance(profiles, dict) else ()
    found = {name: table.get("config") for name, table in tables if isinstance(table, dict)}
    return {name: config for name, config in found.items() if isinstance(config, dict)}


def app_check(document: Mapping[str, Any]) -> str:
    """Return the strictest mode of App Check in a merged policy, even if it has mistakes."""
    profiles = document.get("profiles")
    tables = [document.get("callers"), *(profiles.values() if isinstance(profiles, dict) else ())]
    of_callers, *said = [
        each.get("app_check") if isinstance(each, dict) else None for each in tables
    ]
    modes = [of_callers if each is None else each for each in said] or [of_callers]
    known = [mode for mode in modes if mode in APP_CHECK_MODES]
    return max(known, key=APP_CHECK_MODES.index, default="off")
