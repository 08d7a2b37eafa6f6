"""What `preflight` checks: the variables of a deployment, in the YAML of `--env-vars-file`."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from livetoken import lock
from livetoken.compile.strict import unknown
from livetoken.limits import storages
from livetoken.mistakes import Mistake, Mistakes, dotted
from livetoken.policy import Policy
from livetoken.safety_identifier import LEAST_KEY
from livetoken.settings import SECRETS, VARIABLES, Settings

STORAGE = "LIMITS_STORAGE"
"""The variable that may come from a secret or from the file, as it may hold a password."""

_CREDENTIALS = "holds a password: store it as a secret, and name that in SECRETS of deploy/names.sh"
_BOUND = re.compile(rf"({STORAGE}|(/[A-Za-z0-9._-]+)+)=[A-Za-z0-9_-]{{1,255}}")
_STAND_INS = {**dict.fromkeys(SECRETS, "x" * LEAST_KEY), STORAGE: "async+rediss://a-secret"}
"""Valid values in place of secrets, which are not known here."""


def complete(variables: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
    """Return the variables with stand-ins for the secrets.

    Args:
        secrets: those besides the key, each `VARIABLE=SECRET` or `/FILE=SECRET`.

    Raises:
        Mistakes: one has another form, or names a variable that is set or is not a secret.
    """
    names = [name for name, _, _ in (each.partition("=") for each in secrets)]
    found = [
        Mistake(f"--secret {each}", "must be LIMITS_STORAGE=SECRET or /FILE=SECRET")
        for each in secrets
        if not _BOUND.fullmatch(each)
    ]
    if STORAGE in names and STORAGE in variables:
        found.append(Mistake(STORAGE, "is in a secret and in the file: remove one"))
    if found:
        raise Mistakes(found)
    bound = [*SECRETS, *(name for name in names if name == STORAGE)]
    return {**variables, **{name: _STAND_INS[name] for name in bound}}


def read(path: Path) -> dict[str, str]:
    """Read the variables. Every value must be text: to YAML, a bare `on` or `012` is not text.

    Raises:
        Mistakes: every name that is not a variable of the function, or is a secret, and every
            value that is not text.
    """
    try:
        variables = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Mistakes([Mistake(str(path), f"cannot be read: {error.strerror}")]) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Mistakes([Mistake(str(path), "is not YAML")]) from None
    if not isinstance(variables, dict):
        hint = 'contains no variables; write NAME: "value", one per line'
        raise Mistakes([Mistake(str(path), hint)])
    found = [
        Mistake(f"{path}: {dotted(str(name))}", message)
        for name, value in variables.items()
        if (message := _mistake(name, value))
    ]
    if found:
        raise Mistakes(found)
    return variables


def facts(policy_file: Path, policy: Policy, settings: Settings) -> str:
    """Return what the deploy scripts need to know, one line `name=value` each."""
    counted = storages.kind(settings.limits_storage)
    firestore = storages.database(settings.limits_storage)
    needs_network = settings.limits_storage.startswith("async+redis://")
    looks_up = policy.callers.revoked == "check"
    known = {
        "policy": policy_file,
        "lock": lock.path_for(policy_file),
        "app_check": policy.app_check,
        "firebase_project": next(iter(settings.firebase_projects), ""),
        "looked_up": ",".join(settings.firebase_projects if looks_up else ()),
        "switch": settings.switch.place if settings.switch else "",
        "origins": ",".join(sorted(settings.allowed_origins)),
        "limits": counted if policy.is_limited else "none",
        "firestore": firestore if policy.is_limited else "",
        "network": "required" if policy.is_limited and needs_network else "",
        "safety_identifier": "on" if policy.callers.safety_identifier else "off",
    }
    return "\n".join(f"{name}={value}" for name, value in known.items())


def _mistake(name: object, value: object) -> str | None:
    if name in SECRETS:
        return "is a secret: deploy/setup.sh stores it in Secret Manager"
    if name not in VARIABLES:
        return unknown(str(name), VARIABLES)
    if not isinstance(value, str):
        return "is not text: put it in quotes"
    has_password = name == STORAGE and "@" in value
    return _CREDENTIALS if has_password else None
