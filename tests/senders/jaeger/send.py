"""Sends a span and one below it by OpenTelemetry's exporter for Jaeger; prints their trace id as JSON."""

import argparse
import json
import os
import warnings

# What the exporter was generated with is older than protobuf's own code for it.
os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
warnings.simplefilter("ignore")

from opentelemetry import trace
from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    exporter = JaegerExporter(collector_endpoint=parser.parse_args().endpoint, insecure=True)
    provider = TracerProvider(resource=Resource.create({"service.name": "otel-jaeger", "service.version": "2.1"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("sender", "1.2")
    attributes = {"http.route": "/cart", "items": 7, "cached": True, "share": 0.5}
    with tracer.start_as_current_span("GET /cart", kind=SpanKind.SERVER, attributes=attributes) as span:
        span.add_event("cache.miss", {"key": "k1"})
        with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT) as call:
            call.record_exception(ValueError("declined"))
            call.set_status(Status(StatusCode.ERROR, "declined"))
    provider.shutdown()
    print(json.dumps(trace.format_trace_id(span.get_span_context().trace_id)))
