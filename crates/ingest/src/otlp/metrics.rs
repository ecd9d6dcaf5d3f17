//! What does a metric become? Its series once, its points as samples, and their exemplars (opentelemetry-proto, metrics.proto).

use causeway_model::{KeyDictionary, NO_RECORDED_VALUE, Result, Table};
use xxhash_rust::xxh3::xxh3_128;

use super::Sink;
use super::attributes::{Attributes, prefixed_into};
use super::sources::{Pointers, Sources};
use super::value::JsonText;
use crate::columns::{Id, known, nanos};
use crate::decoded::{Decoded, Tally};
use crate::exemplars::{ExemplarRow, Exemplars};
use crate::samples::{Point, Samples};
use crate::series::{Series, SeriesRow, series_id};
use crate::wire::{Data, Fault, Fields};

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
    series_pointers: Pointers,
    /// Room for the quantiles of a point.
    bounds: Vec<f64>,
    samples: Samples,
    exemplars: Exemplars,
    exemplar_pointers: Pointers,
    exemplar_attributes: Attributes<'a>,
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
            series_pointers: Pointers::default(),
            bounds: Vec::new(),
            samples: Samples::new(),
            exemplars: Exemplars::new(),
            exemplar_pointers: Pointers::default(),
            exemplar_attributes: Attributes::default(),
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
        let id = series_id(metric.name.as_bytes(), xxh3_128(&self.identity));
        let metadata = if self.metadata.text() == "{}" { "" } else { self.metadata.text() };
        self.bounds.clear();
        self.bounds.extend(self.point.quantiles.iter().map(|(quantile, _)| *quantile));
        let bounds = match metric.metric_type {
            MetricType::Histogram => Some(self.point.histogram.explicit_bounds.as_slice()),
            MetricType::Summary => Some(self.bounds.as_slice()),
            _ => None,
        };
        // A point without a value need not say its buckets.
        let bounds = bounds.filter(|bounds| !bounds.is_empty() || self.point.flags & NO_RECORDED_VALUE == 0);
        if let Some(sets) = self.series.note(id, self.point.time, &metric.row(metadata, bounds))? {
            self.attributes.append_to(sets);
            self.series_pointers.push(&self.sources);
        }
        self.samples.push(id, &self.point);
        for at in 0..self.point_exemplars.len() {
            self.tally.row()?;
            match self.append_exemplar(at, id) {
                Err(Fault::Record(_)) => self.tally.warn("exemplars left out as unreadable"),
                appended => appended?,
            }
        }
        Ok(())
    }

    fn append_exemplar(&mut self, at: usize, series_id: u128) -> Result<(), Fault> {
        let Some(message) = self.point_exemplars.get(at) else { return Ok(()) };
        let exemplar = Exemplar::read(message, &mut self.exemplar_attributes, &mut self.sources.keys)?;
        let (trace_id, span_id) = (Id::<16>::new(exemplar.trace_id), Id::<8>::new(exemplar.span_id));
        if trace_id == Id::Malformed || span_id == Id::Malformed {
            self.tally.warn("exemplars kept without their malformed trace_id or span_id");
        }
        let sets = self.exemplars.push(&ExemplarRow {
            time: known(exemplar.time).unwrap_or(self.point.time),
            series_id,
            value: exemplar.value,
            value_int: exemplar.value_int,
            trace_id,
            span_id,
        });
        self.exemplar_attributes.append_to(sets);
        self.exemplar_pointers.push(&self.sources);
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
        let histogram = &mut self.point.histogram;
        match metric_type {
            MetricType::Gauge | MetricType::Sum => (),
            MetricType::Histogram => (histogram.has_bounds, histogram.count) = (true, Some(0)),
            MetricType::ExponentialHistogram => {
                (histogram.count, histogram.scale, histogram.zero_count) = (Some(0), Some(0), Some(0));
                histogram.zero_threshold = Some(0.0);
            }
            MetricType::Summary => {
                (histogram.count, histogram.sum) = (Some(0), Some(0.0));
                self.point.has_quantiles = true;
            }
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
        if is_number && point.value.is_none() && point.flags & NO_RECORDED_VALUE == 0 {
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
            4 => point.histogram.count = Some(data.fixed64()?),
            5 => point.histogram.sum = Some(data.double()?),
            6 => data.each_fixed64(|count| point.histogram.bucket_counts.push(count))?,
            7 => data.each_fixed64(|bound| point.histogram.explicit_bounds.push(f64::from_bits(bound)))?,
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
        let histogram = &mut point.histogram;
        match number {
            1 => self.attributes.push(data.bytes()?, &mut self.sources.keys)?,
            4 => histogram.count = Some(data.fixed64()?),
            5 => histogram.sum = Some(data.double()?),
            6 => histogram.scale = Some(data.sint32()?),
            7 => histogram.zero_count = Some(data.fixed64()?),
            8 => read_buckets(data.bytes()?, &mut histogram.positive_offset, &mut histogram.positive_bucket_counts)?,
            9 => read_buckets(data.bytes()?, &mut histogram.negative_offset, &mut histogram.negative_bucket_counts)?,
            10 => point.flags = data.uint32()?,
            11 => self.point_exemplars.push(data.bytes()?),
            12 => point.min = Some(data.double()?),
            13 => point.max = Some(data.double()?),
            14 => histogram.zero_threshold = Some(data.double()?),
            _ => (),
        }
        Ok(())
    }

    fn summary_field(&mut self, number: u32, data: Data<'a>) -> Result<(), Fault> {
        let point = &mut self.point;
        match number {
            4 => point.histogram.count = Some(data.fixed64()?),
            5 => point.histogram.sum = Some(data.double()?),
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

impl<'a> Metric<'a> {
    fn row<'b>(&self, metadata: &'b str, bounds: Option<&'b [f64]>) -> SeriesRow<'b>
    where
        'a: 'b,
    {
        SeriesRow {
            name: self.name,
            metric_type: self.metric_type.name(),
            unit: self.unit,
            description: self.description,
            temporality: self.temporality,
            is_monotonic: self.is_monotonic,
            metadata,
            bounds,
        }
    }

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

impl<'a> Exemplar<'a> {
    fn read(message: &'a [u8], attributes: &mut Attributes<'a>, keys: &mut KeyDictionary) -> Result<Self, Fault> {
        let mut exemplar = Self::default();
        attributes.clear();
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
                7 => attributes.push(data.bytes()?, keys)?,
                _ => (),
            }
        }
        attributes.settle();
        Ok(exemplar)
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
        let (columns, sets) = self.series.finish()?;
        sources.add_batch(Table::MetricSeries, columns, sets, self.series_pointers, &mut batches)?;
        self.samples.finish(&mut batches)?;
        let (columns, sets) = self.exemplars.finish();
        sources.add_batch(Table::Exemplars, columns, sets, self.exemplar_pointers, &mut batches)?;
        Ok(self.tally.decoded(batches))
    }
}
