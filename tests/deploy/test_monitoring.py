"""deploy/monitoring/ as Google's servers read it, tried on lines that the function writes.

gcloud lets misspelt fields through, and a filter that finds nothing is no error anywhere. So each
file is parsed into its API's protobuf, strictly, and each filter and query is tried on what real
functions have written, by readers of the two filter languages that refuse what they do not know:
https://cloud.google.com/monitoring/api/v3/filters, and that of log_filter.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.logging_v2.types import LogMetric
from google.cloud.monitoring_dashboard_v1 import Dashboard
from google.cloud.monitoring_v3 import AlertPolicy
from log_entries import SERVICE, every_entry
from log_filter import Entry, Filter, field_of

from emulator.function import ROOT
from emulator.tls import Certificate
from livetoken.refusals import Reason

FOLDER = ROOT / "deploy" / "monitoring"
METRICS = sorted((FOLDER / "metrics").glob("*.yaml"))
ALERTS = sorted((FOLDER / "alerts").glob("*.yaml"))
DASHBOARD = FOLDER / "dashboard.yaml"
FILES: dict[Path, Any] = {
    **dict.fromkeys(METRICS, LogMetric),
    **dict.fromkeys(ALERTS, AlertPolicy),
    DASHBOARD: Dashboard,
}
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

OF_THE_SERVICE = f'resource.type="cloud_run_revision"\nresource.labels.service_name="{SERVICE}"\n'
USER = "logging.googleapis.com/user/"

COUNTER, DISTRIBUTION, GAUGE = "DELTA INT64", "DELTA DISTRIBUTION", "GAUGE INT64"
AGGREGATED = {
    COUNTER: ("ALIGN_DELTA", "REDUCE_SUM"),
    GAUGE: ("ALIGN_MAX", "REDUCE_SUM"),
    DISTRIBUTION: ("ALIGN_DELTA", "REDUCE_PERCENTILE_(50|95|99)"),
}
"""How each kind of metric becomes one number: over time, then over series."""
RUN = {
    "run.googleapis.com/request_count": (COUNTER, {"response_code", "response_code_class"}),
    "run.googleapis.com/container/instance_count": (GAUGE, {"state", "container_name"}),
    "run.googleapis.com/container/memory/utilizations": (DISTRIBUTION, {"container_name"}),
    "run.googleapis.com/container/startup_latencies": (DISTRIBUTION, {"container_name"}),
}
"""Cloud Run's metrics and their labels: https://cloud.google.com/monitoring/api/metrics_gcp_p_z."""
FEW_VALUES = {"message", "reason", "profile", "gemini_status"}
"""Fields that may label a metric: each combination of values is a series that is stored."""


@pytest.fixture(scope="module")
def entries(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    return every_entry(certificate, tmp_path_factory.mktemp("monitoring"))


def decisions(entries: list[Entry]) -> list[Entry]:
    """The entries of decisions."""
    return [entry for entry in entries if "latency_ms" in entry.get("jsonPayload", {})]


def reason_of(entry: Entry) -> str | None:
    reason: str | None = entry.get("jsonPayload", {}).get("reason")
    return reason


# ------------------------------------------------------------------------- filters of Monitoring


@dataclass(frozen=True)
class Selection:
    """A filter of Cloud Monitoring, and how what it finds becomes one number."""

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
        """Field, operator and values of each of its terms."""
        read = []
        for term in self.filter.split(" AND "):
            found = self.TERM.fullmatch(term.strip())
            assert found, f"{self.where}: not read: {term}"
            read.append((found[1], found[2], re.findall(r'"([^"]*)"', found[3])))
        return read

    @property
    def metric(self) -> str:
        ((_, _, (metric,)),) = [term for term in self.terms if term[0] == "metric.type"]
        return metric

    @property
    def labels(self) -> set[str]:
        """The labels of the metric that it names, in the filter, the grouping or the legend."""
        grouped = self.aggregation.get("groupByFields", [])
        text = "\n".join([*(name for name, _, _ in self.terms), *grouped, self.legend])
        return set(re.findall(r"metric\.labels\.(\w+)", text))

    def named(self, operator: str) -> set[str]:
        """The reasons that it asks for, or takes out."""
        terms = [term for term in self.terms if term[:2] == ("metric.labels.reason", operator)]
        return {value for _, _, values in terms for value in values}

    def matches(self, entry: Entry) -> bool:
        """Whether an entry is counted in what this selects."""
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
    """The field of `EXTRACT(field)`."""
    (field,) = re.findall(r"^EXTRACT\(([\w.]+)\)$", extractor)
    return str(field)


# ------------------------------------------------------------------------------------ the files


@cache
def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def thresholds() -> list[tuple[Path, Mapping[str, Any]]]:
    """Each condition on metrics, and its file."""
    return [
        (file, condition["conditionThreshold"])
        for file in ALERTS
        for condition in read(file)["conditions"]
        if "conditionThreshold" in condition
    ]


def watched() -> list[Selection]:
    """What the alerts look at: of a share, what is counted and then what it is a share of."""
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
    """Every filter and query in the language of Cloud Logging, after where it stands."""
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
        said_before = query.partition('service_name="livetoken"\n')
        yield "the page", OF_THE_SERVICE + (said_before[2] or query)


def blocks(markdown: str) -> list[str]:
    """The fenced blocks that name no language: queries."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", markdown, re.M | re.S)
    return [text for language, text in fenced if not language]


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


# ------------------------------------------------------------------------------------ the tests


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_every_file_is_what_its_api_takes(file: Path) -> None:
    FILES[file].from_json(json.dumps(read(file)), ignore_unknown_fields=False)


@pytest.mark.parametrize("file", METRICS, ids=lambda file: file.stem)
def test_a_metric_is_whole(file: Path) -> None:
    metric = read(file)
    descriptor = metric["metricDescriptor"]
    assert metric["name"] == file.stem
    assert metric["labelExtractors"].keys() == {label["key"] for label in descriptor["labels"]}
    for extractor in metric["labelExtractors"].values():
        assert extracted(extractor).removeprefix("jsonPayload.") in FEW_VALUES
    if descriptor["valueType"] == "DISTRIBUTION":
        assert extracted(metric["valueExtractor"]).endswith("_ms")
        assert descriptor["unit"] == "ms"
        bounds = metric["bucketOptions"]["explicitBuckets"]["bounds"]
        assert bounds == sorted(set(bounds))
        assert len(bounds) <= 200


def test_every_filter_is_of_the_service_and_one_substitution_changes_them_all() -> None:
    for selection in [*watched(), *charted()]:
        assert ("resource.type", "=", ["cloud_run_revision"]) in selection.terms, selection.where
        named = ("resource.labels.service_name", "=", [SERVICE])
        assert named in selection.terms, selection.where
    for where, text in of_logs():
        assert text.startswith(OF_THE_SERVICE), where
    for file in FILES:
        text = file.read_text()
        assert text.count("service_name") == text.count(f'service_name="{SERVICE}"'), file


@pytest.mark.parametrize("selection", [*watched(), *charted()], ids=lambda each: each.where)
def test_what_is_watched_or_drawn_exists_and_is_summed_as_it_can_be(selection: Selection) -> None:
    kind, labels = RUN.get(selection.metric, ("", set()))
    if selection.metric.startswith(USER):
        metric = read(FOLDER / "metrics" / f"{selection.metric.removeprefix(USER)}.yaml")
        descriptor = metric["metricDescriptor"]
        kind = f"{descriptor['metricKind']} {descriptor['valueType']}"
        labels = set(metric["labelExtractors"])
    assert selection.labels <= labels
    aligner, reducer = AGGREGATED[kind]
    assert selection.aggregation["perSeriesAligner"] == aligner
    assert re.fullmatch(reducer, selection.aggregation["crossSeriesReducer"])
    assert seconds(selection.aggregation["alignmentPeriod"]) % 60 == 0
    assert all(
        f"metric.labels.{label}" in selection.aggregation.get("groupByFields", [])
        for label in re.findall(r"\$\{metric\.labels\.(\w+)\}", selection.legend)
    )


@pytest.mark.parametrize("file", ALERTS, ids=lambda file: file.stem)
def test_an_alert_keeps_the_rules_of_the_server(file: Path) -> None:
    """Source: the reference of AlertPolicy, and its protobuf's comments."""
    alert = read(file)
    conditions, strategy = alert["conditions"], alert["alertStrategy"]
    assert alert["combiner"] == ("AND" if len(conditions) > 1 else "OR")
    assert seconds(strategy["autoClose"]) >= 1800
    of_lines = [each for each in conditions if "conditionMatchedLog" in each]
    assert len(of_lines) in (0, len(conditions))
    assert len(of_lines) <= 1
    assert ("notificationRateLimit" in strategy) == bool(of_lines)
    for condition in conditions:
        if (threshold := condition.get("conditionThreshold")) is None:
            continue
        assert threshold["comparison"] in ("COMPARISON_GT", "COMPARISON_LT")
        assert len(threshold["filter"]) <= 2048
        least = 60 if "evaluationMissingData" in threshold else 0
        assert seconds(threshold["duration"]) >= least
        assert seconds(threshold["duration"]) % 60 == 0
        if "denominatorFilter" in threshold:
            assert threshold["denominatorAggregations"] == threshold["aggregations"]


@pytest.mark.parametrize("file", ALERTS, ids=lambda file: file.stem)
def test_an_alert_says_what_to_do_and_has_a_query(file: Path) -> None:
    alert = read(file)
    content = alert["documentation"]["content"]
    assert len(content) <= 8192
    assert len(content.encode()) <= 10240
    assert blocks(content)
    extractors = alert["conditions"][0].get("conditionMatchedLog", {}).get("labelExtractors", {})
    used = re.findall(r"\$\{([^}]*)\}", content)
    assert set(used) == {f"log.extracted_label.{name}" for name in extractors}
    display_name = alert["displayName"].removeprefix("livetoken: ")
    (row,) = re.findall(rf"^\| {display_name} \|.*", PAGE, re.M)
    for condition in alert["conditions"]:
        said = re.search(r"more than (\d+)\b.* in (\d+) minutes", condition["displayName"])
        if said is not None:
            threshold = condition["conditionThreshold"]
            (aggregation,) = threshold["aggregations"]
            assert int(said[1]) == threshold["thresholdValue"]
            assert f"{int(said[2]) * 60}s" == aggregation["alignmentPeriod"]
            assert re.search(rf"over {said[1]}\b.* in {said[2]} minutes", row)


def test_the_dashboards_tiles_lie_side_by_side() -> None:
    places = []
    for tile in tiles():
        x, y, width, height = (tile[name] for name in ("xPos", "yPos", "width", "height"))
        assert x + width <= read(DASHBOARD)["mosaicLayout"]["columns"]
        places.append({(x + i, y + j) for i in range(width) for j in range(height)})
    assert not any(one & other for one, other in combinations(places, 2))


def test_every_filter_and_query_finds_what_the_function_writes(entries: list[Entry]) -> None:
    """Each finds an entry, one for each reason that it names, and names fields that there are."""
    assert {reason_of(entry) for entry in entries} == {None, *Reason.__members__}
    for where, text in of_logs():
        query = Filter(text)
        found = [entry for entry in entries if query.matches(entry)]
        assert found, f"{where} finds nothing: {text}"
        assert query.reasons <= {reason_of(entry) for entry in found}, where
        assert query.excluded <= Reason.__members__.keys(), where
        for name in query.fields:
            assert any(field_of(entry, name) is not None for entry in entries), f"{where}: {name}"
    for selection in [*watched(), *charted()]:
        if selection.metric.startswith(USER):
            reasons = {reason_of(entry) for entry in entries if selection.matches(entry)}
            assert reasons, f"{selection.where} finds nothing"
            assert selection.named("=") <= reasons, selection.where
            assert selection.named("!=") <= Reason.__members__.keys(), selection.where
    for file in METRICS:
        extractors = [*read(file)["labelExtractors"].values(), read(file).get("valueExtractor")]
        for name in map(extracted, filter(None, extractors)):
            assert any(field_of(entry, name) is not None for entry in entries), (
                f"{file.stem}: {name}"
            )


def test_what_needs_somebody_raises_an_alert(entries: list[Entry]) -> None:
    raised = {file.stem: raises(file, entries) for file in ALERTS}
    assert raised.pop("slow") == {None}
    assert raised.pop("does-not-serve") == {None}
    whatever = raised.pop("no-mints")
    alerting = set().union(*raised.values())
    assert sum(map(len, raised.values())) == len(alerting), "one alert for each reason"
    needing = {each.name for each in Reason if each.value.severity in ("WARNING", "ERROR")}
    assert needing <= alerting <= Reason.__members__.keys()
    assert "LIMIT_REACHED" not in alerting | whatever
    assert needing <= whatever
    minted = next(entry for entry in decisions(entries) if reason_of(entry) is None)
    assert [file.stem for file in ALERTS if raises(file, [minted])] == ["slow"]


def raises(file: Path, entries: list[Entry]) -> set[str | None]:
    """The reasons of the entries that an alert counts against us."""
    found = []
    for condition in read(file)["conditions"]:
        if line := condition.get("conditionMatchedLog"):
            found.append(set(map(reason_of, filter(Filter(line["filter"]).matches, entries))))
        elif condition["conditionThreshold"]["comparison"] == "COMPARISON_GT":
            (aggregation,) = condition["conditionThreshold"]["aggregations"]
            selection = Selection(file.stem, condition["conditionThreshold"]["filter"], aggregation)
            found.append(set(map(reason_of, filter(selection.matches, entries))))
    reasons = found[0]
    assert all(each == reasons for each in found), f"{file.stem}: its conditions count alike"
    return reasons


def test_a_start_that_fails_and_what_cloud_run_answers_raise_an_alert(entries: list[Entry]) -> None:
    (condition,) = read(FOLDER / "alerts" / "does-not-serve.yaml")["conditions"]
    of_start = Filter(condition["conditionMatchedLog"]["filter"])
    logs = [entry["log"].rpartition("/")[2] for entry in entries if of_start.matches(entry)]
    assert logs == ["stderr", "system", "requests"]


def test_the_page_says_every_field_of_the_log(entries: list[Entry]) -> None:
    written = {name for entry in decisions(entries) for name in entry["jsonPayload"]}
    assert any("trace" in entry for entry in entries)
    table = PAGE.partition("## The log\n")[2].partition("###")[0]
    rows = re.findall(r"^\| (`.*?) \| ", table, re.M)
    said = [name for row in rows for name in re.findall(r"`(.*?)`", row)]
    assert sorted(said) == sorted({*written, "severity", "logging.googleapis.com/trace"})
