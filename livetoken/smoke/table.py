"""The table that `smoke` prints: a row a check, as it ends, with nothing secret in it."""

from collections.abc import Awaitable, Callable
from textwrap import wrap

WIDTH = 100  # characters

_INDENT = 32  # characters, of what stands beside a check's name
_LEAST_SECRET = 8  # characters: a shorter part of a token says nothing


class Wrong(Exception):
    """What came is not what must come; the text is the row's."""


class Table:
    """Rows in groups.

    Args:
        out: takes each line.
    """

    def __init__(self, out: Callable[[str], None]) -> None:
        self._out = out
        self._group = ""
        self._right = 0
        self._wrong: dict[str, list[str]] = {}
        self._left_out: dict[str, list[str]] = {}
        self._secrets: set[str] = set()

    @property
    def all_right(self) -> bool:
        """Whether checks ran, and every one is as it must be."""
        return self._right > 0 and not self._wrong

    def hide(self, token: str) -> str:
        """Keep a token out of whatever is printed from now on, each of its parts too."""
        parts = token.replace("/", ".").split(".")
        self._secrets |= {part for part in (token, *parts) if len(part) >= _LEAST_SECRET}
        return token

    def group(self, name: str) -> None:
        """Begin a group of rows."""
        self._group = name
        self._out(f"\n{self._printable(name)}")

    async def check(self, name: str, check: Awaitable[str]) -> bool:
        """Run a check and write its row; returns whether all is as it must be.

        Args:
            check: returns what came, or raises `Wrong`.
        """
        try:
            came = await check
        except Wrong as wrong:
            came = str(wrong)
        except Exception as error:  # a row as any other: the checks after it go on
            came = f"this command failed with {type(error).__name__}"
        else:
            self._right += 1
            self._row("ok", name, came)
            return True
        self._wrong.setdefault(self._group, []).append(name)
        self._row("WRONG", name, came)
        return False

    def leave_out(self, name: str, why: str) -> None:
        """Write the row of what is not checked."""
        self._left_out.setdefault(self._group, []).append(name)
        self._row("-", name, f"left out: {why}")

    def sum_up(self) -> None:
        """Write the last lines."""
        of = self._right + sum(map(len, self._wrong.values()))
        self._out(f"\n{self._right} of {of} as they must be.")
        for title, groups in (("Not so", self._wrong), ("Left out", self._left_out)):
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
