//! Did services run out of something? Pools of connections that are all taken, and processors that did or did not have more to do, from the
//! metrics of OpenTelemetry's semantic conventions.
//!
//! A pool that is full is a consequence: of what holds its connections longer, or of more requests. So it never makes a suspect; it speaks
//! for whatever its service waits for. Processor time that stayed what it was speaks against a service that lacks it.

use std::collections::BTreeMap;

use arrow::array::Array;
use causeway_model::Result;

use crate::ask::{Inquiry, at, quoted};
use crate::conventions::{
    CPU_TIMES, INSTANCES, POOL_COUNT, POOL_MAX, POOL_NAMES, POOL_PENDING, POOL_STATES, POOL_USED, POOL_WAIT, seconds,
};
use crate::scene::Scene;
use crate::types::{Finding, Window, duration};

/// Samples that are held. 2 million: 64 MB; the rest is left out, and said so.
const SAMPLES_MAX: usize = 2_000_000;
/// A pool is full from this share of its connections on.
const FULL_MIN: f64 = 0.9;
/// Waiting got longer when it took this many times as long, and this many seconds.
const WAIT_RATIO_MIN: f64 = 3.0;
/// As above.
const WAIT_MIN_S: f64 = 0.01;
/// Processor time is as before up to this factor, …
const CPU_RATIO_MAX: f64 = 1.5;
/// … or this many cores more.
const CPU_RISE_MAX: f64 = 0.1;
/// Metrics come this much later than what they tell of: collectors ask or send at most once a minute.
const LAG_NS: i64 = 60_000_000_000;

/// What was found, by service.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// Pools that ran full, or made requests wait.
    pub pools: BTreeMap<String, Finding>,
    /// Processor time that stayed what it was.
    pub calm: BTreeMap<String, Finding>,
}

/// One series.
#[derive(Debug, Default)]
struct Series {
    service: String,
    instance: String,
    name: String,
    unit: String,
    pool: String,
    state: String,
    /// Time; value, or sum and count of a histogram.
    points: Vec<(i64, f64, f64)>,
}

/// Reads the metrics before and since the onset.
pub(crate) async fn load(inquiry: &Inquiry<'_>, scene: &Scene) -> Result<Resources> {
    let since = Window::new(scene.affected.start.0, scene.affected.end.0.saturating_add(LAG_NS));
    let series = read(inquiry, scene.baseline, since).await?;
    Ok(Resources { pools: pools(&series, scene.baseline, since), calm: calm(&series, scene.baseline, since) })
}

async fn read(inquiry: &Inquiry<'_>, before: Window, since: Window) -> Result<Vec<Series>> {
    let names = [POOL_COUNT, POOL_MAX, POOL_PENDING, POOL_WAIT].concat();
    let names: Vec<String> = names.iter().chain(&CPU_TIMES).map(|name| quoted(name)).collect();
    let first = |function: &str, keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|key| format!("{function}(s, {})", quoted(key))).collect();
        format!("coalesce({})", keys.join(", "))
    };
    let sql = format!(
        "SELECT m.series_id, s.service_name, s.name, s.unit, {}, {}, {}, m.time, coalesce(m.value, m.sum) AS number, m.count \
         FROM metric_samples m JOIN metric_series s ON m.series_id = s.series_id \
         AND date_trunc('day', m.time) = date_trunc('day', s.time) \
         WHERE s.name IN ({}) AND s.service_name IS NOT NULL AND m.time >= '{}' AND m.time < '{}'",
        first("attr", &POOL_NAMES),
        first("attr", &POOL_STATES),
        first("resource", INSTANCES),
        names.join(", "),
        before.start.min(since.start),
        before.end.max(since.end)
    );
    let mut series: BTreeMap<Vec<u8>, Series> = BTreeMap::new();
    let (mut kept, mut left_out) = (0, 0_u64);
    inquiry
        .each(sql, |rows| {
            let ids = rows.ids(0)?;
            let texts = (1..7).map(|column| rows.text(column)).collect::<Result<Vec<_>>>()?;
            let (times, numbers, counts) = (rows.integers(7)?, rows.numbers(8)?, rows.numbers(9)?);
            for row in (0..rows.len()).filter(|row| !numbers.is_null(*row) && numbers.value(*row).is_finite()) {
                if kept >= SAMPLES_MAX {
                    left_out += 1;
                    continue;
                }
                kept += 1;
                let text = |column: usize| at(&texts[column], row).unwrap_or_default().to_owned();
                let made = || Series {
                    service: text(0),
                    name: text(1),
                    unit: text(2),
                    pool: text(3),
                    state: text(4),
                    instance: text(5),
                    points: Vec::new(),
                };
                let count = if counts.is_null(row) { 0.0 } else { counts.value(row) };
                let series = series.entry(ids.value(row).to_vec()).or_insert_with(made);
                series.points.push((times.value(row), numbers.value(row), count));
            }
            Ok(())
        })
        .await?;
    if left_out > 0 {
        inquiry.note(format!("{left_out} samples of pools and processors beyond {SAMPLES_MAX} were left out"));
    }
    let mut series: Vec<Series> = series.into_values().collect();
    for series in &mut series {
        series.points.sort_by_key(|point| point.0);
        // Told twice is one sample.
        series.points.dedup_by_key(|point| point.0);
    }
    Ok(series)
}

impl Series {
    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    /// The largest value in a window.
    fn most(&self, window: Window) -> Option<f64> {
        let inside = self.points.iter().filter(|(time, ..)| window.contains(*time));
        inside.map(|(_, value, _)| *value).reduce(f64::max)
    }

    /// What a counter and its count rose by in a window, over how many seconds; a counter that falls began anew.
    fn rise(&self, window: Window) -> Option<(f64, f64, f64)> {
        let pairs = self.points.windows(2).filter(|pair| window.contains(pair[0].0) && window.contains(pair[1].0));
        let rise = |before: f64, after: f64| if after >= before { after - before } else { after };
        let add = |sum: (f64, f64, f64), pair: &[(i64, f64, f64)]| {
            let ((begin, value, count), (end, next, next_count)) = (pair[0], pair[1]);
            (sum.0 + rise(value, next), sum.1 + rise(count, next_count), sum.2 + (end - begin) as f64 / 1e9)
        };
        Some(pairs.fold((0.0, 0.0, 0.0), add)).filter(|(.., seconds)| *seconds > 0.0)
    }
}

/// One pool of one instance.
#[derive(Debug, Default, Clone, Copy)]
struct Pool {
    max: Option<f64>,
    used: (Option<f64>, Option<f64>),
    pending: (Option<f64>, Option<f64>),
    wait_s: (Option<f64>, Option<f64>),
}

/// The pools that are not as before; each service's worst.
fn pools(series: &[Series], before: Window, since: Window) -> BTreeMap<String, Finding> {
    let mut pools: BTreeMap<(&str, &str, &str), Pool> = BTreeMap::new();
    for it in series {
        let pool = pools.entry((&it.service, &it.pool, &it.instance)).or_default();
        let most = || (it.most(before), it.most(since));
        if it.is(&POOL_MAX) {
            pool.max = it.most(since);
        } else if it.is(&POOL_COUNT) && it.state == POOL_USED {
            pool.used = most();
        } else if it.is(&POOL_PENDING) {
            pool.pending = most();
        } else if it.is(&POOL_WAIT) {
            let scale = seconds(&it.unit).unwrap_or(1.0);
            let mean = |window| it.rise(window).filter(|rise| rise.1 > 0.0).map(|(sum, count, _)| sum / count * scale);
            pool.wait_s = (mean(before), mean(since));
        }
    }
    let mut found: BTreeMap<String, Finding> = BTreeMap::new();
    for ((service, name, _), pool) in pools {
        let Some(finding) = pool.finding(service, name, since) else { continue };
        if found.get(service).is_none_or(|other| finding.effect > other.effect) {
            found.insert(service.to_owned(), finding);
        }
    }
    found
}

impl Pool {
    fn finding(self, service: &str, name: &str, since: Window) -> Option<Finding> {
        let share = |used: Option<f64>| Some(used? / self.max.filter(|max| *max > 0.0)?);
        let (usual, now) = (share(self.used.0).unwrap_or(0.0), share(self.used.1).unwrap_or(0.0));
        let is_full = now >= FULL_MIN && usual < FULL_MIN;
        let queued = self.pending.1.filter(|now| *now > self.pending.0.unwrap_or(0.0).max(0.0));
        let (waited, waits) = (self.wait_s.0.unwrap_or(0.0), self.wait_s.1.unwrap_or(0.0));
        let is_slow = waits >= WAIT_MIN_S && waits >= waited * WAIT_RATIO_MIN;
        if !is_full && !is_slow && queued.is_none() {
            return None;
        }
        let mut told = Vec::new();
        if let (Some(used), Some(max)) = (self.used.1, self.max) {
            told.push(format!(
                "{used:.0} of {max:.0} connections are taken, at most {:.0} before",
                self.used.0.unwrap_or(0.0)
            ));
        }
        if let Some(queued) = queued {
            told.push(format!("up to {queued:.0} requests wait for one"));
        }
        if is_slow {
            told.push(format!("waiting takes {}, {} before", duration(waits * 1e3), duration(waited * 1e3)));
        }
        Some(Finding {
            statement: format!("pool {name} of {service}: {}", told.join("; ")),
            effect: now - usual + waits,
            support: u64::from(is_full) + u64::from(is_slow) + u64::from(queued.is_some()),
            q_value: None,
            query: query(&[POOL_COUNT, POOL_MAX, POOL_PENDING, POOL_WAIT].concat(), service, since),
        })
    }
}

/// Services whose processor time did not rise.
fn calm(series: &[Series], before: Window, since: Window) -> BTreeMap<String, Finding> {
    let mut cores: BTreeMap<(&str, &str), (f64, f64, bool)> = BTreeMap::new();
    for it in series.iter().filter(|it| it.is(&CPU_TIMES)) {
        let rate = |window| it.rise(window).map(|(sum, _, seconds)| sum / seconds);
        let (usual, now) = (rate(before), rate(since));
        let sums = cores.entry((&it.service, &it.name)).or_default();
        *sums =
            (sums.0 + usual.unwrap_or(0.0), sums.1 + now.unwrap_or(0.0), sums.2 || (usual.is_some() && now.is_some()));
    }
    let calm = cores
        .into_iter()
        .filter(|(_, (usual, now, known))| *known && *now <= (usual * CPU_RATIO_MAX).max(usual + CPU_RISE_MAX));
    let told = |((service, name), (usual, now, _)): ((&str, &str), (f64, f64, bool))| {
        let finding = Finding {
            statement: format!("the processor time of {service} stayed normal: {now:.2} cores, {usual:.2} before"),
            effect: now - usual,
            support: 1,
            q_value: None,
            query: query(&[name], service, since),
        };
        (service.to_owned(), finding)
    };
    calm.map(told).collect()
}

fn query(names: &[&str], service: &str, since: Window) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!(
        "SELECT m.time >= '{}' AS after, s.name, attr(s, 'db.client.connection.state') AS state, max(m.value) AS most, \
         max(m.sum) AS sum, max(m.count) AS count FROM metric_samples m JOIN metric_series s ON m.series_id = s.series_id \
         WHERE s.name IN ({}) AND s.service_name = {} GROUP BY 1, 2, 3 ORDER BY 2, 3, 1",
        since.start,
        names.join(", "),
        quoted(service)
    )
}
