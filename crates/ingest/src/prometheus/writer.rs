//! How do samples with labels become batches? One builder for remote write and for scrapes.

use causeway_model::{
    AttributeSetsBuilder, Batch, Error, ErrorKind, KeyDictionary, Kind, Labels, METRIC_NAME, Result, Side, Table,
    Value, day_of,
};

use super::labels::{Label, LabelList, NamedSeries};
use super::metadata::MetadataRows;
use super::{Exemplar, IsKnown, Metadata, Sample, SampleValue, metadata_id};
use crate::columns::Id;
use crate::decoded::{Decoded, Tally};
use crate::exemplars::{ExemplarRow, Exemplars};
use crate::samples::{Point, Samples};
use crate::series::{Series, SeriesRow};
use crate::wire::Fault;

/// Buckets of all histograms in one request, counting the gaps: 64 MiB.
const BUCKETS_MAX: usize = 8 << 20;

/// What went into the batches, as the response headers of remote write 2.0 count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Samples that are numbers.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

impl Written {
    /// Counts the rows.
    pub fn of(batches: &[Batch]) -> Self {
        let of = |table: Table| batches.iter().filter(move |batch| batch.table() == table);
        let rows = |table: Table| of(table).map(Batch::rows).sum::<usize>() as u64;
        let numbers =
            |batch: &Batch| batch.records().column_by_name("value").map_or(0, |it| it.len() - it.null_count());
        let samples = of(Table::MetricSamples).map(numbers).sum::<usize>() as u64;
        Self { samples, histograms: rows(Table::MetricSamples) - samples, exemplars: rows(Table::Exemplars) }
    }
}

/// Gathers samples of series that are named by labels.
pub struct SeriesWriter<'k> {
    is_known: IsKnown<'k>,
    pub(super) tally: Tally,
    keys: KeyDictionary,
    scratch: Vec<u8>,
    /// The numbers of the label names of the series that was added last, slot by slot.
    key_numbers: Vec<u32>,
    buckets: usize,
    point: Point,
    series: Series,
    samples: Samples,
    exemplars: Exemplars,
    metadata: MetadataRows,
}

fn nanos(milliseconds: i64) -> Result<i64, Fault> {
    milliseconds.checked_mul(1_000_000).ok_or(Fault::Record("time_out_of_range"))
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Record("invalid_utf8"))
}

/// Bytes of an id that is written as Prometheus' clients do, so that it reads the same when it is written back.
fn hex_id<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    let mut id = [0; N];
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in id.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    (id != [0; N]).then_some(id)
}

impl<'k> SeriesWriter<'k> {
    /// An empty one. Rows of series and metadata are left out where `is_known` says so.
    pub fn new(is_known: IsKnown<'k>) -> Self {
        Self {
            is_known,
            tally: Tally::default(),
            keys: KeyDictionary::new(),
            scratch: Vec::new(),
            key_numbers: Vec::new(),
            buckets: 0,
            point: Point::default(),
            series: Series::new(),
            samples: Samples::new(),
            exemplars: Exemplars::new(),
            metadata: MetadataRows::default(),
        }
    }

    /// Adds a sample and its exemplars. One that can't be kept is counted as dropped, with the reason.
    ///
    /// # Errors
    /// `TooLarge` where all together go beyond a limit; the writer is then of no more use.
    pub fn push(&mut self, labels: &Labels, sample: &Sample<'_>, exemplars: &[Exemplar<'_>]) -> Result<()> {
        let pairs: Vec<Label<'_>> = labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let added = match NamedSeries::new(&pairs, None, &mut self.scratch) {
            Ok(series) => self.add_all(&series, sample, exemplars),
            Err(fault) => self.tally.count(Err(fault)),
        };
        added.map_err(too_large)
    }

    fn add_all(
        &mut self,
        series: &NamedSeries<'_>,
        sample: &Sample<'_>,
        exemplars: &[Exemplar<'_>],
    ) -> Result<(), Fault> {
        let added = self.add(series, sample);
        self.tally.count(added)?;
        if added.is_ok() {
            exemplars.iter().try_for_each(|exemplar| self.add_exemplar(series, exemplar, sample.time_ms))?;
        }
        Ok(())
    }

    /// Adds what is said about a metric at a time in nanoseconds since 1970.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn describe(&mut self, metadata: &Metadata<'_>, unix_nano: i64) -> Result<()> {
        self.add_metadata(metadata, unix_nano).map_err(too_large)
    }

    pub(super) fn add_metadata(&mut self, metadata: &Metadata<'_>, unix_nano: i64) -> Result<(), Fault> {
        let id = metadata_id(metadata);
        if metadata.name.is_empty() || !self.metadata.is_new(id) {
            return Ok(());
        }
        self.tally.row()?;
        if (self.is_known)(id, day_of(unix_nano)) { Ok(()) } else { self.metadata.push(metadata, unix_nano) }
    }

    /// The series that these labels name.
    #[inline]
    pub(super) fn named<'l>(&mut self, labels: &'l mut LabelList<'_>) -> Result<NamedSeries<'l>, Fault> {
        labels.named(&mut self.scratch)
    }

    /// Makes sure that a series has its row on the day of a sample.
    #[inline]
    fn note(&mut self, series: &NamedSeries<'_>, time: i64) -> Result<(), Fault> {
        let seen = (series.id, day_of(time));
        if (self.is_known)(seen.0, seen.1) { Ok(()) } else { self.add_series(series, time) }
    }

    /// Only here are the labels asked whether they are text: a series that is known was asked before.
    fn add_series(&mut self, series: &NamedSeries<'_>, time: i64) -> Result<(), Fault> {
        let row = SeriesRow {
            name: text(series.name)?,
            metric_type: "prometheus",
            unit: "",
            description: "",
            temporality: None,
            is_monotonic: None,
            metadata: "",
            bounds: None,
        };
        for (slot, (name, value)) in series.labels.iter().enumerate() {
            self.number_key(slot, name)?;
            text(value)?;
        }
        if let Some(sets) = self.series.note(series.id, time, &row)? {
            for ((name, value), number) in series.labels.iter().zip(&self.key_numbers) {
                if *name != METRIC_NAME.as_bytes() {
                    sets.push_flat(*number, Kind::String, value);
                }
            }
            sets.finish_set();
        }
        Ok(())
    }

    /// Numbers the name of a label, by guessing that it is that of the series before.
    fn number_key(&mut self, slot: usize, name: &[u8]) -> Result<(), Fault> {
        match self.key_numbers.get_mut(slot) {
            Some(number) if self.keys.key(*number).is_some_and(|known| known.as_bytes() == name) => (),
            Some(number) => *number = self.keys.number(text(name)?),
            None => self.key_numbers.push(self.keys.number(text(name)?)),
        }
        Ok(())
    }

    /// Adds a sample; the caller counts how it went.
    #[inline]
    pub(super) fn add(&mut self, series: &NamedSeries<'_>, sample: &Sample<'_>) -> Result<(), Fault> {
        let time = nanos(sample.time_ms)?;
        let start_time = nanos(sample.start_ms.unwrap_or(0))?;
        let value = match sample.value {
            SampleValue::Float(value) => value,
            SampleValue::Histogram(histogram) => {
                self.point.clear();
                (self.point.time, self.point.start_time) = (time, start_time);
                self.point.flags = u32::from(histogram.is_stale());
                let written = histogram.to_sample(&mut self.point.histogram);
                written.map_err(|_| Fault::Record("histogram_too_wide"))?;
                self.note(series, time)?;
                self.add_histogram(series.id)?;
                return Ok(());
            }
        };
        self.note(series, time)?;
        let flags = u32::from(value.to_bits() == causeway_model::Histogram::STALE);
        self.samples.push_number(series.id, time, start_time, flags, Some(value));
        Ok(())
    }

    fn add_histogram(&mut self, series_id: u128) -> Result<(), Fault> {
        let sample = &self.point.histogram;
        let lists = [&sample.bucket_counts, &sample.positive_bucket_counts, &sample.negative_bucket_counts];
        self.buckets += lists.iter().map(|list| list.len()).sum::<usize>();
        self.buckets += sample.explicit_bounds.len() + sample.float_counts.len();
        if self.buckets > BUCKETS_MAX {
            return Err(Fault::Limit("the histograms reach over too many buckets"));
        }
        self.samples.push(series_id, &self.point);
        Ok(())
    }

    /// Adds an exemplar. One that can't be kept is left out and the sender told.
    pub(super) fn add_exemplar(
        &mut self,
        series: &NamedSeries<'_>,
        exemplar: &Exemplar<'_>,
        sample_ms: i64,
    ) -> Result<(), Fault> {
        self.tally.row()?;
        match self.try_exemplar(series, exemplar, sample_ms) {
            Err(Fault::Record(_)) => {
                self.tally.warn("exemplars left out as unreadable");
                Ok(())
            }
            result => result,
        }
    }

    fn try_exemplar(&mut self, series: &NamedSeries<'_>, exemplar: &Exemplar<'_>, sample_ms: i64) -> Result<(), Fault> {
        let mut labels = LabelList::default();
        labels.clear();
        for (name, value) in &exemplar.labels {
            labels.push(name.as_bytes(), value.as_bytes())?;
        }
        let labels = labels.settle()?;
        let find = |wanted: &[u8]| labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let trace_id = find(b"trace_id").and_then(hex_id::<16>);
        let span_id = find(b"span_id").and_then(hex_id::<8>);
        let time = nanos(exemplar.time_ms.unwrap_or(sample_ms))?;
        self.note(series, time)?;
        let sets: &mut AttributeSetsBuilder = self.exemplars.push(&ExemplarRow {
            time,
            series_id: series.id,
            value: Some(exemplar.value),
            value_int: None,
            trace_id: trace_id.as_ref().map_or(Id::Absent, Id::Present),
            span_id: span_id.as_ref().map_or(Id::Absent, Id::Present),
        });
        let is_column =
            |name: &[u8]| (name == b"trace_id" && trace_id.is_some()) || (name == b"span_id" && span_id.is_some());
        for (name, value) in labels.iter().filter(|(name, _)| !is_column(name)) {
            sets.push(self.keys.number(text(name)?), Value::String(text(value)?));
        }
        sets.finish_set();
        Ok(())
    }

    /// What was gathered.
    ///
    /// # Errors
    /// `Internal` where Arrow refuses.
    pub fn finish(self) -> Result<Decoded> {
        let mut batches = Vec::new();
        let (series, exemplars) = (self.series.finish()?, self.exemplars.finish());
        let mut add =
            |table: Table, (columns, sets): (Vec<arrow::array::ArrayRef>, AttributeSetsBuilder)| -> Result<()> {
                let attributes = sets.finish();
                if !attributes.is_empty() {
                    batches.push(Batch::of_records(table, Side { columns, attributes }, self.keys.clone())?);
                }
                Ok(())
            };
        add(Table::MetricSeries, series)?;
        add(Table::Exemplars, exemplars)?;
        self.samples.finish(&mut batches)?;
        self.metadata.finish(&mut batches)?;
        Ok(self.tally.decoded(batches))
    }
}

/// What remains when every record that can't be kept was counted: the whole is too large.
fn too_large(fault: Fault) -> Error {
    let (Fault::Limit(what) | Fault::Framing(what) | Fault::Record(what)) = fault;
    Error::new(ErrorKind::TooLarge, what)
}
