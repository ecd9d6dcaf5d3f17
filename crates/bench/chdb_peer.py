"""How is ClickHouse's engine driven from outside? One JSON request a line in, one JSON reply a line out.

The tables follow the OpenTelemetry exporter for ClickHouse (ZSTD(1), low cardinality where it is low, skip indexes on ids and
words), with a typed column for each attribute instead of its maps, which is to the engine's advantage.
"""

import json
import sys

from chdb import session

LOW = "LowCardinality(String)"
RESOURCE = [
    ("service_name", LOW), ("service.version", LOW), ("service.instance.id", LOW),
    ("deployment.environment.name", LOW), ("cloud.region", LOW), ("host.name", LOW), ("k8s.pod.name", LOW),
    ("telemetry.sdk.language", LOW),
]
LOGS = [
    ("time", "DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1))"), ("severity_number", "UInt8"), ("severity_text", LOW),
    ("body", "String"), ("trace_id", "FixedString(16)"), ("span_id", "FixedString(8)"), *RESOURCE,
    ("http.route", LOW), ("http.response.status_code", "Int64"), ("user.id", "String"), ("duration_us", "Int64"),
    ("request.id", "String"), ("client.address", "String"), ("thread.name", LOW), ("session.id", "String"),
]
SPANS = [
    ("time", "DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1))"), ("duration_ns", "Int64"),
    ("trace_id", "FixedString(16)"), ("span_id", "FixedString(8)"), ("parent_span_id", "FixedString(8)"),
    ("name", LOW), ("kind", "UInt8"), ("status_code", "UInt8"), *RESOURCE, ("http.request.method", LOW),
    ("http.route", LOW), ("http.response.status_code", "Int64"), ("url.path", "String"), ("request.id", "String"),
    ("server.address", LOW), ("network.peer.port", "Int64"), ("client.address", "String"), ("user.id", "String"),
    ("request.bytes", "Int64"), ("db.system.name", LOW), ("db.query.text", LOW), ("db.operation.name", LOW),
    ("db.namespace", LOW), ("db.response.returned_rows", "Int64"),
]
INDEXES = {
    "logs": [
        "INDEX trace_filter trace_id TYPE bloom_filter(0.001) GRANULARITY 1",
        "INDEX user_filter `user.id` TYPE bloom_filter(0.01) GRANULARITY 1",
        "INDEX body_filter body TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 1",
    ],
    "spans": ["INDEX trace_filter trace_id TYPE bloom_filter(0.001) GRANULARITY 1"],
}


def create(engine, name, columns):
    """Creates a table, unless it is there already."""
    lines = [f"`{column}` {kind}" + ("" if "CODEC" in kind else " CODEC(ZSTD(1))") for column, kind in columns]
    engine.query(
        f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(lines + INDEXES[name])}) ENGINE = MergeTree "
        "ORDER BY (service_name, time)"
    )


def insert(engine, request):
    """Reads a Parquet file into a table; a column that a row lacks becomes its type's default."""
    table, path = request["table"], request["file"]
    columns = ", ".join(f"`{name}`" for name, _ in (LOGS if table == "logs" else SPANS))
    engine.query(
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM file('{path}', Parquet) "
        "SETTINGS input_format_null_as_default = 1"
    )
    counted = json.loads(engine.query(f"SELECT count() AS n FROM {table}", "JSONCompact").bytes())
    return {"rows": int(counted["data"][0][0])}


def ask(engine, request):
    """Answers a question; the whole result is brought over, as a client of the others does."""
    result = json.loads(engine.query(request["sql"], "JSONCompact").bytes())
    names = [column["name"] for column in result["meta"]]
    total = None
    if "n" in names:
        total = sum(int(row[names.index("n")]) for row in result["data"])
    return {"rows": len(result["data"]), "total": total}


def main():
    engine = session.Session(sys.argv[1])
    engine.query("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
    engine.query("USE bench")
    create(engine, "logs", LOGS)
    create(engine, "spans", SPANS)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = insert(engine, request) if request["op"] == "insert" else ask(engine, request)
        except Exception as error:  # The benchmark reports it and goes on.
            reply = {"error": str(error)}
        print(json.dumps(reply), flush=True)


main()
