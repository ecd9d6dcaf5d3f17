//! Which series do these labels name? Sorted, each once, none empty; and which id does it have?

use causeway_model::{Labels, METRIC_NAME};
use xxhash_rust::xxh3::xxh3_128;

use super::LABELS_MAX;
use crate::series;
use crate::wire::Fault;

/// Before the labels in what is hashed, so that no series that came by OTLP has the same bytes.
const ORIGIN: &[u8] = b"prometheus";

/// Labels of one series as they are read, borrowed from the body.
#[derive(Debug, Default)]
pub(super) struct LabelList<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    is_sorted: bool,
    has_empty: bool,
}

impl<'a> LabelList<'a> {
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.is_sorted = true;
        self.has_empty = false;
    }

    #[inline]
    pub(super) fn push(&mut self, name: &'a str, value: &'a str) -> Result<(), Fault> {
        if self.pairs.len() >= LABELS_MAX {
            return Err(Fault::Record("too_many_labels"));
        }
        self.is_sorted &= self.pairs.last().is_none_or(|(last, _)| *last < name);
        self.has_empty |= value.is_empty();
        self.pairs.push((name, value));
        Ok(())
    }

    /// The metric's name, whatever the rest is.
    pub(super) fn metric_name(&self) -> Option<&'a str> {
        self.pairs.iter().find(|(name, _)| *name == METRIC_NAME).map(|(_, value)| *value)
    }

    /// Sorts them, and drops those without a value, which are the same as none.
    ///
    /// # Errors
    /// Where a name is empty or stands twice (Prometheus, storage/remote/write_handler.go).
    #[inline]
    pub(super) fn settle(&mut self) -> Result<&[(&'a str, &'a str)], Fault> {
        if !self.is_sorted {
            self.pairs.sort_unstable_by_key(|(name, _)| *name);
            if self.pairs.windows(2).any(|pair| matches!(pair, [(one, _), (next, _)] if one == next)) {
                return Err(Fault::Record("duplicate_label"));
            }
        }
        if self.pairs.first().is_some_and(|(name, _)| name.is_empty()) {
            return Err(Fault::Record("invalid_label_name"));
        }
        if self.has_empty {
            self.pairs.retain(|(_, value)| !value.is_empty());
        }
        Ok(&self.pairs)
    }
}

/// A series by sorted labels without empty values.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedSeries<'a> {
    pub(super) id: u128,
    pub(super) name: &'a str,
    pub(super) labels: &'a [(&'a str, &'a str)],
}

impl<'a> NamedSeries<'a> {
    /// `scratch` is room for what is hashed.
    #[inline]
    pub(super) fn new(labels: &'a [(&'a str, &'a str)], scratch: &mut Vec<u8>) -> Result<Self, Fault> {
        let named = labels.iter().find(|(name, _)| *name == METRIC_NAME);
        let name = named.map(|(_, name)| *name).ok_or(Fault::Record("missing_metric_name"))?;
        Ok(Self { id: id_of(name, labels.iter().copied(), scratch), name, labels })
    }
}

/// Each label as length and bytes of its name, length and bytes of its value (u32, little-endian).
#[inline]
fn id_of<'a>(name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>, scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    scratch.extend_from_slice(ORIGIN);
    for (name, value) in labels {
        for text in [name, value] {
            // A body is far below 4 GiB.
            scratch.extend_from_slice(&(text.len() as u32).to_le_bytes());
            scratch.extend_from_slice(text.as_bytes());
        }
    }
    series::series_id(name, xxh3_128(scratch))
}

/// The `series_id` of the series with these labels.
pub fn series_id(labels: &Labels) -> u128 {
    id_of(labels.metric_name().unwrap_or_default(), labels.iter(), &mut Vec::new())
}
