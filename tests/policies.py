"""Policies for tests, and the mistakes in them."""

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes
from livetoken.policy import Bounds, CallerRules, Policy

HEAD = 'api_version = "v1alpha"\n'
PROFILE = '[profiles.default]\nmodel = "gemini-3.8-live"\n'
CONFIG = '[profiles.default.config]\nresponse_modalities = ["AUDIO"]\n'
SMALLEST = HEAD + PROFILE + CONFIG

Check: TypeAlias = Callable[..., tuple[int, str, str]]
"""The fixture `check`: a policy and options in; status, standard output and error out."""

UNLIMITED = Policy("v1alpha", CallerRules(), Bounds(), {})
"""A policy that needs nothing of the environment."""


def policy(*, callers: str = "", profile: str = "", config: str = "") -> str:
    """The smallest policy, with more lines in its tables."""
    rules = f"[callers]\n{callers}\n" if callers else ""
    return f"{HEAD}{rules}{PROFILE}{profile}\n{CONFIG}{config}\n"


@cache
def compiled(source: str) -> Policy:
    """Compile a policy, once in each process.

    Raises:
        Mistakes: every mistake in it.
    """
    return compile_policy(source.encode())


def mistakes(source: str) -> list[str]:
    """Return the path of every mistake in a policy."""
    try:
        compiled(source)
    except Mistakes as found:
        return [mistake.path for mistake in found.mistakes]
    return []
