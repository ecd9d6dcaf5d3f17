//! What happens when? Scenarios as data: the shop runs by itself, and at given times somebody or something changes a thing.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::Problem;
use crate::naming::Names;
use crate::wire::{Behaviour, Role};

/// Names and texts of all scenarios.
pub const SCENARIOS: &[(&str, &str)] = &[
    ("checkout-slow", include_str!("../scenarios/checkout-slow.json")),
    ("bad-deploy", include_str!("../scenarios/bad-deploy.json")),
    ("campaign", include_str!("../scenarios/campaign.json")),
    ("innocent-deploy", include_str!("../scenarios/innocent-deploy.json")),
];

/// A sequence of events. Times are in seconds at speed 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Until then all is well.
    pub baseline_s: f64,
    /// By then there is enough to see.
    pub end_s: f64,
    pub(crate) flags: Vec<FlagAtStart>,
    pub(crate) steps: Vec<Step>,
}

/// How a flag stands at the start.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlagAtStart {
    pub(crate) flag: String,
    pub(crate) variant: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    at_s: f64,
    #[serde(rename = "do")]
    pub(crate) action: Action,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Somebody tells of a change; nothing else comes of it.
    Change(Value),
    /// Somebody switches a flag.
    Flag(FlagSwitch),
    /// A service gets a new version, in all regions or in one.
    Deploy(Deploy),
    /// A process is different from now on, and nobody is told.
    Behave(Behave),
    /// So many times the users that there were at the start.
    Users(f64),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlagSwitch {
    pub(crate) flag: String,
    pub(crate) variant: String,
    pub(crate) actor: String,
    pub(crate) reason: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deploy {
    pub(crate) role: Role,
    pub(crate) version: String,
    pub(crate) actor: String,
    #[serde(default)]
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) behaviour: Behaviour,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Behave {
    pub(crate) role: Role,
    pub(crate) behaviour: Behaviour,
}

impl Scenario {
    /// The scenario of this name, in these names, its times divided by the speed.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str, names: &Names, speed: f64) -> Result<Self, Problem> {
        let known = || SCENARIOS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let text = SCENARIOS.iter().find(|(known, _)| *known == name);
        let (_, text) = text.ok_or_else(|| format!("there is no scenario {name}; there are {}", known()))?;
        let mut scenario: Self = serde_json::from_str(&names.fill(text))?;
        scenario.baseline_s /= speed;
        scenario.end_s /= speed;
        scenario.steps.iter_mut().for_each(|step| step.at_s /= speed);
        Ok(scenario)
    }
}

impl Step {
    /// When it happens, after the start.
    pub(crate) fn at(&self) -> Duration {
        Duration::from_secs_f64(self.at_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scenario_can_be_read_goes_forward_and_names_only_what_exists() {
        for (name, text) in SCENARIOS {
            for renamed in [None, Some(5)] {
                let names = Names::new(renamed);
                let scenario = Scenario::named(name, names, 2.0).unwrap();
                assert!(scenario.baseline_s < scenario.end_s, "{name}");
                assert!(scenario.steps.is_sorted_by(|one, next| one.at() <= next.at()), "{name}");
                assert!(!format!("{scenario:?}").contains("{fraud"), "{name}");
                let flags = ["flag", "flag_express", "flag_search"].map(|key| names.of(key));
                assert!(scenario.flags.iter().all(|start| flags.contains(&&*start.flag)), "{name}");
            }
            let plain = Scenario::named(name, Names::new(None), 1.0).unwrap();
            assert_eq!(plain.baseline_s, Scenario::named(name, Names::new(None), 2.0).unwrap().baseline_s * 2.0);
            assert!(!text.contains("truth"), "{name}");
        }
        let error = Scenario::named("no-such", Names::new(None), 1.0).unwrap_err();
        assert!(error.to_string().contains("checkout-slow"), "{error}");
    }

    #[test]
    fn at_a_fifth_of_the_speed_the_flag_is_switched_minutes_before() {
        let (slow, plain) = (0.2, 1.0);
        let times = |speed| {
            let scenario = Scenario::named("checkout-slow", Names::new(None), speed).unwrap();
            let switched = scenario.steps.iter().find(|step| matches!(step.action, Action::Flag(_))).unwrap().at_s;
            let broken = scenario.steps.iter().find(|step| matches!(step.action, Action::Behave(_))).unwrap().at_s;
            assert_eq!(broken, scenario.baseline_s);
            broken - switched
        };
        assert_eq!((times(plain), times(slow)), (25.0, 125.0));
    }

    #[test]
    fn the_truth_of_each_scenario_names_what_happened() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        for (name, _) in SCENARIOS {
            let names = Names::new(Some(9));
            let text = std::fs::read_to_string(directory.join(format!("{name}.truth.json"))).unwrap();
            let truth: Value = serde_json::from_str(&names.fill(&text)).unwrap();
            let scenario = Scenario::named(name, names, 1.0).unwrap();
            assert_eq!(truth["onset_s"].as_f64(), Some(scenario.baseline_s), "{name}");
            for suspect in truth["causes"].as_array().unwrap() {
                let entity = suspect["entity"].as_str().unwrap();
                assert!(names.table().values().any(|known| *known == entity), "{name}: {entity}");
            }
        }
    }
}
