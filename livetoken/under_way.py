"""The requests of each caller that this process is answering now, and how many there may be.

Cloud Run sends an instance 250 requests at a time (deploy/size.sh). A request whose body does not
arrive occupies one of these slots until its deadline, and counts in no limit.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from livetoken.caller import Account, Caller
from livetoken.refusals import Detail, Reason, Refused

MAX_UNDER_WAY = 32
"""Requests of one caller at a time. Eight callers together can occupy an instance."""


class UnderWay:
    """Counts requests under way, by account."""

    def __init__(self) -> None:
        self._requests: Counter[Account] = Counter()

    @contextmanager
    def request(self, caller: Caller) -> Iterator[None]:
        """Count one request of a caller until it is answered.

        Raises:
            Refused: LIMIT_REACHED.
        """
        account = caller.account
        if self._requests[account] >= MAX_UNDER_WAY:
            raise Refused(Reason.LIMIT_REACHED, Detail.TOO_MANY_UNDER_WAY, retry_after=1)
        self._requests[account] += 1
        try:
            yield
        finally:
            self._requests[account] -= 1
            if not self._requests[account]:
                del self._requests[account]
