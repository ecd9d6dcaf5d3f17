//! Which labels does a scraped series get? Its own, its target's, and what the rules make of both.

use causeway_ingest::prometheus::Text;
use causeway_model::{Error, Labels, METRIC_NAME, Result};

use crate::config::{JobConfig, Limits};
use crate::relabel::{LabelMap, relabel};

/// Characters of a name or value that a message shows.
const SHOWN_MAX: usize = 50;

/// Labels as a target exposes them.
pub(crate) type ExposedLabels<'l, 'a> = &'l [(Text<'a>, Text<'a>)];

/// The labels under which a series is kept; nothing where a rule drops it.
///
/// # Errors
/// In Prometheus' words, where its name is missing, a name is not valid, or it goes beyond a limit.
pub(crate) fn kept_labels(exposed: ExposedLabels<'_, '_>, target: &Labels, job: &JobConfig) -> Result<Option<Labels>> {
    let mut labels = with_target(exposed, target, job.honor_labels);
    if !relabel(&job.metric_relabel_rules, &mut labels) {
        return Ok(None);
    }
    let labels = labels.labels();
    if labels.is_empty() {
        return Ok(None);
    }
    check_names(&labels, job)?;
    check_limits(&labels, &job.limits)?;
    Ok(Some(labels))
}

fn with_target(exposed: ExposedLabels<'_, '_>, target: &Labels, honor_labels: bool) -> LabelMap {
    let mut labels: LabelMap = exposed.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut displaced: Vec<(&str, String)> = Vec::new();
    for (name, value) in target.iter() {
        if honor_labels {
            // An empty label of the target's own says that it wants none.
            if !exposed.iter().any(|(each, _)| each == name) {
                labels.set(name, value);
            }
            continue;
        }
        let own = labels.get(name);
        if !own.is_empty() {
            displaced.push((name, own.to_owned()));
        }
        labels.set(name, value);
    }
    displaced.sort_by_key(|(name, _)| name.len());
    for (name, value) in displaced {
        let mut free = format!("exported_{name}");
        while !labels.get(&free).is_empty() {
            free.insert_str(0, "exported_");
        }
        labels.set(&free, &value);
    }
    labels
}

/// The labels of a series about the scrapes of a target.
pub(crate) fn report_labels(name: &str, target: &Labels) -> Labels {
    target.with(METRIC_NAME, name)
}

fn check_names(labels: &Labels, job: &JobConfig) -> Result<()> {
    let Some(name) = labels.metric_name() else {
        return Err(Error::invalid("missing metric name (__name__ label)"));
    };
    let scheme = job.name_scheme;
    if scheme.is_metric_name(name) && labels.iter().all(|(name, _)| scheme.is_label_name(name)) {
        return Ok(());
    }
    Err(Error::invalid(format!("invalid metric name or label names: {}", shown(&format!("{labels:?}")))))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// Whether more than a limit that is set.
fn exceeds(length: usize, limit: u64) -> bool {
    limit > 0 && length as u64 > limit
}

fn check_limits(labels: &Labels, limits: &Limits) -> Result<()> {
    let Limits { label, label_name_length, label_value_length, .. } = limits;
    if *label == 0 && *label_name_length == 0 && *label_value_length == 0 {
        return Ok(());
    }
    let metric = shown(labels.metric_name().unwrap_or_default());
    let count = labels.iter().count();
    if exceeds(count, *label) {
        return Err(Error::invalid(format!(
            "label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {label})"
        )));
    }
    for (name, value) in labels.iter() {
        if exceeds(name.len(), *label_name_length) {
            return Err(Error::invalid(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {}, length: {}, limit: {label_name_length})",
                shown(name),
                name.len()
            )));
        }
        if exceeds(value.len(), *label_value_length) {
            return Err(Error::invalid(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {}, value: {:?}, length: {}, limit: \
                 {label_value_length})",
                shown(name),
                shown(value),
                value.len()
            )));
        }
    }
    Ok(())
}
