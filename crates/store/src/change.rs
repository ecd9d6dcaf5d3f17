//! What changed? A service's version or environment that is seen to move becomes a row of `changes`.
//!
//! Deterministic from the deliveries in their order (their own arrival is the time), so that replay gives the same rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampNanosecondArray, new_null_array};
use arrow::datatypes::DataType;
use causeway_model::{Batch, ColumnLevel, Delivery, Family, Result, Table, Value};
use serde::{Deserialize, Serialize};

/// A value that was not seen for this long has gone; seen again it is a change. 10 minutes: beyond any rolling deploy's
/// pauses and any export interval.
pub const GONE_AFTER: Duration = Duration::from_secs(600);
/// Services that are watched. 10,000: some megabytes; those that come after are not watched, and counted.
pub const SERVICES_MAX: usize = 10_000;
/// Bytes of a service's name. 256: names are short; a longer one is not watched, and counted.
pub const SERVICE_BYTES_MAX: usize = 256;
/// Values that are remembered for each service and kind. 16: the versions alive at once; the longest unseen goes first.
pub const VALUES_MAX: usize = 16;
/// Bytes of a value that are compared and kept. 256: versions and environments are short words.
pub const VALUE_BYTES_MAX: usize = 256;

/// What is watched: the kind of change, and the resource attributes that tell it, the first one present counts
/// (OpenTelemetry semantic conventions 1.27 renamed `deployment.environment`).
const WATCHED: [(&str, &[&str]); 2] =
    [("version", &["service.version"]), ("environment", &["deployment.environment.name", "deployment.environment"])];

/// When each value of each watched service was last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeTracker {
    services: BTreeMap<String, [BTreeMap<String, i64>; WATCHED.len()]>,
    /// Sightings of services that could not be watched because of [`SERVICES_MAX`] or [`SERVICE_BYTES_MAX`].
    unwatched: u64,
}

/// One value seen to move.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Move {
    kind: &'static str,
    service: String,
    before: String,
    after: String,
}

impl ChangeTracker {
    /// Looks at the resources of a delivery; the batch holds a row for each value that moved.
    ///
    /// # Errors
    /// `Internal` when the rows can't be built.
    pub fn observe(&mut self, delivery: &Delivery) -> Result<Option<Batch>> {
        let mut moves = Vec::new();
        for batch in &delivery.batches {
            self.observe_batch(batch, delivery.received_unix_nano, &mut moves);
        }
        if moves.is_empty() {
            return Ok(None);
        }
        rows(&moves, delivery.received_unix_nano).map(Some)
    }

    /// Sightings of services that could not be watched because of [`SERVICES_MAX`] or [`SERVICE_BYTES_MAX`].
    pub fn unwatched(&self) -> u64 {
        self.unwatched
    }

    fn observe_batch(&mut self, batch: &Batch, now: i64, moves: &mut Vec<Move>) {
        let schema = batch.table().schema(ColumnLevel::Resource);
        let Ok(column) = schema.index_of("service_name") else { return };
        let Some(services) = batch.resources().columns().get(column).and_then(|column| column.as_string_opt::<i32>())
        else {
            return;
        };
        let sets = batch.attributes(Family::Resource);
        for (watched, (kind, attributes)) in WATCHED.iter().enumerate() {
            let numbers: Vec<u32> = attributes.iter().filter_map(|key| batch.keys().find(key)).collect();
            if numbers.is_empty() {
                continue;
            }
            for row in (0..sets.len()).filter(|&row| services.is_valid(row)) {
                let value = numbers.iter().find_map(|number| {
                    sets.row(row).find_map(|entry| match entry.value {
                        Value::String(text) if entry.key == *number && !text.is_empty() => Some(text),
                        _ => None,
                    })
                });
                if let Some(value) = value {
                    let value = &value[..value.floor_char_boundary(VALUE_BYTES_MAX)];
                    self.see(services.value(row), (watched, kind), value, now, moves);
                }
            }
        }
    }

    fn see(&mut self, service: &str, kind: (usize, &'static str), value: &str, now: i64, moves: &mut Vec<Move>) {
        if !self.services.contains_key(service) {
            if self.services.len() >= SERVICES_MAX || service.len() > SERVICE_BYTES_MAX {
                self.unwatched = self.unwatched.saturating_add(1);
                return;
            }
            self.services.insert(service.to_owned(), Default::default());
        }
        let Some(seen) = self.services.get_mut(service).and_then(|kinds| kinds.get_mut(kind.0)) else { return };
        let gone_after = i64::try_from(GONE_AFTER.as_nanos()).unwrap_or(i64::MAX);
        // A clock that jumped back makes `now` smaller than what was seen: that is not a long absence.
        let known = seen.get(value).is_some_and(|last| now.saturating_sub(*last) < gone_after);
        let before = seen.iter().filter(|(other, _)| *other != value).max_by_key(|(_, last)| **last);
        if let (false, Some((before, _))) = (known, before) {
            let (service, before, after) = (service.to_owned(), before.clone(), value.to_owned());
            moves.push(Move { kind: kind.1, service, before, after });
        }
        let last = seen.entry(value.to_owned()).or_insert(now);
        *last = now.max(*last);
        if seen.len() > VALUES_MAX {
            let oldest = seen.iter().filter(|(other, _)| *other != value).min_by_key(|(_, last)| **last);
            if let Some(oldest) = oldest.map(|(other, _)| other.clone()) {
                seen.remove(&oldest);
            }
        }
    }
}

fn rows(moves: &[Move], now: i64) -> Result<Batch> {
    let text = |of: fn(&Move) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(moves.iter().map(of))) };
    let time = TimestampNanosecondArray::from(vec![now; moves.len()]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(time),
        text(|moved| moved.kind),
        text(|moved| &moved.service),
        text(|moved| &moved.before),
        text(|moved| &moved.after),
        new_null_array(&DataType::Utf8, moves.len()),
        text(|_| "telemetry"),
    ];
    Batch::of_columns(Table::Changes, columns)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::log_delivery;

    const MINUTE: i64 = 60_000_000_000;

    /// What a sequence of (minute, service, version) gives, as (kind, entity, before, after).
    fn told(sightings: &[(i64, &str, &str)]) -> Vec<[String; 4]> {
        let mut tracker = ChangeTracker::default();
        let mut out = Vec::new();
        for (minute, service, version) in sightings {
            let mut delivery = log_delivery(service, &[("service.version", version)], &[1]);
            delivery.received_unix_nano = minute * MINUTE;
            // Going through the catalog's text in between must change nothing.
            tracker = serde_json::from_str(&serde_json::to_string(&tracker).unwrap()).unwrap();
            if let Some(batch) = tracker.observe(&delivery).unwrap() {
                for row in 0..batch.rows() {
                    out.push(
                        [1, 2, 3, 4]
                            .map(|column| batch.records().column(column).as_string::<i32>().value(row).to_owned()),
                    );
                }
            }
        }
        out
    }

    fn moved(before: &str, after: &str) -> [String; 4] {
        ["version", "cart", before, after].map(str::to_owned)
    }

    #[test]
    fn a_rolling_deploy_is_one_change_and_a_late_rollback_another() {
        let sightings = [
            (0, "cart", "1"),
            (1, "cart", "2"),
            (2, "cart", "1"),
            (3, "cart", "2"),
            (4, "web", "2"),
            (30, "cart", "1"),
        ];
        assert_eq!(told(&sightings), vec![moved("1", "2"), moved("2", "1")]);
    }

    #[test]
    fn silence_and_clocks_that_jump_back_are_no_changes() {
        assert!(told(&[(0, "cart", "1"), (600, "cart", "1"), (-600, "cart", "1")]).is_empty());
        assert_eq!(told(&[(0, "cart", "1"), (1, "cart", "2"), (-60, "cart", "1")]), vec![moved("1", "2")]);
    }

    #[test]
    fn the_newer_name_of_the_environment_goes_before_the_older() {
        let mut tracker = ChangeTracker::default();
        let old = log_delivery("cart", &[("deployment.environment", "test")], &[1]);
        let both =
            log_delivery("cart", &[("deployment.environment", "test"), ("deployment.environment.name", "prod")], &[1]);
        assert!(tracker.observe(&old).unwrap().is_none());
        assert_eq!(tracker.observe(&both).unwrap().unwrap().rows(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut tracker = ChangeTracker::default();
        let mut moves = Vec::new();
        tracker.see(&"x".repeat(SERVICE_BYTES_MAX + 1), (0, "version"), "1", 0, &mut moves);
        assert_eq!((tracker.services.len(), tracker.unwatched()), (0, 1));
        for number in 0..SERVICES_MAX + 5 {
            tracker.see(&format!("service {number}"), (0, "version"), "1", 0, &mut moves);
        }
        assert_eq!((tracker.services.len(), tracker.unwatched()), (SERVICES_MAX, 6));
        for number in 0..100 {
            tracker.see("service 0", (0, "version"), &format!("{number}"), number, &mut moves);
        }
        assert_eq!(tracker.services.get("service 0").unwrap().first().unwrap().len(), VALUES_MAX);
    }
}
