"""The queries of deploy/queries/, run by Google's SQL engine on lines of a real function."""

import json
import shutil
import subprocess
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asking import profile
from googlesql import Entry, Row, Table, log_analytics, of_sink, run
from policies import HEAD
from stack import Stack, stack

from emulator.function import ROOT
from emulator.tls import Certificate

POLICY = HEAD
POLICY += profile("lesson", 'budget = "30m/day"\nexpires_in = "5m"', "session_resumption = {}")
POLICY += profile("quick", 'expires_in = "2m"')
POLICY += profile("scarce", 'expires_in = "1m"\nlimit = "1/hour"')
PRICES = {"lesson": 0.5, "quick": 0.25}
TABLES = {
    "log-analytics": "demo-livetoken.global._Default._Default",
    "bigquery": "demo-livetoken.usage.run_googleapis_com_stdout",
}
NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=91)
LAST_WEEK = NOW.replace(hour=0, minute=30) - timedelta(days=7 + NOW.weekday())
"""Monday, which is still Sunday in the engine's own time zone."""
TENANT = {"identities": {}, "sign_in_provider": "password", "tenant": "shop-a1b2c"}


@pytest.fixture(scope="module")
def entries(certificate: Certificate) -> list[Entry]:
    """The entries of some weeks: a function's lines, each with the time that it is given."""
    times: list[datetime] = []
    with stack(certificate) as unstarted, unstarted.running(POLICY) as livetoken:

        def ask(at: datetime, sub: str, name: str, status: int = 200, **more: Any) -> None:
            claims = {"sub": sub, **more.pop("claims", {})}
            token = livetoken.issuer.id_token("ada", **claims) if sub else None
            assert livetoken.ask({"profile": name, **more}, token=token).status == status
            times.append(at)

        ask(LONG_AGO, "ada", "quick")
        ask(LAST_WEEK, "ada", "lesson")
        ask(LAST_WEEK, "ada", "lesson", resume="handle")
        ask(LAST_WEEK, "grace", "quick")
        ask(LAST_WEEK, "", "quick", 401)
        ask(NOW, "ada", "lesson")
        ask(NOW, "ada", "quick", claims={"firebase": TENANT})
        for sub in ("ada", "grace"):
            ask(NOW, sub, "scarce")
            ask(NOW, sub, "scarce", 429)
        ask(NOW, "ada", "scarce", 429)
        ask(NOW, "grace", "other", 404)
        for number in range(9):
            ask(NOW, f"user-{number}", "quick")
        for _ in range(2):
            ask(NOW, "", "quick", 401)
        return _entries(livetoken, times)


def _entries(livetoken: Stack, times: list[datetime]) -> list[Entry]:
    """Give the lines their times, and mix them with lines that must not count."""
    livetoken.logged(len(times))
    at = iter(times)
    found: list[Entry] = []
    for text in livetoken.function.output().splitlines():
        fields = json.loads(text) if text.startswith("{") else {}
        fields.pop("severity", None)  # which Cloud Logging moves
        is_decision = fields.get("message") in ("minted", "refused")
        # A line with a message and nothing else becomes text.
        moment, known = next(at) if is_decision else NOW, fields if len(fields) > 1 else {}
        found.append(Entry(moment, f"id-{len(found)}", known))
    assert list(at) == []
    twice = [entry for entry in found if entry.fields.get("sub") == "ada"]
    return [
        *found,
        *(replace(entry, insert_id="other", service="other") for entry in twice),
        *(replace(entry, insert_id="error", log="run.googleapis.com/stderr") for entry in twice),
        *twice,
    ]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """deploy/ of a project, with prices."""
    folder = tmp_path_factory.mktemp("ledger")
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    names = folder / "deploy" / "names.sh"
    names.write_text(names.read_text() + 'PROJECT="demo-livetoken"\nSERVICE="livetoken"\n')
    rows = " UNION ALL ".join(
        f"SELECT '{name}' AS profile, {price} AS usd_a_minute" for name, price in PRICES.items()
    )
    (folder / "deploy" / "prices.sql").write_text(f"prices AS ({rows})\n")
    return folder


def printed(scripts: Path, *arguments: str) -> str:
    """The query that deploy/ledger.sh prints."""
    command = ["deploy/ledger.sh", *arguments]
    return subprocess.run(
        command, cwd=scripts, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


class Ledger:
    """Runs the queries in one of the two places, on the entries that count there."""

    def __init__(self, place: str, entries: list[Entry], scripts: Path) -> None:
        self._scripts = scripts
        self._arguments = ("usage",) if place == "bigquery" else ()
        make = of_sink if place == "bigquery" else log_analytics
        self.table: Table = make(TABLES[place], entries)
        least = LONG_AGO + timedelta(days=1) if place == "bigquery" else LONG_AGO
        self.decisions = [
            entry
            for entry in {each.insert_id: each for each in entries}.values()
            if "latency_ms" in entry.fields
            and (entry.service, entry.log) == ("livetoken", "run.googleapis.com/stdout")
            and entry.timestamp >= least
        ]

    def run(self, query: str) -> list[Row]:
        return run(printed(self._scripts, query, *self._arguments), self.table)

    def minted(self, **wanted: str | None) -> list[Entry]:
        """The tokens that were minted, for those whose fields have some values."""
        return [
            entry
            for entry in self.decisions
            if entry.fields["message"] == "minted"
            and all(entry.fields.get(name) == value for name, value in wanted.items())
        ]


@pytest.fixture(params=TABLES)
def ledger(request: pytest.FixtureRequest, entries: list[Entry], scripts: Path) -> Ledger:
    return Ledger(request.param, entries, scripts)


def week(moment: datetime) -> date:
    return moment.date() - timedelta(days=moment.weekday())


def minutes(entries: list[Entry]) -> Any:
    total = sum(entry.fields["seconds"] for entry in entries) / 60
    return pytest.approx(total, abs=0.0051)


def test_what_each_caller_used_by_week(ledger: Ledger) -> None:
    rows = ledger.run("used")
    assert [row["week"] for row in rows] == sorted((row["week"] for row in rows), reverse=True)
    (ada,) = [row for row in rows if (row["week"], row["sub"]) == (week(LAST_WEEK), "ada")]
    tokens = [each for each in ledger.minted(sub="ada") if each.timestamp == LAST_WEEK]
    assert ada == {
        "week": week(LAST_WEEK),
        "issuer": tokens[0].fields["issuer"],
        "tenant": None,
        "sub": "ada",
        "tokens": 2,
        "resumed": 1,
        "minutes": minutes(tokens),
    }
    assert 5 < ada["minutes"] < 6, "the second token only prolongs the first"
    (grace,) = [row for row in rows if (row["week"], row["sub"]) == (week(LAST_WEEK), "grace")]
    assert (grace["tokens"], grace["resumed"]) == (1, 0)
    this_week = {
        (row["sub"], row["tenant"]): row["minutes"] for row in rows if row["week"] == week(NOW)
    }
    expected = {("ada", None): 6.0, ("ada", "shop-a1b2c"): 2.0, ("grace", None): 1.0}
    assert this_week == expected | {(f"user-{number}", None): 2.0 for number in range(9)}
    assert sum(row["tokens"] for row in rows) == len(ledger.minted())


def test_the_ten_callers_who_used_most(ledger: Ledger) -> None:
    rows = ledger.run("top")
    expected = [("ada", None), ("grace", None), ("ada", "shop-a1b2c")]
    expected += [(f"user-{number}", None) for number in range(7)]
    assert [(row["sub"], row["tenant"]) for row in rows] == expected
    ada = ledger.minted(sub="ada", tenant=None)
    assert rows[0]["minutes"] == minutes(ada)
    total = sum(entry.fields["seconds"] for entry in ledger.minted()) / 60
    assert rows[0]["part"] == pytest.approx(rows[0]["minutes"] / total, abs=0.0011)


def test_refusals_by_reason_and_rule(ledger: Ledger) -> None:
    def row(reason: str, rule: str | None, requests: int, callers: int) -> Row:
        said = {"reason": reason, "rule": rule, "requests": requests, "callers": callers}
        return {**said, "last": f"{NOW:%Y-%m-%d %H:%M}"}

    assert ledger.run("refused") == [
        row("LIMIT_REACHED", "profiles.scarce.limit", 3, 2),
        row("NO_CREDENTIAL", None, 3, 0),
        row("UNKNOWN_PROFILE", None, 1, 1),
    ]


def test_the_cost_of_each_profile_by_the_owners_prices(ledger: Ledger) -> None:
    used: dict[tuple[date, str], list[Entry]] = defaultdict(list)
    for entry in ledger.minted():
        used[week(entry.timestamp), entry.fields["profile"]].append(entry)
    rows = ledger.run("spend")
    assert {(row["week"], row["profile"]) for row in rows} == used.keys()
    for row in rows:
        tokens = used[row["week"], row["profile"]]
        assert (row["tokens"], row["minutes"]) == (len(tokens), minutes(tokens))
        price = PRICES.get(row["profile"])
        seconds = sum(entry.fields["seconds"] for entry in tokens)
        cost = price and pytest.approx(price * seconds / 60, abs=0.0051)
        assert row["usd_at_most"] == cost, "a profile without a price has no cost"


def test_the_prices_that_are_shipped_are_to_be_filled_in(ledger: Ledger, scripts: Path) -> None:
    sql = printed(scripts, "spend", *ledger._arguments)
    filled = (scripts / "deploy" / "prices.sql").read_text()
    shipped = sql.replace(filled, (ROOT / "deploy" / "prices.sql").read_text())
    assert shipped != sql
    rows = run(shipped, ledger.table)
    assert rows
    assert {row["usd_at_most"] for row in rows} == {None}


def test_a_caller_who_never_used_a_profile_with_a_budget_needs_no_column(scripts: Path) -> None:
    """A sink's table has no columns for fields that no line had yet."""
    refused = {"message": "refused", "reason": "NO_CREDENTIAL", "latency_ms": 0.4}
    table = of_sink(TABLES["bigquery"], [Entry(NOW, "id-0", refused)])
    for query, rows in (("used", 0), ("top", 0), ("refused", 1), ("spend", 0)):
        assert len(run(printed(scripts, query, "usage"), table)) == rows


@pytest.mark.parametrize("arguments", [(), ("prices",), ("used", "usage", "more")])
def test_a_wrong_call_says_how(scripts: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["deploy/ledger.sh", *arguments], cwd=scripts, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 1
    assert "usage: deploy/ledger.sh used|top|refused|spend [DATASET]" in done.stderr
