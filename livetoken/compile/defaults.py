"""`[defaults]`: what profiles share. A profile overrides it setting by setting.

In `config` it does so field by field, in `claims` and `require` claim by claim: a profile's rule
replaces the one about the same claim and leaves the others. A field of `config` is replaced whole,
and so is a choice of `choices`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from livetoken.compile.claims import claims
from livetoken.compile.strict import Found, Path

TABLES = ("config", "require", "claims", "choices", "total")

Locate: TypeAlias = Callable[[Path], Path]
"""Returns the path of a setting as written: below `defaults` if its profile inherits it."""


def merged(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parsed policy with every profile complete. Mistakes in it stay as they are."""
    shared, profiles = document.get("defaults"), document.get("profiles")
    if not isinstance(shared, dict) or not isinstance(profiles, dict):
        return dict(document)
    whole = {
        name: _merged(shared, profile) if isinstance(profile, dict) else profile
        for name, profile in profiles.items()
    }
    return {**document, "profiles": whole}


def _merged(shared: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    both = {**shared, **profile}
    for key in TABLES:
        if isinstance(shared.get(key), dict) and isinstance(profile.get(key), dict):
            merge = _by_claim if key == "require" else _flatly
            both[key] = merge(shared[key], profile[key])
    return both


def _flatly(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    return {**shared, **own}


def _by_claim(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two tables of rules, in which a dot and a table in the table mean the same."""
    return _deeply(_others(shared, {claim for _, claim, _ in claims(own)}), own)


def _others(rules: Mapping[str, Any], own: Collection[Path], above: Path = ()) -> dict[str, Any]:
    """Return the rules that are not about a profile's own claims."""
    found: dict[str, Any] = {}
    for key, value in rules.items():
        claim = (*above, *key.split("."))
        left = _others(value, own, claim) if isinstance(value, dict) else value
        if claim not in own and (left or not value):
            found[key] = left
    return found


def _deeply(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    both = _flatly(shared, own)
    for key in shared.keys() & own.keys():
        if isinstance(shared[key], dict) and isinstance(own[key], dict):
            both[key] = _deeply(shared[key], own[key])
    return both


def clashes(document: Mapping[str, Any]) -> Iterator[Found]:
    """Yield each rule of a profile on a claim that is above or below an inherited one.

    A claim is a value or a table, so one of the two rules could never pass.
    """
    inherited = [claim for _, claim, _ in _rules(document.get("defaults"))]
    profiles = document.get("profiles")
    for name, profile in profiles.items() if isinstance(profiles, dict) else ():
        for path, claim, _ in _rules(profile):
            for other in inherited:
                length = min(len(claim), len(other))
                if claim != other and claim[:length] == other[:length]:
                    message = f"conflicts with the rule on {'.'.join(other)} in [defaults]"
                    yield ("profiles", name, "require", *path), message


def _rules(table: object) -> list[tuple[Path, Path, Any]]:
    rules = table.get("require") if isinstance(table, dict) else None
    return list(claims(rules)) if isinstance(rules, dict) else []


def locator(document: Mapping[str, Any]) -> Locate:
    """Return where each setting of the merged document is written in the document."""

    def written(path: Path) -> Path:
        if path[:1] != ("profiles",) or len(path) < 3:
            return path
        _, name, *rest = path
        depth = len(rest) if rest[0] == "require" else 2 if rest[0] in TABLES else 1
        is_own = _has(document, ("profiles", name, *rest[:depth]))
        is_shared = _has(document, ("defaults", *rest[:depth]))
        return ("defaults", *rest) if is_shared and not is_own else path

    return written


def replaced(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the fields of each profile's config that drop keys of the inherited table."""
    shared, profiles = _config(document.get("defaults")), document.get("profiles")
    found = {name: _config(profile) for name, profile in profiles.items()} if profiles else {}
    return {
        name: [field for field, value in config.items() if _drops(value, shared.get(field))]
        for name, config in found.items()
    }


def _config(table: Any) -> Mapping[str, Any]:
    return table.get("config", {}) if isinstance(table, dict) else {}


def _drops(value: Any, inherited: Any) -> bool:
    """Whether a value lacks a key of the inherited table, at any depth."""
    if not isinstance(value, dict) or not isinstance(inherited, dict):
        return False
    return any(key not in value or _drops(value[key], inherited[key]) for key in inherited)


def as_written(found: Iterable[Found], document: Mapping[str, Any]) -> list[Found]:
    """Return mistakes of a merged document with their paths in the file.

    A mistake in `[defaults]` is reported once. If only some profiles have it, the message names
    them.
    """
    written, found = locator(document), list(found)
    of_itself = {path for path, _ in found if path[:1] == ("defaults",)}
    about: dict[Found, list[str]] = {}
    for path, message in found:
        place = written(path)
        if place == path:
            about.setdefault((path, message), [])
        elif place not in of_itself:
            about.setdefault((place, message), []).append(path[1])
    return [
        (path, message + _for_some(document, path, names))
        for (path, message), names in about.items()
    ]


def _for_some(document: Mapping[str, Any], path: Path, names: Collection[str]) -> str:
    """Return which profiles something at a path is about, if it is below `defaults` and not all."""
    profiles = document.get("profiles")
    if path[:1] != ("defaults",) or not isinstance(profiles, dict):
        return ""
    written = locator(document)
    heirs = [name for name in profiles if written(("profiles", name, *path[1:])) == path]
    return f" (profile {', '.join(names)})" if names and len(names) < len(heirs) else ""


def _has(document: Mapping[str, Any], path: Path) -> bool:
    value: Any = document
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
