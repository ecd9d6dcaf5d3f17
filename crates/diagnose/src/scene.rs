//! What is the symptom, exactly? The requests that show it, when they began to, and what they were like before: what all later steps of
//! the loop start from.
//!
//! A request is *affected* when it fails (signal errors) or takes longer than a threshold (signal latency). The threshold is the one of
//! five quantiles of all durations whose exceedance changed most, so that a shift of the median and one of the tail alone are
//! both found; exceedances are binomial, and [`crate::onset`] places their rise.

use causeway_model::Result;

use crate::ask::Inquiry;
use crate::entries::{self, Event, Operation, counted, durations, red, within};
use crate::onset::{self, BUCKETS_MAX, Stretch};
use crate::statistics::{Counted, chi_squared_tail, g_counted};
use crate::types::{Onset, Red, Signal, Symptom, Time, Window};
use crate::weights::Weights;

/// Widths of buckets in seconds: those that people read off a clock.
const WIDTHS_S: [i64; 16] = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 10_800, 86_400];
/// Quantiles of all durations that are tried as thresholds.
const THRESHOLDS: [f64; 5] = [0.5, 0.75, 0.9, 0.95, 0.99];
/// Latency got worse when p50 or p95 rose by this factor: less is not what anyone is woken up for.
const LATENCY_RATIO_MIN: f64 = 1.3;
/// And by this much, in microseconds.
const LATENCY_RISE_MIN_US: f64 = 1_000.0;
/// Below the entry points this much: what nobody who uses the system notices is no symptom (Miller 1968: a tenth of a second).
const LATENCY_RISE_INNER_MIN_US: f64 = 100_000.0;
/// Errors got worse when their rate rose by this factor and this share.
const ERROR_RATIO_MIN: f64 = 2.0;
/// As above.
const ERROR_RISE_MIN: f64 = 0.005;
/// Requests became more when there were so many deviations more than the time before lets expect (Poisson). They may then take as many
/// times longer: a system that is busier and slower in proportion is busy, not broken.
const BUSIER_DEVIATIONS: f64 = 3.0;
/// Requests in the stretch: with fewer a quantile says nothing.
const REQUESTS_MIN: f64 = 20.0;
/// What a failed request weighs when the worst operation is chosen. A slow one weighs how often its time has doubled, up to as much: one
/// that takes eight times as long is as good as lost.
const SEVERITY_MAX: f64 = 3.0;
/// Requests became more or fewer when their rate moved by this factor.
const TRAFFIC_RATIO_MIN: f64 = 1.5;
/// Time before the window that serves as its past: as long as the window, at least 10 minutes, at most a day.
const LOOKBACK_NS: (i64, i64) = (600_000_000_000, 86_400_000_000_000);
/// Probability with which the interval of the onset holds it.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// What broke, as far as the requests tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Broke {
    /// Requests fail or take longer, or stay away.
    Yes(Signal),
    /// Nothing; requests became more by this factor.
    OnlyTraffic(f64),
    /// Nothing.
    Nothing,
}

/// The symptom with its time.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    /// The symptom with nothing missing.
    pub symptom: Symptom,
    pub broke: Broke,
    pub statement: String,
    /// All time that was looked at.
    pub window: Window,
    /// Where all was well.
    pub baseline: Window,
    /// Where it was not; the asker's window when nothing broke.
    pub affected: Window,
    pub onset: Option<Onset>,
    pub ongoing: bool,
    /// A request that takes longer is affected.
    pub threshold_us: u32,
    pub before: Red,
    pub after: Red,
    /// All that was loaded; `chosen` shows the symptom.
    pub operations: Vec<Operation>,
    pub chosen: Option<usize>,
    /// Whether its spans are counted by weight.
    pub weights: Weights,
}

impl Scene {
    /// With nothing known yet.
    fn bare(asked: &Symptom, operations: Vec<Operation>, window: Window, weights: Weights) -> Self {
        Self {
            symptom: asked.clone(),
            broke: Broke::Nothing,
            statement: String::new(),
            window,
            baseline: asked.baseline.unwrap_or(Window::new(window.start.0, asked.start.0.max(window.start.0))),
            affected: asked.window(),
            onset: None,
            ongoing: false,
            threshold_us: u32::MAX,
            before: Red::default(),
            after: Red::default(),
            chosen: None,
            operations,
            weights,
        }
    }

    /// Whether the symptom is on this request.
    pub fn is_affected(&self, event: &Event) -> bool {
        match self.broke {
            Broke::Yes(Signal::Errors) => event.failed,
            _ => event.duration_us > self.threshold_us,
        }
    }

    /// Whether each request shows the symptom, and how much it tells.
    fn told(&self, events: &[Event]) -> Vec<(bool, f64)> {
        let design = counted(events, |_| true).design();
        events.iter().map(|event| (self.is_affected(event), f64::from(event.weight) / design)).collect()
    }

    /// Lets the affected time begin with the symptom, where a baseline rather than a scan has found it.
    pub fn begin_with_symptom(&mut self) {
        let rate = |window| counted(within(self.events(), window), |event| self.is_affected(event)).rate();
        let events = within(self.events(), self.affected);
        let (begin, ..) = onset::refine(&self.told(events), rate(self.baseline), rate(self.affected), 1.0);
        if let Some(time) = events.get(begin).map(|event| event.time) {
            self.affected.start = Time(time);
        }
    }

    /// The requests that may show the symptom.
    pub fn events(&self) -> &[Event] {
        self.chosen.and_then(|at| self.operations.get(at)).map_or(&[], |operation| &operation.events)
    }

    /// The condition on spans for an affected request.
    pub fn affected_condition(&self) -> String {
        match self.broke {
            Broke::Yes(Signal::Errors) => "status_code = 2".to_owned(),
            _ => format!("duration_ns > {}", i64::from(self.threshold_us) * 1000 + 999),
        }
    }

    /// When the symptom began, or the begin of the asker's window.
    pub fn began(&self) -> (i64, i64, i64) {
        self.onset.map_or((self.affected.start.0, self.affected.start.0, self.affected.start.0), |onset| {
            (onset.time.0, onset.earliest.0, onset.latest.0)
        })
    }
}

/// Equal buckets over a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub start: i64,
    pub width: i64,
    pub buckets: usize,
}

impl Grid {
    pub fn over(window: Window) -> Self {
        let length = window.end.0.saturating_sub(window.start.0).max(1);
        let fits = |width: &i64| length / (width * 1_000_000_000) < BUCKETS_MAX as i64;
        let wide = length / BUCKETS_MAX as i64 + 1;
        let width = WIDTHS_S.into_iter().find(fits).map_or(wide, |seconds| seconds * 1_000_000_000);
        // Buckets begin at whole multiples, so that two looks at the same minute see the same minute.
        let start = window.start.0.div_euclid(width) * width;
        let buckets = usize::try_from((window.end.0 - start + width - 1) / width).unwrap_or(1).max(1);
        Self { start, width, buckets }
    }

    pub fn bucket(&self, time: i64) -> usize {
        usize::try_from((time - self.start) / self.width).unwrap_or(0).min(self.buckets - 1)
    }

    pub fn time(&self, bucket: usize) -> i64 {
        self.start + self.width * i64::try_from(bucket).unwrap_or(0)
    }

    fn count<'a>(&self, events: impl IntoIterator<Item = &'a Event>, hit: impl Fn(&Event) -> bool) -> Vec<Counted> {
        let mut buckets = vec![Counted::default(); self.buckets];
        for event in events {
            buckets[self.bucket(event.time)].add(hit(event), f64::from(event.weight));
        }
        buckets
    }
}

/// One operation's symptom.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    signal: Signal,
    threshold_us: u32,
    /// Missing where the asker gave the baseline.
    stretch: Option<Stretch>,
    /// Requests affected beyond the usual, weighted.
    excess: f64,
}

/// Looks at the requests and finds the symptom.
pub(crate) async fn look(inquiry: &Inquiry<'_>, symptom: &Symptom) -> Result<Scene> {
    symptom.window().check()?;
    let asked = symptom.window();
    let lookback = (asked.end.0 - asked.start.0).clamp(LOOKBACK_NS.0, LOOKBACK_NS.1);
    let mut window = Window::new(asked.start.0.saturating_sub(lookback), asked.end.0);
    let (mut operations, weights);
    if let Some(baseline) = symptom.baseline {
        baseline.check()?;
        weights = Weights::of(inquiry, &[asked, baseline]).await?;
        operations = entries::load(inquiry, symptom, asked, weights).await?;
        let before = entries::load(inquiry, symptom, baseline, weights).await?;
        merge(&mut operations, before);
        window = Window::new(baseline.start.0.min(asked.start.0), baseline.end.0.max(asked.end.0));
    } else {
        weights = Weights::of(inquiry, &[window]).await?;
        operations = entries::load(inquiry, symptom, window, weights).await?;
        // A store that is younger than the window has no past before its first request.
        let first = operations.iter().filter_map(|operation| operation.events.first()).map(|event| event.time).min();
        window.start.0 = first.unwrap_or(window.start.0).max(window.start.0);
    }
    let grid = Grid::over(window);
    let found = worst(&operations, symptom, &grid);
    let bare = Scene::bare(symptom, operations, window, weights);
    Ok(scene(bare, found, &grid))
}

fn merge(into: &mut Vec<Operation>, from: Vec<Operation>) {
    for operation in from {
        let same = |other: &&mut Operation| {
            other.service == operation.service && other.name == operation.name && other.root == operation.root
        };
        match into.iter_mut().find(same) {
            Some(other) => {
                other.events.extend(operation.events);
                other.events.sort_unstable_by_key(|event| (event.time, event.duration_us));
            }
            None => into.push(operation),
        }
    }
}

/// The operation with the largest excess: among those at which requests enter the system when any of them shows one, as what is wrong
/// deeper down is felt there too.
fn worst(operations: &[Operation], symptom: &Symptom, grid: &Grid) -> Option<(usize, Candidate)> {
    let of = |roots: bool| {
        operations
            .iter()
            .enumerate()
            .filter(|(_, operation)| operation.root == roots)
            .filter_map(|(at, operation)| Some((at, candidate(operations, operation, symptom, grid)?)))
            .max_by(|(_, a), (_, b)| a.excess.total_cmp(&b.excess))
    };
    of(true).or_else(|| of(false))
}

fn candidate(all: &[Operation], operation: &Operation, symptom: &Symptom, grid: &Grid) -> Option<Candidate> {
    let events = &operation.events;
    let errors = || candidate_of(all, operation, symptom, grid, Signal::Errors, 0);
    let latency = || {
        let durations = durations(events);
        let mut thresholds: Vec<u32> =
            THRESHOLDS.iter().filter_map(|share| durations.quantile(*share)).map(|us| us as u32).collect();
        thresholds.dedup();
        let tried =
            thresholds.into_iter().filter_map(|us| candidate_of(all, operation, symptom, grid, Signal::Latency, us));
        // The smallest p-value tells apart best; of equals, the larger excess.
        let strength = |candidate: &Candidate| candidate.stretch.map_or(0.0, |stretch| -stretch.p_value);
        tried.max_by(|a, b| strength(a).total_cmp(&strength(b)).then(a.excess.total_cmp(&b.excess)))
    };
    match symptom.signal {
        Signal::Errors => errors(),
        Signal::Latency => latency(),
        Signal::Traffic => None,
        Signal::Auto => [errors(), latency()].into_iter().flatten().max_by(|a, b| a.excess.total_cmp(&b.excess)),
    }
}

fn candidate_of(
    all: &[Operation],
    operation: &Operation,
    symptom: &Symptom,
    grid: &Grid,
    signal: Signal,
    threshold_us: u32,
) -> Option<Candidate> {
    let events = &operation.events;
    let hit = |event: &Event| if signal == Signal::Errors { event.failed } else { event.duration_us > threshold_us };
    let mut busier = 1.0;
    let (stretch, inside, outside): (Option<Stretch>, Vec<Event>, Vec<Event>) = match symptom.baseline {
        Some(baseline) => (None, within(events, symptom.window()).to_vec(), within(events, baseline).to_vec()),
        None => {
            let stretch = onset::scan_steps(&grid.count(events, hit), grid.bucket(symptom.start.0))?;
            let window = Window::new(grid.time(stretch.begin), grid.time(stretch.end));
            let (inside, outside) = events.iter().copied().partition(|event| window.contains(event.time));
            busier = traffic_ratio(all, window, grid);
            (Some(stretch), inside, outside)
        }
    };
    let (now, before) = (counted(&inside, hit), counted(&outside, hit));
    if now.effective().1 < REQUESTS_MIN || before.effective().1 < REQUESTS_MIN {
        return None;
    }
    if stretch.is_none() && chi_squared_tail(g_counted(now, before)) > 1e-4 {
        return None;
    }
    let (rate, usual) = (now.rate(), before.rate());
    let severity = match signal {
        Signal::Errors => (rate - usual >= ERROR_RISE_MIN && rate >= usual * ERROR_RATIO_MIN).then_some(SEVERITY_MAX),
        // Whoever names an operation cares for it.
        _ if operation.root || symptom.service.is_some() => slower(&inside, &outside, LATENCY_RISE_MIN_US, busier),
        _ => slower(&inside, &outside, LATENCY_RISE_INNER_MIN_US, busier),
    };
    let excess = (rate - usual) * now.trials * severity?;
    Some(Candidate { signal, threshold_us, stretch, excess })
}

/// How many times as many requests came into the system in a stretch as before it; 1 where that may be chance.
fn traffic_ratio(operations: &[Operation], stretch: Window, grid: &Grid) -> f64 {
    let before = Window::new(grid.start, stretch.start.0);
    let any_root = operations.iter().any(|operation| operation.root);
    let entering = operations.iter().filter(|operation| operation.root == any_root);
    let all = |events, window| counted(within(events, window), |_| true);
    let (inside, usual) = entering.fold((Counted::default(), Counted::default()), |(inside, usual), operation| {
        (inside.plus(all(&operation.events, stretch)), usual.plus(all(&operation.events, before)))
    });
    let expected = usual.trials / before.seconds().max(1.0) * stretch.seconds();
    let deviation = (expected * inside.plus(usual).design()).sqrt();
    let is_more = expected > 0.0 && inside.trials > expected + BUSIER_DEVIATIONS * deviation;
    if is_more { inside.trials / expected } else { 1.0 }
}

/// How much slower requests got, in doublings; nothing where that is not what anyone would notice.
fn slower(inside: &[Event], outside: &[Event], rise_min_us: f64, busier: f64) -> Option<f64> {
    let (inside, outside) = (durations(inside), durations(outside));
    let doublings = [0.5, 0.95].into_iter().filter_map(|share| {
        let (now, usual) = (inside.quantile(share)?, outside.quantile(share)?.max(1.0));
        let worse = now >= usual * LATENCY_RATIO_MIN * busier && now - usual >= rise_min_us;
        worse.then(|| (now / usual).log2().min(SEVERITY_MAX))
    });
    doublings.reduce(f64::max)
}

fn scene(mut scene: Scene, found: Option<(usize, Candidate)>, grid: &Grid) -> Scene {
    match found {
        Some((at, candidate)) => broken(&mut scene, at, &candidate, grid),
        None => unbroken(&mut scene, grid),
    }
    let events = scene.events();
    let (before, after) = (
        red(within(events, scene.baseline), scene.baseline.seconds()),
        red(within(events, scene.affected), scene.affected.seconds()),
    );
    (scene.before, scene.after) = (before, after);
    scene.statement = statement(&scene);
    scene
}

fn broken(scene: &mut Scene, at: usize, candidate: &Candidate, grid: &Grid) {
    scene.chosen = Some(at);
    scene.broke = Broke::Yes(candidate.signal);
    scene.threshold_us = if candidate.signal == Signal::Errors { u32::MAX } else { candidate.threshold_us };
    scene.symptom.signal = candidate.signal;
    let operation = &scene.operations[at];
    scene.symptom.service = Some(operation.service.clone());
    scene.symptom.operation = Some(operation.name.clone());
    let last = operation.events.last().map_or(scene.window.end.0, |event| event.time);
    let Some(stretch) = candidate.stretch else {
        scene.ongoing = true;
        return;
    };
    let onset = refined(scene, &stretch, grid);
    // The last two buckets may be incomplete; a stretch that reaches them has not ended.
    scene.ongoing = stretch.end + 1 > grid.bucket(last);
    let end = if scene.ongoing { scene.window.end.0 } else { grid.time(stretch.end) };
    scene.affected = Window::new(onset.time.0, end.max(onset.time.0 + 1));
    scene.baseline = Window::new(scene.window.start.0, onset.earliest.0.max(scene.window.start.0 + 1));
    scene.onset = Some(onset);
}

/// The onset among single requests near the bucket that the scan found.
fn refined(scene: &Scene, stretch: &Stretch, grid: &Grid) -> Onset {
    let near =
        Window::new(grid.time(stretch.earliest.saturating_sub(2)), grid.time((stretch.latest + 3).min(stretch.end)));
    let events = within(scene.events(), near);
    let told = scene.told(events);
    let (begin, earliest, latest) = onset::refine(&told, stretch.rate_outside, stretch.rate, stretch.dispersion);
    let time = |at: usize| events.get(at).or(events.last()).map_or(grid.time(stretch.begin), |event| event.time);
    // The begin lies after the last request that was as usual, so the interval opens at the one before.
    Onset {
        time: Time(time(begin)),
        earliest: Time(time(earliest.saturating_sub(1))),
        latest: Time(time(latest)),
        confidence: CONFIDENCE,
    }
}

/// Nothing got worse: was it busier, or quieter?
fn unbroken(scene: &mut Scene, grid: &Grid) {
    let roots = scene.operations.iter().any(|operation| operation.root);
    let entering = || scene.operations.iter().enumerate().filter(|(_, it)| it.root == roots);
    let requests = |operation: &Operation| counted(&operation.events, |_| true);
    scene.chosen = entering().max_by(|a, b| requests(a.1).trials.total_cmp(&requests(b.1).trials)).map(|(at, _)| at);
    let mut buckets = grid.count(entering().flat_map(|(_, it)| &it.events), |_| true);
    // The last bucket is rarely whole.
    buckets.pop();
    let most = buckets.iter().map(|bucket| bucket.hits).fold(0.0, f64::max);
    // An empty bucket is as sure as the others are.
    let usual = buckets.iter().copied().fold(Counted::default(), Counted::plus).design();
    let of = |bucket: &Counted, trials: f64, hits: f64| {
        let design = if bucket.trials > 0.0 { bucket.design() } else { usual };
        Counted { hits, trials, squares: trials * design }
    };
    // Counts are Poisson: binomial with very many trials. Missing ones are what lacks to the busiest bucket.
    let many = (most * 1000.0).max(1e7);
    let rise: Vec<Counted> = buckets.iter().map(|bucket| of(bucket, many, bucket.hits)).collect();
    let fall: Vec<Counted> = buckets.iter().map(|bucket| of(bucket, most, most - bucket.hits)).collect();
    let reach = grid.bucket(scene.symptom.start.0).min(grid.buckets.saturating_sub(2));
    if scene.symptom.baseline.is_some() {
        return;
    }
    if let Some(stretch) = onset::scan(&rise, reach).filter(|it| it.rate >= it.rate_outside * TRAFFIC_RATIO_MIN) {
        scene.broke = Broke::OnlyTraffic(stretch.rate / stretch.rate_outside.max(1e-12));
        place_traffic(scene, &stretch, grid);
    } else if let Some(stretch) =
        onset::scan(&fall, reach).filter(|it| (1.0 - it.rate) * TRAFFIC_RATIO_MIN <= 1.0 - it.rate_outside)
    {
        scene.broke = Broke::Yes(Signal::Traffic);
        place_traffic(scene, &stretch, grid);
    }
}

fn place_traffic(scene: &mut Scene, stretch: &Stretch, grid: &Grid) {
    let time = Time(grid.time(stretch.begin));
    let (earliest, latest) = (Time(grid.time(stretch.earliest)), Time(grid.time(stretch.latest + 1)));
    scene.symptom.signal = Signal::Traffic;
    scene.onset = Some(Onset { time, earliest, latest, confidence: CONFIDENCE });
    scene.ongoing = stretch.end + 2 >= grid.buckets;
    scene.baseline = Window::new(scene.window.start.0, time.0);
    scene.affected = Window::new(time.0, if scene.ongoing { scene.window.end.0 } else { grid.time(stretch.end) });
}

fn statement(scene: &Scene) -> String {
    let named = scene.chosen.and_then(|at| scene.operations.get(at));
    let name = named.map_or("requests".to_owned(), |it| format!("{} {}", it.service, it.name));
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), crate::types::duration);
    let (before, after) = (&scene.before, &scene.after);
    let since = scene.onset.map_or(String::new(), |onset| format!(" since {}", onset.time));
    match scene.broke {
        Broke::Yes(Signal::Errors) => format!(
            "{name}: {:.2} % of requests fail, {:.2} % before{since}",
            after.error_rate * 100.0,
            before.error_rate * 100.0
        ),
        Broke::Yes(Signal::Traffic) => {
            format!("{name}: {:.1} requests a second, {:.1} before{since}", after.requests_per_s, before.requests_per_s)
        }
        Broke::Yes(_) => format!(
            "{name}: p95 {}, {} before; p50 {}, {} before{since}",
            ms(after.p95_ms),
            ms(before.p95_ms),
            ms(after.p50_ms),
            ms(before.p50_ms)
        ),
        Broke::OnlyTraffic(ratio) => {
            format!(
                "nothing is broken: {ratio:.1} times as many requests{since}, neither slower nor failing more often"
            )
        }
        Broke::Nothing if named.is_none() => "there are no requests in this time".to_owned(),
        Broke::Nothing => "nothing is broken: no operation got slower or fails more often".to_owned(),
    }
}

impl Scene {
    /// Where nothing broke, the slowest twentieth of the asker's window stands in for the affected requests, so that the rest of the loop
    /// still has an answer to "where does the time go".
    pub fn slowest_without_onset(&mut self) {
        if matches!(self.broke, Broke::Yes(Signal::Errors | Signal::Latency)) {
            return;
        }
        let Some(operation) = self.chosen.and_then(|at| self.operations.get(at)) else { return };
        self.affected = self.symptom.window();
        self.baseline = self.affected;
        let durations = durations(within(&operation.events, self.affected));
        self.threshold_us = durations.quantile(0.95).unwrap_or(0.0) as u32;
        self.symptom.service = Some(operation.service.clone());
        self.symptom.operation = Some(operation.name.clone());
    }
}
