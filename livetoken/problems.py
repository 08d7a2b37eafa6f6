"""What is wrong with the environment or the policy, collected so that all of it is said at once."""

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Problems(Exception):
    """The deployment cannot serve. `lines` holds one problem each, `where: what is wrong`."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


def dotted(*keys: str) -> str:
    """Return the path of a TOML key; whatever is no bare key is quoted, and stays on its line."""
    return ".".join(key if _BARE.fullmatch(key) else json.dumps(key) for key in keys)


def unknown(key: str, known: Iterable[str]) -> str:
    """Return what to say of a key that is none of those known."""
    close = get_close_matches(key, known, n=1)
    return "unknown" + (f", did you mean {close[0]}?" if close else "")
