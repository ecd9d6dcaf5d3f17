//! What happened inside the requests? A sample of affected and of normal traces as trees, clocks made to agree, with the time that each span
//! spent itself and on the critical path.
//!
//! How a tree is built, clocks are made to agree and the critical path is found says `causeway_trace`. Here what lies under the request is
//! looked at alone, and each child is cut to its parent.

use std::collections::BTreeMap;

use arrow::array::Array;
use causeway_model::{CALL_SYSTEMS, CALL_TARGETS, Result, hex};
use causeway_trace::{
    CLIENT, Call, EXCEPTION_EVENT, Link, POOL, PRODUCER, Texts, Tree, critical_path, cut, intervals, overruns,
    says_refused, says_timeout, self_times, shifts,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::ask::{Inquiry, all_of, at, quoted};
use crate::conventions::{FLAG_EVENT, FLAG_KEY, FLAG_VARIANTS};
use crate::entries;
use crate::refusals;
use crate::scene::{Broke, Scene};
use crate::statistics::Counted;
use crate::types::{Signal, Window};
use crate::weights;

/// Traces of each class that are looked at. 300: shares are then known to within 6 %.
pub(crate) const TRACES_MAX: usize = 300;
/// Traces of each class that must be complete for the others to be left out. 30: as many as `validate` judges by.
const COMPLETE_MIN: usize = 30;
/// Spans of all of them. 400,000: 600 traces of some 700 spans.
const SPANS_MAX: usize = 400_000;
/// Spans of one trace that begin before their request by more than this are not looked for: clocks that differ by more are broken.
const SKEW_NS: i64 = 60_000_000_000;

/// Which requests a trace stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// From before the onset, not affected.
    Normal,
    /// From after the onset, affected.
    Affected,
    /// From after the onset, yet not affected.
    Spared,
}

/// One span.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub id: [u8; 8],
    pub parent_id: Option<[u8; 8]>,
    pub service: u32,
    pub name: u32,
    pub kind: i32,
    /// Where a client span goes, as far as its attributes tell.
    pub target: Option<u32>,
    /// What kind of thing it goes to.
    pub system: Option<u32>,
    pub start: i64,
    pub end: i64,
    pub failed: bool,
    pub says_timeout: bool,
    /// Whether it says that it was not made.
    pub says_refused: bool,
    /// Whether its own caller refused to make it, after others like it had failed: see [`crate::refusals`].
    pub refused: bool,
    /// Flags and variants evaluated on it.
    pub flags: Vec<(u32, u32)>,
    /// Whether it waits for a connection: it names a pool and no system that it talks to.
    pub waits_for_pool: bool,
    /// Values of the resource's dimensions, in the order of [`Traces::dimensions`].
    pub resource: Vec<Option<u32>>,
    /// Positions in the trace.
    pub children: Vec<usize>,
    /// Nanoseconds in which none of its children ran.
    pub self_ns: i64,
    /// Nanoseconds of it on the critical path.
    pub critical_ns: i64,
    /// Whether it lies under the request.
    pub inside: bool,
    /// Nanoseconds that a child in another process goes on after this call ended.
    pub overrun_ns: i64,
    /// How many like it were there, by the span's own sampler.
    pub weight: f64,
}

impl Node {
    pub fn duration(&self) -> i64 {
        (self.end - self.start).max(0)
    }

    /// Whether it calls someone else.
    pub fn is_call(&self) -> bool {
        matches!(self.kind, CLIENT | PRODUCER)
    }

    /// How it ended, beside others.
    pub fn call(&self) -> Call {
        let Self { start, end, failed, says_timeout, overrun_ns, .. } = *self;
        Call { start, end, failed, says_timeout, overrun_ns }
    }
}

/// One request's trace.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub id: [u8; 16],
    pub class: Class,
    /// Position of the request's span.
    pub entry: usize,
    pub nodes: Vec<Node>,
    /// What it counts beside the others of its class, so that all together count as many as tell as much: 1 where nothing is sampled.
    pub weight: f64,
    randomness: u64,
}

/// A sample of traces.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    pub traces: Vec<Trace>,
    texts: Texts,
    /// Resource attributes that were read with the spans.
    pub dimensions: Vec<String>,
}

/// A request that may be sampled.
struct Request {
    rank: u64,
    trace: [u8; 16],
    span: [u8; 8],
    weight: f64,
}

impl Traces {
    pub fn text(&self, number: u32) -> &str {
        self.texts.text(number)
    }

    fn intern(&mut self, text: &str) -> u32 {
        self.texts.number(text)
    }

    /// The traces of a class.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Trace> {
        self.traces.iter().filter(move |trace| trace.class == class)
    }

    /// Samples requests of the scene and loads their traces.
    pub async fn load(inquiry: &Inquiry<'_>, scene: &Scene, dimensions: Vec<String>) -> Result<Self> {
        let mut traces = Self { dimensions, ..Self::default() };
        let sampled = sample(inquiry, scene).await?;
        if sampled.is_empty() {
            return Ok(traces);
        }
        let mut loaded = traces.spans(inquiry, scene, &sampled).await?;
        for (class, request) in sampled {
            let Some(nodes) = loaded.get_mut(&request.trace) else { continue };
            let Some(entry) = nodes.iter().position(|node| node.id == request.span) else { continue };
            let (weight, randomness) = (request.weight, !request.rank);
            let mut trace = Trace { id: request.trace, class, entry, nodes: nodes.clone(), weight, randomness };
            trace.understand();
            traces.traces.push(trace);
        }
        if scene.weights.is_sampled() {
            traces.complete(inquiry);
            traces.level();
        }
        refusals::mark(&mut traces.traces);
        Ok(traces)
    }

    /// Where services sample at different rates, a trace may lack spans of those that keep fewer. All decide by the same number, so that
    /// what the most sparing one would keep is there as a whole: those traces alone are looked at, where there are enough.
    fn complete(&mut self, inquiry: &Inquiry<'_>) {
        let is_mixed = |trace: &Trace| trace.nodes.iter().any(|node| node.weight != trace.nodes[trace.entry].weight);
        if !self.traces.iter().any(is_mixed) {
            return;
        }
        let weights = self.traces.iter().flat_map(|trace| &trace.nodes).map(|node| node.weight);
        let most = weights.fold(1.0, f64::max);
        let is_complete = |trace: &Trace| weights::weight_from(trace.randomness) >= most;
        let is_enough = |class: Class| {
            self.of(class).next().is_none() || self.of(class).filter(|it| is_complete(it)).count() >= COMPLETE_MIN
        };
        if is_enough(Class::Normal) && is_enough(Class::Affected) {
            self.traces.retain(is_complete);
            self.traces.iter_mut().for_each(|trace| trace.weight = trace.weight.max(most));
            inquiry.note("services sample at different rates: traces that all of them keep were looked at");
        } else {
            inquiry.note("services sample at different rates: traces may lack spans of those that keep fewer");
        }
    }

    /// Weights that add up to the effective number of traces in each class.
    fn level(&mut self) {
        let mut classes: BTreeMap<Class, Counted> = BTreeMap::new();
        for trace in &self.traces {
            classes.entry(trace.class).or_default().add(true, trace.weight);
        }
        for trace in &mut self.traces {
            trace.weight /= classes.get(&trace.class).map_or(1.0, |counted| counted.design());
        }
    }

    /// The effective number of traces of a class.
    pub fn count(&self, class: Class) -> f64 {
        self.of(class).map(|trace| trace.weight).sum()
    }

    /// The question for all spans of the sampled traces.
    fn question(&self, scene: &Scene, sampled: &[(Class, Request)]) -> String {
        let mut ids: Vec<String> = sampled.iter().map(|(_, request)| quoted(&hex(&request.trace))).collect();
        ids.sort();
        ids.dedup();
        let mut columns: Vec<String> = [
            "trace_id",
            "span_id",
            "parent_span_id",
            "time",
            "duration_ns",
            "name",
            "kind",
            "status_code",
            "service_name",
            "status_message",
        ]
        .map(str::to_owned)
        .into();
        let keys = ["error.type", "exception.type", FLAG_KEY]
            .iter()
            .chain(FLAG_VARIANTS)
            .chain(CALL_TARGETS)
            .chain(CALL_SYSTEMS);
        columns.extend(keys.map(|key| format!("attr({})", quoted(key))));
        columns.extend(self.dimensions.iter().map(|key| format!("resource({})", quoted(key))));
        columns.extend([format!("attr({})", quoted(POOL)), "events".to_owned()]);
        let start = scene.baseline.start.0.min(scene.affected.start.0).saturating_sub(SKEW_NS);
        let end = scene.baseline.end.0.max(scene.affected.end.0).saturating_add(SKEW_NS);
        format!(
            "SELECT {}{} FROM spans WHERE {} AND trace_id IN ({})",
            columns.join(", "),
            scene.weights.column(),
            Window::new(start, end).condition(),
            ids.join(", ")
        )
    }

    async fn spans(
        &mut self,
        inquiry: &Inquiry<'_>,
        scene: &Scene,
        sampled: &[(Class, Request)],
    ) -> Result<BTreeMap<[u8; 16], Vec<Node>>> {
        let mut loaded: BTreeMap<[u8; 16], Vec<Node>> = BTreeMap::new();
        let (variants, targets) = (13, 13 + FLAG_VARIANTS.len());
        let systems = targets + CALL_TARGETS.len();
        let resources = systems + CALL_SYSTEMS.len();
        let (mut kept, mut left_out) = (0, 0);
        let (question, dimensions) = (self.question(scene, sampled), self.dimensions.len());
        inquiry
            .each(question, |rows| {
                let (ids, spans, parents) = (rows.ids(0)?, rows.ids(1)?, rows.ids(2)?);
                let (times, durations) = (rows.integers(3)?, rows.integers(4)?);
                let (kinds, statuses) = (rows.integers(6)?, rows.integers(7)?);
                let events = rows.events(resources + dimensions + 1)?;
                let weights = scene.weights.read(rows, resources + dimensions + 2)?;
                let text = (0..=resources + dimensions)
                    .map(|column| if column == 5 || column >= 8 { rows.text(column).map(Some) } else { Ok(None) })
                    .collect::<Result<Vec<_>>>()?;
                for row in 0..rows.len() {
                    if kept >= SPANS_MAX {
                        left_out += 1;
                        continue;
                    }
                    kept += 1;
                    let read = |column: usize| text.get(column).and_then(Option::as_ref).and_then(|it| at(it, row));
                    let first = |from: usize, count: usize| (from..from + count).find_map(&read);
                    let system = first(systems, CALL_SYSTEMS.len()).map(|it| self.intern(it));
                    let told = events.get(row).map_or(&[][..], Vec::as_slice);
                    let flag = read(12)
                        .map(|key| (key.to_owned(), first(variants, FLAG_VARIANTS.len()).unwrap_or("").to_owned()));
                    let flags = flag.into_iter().chain(evaluations(told));
                    let flags = flags.map(|(key, variant)| (self.intern(&key), self.intern(&variant))).collect();
                    let node = Node {
                        id: spans.value(row).try_into().unwrap_or_default(),
                        parent_id: (!parents.is_null(row)).then(|| parents.value(row).try_into().unwrap_or_default()),
                        service: self.intern(read(8).unwrap_or("")),
                        name: self.intern(read(5).unwrap_or("")),
                        kind: i32::try_from(kinds.value(row)).unwrap_or(0),
                        target: first(targets, CALL_TARGETS.len()).map(|it| self.intern(it)),
                        system,
                        start: times.value(row),
                        end: times.value(row).saturating_add(durations.value(row).max(0)),
                        failed: statuses.value(row) == 2,
                        says_timeout: says(&read, told, says_timeout),
                        says_refused: says(&read, told, says_refused),
                        flags,
                        waits_for_pool: read(resources + dimensions).is_some() && system.is_none(),
                        resource: (resources..resources + dimensions)
                            .map(|it| read(it).map(|it| self.intern(it)))
                            .collect(),
                        weight: weights.at(row),
                        ..Node::default()
                    };
                    loaded.entry(ids.value(row).try_into().unwrap_or_default()).or_default().push(node);
                }
                Ok(())
            })
            .await?;
        if left_out > 0 {
            inquiry.note(format!("{left_out} spans beyond {SPANS_MAX} were left out of the sampled traces"));
        }
        for nodes in loaded.values_mut() {
            nodes.sort_by_key(|node| (node.start, node.id));
        }
        Ok(loaded)
    }
}

/// Picks requests by a number that is as good as random and the same each time: the hash of the trace's id. Where samplers have chosen by
/// another one, the highest of that: whoever kept few traces has kept those.
async fn sample(inquiry: &Inquiry<'_>, scene: &Scene) -> Result<Vec<(Class, Request)>> {
    let mut requests: BTreeMap<Class, Vec<Request>> = BTreeMap::new();
    let (baseline, affected) = (scene.baseline.condition(), scene.affected.condition());
    let is_sampled = scene.weights.is_sampled();
    let state = if is_sampled { ", trace_state" } else { "" };
    let sql = format!(
        "SELECT trace_id, span_id, time, coalesce({}, false) AS affected{}{state} FROM spans \
         WHERE (({baseline}) OR ({affected})) AND {}",
        scene.affected_condition(),
        scene.weights.column(),
        all_of(&[entries::condition(&scene.symptom)]),
    );
    inquiry
        .each(sql, |rows| {
            let (traces, spans, times, affected) = (rows.ids(0)?, rows.ids(1)?, rows.integers(2)?, rows.booleans(3)?);
            let weights = scene.weights.read(rows, 4)?;
            let states = if is_sampled { Some(rows.text(5)?) } else { None };
            for row in 0..rows.len() {
                let time = times.value(row);
                let class = match (scene.affected.contains(time), affected.value(row)) {
                    (true, true) => Class::Affected,
                    (true, false) => Class::Spared,
                    (false, false) => Class::Normal,
                    // Bad before it began: neither normal nor part of the symptom.
                    (false, true) => continue,
                };
                let trace: [u8; 16] = traces.value(row).try_into().unwrap_or_default();
                let rank = match &states {
                    Some(states) => !weights::randomness(trace, at(states, row)),
                    None => xxh3_64(&trace),
                };
                let span = spans.value(row).try_into().unwrap_or_default();
                let request = Request { rank, trace, span, weight: weights.at(row) };
                requests.entry(class).or_default().push(request);
            }
            Ok(())
        })
        .await?;
    if scene.broke == Broke::Nothing || matches!(scene.broke, Broke::Yes(Signal::Traffic)) {
        // Without a change in time the slow are compared with the rest of the same time.
        let spared = requests.remove(&Class::Spared).unwrap_or_default();
        requests.entry(Class::Normal).or_default().extend(spared);
    }
    let mut sampled = Vec::new();
    for (class, mut list) in requests {
        if list.len() > TRACES_MAX {
            inquiry.note(format!("{TRACES_MAX} of {} {} traces were looked at", list.len(), class.name()));
        }
        list.sort_unstable_by_key(|request| (request.rank, request.span));
        if let Some(next) = list.get(TRACES_MAX).filter(|_| is_sampled) {
            // Picking has sampled once more, by the same number.
            let least = weights::weight_from(!next.rank);
            list.iter_mut().for_each(|request| request.weight = request.weight.max(least));
        }
        list.truncate(TRACES_MAX);
        sampled.extend(list.into_iter().map(|request| (class, request)));
    }
    Ok(sampled)
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Affected => "affected",
            Self::Spared => "spared",
        }
    }
}

impl Trace {
    /// Finds what lies under the request, makes clocks agree, and measures. Lost parents are left where they are, outside.
    fn understand(&mut self) {
        let link = |(at, node): (usize, &Node)| Link {
            id: node.id,
            parent_id: node.parent_id.filter(|_| at != self.entry),
            service: node.service,
            host: node.service,
            kind: node.kind,
            start: node.start,
            end: node.end,
        };
        let links: Vec<Link> = self.nodes.iter().enumerate().map(link).collect();
        let tree = Tree::of(&links);
        let order = tree.below(self.entry);
        let intervals = intervals(&links, &shifts(&tree, &links, &order));
        let cut = cut(&tree, &links, &order, &intervals);
        let (overruns, self_times) = (overruns(&tree, &links, &intervals), self_times(&tree, &cut));
        let critical = critical_path(&tree, &links, &cut, self.entry);
        for (at, _) in order {
            let node = &mut self.nodes[at];
            (node.start, node.end) = cut[at];
            node.children = tree.children(at).to_vec();
            node.self_ns = self_times[at];
            node.critical_ns = critical[at].unwrap_or(0);
            node.overrun_ns = overruns[at];
            node.inside = true;
        }
    }

    /// The request's span and all below it, parents first.
    pub fn below(&self) -> Vec<usize> {
        let mut order = vec![self.entry];
        let mut seen = vec![false; self.nodes.len()];
        seen[self.entry] = true;
        let mut next = 0;
        while let Some(at) = order.get(next).copied() {
            next += 1;
            for child in &self.nodes[at].children {
                if !std::mem::replace(&mut seen[*child], true) {
                    order.push(*child);
                }
            }
        }
        order
    }

    /// The service that answers a call, where it sends spans.
    pub fn callee(&self, at: usize) -> Option<u32> {
        let node = &self.nodes[at];
        node.children.iter().map(|child| self.nodes[*child].service).find(|it| *it != node.service)
    }

    /// Whether a failure begins at this span: it failed, and none below it did. A call that was refused because others had failed is
    /// no begin.
    pub fn is_error_origin(&self, at: usize) -> bool {
        self.nodes[at].failed
            && !self.nodes[at].refused
            && !self.nodes[at].children.iter().any(|child| self.nodes[*child].failed)
    }
}

/// Whether a span's status, `error.type`, `exception.type` or an exception among its events says so.
fn says<'a>(read: &impl Fn(usize) -> Option<&'a str>, told: &[(String, String)], what: fn(&str) -> bool) -> bool {
    (9..12).filter_map(read).any(what) || told.iter().any(|(name, it)| name == EXCEPTION_EVENT && what(it))
}

/// Flags and variants that events tell of.
fn evaluations(events: &[(String, String)]) -> Vec<(String, String)> {
    let of = |(_, attributes): &(String, String)| {
        let attributes: serde_json::Value = serde_json::from_str(attributes).ok()?;
        let text = |key: &str| attributes.get(key).and_then(serde_json::Value::as_str);
        let variant = FLAG_VARIANTS.iter().find_map(|key| text(key)).unwrap_or_default();
        Some((text(FLAG_KEY)?.to_owned(), variant.to_owned()))
    };
    events.iter().filter(|(name, _)| name == FLAG_EVENT).filter_map(of).collect()
}
