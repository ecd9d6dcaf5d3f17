"""Sends logs, spans and metrics with the OpenTelemetry Collector's telemetrygen, and prints what it was told to send.

Each line of the output is `{"table": …, "row": {…}}` in the words of our tables. Times and ids that the generator makes up
are not known here.
"""

import argparse
import json
import pathlib
import subprocess

LOGS = 250
TRACES = 40
CHILDREN = 2
SAMPLES = 5
TRACE_ID = "5b8aa5a2d2c872e8321cf37308d69df2"
SPAN_ID = "051581bf3cb55c13"
ATTRIBUTES = {"tries": 3, "paid": True, "tags": ["a", "ü"], "key with space": 'a "b"'}
BODY = 'späte "Lieferung" \U0001f69a'
CLIENT, SERVER, ERROR = 3, 2, 2
# The generator's own tables, of which these are the first rows.
BUCKETS = (
    ([0, 0, 1, 0, 0, 0, 3, 4, 1, 1, 0, 0, 0, 0, 0, 0], 3940),
    ([0, 0, 0, 0, 0, 0, 2, 4, 4, 0, 0, 0, 0, 0, 0, 0], 4455),
    ([0, 0, 0, 0, 0, 0, 1, 4, 3, 2, 0, 0, 0, 0, 0, 0], 5337),
    ([0, 0, 1, 0, 1, 0, 2, 2, 1, 3, 0, 0, 0, 0, 0, 0], 4477),
    ([0, 0, 0, 0, 0, 1, 3, 2, 2, 2, 0, 0, 0, 0, 0, 0], 4670),
)
BOUNDS = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000]


def log_rows():
    row = {"body": BODY, "body_kind": 1, "severity_number": 13, "severity_text": "Warn", "dropped_attributes_count": 1}
    row |= {"trace_id": TRACE_ID, "span_id": SPAN_ID, "attributes": {"app": "server"} | ATTRIBUTES}
    return [("logs", row)] * LOGS


def span_rows():
    def span(name, kind, peer, steps):
        attributes = {"network.peer.address": "1.2.3.4", "service.peer.name": peer} | ATTRIBUTES
        row = {"name": name, "kind": kind, "duration_ns": steps * 5_000_000, "status_code": ERROR, "events": [], "links": []}
        return "spans", row | {"scope_name": "telemetrygen", "attributes": attributes}

    children = [span(f"okey-dokey-{number}", SERVER, "telemetrygen-client", 1) for number in range(CHILDREN)]
    return [span("lets-go", CLIENT, "telemetrygen-server", CHILDREN), *children] * TRACES


def metric_rows(metric_type, name, temporality):
    for number in range(SAMPLES):
        row = {"name": name, "type": metric_type, "temporality": temporality, "is_monotonic": None, "flags": 0}
        row |= {"value": None, "value_int": None, "attributes": ATTRIBUTES}
        if metric_type in ("gauge", "sum"):
            row |= {"value": number, "value_int": number, "is_monotonic": True if metric_type == "sum" else None}
        if metric_type == "histogram":
            counts, total = BUCKETS[number]
            row |= {"bucket_counts": counts, "explicit_bounds": BOUNDS, "count": sum(counts), "sum": total}
        yield "metric_samples", row
        exemplar = {"name": name, "value": 1, "value_int": 1, "trace_id": TRACE_ID, "span_id": SPAN_ID, "attributes": {}}
        yield "exemplars", exemplar


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--protocol", choices=["http", "grpc"], required=True)
    parser.add_argument("--endpoint", required=True, help="host and port")
    parser.add_argument("--service", required=True)
    arguments = parser.parse_args()
    resource = {"service.name": arguments.service, "cpus": 4}
    origin = {"service_name": arguments.service, "resource_attributes": resource}

    common = ["--otlp-insecure", "--otlp-endpoint", arguments.endpoint, "--service", arguments.service]
    # One record a second unless told otherwise.
    common += ["--otlp-attributes", "cpus=4", "--rate", "0"]
    for key, value in ATTRIBUTES.items():
        text = f'"{value}"' if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        common += ["--telemetry-attributes", f"{key}={text}"]
    if arguments.protocol == "http":
        common.append("--otlp-http")

    def send(rows, *words):
        generator = pathlib.Path(__file__).with_name("telemetrygen")
        # Its own log would mix with ours.
        subprocess.run([generator, *words, *common], check=True, stdout=subprocess.DEVNULL)
        for table, row in rows:
            print(json.dumps({"table": table, "row": origin | row}))

    ids = ["--trace-id", TRACE_ID, "--span-id", SPAN_ID]
    send(log_rows(), "logs", "--logs", str(LOGS), "--body", BODY, "--severity-text", "Warn", "--severity-number", "13", *ids)
    counts = ["--traces", str(TRACES), "--child-spans", str(CHILDREN), "--span-duration", "5ms"]
    send(span_rows(), "traces", "--status-code", "Error", *counts)
    for metric_type in ("Gauge", "Sum", "Histogram", "ExponentialHistogram"):
        ours = {"ExponentialHistogram": "exponential_histogram"}.get(metric_type, metric_type.lower())
        temporality = {"Gauge": None, "Sum": "delta"}.get(metric_type, "cumulative")
        words = ["--metric-type", metric_type, "--metrics", str(SAMPLES), "--otlp-metric-name", f"gen.{ours}", *ids]
        words += ["--aggregation-temporality", temporality or "cumulative"]
        send(metric_rows(ours, f"gen.{ours}", temporality), "metrics", *words)


main()
