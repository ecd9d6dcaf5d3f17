//! What should a request decode to? The same told a second time, from prost's structs, plainly and slowly.

use std::collections::BTreeMap;

use causeway_model::{Kind, Value as Flat, json_escape_into};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Histogram, Metric, exemplar, metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{RECEIVED, Row, comparable};

/// What a request holds, as text.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expected {
    pub(super) tables: BTreeMap<&'static str, Vec<Row>>,
    pub(super) received: u64,
    pub(super) dropped: BTreeMap<&'static str, u64>,
}

impl Expected {
    fn add(&mut self, table: &'static str, row: Row) {
        self.tables.entry(table).or_default().push(row);
    }

    fn count(&mut self, result: Result<(), &'static str>) {
        self.received += 1;
        if let Err(reason) = result {
            *self.dropped.entry(reason).or_default() += 1;
        }
    }
}

pub(crate) fn double(value: f64) -> String {
    format!("{value:?} {:x}", value.to_bits())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn null_or(text: Option<String>) -> String {
    text.unwrap_or_else(|| "null".into())
}

fn text_or_null(text: &str) -> String {
    if text.is_empty() { "null".into() } else { format!("{text:?}") }
}

fn id_or_null(id: &[u8], length: usize) -> String {
    if valid_id(id, length) { hex(id) } else { "null".into() }
}

fn valid_id(id: &[u8], length: usize) -> bool {
    id.len() == length && id.iter().any(|byte| *byte != 0)
}

fn time(nanos: u64) -> Result<i64, &'static str> {
    if nanos > i64::MAX as u64 { Err("time_out_of_range") } else { Ok(nanos as i64) }
}

fn time_or(nanos: i64, otherwise: i64) -> i64 {
    if nanos == 0 { otherwise } else { nanos }
}

fn time_or_null(nanos: i64) -> String {
    if nanos == 0 { "null".into() } else { nanos.to_string() }
}

fn list<T>(items: &[T], cell: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(cell).collect::<Vec<_>>().join(","))
}

/// Attributes without repeated keys: of each key the last stays where it stands.
fn last_of_each(attributes: &[KeyValue]) -> Vec<&KeyValue> {
    let later = |at: usize, key: &str| attributes[at + 1..].iter().any(|other| other.key == key);
    attributes.iter().enumerate().filter(|(at, one)| !later(*at, &one.key)).map(|(_, one)| one).collect()
}

fn json(value: Option<&AnyValue>, out: &mut String) {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::ArrayValue(array)) => {
            out.push('[');
            for (at, value) in array.values.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                json(Some(value), out);
            }
            out.push(']');
        }
        Some(Value::KvlistValue(map)) => out.push_str(&json_object(&map.values)),
        scalar => flat_scalar(scalar).write_json(out),
    }
}

fn json_object(attributes: &[KeyValue]) -> String {
    let mut out = String::from("{");
    for (at, attribute) in last_of_each(attributes).into_iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        json_escape_into(&attribute.key, &mut out);
        out.push(':');
        json(attribute.value.as_ref(), &mut out);
    }
    out + "}"
}

fn flat_scalar(value: Option<&Value>) -> Flat<'_> {
    match value {
        Some(Value::StringValue(text)) => Flat::String(text),
        Some(Value::BoolValue(value)) => Flat::Bool(*value),
        Some(Value::IntValue(value)) => Flat::Int(*value),
        Some(Value::DoubleValue(value)) => Flat::Double(*value),
        Some(Value::BytesValue(bytes)) => Flat::Bytes(bytes),
        _ => Flat::Empty,
    }
}

/// Hands the flat value to `keep`; lists and maps as their JSON text.
fn with_flat<T>(value: Option<&AnyValue>, keep: impl FnOnce(Flat<'_>) -> T) -> T {
    let mut text = String::new();
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::ArrayValue(_)) => {
            json(value, &mut text);
            keep(Flat::Array(&text))
        }
        Some(Value::KvlistValue(_)) => {
            json(value, &mut text);
            keep(Flat::Map(&text))
        }
        scalar => keep(flat_scalar(scalar)),
    }
}

fn set_into(prefix: &str, attributes: &[KeyValue], row: &mut Row) {
    let attributes = last_of_each(attributes);
    for one in &attributes {
        let value = with_flat(one.value.as_ref(), |value| format!("{:?}", comparable(&value)));
        row.insert(format!("{prefix}.{}", one.key), value);
    }
    let order: Vec<&str> = attributes.iter().map(|one| one.key.as_str()).collect();
    row.insert(format!("{prefix}, order"), order.join(","));
}

fn put(row: &mut Row, name: &str, cell: impl ToString) {
    row.insert(name.into(), cell.to_string());
}

/// The columns and sets of resource and scope; of exemplars only the sets.
fn origin(resource: Option<&Resource>, url: &str, scope: Option<&InstrumentationScope>, scope_url: &str) -> Row {
    let (resource, scope) = (resource.cloned().unwrap_or_default(), scope.cloned().unwrap_or_default());
    let mut row = origin_sets(Some(&resource), Some(&scope));
    let name = last_of_each(&resource.attributes).into_iter().find(|one| one.key == "service.name").cloned();
    let name = match name.and_then(|one| one.value).and_then(|value| value.value) {
        Some(Value::StringValue(name)) => format!("{name:?}"),
        _ => "null".into(),
    };
    put(&mut row, "service_name", name);
    put(&mut row, "resource_schema_url", text_or_null(url));
    put(&mut row, "resource_dropped_attributes_count", resource.dropped_attributes_count);
    put(&mut row, "scope_name", text_or_null(&scope.name));
    put(&mut row, "scope_version", text_or_null(&scope.version));
    put(&mut row, "scope_schema_url", text_or_null(scope_url));
    put(&mut row, "scope_dropped_attributes_count", scope.dropped_attributes_count);
    row
}

fn origin_sets(resource: Option<&Resource>, scope: Option<&InstrumentationScope>) -> Row {
    let mut row = Row::new();
    set_into("resource", resource.map_or(&[], |resource| &resource.attributes), &mut row);
    set_into("scope", scope.map_or(&[], |scope| &scope.attributes), &mut row);
    row
}

pub(super) fn logs(request: &ExportLogsServiceRequest) -> Expected {
    let mut expected = Expected::default();
    for resource in &request.resource_logs {
        for scope in &resource.scope_logs {
            let origin =
                origin(resource.resource.as_ref(), &resource.schema_url, scope.scope.as_ref(), &scope.schema_url);
            for record in &scope.log_records {
                let row = log_row(record, origin.clone());
                let result = row.map(|row| expected.add("logs", row));
                expected.count(result);
            }
        }
    }
    expected
}

fn log_row(record: &LogRecord, mut row: Row) -> Result<Row, &'static str> {
    let (observed, sent) = (time(record.observed_time_unix_nano)?, time(record.time_unix_nano)?);
    put(&mut row, "time", time_or(sent, time_or(observed, RECEIVED)));
    put(&mut row, "observed_time", time_or_null(observed));
    put(&mut row, "severity_number", record.severity_number);
    put(&mut row, "severity_text", text_or_null(&record.severity_text));
    let (kind, body) = with_flat(record.body.as_ref(), |value| match value {
        Flat::Empty => (Kind::Empty, "null".into()),
        Flat::String(text) => (Kind::String, format!("{text:?}")),
        other => {
            let mut text = String::new();
            other.write_json(&mut text);
            (other.kind(), format!("{text:?}"))
        }
    });
    put(&mut row, "body", body);
    put(&mut row, "body_kind", kind as u8);
    put(&mut row, "trace_id", id_or_null(&record.trace_id, 16));
    put(&mut row, "span_id", id_or_null(&record.span_id, 8));
    put(&mut row, "flags", record.flags);
    put(&mut row, "event_name", text_or_null(&record.event_name));
    put(&mut row, "dropped_attributes_count", record.dropped_attributes_count);
    set_into("attr", &record.attributes, &mut row);
    Ok(row)
}

pub(super) fn spans(request: &ExportTraceServiceRequest) -> Expected {
    let mut expected = Expected::default();
    for resource in &request.resource_spans {
        for scope in &resource.scope_spans {
            let origin =
                origin(resource.resource.as_ref(), &resource.schema_url, scope.scope.as_ref(), &scope.schema_url);
            for span in &scope.spans {
                let row = span_row(span, origin.clone());
                let result = row.map(|row| expected.add("spans", row));
                expected.count(result);
            }
        }
    }
    expected
}

fn span_row(span: &Span, mut row: Row) -> Result<Row, &'static str> {
    for event in &span.events {
        time(event.time_unix_nano)?;
    }
    if !valid_id(&span.trace_id, 16) {
        return Err("invalid_trace_id");
    }
    if !valid_id(&span.span_id, 8) {
        return Err("invalid_span_id");
    }
    let (start, end) = (time(span.start_time_unix_nano)?, time(span.end_time_unix_nano)?);
    put(&mut row, "time", time_or(start, RECEIVED));
    put(&mut row, "duration_ns", null_or((start > 0 && end > 0).then(|| (end - start).to_string())));
    put(&mut row, "trace_id", hex(&span.trace_id));
    put(&mut row, "span_id", hex(&span.span_id));
    put(&mut row, "parent_span_id", id_or_null(&span.parent_span_id, 8));
    put(&mut row, "trace_state", text_or_null(&span.trace_state));
    put(&mut row, "name", format!("{:?}", span.name));
    put(&mut row, "kind", span.kind);
    let status = span.status.clone().unwrap_or_default();
    put(&mut row, "status_code", status.code);
    put(&mut row, "status_message", text_or_null(&status.message));
    put(&mut row, "flags", span.flags);
    let events = list(&span.events, |event| {
        let time = time_or(event.time_unix_nano as i64, time_or(start, RECEIVED));
        let attributes = json_object(&event.attributes);
        format!("{{{time},{:?},{attributes:?},{}}}", event.name, event.dropped_attributes_count)
    });
    put(&mut row, "events", events);
    let links: Vec<_> =
        span.links.iter().filter(|link| valid_id(&link.trace_id, 16) && valid_id(&link.span_id, 8)).collect();
    let links = list(&links, |link| {
        let (trace, id, attributes) = (hex(&link.trace_id), hex(&link.span_id), json_object(&link.attributes));
        let (dropped, flags) = (link.dropped_attributes_count, link.flags);
        format!("{{{trace},{id},{:?},{attributes:?},{dropped},{flags}}}", link.trace_state)
    });
    put(&mut row, "links", links);
    put(&mut row, "dropped_attributes_count", span.dropped_attributes_count);
    put(&mut row, "dropped_events_count", span.dropped_events_count);
    put(&mut row, "dropped_links_count", span.dropped_links_count);
    set_into("attr", &span.attributes, &mut row);
    Ok(row)
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

fn canonical(attributes: &[KeyValue]) -> Vec<u8> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut sorted = last_of_each(attributes);
    sorted.sort_by(|left, right| left.key.cmp(&right.key));
    for one in &sorted {
        let value =
            with_flat(one.value.as_ref(), |value| [vec![value.kind() as u8], value.with_flat(prefixed)].concat());
        entries.push([prefixed(one.key.as_bytes()), value].concat());
    }
    [(sorted.len() as u32).to_le_bytes().to_vec(), entries.concat()].concat()
}

/// One data point of any type: what its columns hold, and what it has in common with the others.
struct AnyPoint<'a> {
    /// Bounds of buckets or quantiles, as the series has them.
    bounds: String,
    attributes: &'a [KeyValue],
    start: u64,
    time: u64,
    flags: u32,
    exemplars: &'a [Exemplar],
    no_value: bool,
    cells: Vec<(&'static str, String)>,
}

const VALUE_COLUMNS: [&str; 18] = [
    "value",
    "value_int",
    "count",
    "sum",
    "min",
    "max",
    "bucket_counts",
    "explicit_bounds",
    "scale",
    "zero_count",
    "zero_threshold",
    "positive_offset",
    "positive_bucket_counts",
    "negative_offset",
    "negative_bucket_counts",
    "quantiles",
    "reset_hint",
    "float_counts",
];

fn any_points(data: &Data) -> Vec<AnyPoint<'_>> {
    let numbers = |counts: &[u64]| list(counts, u64::to_string);
    let optional = |value: Option<f64>| null_or(value.map(double));
    match data {
        Data::Gauge(_) | Data::Sum(_) => number_points(data),
        Data::Histogram(data) => histogram_points(data),
        Data::ExponentialHistogram(data) => data
            .data_points
            .iter()
            .map(|point| AnyPoint {
                attributes: &point.attributes,
                start: point.start_time_unix_nano,
                time: point.time_unix_nano,
                flags: point.flags,
                exemplars: &point.exemplars,
                no_value: false,
                bounds: "null".into(),
                cells: vec![
                    ("count", point.count.to_string()),
                    ("sum", optional(point.sum)),
                    ("min", optional(point.min)),
                    ("max", optional(point.max)),
                    ("scale", point.scale.to_string()),
                    ("zero_count", point.zero_count.to_string()),
                    ("zero_threshold", double(point.zero_threshold)),
                    ("positive_offset", null_or(point.positive.as_ref().map(|it| it.offset.to_string()))),
                    ("positive_bucket_counts", null_or(point.positive.as_ref().map(|it| numbers(&it.bucket_counts)))),
                    ("negative_offset", null_or(point.negative.as_ref().map(|it| it.offset.to_string()))),
                    ("negative_bucket_counts", null_or(point.negative.as_ref().map(|it| numbers(&it.bucket_counts)))),
                ],
            })
            .collect(),
        Data::Summary(data) => data
            .data_points
            .iter()
            .map(|point| AnyPoint {
                attributes: &point.attributes,
                start: point.start_time_unix_nano,
                time: point.time_unix_nano,
                flags: point.flags,
                exemplars: &[],
                no_value: false,
                bounds: list(&point.quantile_values, |at| double(at.quantile)),
                cells: vec![
                    ("count", point.count.to_string()),
                    ("sum", double(point.sum)),
                    (
                        "quantiles",
                        list(&point.quantile_values, |at| format!("{{{},{}}}", double(at.quantile), double(at.value))),
                    ),
                ],
            })
            .collect(),
    }
}

fn histogram_points(data: &Histogram) -> Vec<AnyPoint<'_>> {
    let optional = |value: Option<f64>| null_or(value.map(double));
    data.data_points
        .iter()
        .map(|point| AnyPoint {
            attributes: &point.attributes,
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            flags: point.flags,
            exemplars: &point.exemplars,
            no_value: false,
            bounds: list(&point.explicit_bounds, |bound| double(*bound)),
            cells: vec![
                ("count", point.count.to_string()),
                ("sum", optional(point.sum)),
                ("min", optional(point.min)),
                ("max", optional(point.max)),
                ("bucket_counts", list(&point.bucket_counts, u64::to_string)),
                ("explicit_bounds", list(&point.explicit_bounds, |bound| double(*bound))),
            ],
        })
        .collect()
}

fn number_points(data: &Data) -> Vec<AnyPoint<'_>> {
    let points = match data {
        Data::Gauge(data) => &data.data_points,
        Data::Sum(data) => &data.data_points,
        _ => return Vec::new(),
    };
    let any = points.iter().map(|point| AnyPoint {
        attributes: &point.attributes,
        start: point.start_time_unix_nano,
        time: point.time_unix_nano,
        flags: point.flags,
        exemplars: &point.exemplars,
        no_value: point.value.is_none() && point.flags & 1 == 0,
        bounds: "null".into(),
        cells: match point.value {
            Some(number_data_point::Value::AsDouble(value)) => vec![("value", double(value))],
            Some(number_data_point::Value::AsInt(value)) => {
                vec![("value", double(value as f64)), ("value_int", value.to_string())]
            }
            None => Vec::new(),
        },
    });
    any.collect()
}

fn type_temporality_monotonic(data: &Data) -> (&'static str, Option<&'static str>, Option<bool>) {
    let temporality = |number| match number {
        1 => Some("delta"),
        2 => Some("cumulative"),
        _ => None,
    };
    match data {
        Data::Gauge(_) => ("gauge", None, None),
        Data::Sum(sum) => ("sum", temporality(sum.aggregation_temporality), Some(sum.is_monotonic)),
        Data::Histogram(data) => ("histogram", temporality(data.aggregation_temporality), None),
        Data::ExponentialHistogram(data) => ("exponential_histogram", temporality(data.aggregation_temporality), None),
        Data::Summary(_) => ("summary", None, None),
    }
}

/// What a metric gives to all its points.
struct Surroundings<'a> {
    metric: &'a Metric,
    resource: Option<&'a Resource>,
    scope: Option<&'a InstrumentationScope>,
    origin: Row,
}

pub(super) fn metrics(request: &ExportMetricsServiceRequest) -> Expected {
    let mut expected = Expected::default();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                let (of_resource, of_scope) = (resource.resource.as_ref(), scope.scope.as_ref());
                let origin = origin(of_resource, &resource.schema_url, of_scope, &scope.schema_url);
                let around = Surroundings { metric, resource: of_resource, scope: of_scope, origin };
                let Some(data) = &metric.data else {
                    expected.count(Err("no_data"));
                    continue;
                };
                for point in any_points(data) {
                    let result = add_point(&around, data, &point, &mut expected);
                    expected.count(result);
                }
            }
        }
    }
    expected
}

fn add_point(
    around: &Surroundings<'_>,
    data: &Data,
    point: &AnyPoint<'_>,
    expected: &mut Expected,
) -> Result<(), &'static str> {
    let (start, sent) = (time(point.start)?, time(point.time)?);
    if point.no_value {
        return Err("no_value");
    }
    let time_of_sample = time_or(sent, RECEIVED);
    let id = series_id(around, data, point.attributes);
    add_series(around, data, point, &id, time_of_sample, expected);
    let mut row = Row::new();
    VALUE_COLUMNS.iter().for_each(|name| put(&mut row, name, "null"));
    point.cells.iter().for_each(|(name, cell)| put(&mut row, name, cell));
    put(&mut row, "time", time_of_sample);
    put(&mut row, "series_id", &id);
    put(&mut row, "start_time", time_or_null(start));
    put(&mut row, "flags", point.flags);
    expected.add("metric_samples", row);
    for exemplar in point.exemplars {
        let Ok(measured) = time(exemplar.time_unix_nano) else { continue };
        let mut row = origin_sets(around.resource, around.scope);
        put(&mut row, "time", time_or(measured, time_of_sample));
        put(&mut row, "series_id", &id);
        let (value, exact) = match exemplar.value {
            Some(exemplar::Value::AsDouble(value)) => (double(value), "null".into()),
            Some(exemplar::Value::AsInt(value)) => (double(value as f64), value.to_string()),
            None => ("null".into(), "null".into()),
        };
        put(&mut row, "value", value);
        put(&mut row, "value_int", exact);
        put(&mut row, "trace_id", id_or_null(&exemplar.trace_id, 16));
        put(&mut row, "span_id", id_or_null(&exemplar.span_id, 8));
        set_into("attr", &exemplar.filtered_attributes, &mut row);
        expected.add("exemplars", row);
    }
    Ok(())
}

fn series_id(around: &Surroundings<'_>, data: &Data, attributes: &[KeyValue]) -> String {
    let (metric_type, temporality, is_monotonic) = type_temporality_monotonic(data);
    let scope = around.scope.cloned().unwrap_or_default();
    let scope_bytes =
        [prefixed(scope.name.as_bytes()), prefixed(scope.version.as_bytes()), canonical(&scope.attributes)].concat();
    let shared = [
        prefixed(around.metric.name.as_bytes()),
        prefixed(metric_type.as_bytes()),
        prefixed(around.metric.unit.as_bytes()),
        prefixed(temporality.unwrap_or("").as_bytes()),
        vec![is_monotonic.map_or(2, u8::from)],
        prefixed(&canonical(around.resource.map_or(&[], |resource| &resource.attributes))),
        prefixed(&scope_bytes),
    ];
    let shared = xxh3_128(&shared.concat()).to_be_bytes();
    let identity = xxh3_128(&[shared.to_vec(), canonical(attributes)].concat()).to_be_bytes();
    let name = xxh3_64(around.metric.name.as_bytes()).to_be_bytes();
    hex(&[&name[4..], &identity[4..]].concat())
}

fn add_series(
    around: &Surroundings<'_>,
    data: &Data,
    point: &AnyPoint<'_>,
    id: &str,
    sample_time: i64,
    expected: &mut Expected,
) {
    let series = expected.tables.entry("metric_series").or_default();
    let day = |time: i64| time.div_euclid(86_400_000_000_000);
    // A point without a value need not say its buckets.
    let bounds = if point.bounds == "[]" && point.flags & 1 == 1 { "null" } else { &point.bounds };
    let is_of_day = |row: &Row| day(row["time"].parse().unwrap()) == day(sample_time) && row["bounds"] == bounds;
    if let Some(known) = series.iter_mut().find(|row| row["series_id"] == id && is_of_day(row)) {
        let first = known["time"].parse::<i64>().unwrap().min(sample_time);
        put(known, "time", first);
        return;
    }
    let (metric_type, temporality, is_monotonic) = type_temporality_monotonic(data);
    let mut row = around.origin.clone();
    put(&mut row, "time", sample_time);
    put(&mut row, "series_id", id);
    put(&mut row, "name", format!("{:?}", around.metric.name));
    put(&mut row, "type", format!("{metric_type:?}"));
    put(&mut row, "unit", text_or_null(&around.metric.unit));
    put(&mut row, "description", text_or_null(&around.metric.description));
    put(&mut row, "temporality", text_or_null(temporality.unwrap_or("")));
    put(&mut row, "is_monotonic", null_or(is_monotonic.map(|value| value.to_string())));
    let metadata = json_object(&around.metric.metadata);
    put(&mut row, "metadata", if metadata == "{}" { "null".into() } else { format!("{metadata:?}") });
    put(&mut row, "bounds", bounds);
    set_into("attr", point.attributes, &mut row);
    series.push(row);
}
