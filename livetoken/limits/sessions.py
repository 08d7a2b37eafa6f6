"""The sessions that have usable tokens: those of one caller, and those of all.

Sessions have ids. Moments are in milliseconds of the storage's clock.
"""

import heapq

TOKENS_A_SESSION = 3
"""Usable tokens of one session: two renewals may overlap, after a lost answer or connection."""


class Own:
    """The sessions of one caller.

    `tokens` are the ends of each session's usable tokens, in the order of their mints.
    """

    def __init__(self, tokens: dict[int, tuple[int, ...]] | None = None) -> None:
        self.tokens = tokens or {}

    def forget(self, now: int) -> None:
        """Forget what is over; the other methods rely on it."""
        usable = {each: tuple(e for e in ends if e > now) for each, ends in self.tokens.items()}
        self.tokens = {each: ends for each, ends in usable.items() if ends}

    def joined(self) -> int | None:
        """Return the session that a resume joins: of those that can take it, the first to end."""
        able = (each for each, ends in self.tokens.items() if len(ends) < TOKENS_A_SESSION)
        return min(able, key=lambda each: (max(self.tokens[each]), each), default=None)

    def add(self, session: int, end: int) -> None:
        """Add a token of a session, which is usable until `end`."""
        self.tokens[session] = (*self.tokens.get(session, ()), end)

    def take_out(self, session: int, end: int) -> bool:
        """Take out a token if it is the last of its session. Return whether none relies on it."""
        *others, last = self.tokens.get(session, (None,))
        if last != end:
            return False
        self.tokens[session] = tuple(others)
        if not others:
            del self.tokens[session]
        return end not in others  # the two could be charged in either order

    def room_at(self, *, resumes: bool) -> int:
        """Return when there may be room for a token that resumes a session, or begins one."""
        when = min if resumes else max  # a session that has one token less can be joined
        return min(when(ends) for ends in self.tokens.values())

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, session: int) -> bool:
        return session in self.tokens


class All:
    """The sessions of all callers, of which only the last end is known."""

    def __init__(self, ends: dict[int, int] | None = None) -> None:
        self.ends = ends or {}
        self._queue = [(end, session) for session, end in self.ends.items()]
        heapq.heapify(self._queue)

    def forget(self, now: int) -> None:
        """Forget what is over; the other methods rely on it."""
        while self._queue:
            end, session = self._queue[0]
            is_current = self.ends.get(session) == end
            if is_current and end > now:
                return
            heapq.heappop(self._queue)
            if is_current:
                del self.ends[session]

    def add(self, session: int, end: int) -> None:
        """Add a token of a session, which is usable until `end`."""
        if end > self.ends.get(session, 0):
            self.set(session, end)

    def set(self, session: int, end: int) -> None:
        """Let a session end at a moment, or be forgotten by the next use if that is over."""
        self.ends[session] = end
        heapq.heappush(self._queue, (end, session))

    def room_at(self, **_: bool) -> int:
        """Return when the next session ends."""
        return self._queue[0][0]

    def __len__(self) -> int:
        return len(self.ends)

    def __contains__(self, session: int) -> bool:
        return session in self.ends
