"""The kinds of values of `policy.toml`: names of models, times, limits and app ids."""

import math
import re
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from livetoken.compile.strict import Invalid
from livetoken.policy import APP_ID, Limit, Scalar

_MODEL = r"(?:models/)?gemini-[a-z0-9][a-z0-9.-]*"
_TIME = r"(?=[0hms]*[1-9])(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?"
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "month": 2592000, "year": 31104000}
"""Seconds. A month has 30 days and a year 360."""
_NAMES = ", ".join(_UNITS)
_PER = rf"\s*(?:/|per)\s*([1-9][0-9]{{0,3}})?\s*({'|'.join(_UNITS)})s?\s*"
_LIMIT = rf"\s*([1-9][0-9]{{0,5}}){_PER}"
_BUDGET = rf"\s*({_TIME}){_PER}"


def model(value: object) -> str:
    """Check the form of a model's name."""
    if isinstance(value, str) and re.fullmatch(_MODEL, value):
        return value
    raise Invalid("must be the name of a Gemini Live model, such as gemini-3.8-live")


LONGEST_WINDOW = 10 * 360 * 86_400
"""Seconds."""


def seconds(value: object) -> int:
    """Return the seconds of a time such as `1h30m`."""
    match = re.fullmatch(_TIME, value) if isinstance(value, str) else None
    if match is None:
        raise Invalid('must be a time such as "90s", "30m" or "1h30m", and over 0')
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def limits(value: object) -> tuple[Limit, ...]:
    """Return the numbers of tokens of a text such as `10/hour; 30/day`."""
    found = [Limit(int(most), seconds) for most, seconds in _amounts(value, _LIMIT)]
    if not found:
        raise Invalid(f'must be such as "30/hour" or "5/10 minutes; 50/day", of {_NAMES}')
    return _apart(found)


def budgets(value: object) -> tuple[Limit, ...]:
    """Return the seconds of a text such as `60m/day; 5h/month`."""
    found = [Limit(seconds(most), per) for most, per in _amounts(value, _BUDGET)]
    if not found:
        raise Invalid(
            'must be a time per window, such as "60m/day" or "10m/2 days; 5h/month",'
            f" with windows of {_NAMES}"
        )
    return _apart(found)


def _amounts(value: object, form: str) -> list[tuple[str, int]]:
    """Return what may be used and in how many seconds, or nothing if a part has another form."""
    found = []
    for part in value.split(";") if isinstance(value, str) else [""]:
        match = re.fullmatch(form, part)
        if match is None:
            return []
        most, *_, times, unit = match.groups()
        found.append((most, int(times or 1) * _UNITS[unit]))
    return found


def _apart(found: list[Limit]) -> tuple[Limit, ...]:
    if any(each.seconds > LONGEST_WINDOW for each in found):
        raise Invalid("has a window of more than ten years")
    if len({each.seconds for each in found}) < len(found):
        raise Invalid("has two amounts for the same time")
    return tuple(found)


def app_ids(value: object) -> tuple[str, ...]:
    """Return the apps of a list of Firebase app ids."""
    apps = value if isinstance(value, list) else []
    if not apps or not all(isinstance(each, str) and re.fullmatch(APP_ID, each) for each in apps):
        raise Invalid('must be a list of Firebase app ids, such as ["1:123:web:abc"]')
    if len(set(apps)) < len(apps):
        raise Invalid("lists an app twice")
    return tuple(apps)


def scalar(value: object) -> Scalar:
    """Check that a value is one that JSON has, and neither a table nor a list."""
    if isinstance(value, Scalar) and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    raise Invalid("must be text, a number, true or false")


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
ScalarValue: TypeAlias = Annotated[
    Scalar,
    PlainValidator(scalar),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Limits: Any = Annotated[
    tuple[Limit, ...], PlainValidator(limits), whole(rf"{_LIMIT}(?:;{_LIMIT})*")
]
Budgets: Any = Annotated[
    tuple[Limit, ...], PlainValidator(budgets), whole(rf"{_BUDGET}(?:;{_BUDGET})*")
]
