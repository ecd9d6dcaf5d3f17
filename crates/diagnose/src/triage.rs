//! What is wrong, since when, for whom, and what changed? The first words of every investigation.

use std::collections::BTreeMap;

use arrow::array::Array;
use causeway_model::Result;
use causeway_query::Answerer;
use serde::Serialize;

use crate::ask::{Inquiry, at};
use crate::changes::{self, NearChange};
use crate::entries::{self, Event, Events, Operation, counted, red, within};
use crate::keys::{self, Dimension};
use crate::scene::{self, Broke, Grid, Scene};
use crate::statistics::{Counted, chi_squared_tail, g_counted};
use crate::types::{Finding, How, Onset, Red, Signal, Symptom, Time, Window};

/// Attributes with more values than this are not dimensions of a blast radius. 50: a list that a person reads.
const VALUES_MAX: u64 = 50;
/// Attributes that are looked at. 40: the most frequent.
const DIMENSIONS_MAX: usize = 40;
/// Values that are listed for each.
const LISTED_MAX: usize = 20;
/// Requests with a value that it takes to say that it is hit more than others. 20: as few as a symptom may have.
const REQUESTS_MIN: f64 = 20.0;
/// Changes up to this long before the onset are listed.
const CHANGES_BEFORE_NS: i64 = 3_600_000_000_000;

/// The symptom as it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The measure that got worse.
    pub signal: Signal,
    /// The service that shows it.
    pub service: Option<String>,
    /// The operation that shows it.
    pub operation: Option<String>,
    /// The asker's predicate.
    pub filter: Option<String>,
    /// In words.
    pub statement: String,
}

/// One bucket of the series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Its begin.
    pub time: Time,
    /// Requests in it.
    pub requests: u64,
    /// Failed ones.
    pub errors: u64,
    /// Median duration.
    pub p50_ms: Option<f64>,
    /// 95 % are faster.
    pub p95_ms: Option<f64>,
}

/// One value of a dimension.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// The value.
    pub value: String,
    /// Requests with it since the onset.
    pub requests: u64,
    /// Affected ones among them.
    pub affected: u64,
    /// Share of them that is affected.
    pub share: f64,
    /// Before the onset.
    pub before: Red,
    /// Since the onset.
    pub after: Red,
    /// How many times worse: p95 of latency, else the rate of errors or requests.
    pub ratio: f64,
    /// Requests with it, affected ones as hits.
    #[serde(skip)]
    counted: Counted,
}

/// Who is hit, along one dimension.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Radius {
    /// `service`, `operation` or an attribute's key.
    pub dimension: String,
    /// Values, the most affected first.
    pub values: Vec<Part>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Triage {
    /// What is wrong.
    pub symptom: Found,
    /// Since when; null where nothing began.
    pub onset: Option<Onset>,
    /// Whether it still is.
    pub ongoing: bool,
    /// The time that serves as its past.
    pub baseline: Window,
    /// The requests before.
    pub before: Red,
    /// The requests since.
    pub after: Red,
    /// The requests over time.
    pub series: Vec<Point>,
    /// Who is hit.
    pub radius: Vec<Radius>,
    /// What changed.
    pub changes: Vec<NearChange>,
    /// What stands out.
    pub findings: Vec<Finding>,
    /// How it knows.
    pub how: How,
}

/// Answers.
///
/// # Errors
/// `Invalid` for a symptom that can't be; what the store says otherwise.
pub async fn triage(answerer: &dyn Answerer, symptom: &Symptom) -> Result<Triage> {
    let inquiry = Inquiry::new(answerer);
    let scene = scene::look(&inquiry, symptom).await?;
    let mut radius = vec![
        by_operation(&scene, "service", |it| it.service.clone()),
        by_operation(&scene, "operation", |it| format!("{} {}", it.service, it.name)),
    ];
    radius.extend(by_attributes(&inquiry, &scene).await?);
    let window =
        Window::new(scene.began().1.saturating_sub(CHANGES_BEFORE_NS).min(scene.window.start.0), scene.window.end.0);
    let changes =
        changes::beside(changes::load(&inquiry, window).await?, scene.onset.map(|it| (it.time.0, it.latest.0)));
    let findings = findings(&scene, &radius);
    Ok(Triage {
        symptom: Found {
            signal: scene.symptom.signal,
            service: scene.symptom.service.clone(),
            operation: scene.symptom.operation.clone(),
            filter: scene.symptom.filter.clone(),
            statement: scene.statement.clone(),
        },
        onset: scene.onset,
        ongoing: scene.ongoing,
        baseline: scene.baseline,
        before: scene.before,
        after: scene.after,
        series: series(&scene),
        radius,
        changes,
        findings,
        how: inquiry.how(scene.window),
    })
}

fn series(scene: &Scene) -> Vec<Point> {
    let grid = Grid::over(scene.window);
    let point = |bucket: usize| {
        let window = Window::new(grid.time(bucket), grid.time(bucket + 1));
        let events = within(scene.events(), window);
        let red = red(events, window.seconds());
        let errors = counted(events, |event| event.failed).hits.round() as u64;
        Point { time: window.start, requests: red.requests, errors, p50_ms: red.p50_ms, p95_ms: red.p95_ms }
    };
    (0..grid.buckets).map(point).collect()
}

/// Requests of one value before and since the onset.
#[derive(Debug, Default)]
struct Sides {
    before: Vec<Event>,
    after: Vec<Event>,
}

impl Sides {
    fn add(&mut self, scene: &Scene, event: Event) {
        if scene.affected.contains(event.time) {
            self.after.push(event);
        } else if scene.baseline.contains(event.time) {
            self.before.push(event);
        }
    }

    fn part(&self, scene: &Scene, value: String) -> Part {
        let (before, after) = (red(&self.before, scene.baseline.seconds()), red(&self.after, scene.affected.seconds()));
        let counted = counted(&self.after, |event| scene.is_affected(event));
        let over =
            |after: f64, before: f64| if before > 0.0 { after / before } else { f64::from(u8::from(after > 0.0)) };
        let ratio = match scene.symptom.signal {
            Signal::Errors => over(after.error_rate, before.error_rate),
            Signal::Traffic => over(after.requests_per_s, before.requests_per_s),
            Signal::Latency | Signal::Auto => over(after.p95_ms.unwrap_or(0.0), before.p95_ms.unwrap_or(0.0)),
        };
        let affected = counted.hits.round() as u64;
        Part { value, requests: after.requests, affected, share: counted.rate(), before, after, ratio, counted }
    }
}

fn radius(scene: &Scene, dimension: &str, sides: BTreeMap<String, Sides>) -> Radius {
    let mut values: Vec<Part> = sides.into_iter().map(|(value, sides)| sides.part(scene, value)).collect();
    values.sort_by(|a, b| {
        b.share.total_cmp(&a.share).then(b.affected.cmp(&a.affected)).then_with(|| a.value.cmp(&b.value))
    });
    values.truncate(LISTED_MAX);
    Radius { dimension: dimension.to_owned(), values }
}

/// By what is known of each operation: every one has its own usual, so that affected means worse than nearly all it did before.
fn by_operation(scene: &Scene, dimension: &str, name: impl Fn(&Operation) -> String) -> Radius {
    let mut sides: BTreeMap<String, Sides> = BTreeMap::new();
    for operation in &scene.operations {
        let side = sides.entry(name(operation)).or_default();
        operation.events.iter().for_each(|event| side.add(scene, *event));
    }
    let mut radius = radius(scene, dimension, sides);
    radius.values.sort_by(|a, b| b.ratio.total_cmp(&a.ratio).then_with(|| a.value.cmp(&b.value)));
    radius
}

/// By the attributes of the requests that show the symptom.
async fn by_attributes(inquiry: &Inquiry<'_>, scene: &Scene) -> Result<Vec<Radius>> {
    let few = |it: &Dimension| !it.family.is_empty() && it.family != "scope" && (1..=VALUES_MAX).contains(&it.distinct);
    let mut dimensions = keys::dimensions(inquiry, "spans").await?;
    dimensions.retain(few);
    dimensions.truncate(DIMENSIONS_MAX);
    if dimensions.is_empty() || scene.chosen.is_none() {
        return Ok(Vec::new());
    }
    let columns: Vec<&str> = dimensions.iter().map(|it| it.text.as_str()).collect();
    let sql = format!(
        "SELECT {}, {} FROM spans WHERE (({}) OR ({})) AND {}",
        columns.join(", "),
        entries::columns(scene.weights),
        scene.baseline.condition(),
        scene.affected.condition(),
        entries::condition(&scene.symptom)
    );
    let mut found: Vec<BTreeMap<String, Sides>> = dimensions.iter().map(|_| BTreeMap::new()).collect();
    inquiry
        .each(sql, |rows| {
            let events = Events::of(rows, found.len(), scene.weights)?;
            for (place, values) in found.iter_mut().enumerate() {
                let column = rows.text(place)?;
                for row in (0..rows.len()).filter(|row| !column.is_null(*row)) {
                    let Some(value) = at(&column, row) else { continue };
                    if !values.contains_key(value) {
                        values.insert(value.to_owned(), Sides::default());
                    }
                    values.entry(value.to_owned()).or_default().add(scene, events.at(row));
                }
            }
            Ok(())
        })
        .await?;
    let several = |(_, values): &(&Dimension, BTreeMap<String, Sides>)| values.len() > 1;
    Ok(dimensions.iter().zip(found).filter(several).map(|(it, values)| radius(scene, &it.key, values)).collect())
}

fn findings(scene: &Scene, radius: &[Radius]) -> Vec<Finding> {
    if matches!(scene.broke, Broke::Nothing | Broke::OnlyTraffic(_)) {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = radius.iter().skip(2).filter_map(|it| concentration(scene, it)).collect();
    findings.sort_by(|a, b| b.effect.total_cmp(&a.effect));
    findings.truncate(5);
    findings
}

/// Says where one value of a dimension is hit far more than the others.
fn concentration(scene: &Scene, radius: &Radius) -> Option<Finding> {
    let enough = |it: &&Part| it.counted.effective().1 >= REQUESTS_MIN;
    let worst = radius.values.iter().filter(enough).max_by(|a, b| a.share.total_cmp(&b.share))?;
    let others = radius.values.iter().filter(|it| it.value != worst.value).map(|it| it.counted);
    let others = others.fold(Counted::default(), Counted::plus);
    if others.trials <= 0.0 {
        return None;
    }
    let g = g_counted(worst.counted, others);
    let p_value = chi_squared_tail(g) * radius.values.len() as f64;
    let other_share = others.rate();
    (p_value < 0.01 && worst.share >= other_share * 1.5).then(|| Finding {
        statement: format!(
            "{} = {}: {:.0} % of its requests are affected, {:.0} % of the others",
            radius.dimension,
            worst.value,
            worst.share * 100.0,
            other_share * 100.0
        ),
        effect: worst.share - other_share,
        support: worst.requests,
        q_value: Some(p_value.min(1.0)),
        query: format!(
            "SELECT {} FROM spans WHERE {} AND {} AND {}",
            scene.weights.count(),
            scene.affected.condition(),
            scene.affected_condition(),
            entries::condition(&scene.symptom)
        ),
    })
}
