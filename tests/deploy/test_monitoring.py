"""deploy/monitoring/ and the queries of docs/operations.md, tested with lines of real functions.

gcloud accepts misspelt fields, and a filter that matches nothing causes no error. So each file is
parsed strictly into its API's protobuf, and each filter and query must match lines that functions
wrote. `monitoring_files` and `log_filter` parse the two filter languages.
"""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from google.cloud.logging_v2.types import LogMetric
from google.cloud.monitoring_dashboard_v1 import Dashboard
from google.cloud.monitoring_v3 import AlertPolicy
from log_entries import SERVICE, every_entry
from log_filter import Entry, Filter, field_of
from monitoring_files import (
    ALERTS,
    DASHBOARD,
    FOLDER,
    METRICS,
    OF_THE_SERVICE,
    PAGE,
    USER,
    Selection,
    blocks,
    charted,
    extracted,
    of_logs,
    read,
    seconds,
    tiles,
    watched,
)

from emulator.tls import Certificate
from livetoken.google_errors import QUOTAS, REASONS, STATUSES
from livetoken.refusals import Detail, Reason

FILES: dict[Path, Any] = {
    **dict.fromkeys(METRICS, LogMetric),
    **dict.fromkeys(ALERTS, AlertPolicy),
    DASHBOARD: Dashboard,
}

COUNTER, DISTRIBUTION, GAUGE = "DELTA INT64", "DELTA DISTRIBUTION", "GAUGE INT64"
AGGREGATED = {
    COUNTER: ("ALIGN_DELTA", "REDUCE_SUM"),
    GAUGE: ("ALIGN_MAX", "REDUCE_SUM"),
    DISTRIBUTION: ("ALIGN_DELTA", "REDUCE_PERCENTILE_(50|95|99)"),
}
"""How each kind of metric is aggregated: over time, then over series."""
RUN = {
    "run.googleapis.com/request_count": (COUNTER, {"response_code", "response_code_class"}),
    "run.googleapis.com/container/instance_count": (GAUGE, {"state", "container_name"}),
    "run.googleapis.com/container/memory/utilizations": (DISTRIBUTION, {"container_name"}),
    "run.googleapis.com/container/startup_latencies": (DISTRIBUTION, {"container_name"}),
}
"""Cloud Run's metrics and their labels: https://cloud.google.com/monitoring/api/metrics_gcp_p_z."""
FEW_VALUES = {"message", "reason", "profile", "gemini_status"}
"""Fields that may be labels of a metric. Each combination of values is a stored time series."""


@pytest.fixture(scope="module")
def entries(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    return every_entry(certificate, tmp_path_factory.mktemp("monitoring"))


def decisions(entries: list[Entry]) -> list[Entry]:
    """The entries of decisions."""
    return [entry for entry in entries if "latency_ms" in entry.get("jsonPayload", {})]


def detail_of(entry: Entry) -> str | None:
    detail: str | None = entry.get("jsonPayload", {}).get("detail")
    return detail


def reason_of(entry: Entry) -> str | None:
    reason: str | None = entry.get("jsonPayload", {}).get("reason")
    return reason


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_every_file_is_valid_for_its_api(file: Path) -> None:
    FILES[file].from_json(json.dumps(read(file)), ignore_unknown_fields=False)


@pytest.mark.parametrize("file", METRICS, ids=lambda file: file.stem)
def test_a_metric_is_complete(file: Path) -> None:
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


def test_every_filter_names_the_service_so_that_one_substitution_renames_it() -> None:
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
def test_every_watched_or_charted_metric_exists_and_is_aggregated_correctly(
    selection: Selection,
) -> None:
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
def test_an_alert_follows_the_rules_of_the_api(file: Path) -> None:
    """The rules are from the reference of AlertPolicy and the comments of its protobuf."""
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
def test_an_alert_has_instructions_and_a_query_and_matches_its_row(file: Path) -> None:
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


def test_the_tiles_of_the_dashboard_do_not_overlap() -> None:
    places = []
    for tile in tiles():
        x, y, width, height = (tile[name] for name in ("xPos", "yPos", "width", "height"))
        assert x + width <= read(DASHBOARD)["mosaicLayout"]["columns"]
        places.append({(x + i, y + j) for i in range(width) for j in range(height)})
    assert not any(one & other for one, other in combinations(places, 2))


def test_every_filter_and_query_matches_lines_of_the_function(entries: list[Entry]) -> None:
    """Each matches an entry for every reason that it names, and names only existing fields."""
    assert {reason_of(entry) for entry in entries} == {None, *Reason.__members__}
    for where, text in of_logs():
        query = Filter(text)
        found = [entry for entry in entries if query.matches(entry)]
        assert found, f"{where} matches nothing: {text}"
        assert query.reasons <= {reason_of(entry) for entry in found}, where
        assert query.excluded <= Reason.__members__.keys(), where
        for name in query.fields:
            assert any(field_of(entry, name) is not None for entry in entries), f"{where}: {name}"
    for selection in [*watched(), *charted()]:
        if selection.metric.startswith(USER):
            reasons = {reason_of(entry) for entry in entries if selection.matches(entry)}
            assert reasons, f"{selection.where} matches nothing"
            assert selection.named("=") <= reasons, selection.where
            assert selection.named("!=") <= Reason.__members__.keys(), selection.where
    for file in METRICS:
        extractors = [*read(file)["labelExtractors"].values(), read(file).get("valueExtractor")]
        for name in map(extracted, filter(None, extractors)):
            assert any(field_of(entry, name) is not None for entry in entries), (
                f"{file.stem}: {name}"
            )


def test_every_reason_that_needs_action_raises_one_alert(entries: list[Entry]) -> None:
    raised = {file.stem: raises(file, entries) for file in ALERTS}
    assert raised.pop("slow") == {None}
    assert raised.pop("does-not-serve") == {None}
    assert raised.pop("total-nearly-used") == {None}
    assert raised.pop("switch-unreadable") == {None}
    any_reason = raised.pop("no-mints")
    # A daily quota needs a fix at once; any quota is a failure of Gemini if it is frequent.
    raised["fix-needed"].remove("GEMINI_QUOTA")
    alerting = set().union(*raised.values())
    assert sum(map(len, raised.values())) == len(alerting), "two alerts for one reason"
    needing = {each.name for each in Reason if each.value.severity in ("WARNING", "ERROR")}
    assert needing <= alerting <= Reason.__members__.keys()
    assert not {"LIMIT_REACHED", "BUDGET_REACHED", "AT_ONCE_REACHED"} & (alerting | any_reason)
    assert needing <= any_reason
    minted = next(entry for entry in decisions(entries) if reason_of(entry) is None)
    assert [file.stem for file in ALERTS if raises(file, [minted])] == ["slow"]


def test_a_daily_quota_needs_a_fix_and_a_passing_one_does_not(entries: list[Entry]) -> None:
    (condition,) = read(FOLDER / "alerts" / "fix-needed.yaml")["conditions"]
    alert = Filter(condition["conditionMatchedLog"]["filter"])
    quotas = [entry for entry in entries if reason_of(entry) == "GEMINI_QUOTA"]
    assert {detail_of(entry) for entry in quotas} == {"QUOTA_PER_DAY", "QUOTA_PER_MINUTE"}
    raised = [detail_of(entry) for entry in quotas if alert.matches(entry)]
    assert raised == ["QUOTA_PER_DAY"]


def test_the_alert_and_the_docs_say_what_to_do_about_each_cause(entries: list[Entry]) -> None:
    logged = {detail_of(entry) for entry in entries if reason_of(entry) == "GEMINI_REFUSED"}
    known = {cause.name for cause in (*REASONS.values(), *STATUSES.values(), Detail.STATUS)}
    assert logged == known, "the functions have logged every cause"
    content = read(FOLDER / "alerts" / "fix-needed.yaml")["documentation"]["content"]
    assert set(re.findall(r"^- `(\w+)`: ", content, re.M)) == known
    table = PAGE.partition("### What Gemini's refusals mean\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.M))
    assert rows.keys() == known | {quota.name for quota in QUOTAS.values()}
    for name, words in rows.items():
        read_from = {**REASONS, **STATUSES, **QUOTAS}.items()
        assert set(re.findall("`(.+?)`", words)) == {
            word for word, detail in read_from if detail.name == name
        }


def raises(file: Path, entries: list[Entry]) -> set[str | None]:
    """The reasons of the entries that an alert counts as failures."""
    found = []
    for condition in read(file)["conditions"]:
        if line := condition.get("conditionMatchedLog"):
            found.append(set(map(reason_of, filter(Filter(line["filter"]).matches, entries))))
        elif condition["conditionThreshold"]["comparison"] == "COMPARISON_GT":
            (aggregation,) = condition["conditionThreshold"]["aggregations"]
            selection = Selection(file.stem, condition["conditionThreshold"]["filter"], aggregation)
            found.append(set(map(reason_of, filter(selection.matches, entries))))
    reasons = found[0]
    assert all(each == reasons for each in found), (
        f"{file.stem}: its conditions count different reasons"
    )
    return reasons


def test_failed_starts_and_answers_of_cloud_run_raise_an_alert(entries: list[Entry]) -> None:
    (condition,) = read(FOLDER / "alerts" / "does-not-serve.yaml")["conditions"]
    of_start = Filter(condition["conditionMatchedLog"]["filter"])
    logs = [entry["log"].rpartition("/")[2] for entry in entries if of_start.matches(entry)]
    assert logs == ["stderr", "system", "requests"]


def test_a_total_of_which_80_percent_are_used_raises_an_alert_that_names_it(
    entries: list[Entry],
) -> None:
    (condition,) = read(FOLDER / "alerts" / "total-nearly-used.yaml")["conditions"]
    line = condition["conditionMatchedLog"]
    (found,) = filter(Filter(line["filter"]).matches, entries)
    field, pattern = re.findall(
        r'^REGEXP_EXTRACT\((\w+), "(.*)"\)$', line["labelExtractors"]["total"]
    )[0]
    named = re.search(pattern, field_of(found, field))
    assert named is not None
    assert named[1] == "profiles.shared.total.limit"


def test_the_docs_list_every_field_of_the_log(entries: list[Entry]) -> None:
    written = {name for entry in decisions(entries) for name in entry["jsonPayload"]}
    assert any("trace" in entry for entry in entries)
    table = PAGE.partition("## The log\n")[2].partition("###")[0]
    rows = re.findall(r"^\| (`.*?) \| ", table, re.M)
    said = [name for row in rows for name in re.findall(r"`(.*?)`", row)]
    assert sorted(said) == sorted({*written, "severity", "logging.googleapis.com/trace"})
