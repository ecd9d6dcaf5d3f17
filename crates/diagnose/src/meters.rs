//! How are services without spans? Requests, durations and failures by service from metrics, in buckets of time, and who calls whom.
//!
//! Durations come as histograms (their sum is the time that was spent, their count the requests) or as gauges of a mean or a quantile;
//! failures as an attribute of these, as counts, or as availability. The graph comes from series with both ends of a call.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::Array;
use causeway_model::Result;

use crate::ask::{Inquiry, at, quoted};
use crate::conventions::{
    GRAPH_PREFIX, Meter, OUTCOMES, SERVICE_NAMES, SPAN_KINDS, STATISTICS, is_failure, meter, statistic_rank,
};
use crate::entries::of_others;
use crate::types::Window;

/// Samples that are held. 2 million: 100 MB; the rest is left out, and said so.
const SAMPLES_MAX: usize = 2_000_000;

/// One service's requests in one bucket.
#[derive(Debug, Default, Clone, Copy)]
struct Bucket {
    requests: f64,
    busy_s: f64,
    failed: f64,
    /// Gauges of durations by how well they stand for the mean: sum and number.
    durations: [(f64, f64); 3],
    availability: (f64, f64),
}

/// A service's requests over time.
#[derive(Debug, Default)]
pub(crate) struct Service {
    buckets: BTreeMap<i64, Bucket>,
    counts_requests: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// Nanoseconds of a bucket.
    pub width: i64,
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// Who calls whom.
    pub calls: BTreeMap<String, BTreeSet<String>>,
}

/// One series, as it was sent.
#[derive(Debug)]
struct Series {
    service: String,
    of_graph: bool,
    meter: Meter,
    rank: usize,
    fails: bool,
    is_cumulative: bool,
    /// Time; value or sum; count of a histogram.
    points: Vec<(i64, f64, Option<f64>)>,
}

/// Reads the metrics of some windows.
pub(crate) async fn load(inquiry: &Inquiry<'_>, windows: &[Window]) -> Result<Meters> {
    let mut meters = Meters::default();
    let mut series: BTreeMap<Vec<u8>, Option<Series>> = BTreeMap::new();
    let (mut kept, mut left_out) = (0, 0_u64);
    inquiry
        .each(question(windows), |rows| {
            let ids = rows.ids(0)?;
            let texts = (1..11).map(|column| rows.text(column)).collect::<Result<Vec<_>>>()?;
            let (times, numbers, counts) = (rows.integers(11)?, rows.numbers(12)?, rows.numbers(13)?);
            for row in (0..rows.len()).filter(|row| !numbers.is_null(*row) && numbers.value(*row).is_finite()) {
                if kept >= SAMPLES_MAX {
                    left_out += 1;
                    continue;
                }
                kept += 1;
                let text = |column: usize| at(&texts[column], row).unwrap_or_default();
                let (client, server) = (text(8), text(9));
                if !client.is_empty() && !server.is_empty() {
                    meters.calls.entry(client.to_owned()).or_default().insert(server.to_owned());
                }
                let found = series.entry(ids.value(row).to_vec()).or_insert_with(|| recognised(&text));
                if let Some(series) = found {
                    let count = (!counts.is_null(row)).then(|| counts.value(row));
                    series.points.push((times.value(row), numbers.value(row), count));
                }
            }
            Ok(())
        })
        .await?;
    if left_out > 0 {
        inquiry.note(format!("{left_out} samples of requests beyond {SAMPLES_MAX} were left out"));
    }
    let mut series: Vec<Series> = series.into_values().flatten().collect();
    for it in &mut series {
        it.points.sort_by_key(|point| point.0);
        it.points.dedup_by_key(|point| point.0);
    }
    meters.width = width(&series);
    let own: BTreeSet<String> = series.iter().filter(|it| !it.of_graph).map(|it| it.service.clone()).collect();
    // What a service says of itself counts; the graph speaks for those that say nothing.
    for it in series.iter().filter(|it| !it.of_graph || !own.contains(&it.service)) {
        meters.add(it);
    }
    Ok(meters)
}

fn question(windows: &[Window]) -> String {
    let any = |function: &str, keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|key| format!("{function}(s, {})", quoted(key))).collect();
        format!("coalesce({})", keys.join(", "))
    };
    let words =
        ["duration", "latency", "requests", "calls", "availability", "success_rate", "errors", "faults", "failures"];
    let words: Vec<String> = words.iter().map(|word| format!("s.name LIKE '%{word}%'")).collect();
    let times: Vec<String> =
        windows.iter().map(|it| format!("(m.time >= '{}' AND m.time < '{}')", it.start, it.end)).collect();
    format!(
        "SELECT m.series_id, s.name, s.type, s.unit, coalesce(s.service_name, {}), {}, {}, {}, s.temporality, \
         attr(s, 'client'), attr(s, 'server'), m.time, coalesce(m.value, m.sum) AS number, m.count \
         FROM metric_samples m JOIN metric_series s ON m.series_id = s.series_id \
         AND date_trunc('day', m.time) = date_trunc('day', s.time) \
         WHERE {} AND ({} OR s.name LIKE '{GRAPH_PREFIX}%') AND ({})",
        any("attr", SERVICE_NAMES),
        any("attr", STATISTICS),
        any("attr", OUTCOMES),
        any("attr", SPAN_KINDS),
        of_others("s.service_name"),
        words.join(" OR "),
        times.join(" OR ")
    )
}

/// What a series measures; nothing where it is of no use. Columns as in [`question`], from the name on.
fn recognised<'a>(text: &impl Fn(usize) -> &'a str) -> Option<Series> {
    let (name, kind, unit) = (text(0), text(1), text(2));
    let of_graph = name.starts_with(GRAPH_PREFIX);
    let service = if of_graph { text(9) } else { text(3) };
    let spans = text(6).to_ascii_lowercase();
    let serves = spans.is_empty() || spans.ends_with("server") || spans.ends_with("consumer");
    if service.is_empty() || !serves {
        return None;
    }
    Some(Series {
        service: service.to_owned(),
        of_graph,
        meter: meter(name, unit)?,
        rank: statistic_rank(text(4)),
        fails: is_failure(text(5)),
        is_cumulative: kind != "gauge" && text(7) != "delta",
        points: Vec::new(),
    })
}

/// The usual distance of two samples of a series.
fn width(series: &[Series]) -> i64 {
    let mut gaps: Vec<i64> =
        series.iter().flat_map(|it| it.points.windows(2).map(|pair| pair[1].0 - pair[0].0)).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied().unwrap_or(60_000_000_000).max(1_000_000_000)
}

impl Meters {
    fn add(&mut self, series: &Series) {
        let service = self.services.entry(series.service.clone()).or_default();
        let mut last: Option<(f64, f64)> = None;
        for (time, value, count) in &series.points {
            let (mut value, mut count_now) = (*value, count.unwrap_or(0.0));
            if series.is_cumulative {
                let before = last.replace((value, count_now));
                let Some((value_before, count_before)) = before else { continue };
                // A counter that falls began anew.
                value -= if value >= value_before { value_before } else { 0.0 };
                count_now -= if count_now >= count_before { count_before } else { 0.0 };
            }
            let bucket = service.buckets.entry(time.div_euclid(self.width)).or_default();
            match series.meter {
                Meter::Duration(scale) if count.is_some() => {
                    bucket.busy_s += value * scale;
                    bucket.requests += count_now;
                    bucket.failed += if series.fails { count_now } else { 0.0 };
                    service.counts_requests = true;
                }
                Meter::Duration(scale) => {
                    let sums = &mut bucket.durations[series.rank.min(2)];
                    *sums = (sums.0 + value * scale, sums.1 + 1.0);
                }
                Meter::Requests => {
                    bucket.requests += value;
                    bucket.failed += if series.fails { value } else { 0.0 };
                    service.counts_requests = true;
                }
                Meter::Failures => bucket.failed += value,
                Meter::Availability(scale) => {
                    bucket.availability = (bucket.availability.0 + value * scale, bucket.availability.1 + 1.0);
                }
            }
        }
    }
}

impl Service {
    /// Requests and what one of them costs, bucket by bucket, inside a window: seconds, or the chance to fail.
    pub fn costs(&self, window: Window, width: i64, errors: bool) -> BTreeMap<i64, (f64, f64)> {
        let rank = (0..3).find(|rank| self.buckets.values().any(|it| it.durations[*rank].1 > 0.0));
        let cost = |bucket: &Bucket| {
            // Where nobody counts, each bucket weighs the same.
            let requests = if self.counts_requests { bucket.requests } else { 1.0 };
            if requests <= 0.0 {
                return None;
            }
            let cost = if errors {
                let (sum, number) = bucket.availability;
                if number > 0.0 { 1.0 - sum / number } else { bucket.failed / requests }
            } else if bucket.busy_s > 0.0 {
                bucket.busy_s / requests
            } else {
                let (sum, number) = bucket.durations[rank?];
                if number <= 0.0 {
                    return None;
                }
                sum / number
            };
            Some((requests, cost))
        };
        let inside = |at: i64| {
            window.contains(at.saturating_mul(width)) || window.contains(at.saturating_add(1).saturating_mul(width) - 1)
        };
        self.buckets.iter().filter(|(at, _)| inside(**at)).filter_map(|(at, it)| Some((*at, cost(it)?))).collect()
    }
}
