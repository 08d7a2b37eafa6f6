"""The text of a policy: TOML, and what to say of common slips in it."""

import re
import tomllib
from typing import Any

from livetoken.mistakes import Mistake, Mistakes

_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_PAIR = re.compile(r"\s*([\w.\"'-]+)\s*=\s*(.*?)\s*(?:#.*)?")
_BARE = re.compile(r"[\w./;:*@+-][\w./;:*@+ -]*")


def parse(source: bytes) -> dict[str, Any]:
    """Parse a policy's bytes.

    Raises:
        Mistakes: they are not TOML.
    """
    text = ""
    try:
        text = source.decode("utf-8-sig").replace("\r\n", "\n")
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        hint = _hint(text, str(error))
        message = f"is not TOML: {error}" + (f": {hint}" if hint else "")
        raise Mistakes([Mistake("policy", message)]) from None


def _hint(text: str, error: str) -> str | None:
    """Return how the line was probably meant, or None."""
    if error.startswith(("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate")):
        return "it is set twice"
    at = _LINE.search(error)
    line = text.split("\n")[int(at[1]) - 1] if at else ""
    if line.lstrip().startswith("//"):
        return "a comment begins with #"
    if "\\" in error:
        return "write \\\\ for a backslash, or the text in single quotes"
    if re.match(r"\s*[\w.]+\s*:\s", line):
        return "write = instead of the colon"
    if re.search("[\u2018\u2019\u201c\u201d]", line):
        return "write straight quotes"
    pair = _PAIR.fullmatch(line)
    return _hint_of_value(pair[1], pair[2]) if pair else None


def _hint_of_value(key: str, value: str) -> str | None:
    if value.startswith("{") and "}" not in value:
        return "a table in braces must end on its line; write it as a [table] instead"
    if value.endswith(","):
        return "remove the comma at the end of the line"
    if re.fullmatch(r"-?\d+,\d+", value):
        return f"write a point: {key} = {value.replace(',', '.')}"
    if value in ("True", "False"):
        return f"write {key} = {value.lower()}"
    if _BARE.fullmatch(value):
        return f'put the value in quotes: {key} = "{value}"'
    words = re.fullmatch(r"\[\s*((?:[A-Za-z_][\w-]*\s*,?\s*)+)\]", value)
    if words:
        quoted = ", ".join(f'"{word}"' for word in re.findall(r"[\w-]+", words[1]))
        return f"put each value in quotes: {key} = [{quoted}]"
    return None
