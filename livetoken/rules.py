"""Who may, and how often: the rules of a policy about a verified caller."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from livetoken.callers import Caller
from livetoken.refusals import Detail, Reason, Refused

Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True)
class Requirement:
    """One claim, and the values of it that are accepted.

    `claim` is its path, `path` the requirement's own in the policy, as the log names it.
    """

    claim: tuple[str, ...]
    accepted: tuple[Scalar, ...]
    path: str

    def admit(self, caller: Caller) -> None:
        """Let a caller pass whose claim is accepted, or is a list that holds an accepted value.

        Raises:
            Refused: NOT_ALLOWED.
        """
        value = claim(caller.claims, self.claim)
        values = value if isinstance(value, list) else [value]
        if not any(_is_same(each, accepted) for each in values for accepted in self.accepted):
            raise Refused(Reason.NOT_ALLOWED, Detail.CLAIM_NOT_ACCEPTED, rule=self.path)


@dataclass(frozen=True)
class Limit:
    """`amount` uses in `seconds`."""

    amount: int
    seconds: int


MISSING = object()
"""What `claim` returns where there is none; a claim may be `null`."""


def claim(claims: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return a claim, or `MISSING`; each name goes one object deeper."""
    value: Any = claims
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def _is_same(value: object, accepted: Scalar) -> bool:
    """Whether two values are the same JSON: `true` is neither 1 nor "true"."""
    return _json_type(value) is _json_type(accepted) and value == accepted


def _json_type(value: object) -> type | None:
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None
