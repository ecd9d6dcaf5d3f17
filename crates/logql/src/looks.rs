//! What does a query look at? The labels that decide what comes out, whether the text of a line does, and texts that each line must hold: so
//! that nothing else is read.

use causeway_promql::MatchOperator;

use crate::ast::{LabelFilter, Leaf, LeafValue, LineCondition, LineFilter, LogQuery, NewLabel, Stage};
use crate::labels::{ERROR, ERROR_DETAILS, Looked};

/// The labels that the samples of a range of lines depend on.
pub(crate) fn labels(leaf: &Leaf) -> Looked {
    let Some(grouping) = leaf.grouping.as_ref().filter(|grouping| !grouping.without) else { return Looked::ALL };
    let mut names: Vec<&str> = grouping.labels.iter().map(String::as_str).collect();
    for stage in &leaf.log.stages {
        match stage {
            Stage::Labels(filter) => of_filter(filter, &mut names),
            Stage::LineFormat(template) => match template.fields() {
                Some(fields) => names.extend(fields),
                None => return Looked::ALL,
            },
            Stage::LabelFormat(formats) => {
                for (_, new) in formats {
                    match new {
                        NewLabel::Renamed(from) => names.push(from),
                        NewLabel::Made(template) => match template.fields() {
                            Some(fields) => names.extend(fields),
                            None => return Looked::ALL,
                        },
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
        names.push(&unwrap.label);
        unwrap.filters.iter().for_each(|filter| of_filter(filter, &mut names));
    }
    Looked::at(names)
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

/// Whether the samples of a range of lines depend on the texts of these.
pub(crate) fn text(leaf: &Leaf) -> bool {
    let of_labels = |stage: &Stage| matches!(stage, Stage::Labels(_) | Stage::Drop(_) | Stage::Keep(_));
    matches!(leaf.value, LeafValue::Bytes) || !leaf.log.stages.iter().all(of_labels)
}

impl LogQuery {
    /// What the lines that stay hold as they were sent.
    pub fn needles(&self) -> Vec<String> {
        needles(&self.stages)
    }

    /// Labels that were sent beside the lines that stay, with their values.
    pub fn equal(&self) -> Vec<(String, String)> {
        equal(&self.stages)
    }
}

fn needles(stages: &[Stage]) -> Vec<String> {
    let as_sent =
        stages.iter().take_while(|stage| !matches!(stage, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize));
    let needle = |stage: &Stage| match stage {
        Stage::Lines(LineFilter { negative: false, any }) => match any.as_slice() {
            [LineCondition::Contains(text)] => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    as_sent.filter_map(needle).collect()
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
