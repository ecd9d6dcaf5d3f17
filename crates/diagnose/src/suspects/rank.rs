//! Who is the likeliest? One score for all kinds of suspects.

use std::collections::{BTreeMap, BTreeSet};

use causeway_model::Result;

use super::evidence::{self, Evaluators, Overlap};
use super::place::{Dependency, Places};
use super::signals::Signals;
use super::{Kind, Mitigation, Refutation, Suspect};
use crate::ask::{Inquiry, quoted};
use crate::changes::{Change, TELEMETRY};
use crate::conventions::{FLAG_KEY, INSTANCES, VERSION};
use crate::entries;
use crate::locate::{Step, step_query};
use crate::resources::Resources;
use crate::scene::{Broke, Scene};
use crate::traces::{Class, Traces};
use crate::types::{Finding, Signal, duration};

/// What a change's place alone is worth; the rest it earns by nearness in time and overlap, and by both: what came right before the onset
/// but met as many normal requests is as unlikely as what only the affected met, an hour before.
const WEIGHT_PLACE: f64 = 0.3;
/// What a flag that spans tell of may have done to requests whose spans don't: its value may be read once and kept.
const REACH_UNTOLD: f64 = 0.25;
/// What overlap counts for where nothing tells: neither for nor against.
const OVERLAP_UNKNOWN: f64 = 0.5;
/// A change this long before the onset is half as likely as one right before it. 10 minutes: deploys and caches take that long to show.
const HALF_LIFE_S: f64 = 600.0;
/// Clocks of machines differ by this much, and a request meets a change only while it runs: a change that seems to come this little after
/// the onset may have come before it.
const CLOCKS_NS: i64 = 5_000_000_000;
/// How near such a change counts.
const NEARNESS_SIMULTANEOUS: f64 = 0.75;
/// How far a deploy or a configuration answers for what its service waits for: it does not make another system slow, but may have
/// changed how it is called.
const EXPOSURE: f64 = 0.6;
/// As above for a flag, whose purpose is to switch such paths: fallbacks, time-outs, providers.
const EXPOSURE_FLAG: f64 = 1.0;
/// Entities that broke without a known change: what remains of their place.
const UNCHANGED_DEPENDENCY: f64 = 0.8;
/// As above: a service that sends spans rarely breaks without a change, a load or something below it.
const UNCHANGED_SERVICE: f64 = 0.7;
/// As above; one instance of several that alone is bad says where to look more exactly than its service does.
const UNCHANGED_INSTANCE: f64 = 0.85;
/// What a service says in its logs that it did not say before, alone: telling, but what is downstream speaks up as well.
const LOGS: f64 = 0.5;
/// As above where requests got slower: what is slow says little.
const LOGS_OF_LATENCY: f64 = 0.25;
/// A resource that ran full, alone.
const SATURATED: f64 = 0.8;
/// Entities with less of the damage are not suspected.
const SHARE_MIN: f64 = 0.1;
/// Requests became more by this factor: load is suspected.
const LOAD_RATIO_MIN: f64 = 1.5;

/// What the telemetry says.
#[derive(Clone, Copy)]
pub(super) struct Heard<'a> {
    pub traces: &'a Traces,
    pub steps: &'a [Step],
    pub places: &'a Places,
    /// What metrics alone say of a service.
    pub told: &'a BTreeMap<String, Vec<Finding>>,
    pub signals: &'a Signals,
    pub resources: &'a Resources,
}

/// All suspects, the most likely first.
pub(super) async fn rank(
    inquiry: &Inquiry<'_>,
    scene: &Scene,
    heard: Heard<'_>,
    changes: Vec<Change>,
) -> Result<Vec<Suspect>> {
    let Heard { traces, places, signals, .. } = heard;
    let keys: BTreeSet<&str> = changes.iter().filter(|it| it.kind == "flag").map(|it| it.entity.as_str()).collect();
    let flags = evidence::flags(inquiry, scene, traces, &keys).await?;
    let case = Case { scene, heard };
    let mut suspects: Vec<Suspect> = Vec::new();
    for mut change in changes {
        if change.kind == "version" && change.source == TELEMETRY {
            let version = change.after.as_deref().unwrap_or_default();
            let first = evidence::first_seen(inquiry, scene, &change.entity, version).await?;
            change.time.0 = first.map_or(change.time.0, |first| first.min(change.time.0));
        }
        let services = flags.get(&change.entity).cloned().unwrap_or_default();
        suspects.push(case.change(change, &services));
    }
    for (name, dependency) in places.dependencies.iter().filter(|(_, it)| it.share >= SHARE_MIN) {
        suspects.push(case.dependency(name, dependency, &suspects));
    }
    let services: BTreeSet<&String> = places.own.keys().chain(signals.services()).collect();
    for service in services {
        let share = places.own(service);
        let mut suspect = case.service(service, share);
        let shows = share >= SHARE_MIN || suspect.score >= SHARE_MIN;
        let mut instance = if share >= SHARE_MIN { case.instance(service, share) } else { None };
        suspect.explain_away(&suspects);
        instance.iter_mut().for_each(|instance| instance.explain_away(&suspects));
        suspects.extend(shows.then_some(suspect));
        suspects.extend(instance);
    }
    suspects.extend(case.load());
    suspects.retain(|it| it.score > 0.0 || it.change.is_some());
    suspects.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| (a.kind, &a.entity).cmp(&(b.kind, &b.entity))));
    Ok(suspects)
}

impl Suspect {
    /// What a change of a service explains no longer speaks for the service having got worse by itself (explaining away: Pearl, "Probabilistic
    /// reasoning in intelligent systems", 1988).
    fn explain_away(&mut self, changes: &[Suspect]) {
        let service = self.service.as_deref().unwrap_or(&self.entity);
        let own = changes.iter().filter(|it| it.change.is_some() && it.entity == service);
        let Some(best) = own.max_by(|a, b| a.score.total_cmp(&b.score)).filter(|best| best.score >= SHARE_MIN) else {
            return;
        };
        let statement = format!("a change explains it: {}", best.title);
        self.against.push(finding(statement, best.score, 0, best.refute.query.clone()));
        self.score *= 1.0 - best.score;
    }
}

/// What all suspects are judged by.
struct Case<'a> {
    scene: &'a Scene,
    heard: Heard<'a>,
}

fn finding(statement: String, effect: f64, support: u64, query: String) -> Finding {
    Finding { statement, effect, support, q_value: None, query }
}

impl Case<'_> {
    fn change(&self, change: Change, evaluators: &Evaluators) -> Suspect {
        let is_flag = change.kind == "flag";
        let exposure = if is_flag { EXPOSURE_FLAG } else { EXPOSURE };
        let acts_in: Vec<String> =
            if is_flag { evaluators.services.iter().cloned().collect() } else { vec![change.entity.clone()] };
        let held = |service: &String| self.heard.places.own(service) + exposure * self.heard.places.waits(service);
        let service = acts_in.iter().max_by(|a, b| held(a).total_cmp(&held(b))).cloned();
        let place = service.as_ref().map_or(0.0, held).clamp(0.0, 1.0);
        let told = match change.after.as_deref() {
            after if is_flag => evidence::variant(self.heard.traces, &change.entity, after),
            Some(after) => evidence::version(self.heard.traces, &change.entity, after),
            None => Overlap::default(),
        };
        let overlap = if told.is_seen() || change.kind == "version" { told } else { Overlap::default() };
        let reach = self.reach(is_flag && evaluators.told_by_spans, &told);
        let mut suspect = Suspect {
            rank: 0,
            kind: Kind::Change,
            entity: change.entity.clone(),
            title: title(&change),
            score: 0.0,
            supporting: Vec::new(),
            against: Vec::new(),
            refute: self.refute_change(&change, service.as_deref()),
            mitigation: Some(mitigation(&change)),
            service: service.clone(),
            change: Some(change),
        };
        let time = self.time_order(&mut suspect);
        self.tell_place(&mut suspect, service.as_deref(), place);
        if place >= SHARE_MIN {
            suspect.supporting.extend(service.iter().filter_map(|it| self.heard.resources.pools.get(it)).cloned());
        }
        let met = tell_overlap(&mut suspect, &overlap);
        if reach <= REACH_UNTOLD {
            let statement = format!("hardly any of the affected requests met it: {:.0}", told.reached());
            suspect.against.push(finding(statement, reach, told.support(), suspect.refute.query.clone()));
        }
        let earned = WEIGHT_PLACE + (1.0 - WEIGHT_PLACE) * (time * met).sqrt();
        suspect.score = if time > 0.0 { place * reach * earned } else { 0.0 };
        suspect
    }

    /// The share of the affected requests that a change can have hurt: those that met it, as far as spans tell.
    fn reach(&self, is_told: bool, overlap: &Overlap) -> f64 {
        let affected = self.heard.traces.count(Class::Affected);
        match overlap.affected() {
            _ if is_told && affected > 0.0 => (overlap.reached() / affected).max(REACH_UNTOLD),
            Some(met) if overlap.is_seen() => met,
            _ => 1.0,
        }
    }

    /// How near before the onset a change came: 1 right before, 0 after it.
    fn time_order(&self, suspect: &mut Suspect) -> f64 {
        let Some(change) = &suspect.change else { return 0.0 };
        let (time, earliest, latest) = self.scene.began();
        let query =
            format!("SELECT time, kind, entity, before, after FROM changes WHERE entity = {}", quoted(&change.entity));
        let offset_s = (change.time.0 - time) as f64 / 1e9;
        if change.time.0 > latest.saturating_add(CLOCKS_NS) {
            let statement = format!("it came {offset_s:.0} s after the onset");
            suspect.against.push(finding(statement, offset_s, 1, query));
            return 0.0;
        }
        if change.time.0 > latest {
            let statement =
                format!("it came {offset_s:.1} s after the onset, within what clocks and exporters differ by");
            suspect.supporting.push(finding(statement, NEARNESS_SIMULTANEOUS, 1, query));
            return NEARNESS_SIMULTANEOUS;
        }
        let lag_s = (earliest - change.time.0).max(0) as f64 / 1e9;
        let nearness = (-lag_s / HALF_LIFE_S).exp2();
        let statement = if lag_s == 0.0 {
            "it came within the uncertainty of the onset".to_owned()
        } else {
            format!("it came {lag_s:.0} s before the onset")
        };
        suspect.supporting.push(finding(statement, nearness, 1, query));
        nearness
    }

    fn tell_place(&self, suspect: &mut Suspect, service: Option<&str>, place: f64) {
        let Some(service) = service else {
            let statement = "nothing in the telemetry says where it acts".to_owned();
            suspect.against.push(finding(statement, 0.0, 0, self.path_query(&suspect.entity)));
            return;
        };
        let (own, waits) = (self.heard.places.own(service), self.heard.places.waits(service));
        let presence = evidence::presence(self.heard.traces, service);
        let (own_share, waits_share, presence_share) = (own * 100.0, waits * 100.0, presence * 100.0);
        let affected = self.heard.traces.of(Class::Affected).count() as u64;
        let query = self
            .heard
            .steps
            .iter()
            .find(|step| step.service == service)
            .map_or_else(|| self.path_query(service), |step| step_query(step, self.scene));
        let statement = if presence == 0.0 {
            format!("{service} takes part in none of the affected requests")
        } else {
            format!(
                "{service} takes part in {presence_share:.0} % of the affected requests and holds {own_share:.0} % of the damage itself, \
                 {waits_share:.0} % in what it calls"
            )
        };
        let finding = finding(statement, place, affected, query);
        if place >= SHARE_MIN { suspect.supporting.push(finding) } else { suspect.against.push(finding) }
    }

    fn path_query(&self, service: &str) -> String {
        format!(
            "SELECT {} FROM spans WHERE service_name = {} AND {}",
            self.scene.weights.count(),
            quoted(service),
            self.scene.affected.condition()
        )
    }

    fn refute_change(&self, change: &Change, service: Option<&str>) -> Refutation {
        let weights = self.scene.weights;
        let (value, condition) = if change.kind == "flag" {
            (
                "coalesce(attr('feature_flag.result.variant'), attr('feature_flag.variant'))".to_owned(),
                format!("attr({}) = {}", quoted(FLAG_KEY), quoted(&change.entity)),
            )
        } else {
            (
                format!("resource({})", quoted(VERSION)),
                format!("service_name = {}", quoted(service.unwrap_or(&change.entity))),
            )
        };
        Refutation {
            statement: "if requests that met the value before are hit as much since the onset, or those that met the new one were before it, \
                        this is not the cause"
                .to_owned(),
            query: format!(
                "SELECT {value} AS value, time >= '{}' AS after, {} AS spans, {} AS mean_ms, {} AS failed FROM spans \
                 WHERE {condition} AND {} GROUP BY 1, 2 ORDER BY 1, 2",
                self.scene.affected.start,
                weights.count(),
                weights.mean_ms(),
                weights.count_where("status_code = 2"),
                self.scene.window.condition()
            ),
        }
    }

    fn dependency(&self, name: &str, dependency: &Dependency, changes: &[Suspect]) -> Suspect {
        let steps: Vec<&Step> = dependency.steps.iter().filter_map(|at| self.heard.steps.get(*at)).collect();
        let worst = steps.iter().max_by(|a, b| a.delta_ms.total_cmp(&b.delta_ms));
        let callers: Vec<&str> = dependency.callers.keys().map(String::as_str).collect();
        let query = worst.map_or_else(String::new, |step| step_query(step, self.scene));
        let support = self.heard.traces.of(Class::Affected).count() as u64;
        let tell =
            |step: &&Step| finding(step.statement.clone(), step.share_of_delta, support, step_query(step, self.scene));
        let undo =
            changes.iter().filter(|it| it.score > 0.0 && it.service.as_deref().is_some_and(|it| callers.contains(&it)));
        let flag = undo.filter_map(|it| it.mitigation.clone()).find(|it| matches!(it, Mitigation::Flag { .. }));
        let statement =
            format!("relieve {} of {name}: a fallback, a shorter time-out, an open circuit", callers.join(", "));
        Suspect {
            rank: 0,
            kind: Kind::Dependency,
            entity: name.to_owned(),
            title: format!("{name}, called by {}, got worse", callers.join(", ")),
            score: dependency.share.clamp(0.0, 1.0) * UNCHANGED_DEPENDENCY,
            change: None,
            supporting: steps.iter().take(3).map(tell).chain(self.told(name)).chain(self.waiting(&callers)).collect(),
            against: Vec::new(),
            refute: Refutation {
                statement: format!("if calls to {name} take as long and fail as rarely as before, it is not the cause"),
                query,
            },
            mitigation: Some(flag.unwrap_or(Mitigation::Text { statement })),
            service: callers.first().map(|it| (*it).to_owned()),
        }
    }

    fn told(&self, name: &str) -> Vec<Finding> {
        self.heard.told.get(name).cloned().unwrap_or_default()
    }

    /// What shows that callers wait rather than work: pools that ran full, processors that had no more to do than before.
    fn waiting(&self, callers: &[&str]) -> Vec<Finding> {
        let of = |found: &BTreeMap<String, Finding>| -> Vec<Finding> {
            callers.iter().filter_map(|caller| found.get(*caller)).cloned().collect()
        };
        [of(&self.heard.resources.pools), of(&self.heard.resources.calm)].concat()
    }

    fn service(&self, service: &str, share: f64) -> Suspect {
        let own: Vec<&Step> =
            self.heard.steps.iter().filter(|step| step.service == service && !step.dependency).collect();
        let support = self.heard.traces.of(Class::Affected).count() as u64;
        let tell =
            |step: &&Step| finding(step.statement.clone(), step.share_of_delta, support, step_query(step, self.scene));
        let logs = if self.scene.broke == Broke::Yes(Signal::Latency) { LOGS_OF_LATENCY } else { LOGS };
        Suspect {
            rank: 0,
            kind: Kind::Service,
            entity: service.to_owned(),
            title: format!("{service} itself got worse"),
            score: any_of(&[
                share.clamp(0.0, 1.0) * UNCHANGED_SERVICE,
                self.heard.signals.logs(service) * logs,
                self.heard.signals.saturation(service) * SATURATED,
            ]),
            change: None,
            supporting: own
                .iter()
                .take(3)
                .map(tell)
                .chain(self.told(service))
                .chain(self.heard.signals.findings(service))
                .collect(),
            against: self.waiting(&[service]),
            refute: Refutation {
                statement: format!("if {service} is as it was before for the same requests, it is not the cause"),
                query: own.first().map_or_else(|| self.path_query(service), |step| step_query(step, self.scene)),
            },
            mitigation: Some(Mitigation::Text {
                statement: format!("restart or scale {service}, or send its traffic elsewhere"),
            }),
            service: Some(service.to_owned()),
        }
    }

    /// One instance of a service, where it holds the damage and the others don't.
    fn instance(&self, service: &str, share: f64) -> Option<Suspect> {
        let found = INSTANCES.iter().filter_map(|key| {
            let dimension = self.heard.traces.dimensions.iter().position(|it| it == key)?;
            Some((*key, worst_instance(self.heard.traces, service, dimension)?))
        });
        let (key, (instance, held, mean_ms, others_ms)) = found.max_by(|a, b| a.1.1.total_cmp(&b.1.1))?;
        let query = format!(
            "SELECT resource({}) AS instance, {} AS spans, {} AS mean_ms FROM spans \
             WHERE service_name = {} AND {} GROUP BY 1 ORDER BY 3 DESC",
            quoted(key),
            self.scene.weights.count(),
            self.scene.weights.mean_ms(),
            quoted(service),
            self.scene.affected.condition()
        );
        let statement = format!(
            "{key} = {instance} takes {} a span itself, the other instances of {service} {}",
            duration(mean_ms),
            duration(others_ms)
        );
        Some(Suspect {
            rank: 0,
            kind: Kind::Instance,
            entity: instance.clone(),
            title: format!("one instance of {service} got worse: {instance}"),
            score: (share * held).clamp(0.0, 1.0) * UNCHANGED_INSTANCE,
            change: None,
            supporting: vec![finding(
                statement,
                held,
                self.heard.traces.of(Class::Affected).count() as u64,
                query.clone(),
            )],
            against: Vec::new(),
            refute: Refutation {
                statement: "if its siblings take as long for the same requests, it is not the cause".to_owned(),
                query,
            },
            mitigation: Some(Mitigation::Text { statement: format!("take {instance} out of service") }),
            service: Some(service.to_owned()),
        })
    }

    /// More requests than before, where they came before the damage and many steps got slower at once.
    fn load(&self) -> Option<Suspect> {
        let ratio = self.scene.after.requests_per_s / self.scene.before.requests_per_s.max(1e-9);
        if ratio < LOAD_RATIO_MIN || self.scene.before.requests == 0 || !matches!(self.scene.broke, Broke::Yes(_)) {
            return None;
        }
        // Load hurts in many places at once: what no single place holds is what it can explain.
        let largest = self
            .heard
            .places
            .own
            .values()
            .copied()
            .chain(self.heard.places.dependencies.values().map(|it| it.share))
            .fold(0.0, f64::max);
        let query = format!(
            "SELECT date_bin(INTERVAL '1 minute', time) AS minute, {} FROM spans WHERE {} AND {} GROUP BY 1 ORDER BY 1",
            self.scene.weights.count(),
            self.scene.window.condition(),
            entries::condition(&self.scene.symptom)
        );
        let statement = format!("{ratio:.1} times as many requests as before the onset");
        Some(Suspect {
            rank: 0,
            kind: Kind::Load,
            entity: self.scene.symptom.operation.clone().unwrap_or_default(),
            title: statement.clone(),
            score: (1.0 - largest).clamp(0.0, 1.0) * (1.0 - 1.0 / ratio),
            change: None,
            supporting: vec![finding(statement, ratio, self.scene.after.requests, query.clone())],
            against: self.heard.resources.calm.values().take(3).cloned().collect(),
            refute: Refutation {
                statement: "if as many requests were served well before, load is not the cause".to_owned(),
                query,
            },
            mitigation: Some(Mitigation::Text { statement: "add capacity, or limit the rate".to_owned() }),
            service: self.scene.symptom.service.clone(),
        })
    }
}

fn title(change: &Change) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    format!(
        "{} {} changed from {} to {} at {}",
        change.kind,
        change.entity,
        value(&change.before),
        value(&change.after),
        change.time
    )
}

fn mitigation(change: &Change) -> Mitigation {
    match (change.kind.as_str(), &change.before) {
        ("flag", Some(before)) if matches!(before.as_str(), "ENABLED" | "DISABLED") => {
            Mitigation::Flag { flag: change.entity.clone(), variant: None, state: Some(before.clone()) }
        }
        ("flag", Some(before)) => {
            Mitigation::Flag { flag: change.entity.clone(), variant: Some(before.clone()), state: None }
        }
        ("version", Some(before)) => Mitigation::Rollback { entity: change.entity.clone(), to: before.clone() },
        (kind, _) => Mitigation::Text { statement: format!("undo the change of {kind} of {}", change.entity) },
    }
}

/// Says what overlap shows; gives its part of the score.
fn tell_overlap(suspect: &mut Suspect, overlap: &Overlap) -> f64 {
    let Some(affected) = overlap.affected() else { return OVERLAP_UNKNOWN };
    let normal = overlap.normal().unwrap_or(0.0);
    let strength = overlap.strength().unwrap_or(OVERLAP_UNKNOWN);
    let query = suspect.refute.query.clone();
    let statement = format!(
        "{:.0} % of the affected requests met the new value, {:.0} % of the normal ones",
        affected * 100.0,
        normal * 100.0
    );
    let told = finding(statement, strength, overlap.support(), query.clone());
    if strength >= 0.5 {
        suspect.supporting.push(told)
    } else {
        suspect.against.push(told)
    }
    let Some(odds) = overlap.odds() else { return strength };
    let statement = format!(
        "since the onset the odds of being affected are {odds:.1} times as high with the new value as without it"
    );
    let told = finding(statement, odds.log2(), overlap.support(), query);
    if odds >= 2.0 {
        suspect.supporting.push(told);
        strength
    } else {
        suspect.against.push(told);
        // Both values at one time and no difference between them: that is a refutation.
        strength.min(odds.log2().clamp(0.0, 1.0))
    }
}

/// The instance whose spans take the most time themselves: its name, the share of the service's excess that it holds, its mean and that
/// of the others, in milliseconds.
fn worst_instance(traces: &Traces, service: &str, dimension: usize) -> Option<(String, f64, f64, f64)> {
    let mut instances: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for trace in traces.of(Class::Affected).chain(traces.of(Class::Spared)) {
        for node in trace.nodes.iter().filter(|node| node.inside && traces.text(node.service) == service) {
            let Some(value) = node.resource.get(dimension).copied().flatten() else { continue };
            let sums = instances.entry(traces.text(value)).or_default();
            sums.0 += node.self_ns as f64 / 1e6 * trace.weight;
            sums.1 += trace.weight;
        }
    }
    instances.retain(|_, (_, spans)| *spans >= 5.0);
    let mean = |(ms, spans): (f64, f64)| ms / spans.max(1.0);
    let (worst, sums) = instances.iter().max_by(|a, b| mean(*a.1).total_cmp(&mean(*b.1)))?;
    let others = instances
        .iter()
        .filter(|(name, _)| name != &worst)
        .fold((0.0, 0.0), |sum, (_, it)| (sum.0 + it.0, sum.1 + it.1));
    if others.1 == 0.0 {
        return None;
    }
    let (bad, usual) = (mean(*sums), mean(others));
    // Twice as slow as its siblings: then what it holds beyond them is its own.
    (bad >= 2.0 * usual).then(|| ((*worst).to_owned(), (bad - usual) / bad, bad, usual))
}

/// Evidence of independent kinds adds up as chances that at least one is right do (noisy or, Pearl 1988).
fn any_of(chances: &[f64]) -> f64 {
    1.0 - chances.iter().map(|chance| 1.0 - chance.clamp(0.0, 1.0)).product::<f64>()
}
