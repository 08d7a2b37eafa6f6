"""Reads deploy/monitoring/ and the queries of docs/operations.md."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from log_entries import SERVICE
from log_filter import Entry, Filter, field_of

from emulator.function import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
METRICS = sorted((FOLDER / "metrics").glob("*.yaml"))
ALERTS = sorted((FOLDER / "alerts").glob("*.yaml"))
DASHBOARD = FOLDER / "dashboard.yaml"
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

OF_THE_SERVICE = f'resource.type="cloud_run_revision"\nresource.labels.service_name="{SERVICE}"\n'
USER = "logging.googleapis.com/user/"


@dataclass(frozen=True)
class Selection:
    """A filter of Cloud Monitoring, and how its time series become one number.

    https://cloud.google.com/monitoring/api/v3/filters
    """

    where: str
    filter: str
    aggregation: Mapping[str, Any]
    legend: str = ""

    TERM = re.compile(
        r"(metric\.type|resource\.type|(?:metric|resource)\.labels\.\w+)"
        r'(=|!=)("[^"]*"|one_of\("[^"]*"(?:, "[^"]*")*\))'
    )

    @property
    def terms(self) -> list[tuple[str, str, list[str]]]:
        """The field, operator and values of each term."""
        read = []
        for term in self.filter.split(" AND "):
            found = self.TERM.fullmatch(term.strip())
            assert found, f"{self.where}: cannot parse: {term}"
            read.append((found[1], found[2], re.findall(r'"([^"]*)"', found[3])))
        return read

    @property
    def metric(self) -> str:
        ((_, _, (metric,)),) = [term for term in self.terms if term[0] == "metric.type"]
        return metric

    @property
    def labels(self) -> set[str]:
        """The labels of the metric that the filter, the grouping and the legend name."""
        grouped = self.aggregation.get("groupByFields", [])
        text = "\n".join([*(name for name, _, _ in self.terms), *grouped, self.legend])
        return set(re.findall(r"metric\.labels\.(\w+)", text))

    def named(self, operator: str) -> set[str]:
        """The reasons that the filter selects (`=`) or excludes (`!=`)."""
        terms = [term for term in self.terms if term[:2] == ("metric.labels.reason", operator)]
        return {value for _, _, values in terms for value in values}

    def matches(self, entry: Entry) -> bool:
        """Whether the filter counts an entry."""
        metric = read(FOLDER / "metrics" / f"{self.metric.removeprefix(USER)}.yaml")
        if not Filter(metric["filter"]).matches(entry):
            return False
        series = {"metric.type": self.metric, "resource.type": entry["resource"]["type"]}
        for name, value in entry["resource"]["labels"].items():
            series[f"resource.labels.{name}"] = value
        for name, extractor in metric["labelExtractors"].items():
            value = field_of(entry, extracted(extractor))
            series[f"metric.labels.{name}"] = "" if value is None else str(value)
        return all(
            (series[name] in values) == (operator == "=") for name, operator, values in self.terms
        )


def extracted(extractor: str) -> str:
    """The field in `EXTRACT(field)`."""
    (field,) = re.findall(r"^EXTRACT\(([\w.]+)\)$", extractor)
    return str(field)


@cache
def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def thresholds() -> list[tuple[Path, Mapping[str, Any]]]:
    """Each condition on a metric, with its file."""
    return [
        (file, condition["conditionThreshold"])
        for file in ALERTS
        for condition in read(file)["conditions"]
        if "conditionThreshold" in condition
    ]


def watched() -> list[Selection]:
    """The selections of the alerts; of a ratio, the numerator and then the denominator."""
    return [
        Selection(file.name, threshold[part], *threshold[aggregations])
        for file, threshold in thresholds()
        for part, aggregations in (
            ("filter", "aggregations"),
            ("denominatorFilter", "denominatorAggregations"),
        )
        if part in threshold
    ]


def tiles() -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = read(DASHBOARD)["mosaicLayout"]["tiles"]
    return found


def charted() -> list[Selection]:
    found = []
    for tile in tiles():
        for data in tile["widget"].get("xyChart", {}).get("dataSets", []):
            query = data["timeSeriesQuery"]["timeSeriesFilter"]
            title, legend = tile["widget"]["title"], data["legendTemplate"]
            found.append(Selection(title, query["filter"], query["aggregation"], legend))
    return found


def of_logs() -> Iterator[tuple[str, str]]:
    """Every filter and query in Cloud Logging's language, after its place."""
    for file in METRICS:
        yield file.name, read(file)["filter"]
    for file in ALERTS:
        for condition in read(file)["conditions"]:
            if "conditionMatchedLog" in condition:
                yield file.name, condition["conditionMatchedLog"]["filter"]
        for query in blocks(read(file)["documentation"]["content"]):
            yield f"{file.name}, text", query
    for tile in tiles():
        if "logsPanel" in tile["widget"]:
            yield tile["widget"]["title"], tile["widget"]["logsPanel"]["filter"]
    for query in blocks(PAGE):
        _, _, without_service = query.partition('service_name="livetoken"\n')
        yield "operations.md", OF_THE_SERVICE + (without_service or query)


def blocks(markdown: str) -> list[str]:
    """The fenced blocks without a language, which are queries."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", markdown, re.M | re.S)
    return [text for language, text in fenced if not language]


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))
