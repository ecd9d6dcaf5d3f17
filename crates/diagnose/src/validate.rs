//! Is it over? The symptom before it began, while it lasted and since the mitigation, judged by intervals.

use causeway_model::{Error, Result};
use causeway_query::Answerer;
use serde::{Deserialize, Serialize};

use crate::ask::Inquiry;
use crate::entries::{Event, red, within};
use crate::scene::{self, Broke, Scene};
use crate::statistics::difference;
use crate::types::{Finding, How, Red, Symptom, Time, Window};

/// Requests since the mitigation that a verdict needs. 30: an interval of a share is then at most 18 points to each side.
const REQUESTS_MIN: usize = 30;
/// What may remain of the rise for the symptom to count as gone, as a share of it.
const REMAINS_MAX: f64 = 0.25;
/// A rise that grew by this share of itself is worse.
const GROWTH_MIN: f64 = 0.1;

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
    let scene = scene::look(&inquiry, &until).await?;
    let asked = Symptom {
        service: scene.symptom.service.clone(),
        operation: scene.symptom.operation.clone(),
        ..symptom.clone()
    };
    let since = Window { start: mitigated, end: symptom.end };
    let operations = crate::entries::load(&inquiry, &asked, since).await?;
    let mut after: Vec<Event> = operations.into_iter().flat_map(|it| it.events).collect();
    after.sort_unstable_by_key(|event| event.time);
    let during = Window::new(scene.affected.start.0, mitigated.0);
    let (verdict, findings) = judge(&scene, during, &after);
    let events = scene.events();
    let answer = Validated {
        verdict,
        statement: statement(verdict, &scene, after.len()),
        before: red(within(events, scene.baseline), scene.baseline.seconds()),
        during: red(within(events, during), during.seconds()),
        after: red(&after, since.seconds()),
        findings,
        how: inquiry.how(Window::new(scene.window.start.0, symptom.end.0)),
    };
    Ok(answer)
}

fn judge(scene: &Scene, during: Window, after: &[Event]) -> (Outcome, Vec<Finding>) {
    let count =
        |events: &[Event]| (events.iter().filter(|event| scene.is_affected(event)).count() as f64, events.len() as f64);
    let (before, bad, now) =
        (count(within(scene.events(), scene.baseline)), count(within(scene.events(), during)), count(after));
    let share = |(hits, trials): (f64, f64)| if trials > 0.0 { hits / trials } else { 0.0 };
    let rise = share(bad) - share(before);
    let left = difference(now.0, now.1, before.0, before.1);
    let moved = difference(now.0, now.1, bad.0, bad.1);
    let finding = |what: &str, (low, high): (f64, f64), effect: f64| Finding {
        statement: format!(
            "affected requests {what}: {:+.1} points, between {:+.1} and {:+.1} with 95 %",
            effect * 100.0,
            low * 100.0,
            high * 100.0
        ),
        effect,
        support: after.len() as u64,
        q_value: None,
        query: format!(
            "SELECT count(*) AS requests, count(*) FILTER (WHERE {}) AS affected FROM spans WHERE {} AND {}",
            scene.affected_condition(),
            crate::entries::condition(&scene.symptom),
            Window { start: during.end, end: during.end.max(Time(after.last().map_or(0, |it| it.time) + 1)) }
                .condition()
        ),
    };
    let findings = vec![
        finding("since the mitigation against before the onset", left, share(now) - share(before)),
        finding("since the mitigation against the time it lasted", moved, share(now) - share(bad)),
    ];
    let outcome = match scene.broke {
        _ if after.len() < REQUESTS_MIN => Outcome::TooEarly,
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

fn statement(verdict: Outcome, scene: &Scene, requests: usize) -> String {
    let what = match verdict {
        Outcome::Fixed => "fixed: as before it began",
        Outcome::Improved => "improved, but not as before it began",
        Outcome::NoEffect if !matches!(scene.broke, Broke::Yes(_)) => "nothing was broken before the mitigation",
        Outcome::NoEffect => "no effect: as bad as it was",
        Outcome::Worse => "worse than it was",
        Outcome::TooEarly => "too early to tell",
    };
    format!("{what} ({requests} requests since the mitigation)")
}
