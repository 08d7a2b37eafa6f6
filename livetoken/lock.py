"""`policy.lock.json`: the policy as google-genai compiled it, reviewed and committed like code.

A fresh lock spares a start the import of google-genai. It is fresh where it was made by the
installed SDK, from these very bytes of the policy, and has not been edited since.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from livetoken.constraint import SETUP
from livetoken.policy import Policy, Profile
from livetoken.setup import mask

FORMAT = 2
"""Raised when the compiler starts to write or to refuse something else."""


def path_for(policy_file: Path) -> Path:
    """The lock's path: beside the policy, `policy.toml` to `policy.lock.json`."""
    return policy_file.with_suffix(".lock.json")


def write(source: bytes, bodies: Mapping[str, Any]) -> str:
    """Return the lock's text for a policy's bytes and its compiled bodies."""
    sdk = version("google-genai")
    lock = {
        "format": FORMAT,
        "google-genai": sdk,
        "sha256": _digest(source, sdk, bodies),
        "profiles": bodies,
    }
    return json.dumps(lock, indent=2, ensure_ascii=False) + "\n"


def fresh(path: Path, source: bytes, policy: Policy) -> dict[str, Any] | None:
    """Return the bodies of the lock at `path`, or None where it is missing, stale or edited."""
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
        bodies, sdk = lock["profiles"], lock["google-genai"]
        current = (
            not policy.problems
            and lock["format"] == FORMAT
            and sdk == version("google-genai")
            and lock["sha256"] == _digest(source, sdk, bodies)
            and bodies.keys() == policy.profiles.keys()
            and all(_is_whole(bodies[name], each) for name, each in policy.profiles.items())
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return bodies if current else None


def _digest(source: bytes, sdk: str, bodies: Mapping[str, Any]) -> str:
    """A hash over the policy's bytes, the SDK's version and the bodies, order included."""
    written = json.dumps([FORMAT, sdk, bodies]).encode()
    return hashlib.sha256(hashlib.sha256(source).digest() + written).hexdigest()


def _is_whole(body: Mapping[str, Any], profile: Profile) -> bool:
    """Whether a body locks a whole setup of this profile and works once, whatever its hash says."""
    setup, left_open = body[SETUP], mask(profile.client_may_set)
    return (
        body == {"uses": 1, SETUP: setup, **({"fieldMask": left_open} if left_open else {})}
        and type(body["uses"]) is int
        and setup["model"] == f"models/{profile.model.removeprefix('models/')}"
        and bool(setup["generationConfig"]["responseModalities"])
    )
