//! What does a metric become? Its series once, its points as samples, and their exemplars (opentelemetry-proto, metrics.proto).

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder, StringBuilder};
use causeway_model::{AttributeSetsBuilder, Batch, KeyDictionary, Result, Table};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use xxhash_rust::xxh3::xxh3_128;

use super::attributes::{Attributes, prefixed_into};
use super::columns::{Id, append_text, known, nanos, times};
use super::samples::{Point, Samples};
use super::sources::{FinishedSources, Pointers, Sources};
use super::value::JsonText;
use super::wire::{Data, Fault, Fields};
use super::{Decoded, Sink, Tally};

/// Names, units, descriptions and metadata of all new series in one request. They stand once in a metric but once per series in the
/// table, so that without a limit few bytes could become many.
const SERIES_TEXT_BYTES_MAX: usize = 256 << 20;

/// The type of a metric, numbered as the fields of `Metric`'s choice are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MetricType {
    Gauge = 5,
    Sum = 7,
    Histogram = 9,
    ExponentialHistogram = 10,
    Summary = 11,
}

impl MetricType {
    fn of_field(number: u32) -> Option<Self> {
        Some(match number {
            5 => Self::Gauge,
            7 => Self::Sum,
            9 => Self::Histogram,
            10 => Self::ExponentialHistogram,
            11 => Self::Summary,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "sum",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Summary => "summary",
        }
    }
}

/// What a metric says about all its series.
#[derive(Debug, Clone, Copy)]
struct Metric<'a> {
    name: &'a str,
    description: &'a str,
    unit: &'a str,
    metric_type: MetricType,
    temporality: Option<&'static str>,
    is_monotonic: Option<bool>,
    /// XXH3 of everything in a series' identity but the attributes of its points.
    identity: u128,
}

/// The rows of `metric_series`, `metric_samples` and `exemplars` in one request.
pub(super) struct Metrics<'a> {
    received_unix_nano: i64,
    tally: Tally,
    sources: Sources<'a>,
    metadata: JsonText<'a>,
    attributes: Attributes<'a>,
    point: Point,
    point_exemplars: Vec<&'a [u8]>,
    identity: Vec<u8>,
    order: Vec<usize>,
    series: Series,
    samples: Samples,
    exemplars: Exemplars<'a>,
}

struct Series {
    row_of: HashMap<u128, usize>,
    text_bytes: usize,
    pointers: Pointers,
    time: Vec<i64>,
    series_id: FixedSizeBinaryBuilder,
    name: StringBuilder,
    metric_type: StringBuilder,
    unit: StringBuilder,
    description: StringBuilder,
    temporality: StringBuilder,
    is_monotonic: BooleanBuilder,
    metadata: StringBuilder,
    sets: AttributeSetsBuilder,
}

/// An exemplar as sent.
#[derive(Default)]
struct Exemplar<'a> {
    time: i64,
    value: Option<f64>,
    value_int: Option<i64>,
    trace_id: &'a [u8],
    span_id: &'a [u8],
}

struct Exemplars<'a> {
    attributes: Attributes<'a>,
    pointers: Pointers,
    time: Vec<i64>,
    series_id: FixedSizeBinaryBuilder,
    value: Float64Builder,
    value_int: Int64Builder,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    sets: AttributeSetsBuilder,
}

impl<'a> Metrics<'a> {
    pub(super) fn new(received_unix_nano: i64) -> Self {
        Self {
            received_unix_nano,
            tally: Tally::default(),
            sources: Sources::default(),
            metadata: JsonText::default(),
            attributes: Attributes::default(),
            point: Point::default(),
            point_exemplars: Vec::new(),
            identity: Vec::new(),
            order: Vec::new(),
            series: Series::new(),
            samples: Samples::new(),
            exemplars: Exemplars::new(),
        }
    }

    /// Reads all of a metric but its points.
    fn read(&mut self, message: &'a [u8], metric_type: MetricType) -> Result<Metric<'a>, Fault> {
        let mut metric = Metric {
            name: "",
            description: "",
            unit: "",
            metric_type,
            temporality: None,
            is_monotonic: (metric_type == MetricType::Sum).then_some(false),
            identity: 0,
        };
        self.metadata.clear();
        let metadata = self.metadata.begin_object();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => metric.name = data.text()?,
                2 => metric.description = data.text()?,
                3 => metric.unit = data.text()?,
                12 => self.metadata.push_member(data.bytes()?)?,
                number if number == metric_type as u32 => metric.read_aggregation(data.bytes()?)?,
                _ => (),
            }
        }
        self.metadata.finish_object(metadata)?;
        metric.identity = self.metric_identity(&metric);
        Ok(metric)
    }

    /// Everything in a series' identity but the attributes of its points, hashed once for all of them.
    fn metric_identity(&mut self, metric: &Metric<'_>) -> u128 {
        let bytes = &mut self.identity;
        bytes.clear();
        for text in [metric.name, metric.metric_type.name(), metric.unit, metric.temporality.unwrap_or_default()] {
            prefixed_into(text.as_bytes(), bytes);
        }
        bytes.push(metric.is_monotonic.map_or(2, u8::from));
        prefixed_into(&self.sources.resource_identity, bytes);
        prefixed_into(&self.sources.scope_identity, bytes);
        xxh3_128(bytes)
    }

    fn append(&mut self, metric: &Metric<'a>, message: &'a [u8]) -> Result<(), Fault> {
        self.read_point(metric.metric_type, message)?;
        self.attributes.settle();
        if self.point.time == 0 {
            self.point.time = self.received_unix_nano;
        }
        self.identity.clear();
        self.identity.extend_from_slice(&metric.identity.to_be_bytes());
        self.attributes.canonical_into(&self.sources.keys, &mut self.order, &mut self.identity);
        let id = xxh3_128(&self.identity);
        self.series.push(id, metric, self.point.time, &self.metadata, &self.attributes, &self.sources)?;
        self.samples.push(id.to_be_bytes(), &self.point);
        for exemplar in &self.point_exemplars {
            self.tally.row()?;
            let pushed = self.exemplars.push(exemplar, id, self.point.time, &mut self.sources, &mut self.tally);
            if let Err(Fault::Record(_)) = pushed {
                self.tally.warn("exemplars left out as unreadable");
            } else {
                pushed?;
            }
        }
        Ok(())
    }

    fn read_point(&mut self, metric_type: MetricType, message: &'a [u8]) -> Result<(), Fault> {
        self.attributes.clear();
        self.point.clear();
        self.point_exemplars.clear();
        let read = match metric_type {
            MetricType::Gauge | MetricType::Sum => Self::number_field,
            MetricType::Histogram => Self::histogram_field,
            MetricType::ExponentialHistogram => Self::exponential_histogram_field,
            MetricType::Summary => Self::summary_field,
        };
        let point = &mut self.point;
        match metric_type {
            MetricType::Gauge | MetricType::Sum => (),
            MetricType::Histogram => (point.has_buckets, point.count) = (true, Some(0)),
            MetricType::ExponentialHistogram => {
                (point.count, point.scale, point.zero_count) = (Some(0), Some(0), Some(0));
                point.zero_threshold = Some(0.0);
            }
            MetricType::Summary => (point.has_quantiles, point.count, point.sum) = (true, Some(0), Some(0.0)),
        }
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                2 => self.point.start_time = nanos(data.fixed64()?)?,
                3 => self.point.time = nanos(data.fixed64()?)?,
                _ => read(self, number, data)?,
            }
        }
        let point = &self.point;
        let is_number = matches!(metric_type, MetricType::Gauge | MetricType::Sum);
        if is_number && point.value.is_none() && point.flags & 1 == 0 {
            return Err(Fault::Record("no_value"));
        }
        Ok(())
    }

    fn number_field(&mut self, number: u32, data: Data<'a>) -> Result<(), Fault> {
        let point = &mut self.point;
        match number {
            4 => (point.value, point.value_int) = (Some(data.double()?), None),
            5 => self.point_exemplars.push(data.bytes()?),
            6 => {
                let value = data.fixed64()? as i64;
                (point.value, point.value_int) = (Some(value as f64), Some(value));
            }
            7 => self.attributes.push(data.bytes()?, &mut self.sources.keys)?,
            8 => point.flags = data.uint32()?,
            _ => (),
        }
        Ok(())
    }

    fn histogram_field(&mut self, number: u32, data: Data<'a>) -> Result<(), Fault> {
        let point = &mut self.point;
        match number {
            4 => point.count = Some(data.fixed64()?),
            5 => point.sum = Some(data.double()?),
            6 => data.each_fixed64(|count| point.bucket_counts.push(count))?,
            7 => data.each_fixed64(|bound| point.explicit_bounds.push(f64::from_bits(bound)))?,
            8 => self.point_exemplars.push(data.bytes()?),
            9 => self.attributes.push(data.bytes()?, &mut self.sources.keys)?,
            10 => point.flags = data.uint32()?,
            11 => point.min = Some(data.double()?),
            12 => point.max = Some(data.double()?),
            _ => (),
        }
        Ok(())
    }

    fn exponential_histogram_field(&mut self, number: u32, data: Data<'a>) -> Result<(), Fault> {
        let point = &mut self.point;
        match number {
            1 => self.attributes.push(data.bytes()?, &mut self.sources.keys)?,
            4 => point.count = Some(data.fixed64()?),
            5 => point.sum = Some(data.double()?),
            6 => point.scale = Some(data.sint32()?),
            7 => point.zero_count = Some(data.fixed64()?),
            8 => read_buckets(data.bytes()?, &mut point.positive_offset, &mut point.positive_counts)?,
            9 => read_buckets(data.bytes()?, &mut point.negative_offset, &mut point.negative_counts)?,
            10 => point.flags = data.uint32()?,
            11 => self.point_exemplars.push(data.bytes()?),
            12 => point.min = Some(data.double()?),
            13 => point.max = Some(data.double()?),
            14 => point.zero_threshold = Some(data.double()?),
            _ => (),
        }
        Ok(())
    }

    fn summary_field(&mut self, number: u32, data: Data<'a>) -> Result<(), Fault> {
        let point = &mut self.point;
        match number {
            4 => point.count = Some(data.fixed64()?),
            5 => point.sum = Some(data.double()?),
            6 => {
                let (mut quantile, mut value) = (0.0, 0.0);
                let mut fields = Fields::new(data.bytes()?);
                while let Some((number, data)) = fields.next()? {
                    match number {
                        1 => quantile = data.double()?,
                        2 => value = data.double()?,
                        _ => (),
                    }
                }
                point.quantiles.push((quantile, value));
            }
            7 => self.attributes.push(data.bytes()?, &mut self.sources.keys)?,
            8 => point.flags = data.uint32()?,
            _ => (),
        }
        Ok(())
    }

    fn points(
        &mut self,
        message: &'a [u8],
        metric_type: MetricType,
        metric: Result<Metric<'a>, &'static str>,
    ) -> Result<(), Fault> {
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            if number != metric_type as u32 {
                continue;
            }
            let mut points = Fields::new(data.bytes()?);
            while let Some((number, data)) = points.next()? {
                if number == 1 {
                    let point = data.bytes()?;
                    let result = match &metric {
                        Ok(metric) => self.append(metric, point),
                        Err(reason) => Err(Fault::Record(reason)),
                    };
                    self.tally.count(result)?;
                }
            }
        }
        Ok(())
    }
}

/// The `Buckets` of one side of an exponential histogram.
fn read_buckets(message: &[u8], offset: &mut Option<i32>, counts: &mut Vec<u64>) -> Result<(), Fault> {
    offset.get_or_insert(0);
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => *offset = Some(data.sint32()?),
            2 => data.each_varint(|count| counts.push(count))?,
            _ => (),
        }
    }
    Ok(())
}

impl Metric<'_> {
    fn read_aggregation(&mut self, message: &[u8]) -> Result<(), Fault> {
        let mut fields = Fields::new(message);
        let has_temporality = !matches!(self.metric_type, MetricType::Gauge | MetricType::Summary);
        while let Some((number, data)) = fields.next()? {
            match number {
                2 if has_temporality => {
                    self.temporality = match data.int32()? {
                        1 => Some("delta"),
                        2 => Some("cumulative"),
                        _ => None,
                    }
                }
                3 if self.metric_type == MetricType::Sum => self.is_monotonic = Some(data.varint()? != 0),
                _ => (),
            }
        }
        Ok(())
    }
}

impl Series {
    fn new() -> Self {
        Self {
            row_of: HashMap::new(),
            text_bytes: 0,
            pointers: Pointers::default(),
            time: Vec::new(),
            series_id: FixedSizeBinaryBuilder::new(16),
            name: StringBuilder::new(),
            metric_type: StringBuilder::new(),
            unit: StringBuilder::new(),
            description: StringBuilder::new(),
            temporality: StringBuilder::new(),
            is_monotonic: BooleanBuilder::new(),
            metadata: StringBuilder::new(),
            sets: AttributeSetsBuilder::new(),
        }
    }

    /// Adds the series at its first sample, and keeps the smallest time of all.
    fn push(
        &mut self,
        id: u128,
        metric: &Metric<'_>,
        time: i64,
        metadata: &JsonText<'_>,
        attributes: &Attributes<'_>,
        sources: &Sources<'_>,
    ) -> Result<(), Fault> {
        match self.row_of.entry(id) {
            Entry::Occupied(row) => {
                if let Some(first) = self.time.get_mut(*row.get()) {
                    *first = time.min(*first);
                }
                return Ok(());
            }
            Entry::Vacant(row) => row.insert(self.time.len()),
        };
        let metadata = if metadata.text() == "{}" { "" } else { metadata.text() };
        self.text_bytes += metric.name.len() + metric.unit.len() + metric.description.len() + metadata.len();
        if self.text_bytes > SERIES_TEXT_BYTES_MAX {
            return Err(Fault::Limit("the metrics' names and descriptions are too long for so many series"));
        }
        self.time.push(time);
        // The builder refuses only another length than its own.
        let _ = self.series_id.append_value(id.to_be_bytes());
        self.name.append_value(metric.name);
        self.metric_type.append_value(metric.metric_type.name());
        append_text(&mut self.unit, metric.unit);
        append_text(&mut self.description, metric.description);
        self.temporality.append_option(metric.temporality);
        self.is_monotonic.append_option(metric.is_monotonic);
        append_text(&mut self.metadata, metadata);
        attributes.append_to(&mut self.sets);
        self.pointers.push(sources);
        Ok(())
    }

    fn finish(mut self, sources: &FinishedSources, batches: &mut Vec<Batch>) -> Result<()> {
        let columns: Vec<ArrayRef> = vec![
            times(self.time),
            Arc::new(self.series_id.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.metric_type.finish()),
            Arc::new(self.unit.finish()),
            Arc::new(self.description.finish()),
            Arc::new(self.temporality.finish()),
            Arc::new(self.is_monotonic.finish()),
            Arc::new(self.metadata.finish()),
        ];
        sources.add_batch(Table::MetricSeries, columns, self.sets, self.pointers, batches)
    }
}

impl<'a> Exemplars<'a> {
    fn new() -> Self {
        Self {
            attributes: Attributes::default(),
            pointers: Pointers::default(),
            time: Vec::new(),
            series_id: FixedSizeBinaryBuilder::new(16),
            value: Float64Builder::new(),
            value_int: Int64Builder::new(),
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            sets: AttributeSetsBuilder::new(),
        }
    }

    fn push(
        &mut self,
        message: &'a [u8],
        series_id: u128,
        sample_time: i64,
        sources: &mut Sources<'a>,
        tally: &mut Tally,
    ) -> Result<(), Fault> {
        let exemplar = self.read(message, &mut sources.keys)?;
        let (trace_id, span_id) = (Id::<16>::new(exemplar.trace_id), Id::<8>::new(exemplar.span_id));
        if trace_id == Id::Malformed || span_id == Id::Malformed {
            tally.warn("exemplars kept without their malformed trace_id or span_id");
        }
        self.time.push(known(exemplar.time).unwrap_or(sample_time));
        // The builder refuses only another length than its own.
        let _ = self.series_id.append_value(series_id.to_be_bytes());
        self.value.append_option(exemplar.value);
        self.value_int.append_option(exemplar.value_int);
        trace_id.append_to(&mut self.trace_id);
        span_id.append_to(&mut self.span_id);
        self.attributes.append_to(&mut self.sets);
        self.pointers.push(sources);
        Ok(())
    }

    fn read(&mut self, message: &'a [u8], keys: &mut KeyDictionary) -> Result<Exemplar<'a>, Fault> {
        let mut exemplar = Exemplar::default();
        self.attributes.clear();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                2 => exemplar.time = nanos(data.fixed64()?)?,
                3 => (exemplar.value, exemplar.value_int) = (Some(data.double()?), None),
                4 => exemplar.span_id = data.bytes()?,
                5 => exemplar.trace_id = data.bytes()?,
                6 => {
                    let exact = data.fixed64()? as i64;
                    (exemplar.value, exemplar.value_int) = (Some(exact as f64), Some(exact));
                }
                7 => self.attributes.push(data.bytes()?, keys)?,
                _ => (),
            }
        }
        self.attributes.settle();
        Ok(exemplar)
    }

    fn finish(mut self, sources: &FinishedSources, batches: &mut Vec<Batch>) -> Result<()> {
        let columns: Vec<ArrayRef> = vec![
            times(self.time),
            Arc::new(self.series_id.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
        ];
        sources.add_batch(Table::Exemplars, columns, self.sets, self.pointers, batches)
    }
}

impl<'a> Sink<'a> for Metrics<'a> {
    fn sources(&mut self) -> &mut Sources<'a> {
        &mut self.sources
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn record(&mut self, message: &'a [u8], refused: Option<&'static str>) -> Result<(), Fault> {
        let mut metric_type = None;
        let mut fields = Fields::new(message);
        while let Some((number, _)) = fields.next()? {
            metric_type = MetricType::of_field(number).or(metric_type);
        }
        let Some(metric_type) = metric_type else {
            // Its points, if it has any, are of a type that we don't know: it counts as one.
            return self.tally.count(Err(Fault::Record(refused.unwrap_or("no_data"))));
        };
        let metric = match refused.map_or_else(|| self.read(message, metric_type), |reason| Err(Fault::Record(reason)))
        {
            Ok(metric) => Ok(metric),
            Err(Fault::Record(reason)) => Err(reason),
            Err(fault) => return Err(fault),
        };
        self.points(message, metric_type, metric)
    }

    fn finish(self) -> Result<Decoded> {
        let sources = self.sources.finish();
        let mut batches = Vec::new();
        self.series.finish(&sources, &mut batches)?;
        self.samples.finish(&mut batches)?;
        self.exemplars.finish(&sources, &mut batches)?;
        Ok(self.tally.decoded(batches))
    }
}
