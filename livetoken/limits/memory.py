"""Counts in the memory of this process, in constant time a use."""

import time
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from struct import pack, unpack

from livetoken.limits.count import (
    Ask,
    Book,
    Books,
    Counted,
    Full,
    Granted,
    Window,
    add,
    decide,
    take_out,
)
from livetoken.limits.sessions import All, Own
from livetoken.limits.storage import Unavailable
from livetoken.policy import Bounds

MOST_CALLERS = 500_000
"""Callers' profiles that are counted at a time, at 200 to 450 bytes each."""

SWEPT = 8
"""Callers that each use looks at, to forget those whose counts are over.

If nearly all places are taken, about an eighth of them are of such callers.
"""


class Memory:
    """Counts that are lost with this process.

    Args:
        now: milliseconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000) -> None:
        self._now = now
        self._callers: dict[bytes, bytes] = {}
        self._order: deque[bytes] = deque()
        self._totals: dict[str, tuple[Book, All]] = {}

    async def reserve(self, ask: Ask) -> Counted | Full:
        now = self._now()
        key, books = self._books(ask, now)
        decided = decide(now, ask, books)
        if isinstance(decided, Full):
            return decided
        self._sweep(now)
        if not ask.bounds[0]:
            return add(decided, ask, books)  # only all callers together are counted
        if key not in self._callers:
            if len(self._callers) >= MOST_CALLERS:
                raise Unavailable
            self._order.append(key)
        counted = add(decided, ask, books)
        self._callers[key] = _packed(ask.bounds[0], books)
        return counted

    async def look(self, ask: Ask) -> Full | None:
        now = self._now()
        decided = decide(now, ask, self._books(ask, now)[1])
        return decided if isinstance(decided, Full) else None

    async def give_back(self, ask: Ask, granted: Granted) -> None:
        now = self._now()
        key, books = self._books(ask, now)
        take_out(now, granted, ask, books)
        if key in self._callers:
            self._callers[key] = _packed(ask.bounds[0], books)

    async def warm(self) -> None: ...

    def __len__(self) -> int:
        """Return the number of callers' profiles that are kept."""
        return len(self._callers)

    def _books(self, ask: Ask, now: int) -> tuple[bytes, Books]:
        key = blake2b(ask.keys[0].encode(), digest_size=16).digest()
        packed = self._callers.get(key)
        own = _unpacked(ask.bounds[0], packed) if packed else (Book.new(ask.bounds[0], now), Own())
        totals = []
        for name, bounds in zip(ask.keys[1:], ask.bounds[1:], strict=True):
            if name not in self._totals:
                self._totals[name] = (Book.new(bounds, now), All())
            totals.append(self._totals[name])
        books = [own[0], *(book for book, _ in totals)]
        return key, Books(books, (own[1], *(sessions for _, sessions in totals)))

    def _sweep(self, now: int) -> None:
        for _ in range(min(SWEPT, len(self._order))):
            key = self._order.popleft()
            (over,) = unpack("<q", self._callers[key][:8])
            if over > now:
                self._order.append(key)
            else:
                del self._callers[key]


def _packed(bounds: Bounds, books: Books) -> bytes:
    """Return what is counted of a caller as one string, which takes a fifth of the memory."""
    book, own = books.books[0], books.sessions[0]
    numbers = [_over_at(bounds, book, own)]
    for window in (*book.limits, *book.budgets):
        numbers += (window.end, window.used, window.next_used)
    for session, ends in own.tokens.items():
        numbers += (session, len(ends), *ends)
    return pack(f"<{len(numbers)}q", *numbers)


def _over_at(bounds: Bounds, book: Book, own: Own) -> int:
    """Return when nothing counts any more, if nothing is added."""
    ends = [window.end for window in (*book.limits, *book.budgets) if window.used]
    for limit, window in zip(bounds.budgets, book.budgets, strict=True):
        ends += [window.end + limit.seconds * 1000] if window.next_used else []
    ends += [end for tokens in own.tokens.values() for end in tokens]
    return max(ends, default=0)


def _unpacked(bounds: Bounds, packed: bytes) -> tuple[Book, Own]:
    numbers = unpack(f"<{len(packed) // 8}q", packed)
    first, last = len(bounds.limits), len(bounds.limits) + len(bounds.budgets)
    windows = [Window(*numbers[1 + 3 * each : 4 + 3 * each]) for each in range(last)]
    at, tokens = 1 + 3 * last, {}
    while at < len(numbers):
        session, count = numbers[at : at + 2]
        tokens[session] = numbers[at + 2 : at + 2 + count]
        at += 2 + count
    return Book(windows[:first], windows[first:]), Own(tokens)
