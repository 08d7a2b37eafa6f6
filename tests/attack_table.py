"""A table of the attacks at the end of a run: by family, how many there were and what was answered.

Every test of `tests/attacks` calls `record_property` with its `family`, and with an `answer` for
each request.
"""

from collections import Counter, defaultdict

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tests: Counter[str] = Counter()
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            families = [str(value) for name, value in report.user_properties if name == "family"]
            for family in families:
                tests[family] += 1
                answers[family].update(
                    str(value) for name, value in report.user_properties if name == "answer"
                )
    if not tests:
        return
    width = max(map(len, tests))
    terminalreporter.section("attacks")
    terminalreporter.line(f"{'family':{width}}  tests  answers")
    for family, count in sorted(tests.items()):
        seen = ", ".join(f"{answer} x{times}" for answer, times in answers[family].most_common())
        terminalreporter.line(f"{family:{width}}  {count:5}  {seen}")
    terminalreporter.line(f"{'all':{width}}  {tests.total():5}")
