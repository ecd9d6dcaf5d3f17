//! What changed near the onset? Rows of `changes`: deploys, flags, configuration, as told or as seen in the telemetry.

use causeway_model::Result;
use serde::{Deserialize, Serialize};

use crate::ask::{Inquiry, at};
use crate::types::{Time, Window};

/// Changes that are looked at. 1,000: the newest; a system that changes more often has its cause among these.
const CHANGES_MAX: usize = 1_000;
/// A change this long before the onset, or less, is near it.
pub(crate) const NEAR_S: f64 = 1_800.0;

/// The source of changes that were seen in the telemetry.
pub(crate) const TELEMETRY: &str = "telemetry";
/// What is seen in the telemetry is seen this much later at most: exporters send every few seconds, a collector may wait as long again.
const TELEMETRY_LAG_NS: i64 = 60_000_000_000;

/// A change of state that was told or seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub time: Time,
    /// `version`, `environment`, `flag`, `config` …
    pub kind: String,
    /// What changed: a service, a flag's key …
    pub entity: String,
    /// The value before.
    pub before: Option<String>,
    /// The value after.
    pub after: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// How it was learnt.
    pub source: String,
    /// What else was told of it.
    #[serde(default)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// A change beside an onset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NearChange {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// Seconds from the onset to it; negative before.
    pub offset_s: Option<f64>,
    /// Whether it came at most half an hour before the onset, and not after it.
    pub near: bool,
}

/// The changes of a window, newest first.
pub(crate) async fn load(inquiry: &Inquiry<'_>, window: Window) -> Result<Vec<Change>> {
    let sql = format!(
        "SELECT time, kind, entity, before, after, actor, source, map_keys(attributes) AS keys, map_values(attributes) AS vals \
         FROM changes WHERE {} ORDER BY time DESC LIMIT {CHANGES_MAX}",
        window.condition()
    );
    let mut changes = Vec::new();
    inquiry
        .each(sql, |rows| {
            let times = rows.integers(0)?;
            let texts = (1..7).map(|column| rows.text(column)).collect::<Result<Vec<_>>>()?;
            let text = |column: usize, row| at(&texts[column - 1], row).map(str::to_owned);
            let (keys, values) = (rows.lists(7)?, rows.lists(8)?);
            for row in 0..rows.len() {
                let attributes = keys[row].iter().cloned().zip(values[row].iter().cloned().map(Into::into)).collect();
                changes.push(Change {
                    time: Time(times.value(row)),
                    kind: text(1, row).unwrap_or_default(),
                    entity: text(2, row).unwrap_or_default(),
                    before: text(3, row),
                    after: text(4, row),
                    actor: text(5, row),
                    source: text(6, row).unwrap_or_default(),
                    attributes,
                });
            }
            Ok(())
        })
        .await?;
    Ok(changes)
}

/// Puts changes beside an onset (its time and the latest that it may have been).
pub(crate) fn beside(changes: Vec<Change>, onset: Option<(i64, i64)>) -> Vec<NearChange> {
    let beside = |change: Change| {
        let offset_s = onset.map(|(time, _)| (change.time.0 - time) as f64 / 1e9);
        let lag = if change.source == TELEMETRY { TELEMETRY_LAG_NS } else { 0 };
        let near = onset.is_some_and(|(_, latest)| change.time.0 <= latest.saturating_add(lag))
            && offset_s.is_some_and(|it| it >= -NEAR_S);
        NearChange { change, offset_s, near }
    };
    changes.into_iter().map(beside).collect()
}
