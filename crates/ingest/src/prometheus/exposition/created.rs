//! When did a counter of OpenMetrics begin to count? Its family says so in a series of its own, `…_created`, behind those that it is about;
//! so all are looked up first.

use causeway_model::METRIC_NAME;
use hashbrown::HashMap;
use memchr::memmem;
use xxhash_rust::xxh3::xxh3_128;

use super::Options;
use super::line::Line;
use crate::prometheus::{MetricType, Text};

/// The start times that a body says, in milliseconds since 1970, by family and labels.
#[derive(Debug, Default)]
pub(super) struct Created {
    times: HashMap<u128, i64>,
    scratch: Vec<u8>,
}

/// The family whose start time a series of this name says.
pub(super) fn created_family(name: &str) -> Option<&str> {
    name.strip_suffix("_created").filter(|family| !family.is_empty())
}

fn accumulates(metric_type: MetricType) -> bool {
    matches!(metric_type, MetricType::Counter | MetricType::Histogram | MetricType::Summary)
}

impl Created {
    /// Reads the lines that matter. What is wrong with one is for the parser to say.
    pub(super) fn of_body(body: &[u8], options: &Options) -> Self {
        let mut created = Self::default();
        let mut labels = Vec::new();
        let mut last_line = None;
        for at in memmem::find_iter(body, b"_created") {
            let start = memchr::memrchr(b'\n', body.get(..at).unwrap_or_default()).map_or(0, |newline| newline + 1);
            if last_line.replace(start) == Some(start) {
                continue;
            }
            let line = body.get(start..).unwrap_or_default();
            let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let mut line = Line::new(line);
            if line.series(options, &mut labels).is_err() {
                continue;
            }
            line.skip_blanks();
            if let (Some((_, name)), Ok(seconds)) = (labels.first(), line.float("metric"))
                && let Some(family) = created_family(name)
                && let Some(time) = milliseconds(seconds)
            {
                let key = created.key(family, &labels);
                created.times.insert(key, time);
            }
        }
        created
    }

    /// The start time of a series of a family.
    pub(super) fn of_series(
        &mut self,
        family: &str,
        metric_type: MetricType,
        labels: &[(Text<'_>, Text<'_>)],
    ) -> Option<i64> {
        if self.times.is_empty() || !accumulates(metric_type) {
            return None;
        }
        let key = self.key(family, labels);
        self.times.get(&key).copied()
    }

    /// By the labels that all series of one metric point have in common.
    fn key(&mut self, family: &str, labels: &[(Text<'_>, Text<'_>)]) -> u128 {
        let mut shared: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        shared.retain(|(name, _)| ![METRIC_NAME, "le", "quantile"].contains(name));
        shared.sort_unstable();
        self.scratch.clear();
        for text in std::iter::once(family).chain(shared.into_iter().flat_map(|(name, value)| [name, value])) {
            self.scratch.extend_from_slice(&(text.len() as u64).to_le_bytes());
            self.scratch.extend_from_slice(text.as_bytes());
        }
        xxh3_128(&self.scratch)
    }
}

/// Seconds since 1970 as milliseconds, where they are a time at all.
pub(super) fn milliseconds(seconds: f64) -> Option<i64> {
    let milliseconds = seconds * 1000.0;
    // A cast of what is beyond would be the nearest that is not.
    (milliseconds.abs() < i64::MAX as f64).then_some(milliseconds as i64)
}
