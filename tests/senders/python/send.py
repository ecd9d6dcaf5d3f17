"""Sends logs, spans and metrics with OpenTelemetry's Python SDK, and prints what it sent.

Each line of the output is `{"table": …, "row": {…}}` in the words of our tables, taken from the SDK's own objects once the
exporter said that they were accepted. Times are nanoseconds since 1970 as text, ids are hex.
"""

import argparse
import base64
import json
import logging
import math
import sys
import warnings

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    Gauge,
    Histogram,
    PeriodicExportingMetricReader,
    Sum,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

REMOTE_KNOWN = 0x100
REMOTE = 0x200


def plain(value):
    """A value as the lossless JSON of docs/formats/value.md."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$double": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value]


def kind_of(value):
    """The kind of a body, numbered as OTLP's AnyValue."""
    for kind, types in ((0, type(None)), (1, str), (2, bool), (3, int), (4, float), (7, bytes)):
        if isinstance(value, types):
            return kind
    return 6 if hasattr(value, "items") else 5


def nanos(time):
    return str(time) if time else None


def hex_id(number, digits):
    return format(number, f"0{digits}x") if number else None


def origin(resource, scope):
    return {
        "service_name": resource.attributes["service.name"],
        "resource_schema_url": resource.schema_url or None,
        "resource_attributes": plain(resource.attributes),
        "scope_name": scope.name or None,
        "scope_version": scope.version or None,
        "scope_schema_url": scope.schema_url or None,
        "scope_attributes": plain(scope.attributes or {}),
    }


def log_rows(batch):
    for readable in batch:
        record = readable.log_record
        yield "logs", {
            "time": nanos(record.timestamp or record.observed_timestamp),
            "observed_time": nanos(record.observed_timestamp),
            "severity_number": record.severity_number.value if record.severity_number else 0,
            "severity_text": record.severity_text or None,
            "body": plain(record.body),
            "body_kind": kind_of(record.body),
            "trace_id": hex_id(record.trace_id, 32),
            "span_id": hex_id(record.span_id, 16),
            "flags": int(record.trace_flags or 0),
            "event_name": record.event_name or None,
            "dropped_attributes_count": readable.dropped_attributes,
            "attributes": plain(record.attributes or {}),
            **origin(readable.resource, readable.instrumentation_scope),
        }


def flags(context):
    return REMOTE_KNOWN | (REMOTE if context and context.is_remote else 0)


def span_rows(batch):
    for span in batch:
        context = span.get_span_context()
        yield "spans", {
            "time": nanos(span.start_time),
            "duration_ns": span.end_time - span.start_time,
            "trace_id": hex_id(context.trace_id, 32),
            "span_id": hex_id(context.span_id, 16),
            "parent_span_id": hex_id(span.parent.span_id, 16) if span.parent else None,
            "trace_state": ",".join(f"{key}={value}" for key, value in context.trace_state.items()) or None,
            "name": span.name,
            "kind": span.kind.value + 1,
            "status_code": span.status.status_code.value,
            "status_message": span.status.description or None,
            "flags": flags(span.parent),
            "events": [
                {
                    "time": nanos(event.timestamp),
                    "name": event.name,
                    "attributes": plain(event.attributes),
                    "dropped_attributes_count": event.dropped_attributes,
                }
                for event in span.events
            ],
            "links": [
                {
                    "trace_id": hex_id(link.context.trace_id, 32),
                    "span_id": hex_id(link.context.span_id, 16),
                    # This SDK keeps a link's trace state to itself.
                    "trace_state": "",
                    "attributes": plain(link.attributes),
                    "dropped_attributes_count": link.dropped_attributes,
                    "flags": flags(link.context),
                }
                for link in span.links
            ],
            "dropped_attributes_count": span.dropped_attributes,
            "dropped_events_count": span.dropped_events,
            "dropped_links_count": span.dropped_links,
            "attributes": plain(span.attributes),
            **origin(span.resource, span.instrumentation_scope),
        }


def number(value):
    return {"value": float(value), "value_int": value if isinstance(value, int) else None}


def sample(data, point):
    """The columns of one data point."""
    row = {"time": nanos(point.time_unix_nano), "flags": 0}
    if isinstance(data, (Gauge, Sum)):
        # This SDK gives gauges no start.
        start = point.start_time_unix_nano if isinstance(data, Sum) else None
        return row | number(point.value) | {"start_time": nanos(start)}
    row |= {
        "start_time": nanos(point.start_time_unix_nano),
        "value": None,
        "count": point.count,
        "sum": float(point.sum),
        "min": float(point.min),
        "max": float(point.max),
    }
    if isinstance(data, Histogram):
        return row | {
            "bucket_counts": list(point.bucket_counts),
            "explicit_bounds": [float(bound) for bound in point.explicit_bounds],
        }
    row |= {"scale": point.scale, "zero_count": point.zero_count}
    for sign in ("positive", "negative"):
        buckets = getattr(point, sign)
        if buckets.bucket_counts:
            row |= {f"{sign}_offset": buckets.offset, f"{sign}_bucket_counts": list(buckets.bucket_counts)}
    return row


TYPES = {Gauge: "gauge", Sum: "sum", Histogram: "histogram", ExponentialHistogram: "exponential_histogram"}


def metric_rows(metrics):
    for resource_metrics in metrics.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                temporality = getattr(metric.data, "aggregation_temporality", None)
                series = {
                    "name": metric.name,
                    "type": TYPES[type(metric.data)],
                    "unit": metric.unit or None,
                    "description": metric.description or None,
                    "temporality": AggregationTemporality(temporality).name.lower() if temporality else None,
                    "is_monotonic": getattr(metric.data, "is_monotonic", None),
                    **origin(resource_metrics.resource, scope_metrics.scope),
                }
                for point in metric.data.data_points:
                    yield "metric_samples", series | {"attributes": plain(point.attributes)} | sample(metric.data, point)
                    for exemplar in point.exemplars:
                        yield "exemplars", {
                            "name": metric.name,
                            "time": nanos(exemplar.time_unix_nano),
                            "trace_id": hex_id(exemplar.trace_id, 32),
                            "span_id": hex_id(exemplar.span_id, 16),
                            "attributes": plain(exemplar.filtered_attributes or {}),
                            **number(exemplar.value),
                        }


def recording(exporter, rows):
    """The exporter, made to print what was accepted and to end the program when something was not."""

    class Recording(exporter):
        def export(self, batch, *args, **kwargs):
            result = super().export(batch, *args, **kwargs)
            if result.name != "SUCCESS":
                print(f"{exporter.__name__} failed", file=sys.stderr, flush=True)
                raise SystemExit(1)
            for table, row in rows(batch):
                print(json.dumps({"table": table, "row": row}), flush=True)
            return result

    return Recording


def send_spans(provider):
    tracer = provider.get_tracer("shop.checkout", "1.2.3", "https://example.org/schema/1", {"team": "payments"})
    caller = SpanContext(0x5B8AA5A2D2C872E8321CF37308D69DF2, 0x051581BF3CB55C13, True, TraceFlags(1), TraceState([("ot", "th:8")]))
    with tracer.start_as_current_span(
        "GET /cart", context=trace.set_span_in_context(NonRecordingSpan(caller)), kind=SpanKind.SERVER, links=[Link(caller, {"why": "batch"})]
    ) as server:
        server.set_attributes({"http.route": "/cart", "http.response.status_code": 200, "ratio": 0.25, "whole": 2.0, "cached": True})
        server.set_attributes({"users": ["ä", "b\"\\"], "counts": [1, -2], "empty": "", "large": 2**63 - 1})
        server.add_event("cache miss", {"key": "cart:1", "tries": 3})
        for kind in (SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.INTERNAL):
            with tracer.start_as_current_span(f"step {kind.name}", kind=kind) as step:
                step.set_status(Status(StatusCode.OK))
        try:
            with tracer.start_as_current_span("pay"):
                raise ValueError("card refused\nfor good")
        except ValueError:
            pass
        with tracer.start_as_current_span("too much") as busy:
            busy.set_attributes({f"key.{index}": index for index in range(50)})
            for index in range(10):
                busy.add_event(f"event {index}")
    with provider.get_tracer("").start_as_current_span("no scope"):
        pass


def send_logs(provider, tracer):
    handler = LoggingHandler(logger_provider=provider)
    logger = logging.getLogger("shop")
    logger.propagate = False
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.debug("a debug line")
    logger.info("order %s of %d items", "o-1", 3, extra={"order.id": "o-1", "items": 3, "price": 9.5, "paid": False})
    logger.warning("späte Lieferung \U0001f69a\twith a tab", extra={"tags": ["a", "b"], "nested": {"a": {"b": [1, 2.0]}}})
    with tracer.start_as_current_span("with logs"):
        try:
            raise KeyError("missing")
        except KeyError:
            logger.exception("it failed")
    logger.critical("the end")
    direct = provider.get_logger("direct", "0.1")
    bodies = [None, "", 7, -0.5, True, b"\x00\xff", ["a", 1, None, {"b": b"x"}], {"map": {"deep": [1.0]}, "text": "x"}]
    for index, body in enumerate(bodies):
        direct.emit(LogRecord(timestamp=1_767_225_600_000_000_000 + index, body=body, attributes={"index": index}))
    direct.emit(LogRecord(observed_timestamp=1_767_225_700_000_000_000, severity_number=SeverityNumber.INFO2, event_name="cart.emptied"))


def send_metrics(provider, tracer):
    meter = provider.get_meter("shop.metrics", "2.0")
    orders = meter.create_counter("orders", unit="{order}", description="Orders placed")
    orders.add(3, {"region": "eu"})
    orders.add(4, {"region": "us"})
    meter.create_counter("revenue", unit="EUR").add(12.5, {"region": "eu"})
    meter.create_up_down_counter("in_flight").add(-2)
    meter.create_gauge("temperature", unit="Cel").set(21.0)
    meter.create_observable_gauge("load", [lambda _: [Observation(7, {"cpu": 0})]])
    latency = meter.create_histogram("latency", unit="ms", explicit_bucket_boundaries_advisory=[1.0, 10.0, 100.0])
    sizes = meter.create_histogram("size", unit="By")
    with tracer.start_as_current_span("measured"):
        for value in (0.5, 5.0, 50.0, 500.0):
            latency.record(value, {"route": "/cart", "user": "u-1"})
            sizes.record(value * 1000)
        sizes.record(0)


def exporters(protocol, endpoint):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        options = [{"endpoint": endpoint, "insecure": True}] * 3
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        options = [{"endpoint": f"{endpoint}/v1/{signal}"} for signal in ("logs", "traces", "metrics")]
        options[1]["compression"] = Compression.Gzip
    classes = ((OTLPLogExporter, log_rows), (OTLPSpanExporter, span_rows), (OTLPMetricExporter, metric_rows))
    return [recording(exporter, rows)(**chosen) for (exporter, rows), chosen in zip(classes, options)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--protocol", choices=["http", "grpc"], required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--service", required=True)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)

    log_exporter, span_exporter, metric_exporter = exporters(arguments.protocol, arguments.endpoint)
    attributes = {"service.name": arguments.service, "service.version": "1.0.0", "host.cpus": 4}
    resource = Resource.create(attributes, "https://opentelemetry.io/schemas/1.30.0")
    traces = TracerProvider(resource=resource, span_limits=SpanLimits(max_span_attributes=32, max_events=4))
    traces.add_span_processor(BatchSpanProcessor(span_exporter))
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    views = [
        View(instrument_name="size", aggregation=ExponentialBucketHistogramAggregation(max_size=20)),
        View(instrument_name="latency", attribute_keys={"route"}),
    ]
    metrics = MeterProvider([PeriodicExportingMetricReader(metric_exporter)], resource=resource, views=views)

    tracer = traces.get_tracer("shop.main")
    send_spans(traces)
    send_logs(logs, tracer)
    send_metrics(metrics, tracer)
    for provider in (logs, traces, metrics):
        provider.shutdown()


main()
