"""The kinds of values of `policy.toml`: names of models, times, limits and app ids."""

import re
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from livetoken.compile.strict import Invalid
from livetoken.policy import APP_ID, Limit

_MODEL = r"(?:models/)?gemini-[a-z0-9][a-z0-9.-]*"
_TIME = r"(?=.*[1-9])(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?"
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "month": 2592000, "year": 31104000}
"""Seconds. A month has 30 days and a year 360, as in the limits library."""
_LIMIT = rf"\s*([1-9][0-9]{{0,5}})\s*(?:/|per)\s*([1-9][0-9]{{0,3}})?\s*({'|'.join(_UNITS)})s?\s*"


def model(value: object) -> str:
    """Check the form of a model's name."""
    if isinstance(value, str) and re.fullmatch(_MODEL, value):
        return value
    raise Invalid("must be the name of a Gemini Live model, such as gemini-3.8-live")


def seconds(value: object) -> int:
    """Return the seconds of a time such as `1h30m`."""
    match = re.fullmatch(_TIME, value) if isinstance(value, str) else None
    if match is None:
        raise Invalid('must be a time over 0, such as "90s", "30m" or "1h30m"')
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def limits(value: object) -> tuple[Limit, ...]:
    """Return the limits of a text such as `10/hour; 30/day`."""
    parts = value.split(";") if isinstance(value, str) else [""]
    matches = [re.fullmatch(_LIMIT, part) for part in parts]
    found = [
        Limit(int(match[1]), int(match[2] or 1) * _UNITS[match[3]]) for match in matches if match
    ]
    if len(found) < len(parts):
        units = ", ".join(_UNITS)
        raise Invalid(f'must be such as "30/hour" or "5/10 minutes; 50/day", of {units}')
    if len({limit.seconds for limit in found}) < len(found):
        raise Invalid("has two limits over the same time")
    return tuple(found)


def app_ids(value: object) -> tuple[str, ...]:
    """Return the apps of a list of Firebase app ids."""
    apps = value if isinstance(value, list) else []
    if not apps or not all(isinstance(each, str) and re.fullmatch(APP_ID, each) for each in apps):
        raise Invalid('must be a list of Firebase app ids, such as ["1:123:web:abc"]')
    if len(set(apps)) < len(apps):
        raise Invalid("lists an app twice")
    return tuple(apps)


def whole(pattern: str) -> WithJsonSchema:
    """Describe text that a pattern matches as a whole."""
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern})$"})


Model: TypeAlias = Annotated[str, PlainValidator(model), whole(_MODEL)]
Time: TypeAlias = Annotated[int, PlainValidator(seconds), whole(_TIME)]
AppIds: TypeAlias = Annotated[
    tuple[str, ...],
    PlainValidator(app_ids),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "string", "pattern": f"^(?:{APP_ID})$"},
        }
    ),
]
Limits: Any = Annotated[
    tuple[Limit, ...], PlainValidator(limits), whole(rf"{_LIMIT}(?:;{_LIMIT})*")
]
