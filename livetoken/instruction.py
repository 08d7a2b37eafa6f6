"""Per-caller instructions: a system instruction with holes that take verified claims.

`${claim.level}` becomes the caller's claim, `$${` a literal `${`, in one pass: what a claim says is
never read again. The result goes into the request as one JSON string, which it cannot leave.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from livetoken.callers import Caller
from livetoken.jws import has_surrogate
from livetoken.kinds import Text, WholeNumber, setting
from livetoken.refusals import Detail, Reason, Refused
from livetoken.rules import MISSING, claim

MAX_LENGTH = 1000  # characters; a whole ID token is at most 8 KiB

_HOLE = re.compile(r"\$\$\{|\$\{(?:claim\.([^{}]+)\})?")
_LITERAL = "$${"
_REFUSED_CLASSES = frozenset({"Cc", "Cf", "Zl", "Zp"})


@dataclass(frozen=True)
class ClaimText:
    """A claim that an instruction may name, by its dotted path.

    `path` is the setting's own in the policy, as the log names it.
    """

    name: str
    path: str
    max_length: int = setting(
        WholeNumber(1, MAX_LENGTH), "The most characters (code points) that the claim may have."
    )
    default: str | None = setting(
        Text(re.compile(r"[\s\S]*"), "text"),
        "What stands there for a caller without the claim, who is refused otherwise.",
        default=None,
    )

    def mistakes(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield what the settings cannot tell one by one: a path and what is wrong there."""
        if self.default is not None and self.mistake(self.default) is not None:
            yield ("default",), "must be of at most max_length, without control characters"

    def of(self, caller: Caller) -> str:
        """Return what stands in the instruction for this caller.

        Raises:
            Refused: NOT_ALLOWED.
        """
        value = claim(caller.claims, tuple(self.name.split(".")))
        if value is MISSING and self.default is not None:
            return self.default
        detail = self.mistake(value)
        if detail is not None:
            raise Refused(Reason.NOT_ALLOWED, detail, rule=self.path)
        return str(value)

    def mistake(self, value: object) -> Detail | None:
        """Return what is wrong with a value, if anything is."""
        if value is MISSING:
            return Detail.CLAIM_MISSING
        if not isinstance(value, str) or has_surrogate(value):
            return Detail.CLAIM_NOT_TEXT
        if len(value) > self.max_length:
            return Detail.CLAIM_TOO_LONG
        if any(unicodedata.category(character) in _REFUSED_CLASSES for character in value):
            return Detail.CLAIM_CONTROL_CHARACTER
        return None


def holes(instruction: str) -> Iterator[str | None]:
    """Yield the claim that each `${…}` names, None for one that names none."""
    for match in _HOLE.finditer(instruction):
        if match[0] != _LITERAL:
            yield match[1]


def fill(instruction: str, texts: Mapping[str, str]) -> str:
    """Return the instruction with a text in each hole, by the claim that it names."""
    return _HOLE.sub(lambda match: "${" if match[0] == _LITERAL else texts[match[1]], instruction)
