"""What callers can use of the tokens that they got, added up without the function's own counts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter

HOUR = 3600
"""Seconds of every window."""

LATE = 2.0
"""Seconds between a decision and what is seen of it here."""


@dataclass(frozen=True)
class Token:
    """A token that was minted, or may have been.

    The moments are in seconds of the true time. `session` is the one that it really continues.
    """

    caller: str
    session: int
    begin: float
    end: float
    is_minted: bool = True
    """Whether Gemini was asked for it. A storage that hung may count one that was never minted."""


def windows_of(tokens: Sequence[Token], *, spill: bool) -> list[float]:
    """The ends of the windows of an hour that tokens open, in the order of their mints.

    Args:
        spill: whether the rest of a token is charged in the next window, as budgets do.
    """
    ends: list[float] = []
    last = 0.0  # end of a token
    for token in tokens:
        while ends and spill and ends[-1] <= min(token.begin, last):
            ends.append(ends[-1] + HOUR)
        if not ends or ends[-1] <= token.begin:
            ends.append(token.begin + HOUR)
        last = max(last, token.end)
    if spill and ends and ends[-1] < last:
        ends.append(ends[-1] + HOUR)
    return ends


def time_usable(spans: Iterable[tuple[int, float, float]], begin: float, end: float) -> float:
    """The time from `begin` to `end` in which sessions can be used.

    Gemini refuses two connections of one session, so the tokens of one do not add up.

    Args:
        spans: of each token its session, its begin and its end.
    """
    used, until = 0.0, dict[int, float]()
    for session, first, last in sorted(spans, key=itemgetter(1, 2)):
        seen = until.get(session, begin)
        used += max(0.0, min(last, end) - max(first, seen))
        until[session] = max(seen, min(last, end))
    return used


def is_within(tokens: Sequence[Token], budget: int, times: int) -> bool:
    """Whether tokens are within a budget in each window.

    Args:
        times: 1, or 2 for callers who resume sessions of others: the tokens of one add up then.
    """
    minted = [token for token in tokens if token.is_minted]
    for end in windows_of(tokens, spill=True):
        names = [each.session for each in minted] if times == 1 else range(len(minted))
        spans = ((name, each.begin, each.end) for name, each in zip(names, minted, strict=True))
        used = time_usable(spans, end - HOUR, end)
        if used > times * budget + LATE:
            return False
    return True


def possible(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The tokens that may be counted: all that are minted, and any of the others."""
    others = [token for token in tokens if not token.is_minted]
    for number in range(len(others) + 1):
        for some in combinations(others, number):
            yield [token for token in tokens if token.is_minted or token in some]
