//! Which series does a request speak of? Each stands once a day, with its first sample; its id follows from what names it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, StringBuilder, new_null_array};
use arrow::datatypes::{DataType, Field};
use causeway_model::{AttributeSetsBuilder, day_of, series_row_identity};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use xxhash_rust::xxh3::xxh3_64;

use crate::columns::{append_text, times};
use crate::samples::{Lists, float64_items};
use crate::wire::Fault;

/// Names, units, descriptions and metadata of all new series in one request. They stand once in a metric but once per series in the
/// table, so that without a limit few bytes could become many.
pub(crate) const SERIES_TEXT_BYTES_MAX: usize = 256 << 20;

/// The id of a series: 4 bytes of its name's hash, so that the series of one metric stand together wherever rows are sorted by it, and
/// 12 of the hash of all that names it.
#[inline]
pub(crate) fn series_id(name: &[u8], identity: u128) -> u128 {
    let name = u128::from(xxh3_64(name) as u32);
    name << 96 | identity & (u128::MAX >> 32)
}

/// What a metric says about all its series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesRow<'a> {
    pub(crate) name: &'a str,
    pub(crate) metric_type: &'static str,
    pub(crate) unit: &'a str,
    pub(crate) description: &'a str,
    pub(crate) temporality: Option<&'static str>,
    pub(crate) is_monotonic: Option<bool>,
    /// A JSON object, or nothing.
    pub(crate) metadata: &'a str,
    /// Bounds of a histogram's buckets, or a summary's quantiles. A series whose bounds change has a row for each.
    pub(crate) bounds: Option<&'a [f64]>,
}

/// The rows of `metric_series` in one request.
pub(crate) struct Series {
    row_of: HashMap<(u128, i64), usize>,
    text_bytes: usize,
    time: Vec<i64>,
    series_id: FixedSizeBinaryBuilder,
    name: StringBuilder,
    metric_type: StringBuilder,
    unit: StringBuilder,
    description: StringBuilder,
    temporality: StringBuilder,
    is_monotonic: BooleanBuilder,
    metadata: StringBuilder,
    bounds: Lists<f64>,
    sets: AttributeSetsBuilder,
}

impl Series {
    pub(crate) fn new() -> Self {
        Self {
            row_of: HashMap::new(),
            text_bytes: 0,
            time: Vec::new(),
            series_id: FixedSizeBinaryBuilder::new(16),
            name: StringBuilder::new(),
            metric_type: StringBuilder::new(),
            unit: StringBuilder::new(),
            description: StringBuilder::new(),
            temporality: StringBuilder::new(),
            is_monotonic: BooleanBuilder::new(),
            metadata: StringBuilder::new(),
            bounds: Lists::new(),
            sets: AttributeSetsBuilder::new(),
        }
    }

    /// Notes a sample of a series. At the first of a day it adds a row, and the caller must add one set to the builder that it gets; of
    /// the others the earliest time is kept.
    pub(crate) fn note(
        &mut self,
        id: u128,
        time: i64,
        row: &SeriesRow<'_>,
    ) -> Result<Option<&mut AttributeSetsBuilder>, Fault> {
        match self.row_of.entry((series_row_identity(id, row.bounds), day_of(time))) {
            Entry::Occupied(row) => {
                if let Some(first) = self.time.get_mut(*row.get()) {
                    *first = time.min(*first);
                }
                return Ok(None);
            }
            Entry::Vacant(row) => row.insert(self.time.len()),
        };
        self.text_bytes += row.name.len() + row.unit.len() + row.description.len() + row.metadata.len();
        if self.text_bytes > SERIES_TEXT_BYTES_MAX {
            return Err(Fault::Limit("the metrics' names and descriptions are too long for so many series"));
        }
        self.time.push(time);
        // The builder refuses only another length than its own.
        let _ = self.series_id.append_value(id.to_be_bytes());
        self.name.append_value(row.name);
        self.metric_type.append_value(row.metric_type);
        append_text(&mut self.unit, row.unit);
        append_text(&mut self.description, row.description);
        self.temporality.append_option(row.temporality);
        self.is_monotonic.append_option(row.is_monotonic);
        append_text(&mut self.metadata, row.metadata);
        self.bounds.set(self.time.len() - 1, row.bounds);
        Ok(Some(&mut self.sets))
    }

    /// Columns and attributes.
    pub(crate) fn finish(mut self) -> causeway_model::Result<(Vec<ArrayRef>, AttributeSetsBuilder)> {
        let rows = self.time.len();
        let bounds = self.bounds.finish(rows, float64_items)?;
        let none = || new_null_array(&DataType::List(Arc::new(Field::new("item", DataType::Float64, false))), rows);
        let bounds = bounds.unwrap_or_else(none);
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
            bounds,
        ];
        Ok((columns, self.sets))
    }
}
