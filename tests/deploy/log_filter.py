"""A parser for Cloud Logging's filters. It fails on syntax that it does not know.

https://cloud.google.com/logging/docs/view/logging-query-language
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")
ANYTHING = "…"
"""In a query of the docs, a value that the reader fills in."""

Entry: TypeAlias = dict[str, Any]
Matcher: TypeAlias = Callable[[Entry], bool]


class Filter:
    """A filter of Cloud Logging, in which OR binds before AND.

    `matches` tells whether an entry passes. `fields` are the fields that it names, `reasons`
    the reasons that it selects, and `excluded` the reasons that it excludes.
    """

    TOKEN = re.compile(r'\s*("[^"\\]*"|[()]|>=|<=|=~|!=|:\*|[=:<>-]|[\w./]+)')
    COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
        "=": lambda found, value: found == value,
        ">=": lambda found, value: found >= value,
        ">": lambda found, value: found > value,
        "<": lambda found, value: found < value,
    }

    def __init__(self, text: str) -> None:
        self.fields: set[str] = set()
        self.reasons: set[str] = set()
        self.excluded: set[str] = set()
        self._named = self.reasons
        self._left: list[str] = []
        place = 0
        while text[place:].strip():
            token = self.TOKEN.match(text, place)
            assert token, f"cannot parse: {text[place:]}"
            self._left.append(token[1])
            place = token.end()
        self.matches = self._all()
        assert not self._left, f"left over: {self._left}"

    def _next(self) -> str:
        return self._left[0] if self._left else ""

    def _take(self, *expected: str) -> str:
        assert self._left and (not expected or self._left[0] in expected), self._left
        return self._left.pop(0)

    def _all(self) -> Matcher:
        parts = [self._any()]
        while self._next() not in ("", ")"):
            if self._next() == "AND":
                self._take()
            parts.append(self._any())
        return lambda entry: all(part(entry) for part in parts)

    def _any(self) -> Matcher:
        parts = [self._one()]
        while self._next() == "OR":
            self._take()
            parts.append(self._one())
        return lambda entry: any(part(entry) for part in parts)

    def _one(self) -> Matcher:
        token = self._take()
        if token in ("-", "NOT"):
            self._named = self.excluded
            part = self._one()
            self._named = self.reasons
            return lambda entry: not part(entry)
        if token == "(":
            inside = self._all()
            self._take(")")
            return inside
        if token == "log_id":
            self._take("(")
            log = _text(self._take())
            self._take(")")
            return lambda entry: bool(entry["log"] == log)
        if token.startswith('"'):
            words = _text(token)
            return lambda entry: words in json.dumps(entry)
        return self._comparison(token)

    def _comparison(self, name: str) -> Matcher:
        self.fields.add(name)
        operator = self._take("=", ">=", ">", "<", "=~", ":", ":*")
        if operator == ":*":
            return lambda entry: field_of(entry, name) is not None
        values = [self._take()]
        if values == ["("]:
            values = [self._take()]
            while self._take("OR", ")") == "OR":
                values.append(self._take())
        if name == "severity":
            return self._severity(operator, values)
        wanted = [_text(value) if value[0] == '"' else float(value) for value in values]
        assert operator[0] not in "<>" or all(isinstance(value, float) for value in wanted), name
        if name == "jsonPayload.reason" and operator == "=":
            self._named |= {str(value) for value in wanted}
        return lambda entry: any(_holds(operator, field_of(entry, name), value) for value in wanted)

    def _severity(self, operator: str, values: list[str]) -> Matcher:
        compared, ranks = self.COMPARED[operator], [SEVERITIES.index(value) for value in values]
        return lambda entry: any(
            compared(SEVERITIES.index(entry["severity"]), rank) for rank in ranks
        )


def _text(token: str) -> str:
    assert token[0] == token[-1] == '"', token
    return token[1:-1]


def field_of(entry: Entry, name: str) -> Any:
    """The field of a dotted name, or None."""
    value: Any = entry
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _holds(operator: str, found: Any, value: str | float) -> bool:
    if found is None:
        return False
    if value == ANYTHING:
        return True
    if isinstance(value, float):
        return isinstance(found, int | float) and Filter.COMPARED[operator](found, value)
    if operator == "=~":
        return re.search(value, str(found)) is not None
    found, value = str(found).lower(), value.lower()
    return value in found if operator == ":" else Filter.COMPARED[operator](found, value)
