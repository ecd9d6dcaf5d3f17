//! Which series do these labels name? Sorted, each once, none empty; and which id does it have?
//!
//! Names and values are bytes here: whether they are UTF-8 is asked once, when a series is seen for the first time.

use causeway_model::{Labels, METRIC_NAME};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::LABELS_MAX;
use crate::series;
use crate::wire::{Fault, put_varint, varint_bytes};

/// Of the hash of labels, so that no series that came by OTLP has the same identity.
const SEED: u64 = u64::from_be_bytes(*b"promethe");

/// Name and value.
pub(super) type Label<'a> = (&'a [u8], &'a [u8]);

/// Labels of one series as they are read, borrowed from the body.
#[derive(Debug, Default)]
pub(super) struct LabelList<'a> {
    labels: Vec<Label<'a>>,
    is_sorted: bool,
    has_empty: bool,
    /// The same labels as [`encode`] writes them, where they stand so in the body.
    encoded: Option<&'a [u8]>,
}

impl<'a> LabelList<'a> {
    pub(super) fn clear(&mut self) {
        self.labels.clear();
        self.is_sorted = true;
        self.has_empty = false;
        self.encoded = None;
    }

    #[inline]
    pub(super) fn push(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), Fault> {
        if self.labels.len() >= LABELS_MAX {
            return Err(Fault::Record("too_many_labels"));
        }
        self.is_sorted &= self.labels.last().is_none_or(|(last, _)| *last < name);
        self.has_empty |= value.is_empty();
        self.labels.push((name, value));
        Ok(())
    }

    /// Tells where all the labels stand in the body as [`encode`] writes them.
    #[inline]
    pub(super) fn set_encoded(&mut self, encoded: &'a [u8]) {
        self.encoded = Some(encoded);
    }

    /// The metric's name, whatever the rest is.
    pub(super) fn metric_name(&self) -> Option<&'a [u8]> {
        name_of(&self.labels)
    }

    /// Sorts them, and drops those without a value, which are the same as none.
    ///
    /// # Errors
    /// Where a name is empty or stands twice (Prometheus, storage/remote/write_handler.go).
    #[inline]
    pub(super) fn settle(&mut self) -> Result<&[Label<'a>], Fault> {
        if !self.is_sorted {
            self.encoded = None;
            self.labels.sort_unstable_by_key(|(name, _)| *name);
            if self.labels.windows(2).any(|pair| matches!(pair, [(one, _), (next, _)] if one == next)) {
                return Err(Fault::Record("duplicate_label"));
            }
        }
        if self.labels.first().is_some_and(|(name, _)| name.is_empty()) {
            return Err(Fault::Record("invalid_label_name"));
        }
        if self.has_empty {
            self.encoded = None;
            self.labels.retain(|(_, value)| !value.is_empty());
        }
        Ok(&self.labels)
    }

    /// The series that they name; `scratch` is room for what is hashed.
    #[inline]
    pub(super) fn named(&mut self, scratch: &mut Vec<u8>) -> Result<NamedSeries<'_>, Fault> {
        self.settle()?;
        NamedSeries::new(&self.labels, self.encoded, scratch)
    }
}

fn name_of<'a>(labels: &[Label<'a>]) -> Option<&'a [u8]> {
    labels.iter().find(|(name, _)| *name == METRIC_NAME.as_bytes()).map(|(_, value)| *value)
}

/// A series by sorted labels without empty values.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedSeries<'a> {
    pub(super) id: u128,
    pub(super) name: &'a [u8],
    pub(super) labels: &'a [Label<'a>],
}

impl<'a> NamedSeries<'a> {
    #[inline]
    pub(super) fn new(labels: &'a [Label<'a>], encoded: Option<&[u8]>, scratch: &mut Vec<u8>) -> Result<Self, Fault> {
        let name = name_of(labels).ok_or(Fault::Record("missing_metric_name"))?;
        let encoded = encoded.unwrap_or_else(|| {
            encode(labels.iter().copied(), scratch);
            scratch
        });
        Ok(Self { id: series::series_id(name, xxh3_128_with_seed(encoded, SEED)), name, labels })
    }
}

/// Writes labels as the fields of a `prometheus.TimeSeries`, each length as short as can be. So it stands in most requests of remote
/// write 1.0 already, and need not be copied to be hashed.
fn encode<'a>(labels: impl Iterator<Item = Label<'a>>, out: &mut Vec<u8>) {
    out.clear();
    for (name, value) in labels {
        let length = 2 + varint_bytes(name.len()) + name.len() + varint_bytes(value.len()) + value.len();
        out.push(0x0a);
        put_varint(length as u64, out);
        for (tag, text) in [(0x0a, name), (0x12, value)] {
            out.push(tag);
            put_varint(text.len() as u64, out);
            out.extend_from_slice(text);
        }
    }
}

/// A label's message if it is written as [`encode`] does, its lengths below 128.
#[inline]
pub(super) fn plain_label(message: &[u8]) -> Option<Label<'_>> {
    if message.len() >= 0x80 {
        return None;
    }
    let [0x0a, name_length, rest @ ..] = message else { return None };
    let (name, rest) = rest.split_at_checked(usize::from(*name_length))?;
    let [0x12, value_length, value @ ..] = rest else { return None };
    (value.len() == usize::from(*value_length)).then_some((name, value))
}

/// The `series_id` of the series with these labels.
pub fn series_id(labels: &Labels) -> u128 {
    let mut encoded = Vec::new();
    encode(labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), &mut encoded);
    let name = labels.metric_name().unwrap_or_default();
    series::series_id(name.as_bytes(), xxh3_128_with_seed(&encoded, SEED))
}
