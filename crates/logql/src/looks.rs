//! What does a query look at? The labels that decide what comes out, whether the text of a line does, and texts that each line must hold: so
//! that nothing else is read.

use causeway_promql::MatchOperator;

use crate::ast::{
    Conversion, LabelFilter, Leaf, LeafValue, LineCondition, LineFilter, LogQuery, NewLabel, Stage, Unwrap,
};
use crate::labels::{ERROR, ERROR_DETAILS, EXTRACTED, Looked};

/// The labels that the samples of a range of lines depend on.
pub(crate) fn labels(leaf: &Leaf) -> Looked {
    let Some(mut names) = besides_the_value(leaf) else { return Looked::ALL };
    if let LeafValue::Unwrapped(unwrap) = &leaf.value {
        names.push(&unwrap.label);
    }
    Looked::at(names)
}

/// The label of which nothing but the number matters, where lines have it beside them.
pub(crate) fn number(leaf: &Leaf) -> Option<&str> {
    let LeafValue::Unwrapped(Unwrap { label, conversion: Conversion::Number, .. }) = &leaf.value else { return None };
    let is_it = |name: &&str| *name == label || name.strip_suffix(EXTRACTED) == Some(label);
    let changes = |stage: &Stage| matches!(stage, Stage::LabelFormat(_) | Stage::Drop(_) | Stage::Keep(_));
    let elsewhere = besides_the_value(leaf)?.iter().any(is_it) || leaf.log.stages.iter().any(changes);
    (!elsewhere).then_some(label)
}

/// The labels that are looked at but for the one that is the value; `None` for all.
fn besides_the_value(leaf: &Leaf) -> Option<Vec<&str>> {
    let grouping = leaf.grouping.as_ref().filter(|grouping| !grouping.without)?;
    let mut names: Vec<&str> = grouping.labels.iter().map(String::as_str).collect();
    for stage in &leaf.log.stages {
        match stage {
            Stage::Labels(filter) => of_filter(filter, &mut names),
            Stage::LineFormat(template) => names.extend(template.fields()?),
            Stage::LabelFormat(formats) => {
                for (_, new) in formats {
                    match new {
                        NewLabel::Renamed(from) => names.push(from),
                        NewLabel::Made(template) => names.extend(template.fields()?),
                    }
                }
            }
            // Parsers add labels, which may not be looked at; whether one is taken away changes nothing about the others.
            Stage::Lines(_)
            | Stage::Json(_)
            | Stage::Logfmt(_)
            | Stage::Regexp(_)
            | Stage::Pattern(_)
            | Stage::Unpack
            | Stage::Decolorize
            | Stage::Drop(_)
            | Stage::Keep(_) => {}
        }
    }
    if let LeafValue::Unwrapped(unwrap) = &leaf.value {
        unwrap.filters.iter().for_each(|filter| of_filter(filter, &mut names));
    }
    Some(names)
}

fn of_filter<'a>(filter: &'a LabelFilter, names: &mut Vec<&'a str>) {
    let mut open = vec![filter];
    while let Some(filter) = open.pop() {
        match filter {
            LabelFilter::And(left, right) | LabelFilter::Or(left, right) => open.extend([&**left, &**right]),
            LabelFilter::Text(matcher) => names.push(matcher.name()),
            LabelFilter::Number { name, .. } | LabelFilter::Ip { name, .. } => names.push(name),
        }
    }
}

/// Whether what becomes of a line depends on its labels alone.
pub(crate) fn labels_alone(stages: &[&Stage]) -> bool {
    stages.iter().all(|stage| matches!(stage, Stage::Labels(_) | Stage::Drop(_) | Stage::Keep(_)))
}

impl LogQuery {
    /// Conditions on the text as it was sent, which all lines that stay fulfil.
    pub fn filters(&self) -> Vec<&LineFilter> {
        let mut filters = Vec::new();
        for stage in as_sent(&self.stages) {
            if let Stage::Lines(filter) = stage {
                filters.push(filter);
            }
        }
        filters
    }

    /// What happens to the lines that fulfil [`Self::filters`].
    pub(crate) fn behind_filters(&self) -> Vec<&Stage> {
        let sent = as_sent(&self.stages).len();
        let behind = |(at, stage): &(usize, &Stage)| *at >= sent || !matches!(stage, Stage::Lines(_));
        self.stages.iter().enumerate().filter(behind).map(|(_, stage)| stage).collect()
    }

    /// Whether all lines stay that fulfil [`Self::filters`].
    pub(crate) fn keeps_all(&self) -> bool {
        !self.behind_filters().iter().any(|stage| matches!(stage, Stage::Lines(_) | Stage::Labels(_)))
    }

    /// Labels that were sent beside the lines that stay, with their values.
    pub fn equal(&self) -> Vec<(String, String)> {
        equal(&self.stages)
    }
}

impl LineFilter {
    /// A text that each line that stays holds.
    pub fn needle(&self) -> Option<&str> {
        match self.any.as_slice() {
            [LineCondition::Contains(needle)] if !self.negative => Some(needle.text()),
            _ => None,
        }
    }
}

/// The stages up to the first that makes another text of the line.
fn as_sent(stages: &[Stage]) -> &[Stage] {
    let changes = |stage: &Stage| matches!(stage, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize);
    let first = stages.iter().position(changes).unwrap_or(stages.len());
    stages.get(..first).unwrap_or_default()
}

fn equal(stages: &[Stage]) -> Vec<(String, String)> {
    // Behind a parser a label may be one that it found.
    let as_sent = stages.iter().take_while(|stage| {
        matches!(stage, Stage::Lines(_) | Stage::Labels(_) | Stage::LineFormat(_) | Stage::Decolorize)
    });
    let mut open: Vec<&LabelFilter> = Vec::new();
    open.extend(as_sent.filter_map(|stage| if let Stage::Labels(filter) = stage { Some(filter) } else { None }));
    let mut found = Vec::new();
    while let Some(filter) = open.pop() {
        match filter {
            LabelFilter::And(left, right) => open.extend([&**left, &**right]),
            // What went wrong was not sent.
            LabelFilter::Text(matcher) if [ERROR, ERROR_DETAILS].contains(&matcher.name()) => {}
            LabelFilter::Text(matcher) if matcher.operator() == MatchOperator::Equal && !matcher.value().is_empty() => {
                found.push((matcher.name().to_owned(), matcher.value().to_owned()));
            }
            LabelFilter::Or(..) | LabelFilter::Text(_) | LabelFilter::Number { .. } | LabelFilter::Ip { .. } => {}
        }
    }
    found
}
