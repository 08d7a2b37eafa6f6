"""A clock for the stand-ins that can be set ahead."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta


class Clock:
    """The current time in UTC, `by` some time ahead."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by

    @contextmanager
    def ahead(self, by: timedelta) -> Iterator[None]:
        """Set the clock ahead inside a `with` block."""
        self.by = by
        try:
            yield
        finally:
            self.by = timedelta()
