//! How do values become labels and labels values again? PromQL's labels are texts; a letter before them tells the type, so that 200 and "200" are two, and an
//! empty text is there.

use causeway_model::Labels;

use crate::ast::{Kind, MetricsFunction, SpanMetrics, Static, Status};

/// The label of a histogram's bucket: its upper bound.
pub(crate) const BUCKET: &str = "__bucket";
/// The label of a quantile.
pub(crate) const QUANTILE: &str = "p";

const STATUSES: [Status; 3] = [Status::Unset, Status::Ok, Status::Error];
const KINDS: [Kind; 6] =
    [Kind::Unspecified, Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];

/// A value as the text of a label.
pub(crate) fn encoded(value: &Static) -> String {
    match value {
        Static::Nil => "n".to_owned(),
        Static::Int(value) => format!("i{value}"),
        Static::Float(value) => format!("f{value:?}"),
        Static::Duration(value) => format!("d{value}"),
        Static::String(text) => format!("s{text}"),
        Static::Bool(value) => format!("b{value}"),
        Static::Status(status) => format!("t{}", status.name()),
        Static::Kind(kind) => format!("k{}", kind.name()),
        // What stands in brackets is told as a text.
        Static::Array(_) => format!("s{value}"),
    }
}

/// The value that a label stands for.
pub(crate) fn decoded(label: &str) -> Static {
    let Some(letter) = label.chars().next() else { return Static::Nil };
    let text = label.get(letter.len_utf8()..).unwrap_or_default();
    match letter {
        'i' => text.parse().map_or(Static::Nil, Static::Int),
        'f' => text.parse().map_or(Static::Nil, Static::Float),
        'd' => text.parse().map_or(Static::Nil, Static::Duration),
        's' => Static::String(text.to_owned()),
        'b' => Static::Bool(text == "true"),
        't' => STATUSES.into_iter().find(|status| status.name() == text).map_or(Static::Nil, Static::Status),
        'k' => KINDS.into_iter().find(|kind| kind.name() == text).map_or(Static::Nil, Static::Kind),
        _ => Static::Nil,
    }
}

/// The names of labels in a query's order.
pub(crate) struct Names(Vec<String>);

impl Names {
    pub fn of(leaves: &[SpanMetrics]) -> Self {
        let mut names = Vec::new();
        for leaf in leaves {
            names.extend(leaf.by.iter().map(ToString::to_string));
            match leaf.function {
                MetricsFunction::Histogram(_) => names.push(BUCKET.to_owned()),
                MetricsFunction::Quantile(..) => names.push(QUANTILE.to_owned()),
                _ => {}
            }
        }
        Self(names)
    }

    /// Labels as they are told.
    pub fn told(&self, labels: &Labels) -> Vec<(String, Static)> {
        let place = |name: &str| self.0.iter().position(|each| each == name).unwrap_or(self.0.len());
        let mut told: Vec<(String, Static)> =
            labels.iter().map(|(name, value)| (name.to_owned(), decoded(value))).collect();
        told.sort_by_key(|(name, _)| place(name));
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_value_that_it_was() {
        for value in [
            Static::Nil,
            Static::Int(-5),
            Static::Float(0.1),
            Static::Float(200.0),
            Static::Duration(7),
            Static::String(String::new()),
            Static::String("i5".to_owned()),
            Static::Bool(true),
            Static::Status(Status::Error),
            Static::Kind(Kind::Consumer),
        ] {
            assert_eq!(decoded(&encoded(&value)), value);
        }
    }
}
