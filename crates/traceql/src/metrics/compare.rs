//! In which attributes do some spans differ from the others? How many spans have each value, in a selection and in what it is compared with.

use causeway_model::{Result, TimeRange};
use causeway_promql::Options;
use hashbrown::HashMap;

use super::labels::{decoded, encoded};
use super::observe::{Charged, weight};
use super::read::Observe;
use super::{Windows, read};
use crate::answer::{MetricSeries, Metrics};
use crate::ast::{Attribute, Compare, Field, Intrinsic, Pipeline, Scope, Static};
use crate::expression::{Access, Node, Row, access, is_local};
use crate::source::{Fields, SpanSource};
use crate::value::Scalar;

/// Different values of one attribute that are counted; what comes later counts in its total alone.
const VALUES_COUNTED: usize = 10_000;
/// What spans have besides attributes.
const INTRINSICS: [Intrinsic; 4] = [Intrinsic::Name, Intrinsic::Kind, Intrinsic::Status, Intrinsic::StatusMessage];

const META_TYPE: &str = "__meta_type";
const META_ERROR: &str = "__meta_error";
const TOO_MANY: &str = "__too_many_values__";

/// How many spans have an attribute in each window, and how many each of its values.
struct Counted {
    total: Vec<f64>,
    values: HashMap<String, Vec<f64>>,
    is_cut: bool,
}

/// Baseline and selection, by the names of attributes.
struct Groups {
    windows: Windows,
    groups: [HashMap<String, Counted>; 2],
    charged: Charged,
}

/// Counts spans in the group that each belongs to.
struct Counter {
    selection: Node,
    /// Spans of the selection begin in it.
    time: Option<TimeRange>,
    accesses: Vec<(String, Access)>,
    names: HashMap<(Scope, String), String>,
    groups: Groups,
}

/// Evaluates `compare`.
pub(super) fn compare(
    pipeline: &Pipeline,
    asked: &Compare,
    source: &dyn SpanSource,
    windows: Windows,
    options: &Options,
) -> Result<Metrics> {
    let mut fields = Fields { every_attribute: true, trace_state: true, service: true, ..Fields::default() };
    let selection = Node::of(&mut fields, &asked.selection);
    let accesses: Vec<(String, Access)> = INTRINSICS
        .into_iter()
        .map(|intrinsic| (intrinsic.name().to_owned(), access(&mut fields, &Field::Intrinsic(intrinsic))))
        .collect();
    let time = asked.time_ns.map(|(start, end)| TimeRange { start, end: end.saturating_sub(1) });
    let groups = Groups { windows, groups: [HashMap::new(), HashMap::new()], charged: Charged::of(options) };
    let mut counter = [Counter { selection, time, accesses, names: HashMap::new(), groups }];
    let local = (&mut fields, is_local(&asked.selection));
    let inspected_spans = read::spans(pipeline, (source, windows, options), local, &mut counter)?;
    let [counter] = counter;
    Ok(Metrics { series: counter.groups.series(asked.values_max as usize), inspected_spans })
}

impl Observe for Counter {
    fn add(&mut self, row: &Row<'_>, window: usize) -> Result<()> {
        let in_time = self.time.is_none_or(|time| time.start <= row.span.start_ns && row.span.start_ns <= time.end);
        let group = usize::from(in_time && self.selection.holds(row));
        let place = (window, weight(row));
        for (name, access) in &self.accesses {
            self.groups.add(group, name, &access.read(row), place)?;
        }
        let mut has_service = false;
        for (scope, key, value) in row.span.attributes {
            has_service |= *scope == Scope::Resource && *key == "service.name";
            let name = self
                .names
                .entry((*scope, (*key).to_owned()))
                .or_insert_with(|| Attribute { scope: Some(*scope), key: (*key).to_owned() }.to_string());
            self.groups.add(group, name, &Scalar::of(value), place)?;
        }
        if has_service || row.span.service.is_empty() {
            return Ok(());
        }
        self.groups.add(group, "resource.service.name", &Access::Service.read(row), place)
    }
}

impl Groups {
    fn add(&mut self, group: usize, name: &str, value: &Scalar<'_>, (window, weight): (usize, f64)) -> Result<()> {
        let Some(group) = self.groups.get_mut(group) else { return Ok(()) };
        let count = self.windows.count;
        // Most spans have no message, which says nothing.
        if value.is_nil() || *value == Scalar::Text("".into()) {
            return Ok(());
        }
        if !group.contains_key(name) {
            self.charged.add(count * 8 + name.len() + 128)?;
            let counted = Counted { total: vec![0.0; count], values: HashMap::new(), is_cut: false };
            group.insert(name.to_owned(), counted);
        }
        let Some(counted) = group.get_mut(name) else { return Ok(()) };
        counted.total.get_mut(window).into_iter().for_each(|total| *total += weight);
        let key = encoded(&value.told(false));
        if !counted.values.contains_key(&key) {
            if counted.values.len() >= VALUES_COUNTED {
                counted.is_cut = true;
                return Ok(());
            }
            self.charged.add(count * 8 + key.len() + 64)?;
        }
        let counts = counted.values.entry(key).or_insert_with(|| vec![0.0; count]);
        counts.get_mut(window).into_iter().for_each(|count| *count += weight);
        Ok(())
    }

    fn series(self, values_max: usize) -> Vec<MetricSeries> {
        let windows = self.windows;
        let points =
            |counts: &[f64]| counts.iter().enumerate().map(|(at, count)| (windows.end_ns(at), *count)).collect();
        let mut all = Vec::new();
        for (kind, group) in ["baseline", "selection"].into_iter().zip(self.groups) {
            let mut attributes: Vec<(String, Counted)> = group.into_iter().collect();
            attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
            let mut push = |labels: Vec<(&str, Static)>, counts: &[f64]| {
                let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                all.push(MetricSeries { labels, points: points(counts), exemplars: Vec::new() });
            };
            let text = |text: &str| Static::String(text.to_owned());
            for (name, counted) in attributes {
                let sum = |counts: &Vec<f64>| counts.iter().sum::<f64>();
                let mut values: Vec<(String, Vec<f64>)> = counted.values.into_iter().collect();
                values.sort_by(|(a, x), (b, y)| sum(y).total_cmp(&sum(x)).then_with(|| a.cmp(b)));
                if counted.is_cut || values.len() > values_max {
                    let labels = vec![(META_TYPE, text(kind)), (META_ERROR, text(TOO_MANY)), (&*name, Static::Nil)];
                    push(labels, &counted.total);
                }
                for (value, counts) in values.iter().take(values_max) {
                    push(vec![(META_TYPE, text(kind)), (&*name, decoded(value))], counts);
                }
                let labels = vec![(META_TYPE, text(&format!("{kind}_total"))), (&*name, Static::Nil)];
                push(labels, &counted.total);
            }
        }
        all
    }
}
