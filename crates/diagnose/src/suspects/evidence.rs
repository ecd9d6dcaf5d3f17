//! Did the affected requests meet it? Versions and flag variants on the spans of affected, spared and normal traces.

use std::collections::{BTreeMap, BTreeSet};

use causeway_model::Result;

use crate::ask::{Inquiry, at, quoted};
use crate::conventions::{FLAG_KEY, VERSION};
use crate::scene::Scene;
use crate::traces::{Class, Trace, Traces};

/// How often requests of each class met a value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Overlap {
    /// Requests of the class that tell: Normal, Affected, Spared.
    pub known: [f64; 3],
    /// Those that met the value.
    pub met: [f64; 3],
}

const NORMAL: usize = 0;
const AFFECTED: usize = 1;
const SPARED: usize = 2;

impl Overlap {
    fn share(&self, class: usize) -> Option<f64> {
        (self.known[class] > 0.0).then(|| self.met[class] / self.known[class])
    }

    /// Share of affected requests that met it.
    pub fn affected(&self) -> Option<f64> {
        self.share(AFFECTED)
    }

    /// Share of normal requests that met it.
    pub fn normal(&self) -> Option<f64> {
        self.share(NORMAL)
    }

    /// Difference of the shares of affected and of normal requests, 0 to 1; nothing where no span tells.
    pub fn strength(&self) -> Option<f64> {
        Some((self.affected()? - self.normal().unwrap_or(0.0)).clamp(0.0, 1.0))
    }

    /// Odds of being affected with it against without it, at the same time; nothing where all or none of the requests met it.
    pub fn odds(&self) -> Option<f64> {
        let without = |class: usize| self.known[class] - self.met[class];
        let mixed = self.met[AFFECTED] + self.met[SPARED] >= 10.0 && without(AFFECTED) + without(SPARED) >= 10.0;
        // Haldane's half keeps an empty cell from making the odds infinite.
        mixed.then(|| {
            (self.met[AFFECTED] + 0.5) * (without(SPARED) + 0.5)
                / ((without(AFFECTED) + 0.5) * (self.met[SPARED] + 0.5))
        })
    }

    /// Whether any request met the value: a rule or a state is no value that spans tell of.
    pub fn is_seen(&self) -> bool {
        self.met.iter().sum::<f64>() > 0.0
    }

    /// Affected requests that tell, or those that met the value where any did.
    pub fn reached(&self) -> f64 {
        if self.is_seen() { self.met[AFFECTED] } else { self.known[AFFECTED] }
    }

    /// Requests that tell.
    pub fn support(&self) -> u64 {
        self.known.iter().sum::<f64>() as u64
    }
}

fn place(class: Class) -> usize {
    match class {
        Class::Normal => NORMAL,
        Class::Affected => AFFECTED,
        Class::Spared => SPARED,
    }
}

/// How often requests met this version of a service.
pub(super) fn version(traces: &Traces, service: &str, version: &str) -> Overlap {
    let Some(dimension) = traces.dimensions.iter().position(|it| it == VERSION) else { return Overlap::default() };
    overlap(traces, |traces, node| {
        (traces.text(node.service) == service)
            .then(|| node.resource.get(dimension).copied().flatten().map(|it| traces.text(it) == version))
            .flatten()
    })
}

/// When the first span with this version of a service began: telemetry that tells of a deploy arrives later than the deploy.
pub(super) async fn first_seen(
    inquiry: &Inquiry<'_>,
    scene: &Scene,
    service: &str,
    version: &str,
) -> Result<Option<i64>> {
    let sql = format!(
        "SELECT min(time) FROM spans WHERE {} AND service_name = {} AND resource({}) = {}",
        scene.window.condition(),
        quoted(service),
        quoted(VERSION),
        quoted(version)
    );
    let mut first = None;
    inquiry
        .each(sql, |rows| {
            first = first.or(rows.integers(0)?.iter().flatten().next());
            Ok(())
        })
        .await?;
    Ok(first)
}

/// How often requests met this variant of a flag.
pub(super) fn variant(traces: &Traces, flag: &str, variant: Option<&str>) -> Overlap {
    overlap(traces, |traces, node| {
        let mut served = node.flags.iter().filter(|(key, _)| traces.text(*key) == flag).peekable();
        served.peek()?;
        Some(served.any(|(_, it)| variant.is_none_or(|variant| traces.text(*it) == variant)))
    })
}

fn overlap(traces: &Traces, met: impl Fn(&Traces, &crate::traces::Node) -> Option<bool>) -> Overlap {
    let mut overlap = Overlap::default();
    for trace in &traces.traces {
        let told: Vec<bool> =
            trace.nodes.iter().filter(|node| node.inside).filter_map(|node| met(traces, node)).collect();
        if !told.is_empty() {
            overlap.known[place(trace.class)] += trace.weight;
            overlap.met[place(trace.class)] += if told.contains(&true) { trace.weight } else { 0.0 };
        }
    }
    overlap
}

/// Share of affected traces in which a service takes part.
pub(super) fn presence(traces: &Traces, service: &str) -> f64 {
    let takes_part =
        |trace: &&Trace| trace.nodes.iter().any(|node| node.inside && traces.text(node.service) == service);
    let found: f64 = traces.of(Class::Affected).filter(takes_part).map(|trace| trace.weight).sum();
    found / traces.count(Class::Affected).max(f64::MIN_POSITIVE)
}

/// Who evaluates a flag.
#[derive(Debug, Default, Clone)]
pub(super) struct Evaluators {
    /// The services.
    pub services: BTreeSet<String>,
    /// Whether spans tell of it: then a request whose spans don't has not met it.
    pub told_by_spans: bool,
}

/// Which services evaluate each flag: from attributes and events of spans; where no span tells, from the log events that the conventions also
/// allow. A service that logs that a flag has moved need not ask for it.
pub(super) async fn flags(
    inquiry: &Inquiry<'_>,
    scene: &Scene,
    traces: &Traces,
    keys: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Evaluators>> {
    let mut services: BTreeMap<String, Evaluators> = BTreeMap::new();
    if keys.is_empty() {
        return Ok(services);
    }
    for node in traces.traces.iter().flat_map(|trace| &trace.nodes) {
        for (key, _) in node.flags.iter().filter(|(key, _)| keys.contains(traces.text(*key))) {
            let evaluators = services.entry(traces.text(*key).to_owned()).or_default();
            evaluators.services.insert(traces.text(node.service).to_owned());
            evaluators.told_by_spans = true;
        }
    }
    let list: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
    for table in ["spans", "logs"] {
        let sql = format!(
            "SELECT attr({key}) AS flag, service_name, count(*) FROM {table} \
             WHERE {} AND attr({key}) IN ({}) GROUP BY 1, 2 ORDER BY 1, 2",
            scene.window.condition(),
            list.join(", "),
            key = quoted(FLAG_KEY),
        );
        inquiry
            .each(sql, |rows| {
                let (flags, names) = (rows.text(0)?, rows.text(1)?);
                for row in 0..rows.len() {
                    if let (Some(flag), Some(service)) = (at(&flags, row), at(&names, row)) {
                        let evaluators = services.entry(flag.to_owned()).or_default();
                        evaluators.told_by_spans |= table == "spans";
                        if table == "spans" || !evaluators.told_by_spans {
                            evaluators.services.insert(service.to_owned());
                        }
                    }
                }
                Ok(())
            })
            .await?;
    }
    Ok(services)
}
