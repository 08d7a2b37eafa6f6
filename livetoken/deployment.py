"""The plain variables of a deployment, a YAML file as gcloud's `--env-vars-file` takes it."""

from pathlib import Path

import yaml

from livetoken import lock
from livetoken.policy import Policy
from livetoken.problems import Problems, dotted, unknown
from livetoken.settings import IN_MEMORY, VARIABLES, Settings


def read(path: Path) -> dict[str, str]:
    """Read the variables. Every value must be text: YAML has its own idea of a bare `on` or `012`.

    Raises:
        Problems: all that is no variable of the function, no text, or a secret.
    """
    try:
        variables = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problems([f"{path}: cannot be read: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Problems([f"{path}: is no YAML"]) from None
    if not isinstance(variables, dict):
        raise Problems([f'{path}: holds no variables; write NAME: "value", one a line'])
    problems = [
        f"{path}: {dotted(str(name))}: {wrong}"
        for name, value in variables.items()
        if (wrong := _wrong(name, value))
    ]
    if problems:
        raise Problems(problems)
    return variables


def facts(policy_file: Path, policy: Policy, settings: Settings) -> str:
    """Return what scripts want to know of a deployment, a line `name=value` each."""
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


def _wrong(name: object, value: object) -> str | None:
    if name == "GEMINI_API_KEY":
        return "is a secret: deploy/setup.sh puts it into Secret Manager"
    if name not in VARIABLES:
        return unknown(str(name), VARIABLES)
    return None if isinstance(value, str) else "is not text: put it in quotes"
