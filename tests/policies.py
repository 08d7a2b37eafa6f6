"""Policies for tests, and the mistakes in them."""

from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes
from livetoken.policy import CallerRules, Policy

HEAD = 'api_version = "v1alpha"\n'
PROFILE = '[profiles.default]\nmodel = "gemini-3.8-live"\n'
CONFIG = '[profiles.default.config]\nresponse_modalities = ["AUDIO"]\n'
SMALLEST = HEAD + PROFILE + CONFIG

UNLIMITED = Policy("v1alpha", CallerRules(), {})
"""A policy that needs nothing of the environment."""


def mistakes(source: str) -> list[str]:
    """Return the path of every mistake in a policy."""
    try:
        compile_policy(source.encode())
    except Mistakes as found:
        return [mistake.path for mistake in found.mistakes]
    return []
