//! What do the stages of a query leave of a trace? Spansets, one stage after another.

use causeway_model::{Error, ErrorKind, Result};
use hashbrown::HashMap;

use crate::ast::{
    Aggregate, AggregateFilter, FieldExpr, FieldOperator, Pipeline, SpansetOperator, Spansets, Stage, Static,
};
use crate::expression::{Node, Row, Whole, is_duration, is_local};
use crate::source::Fields;
use crate::tree::united;
use crate::value::holds;

/// Spansets of one trace at most.
const SPANSETS_MAX: usize = 10_000;
/// Spans of a trace that are looked at before it is asked again whether anybody waits.
const TOGETHER: usize = 8_192;

/// Says with an error that nobody waits any more.
pub(crate) type Interrupted<'a> = &'a (dyn Fn() -> Result<()> + Send + Sync);

/// Spans of a trace that belong together, and what is told of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    /// Their numbers, rising.
    pub spans: Vec<u32>,
    pub attributes: Vec<(String, Static)>,
}

/// A pipeline whose fields are numbered.
#[derive(Debug)]
pub(crate) struct Steps(Vec<Step>);

#[derive(Debug)]
enum Step {
    Spans(Set),
    By { key: Node, name: String, is_duration: bool },
    Coalesce,
    Aggregate { filter: AggregateFilter, of: Option<Node>, is_duration: bool },
}

#[derive(Debug)]
enum Set {
    Filter(Node),
    Steps(Steps),
    Binary { operator: SpansetOperator, left: Box<Set>, right: Box<Set> },
}

impl Steps {
    /// Takes a pipeline apart and notes what it reads.
    pub fn of(fields: &mut Fields, pipeline: &Pipeline) -> Self {
        let step = |stage: &Stage| match stage {
            Stage::Spansets(spansets) => Some(Step::Spans(Set::of(fields, spansets))),
            Stage::By(expr) => {
                let key = Node::of(fields, expr);
                Some(Step::By { key, name: format!("by({expr})"), is_duration: is_duration(expr) })
            }
            Stage::Coalesce => Some(Step::Coalesce),
            // It changes what is told, not what is found.
            Stage::Select(_) => None,
            Stage::Aggregate(filter) => {
                let of = operand(&filter.aggregate);
                let is_duration = of.is_some_and(is_duration);
                let of = of.map(|expr| Node::of(fields, expr));
                Some(Step::Aggregate { filter: filter.clone(), of, is_duration })
            }
        };
        Self(pipeline.stages.iter().filter_map(step).collect())
    }

    /// The spansets of a trace; none where it has nothing of interest.
    ///
    /// # Errors
    /// `LimitExceeded` where there are too many; that of `interrupted`.
    pub fn run(&self, whole: &Whole<'_>, interrupted: Interrupted<'_>) -> Result<Vec<Group>> {
        let all = Group { spans: (0..whole.spans.len() as u32).collect(), attributes: Vec::new() };
        self.pass(whole, vec![all], interrupted)
    }

    fn pass(&self, whole: &Whole<'_>, mut groups: Vec<Group>, interrupted: Interrupted<'_>) -> Result<Vec<Group>> {
        for step in &self.0 {
            interrupted()?;
            groups = match step {
                Step::Spans(set) => {
                    let found =
                        |group: Group| Ok(Group { spans: set.find(whole, &group.spans, interrupted)?, ..group });
                    groups.into_iter().map(found).collect::<Result<_>>()?
                }
                Step::By { key, name, is_duration } => {
                    let mut all = Vec::new();
                    for group in groups {
                        split(whole, group, (key, name, *is_duration), &mut all)?;
                    }
                    all
                }
                Step::Coalesce => vec![Group { spans: union(groups), attributes: Vec::new() }],
                Step::Aggregate { filter, of, is_duration } => {
                    let kept = |group| kept(whole, group, (filter, of.as_ref(), *is_duration));
                    groups.into_iter().filter_map(kept).collect()
                }
            };
            groups.retain(|group| !group.spans.is_empty());
        }
        Ok(groups)
    }
}

/// All spans of some groups, each once.
pub(crate) fn union(groups: Vec<Group>) -> Vec<u32> {
    match <[Group; 1]>::try_from(groups) {
        Ok([group]) => group.spans,
        Err(groups) => united(&groups.into_iter().flat_map(|group| group.spans).collect::<Vec<_>>(), &[]),
    }
}

fn row<'a>(whole: &'a Whole<'a>, span: u32) -> Option<Row<'a>> {
    let at = span as usize;
    Some(Row { span: whole.spans.get(at)?, place: Some((whole, at)) })
}

impl Set {
    fn of(fields: &mut Fields, spansets: &Spansets) -> Self {
        match spansets {
            Spansets::Filter(expr) => Self::Filter(Node::of(fields, expr)),
            Spansets::Pipeline(pipeline) => Self::Steps(Steps::of(fields, pipeline)),
            Spansets::Binary { operator, left, right } => {
                let (left, right) = (Self::of(fields, left), Self::of(fields, right));
                Self::Binary { operator: *operator, left: Box::new(left), right: Box::new(right) }
            }
        }
    }

    fn find(&self, whole: &Whole<'_>, among: &[u32], interrupted: Interrupted<'_>) -> Result<Vec<u32>> {
        Ok(match self {
            Self::Filter(node) => {
                let holds = |span: &u32| row(whole, *span).is_some_and(|row| node.holds(&row));
                let mut found = Vec::new();
                for together in among.chunks(TOGETHER) {
                    interrupted()?;
                    found.extend(together.iter().copied().filter(holds));
                }
                found
            }
            Self::Steps(steps) => {
                let all = Group { spans: among.to_vec(), attributes: Vec::new() };
                union(steps.pass(whole, vec![all], interrupted)?)
            }
            Self::Binary { operator, left, right } => {
                let left = left.find(whole, among, interrupted)?;
                let right = right.find(whole, among, interrupted)?;
                interrupted()?;
                match operator {
                    SpansetOperator::And if left.is_empty() || right.is_empty() => Vec::new(),
                    SpansetOperator::And | SpansetOperator::Or => united(&left, &right),
                    SpansetOperator::Structural { relation, keep } => {
                        whole.tree.related(*relation, *keep, &left, &right)
                    }
                }
            }
        })
    }
}

/// Adds a group for each value that the spans of one have.
fn split(
    whole: &Whole<'_>,
    group: Group,
    (key, name, is_duration): (&Node, &str, bool),
    groups: &mut Vec<Group>,
) -> Result<()> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for span in group.spans {
        let Some(row) = row(whole, span) else { continue };
        let value = key.value(&row).told(is_duration);
        let number = *numbers.entry(value.to_string()).or_insert(groups.len());
        if number == groups.len() {
            if groups.len() >= SPANSETS_MAX {
                let message = format!("{name} makes more than {SPANSETS_MAX} spansets of one trace: group by less");
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            let told = group.attributes.iter().cloned().chain([(name.to_owned(), value)]);
            groups.push(Group { spans: Vec::new(), attributes: told.collect() });
        }
        if let Some(group) = groups.get_mut(number) {
            group.spans.push(span);
        }
    }
    Ok(())
}

fn operand(aggregate: &Aggregate) -> Option<&FieldExpr> {
    match aggregate {
        Aggregate::Count => None,
        Aggregate::Min(expr) | Aggregate::Max(expr) | Aggregate::Avg(expr) | Aggregate::Sum(expr) => Some(expr),
    }
}

/// A group whose aggregate fulfils a comparison; one of which no span has a number does not.
fn kept(
    whole: &Whole<'_>,
    mut group: Group,
    (filter, of, is_duration): (&AggregateFilter, Option<&Node>, bool),
) -> Option<Group> {
    let value = match of {
        None => group.spans.len() as f64,
        Some(node) => {
            let number = |span: &u32| row(whole, *span).and_then(|row| node.value(&row).number());
            let numbers: Vec<f64> = group.spans.iter().filter_map(number).collect();
            let sum = || numbers.iter().sum::<f64>();
            if numbers.is_empty() {
                return None;
            }
            match filter.aggregate {
                Aggregate::Min(_) => numbers.iter().copied().fold(f64::INFINITY, f64::min),
                Aggregate::Max(_) => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                Aggregate::Avg(_) => sum() / numbers.len() as f64,
                _ => sum(),
            }
        }
    };
    let order = value.partial_cmp(&filter.value.number()?)?;
    if !holds(filter.comparison, order) {
        return None;
    }
    let told = match filter.aggregate {
        Aggregate::Count => Static::Int(group.spans.len() as i64),
        _ if is_duration => Static::Duration(value.round() as i64),
        _ => Static::Float(value),
    };
    group.attributes.push((filter.aggregate.to_string(), told));
    Some(group)
}

/// The filter that a span alone passes or not, where a pipeline is no more than that.
pub(crate) fn span_filter(pipeline: &Pipeline) -> Option<FieldExpr> {
    let mut all: Option<FieldExpr> = None;
    for stage in &pipeline.stages {
        match stage {
            Stage::Spansets(Spansets::Filter(expr)) if is_local(expr) => {
                all = Some(match all {
                    None => expr.clone(),
                    Some(before) => FieldExpr::Binary {
                        operator: FieldOperator::And,
                        left: Box::new(before),
                        right: Box::new(expr.clone()),
                    },
                });
            }
            Stage::Select(_) => {}
            _ => return None,
        }
    }
    Some(all.unwrap_or(FieldExpr::Constant(Static::Bool(true))))
}
