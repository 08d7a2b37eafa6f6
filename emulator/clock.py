"""The stand-in's clock: the time, or a time ahead of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta


class Clock:
    """The present with a zone, `by` some time ahead."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by

    @contextmanager
    def ahead(self, by: timedelta) -> Iterator[None]:
        """Run ahead for a while: what must happen later can be seen now."""
        self.by = by
        try:
            yield
        finally:
            self.by = timedelta()
