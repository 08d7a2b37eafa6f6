"""The parts of openapi.yaml that restate code: every reason, and the headers of a preflight."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from livetoken.origins import PREFLIGHT
from livetoken.refusals import Reason

SCHEMA = "#/components/schemas/"
OF_CODE = {
    401: {"WWW-Authenticate": "Authenticate"},
    405: {"Allow": "Allow"},
    429: {"Retry-After": "RetryAfter"},
    503: {"Retry-After": "RetryAfter"},
}
"""The headers that only some answers have, and the names of their descriptions."""
OF_ALL = {
    "Cache-Control": "NoStore",
    "Vary": "Vary",
    "Access-Control-Allow-Origin": "AllowOrigin",
    "Access-Control-Expose-Headers": "Expose",
}


def answers(when: Mapping[str, str]) -> Iterator[str]:
    """What every reason says over HTTP, by status.

    Args:
        when: when each reason is given.
    """
    of_code: dict[int, list[str]] = {}
    for reason in Reason:
        of_code.setdefault(reason.value.code, []).append(reason.name)
    found = {}
    for code, names in of_code.items():
        headers = {**OF_ALL, **OF_CODE.get(code, {})}
        schemas = [{"$ref": SCHEMA + name} for name in names]
        schema = {"oneOf": schemas} if len(schemas) > 1 else schemas[0]
        found[str(code)] = {
            "description": "; ".join(f"`{name}`: {when[name]}" for name in names),
            "headers": {
                name: {"$ref": f"#/components/headers/{about}"} for name, about in headers.items()
            },
            "content": {"application/json": {"schema": schema}},
        }
    return _lines(found, indent=8)


def reasons() -> Iterator[str]:
    """Every reason, and the body of its answer."""
    names = {"Reason": {"enum": [reason.name for reason in Reason]}}
    return _lines({**names, **{reason.name: _body(reason) for reason in Reason}}, indent=4)


def preflight() -> Iterator[str]:
    """The headers of the answer to a preflight."""
    headers = {
        name: {"required": True, "schema": {"const": value}} for name, value in PREFLIGHT.items()
    }
    return _lines(headers, indent=12)


def _body(reason: Reason) -> dict[str, Any]:
    meaning = reason.value
    waits = "Retry-After" in OF_CODE.get(meaning.code, {})
    details = _constants(reason=reason.name, retryable=meaning.retryable)
    wait = ["retryAfterSeconds"]
    details |= {"required": wait} if waits else {"not": {"required": wait}}
    error = _constants(code=meaning.code, status=meaning.status, message=meaning.message)
    error["properties"]["details"] = details
    return {"allOf": [{"$ref": f"{SCHEMA}Error"}, {"properties": {"error": error}}]}


def _constants(**values: Any) -> dict[str, Any]:
    return {"properties": {name: {"const": value} for name, value in values.items()}}


def _lines(value: Mapping[str, Any], *, indent: int) -> Iterator[str]:
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=120 - indent)
    yield textwrap.indent(text.rstrip(), " " * indent)
