"""deploy/monitoring/ as Google's servers read it, tried on lines that the function writes.

gcloud lets misspelt fields through, and a filter that finds nothing is no error anywhere. So each
file is parsed into its API's protobuf, strictly, and each filter and query is tried on what real
functions have written, by a reader of the two filter languages that refuses what it does not know:
https://cloud.google.com/logging/docs/view/logging-query-language and
https://cloud.google.com/monitoring/api/v3/filters.
"""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from google.cloud.logging_v2.types import LogMetric
from google.cloud.monitoring_dashboard_v1 import Dashboard
from google.cloud.monitoring_v3 import AlertPolicy
from stack import Answer, Stack, stack, until

from livetoken.refusals import Reason
from local.function import ROOT, Function, NotStarted
from local.tls import Certificate

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

(SERVICE,) = re.findall(r'^SERVICE="(.*?)"', (ROOT / "deploy" / "names.sh").read_text(), re.M)
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

RULES = """
api_version = "v1alpha"
[callers]
app_check = "APP_CHECK"
[profiles.default]
model = "gemini-3.8-live"
[profiles.default.config]
response_modalities = ["AUDIO"]
[profiles.scarce]
model = "gemini-3.8-live"
limit = "1/hour"
[profiles.scarce.config]
response_modalities = ["AUDIO"]
[profiles.closed]
model = "gemini-3.8-live"
require = { plan = ["none"] }
[profiles.closed.config]
response_modalities = ["AUDIO"]
"""
SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")
ANYTHING = "…"
"""In a query of the page, a value that the reader fills in."""

NOWHERE = "http://127.0.0.1:1/keys"
TRACE = {"X-Cloud-Trace-Context": "0af7651916cd43dd8448eb211c80319c/1"}

Entry: TypeAlias = dict[str, Any]
Matcher: TypeAlias = Callable[[Entry], bool]


# ---------------------------------------------------------------------------------- the entries


@pytest.fixture(scope="module")
def entries(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """What is in Cloud Logging once functions have met everything that can be refused."""
    folder = tmp_path_factory.mktemp("monitoring")
    rules = RULES.replace("APP_CHECK", "off")
    with (
        stack(certificate) as unstarted,
        unstarted.running(rules, FIREBASE_KEYS_URL=NOWHERE) as livetoken,
    ):
        with _slow_mints(livetoken):
            _meet_every_caller(livetoken)
            lines = [
                *_lines_without_limits_and_app_check(unstarted),
                *_lines_of_the_unforeseen(unstarted, folder),
                *_lines_of_no_start(unstarted, folder),
            ]
        lines += livetoken.function.output().splitlines()
    return [*map(_entry, lines), *_of_cloud_run()]


@contextmanager
def _slow_mints(livetoken: Stack) -> Iterator[None]:
    """Two mints under way: one will take over three seconds, one will fail after six."""
    behaviour, token = livetoken.gemini.behaviour, livetoken.issuer.id_token("grace")
    behaviour.faults.append("hang")
    behaviour.delay = 3.2
    with ThreadPoolExecutor() as pool:
        for _ in range(2):
            pool.submit(livetoken.ask, token=token)
        until(lambda: len(livetoken.gemini.mints) == 2)
        time.sleep(0.1)
        behaviour.delay = 0
        yield


def _meet_every_caller(livetoken: Stack) -> None:
    """Ask for every answer that this function has: it cannot have the keys of Firebase."""
    token = livetoken.issuer.id_token

    def ask(body: Any = b"{}", **others: Any) -> Answer:
        return livetoken.ask(body, **{"token": token("grace"), **others})

    assert ask(headers=TRACE).status == 200
    for fault in (429, 400, 500):
        livetoken.gemini.behaviour.faults.append(fault)
        ask()
    ask(token=token("ada"))
    ask(token=None)
    ask(token="x")
    ask(token=token("grace", exp=1_700_000_000))
    ask(headers={"Origin": "https://other.example"})
    ask(headers={"Content-Type": "text/plain"})
    ask(method="GET")
    ask(b"{")
    ask(b"x" * 9000)
    for profile in ("other", "closed", "scarce", "scarce"):
        ask({"profile": profile})
    _leave(livetoken, token("grace"))


def _leave(livetoken: Stack, token: str) -> None:
    """Ask, and be gone before the body is whole."""
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    with socket.create_connection(("127.0.0.1", livetoken.function.port), 5) as client:
        client.sendall(f"{head}Content-Length: 9\r\n\r\n{{".encode())
    until(lambda: '"CALLER_LEFT"' in livetoken.function.output())


def _lines_without_limits_and_app_check(unstarted: Stack) -> list[str]:
    check, ask = unstarted.app_check, {"profile": "scarce"}
    rules, nowhere = RULES.replace("APP_CHECK", "consume"), "async+redis://127.0.0.1:1"
    with unstarted.running(rules, LIMITS_STORAGE=nowhere) as livetoken:
        livetoken.ask()
        check.verdict_fault = 503
        livetoken.ask(ask, headers={"X-Firebase-AppCheck": check.token()})
        check.verdict_fault = None
        livetoken.ask(ask, headers={"X-Firebase-AppCheck": check.token()})
        return livetoken.function.output().splitlines()


def _lines_of_the_unforeseen(unstarted: Stack, folder: Path) -> list[str]:
    """Those of a function that fails, and whose policy has no lock."""
    policy = folder / "policy.toml"
    policy.write_text(RULES.replace("APP_CHECK", "off"))
    source = str(ROOT / "tests" / "functions" / "failing.py")
    changes = {"POLICY_FILE": str(policy), "FUNCTION_SOURCE": source, "PYTHONPATH": "."}
    with unstarted.running(**changes) as livetoken:
        livetoken.ask()
        return livetoken.function.output().splitlines()


def _lines_of_no_start(unstarted: Stack, folder: Path) -> list[str]:
    variables = unstarted.environment(GEMINI_API_KEY=None)
    with (
        (folder / "log").open("wb") as log,
        Function(variables, log=log) as function,
        pytest.raises(NotStarted) as ended,
    ):
        function.wait_until_up()
    return str(ended.value).splitlines()


def _entry(line: str) -> Entry:
    """What Cloud Logging makes of a line: https://cloud.google.com/logging/docs/structured-logging.

    Severity and trace leave jsonPayload. `message` stays, but where nothing else is left beside it.
    """
    if not line.startswith("{"):
        return _logged("stderr", textPayload=line)
    fields = json.loads(line)
    moved = {"severity": fields.pop("severity")}
    if trace := fields.pop("logging.googleapis.com/trace", None):
        moved["trace"] = trace
    if fields.keys() == {"message"}:
        return _logged("stdout", **moved, textPayload=fields["message"])
    return _logged("stdout", **moved, jsonPayload=fields)


def _of_cloud_run() -> list[Entry]:
    """Lines that Cloud Run writes itself.

    But for the names word for word as in https://github.com/1Password/scim-examples/issues/309 and
    https://github.com/firebase/firebase-functions/issues/962; and a request log without a word.
    """
    probe = (
        'Default STARTUP TCP probe failed 1 time consecutively for container "worker" on port 8080.'
        " The instance was not started."
    )
    full = "The request was aborted because there was no available instance."
    return [
        _logged("varlog/system", severity="ERROR", textPayload=probe),
        _logged("requests", severity="ERROR", textPayload=full, httpRequest={"status": 429}),
        _logged("requests", severity="WARNING", httpRequest={"status": 401}),
        _logged("requests", severity="INFO", httpRequest={"status": 200}),
    ]


def _logged(log: str, **fields: Any) -> Entry:
    labels = {"service_name": SERVICE, "revision_name": f"{SERVICE}-00001-abc"}
    resource = {"type": "cloud_run_revision", "labels": labels}
    return {
        "severity": "DEFAULT",
        "log": f"run.googleapis.com/{log}",
        "resource": resource,
        **fields,
    }


def decisions(entries: list[Entry]) -> list[Entry]:
    """The entries of decisions."""
    return [entry for entry in entries if "latency_ms" in entry.get("jsonPayload", {})]


def reason_of(entry: Entry) -> str | None:
    reason: str | None = entry.get("jsonPayload", {}).get("reason")
    return reason


# ---------------------------------------------------------------------------- filters of Logging


class Filter:
    """A filter of Cloud Logging, in which OR binds before AND.

    `matches` says whether it takes an entry; `fields`, `reasons` and `excluded` are the fields that
    it names, and the reasons that it asks for or takes out.
    """

    TOKEN = re.compile(r'\s*("[^"\\]*"|[()]|>=|<=|=~|!=|:\*|[=:<>-]|[\w./]+)')
    COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
        "=": lambda found, value: found == value,
        ">=": lambda found, value: found >= value,
        ">": lambda found, value: found > value,
        "<": lambda found, value: found < value,
    }

    def __init__(self, text: str) -> None:
        self.fields: set[str] = set()
        self.reasons: set[str] = set()
        self.excluded: set[str] = set()
        self._named = self.reasons
        self._left: list[str] = []
        place = 0
        while text[place:].strip():
            token = self.TOKEN.match(text, place)
            assert token, f"not read: {text[place:]}"
            self._left.append(token[1])
            place = token.end()
        self.matches = self._all()
        assert not self._left, f"left over: {self._left}"

    def _next(self) -> str:
        return self._left[0] if self._left else ""

    def _take(self, *expected: str) -> str:
        assert self._left and (not expected or self._left[0] in expected), self._left
        return self._left.pop(0)

    def _all(self) -> Matcher:
        parts = [self._any()]
        while self._next() not in ("", ")"):
            if self._next() == "AND":
                self._take()
            parts.append(self._any())
        return lambda entry: all(part(entry) for part in parts)

    def _any(self) -> Matcher:
        parts = [self._one()]
        while self._next() == "OR":
            self._take()
            parts.append(self._one())
        return lambda entry: any(part(entry) for part in parts)

    def _one(self) -> Matcher:
        token = self._take()
        if token in ("-", "NOT"):
            self._named = self.excluded
            part = self._one()
            self._named = self.reasons
            return lambda entry: not part(entry)
        if token == "(":
            inside = self._all()
            self._take(")")
            return inside
        if token == "log_id":
            self._take("(")
            log = _text(self._take())
            self._take(")")
            return lambda entry: bool(entry["log"] == log)
        if token.startswith('"'):
            words = _text(token)
            return lambda entry: words in json.dumps(entry)
        return self._comparison(token)

    def _comparison(self, name: str) -> Matcher:
        self.fields.add(name)
        operator = self._take("=", ">=", ">", "<", "=~", ":", ":*")
        if operator == ":*":
            return lambda entry: _found(entry, name) is not None
        values = [self._take()]
        if values == ["("]:
            values = [self._take()]
            while self._take("OR", ")") == "OR":
                values.append(self._take())
        if name == "severity":
            return self._severity(operator, values)
        wanted = [_text(value) if value[0] == '"' else float(value) for value in values]
        assert operator[0] not in "<>" or all(isinstance(value, float) for value in wanted), name
        if name == "jsonPayload.reason" and operator == "=":
            self._named |= {str(value) for value in wanted}
        return lambda entry: any(_holds(operator, _found(entry, name), value) for value in wanted)

    def _severity(self, operator: str, values: list[str]) -> Matcher:
        compared, ranks = self.COMPARED[operator], [SEVERITIES.index(value) for value in values]
        return lambda entry: any(
            compared(SEVERITIES.index(entry["severity"]), rank) for rank in ranks
        )


def _text(token: str) -> str:
    assert token[0] == token[-1] == '"', token
    return token[1:-1]


def _found(entry: Entry, name: str) -> Any:
    """The field of a dotted name, or None."""
    found: Any = entry
    for key in name.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _holds(operator: str, found: Any, value: str | float) -> bool:
    if found is None:
        return False
    if value == ANYTHING:
        return True
    if isinstance(value, float):
        return isinstance(found, int | float) and Filter.COMPARED[operator](found, value)
    if operator == "=~":
        return re.search(value, str(found)) is not None
    found, value = str(found).lower(), value.lower()
    return value in found if operator == ":" else Filter.COMPARED[operator](found, value)


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
            value = _found(entry, extracted(extractor))
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
            assert any(_found(entry, name) is not None for entry in entries), f"{where}: {name}"
    for selection in [*watched(), *charted()]:
        if selection.metric.startswith(USER):
            reasons = {reason_of(entry) for entry in entries if selection.matches(entry)}
            assert reasons, f"{selection.where} finds nothing"
            assert selection.named("=") <= reasons, selection.where
            assert selection.named("!=") <= Reason.__members__.keys(), selection.where
    for file in METRICS:
        extractors = [*read(file)["labelExtractors"].values(), read(file).get("valueExtractor")]
        for name in map(extracted, filter(None, extractors)):
            assert any(_found(entry, name) is not None for entry in entries), f"{file.stem}: {name}"


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
