"""Sends a call of two services by py_zipkin and one of OpenTelemetry's Zipkin exporter; prints their trace ids as JSON."""

import argparse
import json
import urllib.request

from opentelemetry import trace
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from py_zipkin import Encoding, Kind
from py_zipkin.zipkin import ZipkinAttrs, zipkin_client_span, zipkin_server_span


def py_zipkin(endpoint, trace_id):
    """A server that asks another: the halves of the call share an id, as Zipkin's senders have it."""

    def post(body):
        body = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(endpoint, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 202, answer.status

    common = {"transport_handler": post, "encoding": Encoding.V2_JSON, "sample_rate": 100.0}
    attrs = ZipkinAttrs(trace_id, "00000000000000a1", None, "0", True)
    with zipkin_server_span("web", "get /", zipkin_attrs=attrs, port=8080, **common):
        with zipkin_client_span("web", "get /cart") as call:
            call.update_binary_annotations({"http.path": "/cart", "error": "no cart"})
            call.add_annotation("retrying")
            call.add_sa_binary_annotation(8081, "cart", "10.0.0.7")
            shared = ZipkinAttrs(trace_id, call.zipkin_attrs.span_id, "00000000000000a1", "0", True)
            with zipkin_server_span("cart", "get /cart", zipkin_attrs=shared, port=8081, use_128bit_trace_id=True, **common):
                pass


def opentelemetry(endpoint):
    """One span with what the mapping knows."""
    provider = TracerProvider(resource=Resource.create({"service.name": "otel-zipkin"}))
    provider.add_span_processor(SimpleSpanProcessor(ZipkinExporter(endpoint=endpoint)))
    tracer = provider.get_tracer("sender", "1.2")
    with tracer.start_as_current_span("work", kind=SpanKind.CLIENT) as span:
        span.set_attribute("http.request.method", "GET")
        span.add_event("cache.miss")
        span.set_status(Status(StatusCode.ERROR, "it broke"))
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
    provider.shutdown()
    return trace_id


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    endpoint = parser.parse_args().endpoint
    shared = "0af7651916cd43dd8448eb211c80319c"
    py_zipkin(endpoint, shared)
    print(json.dumps({"py_zipkin": shared, "opentelemetry": opentelemetry(endpoint)}))
