"""`policy.lock.json`: the decided policy, compiled, reviewed and committed like code.

It holds everything that the function applies, and spares its start the import of google-genai. It
is fresh if the installed google-genai made it from these very bytes of the policy, and it has not
been edited since. Its hash finds mistakes; it is not a signature.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from livetoken.constraint import FIELDS, SETUP, mask
from livetoken.mistakes import Mistake, Mistakes
from livetoken.policy import (
    MOST_EXPIRES_IN,
    Bounds,
    Choice,
    Policy,
    Profile,
    Scalar,
    is_same,
)

FORMAT = 5
"""Raise this when the compiler writes or refuses something else than before."""


def path_for(policy_file: Path) -> Path:
    """Return the lock's path: `policy.lock.json` beside `policy.toml`."""
    return policy_file.with_suffix(".lock.json")


def read_source(policy_file: Path) -> bytes:
    """Return the policy's bytes. Raises Mistakes if the file cannot be read."""
    try:
        return policy_file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        message = f"{policy_file} cannot be read: {getattr(error, 'strerror', error)}"
        raise Mistakes([Mistake("policy", message)]) from None


def load(policy_file: Path, on_stale: Callable[[str], None]) -> Policy:
    """Return the policy from its lock, or compile it if the lock is not fresh.

    Args:
        on_stale: is called with a sentence if the policy had to be compiled.

    Raises:
        Mistakes: every mistake in the policy.
    """
    source, locked = read_source(policy_file), path_for(policy_file)
    policy = fresh(locked, source)
    if policy is None:
        from livetoken.compile.body import compile_policy

        policy = compile_policy(source)
        on_stale(f"{locked.name} is missing or stale, so the policy was compiled at start")
    return policy


def write(source: bytes, policy: Policy) -> str:
    """Return the text of the lock of a policy."""
    sdk, decided = version("google-genai"), asdict(policy)
    head = {"format": FORMAT, "google-genai": sdk, "sha256": _digest(source, sdk, decided)}
    return json.dumps({**head, **decided}, indent=2, ensure_ascii=False) + "\n"


def fresh(path: Path, source: bytes) -> Policy | None:
    """Return the policy in the lock at `path`, or None if it is missing, stale or edited."""
    try:
        decided = json.loads(path.read_text(encoding="utf-8"))
        head = [decided.pop(name) for name in ("format", "google-genai", "sha256")]
        sdk = version("google-genai")
        if head != [FORMAT, sdk, _digest(source, sdk, decided)]:
            return None
        policy = Policy.of(decided)
        whole = bool(policy.profiles) and all(map(_is_whole, policy.profiles.values()))
        whole = whole and _are_whole(policy.total) and _names_callers(policy)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return policy if whole else None


def _digest(source: bytes, sdk: str, decided: Mapping[str, Any]) -> str:
    """Hash the policy's bytes, the SDK's version and the decided policy, order included."""
    written = json.dumps([FORMAT, sdk, decided]).encode()
    return hashlib.sha256(hashlib.sha256(source).digest() + written).hexdigest()


def _names_callers(policy: Policy) -> bool:
    """Whether no client can name its caller to Gemini if the policy does so."""
    left_open = (name for each in policy.profiles.values() for name in each.client_may_set)
    return not policy.callers.safety_identifier or "labels" not in left_open


def _is_whole(profile: Profile) -> bool:
    """Whether a token is locked whole, works once and ends, whatever the hash is."""
    body, setup = profile.body, profile.body[SETUP]
    left_open = {"fieldMask": mask(profile.client_may_set)} if profile.client_may_set else {}
    starts, ends, least = profile.start_within, profile.expires_in, profile.least
    return (
        body == {"uses": 1, SETUP: setup, **left_open}
        and all(type(number) is int for number in (body["uses"], starts, ends, least))
        and 0 < starts <= ends < MOST_EXPIRES_IN
        and 0 < least <= ends
        and _are_whole(profile.bounds)
        and _are_whole(profile.total)
        and setup["model"] == f"models/{profile.model.removeprefix('models/')}"
        and bool(setup["generationConfig"]["responseModalities"])
        and all(_is_offered(each, profile) for each in profile.choices)
    )


def _is_offered(choice: Choice, profile: Profile) -> bool:
    """Whether a choice changes one scalar of a locked field, which is its default."""
    value: Any = profile.body[SETUP]
    for key in choice.at:
        value = value[key]
    left_open = {FIELDS[name] for name in profile.client_may_set}
    default = [
        sent
        for each, sent in zip(choice.values, choice.sent, strict=True)
        if is_same(each, choice.default)
    ]
    return (
        json.dumps(default) == json.dumps([value])
        and all(isinstance(each, Scalar) for each in (*choice.values, *choice.sent))
        and choice.at[0] not in {"model", *left_open}
    )


def _are_whole(bounds: Bounds) -> bool:
    """Whether bounds are numbers that bound something."""
    amounts = (*bounds.limits, *bounds.budgets)
    numbers = [number for each in amounts for number in (each.amount, each.seconds)]
    numbers += [] if bounds.at_once is None else [bounds.at_once]
    return all(type(number) is int and number > 0 for number in numbers)
