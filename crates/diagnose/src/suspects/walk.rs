//! Where does the damage lie when no spans tell? A walk along the graph of calls by metrics alone: what is anomalous and not explained by an
//! anomalous callee.
//!
//! Damage is counted in what adds up along calls: the time that all requests together took beyond the usual (Little's law, 1961: requests
//! times duration), or the requests that failed beyond the usual. A service holds what its callees do not: its own excess less theirs. What is usual is
//! the median of the reference, and how much it varies the median of the deviations (Hampel 1974) or the reference's own outliers, whichever is more.
//! Only the buckets count in which the symptom shows, and what a service had too much of in the calm ones beside them is its usual, too. No
//! more can be a callee's fault than its caller lacks.

use std::collections::{BTreeMap, BTreeSet};

use causeway_model::Result;

use super::place::{Dependency, Places};
use crate::ask::{Inquiry, quoted};
use crate::meters::{self, Meters};
use crate::scene::{Broke, Scene};
use crate::statistics::mean;
use crate::types::{Finding, Onset, Signal, Time, Window};

/// A bucket shows the symptom from so many deviations on: the usual three sigmas.
const SYMPTOM_MIN: f64 = 3.0;
/// A service beside it is anomalous from so many on: it need not stand out as much, as it has to do so at the same time.
const ANOMALY_MIN: f64 = 2.0;
/// Buckets of the reference that it takes to know what is usual.
const REFERENCE_MIN: usize = 5;
/// Services vary by this share of their usual at least, however calm the reference was.
const SPREAD_MIN: f64 = 0.02;
/// The reference's outliers begin at this quantile.
const OUTLIERS: f64 = 0.99;
/// Steps from the symptom: no graph of services is deeper.
const DEPTH_MAX: usize = 50;

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Where the damage lies.
    pub places: Places,
    /// What shows it, by service.
    pub findings: BTreeMap<String, Vec<Finding>>,
    /// Whether the symptom itself stands out.
    pub is_plain: bool,
}

/// One service beside its reference.
#[derive(Debug, Default)]
struct Node {
    usual: f64,
    /// By bucket: excess of all requests together, and by how many deviations one stands out.
    excess: BTreeMap<i64, (f64, f64)>,
}

/// Walks, where there are metrics to walk by; the scene is then of what they show.
pub(super) async fn walk(inquiry: &Inquiry<'_>, scene: &mut Scene) -> Result<Option<Walked>> {
    let asked = scene.symptom.window();
    let meters = meters::load(inquiry, &[scene.baseline, asked]).await?;
    let signals = match scene.symptom.signal {
        Signal::Auto => vec![Signal::Errors, Signal::Latency],
        Signal::Traffic => Vec::new(),
        signal => vec![signal],
    };
    let mut best: Option<(f64, Signal, String, BTreeMap<String, Node>)> = None;
    for signal in signals {
        let nodes = nodes(&meters, scene.baseline, asked, signal == Signal::Errors);
        for entry in entries(&meters, &nodes, scene.symptom.service.as_deref()) {
            let most = nodes.get(&entry).map_or(0.0, Node::most);
            if best.as_ref().is_none_or(|(other, ..)| most > *other) {
                best = Some((most, signal, entry, BTreeMap::new()));
            }
        }
        if let Some(best) = best.as_mut().filter(|best| best.1 == signal) {
            best.3 = nodes;
        }
    }
    let Some((most, signal, entry, nodes)) = best.filter(|(most, ..)| *most >= ANOMALY_MIN) else { return Ok(None) };
    let buckets = symptomatic(&nodes, &entry);
    let shares = shares(&meters, &nodes, &entry, &buckets);
    let findings = findings(&nodes, &shares, &buckets, signal, scene);
    place_scene(scene, &entry, signal, &buckets, meters.width, nodes.get(&entry).map_or(0.0, |it| it.usual));
    Ok(Some(Walked { places: places(&meters, shares), findings, is_plain: most >= SYMPTOM_MIN }))
}

impl Node {
    fn most(&self) -> f64 {
        self.excess.values().map(|(_, deviations)| *deviations).fold(0.0, f64::max)
    }
}

fn nodes(meters: &Meters, reference: Window, asked: Window, errors: bool) -> BTreeMap<String, Node> {
    let node = |service: &meters::Service| {
        let known = service.costs(reference, meters.width, errors);
        let mut costs: Vec<f64> = known.values().map(|(_, cost)| *cost).collect();
        if costs.len() < REFERENCE_MIN {
            return None;
        }
        let usual = quantile(&mut costs, 0.5);
        let mut off: Vec<f64> = costs.iter().map(|cost| (cost - usual).abs()).collect();
        let outliers = (quantile(&mut costs, OUTLIERS) - usual) / SYMPTOM_MIN;
        // 1.4826 makes the median of deviations a standard deviation where they are normal.
        let spread = (quantile(&mut off, 0.5) * 1.4826).max(outliers).max(usual.abs() * SPREAD_MIN).max(1e-9);
        let excess = service.costs(asked, meters.width, errors).into_iter();
        let excess =
            excess.map(|(at, (requests, cost))| (at, (requests * (cost - usual), (cost - usual) / spread))).collect();
        Some(Node { usual, excess })
    };
    meters.services.iter().filter_map(|(name, service)| Some((name.clone(), node(service)?))).collect()
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * share) as usize).or(values.last()).copied().unwrap_or(0.0)
}

/// Where the walk may begin: at the service that was named, else at those that nobody calls.
fn entries(meters: &Meters, nodes: &BTreeMap<String, Node>, named: Option<&str>) -> Vec<String> {
    if let Some(named) = named {
        return vec![named.to_owned()];
    }
    let called: BTreeSet<&String> = meters.calls.values().flatten().collect();
    let free: Vec<String> = nodes.keys().filter(|name| !called.contains(name)).cloned().collect();
    if free.is_empty() { nodes.keys().cloned().collect() } else { free }
}

/// The buckets in which the symptom shows; the worst one where none does plainly.
fn symptomatic(nodes: &BTreeMap<String, Node>, entry: &str) -> BTreeSet<i64> {
    let Some(node) = nodes.get(entry) else { return BTreeSet::new() };
    let least = node.most().min(SYMPTOM_MIN);
    node.excess.iter().filter(|(_, (_, deviations))| *deviations >= least).map(|(at, _)| *at).collect()
}

/// Each service's share of the damage behind the entry, largest first in none: what it holds itself.
fn shares(
    meters: &Meters,
    nodes: &BTreeMap<String, Node>,
    entry: &str,
    buckets: &BTreeSet<i64>,
) -> BTreeMap<String, f64> {
    let calm: BTreeSet<i64> = nodes.get(entry).map_or_else(BTreeSet::new, |it| it.excess.keys().copied().collect());
    let calm: Vec<i64> = calm.difference(buckets).copied().collect();
    let damage = |node: &Node| {
        let beside: Vec<f64> = calm.iter().filter_map(|at| node.excess.get(at)).map(|(excess, _)| *excess).collect();
        let beside = mean(&beside).max(0.0);
        let counted = buckets.iter().filter_map(|at| node.excess.get(at)).filter(|(_, it)| *it >= ANOMALY_MIN);
        counted.map(|(excess, _)| (excess - beside).max(0.0)).sum::<f64>()
    };
    let damages: BTreeMap<&str, f64> = nodes.iter().map(|(name, node)| (name.as_str(), damage(node))).collect();
    let of = |name: &str| damages.get(name).copied().unwrap_or(0.0);
    let none = BTreeSet::new();
    let callees = |name: &str| meters.calls.get(name).unwrap_or(&none);
    // The most that each can have passed on to the entry: the least on the best way there.
    let mut passes: BTreeMap<&str, f64> = BTreeMap::from([(entry, of(entry))]);
    for _ in 0..DEPTH_MAX {
        let mut grown = passes.clone();
        for (name, passed) in &passes {
            for callee in callees(name).iter().filter(|it| it.as_str() != entry) {
                // A service without metrics hides nothing of what lies behind it.
                let own = if nodes.contains_key(callee) { of(callee) } else { f64::INFINITY };
                let known = grown.entry(callee).or_default();
                *known = known.max(passed.min(own));
            }
        }
        if grown == passes {
            break;
        }
        passes = grown;
    }
    let own = |name: &str, passed: f64| {
        let below: f64 = callees(name).iter().filter(|it| it.as_str() != name).map(|it| of(it)).sum();
        (of(name) - below).clamp(0.0, passed)
    };
    let own: BTreeMap<String, f64> =
        passes.iter().map(|(name, passed)| ((*name).to_owned(), own(name, *passed))).collect();
    let whole: f64 = own.values().sum();
    if whole <= 0.0 {
        return BTreeMap::new();
    }
    own.into_iter().map(|(name, own)| (name, own / whole)).collect()
}

/// Who only ever is called and says nothing itself is something outside.
fn places(meters: &Meters, shares: BTreeMap<String, f64>) -> Places {
    let mut places = Places::default();
    for (name, share) in shares {
        if meters.services.contains_key(&name) {
            places.own.insert(name, share);
            continue;
        }
        let callers: Vec<&String> =
            meters.calls.iter().filter(|(_, it)| it.contains(&name)).map(|(it, _)| it).collect();
        let part = share / callers.len().max(1) as f64;
        let callers = callers.into_iter().map(|caller| (caller.clone(), part)).collect();
        places.dependencies.insert(name, Dependency { share, callers, steps: Vec::new() });
    }
    places
}

fn findings(
    nodes: &BTreeMap<String, Node>,
    shares: &BTreeMap<String, f64>,
    buckets: &BTreeSet<i64>,
    signal: Signal,
    scene: &Scene,
) -> BTreeMap<String, Vec<Finding>> {
    let finding = |(name, share): (&String, &f64)| {
        let node = nodes.get(name).filter(|_| *share > 0.0)?;
        let shown = buckets.iter().filter_map(|at| node.excess.get(at));
        let deviations = shown.clone().map(|(_, it)| *it).fold(0.0, f64::max);
        let excess: f64 = shown.map(|(excess, _)| excess.max(0.0)).sum();
        let what = match signal {
            Signal::Errors => format!("{excess:.1} more of its requests failed"),
            _ => format!("its requests took {excess:.1} s more in all"),
        };
        let statement = format!(
            "{name}: {what} than usual ({deviations:.1} deviations), {:.0} % of the damage behind the symptom and not its callees'",
            share * 100.0
        );
        let query = format!(
            "SELECT m.time, s.name, m.value, m.sum, m.count FROM metric_samples m JOIN metric_series s ON m.series_id = s.series_id \
             WHERE (s.service_name = {0} OR attr(s, 'server') = {0}) AND m.time >= '{1}' AND m.time < '{2}' ORDER BY 2, 1",
            quoted(name),
            scene.symptom.start,
            scene.symptom.end
        );
        let finding = Finding { statement, effect: *share, support: buckets.len() as u64, q_value: None, query };
        Some((name.clone(), vec![finding]))
    };
    shares.iter().filter_map(finding).collect()
}

/// The scene as the metrics show it: since the first bucket with the symptom.
fn place_scene(scene: &mut Scene, entry: &str, signal: Signal, buckets: &BTreeSet<i64>, width: i64, usual: f64) {
    let Some(first) = buckets.first() else { return };
    let begin = first.saturating_mul(width).max(scene.symptom.start.0);
    let earliest = Time(begin.saturating_sub(width));
    let latest = Time(begin.saturating_add(width));
    scene.onset = Some(Onset { time: Time(begin), earliest, latest, confidence: 0.95 });
    scene.affected = Window::new(begin, scene.symptom.end.0.max(begin.saturating_add(1)));
    scene.broke = Broke::Yes(signal);
    scene.symptom.service = Some(entry.to_owned());
    scene.symptom.signal = signal;
    scene.statement = match signal {
        Signal::Errors => {
            format!("{entry}: more of its requests fail than the usual {:.2} %, by its metrics", usual * 100.0)
        }
        _ => format!(
            "{entry}: its requests take longer than the usual {}, by its metrics",
            crate::types::duration(usual * 1e3)
        ),
    };
}
