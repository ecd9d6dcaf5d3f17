//! Do the limits hold, does whoever is active go on, and is the sender told what to do?

use std::collections::BTreeMap;

use causeway_model::Labels;
use proptest::prelude::*;

use super::*;
use crate::prometheus::{NOTHING_KNOWN, Sample, SampleValue, SeriesWriter};

const MINUTE_NS: u64 = 60_000_000_000;

fn limits(per_metric_max: usize, per_sender_max: usize, total_max: usize) -> SeriesLimits {
    SeriesLimits::new(SeriesLimitOptions { per_metric_max, per_sender_max, total_max })
}

/// One sample of each series: metric and user.
fn batches(series: &[(u8, u32)]) -> Vec<Batch> {
    let mut writer = SeriesWriter::new(NOTHING_KNOWN);
    for (metric, user) in series {
        let (name, user) = (format!("metric_{metric}"), user.to_string());
        let labels = Labels::new([("__name__", name.as_str()), ("route", "/pay"), ("user_id", user.as_str())]);
        let sample = Sample { time_ms: 1, start_ms: None, value: SampleValue::Float(1.0) };
        writer.push(&labels, &sample, &[]).unwrap();
    }
    writer.finish().unwrap().batches
}

fn rows(batches: &[Batch], table: Table) -> usize {
    batches.iter().filter(|batch| batch.table() == table).map(Batch::rows).sum()
}

#[test]
fn the_message_names_metric_limit_and_label_and_known_series_go_on() {
    let limits = limits(10, 1_000, 1_000);
    let many: Vec<(u8, u32)> = (0..30).map(|user| (1, user)).chain([(2, 0)]).collect();
    let mut delivery = batches(&many);
    let refused = limits.admit("a", 0, &mut delivery).unwrap().unwrap();
    assert_eq!(refused.dropped, [("series_limit_metric", 20)]);
    for word in ["metric_1", "10 series of one metric", "series-per-metric-max", "label user_id"] {
        assert!(refused.message.contains(word), "{}", refused.message);
    }
    assert_eq!((rows(&delivery, Table::MetricSamples), rows(&delivery, Table::MetricSeries)), (11, 11));
    let mut known = batches(&many[..10]);
    assert_eq!(limits.admit("b", MINUTE_NS, &mut known).unwrap(), None);
    assert_eq!(rows(&known, Table::MetricSamples), 10);
    let figures = limits.figures();
    assert_eq!((figures.active, figures.refused[0].1), (11, 20));
    assert_eq!(figures.refused_of, [("metric_1".to_owned(), 20)]);
    // A delivery of which nothing is left has no batches.
    let mut none = batches(&many[20..30]);
    assert!(limits.admit("a", 0, &mut none).unwrap().is_some());
    assert!(none.is_empty());
}

#[test]
fn senders_that_are_gone_give_their_count_back() {
    let limits = limits(1_000, 1, 1_000_000);
    // More than have a number at one time.
    for round in 0..5u32 {
        for sender in 0..900 {
            let minute = u64::from(round) * (ACTIVE_MINUTES + SWEEP_MINUTES + 1);
            let admitted =
                limits.admit(&format!("pod-{round}-{sender}"), minute * MINUTE_NS, &mut batches(&[(1, sender)]));
            assert_eq!(admitted.unwrap(), None, "{round} {sender}");
        }
    }
}

#[test]
fn the_label_is_named_that_has_the_most_values_in_all() {
    let limits = limits(1, 1_000_000, 1_000_000);
    let mut writer = SeriesWriter::new(NOTHING_KNOWN);
    for number in 0..10_000 {
        // Fifty routes of one customer, then fifty of the next.
        let (route, customer) = ((number % 50).to_string(), (number / 50).to_string());
        let labels = Labels::new([("__name__", "m"), ("route", route.as_str()), ("customer", customer.as_str())]);
        let sample = Sample { time_ms: 1, start_ms: None, value: SampleValue::Float(1.0) };
        writer.push(&labels, &sample, &[]).unwrap();
    }
    let refused = limits.admit("a", 0, &mut writer.finish().unwrap().batches).unwrap().unwrap();
    assert!(refused.message.contains("label customer"), "{}", refused.message);
}

#[test]
fn one_sender_does_not_take_the_place_of_others_and_what_ends_makes_room() {
    let limits = limits(100, 5, 8);
    let users = |from: u32, count: u32| batches(&(from..from + count).map(|user| (1, user)).collect::<Vec<_>>());
    let dropped = |sender: &str, minute: u64, mut delivery: Vec<Batch>| {
        limits.admit(sender, minute * MINUTE_NS, &mut delivery).unwrap().map(|refused| refused.dropped)
    };
    assert_eq!(dropped("a", 0, users(0, 7)), Some(vec![("series_limit_sender", 2)]));
    assert_eq!(dropped("b", 0, users(10, 4)), Some(vec![("series_limit_total", 1)]));
    // One of the first series stays active, the others end.
    assert_eq!(dropped("a", 40, users(0, 1)), None);
    assert_eq!(dropped("a", 70, users(20, 4)), None);
    assert_eq!(limits.figures().active, 5);
    assert_eq!(dropped("a", 70, users(30, 1)), Some(vec![("series_limit_sender", 1)]));
    // After months nothing is active, whatever 16 bits of minutes say.
    assert_eq!(dropped("a", 70 + 65_536, users(40, 5)), None);
    assert_eq!(limits.figures().active, 5);
}

#[test]
fn logs_are_let_through_and_senders_are_bounded() {
    let limits = limits(1, 1, 10_000);
    assert_eq!(limits.admit("a", 0, &mut Vec::new()).unwrap(), None);
    for sender in 0..SENDERS_MAX as u32 + 10 {
        limits.admit(&sender.to_string(), 0, &mut batches(&[(0, sender)])).unwrap();
    }
    let state = limits.state.lock();
    assert_eq!((state.of_sender.len(), state.sender_numbers.len()), (SENDERS_MAX, SENDERS_MAX));
}

proptest! {
    #[test]
    fn counts_stay_within_their_limits_and_no_active_series_is_refused(
        deliveries in prop::collection::vec(
            (0u8..3, 0u64..40, prop::collection::vec((0u8..3, 0u32..12), 0..20)),
            1..20,
        )
    ) {
        let limits = limits(6, 8, 12);
        let mut minute = 0;
        let mut last_seen: BTreeMap<(u8, u32), u64> = BTreeMap::new();
        for (sender, pause, series) in deliveries {
            minute += pause;
            for one in series {
                let mut delivery = batches(&[one]);
                let refused = limits.admit(&sender.to_string(), minute * MINUTE_NS, &mut delivery).unwrap();
                let active = last_seen.get(&one).is_some_and(|seen| minute - seen <= ACTIVE_MINUTES);
                prop_assert!(!(active && refused.is_some()));
                prop_assert_eq!(rows(&delivery, Table::MetricSamples), usize::from(refused.is_none()));
                if refused.is_none() {
                    last_seen.insert(one, minute);
                }
            }
            let state = limits.state.lock();
            prop_assert!(state.series.len() <= 12);
            prop_assert!(state.of_metric.values().all(|count| *count <= 6));
            prop_assert!(state.of_sender.iter().all(|count| *count <= 8));
            prop_assert_eq!(state.of_metric.values().sum::<usize>(), state.series.len());
            prop_assert_eq!(state.of_sender.iter().sum::<usize>(), state.series.len());
        }
    }
}
