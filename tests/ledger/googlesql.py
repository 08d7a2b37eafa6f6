"""Runs SQL by Google's own engine: the analyzer of BigQuery, and its reference implementation.

The tables have the shapes that Cloud Logging gives its entries:
https://cloud.google.com/logging/docs/log-analytics for Log Analytics, and
https://cloud.google.com/logging/docs/export/bigquery for the table of a sink.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

from zetasql.api import CatalogBuilder, PreparedQuery, TableBuilder, TypeFactory
from zetasql.api import Value as SqlValue
from zetasql.types import (
    AnalyzerOptions,
    LanguageOptions,
    ProductMode,
    SimpleTable,
    TableContent,
    TableData,
    Type,
    TypeKind,
    Value,
    ZetaSQLBuiltinFunctionOptions,
)

Row: TypeAlias = dict[str, Any]
KINDS: dict[type, int] = {
    str: TypeKind.TYPE_STRING,
    bool: TypeKind.TYPE_BOOL,
    float: TypeKind.TYPE_DOUBLE,
}
"""The type of a column for each type of value: a sink writes every number as a FLOAT64."""


@dataclass(frozen=True)
class Entry:
    """An entry of Cloud Logging.

    `fields` are those of a line in JSON. Without any, the entry has only text.
    """

    timestamp: datetime
    insert_id: str
    fields: dict[str, Any]
    service: str = "livetoken"
    log: str = "run.googleapis.com/stdout"


@dataclass(frozen=True)
class Table:
    """A table with rows."""

    table: SimpleTable
    rows: list[list[Value]]


def log_analytics(name: str, entries: Iterable[Entry]) -> Table:
    """The view of a log bucket in Log Analytics."""
    labels = TypeFactory.create_struct_type(
        [("type", _simple(TypeKind.TYPE_STRING)), ("labels", _simple(TypeKind.TYPE_JSON))]
    )
    table = (
        TableBuilder(name)
        .add_column("timestamp", TypeKind.TYPE_TIMESTAMP)
        .add_column("insert_id", TypeKind.TYPE_STRING)
        .add_column("log_id", TypeKind.TYPE_STRING)
        .add_column("resource", labels)
        .add_column("json_payload", TypeKind.TYPE_JSON)
        .build()
    )
    rows = [
        [
            _value(entry.timestamp),
            _value(entry.insert_id),
            _value(entry.log),
            _struct(_value("cloud_run_revision"), _json({"service_name": entry.service})),
            _json(entry.fields) if entry.fields else Value(),
        ]
        for entry in entries
    ]
    return Table(table, rows)


def of_sink(name: str, entries: Sequence[Entry]) -> Table:
    """The table into which a sink writes one log. Only fields that some entry has are columns."""
    written = [_as_sink_writes(entry.fields) for entry in entries]
    columns = {name: type(value) for fields in written for name, value in fields.items()}
    payload = TypeFactory.create_struct_type(
        [(name, _simple(KINDS[kind])) for name, kind in columns.items()]
    )
    label = TypeFactory.create_struct_type([("service_name", _simple(TypeKind.TYPE_STRING))])
    resource = TypeFactory.create_struct_type(
        [("type", _simple(TypeKind.TYPE_STRING)), ("labels", label)]
    )
    table = (
        TableBuilder(name)
        .add_column("timestamp", TypeKind.TYPE_TIMESTAMP)
        .add_column("insertId", TypeKind.TYPE_STRING)
        .add_column("resource", resource)
        .add_column("jsonPayload", payload)
        .build()
    )
    rows = [
        [
            _value(entry.timestamp),
            _value(entry.insert_id),
            _struct(_value("cloud_run_revision"), _struct(_value(entry.service))),
            _struct(*(_value(fields.get(name)) for name in columns)) if fields else Value(),
        ]
        for entry, fields in zip(entries, written, strict=True)
        if entry.log == "run.googleapis.com/stdout"
    ]
    return Table(table, rows)


def run(sql: str, table: Table) -> list[Row]:
    """Return the rows that a query returns.

    Raises:
        ServerError: the query is not valid.
    """
    language = LanguageOptions.maximum_features()
    language.product_mode = ProductMode.PRODUCT_EXTERNAL
    functions = ZetaSQLBuiltinFunctionOptions(language_options=language)
    catalog = CatalogBuilder("logs").add_table(table.table).with_builtin_functions(functions)
    content = TableContent(table_data=TableData(row=[TableData.Row(cell=r) for r in table.rows]))
    prepared = (
        PreparedQuery.builder()
        .set_sql(sql)
        .set_analyzer_options(AnalyzerOptions(language_options=language))
        .set_catalog(catalog.build())
        .set_table_content({table.table.name: content})
    )
    with prepared.prepare() as query:
        names = [column.name for column in query.columns]
        found = query.execute().content.table_data
        return [
            dict(zip(names, map(_read, row.cell), strict=True))
            for row in (found.row if found else ())
        ]


def _as_sink_writes(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in fields.items()
    }


def _simple(kind: int) -> Type:
    return TypeFactory.create_simple_type(kind)


def _value(value: Any) -> Value:
    match value:
        case None:
            return Value()
        case bool():
            return Value(bool_value=value)
        case float():
            return Value(double_value=value)
        case datetime():
            return SqlValue.timestamp(value).to_proto()
        case _:
            return Value(string_value=value)


def _json(value: dict[str, Any]) -> Value:
    return Value(json_value=json.dumps(value))


def _struct(*fields: Value) -> Value:
    return Value(struct_value=Value.Struct(field=list(fields)))


def _read(cell: Value) -> Any:
    """Return a text, a number, a date or None."""
    if cell.date_value is not None:
        return date(1970, 1, 1) + timedelta(days=cell.date_value)
    values = (cell.string_value, cell.int64_value, cell.double_value)
    return next((value for value in values if value is not None), None)
