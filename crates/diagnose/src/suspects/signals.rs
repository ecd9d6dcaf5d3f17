//! What else do services say? Logs that a service writes more or less often than before, and resources of it that ran full.

use std::collections::BTreeMap;

use arrow::array::Array;
use causeway_model::{OWN_SERVICE, Result};

use crate::ask::{Inquiry, at, quoted};
use crate::entries::of_others;
use crate::scene::Scene;
use crate::statistics::{g_signed, quantile};
use crate::types::{Finding, Window};

/// Words of a message that make its template: enough to tell messages apart, few enough that lists in them don't.
const WORDS_MAX: usize = 16;
/// Templates that are told apart. 20,000: beyond it messages are not made from templates; the rest is left out, and said so.
const TEMPLATES_MAX: usize = 20_000;
/// G from which a template counts as changed: chance gives it once in 2,000 templates.
const G_MIN: f64 = 12.0;
/// G at which a template is most of the evidence that logs can give.
const G_STRONG: f64 = 20.0;
/// Severity from which a record is an error (OpenTelemetry).
const ERROR: i64 = 17;
/// More errors weigh more than more of anything else.
const ERROR_WEIGHT: f64 = 2.0;
/// A resource is full from this share of its limit on.
const FULL_MIN: f64 = 0.5;
/// Resolution in which utilisation is counted.
const UTILISATION_STEPS: f64 = 10_000.0;

/// What was heard, by service.
#[derive(Debug, Default)]
pub(super) struct Signals {
    logs: BTreeMap<String, (f64, Finding)>,
    saturation: BTreeMap<String, (f64, Finding)>,
}

impl Signals {
    pub fn is_quiet(&self) -> bool {
        self.logs.is_empty() && self.saturation.is_empty()
    }

    pub fn services(&self) -> impl Iterator<Item = &String> {
        self.logs.keys().chain(self.saturation.keys())
    }

    /// How much a service's logs changed, 0 to 1.
    pub fn logs(&self, service: &str) -> f64 {
        self.logs.get(service).map_or(0.0, |(strength, _)| *strength)
    }

    /// How full a resource of it ran beyond the usual, 0 to 1.
    pub fn saturation(&self, service: &str) -> f64 {
        self.saturation.get(service).map_or(0.0, |(strength, _)| *strength)
    }

    pub fn findings(&self, service: &str) -> Vec<Finding> {
        [self.logs.get(service), self.saturation.get(service)].into_iter().flatten().map(|(_, it)| it.clone()).collect()
    }
}

/// Listens to logs and metrics before and since the onset.
pub(super) async fn load(inquiry: &Inquiry<'_>, scene: &Scene) -> Result<Signals> {
    Ok(Signals { logs: logs(inquiry, scene).await?, saturation: saturation(inquiry, scene).await? })
}

/// A message without what changes from one to the next: words with digits, and everything after the first few words.
fn template(body: &str) -> String {
    let mut template = String::new();
    let words = body.split(|letter: char| letter.is_whitespace() || ",;:=()[]{}\"'|".contains(letter));
    for word in words.filter(|word| !word.is_empty()).take(WORDS_MAX) {
        // A name with a number in it is still a name where letters lead.
        let name = word.starts_with(|letter: char| letter.is_alphabetic())
            && word.chars().filter(char::is_ascii_digit).count() <= 3;
        template.push_str(if name { word } else { "*" });
        template.push(' ');
    }
    template
}

#[derive(Debug, Default, Clone, Copy)]
struct Heard {
    before: f64,
    after: f64,
    errors: f64,
}

async fn logs(inquiry: &Inquiry<'_>, scene: &Scene) -> Result<BTreeMap<String, (f64, Finding)>> {
    let whose = match scene.symptom.service.as_deref() {
        Some(OWN_SERVICE) => "true".to_owned(),
        _ => of_others("service_name"),
    };
    let sql = format!(
        "SELECT time, service_name, severity_number, body FROM logs WHERE service_name IS NOT NULL AND {whose} AND (({}) OR ({}))",
        scene.baseline.condition(),
        scene.affected.condition()
    );
    let mut heard: BTreeMap<(String, String), Heard> = BTreeMap::new();
    let mut left_out = 0_u64;
    inquiry
        .each(sql, |rows| {
            let (times, services, severities, bodies) =
                (rows.integers(0)?, rows.text(1)?, rows.integers(2)?, rows.text(3)?);
            for row in 0..rows.len() {
                let key = (services.value(row).to_owned(), template(at(&bodies, row).unwrap_or_default()));
                if heard.len() >= TEMPLATES_MAX && !heard.contains_key(&key) {
                    left_out += 1;
                    continue;
                }
                let counts = heard.entry(key).or_default();
                if scene.affected.contains(times.value(row)) {
                    counts.after += 1.0;
                } else {
                    counts.before += 1.0;
                }
                counts.errors += f64::from(u8::from(severities.value(row) >= ERROR));
            }
            Ok(())
        })
        .await?;
    if left_out > 0 {
        inquiry.note(format!("{left_out} log records beyond {TEMPLATES_MAX} templates were left out"));
    }
    Ok(strongest(&heard, scene))
}

/// Each service's most changed template, measured against all that the service writes, so that more requests alone change nothing.
fn strongest(heard: &BTreeMap<(String, String), Heard>, scene: &Scene) -> BTreeMap<String, (f64, Finding)> {
    let mut totals: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for ((service, _), counts) in heard {
        let total = totals.entry(service).or_default();
        total.0 += counts.before;
        total.1 += counts.after;
    }
    let mut best: BTreeMap<String, (f64, &str, Heard)> = BTreeMap::new();
    for ((service, template), counts) in heard {
        let (before, after) = totals.get(service.as_str()).copied().unwrap_or_default();
        let g = g_signed(counts.after, after, counts.before, before);
        let error = counts.errors * 2.0 > counts.before + counts.after;
        // Errors that went away are no sign of a fault.
        let weighted = if error { g * ERROR_WEIGHT } else { g.abs() };
        if weighted >= G_MIN && best.get(service).is_none_or(|(most, ..)| weighted > *most) {
            best.insert(service.clone(), (weighted, template, *counts));
        }
    }
    let most = best.values().map(|(g, ..)| *g).fold(0.0, f64::max);
    let told = |(service, (g, template, counts)): (String, (f64, &str, Heard))| {
        let strength = (1.0 - (-g / G_STRONG).exp()) * (g / most);
        let word = template.split(' ').find(|word| word.len() > 3).unwrap_or_default();
        let finding = Finding {
            statement: format!(
                "{service} logged {:?} {} times, {} times before",
                template.trim_end(),
                counts.after,
                counts.before
            ),
            effect: g,
            support: (counts.before + counts.after) as u64,
            q_value: None,
            query: format!(
                "SELECT time, body FROM logs WHERE service_name = {} AND body LIKE {} AND {} ORDER BY time",
                quoted(&service),
                quoted(&format!("%{}%", word.replace(['%', '_'], "_"))),
                scene.affected.condition()
            ),
        };
        (service, (strength, finding))
    };
    best.into_iter().map(told).collect()
}

/// Gauges of utilisation (OpenTelemetry: `*.utilization`, a share of the limit) that rose and ran full.
async fn saturation(inquiry: &Inquiry<'_>, scene: &Scene) -> Result<BTreeMap<String, (f64, Finding)>> {
    // Scrapes come once a minute or so: a short window would hold none.
    let margin = 60_000_000_000;
    let after = Window::new(scene.affected.start.0, scene.affected.end.0.saturating_add(margin));
    let sql = format!(
        "SELECT s.service_name, s.name, m.time, m.value FROM metric_samples m JOIN metric_series s ON m.series_id = s.series_id \
         AND date_trunc('day', m.time) = date_trunc('day', s.time) \
         WHERE s.name LIKE '%utilization' AND s.service_name IS NOT NULL AND m.time >= '{}' AND m.time < '{}'",
        scene.baseline.start.min(after.start),
        scene.baseline.end.max(after.end)
    );
    let mut series: BTreeMap<(String, String), (Vec<u32>, Vec<u32>)> = BTreeMap::new();
    inquiry
        .each(sql, |rows| {
            let (services, names, times, values) = (rows.text(0)?, rows.text(1)?, rows.integers(2)?, rows.numbers(3)?);
            for row in (0..rows.len()).filter(|row| !values.is_null(*row) && values.value(*row).is_finite()) {
                let (before, since) =
                    series.entry((services.value(row).to_owned(), names.value(row).to_owned())).or_default();
                let value = (values.value(row).clamp(0.0, 100.0) * UTILISATION_STEPS) as u32;
                let (time, began) = (times.value(row), scene.affected.start.0);
                if after.contains(time) {
                    since.push(value);
                } else if time < began {
                    before.push(value);
                }
            }
            Ok(())
        })
        .await?;
    let mut found: BTreeMap<String, (f64, Finding)> = BTreeMap::new();
    for ((service, name), (mut before, mut since)) in series {
        before.sort_unstable();
        since.sort_unstable();
        let at = |values: &[u32], share| quantile(values, share).map(|it| it / UTILISATION_STEPS);
        let (Some(usual), Some(now)) = (at(&before, 0.95), at(&since, 0.75)) else { continue };
        let strength = ((now - usual) / FULL_MIN).clamp(0.0, 1.0);
        if now < FULL_MIN || strength < 0.5 || found.get(&service).is_some_and(|(most, _)| *most >= strength) {
            continue;
        }
        let finding = Finding {
            statement: format!("{name} of {service} is at {:.0} %, at most {:.0} % before", now * 100.0, usual * 100.0),
            effect: now - usual,
            support: since.len() as u64,
            q_value: None,
            query: format!(
                "SELECT m.time, m.value FROM metric_samples m JOIN metric_series s ON m.series_id = s.series_id \
                 WHERE s.name = {} AND s.service_name = {} ORDER BY 1",
                quoted(&name),
                quoted(&service)
            ),
        };
        found.insert(service, (strength, finding));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn messages_of_one_statement_have_one_template() {
        assert_eq!(template("user u-12345 paid 17.5 EUR in 3 ms"), template("user u-99887 paid 1 EUR in 250 ms"));
        assert_ne!(template("payment failed"), template("payment done"));
        assert_eq!(template("Service#31 [a=1] done"), "Service#31 a * done ");
    }
}
