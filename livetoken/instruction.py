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
from livetoken.refusals import Detail, Reason, Refused
from livetoken.rules import MISSING, claim

_HOLE = re.compile(r"\$\$\{|\$\{(?:claim\.([^{}]+)\})?")
_LITERAL = "$${"
_REFUSED_CLASSES = frozenset({"Cc", "Cf", "Zl", "Zp"})


@dataclass(frozen=True)
class ClaimText:
    """A claim that an instruction may name: at most `max_length` characters (code points).

    `path` is the setting's own in the policy, as the log names it.
    """

    claim: tuple[str, ...]
    max_length: int
    default: str | None
    path: str

    def of(self, caller: Caller) -> str:
        """Return what stands in the instruction for this caller.

        Raises:
            Refused: NOT_ALLOWED.
        """
        value = claim(caller.claims, self.claim)
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
