"""What a storage does for the limiter. Each has the rules of `count`."""

from typing import Protocol

from livetoken.limits.count import Ask, Counted, Full, Granted


class Unavailable(Exception):
    """The storage cannot count. Whether it has counted is unknown."""


class Storage(Protocol):
    """Counts tokens, minutes and sessions at once. Any method may raise Unavailable."""

    async def reserve(self, ask: Ask) -> Counted | Full:
        """Decide, and count at once."""

    async def look(self, ask: Ask) -> Full | None:
        """Decide without counting. Return why no token may be minted, if none may."""

    async def give_back(self, ask: Ask, granted: Granted) -> None:
        """Take out a token that was certainly not minted."""

    async def warm(self) -> None:
        """Connect before the first use."""
