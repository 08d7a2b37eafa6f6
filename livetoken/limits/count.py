"""The rules by which tokens, minutes and sessions at once are counted. They do no I/O.

Gemini reports nothing after a mint, so each token counts as if it were used until it ends.

**Windows.** The first use opens a window. A token that lasts past the end of a budget's window is
charged for the rest in the next one, which then begins exactly there. No token lasts past the end
of the next one.

**Sessions.** A request that resumes a session cannot say which, because a handle is opaque. It
joins the caller's session that ends first:

- If that session has one usable token, the new one is charged only for the time after its end.
  This is what a client that continues its session pays.
- If it has two, the new one is charged for its whole life.
- A session with three takes no more. If none can be joined, the token begins a session.

This relies on Gemini, which is reported to refuse two connections of one session. A caller who
resumes another session instead, one of theirs that has ended or one of another account, uses at
most twice the budget, and three sessions as one.

Times are whole milliseconds of the storage's own clock. `count.lua` has the same rules for Redis; a
test compares the two.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Self

from livetoken.limits.sessions import All, Own
from livetoken.policy import Bounds, Limit

ALERT_AT = 0.8
"""The part of a total that raises an alert."""


class Kind(Enum):
    """What is bounded. The value is the key in the policy."""

    LIMIT = "limit"
    BUDGET = "budget"
    AT_ONCE = "at_once"


@dataclass
class Window:
    """What is used in the window that ends at `end`, and already in the next one.

    These are tokens for a limit, milliseconds for a budget.
    """

    end: int
    used: int = 0
    next_used: int = 0

    def at(self, now: int, length: int) -> "Window":
        """Return the window that is open at a moment, or a new one."""
        if now < self.end and (self.used or self.next_used):
            return self
        if self.end <= now < self.end + length and self.next_used:
            return Window(self.end + length, self.next_used)
        return Window(now + length)


@dataclass
class Book:
    """The windows of a caller's profile, or of all callers, in the order of the bounds."""

    limits: list[Window]
    budgets: list[Window]

    @classmethod
    def new(cls, bounds: Bounds, now: int) -> Self:
        """Return a book in which nothing is counted."""
        limits, budgets = (
            [Window(now + each.seconds * 1000) for each in limits]
            for limits in (bounds.limits, bounds.budgets)
        )
        return cls(limits, budgets)

    def turn(self, bounds: Bounds, now: int) -> None:
        """Open the windows that are due."""
        for windows, limits in ((self.limits, bounds.limits), (self.budgets, bounds.budgets)):
            for index, each in enumerate(limits):
                windows[index] = windows[index].at(now, each.seconds * 1000)


@dataclass
class Books:
    """All that a token is counted in: first the caller's book and sessions, then those of all."""

    books: list[Book]
    sessions: tuple[Own, *tuple[All, ...]]

    def with_bounds(self, ask: "Ask") -> Iterator[tuple[int, Bounds, Book, Own | All]]:
        """Yield the index of each book, its bounds, the book and its sessions."""
        for index, bounds in enumerate(ask.bounds):
            yield index, bounds, self.books[index], self.sessions[index]

    def turn(self, ask: "Ask", now: int) -> None:
        """Open the windows that are due, and forget the sessions that are over."""
        for _, bounds, book, sessions in self.with_bounds(ask):
            book.turn(bounds, now)
            sessions.forget(now)


@dataclass(frozen=True)
class Ask:
    """What a request asks for.

    `keys` and `bounds` have one item for each book; the first is the caller's. The token should
    last `life` and must last `least`. `session` is the id of its session if it joins none.
    """

    keys: tuple[str, ...]
    bounds: tuple[Bounds, ...]
    life: int
    least: int
    resumes: bool
    session: int


@dataclass(frozen=True)
class Share:
    """What one token uses of one bound: of the window that ends at `end`, and of the next one."""

    end: int
    used: int
    next_used: int = 0


@dataclass(frozen=True)
class Granted:
    """A token may be minted.

    It lasts `life`, until `end`, and is charged for the time `charged`. `joined` is whether it
    resumes a session that has a usable token. `limits` and `budgets` are its shares, by book and in
    the order of the bounds.
    """

    session: int
    joined: bool
    life: int
    end: int
    charged: int
    limits: tuple[tuple[Share, ...], ...]
    budgets: tuple[tuple[Share, ...], ...]


@dataclass(frozen=True)
class Full:
    """No token may be minted: the `book`th book has reached a bound, for the time `wait`."""

    book: int
    kind: Kind
    wait: int


@dataclass(frozen=True)
class Counted:
    """A token is counted.

    `left` is what the caller's budgets have left in their windows, if there are any. `alerts` are
    the bounds of all callers that reach ALERT_AT with it, each with the index of its book.
    """

    granted: Granted
    left: int | None
    alerts: frozenset[tuple[int, Kind]]


def decide(now: int, ask: Ask, books: Books) -> Granted | Full:
    """Decide whether a token may be minted, and when it ends. This counts nothing."""
    books.turn(ask, now)
    own = books.sessions[0]
    joined = own.joined() if ask.resumes else None
    session = ask.session if joined is None else joined
    tokens = own.tokens.get(session, ())
    begin = tokens[0] if len(tokens) == 1 else now  # of the time that is charged
    end = now + ask.life
    for index, bounds, book, sessions in books.with_bounds(ask):
        for limit, window in zip(bounds.limits, book.limits, strict=True):
            if window.used >= limit.amount:
                return Full(index, Kind.LIMIT, window.end - now)
        for limit, window in zip(bounds.budgets, book.budgets, strict=True):
            end = min(end, _paid_until(limit, window, begin))
            if end < now + ask.least:
                at = _pays_at(limit, window, begin, ask.least)
                return Full(index, Kind.BUDGET, at - now)
        most = bounds.at_once
        if most is not None and session not in sessions and len(sessions) >= most:
            return Full(index, Kind.AT_ONCE, sessions.room_at(resumes=ask.resumes) - now)
    return Granted(
        session,
        joined is not None,
        end - now,
        end,
        max(0, end - begin),
        tuple(tuple(Share(window.end, 1) for window in book.limits) for book in books.books),
        tuple(tuple(_share(window, begin, end) for window in book.budgets) for book in books.books),
    )


def add(granted: Granted, ask: Ask, books: Books) -> Counted:
    """Count a token, right after it was decided."""
    before = nearly_full(ask, books)
    for index, bounds, book, sessions in books.with_bounds(ask):
        shares = (*granted.limits[index], *granted.budgets[index])
        for window, share in zip((*book.limits, *book.budgets), shares, strict=True):
            window.used += share.used
            window.next_used += share.next_used
        if bounds.at_once is not None:
            sessions.add(granted.session, granted.end)
    pairs = zip(ask.bounds[0].budgets, books.books[0].budgets, strict=True)
    left = min((limit.amount * 1000 - window.used for limit, window in pairs), default=None)
    return Counted(granted, left, nearly_full(ask, books) - before)


def take_out(now: int, granted: Granted, ask: Ask, books: Books) -> None:
    """Take out a token that was not minted.

    Its time stays counted if a later token of its session, which is not charged for it, was decided
    since.
    """
    books.turn(ask, now)
    own = books.sessions[0]
    is_tracked = ask.bounds[0].at_once is not None
    is_free = not is_tracked or own.take_out(granted.session, granted.end)
    for index, bounds, book, sessions in books.with_bounds(ask):
        _take_out(granted.limits[index], bounds.limits, book.limits)
        if is_free:
            _take_out(granted.budgets[index], bounds.budgets, book.budgets)
        if is_free and isinstance(sessions, All) and granted.session in sessions:
            sessions.set(granted.session, max(own.tokens.get(granted.session, (now,))))


def _take_out(shares: Sequence[Share], limits: Sequence[Limit], windows: Sequence[Window]) -> None:
    """Give shares back to their windows, if those are still open."""
    for share, limit, window in zip(shares, limits, windows, strict=True):
        if window.end == share.end:
            window.used -= share.used
            window.next_used -= share.next_used
        elif window.end == share.end + limit.seconds * 1000:
            window.used -= share.next_used


def _paid_until(limit: Limit, window: Window, begin: int) -> int:
    """Return the last moment that a budget can pay for, from `begin` on."""
    most, length = limit.amount * 1000, limit.seconds * 1000
    within = begin + max(0, most - window.used)
    if within < window.end:
        return within
    beyond = max(begin, window.end) + max(0, most - window.next_used)
    return min(beyond, window.end + length)


def _pays_at(limit: Limit, window: Window, begin: int, least: int) -> int:
    """Return when a budget may pay for `least` again."""
    has_room = window.next_used + least <= limit.amount * 1000 and begin < window.end
    return window.end if has_room else window.end + limit.seconds * 1000


def _share(window: Window, begin: int, end: int) -> Share:
    """Return what the time from `begin` to `end` is charged in the windows of a budget."""
    used = max(0, min(end, window.end) - begin)
    return Share(window.end, used, max(0, end - begin - used))


def nearly_full(ask: Ask, books: Books) -> frozenset[tuple[int, Kind]]:
    """Return the bounds of all callers of which ALERT_AT is used, with the index of their book."""
    found = set()
    for index, bounds, book, sessions in books.with_bounds(ask):
        limits = zip(bounds.limits, book.limits, strict=True)
        budgets = zip(bounds.budgets, book.budgets, strict=True)
        if any(window.used >= ALERT_AT * limit.amount for limit, window in limits):
            found.add((index, Kind.LIMIT))
        if any(window.used >= ALERT_AT * limit.amount * 1000 for limit, window in budgets):
            found.add((index, Kind.BUDGET))
        if bounds.at_once is not None and len(sessions) >= ALERT_AT * bounds.at_once:
            found.add((index, Kind.AT_ONCE))
    return frozenset(each for each in found if each[0])
