"""The stand-in's clock: the time, or a time ahead of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta


class Clock:
    """The present, with a zone."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    @contextmanager
    def ahead(self, by: timedelta) -> Iterator[None]:
        """Run ahead for a while: what must happen later can be seen now."""
        self._ahead = by
        try:
            yield
        finally:
            self._ahead = timedelta()
