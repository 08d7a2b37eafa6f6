"""Per-caller instructions: a system instruction with placeholders for verified claims.

`${claim.level}` becomes the caller's claim and `$${` a literal `${`, in one pass, so that the text
of a claim is never searched for placeholders. The result is sent as one JSON string, which a claim
cannot end.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from livetoken.caller import MISSING, Caller
from livetoken.refusals import Detail, Reason, Refused

MAX_LENGTH = 1000
"""Characters of a claim at most. A whole ID token is at most 8 KiB."""

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{(?:claim\.([^{}]+)\})?")
_LITERAL = "$${"
_REFUSED_CLASSES = frozenset({"Cc", "Cf", "Cn", "Co", "Zl", "Zp"})

# Default_Ignorable_Code_Point, which is drawn as nothing: DerivedCoreProperties of Unicode 16.0,
# https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


@dataclass(frozen=True)
class ClaimText:
    """A claim that an instruction may name.

    `claim` is its dotted path, `max_length` in characters (code points). A caller without the claim
    gets `default`, or is refused if that is None. `path` is the setting's own path in the policy,
    for the log.
    """

    claim: str
    max_length: int
    default: str | None
    path: str

    def of(self, caller: Caller) -> str:
        """Return the text that replaces the placeholder for this caller.

        Raises:
            Refused: NOT_ALLOWED.
        """
        value = caller.claim(tuple(self.claim.split(".")))
        if value is MISSING and self.default is not None:
            return self.default
        detail = mistake(value, self.max_length)
        if detail is not None:
            raise Refused(Reason.NOT_ALLOWED, detail, rule=self.path)
        return str(value)


def mistake(value: object, max_length: int) -> Detail | None:
    """Return why a value cannot be put into an instruction, or None if it can."""
    if value is MISSING:
        return Detail.CLAIM_MISSING
    if not isinstance(value, str) or any("\ud800" <= each <= "\udfff" for each in value):
        return Detail.CLAIM_NOT_TEXT
    if len(value) > max_length:
        return Detail.CLAIM_TOO_LONG
    classes = set(map(unicodedata.category, value))
    if _IGNORABLE.search(value) or not classes.isdisjoint(_REFUSED_CLASSES):
        return Detail.CLAIM_CONTROL_CHARACTER
    return None


def placeholders(instruction: str) -> Iterator[str | None]:
    """Yield the claim that each `${…}` names, or None for one that does not name any."""
    for match in _PLACEHOLDER.finditer(instruction):
        if match[0] != _LITERAL:
            yield match[1]


def fill(instruction: str, texts: Mapping[str, str]) -> str:
    """Return the instruction with each placeholder replaced by the text of its claim."""
    return _PLACEHOLDER.sub(
        lambda match: "${" if match[0] == _LITERAL else texts[match[1]], instruction
    )
