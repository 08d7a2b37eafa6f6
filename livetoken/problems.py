"""What is wrong with the environment or the policy, collected so that all of it is said at once."""

from collections.abc import Iterable


class Problems(Exception):
    """The deployment cannot serve. `lines` holds one problem each, `where: what is wrong`."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))
