//! Where does the time go, and where do errors begin? Affected traces against normal ones, step by step: a step is what one service does
//! under one name, or what it waits for elsewhere.

use std::collections::BTreeMap;

use causeway_model::{Result, hex};
use causeway_query::Answerer;
pub use causeway_trace::Pattern;
use causeway_trace::{CALLS_MIN, CLIENT, PRODUCER};
use serde::Serialize;

use crate::ask::{Inquiry, quoted};
use crate::resources;
use crate::scene::{self, Broke, Scene};
use crate::traces::{Class, Node, Trace, Traces};
use crate::types::{Finding, How, Signal, Symptom, duration};

/// Steps that are listed. 50: beyond it shares are crumbs.
const STEPS_MAX: usize = 50;
/// A step counts as the cause of time or errors from this share on; patterns are named where they at least doubled.
const SHARE_MIN: f64 = 0.05;
/// As above.
const GROWTH_MIN: f64 = 2.0;
/// How many times more calls by one caller there must be than in normal traces to make an N+1, beside the number that makes one anywhere.
const SIBLINGS_GROWTH_MIN: f64 = 3.0;

/// A value in normal and in affected traces.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Pair {
    /// Mean over normal traces.
    pub before: f64,
    /// Mean over affected ones.
    pub after: f64,
}

/// What one service does under one name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The service whose spans they are.
    pub service: String,
    /// Their name.
    pub operation: String,
    /// `server`, `client` …
    pub kind: &'static str,
    /// Whether it is a call to something that sends no spans of its own.
    pub dependency: bool,
    /// Where the call goes, as far as its attributes tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The service that answers the call, where it sends spans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callee: Option<String>,
    /// Time spent in no child, a trace.
    pub self_ms: Pair,
    /// The part of it on the critical path.
    pub critical_ms: Pair,
    /// How much more of it affected traces have.
    pub delta_ms: f64,
    /// Share of the whole difference between affected and normal traces.
    pub share_of_delta: f64,
    /// Spans a trace.
    pub calls_per_trace: Pair,
    /// Mean duration of a span.
    pub call_ms: Pair,
    /// Share of traces in which an error begins here.
    pub error_origin: Pair,
    /// Share of traces in which an error passes through.
    pub error_passed_on: Pair,
    /// What is wrong with it, by name.
    pub patterns: Vec<Pattern>,
    /// Whether it does nothing but wait for a connection.
    #[serde(skip)]
    pub waits_for_pool: bool,
    /// In words.
    pub statement: String,
    /// Affected traces in which it shows most.
    pub trace_ids: Vec<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Located {
    /// Normal traces looked at.
    pub normal_traces: usize,
    /// Affected traces looked at.
    pub slow_traces: usize,
    /// Steps, the largest share of the difference first.
    pub steps: Vec<Step>,
    /// What stands out.
    pub findings: Vec<Finding>,
    /// How it knows.
    pub how: How,
}

/// Lays affected traces beside normal ones.
///
/// # Errors
/// `Invalid` for a symptom that can't be; what the store says otherwise.
pub async fn locate(answerer: &dyn Answerer, symptom: &Symptom) -> Result<Located> {
    let inquiry = Inquiry::new(answerer);
    let mut scene = scene::look(&inquiry, symptom).await?;
    scene.slowest_without_onset();
    let traces = Traces::load(&inquiry, &scene, Vec::new()).await?;
    let steps = steps(&traces, &scene);
    let pools = resources::load(&inquiry, &scene).await?.pools;
    let full = pools.into_iter().filter(|(service, _)| steps.iter().any(|step| &step.service == service));
    Ok(Located {
        normal_traces: traces.of(Class::Normal).count(),
        slow_traces: traces.of(Class::Affected).count(),
        findings: findings(&steps, &scene).into_iter().chain(full.map(|(_, finding)| finding)).collect(),
        steps: steps.into_iter().take(STEPS_MAX).collect(),
        how: inquiry.how(scene.window),
    })
}

/// Service, operation, kind, target.
type Key<'a> = (&'a str, &'a str, i32, Option<&'a str>);

/// What one class of traces shows of a step.
#[derive(Debug, Default)]
struct Sums {
    self_ns: f64,
    critical_ns: f64,
    calls: f64,
    duration_ns: f64,
    origins: f64,
    passed_on: f64,
    refused: f64,
    retries: f64,
    timeouts: f64,
    waits_ns: f64,
    /// Calls of one kind by one parent: their sum, and the number of parents.
    siblings: (f64, f64),
    /// Calls below which the callee's own span stands.
    answered: f64,
}

/// Both classes, and the affected traces in which it weighs most.
#[derive(Debug, Default)]
struct Tally<'a> {
    before: Sums,
    after: Sums,
    worst: Vec<(i64, [u8; 16])>,
    callees: BTreeMap<&'a str, f64>,
    system: bool,
    waits_for_pool: bool,
}

/// The steps of all sampled traces, those with the largest part in the symptom first.
pub(crate) fn steps(traces: &Traces, scene: &Scene) -> Vec<Step> {
    let mut tallies: BTreeMap<Key<'_>, Tally<'_>> = BTreeMap::new();
    let (mut before_ns, mut after_ns) = (0.0, 0.0);
    let weights = standard(traces);
    for (trace, weight) in traces.traces.iter().zip(weights) {
        let duration = trace.nodes[trace.entry].duration() as f64 * weight;
        match trace.class {
            Class::Normal => before_ns += duration,
            Class::Affected => after_ns += duration,
            Class::Spared => continue,
        }
        tally(traces, trace, weight, &mut tallies);
    }
    let counts = (traces.count(Class::Normal), traces.count(Class::Affected));
    let mean = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
    let delta_ms = (mean(after_ns, counts.1) - mean(before_ns, counts.0)) / 1e6;
    let mut steps: Vec<Step> = tallies.into_iter().map(|(key, tally)| step(key, tally, counts, delta_ms)).collect();
    let by_errors = scene.broke == Broke::Yes(Signal::Errors);
    let weight =
        |step: &Step| if by_errors { step.error_origin.after - step.error_origin.before } else { step.delta_ms };
    steps.sort_by(|a, b| {
        weight(b).total_cmp(&weight(a)).then_with(|| (&a.service, &a.operation).cmp(&(&b.service, &b.operation)))
    });
    steps
}

/// Calls are told apart by where they go: clients name their spans `GET`, whoever they call.
fn key_of<'a>(traces: &'a Traces, trace: &Trace, at: usize) -> Key<'a> {
    let node = &trace.nodes[at];
    let callee = || trace.callee(at);
    let target = if node.is_call() { callee().or(node.target).or(node.system) } else { None };
    (traces.text(node.service), traces.text(node.name), node.kind, target.map(|it| traces.text(it)))
}

/// A weight for each trace: its own, and so that normal ones have the affected ones' mix of requests (direct standardisation, Kitagawa 1955): behind a
/// gateway one name stands for many kinds of requests, and what differs between them is not what broke. A request's kind is the first
/// thing that it asks of another service.
fn standard(traces: &Traces) -> Vec<f64> {
    let kind = |trace: &Trace| {
        let service = trace.nodes[trace.entry].service;
        let first = trace.below().into_iter().find(|at| trace.nodes[*at].service != service);
        first.map(|at| (trace.nodes[at].service, trace.nodes[at].name))
    };
    let mut mix: BTreeMap<Option<(u32, u32)>, (f64, f64)> = BTreeMap::new();
    for trace in &traces.traces {
        let counts = mix.entry(kind(trace)).or_default();
        match trace.class {
            Class::Normal => counts.0 += trace.weight,
            Class::Affected => counts.1 += trace.weight,
            Class::Spared => {}
        }
    }
    let affected: f64 = mix.values().map(|(_, affected)| affected).sum();
    let both = mix.values().filter(|(normal, affected)| *normal > 0.0 && *affected > 0.0);
    let (normal_both, affected_both) = both.fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    if affected_both < affected / 2.0 {
        // Mostly kinds that normal traces lack: there is nothing to standardise by.
        return traces.traces.iter().map(|trace| trace.weight).collect();
    }
    let normal: f64 = mix.values().map(|(normal, _)| normal).sum();
    let weight = |trace: &Trace| {
        let (own_normal, own_affected) = mix.get(&kind(trace)).copied().unwrap_or_default();
        let of_kind = own_affected / affected_both / (own_normal / normal_both);
        if trace.class != Class::Normal {
            1.0
        } else if own_affected == 0.0 {
            0.0
        } else {
            of_kind * normal / normal_both
        }
    };
    traces.traces.iter().map(|trace| weight(trace) * trace.weight).collect()
}

fn tally<'a>(traces: &'a Traces, trace: &Trace, weight: f64, tallies: &mut BTreeMap<Key<'a>, Tally<'a>>) {
    let mut own: BTreeMap<Key<'a>, (i64, bool, bool, bool)> = BTreeMap::new();
    for at in trace.below() {
        let node = &trace.nodes[at];
        let key = key_of(traces, trace, at);
        let seen = own.entry(key).or_default();
        seen.0 += node.critical_ns;
        seen.1 |= trace.is_error_origin(at);
        seen.2 |= node.failed && !node.refused && !trace.is_error_origin(at);
        seen.3 |= node.refused;
        let tally = tallies.entry(key).or_default();
        tally.system |= node.system.is_some();
        tally.waits_for_pool |= node.waits_for_pool;
        let sums = tally.sums(trace.class);
        sums.self_ns += node.self_ns as f64 * weight;
        sums.critical_ns += node.critical_ns as f64 * weight;
        // A call that was not made is none.
        let made = if node.refused { 0.0 } else { weight };
        sums.calls += made;
        sums.duration_ns += node.duration() as f64 * made;
        let ran_out = node.is_call() && node.call().ran_out();
        sums.timeouts += if ran_out { trace.weight } else { 0.0 };
        let callee = trace.callee(at);
        sums.answered += f64::from(u8::from(callee.is_some())) * weight;
        if let Some(callee) = callee {
            *tally.callees.entry(traces.text(callee)).or_default() += trace.weight;
        }
        siblings(traces, trace, at, tallies);
    }
    for (key, (critical, origin, passed_on, refused)) in own {
        let tally = tallies.entry(key).or_default();
        if trace.class == Class::Affected {
            tally.worst.push((critical, trace.id));
        }
        let sums = tally.sums(trace.class);
        sums.origins += f64::from(u8::from(origin)) * weight;
        sums.passed_on += f64::from(u8::from(passed_on)) * weight;
        sums.refused += f64::from(u8::from(refused)) * weight;
    }
}

impl Tally<'_> {
    fn sums(&mut self, class: Class) -> &mut Sums {
        if class == Class::Normal { &mut self.before } else { &mut self.after }
    }
}

/// Retries, waits before calls and repeated calls among the children of one span.
fn siblings<'a>(traces: &'a Traces, trace: &Trace, parent: usize, tallies: &mut BTreeMap<Key<'a>, Tally<'a>>) {
    let mut calls: Vec<usize> = trace.nodes[parent].children.clone();
    calls.sort_unstable_by_key(|child| (trace.nodes[*child].start, *child));
    let mut until = trace.nodes[parent].start;
    let mut last: BTreeMap<Key<'a>, (&Node, f64)> = BTreeMap::new();
    for child in calls {
        let node = &trace.nodes[child];
        let key = key_of(traces, trace, child);
        let wait = (node.start - until).max(0) as f64;
        until = until.max(node.end);
        let before = last.get(&key).copied();
        last.insert(key, (node, before.map_or(1.0, |(_, count)| count + 1.0)));
        if !node.is_call() {
            continue;
        }
        let again = before.is_some_and(|(previous, _)| node.call().is_again_after(&previous.call()));
        let sums = tallies.entry(key).or_default().sums(trace.class);
        sums.waits_ns += wait * trace.weight;
        sums.retries += if again { trace.weight } else { 0.0 };
    }
    for (key, (_, count)) in last {
        let siblings = &mut tallies.entry(key).or_default().sums(trace.class).siblings;
        *siblings = (siblings.0 + count * trace.weight, siblings.1 + trace.weight);
    }
}

fn step(key: Key<'_>, mut tally: Tally<'_>, (normal, affected): (f64, f64), delta_ms: f64) -> Step {
    let (service, operation, kind, target) = key;
    let of = |value: fn(&Sums) -> f64| Pair {
        before: value(&tally.before) / normal.max(1.0),
        after: value(&tally.after) / affected.max(1.0),
    };
    let ms = |pair: Pair| Pair { before: pair.before / 1e6, after: pair.after / 1e6 };
    let critical_ms = ms(of(|sums| sums.critical_ns));
    let call = |sums: &Sums| if sums.calls > 0.0 { sums.duration_ns / sums.calls / 1e6 } else { 0.0 };
    let delta = critical_ms.after - critical_ms.before;
    let calls = tally.before.calls + tally.after.calls;
    let answered = tally.before.answered + tally.after.answered;
    let mut step = Step {
        service: service.to_owned(),
        operation: operation.to_owned(),
        kind: kind_name(kind),
        dependency: matches!(kind, CLIENT | PRODUCER) && answered < calls / 2.0,
        target: target.map(str::to_owned),
        callee: tally.callees.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(callee, _)| (*callee).to_owned()),
        self_ms: ms(of(|sums| sums.self_ns)),
        critical_ms,
        delta_ms: delta,
        share_of_delta: if delta_ms > 0.0 { delta / delta_ms } else { 0.0 },
        calls_per_trace: of(|sums| sums.calls),
        call_ms: Pair { before: call(&tally.before), after: call(&tally.after) },
        error_origin: of(|sums| sums.origins),
        error_passed_on: of(|sums| sums.passed_on),
        patterns: Vec::new(),
        waits_for_pool: tally.waits_for_pool,
        statement: String::new(),
        trace_ids: Vec::new(),
    };
    let grew = |pair: Pair, least: f64| pair.after >= least && pair.after >= pair.before * GROWTH_MIN;
    let waits = ms(of(|sums| sums.waits_ns));
    let siblings = |(calls, parents): (f64, f64)| if parents > 0.0 { calls / parents } else { 0.0 };
    let siblings = Pair { before: siblings(tally.before.siblings), after: siblings(tally.after.siblings) };
    let tests = [
        (Pattern::Retry, grew(of(|sums| sums.retries), SHARE_MIN)),
        (Pattern::Timeout, grew(of(|sums| sums.timeouts), SHARE_MIN)),
        (
            Pattern::PoolWait,
            (tally.system && grew(waits, 1.0) && waits.after - waits.before >= SHARE_MIN * delta_ms.abs())
                || (tally.waits_for_pool && grew(critical_ms, 1.0) && delta >= SHARE_MIN * delta_ms.abs()),
        ),
        (Pattern::Refused, grew(of(|sums| sums.refused), SHARE_MIN)),
        (
            Pattern::NPlusOne,
            siblings.after >= CALLS_MIN as f64 && siblings.after >= siblings.before.max(1.0) * SIBLINGS_GROWTH_MIN,
        ),
    ];
    step.patterns = tests.into_iter().filter(|(_, found)| *found).map(|(pattern, _)| pattern).collect();
    tally.worst.sort_unstable_by(|a, b| b.cmp(a));
    step.trace_ids = tally.worst.iter().take(3).map(|(_, id)| hex(id)).collect();
    step.statement = statement(&step);
    step
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "unspecified",
    }
}

fn statement(step: &Step) -> String {
    let target = step.target.as_ref().map_or(String::new(), |target| format!(" to {target}"));
    let mut text = format!(
        "{} {}{target}: {} a trace on the critical path, {} before ({:.0} % of the difference)",
        step.service,
        step.operation,
        duration(step.critical_ms.after),
        duration(step.critical_ms.before),
        step.share_of_delta * 100.0
    );
    if step.error_origin.after >= SHARE_MIN {
        let (after, before) = (step.error_origin.after * 100.0, step.error_origin.before * 100.0);
        text.push_str(&format!("; errors begin here in {after:.0} % of traces, {before:.0} % before"));
    } else if step.error_passed_on.after >= SHARE_MIN {
        text.push_str(&format!("; passes errors on in {:.0} % of traces", step.error_passed_on.after * 100.0));
    }
    let calls = step.calls_per_trace;
    if calls.after >= calls.before.max(0.1) * 1.5 {
        text.push_str(&format!("; {:.1} calls a trace, {:.1} before", calls.after, calls.before));
    }
    for pattern in &step.patterns {
        text.push_str(match pattern {
            Pattern::Retry => "; retried",
            Pattern::Timeout => "; times out",
            Pattern::PoolWait if step.waits_for_pool => "; waits for a connection",
            Pattern::PoolWait => "; its caller waits longer before it",
            Pattern::NPlusOne => "; N+1: many calls by one caller",
            Pattern::ErrorOrigin => "; errors begin here",
            Pattern::Refused => "; often not made: its caller refuses it after others have failed",
        });
    }
    text
}

fn findings(steps: &[Step], scene: &Scene) -> Vec<Finding> {
    let by_errors = scene.broke == Broke::Yes(Signal::Errors);
    let effect =
        |step: &Step| if by_errors { step.error_origin.after - step.error_origin.before } else { step.share_of_delta };
    let stands_out = |step: &&Step| effect(step) >= SHARE_MIN || !step.patterns.is_empty();
    let finding = |step: &Step| Finding {
        statement: step.statement.clone(),
        effect: effect(step),
        support: step.trace_ids.len() as u64,
        q_value: None,
        query: step_query(step, scene),
    };
    steps.iter().filter(stands_out).take(10).map(finding).collect()
}

/// SQL that shows a step's calls before and after.
pub(crate) fn step_query(step: &Step, scene: &Scene) -> String {
    format!(
        "SELECT time >= '{}' AS after, {} AS calls, {} AS mean_ms, {} AS p95_ms, {} AS failed FROM spans \
         WHERE service_name = {} AND name = {} AND (({}) OR ({})) GROUP BY 1 ORDER BY 1",
        scene.affected.start,
        scene.weights.count(),
        scene.weights.mean_ms(),
        scene.weights.percentile_ms(0.95),
        scene.weights.count_where("status_code = 2"),
        quoted(&step.service),
        quoted(&step.operation),
        scene.baseline.condition(),
        scene.affected.condition()
    )
}
