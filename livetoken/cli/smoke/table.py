"""The table that `smoke` prints: one row for each check, as it ends, without secrets."""

from collections.abc import Awaitable, Callable
from textwrap import wrap

WIDTH = 100  # characters

_INDENT = 32  # characters before the text beside a check's name
_LEAST_SECRET = 8  # characters; a shorter part of a token is not secret


class CheckFailed(Exception):
    """A check failed. The text goes into its row."""


class Table:
    """Rows in groups.

    Args:
        out: prints a line.
    """

    def __init__(self, out: Callable[[str], None]) -> None:
        self._out = out
        self._group = ""
        self._passed = 0
        self._failed: dict[str, list[str]] = {}
        self._skipped: dict[str, list[str]] = {}
        self._secrets: set[str] = set()

    @property
    def all_right(self) -> bool:
        """Whether at least one check ran, and none failed."""
        return self._passed > 0 and not self._failed

    def hide(self, token: str) -> str:
        """Keep a token, and each of its parts, out of everything that is printed from now on."""
        parts = token.replace("/", ".").split(".")
        self._secrets |= {part for part in (token, *parts) if len(part) >= _LEAST_SECRET}
        return token

    def group(self, name: str) -> None:
        """Start a group of rows."""
        self._group = name
        self._out(f"\n{self._printable(name)}")

    async def check(self, name: str, check: Awaitable[str]) -> bool:
        """Run a check and print its row. Returns whether it passed.

        Args:
            check: returns what it found, or raises `CheckFailed`.
        """
        try:
            came = await check
        except CheckFailed as error:
            came = str(error)
        except Exception as error:  # also one row, so that the other checks go on
            came = f"the check itself failed with {type(error).__name__}"
        else:
            self._passed += 1
            self._row("ok", name, came)
            return True
        self._failed.setdefault(self._group, []).append(name)
        self._row("FAILED", name, came)
        return False

    def leave_out(self, name: str, why: str) -> None:
        """Print the row of a check that was not run."""
        self._skipped.setdefault(self._group, []).append(name)
        self._row("-", name, f"skipped: {why}")

    def sum_up(self) -> None:
        """Print the summary."""
        failed = sum(map(len, self._failed.values()))
        verdict = f"{failed} of {self._passed + failed} checks failed." if failed else None
        self._out(f"\n{verdict or f'{self._passed} checks passed.'}")
        for title, groups in (("Failed", self._failed), ("Skipped", self._skipped)):
            if groups:
                listed = "; ".join(
                    f"{group} ({', '.join(names)})" for group, names in groups.items()
                )
                for line in wrap(self._printable(f"{title}: {listed}."), WIDTH):
                    self._out(line)

    def _row(self, verdict: str, name: str, came: str) -> None:
        label = f"  {verdict:<7}{name}"
        lines = wrap(self._printable(came), WIDTH - _INDENT, break_on_hyphens=False)
        for line in lines or [""]:
            self._out(f"{label:<{_INDENT}}{line}")
            label = ""

    def _printable(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "…")
        return "".join(each if each.isprintable() else " " for each in text)
