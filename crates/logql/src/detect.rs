//! Which fields do some lines hold, and what are they? For those who ask before they know what to ask for.

use std::collections::BTreeMap;

use hashbrown::HashSet;

use crate::evaluate::FoundLine;
use crate::json::flatten;
use crate::labels::{Origin, sanitized};
use crate::logfmt::pairs;
use crate::units::{bytes, seconds};

/// Fields that are told apart at most. 1,000, as many as the labels of one line.
const FIELDS_MAX: usize = 1_000;
/// Values of one field that are counted at most.
const VALUES_MAX: usize = 10_000;

/// A field of lines.
#[derive(Debug, Clone, Default)]
pub struct DetectedField {
    /// `json` or `logfmt`, where it stands in the lines; none where it stands beside them.
    pub parser: Option<&'static str>,
    /// What its values are.
    pub kind: FieldKind,
    /// Different values, up to a limit.
    pub values: HashSet<String>,
}

/// What values are, as Loki names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FieldKind {
    Int,
    Float,
    Boolean,
    Duration,
    Bytes,
    #[default]
    String,
}

impl FieldKind {
    /// Loki's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    fn of(text: &str) -> Self {
        if text.parse::<i64>().is_ok() {
            Self::Int
        } else if text.parse::<f64>().is_ok() {
            Self::Float
        } else if ["true", "false"].contains(&text) {
            Self::Boolean
        } else if seconds(text).is_some() {
            Self::Duration
        } else if bytes(text).is_some() {
            Self::Bytes
        } else {
            Self::String
        }
    }
}

/// The fields of some lines by their names: those beside them, those that the query found, and those that JSON or logfmt would find. The first
/// value of a field says what it is.
pub fn detected_fields(lines: &[FoundLine]) -> BTreeMap<String, DetectedField> {
    let mut fields = BTreeMap::new();
    for line in lines {
        for label in line.labels.iter().filter(|label| label.origin != Origin::Stream) {
            add(&mut fields, &label.name, &label.value, None);
        }
        let in_stream = |name: &str| line.labels.iter().any(|label| label.name == name);
        let mut found = Vec::new();
        if flatten(&line.text, false, &mut |name, value| found.push((name, value))).is_ok() {
            found.iter().filter(|(name, _)| !in_stream(name)).for_each(|(name, value)| {
                add(&mut fields, name, value, Some("json"));
            });
        } else {
            found.clear();
            pairs(&line.text, false, &mut |key, value| found.push((sanitized(key).into_owned(), value)));
            let valued = |(name, value): &&(String, String)| !value.is_empty() && !name.is_empty() && !in_stream(name);
            found.iter().filter(valued).for_each(|(name, value)| add(&mut fields, name, value, Some("logfmt")));
        }
    }
    fields
}

fn add(fields: &mut BTreeMap<String, DetectedField>, name: &str, value: &str, parser: Option<&'static str>) {
    if !fields.contains_key(name) {
        if fields.len() >= FIELDS_MAX {
            return;
        }
        let kind = FieldKind::of(value);
        fields.insert(name.to_owned(), DetectedField { parser, kind, values: HashSet::new() });
    }
    if let Some(field) = fields.get_mut(name)
        && field.values.len() < VALUES_MAX
    {
        field.values.insert(value.to_owned());
    }
}
