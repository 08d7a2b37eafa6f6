"""Mistakes in the environment or the policy, collected so that all are reported at once."""

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Mistake(NamedTuple):
    """One mistake. `path` names the variable, the setting or the file that it is in."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class Mistakes(Exception):
    """The deployment cannot serve, for one or more mistakes.

    `app_check` is what a policy with mistakes says about App Check, since the environment is
    checked together with it.
    """

    def __init__(self, mistakes: Iterable[Mistake], app_check: str = "off") -> None:
        self.mistakes = tuple(mistakes)
        self.app_check = app_check
        super().__init__("\n".join(map(str, self.mistakes)))


def dotted(*keys: str) -> str:
    """Return the path of a TOML key on one line. A key that TOML would quote is quoted."""
    return ".".join(key if _BARE.fullmatch(key) else json.dumps(key) for key in keys)
