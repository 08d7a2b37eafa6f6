"""The table that `smoke` prints: one row for each check, as it ends, without secrets."""

from collections import Counter
from collections.abc import Awaitable
from textwrap import wrap

WIDTH = 100  # characters

_INDENT = 32  # characters before the text beside a check's name
_LEAST_SECRET = 8  # characters; a shorter part of a token is not secret


class CheckFailed(Exception):
    """A check failed. The text goes into its row."""


class Table:
    """Rows in groups."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._secrets: set[str] = set()

    def hide(self, token: str) -> None:
        """Keep a token, and each of its parts, out of everything that is printed from now on."""
        parts = token.replace("/", ".").split(".")
        self._secrets |= {part for part in (token, *parts) if len(part) >= _LEAST_SECRET}

    def group(self, name: str) -> None:
        """Start a group of rows."""
        self._print("")
        self._print(name)

    async def check(self, name: str, check: Awaitable[object]) -> bool:
        """Run a check and print its row: its result, or the `CheckFailed` that it raises."""
        verdict = "FAILED"
        try:
            found, verdict = str(await check), "ok"
        except CheckFailed as error:
            found = str(error)
        except Exception as error:  # also one row, so that the other checks go on
            found = f"the check itself failed with {type(error).__name__}"
        self._row(verdict, name, found)
        return verdict == "ok"

    def skip(self, name: str, why: str) -> str:
        """Print the row of a check that is not run. Returns why it is not."""
        self._row("-", name, f"skipped: {why}")
        return why

    def sum_up(self) -> bool:
        """Print the summary. Returns whether at least one check ran, and none failed."""
        passed, failed, skipped = (self._counts[verdict] for verdict in ("ok", "FAILED", "-"))
        result = (
            f"{failed} of {passed + failed} checks failed" if failed else f"{passed} checks passed"
        )
        self._print("")
        self._print(f"{result}, {skipped} skipped." if skipped else f"{result}.")
        return passed > 0 and not failed

    def _row(self, verdict: str, name: str, beside: str) -> None:
        self._counts[verdict] += 1
        self._print(beside, f"  {verdict:<7}{name}".ljust(_INDENT))

    def _print(self, text: str, label: str = "") -> None:
        """Print text beside a label, in lines of at most `WIDTH` characters."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "…")
        text = "".join(each if each.isprintable() else " " for each in text)
        for line in wrap(text, WIDTH - len(label), break_on_hyphens=False) or [""]:
            print(f"{label}{line}", flush=True)
            label = " " * len(label)
