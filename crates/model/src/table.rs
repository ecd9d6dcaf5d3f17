//! Which tables are there, and what does each column mean? The one place that says so: decoders, store, SQL and
//! docs/tables.md all follow it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// A table of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Log records.
    Logs = 1,
    /// Spans with their events and links.
    Spans = 2,
    /// One row per time series and day: its name, type and labels.
    MetricSeries = 3,
    /// One row per metric data point.
    MetricSamples = 4,
    /// Exemplars of metric data points.
    Exemplars = 5,
    /// Changes of state: deploys, flags, configuration.
    Changes = 6,
    /// What Prometheus' senders say about a metric: its type, unit and meaning.
    MetricMetadata = 7,
    /// What the samples of a series were together in five minutes.
    MetricRollups5m = 8,
    /// What the samples of a series were together in an hour.
    MetricRollups1h = 9,
}

/// Where a column's value comes from in OTLP's nesting; it says in which part of a [`crate::Batch`] it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnLevel {
    /// Its own value for each record.
    Record,
    /// One value for each resource.
    Resource,
    /// One value for each instrumentation scope.
    Scope,
}

/// One fixed column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name in SQL and in the files.
    pub name: &'static str,
    /// The Arrow type.
    pub data_type: fn() -> DataType,
    /// Whether a row may lack it.
    pub nullable: bool,
    /// Where the value comes from.
    pub level: ColumnLevel,
    /// One sentence for people, with the unit where there is one.
    pub doc: &'static str,
}

impl Column {
    /// The column as an Arrow field.
    pub fn field(&self) -> Field {
        Field::new(self.name, (self.data_type)(), self.nullable)
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}
fn trace_id() -> DataType {
    DataType::FixedSizeBinary(16)
}
fn span_id() -> DataType {
    DataType::FixedSizeBinary(8)
}
fn text() -> DataType {
    DataType::Utf8
}
fn boolean() -> DataType {
    DataType::Boolean
}
fn int32() -> DataType {
    DataType::Int32
}
fn int64() -> DataType {
    DataType::Int64
}
fn uint32() -> DataType {
    DataType::UInt32
}
fn uint64() -> DataType {
    DataType::UInt64
}
fn float64() -> DataType {
    DataType::Float64
}
fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, false)))
}
fn uint64_list() -> DataType {
    list_of(DataType::UInt64)
}
fn float64_list() -> DataType {
    list_of(DataType::Float64)
}
fn quantile_list() -> DataType {
    list_of(DataType::Struct(Fields::from(vec![
        Field::new("quantile", DataType::Float64, false),
        Field::new("value", DataType::Float64, false),
    ])))
}
fn event_list() -> DataType {
    list_of(DataType::Struct(Fields::from(vec![
        Field::new("time", timestamp(), false),
        Field::new("name", DataType::Utf8, false),
        Field::new("attributes", DataType::Utf8, false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
    ])))
}
fn link_list() -> DataType {
    list_of(DataType::Struct(Fields::from(vec![
        Field::new("trace_id", trace_id(), false),
        Field::new("span_id", span_id(), false),
        Field::new("trace_state", DataType::Utf8, false),
        Field::new("attributes", DataType::Utf8, false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
        Field::new("flags", DataType::UInt32, false),
    ])))
}

const fn column(
    name: &'static str,
    data_type: fn() -> DataType,
    nullable: bool,
    level: ColumnLevel,
    doc: &'static str,
) -> Column {
    Column { name, data_type, nullable, level, doc }
}
const fn record(name: &'static str, data_type: fn() -> DataType, nullable: bool, doc: &'static str) -> Column {
    column(name, data_type, nullable, ColumnLevel::Record, doc)
}
const fn resource(name: &'static str, data_type: fn() -> DataType, nullable: bool, doc: &'static str) -> Column {
    column(name, data_type, nullable, ColumnLevel::Resource, doc)
}
const fn scope(name: &'static str, data_type: fn() -> DataType, nullable: bool, doc: &'static str) -> Column {
    column(name, data_type, nullable, ColumnLevel::Scope, doc)
}

const SERVICE_NAME: Column =
    resource("service_name", text, true, "Resource attribute `service.name`; null where the sender gave none.");
const RESOURCE_SCHEMA_URL: Column =
    resource("resource_schema_url", text, true, "Schema URL of the resource; null when empty.");
const RESOURCE_DROPPED: Column =
    resource("resource_dropped_attributes_count", uint32, false, "Resource attributes that the sender dropped.");
const SCOPE_NAME: Column = scope("scope_name", text, true, "Name of the instrumentation scope; null when empty.");
const SCOPE_VERSION: Column =
    scope("scope_version", text, true, "Version of the instrumentation scope; null when empty.");
const SCOPE_SCHEMA_URL: Column = scope("scope_schema_url", text, true, "Schema URL of the scope; null when empty.");
const SCOPE_DROPPED: Column =
    scope("scope_dropped_attributes_count", uint32, false, "Scope attributes that the sender dropped.");
const DROPPED_ATTRIBUTES: Column =
    record("dropped_attributes_count", uint32, false, "Attributes of the record that the sender dropped.");
const SERIES_ID: Column = record(
    "series_id",
    trace_id,
    false,
    "4 bytes of a hash (XXH3) of the name, so that the series of a metric stand together; 12 bytes of one of name, type, \
     unit, temporality, monotonicity, resource, scope and attributes.",
);

const LOGS: &[Column] = &[
    record("time", timestamp, false, "When it happened; the observed time where the sender gave 0, else the arrival."),
    record("observed_time", timestamp, true, "When the collector saw it; null when 0."),
    record(
        "severity_number",
        int32,
        false,
        "1-4 trace, 5-8 debug, 9-12 info, 13-16 warn, 17-20 error, 21-24 fatal; 0 unset.",
    ),
    record("severity_text", text, true, "The severity in the sender's words; null when empty."),
    record(
        "body",
        text,
        true,
        "The message: text as sent, anything else as JSON (docs/formats/value.md); null when unset.",
    ),
    record(
        "body_kind",
        int32,
        false,
        "Kind of the body: 0 empty, 1 string, 2 bool, 3 int, 4 double, 5 array, 6 map, 7 bytes.",
    ),
    record("trace_id", trace_id, true, "Trace that it belongs to, 16 bytes; compare with a hex string."),
    record("span_id", span_id, true, "Span that it belongs to, 8 bytes; compare with a hex string."),
    record("flags", uint32, false, "W3C trace flags in the low 8 bits."),
    record("event_name", text, true, "Name of the event that this record is; null when empty."),
    DROPPED_ATTRIBUTES,
    SERVICE_NAME,
    RESOURCE_SCHEMA_URL,
    RESOURCE_DROPPED,
    SCOPE_NAME,
    SCOPE_VERSION,
    SCOPE_SCHEMA_URL,
    SCOPE_DROPPED,
];

const SPANS: &[Column] = &[
    record("time", timestamp, false, "When the span began; the arrival where the sender gave 0."),
    record("duration_ns", int64, true, "End minus start in nanoseconds; null where the sender gave no end."),
    record("trace_id", trace_id, false, "Trace that it belongs to, 16 bytes; compare with a hex string."),
    record("span_id", span_id, false, "Its own id, 8 bytes; compare with a hex string."),
    record("parent_span_id", span_id, true, "The span above it, 8 bytes; null at the root."),
    record("trace_state", text, true, "W3C tracestate; null when empty."),
    record("name", text, false, "Name of the operation."),
    record("kind", int32, false, "0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer."),
    record("status_code", int32, false, "0 unset, 1 ok, 2 error."),
    record("status_message", text, true, "The sender's words on the status; null when empty."),
    record(
        "flags",
        uint32,
        false,
        "W3C trace flags in the low 8 bits; 0x100 and 0x200 tell whether the parent is remote.",
    ),
    record("events", event_list, false, "Events with time, name and attributes (a JSON object)."),
    record("links", link_list, false, "Links to other spans with their attributes (a JSON object)."),
    DROPPED_ATTRIBUTES,
    record("dropped_events_count", uint32, false, "Events that the sender dropped."),
    record("dropped_links_count", uint32, false, "Links that the sender dropped."),
    SERVICE_NAME,
    RESOURCE_SCHEMA_URL,
    RESOURCE_DROPPED,
    SCOPE_NAME,
    SCOPE_VERSION,
    SCOPE_SCHEMA_URL,
    SCOPE_DROPPED,
];

const METRIC_SERIES: &[Column] = &[
    record("time", timestamp, false, "Time of the first sample seen on that day (UTC)."),
    SERIES_ID,
    record("name", text, false, "Name of the metric."),
    record(
        "type",
        text,
        false,
        "gauge, sum, histogram, exponential_histogram or summary; prometheus: a series as Prometheus names it, its labels are \
         the attributes, the name is `__name__`.",
    ),
    record("unit", text, true, "Unit as sent (UCUM, such as `ms` or `By`); null when empty."),
    record("description", text, true, "Description as sent; null when empty."),
    record("temporality", text, true, "delta or cumulative; null for gauges and summaries."),
    record("is_monotonic", boolean, true, "Whether a sum only rises; null for other types."),
    record("metadata", text, true, "Metadata of the metric as a JSON object; null when empty."),
    record(
        "bounds",
        float64_list,
        true,
        "Upper bounds of a histogram's buckets or quantiles of a summary; a series whose bounds change has a row for each.",
    ),
    SERVICE_NAME,
    RESOURCE_SCHEMA_URL,
    RESOURCE_DROPPED,
    SCOPE_NAME,
    SCOPE_VERSION,
    SCOPE_SCHEMA_URL,
    SCOPE_DROPPED,
];

const METRIC_SAMPLES: [Column; 22] = [
    record("time", timestamp, false, "Time of the sample; the arrival where the sender gave 0."),
    SERIES_ID,
    record("start_time", timestamp, true, "When accumulation began; null when 0."),
    record("flags", uint32, false, "1: no recorded value (a staleness marker)."),
    record("value", float64, true, "Value of a gauge or sum, in the series' unit; integers as the nearest double."),
    record("value_int", int64, true, "The exact value where it was sent as an integer."),
    record("count", uint64, true, "Number of measurements in a histogram or summary."),
    record("sum", float64, true, "Sum of the measurements in a histogram or summary, in the series' unit."),
    record("min", float64, true, "Smallest measurement in a histogram, in the series' unit."),
    record("max", float64, true, "Largest measurement in a histogram, in the series' unit."),
    record("bucket_counts", uint64_list, true, "Measurements in each bucket of a histogram; one more than the bounds."),
    record(
        "explicit_bounds",
        float64_list,
        true,
        "Upper bounds of the buckets, in the series' unit; the last bucket has none.",
    ),
    record("scale", int32, true, "Scale of an exponential histogram: the base is 2^(2^-scale)."),
    record("zero_count", uint64, true, "Measurements in the zero bucket of an exponential histogram."),
    record("zero_threshold", float64, true, "Half-width of the zero bucket, in the series' unit."),
    record(
        "positive_offset",
        int32,
        true,
        "Index of the first positive bucket; bucket i is above base^i up to base^(i+1), so that Prometheus' index is one higher.",
    ),
    record("positive_bucket_counts", uint64_list, true, "Measurements in each positive bucket, without gaps."),
    record("negative_offset", int32, true, "Index of the first negative bucket, in the same way."),
    record("negative_bucket_counts", uint64_list, true, "Measurements in each negative bucket, without gaps."),
    record("quantiles", quantile_list, true, "Quantiles of a summary."),
    record(
        "reset_hint",
        int32,
        true,
        "Of a histogram that came as Prometheus has it: 0 unknown, 1 reset, 2 no reset, 3 gauge; else null.",
    ),
    record(
        "float_counts",
        float64_list,
        true,
        "Where counts of a histogram are not whole numbers: count, zero count, those of the positive and of the negative \
         buckets (or of the buckets between bounds) exactly; the columns above then hold them rounded.",
    ),
];

/// What a row says of a window, beside the last sample in it.
const OF_WINDOW: [Column; 8] = [
    record(
        "samples",
        uint64,
        true,
        "Values in the window; null where the row is a histogram or summary that was kept.",
    ),
    record("first_time", timestamp, true, "Time of the first value in the window."),
    record("first_start_time", timestamp, true, "When accumulation of the first value began; null where unknown."),
    record("first_value", float64, true, "The first value in the window, in the series' unit."),
    record("value_sum", float64, true, "Sum of the values in the window, in the series' unit."),
    record("value_min", float64, true, "The smallest value in the window, in the series' unit."),
    record("value_max", float64, true, "The largest value in the window, in the series' unit."),
    record(
        "value_lost",
        float64,
        true,
        "What a counter lost at resets in the window: it rose by `value - first_value + value_lost`.",
    ),
];

/// A row is the last sample of its window, and what the samples before it were.
const METRIC_ROLLUPS: [Column; 30] = {
    let mut columns = [METRIC_SAMPLES[0]; 30];
    let mut at = 0;
    while at < columns.len() {
        columns[at] = if at < METRIC_SAMPLES.len() { METRIC_SAMPLES[at] } else { OF_WINDOW[at - METRIC_SAMPLES.len()] };
        at += 1;
    }
    columns
};

const EXEMPLARS: &[Column] = &[
    record("time", timestamp, false, "When it was measured; the sample's time where the sender gave 0."),
    SERIES_ID,
    record("value", float64, true, "The measurement, in the series' unit; integers as the nearest double."),
    record("value_int", int64, true, "The exact value where it was sent as an integer."),
    record("trace_id", trace_id, true, "Trace in which it was measured, 16 bytes; compare with a hex string."),
    record("span_id", span_id, true, "Span in which it was measured, 8 bytes; compare with a hex string."),
];

const CHANGES: &[Column] = &[
    record("time", timestamp, false, "When it happened, as far as was said; else when it was seen."),
    record(
        "kind",
        text,
        false,
        "What kind of thing changed: `version`, `environment`, `flag`, or a word of who told of it, such as `deploy`.",
    ),
    record("entity", text, false, "What changed: the service's name, the flag's key."),
    record("before", text, true, "The value before."),
    record("after", text, true, "The value after."),
    record("actor", text, true, "Who did it; null when unknown."),
    record(
        "source",
        text,
        false,
        "Who says so: `telemetry` for values seen to move, `flags`, `api`, or the teller's own word.",
    ),
];

const METRIC_METADATA: &[Column] = &[
    record("time", timestamp, false, "When it was said first on that day (UTC)."),
    record("name", text, false, "Name of the metric, without the suffixes of a histogram's or summary's series."),
    record(
        "type",
        text,
        false,
        "counter, gauge, histogram, gaugehistogram, summary, info, stateset or unknown, as the sender says.",
    ),
    record("unit", text, true, "Unit as sent; null when empty."),
    record("description", text, true, "Help text as sent; null when empty."),
];

impl Table {
    /// All tables.
    pub const ALL: [Self; 9] = [
        Self::Logs,
        Self::Spans,
        Self::MetricSeries,
        Self::MetricSamples,
        Self::Exemplars,
        Self::Changes,
        Self::MetricMetadata,
        Self::MetricRollups5m,
        Self::MetricRollups1h,
    ];

    /// Those that hold what samples were together, the finest first.
    pub const ROLLUPS: [Self; 2] = [Self::MetricRollups5m, Self::MetricRollups1h];

    /// The name in SQL and in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
            Self::MetricSeries => "metric_series",
            Self::MetricSamples => "metric_samples",
            Self::Exemplars => "exemplars",
            Self::Changes => "changes",
            Self::MetricMetadata => "metric_metadata",
            Self::MetricRollups5m => "metric_rollups_5m",
            Self::MetricRollups1h => "metric_rollups_1h",
        }
    }

    /// The table of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The table with this number (as written in the log of deliveries).
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }

    /// The fixed columns, in the order of SQL. `time` is the first of every table.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::Logs => LOGS,
            Self::Spans => SPANS,
            Self::MetricSeries => METRIC_SERIES,
            Self::MetricSamples => &METRIC_SAMPLES,
            Self::Exemplars => EXEMPLARS,
            Self::Changes => CHANGES,
            Self::MetricMetadata => METRIC_METADATA,
            Self::MetricRollups5m | Self::MetricRollups1h => &METRIC_ROLLUPS,
        }
    }

    /// The schema of the columns of one level, in order; what that side of a [`crate::Batch`] must have.
    pub fn schema(self, level: ColumnLevel) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns().iter().filter(|column| column.level == level).map(Column::field).collect();
        Arc::new(Schema::new(fields))
    }

    /// Rows of a part are sorted by these columns, ascending; it decides compression and what can be skipped.
    pub fn sort_columns(self) -> &'static [&'static str] {
        match self {
            // A service's lines resemble each other, and most questions name one service.
            Self::Logs => &["service_name", "time"],
            // The spans of a trace stand close together in time, so that their trace id compresses.
            Self::Spans | Self::Exemplars | Self::Changes => &["time"],
            Self::MetricSeries => &["name", "series_id"],
            Self::MetricSamples | Self::MetricRollups5m | Self::MetricRollups1h => &["series_id", "time"],
            Self::MetricMetadata => &["name", "time"],
        }
    }

    /// Columns whose words go into the block filters, so that `has_token` can skip blocks.
    pub fn token_columns(self) -> &'static [&'static str] {
        match self {
            Self::Logs => &["body"],
            _ => &[],
        }
    }

    /// Columns whose whole values go into the block filters and the part's filter; string attributes do so too.
    pub fn value_columns(self) -> &'static [&'static str] {
        match self {
            Self::Logs | Self::Spans | Self::Exemplars => &["trace_id"],
            _ => &[],
        }
    }

    /// Whether rows of this table have attributes and a resource of their own.
    pub fn has_attributes(self) -> bool {
        !self.has_chunks() && self != Self::MetricMetadata
    }

    /// Whether rows stand in chunks, many of one series in each (docs/formats/samples.md).
    pub fn has_chunks(self) -> bool {
        self == Self::MetricSamples || self.resolution_ms().is_some()
    }

    /// How long the windows are of which each row tells, in milliseconds; `None` where rows are what was sent.
    pub fn resolution_ms(self) -> Option<i64> {
        match self {
            Self::MetricRollups5m => Some(300_000),
            Self::MetricRollups1h => Some(3_600_000),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_begins_with_time_and_names_are_unique() {
        for table in Table::ALL {
            assert_eq!(table.columns()[0].name, "time");
            let mut names: Vec<_> = table.columns().iter().map(|column| column.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.columns().len());
            for name in table.sort_columns().iter().chain(table.token_columns()).chain(table.value_columns()) {
                assert!(names.contains(name), "{name} of {}", table.name());
            }
            assert_eq!(Table::from_u8(table as u8), Some(table));
            assert_eq!(Table::from_name(table.name()), Some(table));
        }
    }
}
