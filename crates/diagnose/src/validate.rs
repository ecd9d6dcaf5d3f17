//! Is it over? The symptom before it began, while it lasted and since the mitigation, judged by intervals.

use causeway_model::{Error, Result};
use causeway_query::Answerer;
use serde::{Deserialize, Serialize};

use crate::ask::Inquiry;
use crate::entries::{Event, counted, red, within};
use crate::scene::{self, Broke, Scene};
use crate::statistics::{Counted, difference};
use crate::types::{Finding, How, Red, Symptom, Time, Window};
use crate::weights::Weights;

/// Requests since the mitigation that a verdict needs. 30: an interval of a share is then at most 18 points to each side.
const REQUESTS_MIN: f64 = 30.0;
/// What may remain of the rise for the symptom to count as gone, as a share of it.
const REMAINS_MAX: f64 = 0.25;
/// A rise that grew by this share of itself is worse.
const GROWTH_MIN: f64 = 0.1;

/// How long what was wrong may have lasted that no stretch shows: a stretch takes two buckets, of 10 s at least where a past of ten minutes is
/// looked at.
const LAST_MOMENTS_NS: [i64; 3] = [10_000_000_000, 20_000_000_000, 40_000_000_000];

/// What to judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The symptom; its window reaches beyond the mitigation.
    pub symptom: Symptom,
    /// When something was done about it.
    pub mitigated_at: Time,
}

/// What became of the symptom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As before it began.
    Fixed,
    /// Less than it was, yet more than before.
    Improved,
    /// As it was.
    NoEffect,
    /// More than it was.
    Worse,
    /// Too few requests since to tell.
    TooEarly,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validated {
    /// The judgement.
    pub verdict: Outcome,
    /// In words.
    pub statement: String,
    /// Before the onset.
    pub before: Red,
    /// From the onset to the mitigation.
    pub during: Red,
    /// Since the mitigation.
    pub after: Red,
    /// The differences that it rests on.
    pub findings: Vec<Finding>,
    /// How it knows.
    pub how: How,
}

/// Judges.
///
/// # Errors
/// `Invalid` for a mitigation outside of the symptom's window or a symptom that can't be; what the store says otherwise.
pub async fn validate(answerer: &dyn Answerer, claim: &Claim) -> Result<Validated> {
    let (mitigated, symptom) = (claim.mitigated_at, &claim.symptom);
    if mitigated <= symptom.start || mitigated >= symptom.end {
        return Err(Error::invalid(format!(
            "the mitigation at {mitigated} lies outside of {} to {}",
            symptom.start, symptom.end
        )));
    }
    let inquiry = Inquiry::new(answerer);
    // What was wrong is found without looking at what came after, which would thin it out.
    let until = Symptom { end: mitigated, ..symptom.clone() };
    let mut scene = found(&inquiry, &until).await?;
    let asked = Symptom {
        service: scene.symptom.service.clone(),
        operation: scene.symptom.operation.clone(),
        ..symptom.clone()
    };
    let since = Window { start: mitigated, end: symptom.end };
    scene.weights = scene.weights.or(Weights::of(&inquiry, &[since]).await?);
    let operations = crate::entries::load(&inquiry, &asked, since, scene.weights).await?;
    let mut after: Vec<Event> = operations.into_iter().flat_map(|it| it.events).collect();
    after.sort_unstable_by_key(|event| event.time);
    let during = Window::new(scene.affected.start.0, mitigated.0);
    let (verdict, findings) = judge(&scene, during, &after);
    let events = scene.events();
    let answer = Validated {
        verdict,
        statement: statement(verdict, &scene, counted(&after, |_| true).trials),
        before: red(within(events, scene.baseline), scene.baseline.seconds()),
        during: red(within(events, during), during.seconds()),
        after: red(&after, since.seconds()),
        findings,
        how: inquiry.how(Window::new(scene.window.start.0, symptom.end.0)),
    };
    Ok(answer)
}

/// What was wrong before the mitigation. Whoever does something has seen something: what had lasted too short for a stretch to stand out is
/// looked for in the last moments, against all time before them.
async fn found(inquiry: &Inquiry<'_>, until: &Symptom) -> Result<Scene> {
    let scene = scene::look(inquiry, until).await?;
    if matches!(scene.broke, Broke::Yes(_)) || until.baseline.is_some() {
        return Ok(scene);
    }
    for moment in LAST_MOMENTS_NS {
        let start = Time(until.end.0.saturating_sub(moment));
        let baseline = Window { start: scene.window.start, end: start };
        if baseline.check().is_err() {
            break;
        }
        let mut last = scene::look(inquiry, &Symptom { start, baseline: Some(baseline), ..until.clone() }).await?;
        if matches!(last.broke, Broke::Yes(_)) {
            last.begin_with_symptom();
            return Ok(last);
        }
    }
    Ok(scene)
}

fn judge(scene: &Scene, during: Window, after: &[Event]) -> (Outcome, Vec<Finding>) {
    let count = |events: &[Event]| counted(events, |event| scene.is_affected(event));
    let (before, bad, now) =
        (count(within(scene.events(), scene.baseline)), count(within(scene.events(), during)), count(after));
    let rise = bad.rate() - before.rate();
    let between = |of: Counted, other: Counted| {
        let ((hits, trials), (other_hits, other_trials)) = (of.effective(), other.effective());
        difference(hits, trials, other_hits, other_trials)
    };
    let (left, moved) = (between(now, before), between(now, bad));
    let finding = |what: &str, (low, high): (f64, f64), effect: f64| Finding {
        statement: format!(
            "affected requests {what}: {:+.1} points, between {:+.1} and {:+.1} with 95 %",
            effect * 100.0,
            low * 100.0,
            high * 100.0
        ),
        effect,
        support: now.trials.round() as u64,
        q_value: None,
        query: format!(
            "SELECT {} AS requests, {} AS affected FROM spans WHERE {} AND {}",
            scene.weights.count(),
            scene.weights.count_where(&scene.affected_condition()),
            crate::entries::condition(&scene.symptom),
            Window { start: during.end, end: during.end.max(Time(after.last().map_or(0, |it| it.time) + 1)) }
                .condition()
        ),
    };
    let findings = vec![
        finding("since the mitigation against before the onset", left, now.rate() - before.rate()),
        finding("since the mitigation against the time it lasted", moved, now.rate() - bad.rate()),
    ];
    let outcome = match scene.broke {
        _ if now.effective().1 < REQUESTS_MIN => Outcome::TooEarly,
        Broke::Nothing | Broke::OnlyTraffic(_) => Outcome::NoEffect,
        // The bound of the interval decides, not the estimate: "fixed" has to be shown.
        Broke::Yes(_) if left.1 <= rise * REMAINS_MAX => Outcome::Fixed,
        Broke::Yes(_) if moved.1 < 0.0 => Outcome::Improved,
        Broke::Yes(_) if moved.0 > rise * GROWTH_MIN => Outcome::Worse,
        Broke::Yes(_) if moved.0 <= -rise / 2.0 => Outcome::TooEarly,
        Broke::Yes(_) => Outcome::NoEffect,
    };
    (outcome, findings)
}

fn statement(verdict: Outcome, scene: &Scene, requests: f64) -> String {
    let what = match verdict {
        Outcome::Fixed => "fixed: as before it began",
        Outcome::Improved => "improved, but not as before it began",
        Outcome::NoEffect if !matches!(scene.broke, Broke::Yes(_)) => "nothing was broken before the mitigation",
        Outcome::NoEffect => "no effect: as bad as it was",
        Outcome::Worse => "worse than it was",
        Outcome::TooEarly => "too early to tell",
    };
    let about = if scene.weights.is_sampled() { "about " } else { "" };
    format!("{what} ({about}{requests:.0} requests since the mitigation)")
}
