// Sends logs, spans and metrics with OpenTelemetry's Node SDK and pino, and prints what it sent: a real HTTP server and its
// client, both instrumented. usage: node send.cjs ENDPOINT SERVICE
//
// Each line of the output is {"table": …, "row": {…}} in the words of our tables, taken from the SDK's own objects once the
// exporter said that they were accepted. Times are nanoseconds since 1970 as text, ids are hex.
'use strict';

const { once } = require('node:events');
const { context, metrics, propagation, SpanKind, SpanStatusCode, trace, ValueType } = require('@opentelemetry/api');
const { OTLPLogExporter } = require('@opentelemetry/exporter-logs-otlp-proto');
const { OTLPMetricExporter } = require('@opentelemetry/exporter-metrics-otlp-proto');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { PinoInstrumentation } = require('@opentelemetry/instrumentation-pino');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchLogRecordProcessor } = require('@opentelemetry/sdk-logs');
const { AggregationTemporality, AggregationType, DataPointType, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { NodeSDK } = require('@opentelemetry/sdk-node');
const { BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');

const [endpoint, service] = process.argv.slice(2);
const REMOTE_KNOWN = 0x100;
const REMOTE = 0x200;

const nanos = ([seconds, rest]) => {
  const time = BigInt(seconds) * 1_000_000_000n + BigInt(rest);
  return time === 0n ? null : String(time);
};
const present = value => (value === undefined || value === '' ? null : value);
const flags = (own, remote) => (own & 0xff) | REMOTE_KNOWN | (remote ? REMOTE : 0);

// The lossless JSON of docs/formats/value.md.
function plain(value) {
  if (value === undefined || value === null) return null;
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}

function bodyKind(body) {
  if (body === undefined || body === null) return 0;
  if (typeof body === 'number') return Number.isInteger(body) ? 3 : 4;
  return { string: 1, boolean: 2 }[typeof body] ?? (Array.isArray(body) ? 5 : 6);
}

const origin = (resource, scope) => ({
  service_name: resource.attributes['service.name'],
  resource_schema_url: present(resource.schemaUrl),
  resource_attributes: plain(resource.attributes),
  scope_name: present(scope.name),
  scope_version: present(scope.version),
  scope_schema_url: present(scope.schemaUrl),
});

const logRow = record => ({
  time: nanos(record.hrTime) ?? nanos(record.hrTimeObserved),
  observed_time: nanos(record.hrTimeObserved),
  severity_number: record.severityNumber ?? 0,
  severity_text: present(record.severityText),
  body: plain(record.body),
  body_kind: bodyKind(record.body),
  trace_id: present(record.spanContext?.traceId),
  span_id: present(record.spanContext?.spanId),
  flags: record.spanContext?.traceFlags ?? 0,
  event_name: present(record.eventName),
  dropped_attributes_count: record.droppedAttributesCount,
  attributes: plain(record.attributes),
  ...origin(record.resource, record.instrumentationScope),
});

const eventRow = event => ({
  time: nanos(event.time),
  name: event.name,
  attributes: plain(event.attributes ?? {}),
  dropped_attributes_count: event.droppedAttributesCount ?? 0,
});

const linkRow = link => ({
  trace_id: link.context.traceId,
  span_id: link.context.spanId,
  trace_state: link.context.traceState?.serialize() ?? '',
  attributes: plain(link.attributes ?? {}),
  dropped_attributes_count: link.droppedAttributesCount ?? 0,
  flags: flags(link.context.traceFlags, link.context.isRemote),
});

function spanRow(span) {
  const own = span.spanContext();
  const [start, end] = [span.startTime, span.endTime].map(nanos).map(BigInt);
  return {
    time: String(start),
    duration_ns: Number(end - start),
    trace_id: own.traceId,
    span_id: own.spanId,
    parent_span_id: present(span.parentSpanContext?.spanId),
    trace_state: present(own.traceState?.serialize()),
    name: span.name,
    kind: span.kind + 1,
    status_code: span.status.code,
    status_message: present(span.status.message),
    flags: flags(own.traceFlags, span.parentSpanContext?.isRemote),
    events: span.events.map(eventRow),
    links: span.links.map(linkRow),
    dropped_attributes_count: span.droppedAttributesCount,
    dropped_events_count: span.droppedEventsCount,
    dropped_links_count: span.droppedLinksCount,
    attributes: plain(span.attributes),
    ...origin(span.resource, span.instrumentationScope),
  };
}

const TYPES = {
  [DataPointType.GAUGE]: 'gauge',
  [DataPointType.SUM]: 'sum',
  [DataPointType.HISTOGRAM]: 'histogram',
  [DataPointType.EXPONENTIAL_HISTOGRAM]: 'exponential_histogram',
};

function pointColumns(metric, { value }) {
  if (typeof value === 'number') {
    return { value, value_int: metric.descriptor.valueType === ValueType.INT ? value : null };
  }
  const columns = { value: null, count: value.count, sum: value.sum, min: value.min, max: value.max };
  if (metric.dataPointType === DataPointType.HISTOGRAM) {
    return { ...columns, bucket_counts: value.buckets.counts, explicit_bounds: value.buckets.boundaries };
  }
  return {
    ...columns,
    scale: value.scale,
    zero_count: value.zeroCount,
    positive_offset: value.positive.offset,
    positive_bucket_counts: value.positive.bucketCounts,
    negative_offset: value.negative.offset,
    negative_bucket_counts: value.negative.bucketCounts,
  };
}

function sampleRows(exported) {
  const rows = [];
  for (const { scope, metrics: found } of exported.scopeMetrics) {
    for (const metric of found) {
      const gauge = metric.dataPointType === DataPointType.GAUGE;
      const series = {
        name: metric.descriptor.name,
        type: TYPES[metric.dataPointType],
        unit: present(metric.descriptor.unit),
        description: present(metric.descriptor.description),
        temporality: gauge ? null : AggregationTemporality[metric.aggregationTemporality].toLowerCase(),
        is_monotonic: metric.dataPointType === DataPointType.SUM ? metric.isMonotonic : null,
        ...origin(exported.resource, scope),
      };
      for (const point of metric.dataPoints) {
        const [start_time, time] = [point.startTime, point.endTime].map(nanos);
        rows.push({ ...series, start_time, time, flags: 0, attributes: plain(point.attributes), ...pointColumns(metric, point) });
      }
    }
  }
  return rows;
}

const print = (table, row) => process.stdout.write(`${JSON.stringify({ table, row })}\n`);

// The exporter, made to print what was accepted and to end the program when something was not.
function recording(Exporter, path, options, table, rows) {
  return new (class extends Exporter {
    export(items, done) {
      super.export(items, result => {
        if (result.code !== 0) {
          console.error(`${table} failed`, result.error);
          process.exit(1);
        }
        for (const row of rows(items)) print(table, row);
        done(result);
      });
    }
  })({ url: `${endpoint}/v1/${path}`, ...options });
}

const spanExporter = recording(OTLPTraceExporter, 'traces', { compression: 'gzip' }, 'spans', spans => spans.map(spanRow));
const logExporter = recording(OTLPLogExporter, 'logs', {}, 'logs', logs => logs.map(logRow));
const metricExporter = recording(
  OTLPMetricExporter,
  'metrics',
  { temporalityPreference: AggregationTemporality.DELTA },
  'metric_samples',
  sampleRows,
);

const sdk = new NodeSDK({
  resource: resourceFromAttributes({ 'service.name': service, 'service.version': '2.0.0', 'process.cpus': 2 }),
  autoDetectResources: false,
  instrumentations: [new HttpInstrumentation(), new PinoInstrumentation()],
  logRecordProcessors: [new BatchLogRecordProcessor({ exporter: logExporter })],
  metricReaders: [new PeriodicExportingMetricReader({ exporter: metricExporter })],
  spanProcessors: [new BatchSpanProcessor(spanExporter)],
  views: [{ instrumentName: 'size', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 20 } } }],
});
sdk.start();

// Only what is required after the start is instrumented.
const http = require('node:http');
const pino = require('pino');

async function get(url) {
  const [response] = await once(http.get(url), 'response');
  response.resume();
  await once(response, 'end');
}

async function sendSpans(logger) {
  const tracer = trace.getTracer('shop', '1.0');
  const server = http.createServer((request, response) => {
    logger.info({ path: request.url, nested: { list: [1, 'two', 2.5, null] } }, 'request taken');
    tracer.startActiveSpan('work', { kind: SpanKind.INTERNAL, attributes: { ratio: 0.5, ids: ['a', 'ü'] } }, span => {
      span.addEvent('half way', { percent: 50 });
      span.recordException(new TypeError('not a cart'));
      span.setStatus({ code: SpanStatusCode.ERROR, message: 'not a cart' });
      span.end();
    });
    response.statusCode = request.url === '/missing' ? 404 : 200;
    response.end('ok');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${server.address().port}`;
  await tracer.startActiveSpan('caller', async span => {
    await get(`${base}/cart?id=1`);
    await get(`${base}/missing`);
    span.end();
    const remote = { traceparent: '00-5b8aa5a2d2c872e8321cf37308d69df2-051581bf3cb55c13-01', tracestate: 'ot=th:8' };
    const link = { context: trace.getSpanContext(propagation.extract(context.active(), remote)), attributes: { why: 'batch' } };
    tracer.startSpan('linked', { kind: SpanKind.CONSUMER, links: [link], root: true }).end();
  });
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}

function sendMetrics() {
  const meter = metrics.getMeter('shop.metrics', '2.0');
  meter.createCounter('orders', { unit: '{order}', description: 'Orders placed', valueType: ValueType.INT }).add(3, { region: 'eu' });
  meter.createCounter('revenue', { unit: 'EUR' }).add(12.5, { region: 'eu' });
  meter.createUpDownCounter('in_flight', { valueType: ValueType.INT }).add(-2);
  meter.createGauge('temperature', { unit: 'Cel' }).record(21);
  const latency = meter.createHistogram('latency', { unit: 'ms', advice: { explicitBucketBoundaries: [1, 10, 100] } });
  const size = meter.createHistogram('size', { unit: 'By' });
  for (const value of [0.5, 5, 50, 500]) {
    latency.record(value, { route: '/cart' });
    size.record(value * 1000);
  }
}

async function main() {
  const logger = pino({ level: 'debug' }, { write() {} });
  logger.debug('a debug line');
  logger.error(Object.assign(new Error('späte Lieferung \u{1f69a}'), { code: 7 }), 'it failed');
  await sendSpans(logger);
  sendMetrics();
  await sdk.shutdown();
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
