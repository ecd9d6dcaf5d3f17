//! Why? Changes of state and broken entities, scored by one model: how much of the damage lies where they act (topology), whether they came
//! before it (time order), and whether the affected requests met them and the others did not (overlap, dose and response).
//!
//! score = place x (a constant part + time order + overlap), each between 0 and 1; a change that came after the onset, or whose place holds none
//! of the damage, scores nothing. A caller that only waits holds no damage of its own, so that a symptom never ranks as a cause.
//! The weights stand below; `docs/diagnosis.md` says where they come from.

mod evidence;
mod place;
mod rank;
mod signals;
mod walk;

use std::collections::BTreeMap;

use causeway_model::Result;
use causeway_query::Answerer;
use place::Places;
use serde::Serialize;

use crate::ask::Inquiry;
use crate::changes::{self, Change};
use crate::conventions::{INSTANCES, VERSION};
use crate::locate;
use crate::resources;
use crate::scene::{self, Broke, Scene};
use crate::traces::Traces;
use crate::types::{Finding, How, Symptom, Window};

/// Suspects that are listed.
const SUSPECTS_MAX: usize = 10;
/// The best suspect is a convincing cause from this score on: the damage mostly lies there, and nothing speaks against it.
const CONVINCING_MIN: f64 = 0.35;
/// Changes up to this long before the onset are suspected.
const CHANGES_BEFORE_NS: i64 = 3_600_000_000_000;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The first suspect is the cause, as far as the data can tell.
    Cause,
    /// Something broke, and nothing explains it well enough.
    NoConvincingCause,
    /// Nothing broke.
    NothingBroken,
}

/// What kind of thing is suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A deploy, a flag, a configuration.
    Change,
    /// Something that is called and sends no spans.
    Dependency,
    /// A service, in itself.
    Service,
    /// One instance of a service.
    Instance,
    /// More requests than before.
    Load,
}

/// What would end it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Mitigation {
    /// Set a flag back.
    Flag {
        /// Its key.
        flag: String,
        /// The variant to serve.
        #[serde(skip_serializing_if = "Option::is_none")]
        variant: Option<String>,
        /// The state to be in.
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<String>,
    },
    /// Go back to the version before.
    Rollback {
        /// The service.
        entity: String,
        /// The version.
        to: String,
    },
    /// In words.
    Text {
        /// What to do.
        statement: String,
    },
}

/// The query that would clear a suspect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refutation {
    /// What its answer would have to show.
    pub statement: String,
    /// SQL.
    pub query: String,
}

/// A change or an entity that could be the cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suspect {
    /// 1 is the most likely.
    pub rank: usize,
    /// What kind of thing.
    pub kind: Kind,
    /// Its name: a service, a flag's key, an address …
    pub entity: String,
    /// In words.
    pub title: String,
    /// How convincing: 0 to 1.
    pub score: f64,
    /// The change, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// What speaks for it.
    #[serde(rename = "for")]
    pub supporting: Vec<Finding>,
    /// What speaks against it.
    pub against: Vec<Finding>,
    /// What would clear it.
    pub refute: Refutation,
    /// What would end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitigation: Option<Mitigation>,
    /// The service in which it acts, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suspected {
    /// What came of it.
    pub verdict: Verdict,
    /// In words.
    pub statement: String,
    /// The most likely first.
    pub suspects: Vec<Suspect>,
    /// How it knows.
    pub how: How,
}

/// Names suspects.
///
/// # Errors
/// `Invalid` for a symptom that can't be; what the store says otherwise.
pub async fn suspects(answerer: &dyn Answerer, symptom: &Symptom) -> Result<Suspected> {
    let inquiry = Inquiry::new(answerer);
    let mut scene = scene::look(&inquiry, symptom).await?;
    // Without a span the metrics of services and their graph say where to look.
    let walked = if scene.operations.is_empty() { walk::walk(&inquiry, &mut scene).await? } else { None };
    // An asker who names the time when all was well knows that something is not: then logs and metrics are heard as well.
    let told = symptom.baseline.is_some();
    let signals = if told || matches!(scene.broke, Broke::Yes(_)) {
        signals::load(&inquiry, &scene).await?
    } else {
        signals::Signals::default()
    };
    if !matches!(scene.broke, Broke::Yes(_)) && signals.is_quiet() {
        let how = inquiry.how(scene.window);
        return Ok(Suspected {
            verdict: Verdict::NothingBroken,
            statement: scene.statement,
            suspects: Vec::new(),
            how,
        });
    }
    let dimensions = [VERSION].iter().chain(INSTANCES).map(|key| (*key).to_owned()).collect();
    let broke = matches!(scene.broke, Broke::Yes(_));
    let traces = if broke { Traces::load(&inquiry, &scene, dimensions).await? } else { Traces::default() };
    let steps = locate::steps(&traces, &scene);
    let resources = resources::load(&inquiry, &scene).await?;
    let changes = changes::load(&inquiry, suspected_time(&scene)).await?;
    let is_plain = walked.as_ref().is_none_or(|it| it.is_plain);
    let (places, told) = match walked {
        Some(walked) => (walked.places, walked.findings),
        None => (Places::of(&steps, &scene), BTreeMap::new()),
    };
    let heard = rank::Heard {
        traces: &traces,
        steps: &steps,
        places: &places,
        told: &told,
        signals: &signals,
        resources: &resources,
    };
    let mut suspects = rank::rank(&inquiry, &scene, heard, changes).await?;
    suspects.truncate(SUSPECTS_MAX);
    for (suspect, rank) in suspects.iter_mut().zip(1..) {
        suspect.rank = rank;
    }
    let (verdict, statement) = verdict(&scene, &suspects, is_plain);
    Ok(Suspected { verdict, statement, suspects, how: inquiry.how(scene.window) })
}

/// Changes after the symptom's end can't matter; those after its onset are shown with what speaks against them.
fn suspected_time(scene: &Scene) -> Window {
    let (_, earliest, _) = scene.began();
    Window::new(earliest.saturating_sub(CHANGES_BEFORE_NS), scene.affected.end.0)
}

fn verdict(scene: &Scene, suspects: &[Suspect], is_plain: bool) -> (Verdict, String) {
    let symptom = match scene.broke {
        Broke::Yes(_) => scene.statement.as_str(),
        _ => "requests are neither slower nor failing more often, but logs or resources are not as before",
    };
    match suspects.first().filter(|first| is_plain && first.score >= CONVINCING_MIN) {
        Some(first) => (Verdict::Cause, format!("{}; {symptom}", first.title)),
        None => (Verdict::NoConvincingCause, format!("no convincing cause; {symptom}")),
    }
}
