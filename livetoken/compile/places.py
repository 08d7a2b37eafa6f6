"""Suggests where an unknown key belongs."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from google.genai import types
from pydantic import BaseModel

from livetoken.compile import models
from livetoken.compile.strict import IN_CAPITALS, LEFT_OUT, WIDER, Found, Path, Unknown, snake
from livetoken.mistakes import dotted
from livetoken.settings import VARIABLES

_VOICE = "speech_config.voice_config.prebuilt_voice_config.voice_name"
_OTHER_NAMES: Mapping[str, str] = {
    "instruction": "system_instruction",
    "instructions": "system_instruction",
    "prompt": "system_instruction",
    "system_prompt": "system_instruction",
    "voice": _VOICE,
    "voice_id": _VOICE,
    "language": "speech_config.language_code",
    "functions": "tools.0.function_declarations",
    "modalities": "response_modalities",
    "max_tokens": "max_output_tokens",
    "max_response_output_tokens": "max_output_tokens",
    "turn_detection": "realtime_input_config.automatic_activity_detection",
    "vad": "realtime_input_config.automatic_activity_detection",
}
"""What other APIs call a field of the config."""

_OF_FUNCTIONS = ("type", "function", "name", "description", "parameters", "strict")
"""What other APIs write in a tool."""

_LOCKED = "everything is locked but what client_may_set names"
_SHARED = "write what profiles share in [defaults]"
_REMARKS: Mapping[str, str] = {
    "uses": "a token always has one use",
    "lock_additional_fields": _LOCKED,
    "field_mask": _LOCKED,
    "expire_time": "write expires_in",
    "new_session_expire_time": "write start_within",
    "extends": _SHARED,
    "inherits": _SHARED,
    "totals": "write [total]",
    "check_revoked": 'write revoked = "check" in [callers]',
    "max_sessions": "write at_once",
    "concurrency": "write at_once",
    "minutes": 'write budget, such as "60m/day"',
    "allowed_domains": 'write require = { hd = ["example.com"] }',
}
"""What to say of keys of google-genai's tokens and of other tools."""


@dataclass(frozen=True)
class Places:
    """The keys that the tables of a policy know. Those of the config are google-genai's."""

    top: Collection[str]
    callers: Collection[str]
    profile: Collection[str]

    def placed(self, found: Iterable[Found], document: Mapping[str, Any]) -> Iterator[Found]:
        """Yield mistakes with the place that was meant, without those that follow from another."""
        said: dict[Found, None] = {}
        meant: set[Path] = set()
        for path, message in found:
            if isinstance(message, Unknown):
                place = None if message.is_certain else self._of(path, document)
                if place is not None:
                    message, where = place
                    meant.add(where)
                elif message.close:
                    meant.add((*path[:-1], message.close))
            said[self._in_words(path, message, document)] = None
        for path, message in said:
            is_missing = value_at(document, path) is None
            if not (is_missing and any(path[: len(each)] == each for each in meant)):
                yield path, message

    def _in_words(self, path: Path, message: str, document: Mapping[str, Any]) -> Found:
        """Return a mistake, with what was meant if that is clear from its place."""
        if path == ("profiles",) and "defaults" in document:
            return path, f"{message}: [defaults] is not a profile"
        named = path[1] if path[0] == "profiles" and len(path) > 1 else ""
        is_table = named != "config" and isinstance(value_at(document, path[:2]), dict)
        if named in self.profile and not is_table:
            return path[:2], "belongs in a profile: write [profiles.default]"
        is_type = path[0] == "profiles" and "function_declarations" in path
        if is_type and message.startswith(IN_CAPITALS):
            model = value_at(document, (*path[:2], "model"))
            if models.accepts_json_schema(model):
                message += ", or write the whole schema as parameters_json_schema"
        return path, message

    def _of(self, path: Path, document: Mapping[str, Any]) -> tuple[str, Path] | None:
        """Return what to say of an unknown key, and the path where it belongs, or None.

        A key deep in the config does not belong to a place that has one of this name.
        """
        if remark := _REMARKS.get(path[-1]):
            return f"unknown: {remark}", path[:-1] if remark == _SHARED else path
        message, where = self._place(path, value_at(document, path)) or (None, path)
        is_there = where != path and "config" in path[:-2] and value_at(document, where) is not None
        return None if message is None or is_there else (message, where)

    def _place(self, path: Path, value: Any) -> tuple[str, Path] | None:
        *above, written = path
        key = snake(written)
        owner, inside = _owner(path)
        if key.upper() in VARIABLES:
            return f"is a variable of the environment: {key.upper()}", path
        is_profile = isinstance(value, dict) and not set(self.profile).isdisjoint(value)
        if len(path) == 1 and is_profile and key not in self.profile:
            message = f"write [{dotted('profiles', key)}], or [defaults] for what profiles share"
            return message, ("profiles",)
        if len(path) == len(owner) + 1 and is_profile:
            return "write its fields here, one level up", owner
        if inside is not None and key in self.profile:
            return f"belongs above [{dotted(*owner, 'config')}]", (*owner, key)
        if key in self.callers and above != ["callers"]:
            return "belongs in [callers]", ("callers", key)
        if key == "total" and above:
            return "write [total] for all profiles, or total in a profile", ("total",)
        if key in self.profile and above in ([], ["callers"], ["total"]):
            return "belongs in a profile, or in [defaults] for all profiles", (*owner, key)
        if key in self.top and above:
            return "belongs at the top of the file, above all tables", (key,)
        if inside is not None and inside[:1] == ("tools",) and key in _OF_FUNCTIONS:
            return "belongs in function_declarations, a list of functions", path
        place = _in_config(key, inside or ())
        if place is None or place == inside or (inside is None and "0" in place):
            return None
        where = (*owner, "config", *place)
        if inside is not None and place[:-1] == inside[:-1]:
            return f"unknown, did you mean {place[-1]}?", where
        if inside is None and len(place) == 1:
            return f"belongs in [{dotted(*owner, 'config')}]", where
        return f"belongs at {dotted(*where)}", where


def value_at(value: Any, path: Path) -> Any:
    """Return what is at a path of a document, or None."""
    for key in path:
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _owner(path: Path) -> tuple[Path, Path | None]:
    """Return the profile, or `defaults`, that a key is meant for, and its path in the config."""
    owner = path[:1] if path[0] == "defaults" else path[:2]
    if owner[0] not in ("profiles", "defaults"):
        return ("profiles", "default"), None
    rest = path[len(owner) :]
    return owner, rest[1:] if rest[:1] == ("config",) else None


def _in_config(key: str, inside: Path) -> Path | None:
    """Return where a key belongs in a config: below the table that it is in, or at one place."""
    if key in _OTHER_NAMES:
        return tuple(_OTHER_NAMES[key].split("."))
    known = _fields().get(key, [])
    above = _keys(inside[:-1])
    below = (each for each in known if _keys(each)[: len(above)] == above)
    if above and (place := next(below, None)):
        return place
    is_clear = known and (len(known) == 1 or len(known[0]) < len(known[1]))
    return known[0] if is_clear else None


def _keys(path: Path) -> list[str]:
    return [key for key in path if not key.isdigit()]


@cache
def _fields() -> Mapping[str, list[Path]]:
    """Return each place in a config by the name of its key, the shortest first; `0` is an index."""
    found: dict[str, list[Path]] = {}
    seen: set[type[BaseModel]] = set()
    tables: list[tuple[type[BaseModel], Path]] = [(types.LiveConnectConfig, ())]
    for table, path in tables:
        if table in seen:
            continue
        seen.add(table)
        for name, field in table.model_fields.items():
            if (table.__name__, name) in LEFT_OUT:
                continue
            found.setdefault(name, []).append((*path, name))
            kind = WIDER.get((table.__name__, name), field.annotation)
            for model, is_item in _models(kind):
                tables.append((model, (*path, name, "0") if is_item else (*path, name)))
    return found


def _models(kind: Any, *, is_item: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """Yield the tables that a type can hold, and whether they are items of a list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind, is_item
    for part in get_args(kind):
        yield from _models(part, is_item=is_item or getattr(kind, "__origin__", None) is list)
