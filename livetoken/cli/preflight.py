"""What `preflight` checks: the variables of a deployment, in the YAML of `--env-vars-file`."""

from pathlib import Path

import yaml

from livetoken import lock
from livetoken.compile.strict import unknown
from livetoken.mistakes import Mistake, Mistakes, dotted
from livetoken.policy import Policy
from livetoken.settings import IN_MEMORY, VARIABLES, Settings


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
    counted = "memory" if settings.limits_storage == IN_MEMORY else "redis"
    known = {
        "policy": policy_file,
        "lock": lock.path_for(policy_file),
        "app_check": policy.callers.app_check,
        "firebase_project": next(iter(settings.firebase_projects), ""),
        "origins": ",".join(sorted(settings.allowed_origins)),
        "limits": counted if policy.is_limited else "none",
    }
    return "\n".join(f"{name}={value}" for name, value in known.items())


def _mistake(name: object, value: object) -> str | None:
    if name == "GEMINI_API_KEY":
        return "is a secret: deploy/setup.sh stores it in Secret Manager"
    if name not in VARIABLES:
        return unknown(str(name), VARIABLES)
    return None if isinstance(value, str) else "is not text: put it in quotes"
