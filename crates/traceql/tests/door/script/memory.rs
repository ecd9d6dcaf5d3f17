//! Which spans did a script load? A source that skips as strictly as it may and gives together what says the same, so that conditions that leave out too
//! much and fields that were not asked for are found.

use std::ops::ControlFlow;

use causeway_model::{Result, Value, hex};
use causeway_traceql::ast::{Attribute, Field, FieldOperator, Intrinsic, Kind, Scope, Static, Status};
use causeway_traceql::{Alike, Comparison, Condition, Event, Fields, Link, Own, Seen, Span, SpanSource, Taker, Wanted};

/// An attribute's value.
#[derive(Debug, Clone)]
pub enum Owned {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    Array(String),
}

impl Owned {
    pub fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::String(text),
            Self::Int(value) => Value::Int(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Bool(value) => Value::Bool(*value),
            Self::Array(json) => Value::Array(json),
        }
    }
}

/// A span.
#[derive(Debug, Clone)]
pub struct Kept {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub parent_id: Option<[u8; 8]>,
    pub start_ns: i64,
    pub duration_ns: i64,
    pub name: String,
    pub kind: Kind,
    pub status: Status,
    pub message: String,
    pub service: String,
    pub trace_state: String,
    pub scope: (String, String),
    pub attributes: Vec<(Scope, String, Owned)>,
    pub events: Vec<(i64, String, String)>,
    pub links: Vec<([u8; 16], [u8; 8], String)>,
}

#[derive(Debug, Default)]
pub struct Memory {
    pub spans: Vec<Kept>,
}

impl Kept {
    fn attribute(&self, scope: Scope, key: &str) -> Value<'_> {
        let found = self.attributes.iter().find(|(of, each, _)| *of == scope && each == key);
        found.map_or(Value::Empty, |(_, _, value)| value.borrowed())
    }

    /// What a field says, each value for itself; `None` where this source does not skip by it.
    fn values(&self, field: &Field) -> Option<Vec<Static>> {
        let of = |value: Value<'_>| match value {
            Value::String(text) => vec![Static::String(text.to_owned())],
            Value::Int(value) => vec![Static::Int(value)],
            Value::Double(value) => vec![Static::Float(value)],
            Value::Bool(value) => vec![Static::Bool(value)],
            _ => Vec::new(),
        };
        Some(match field {
            Field::Attribute(Attribute { scope: Some(Scope::Event | Scope::Link), .. }) => return None,
            Field::Attribute(Attribute { scope, key }) => {
                let scopes = scope.map_or(vec![Scope::Span, Scope::Resource], |scope| vec![scope]);
                if scopes.iter().any(|scope| matches!(self.attribute(*scope, key), Value::Array(_))) {
                    return None;
                }
                let mut found: Vec<Static> = scopes.iter().flat_map(|scope| of(self.attribute(*scope, key))).collect();
                if scopes.contains(&Scope::Resource) && key == "service.name" && !self.service.is_empty() {
                    found.push(Static::String(self.service.clone()));
                }
                found
            }
            Field::Intrinsic(Intrinsic::Name) => vec![Static::String(self.name.clone())],
            Field::Intrinsic(Intrinsic::Duration) => vec![Static::Duration(self.duration_ns)],
            Field::Intrinsic(Intrinsic::Status) => vec![Static::Status(self.status)],
            Field::Intrinsic(Intrinsic::Kind) => vec![Static::Kind(self.kind)],
            Field::Intrinsic(Intrinsic::StatusMessage) => vec![Static::String(self.message.clone())],
            Field::Intrinsic(Intrinsic::SpanId) => vec![Static::String(hex(&self.span_id))],
            Field::Intrinsic(Intrinsic::TraceId) => vec![Static::String(hex(&self.trace_id))],
            Field::Intrinsic(_) => return None,
        })
    }

    fn fulfils(&self, condition: &Condition) -> bool {
        let Some(values) = self.values(&condition.field) else { return true };
        values.iter().any(|value| match &condition.comparison {
            Comparison::Exists => true,
            Comparison::Matches(pattern) => matches!(value, Static::String(text) if pattern.regex.is_match(text)),
            Comparison::With(operator, constant) => value.compare(constant).is_some_and(|order| match operator {
                FieldOperator::Equal => order.is_eq(),
                FieldOperator::NotEqual => order.is_ne(),
                FieldOperator::Less => order.is_lt(),
                FieldOperator::LessOrEqual => order.is_le(),
                FieldOperator::Greater => order.is_gt(),
                FieldOperator::GreaterOrEqual => order.is_ge(),
                other => panic!("{other:?} compares nothing"),
            }),
        })
    }
}

/// Gives spans with the fields that are asked for, the others empty.
fn give<T>(spans: &[&Kept], fields: &Fields, visit: impl FnOnce(&[Span<'_>]) -> T) -> T {
    let values: Vec<Vec<Value<'_>>> = spans
        .iter()
        .map(|span| fields.attributes.iter().map(|(scope, key)| span.attribute(*scope, key)).collect())
        .collect();
    let events: Vec<Vec<Event<'_>>> = spans
        .iter()
        .map(|span| {
            span.events
                .iter()
                .map(|(time_ns, name, attributes)| Event { time_ns: *time_ns, name, attributes })
                .collect()
        })
        .collect();
    let links: Vec<Vec<Link<'_>>> = spans
        .iter()
        .map(|span| {
            span.links
                .iter()
                .map(|(trace_id, span_id, attributes)| Link { trace_id: *trace_id, span_id: *span_id, attributes })
                .collect()
        })
        .collect();
    let attributes: Vec<Vec<(Scope, &str, Value<'_>)>> = spans
        .iter()
        .map(|span| {
            let all = span.attributes.iter().filter(|(scope, _, _)| matches!(scope, Scope::Span | Scope::Resource));
            all.map(|(scope, key, value)| (*scope, key.as_str(), value.borrowed())).collect()
        })
        .collect();
    let has = |intrinsic: Intrinsic| fields.intrinsics.contains(&intrinsic);
    let text = |wanted: bool, text: &'_ str| -> String { if wanted { text.to_owned() } else { String::new() } };
    let texts: Vec<[String; 6]> = spans
        .iter()
        .map(|span| {
            [
                text(has(Intrinsic::Name), &span.name),
                text(has(Intrinsic::StatusMessage), &span.message),
                text(fields.service, &span.service),
                text(fields.trace_state, &span.trace_state),
                text(has(Intrinsic::InstrumentationName), &span.scope.0),
                text(has(Intrinsic::InstrumentationVersion), &span.scope.1),
            ]
        })
        .collect();
    let given: Vec<Span<'_>> = (0..spans.len())
        .map(|at| Span {
            trace_id: if has(Intrinsic::TraceId) { spans[at].trace_id } else { [0; 16] },
            span_id: if has(Intrinsic::SpanId) { spans[at].span_id } else { [0; 8] },
            parent_id: spans[at].parent_id.filter(|_| has(Intrinsic::ParentId)),
            start_ns: spans[at].start_ns,
            duration_ns: spans[at].duration_ns,
            name: &texts[at][0],
            kind: if has(Intrinsic::Kind) { spans[at].kind } else { Kind::Unspecified },
            status: if has(Intrinsic::Status) { spans[at].status } else { Status::Unset },
            status_message: &texts[at][1],
            service: &texts[at][2],
            trace_state: &texts[at][3],
            instrumentation_name: &texts[at][4],
            instrumentation_version: &texts[at][5],
            values: &values[at],
            events: if fields.events { &events[at] } else { &[] },
            links: if fields.links { &links[at] } else { &[] },
            attributes: if fields.every_attribute { &attributes[at] } else { &[] },
        })
        .collect();
    visit(&given)
}

/// Gives spans, those that say the same together.
fn give_alike(spans: &[Span<'_>], take: &mut Taker<'_>) -> Result<ControlFlow<()>> {
    let (mut said, mut groups): (Vec<String>, Vec<Vec<u32>>) = (Vec::new(), Vec::new());
    for (row, span) in spans.iter().enumerate() {
        let says = Span { trace_id: [0; 16], span_id: [0; 8], parent_id: None, start_ns: 0, duration_ns: 0, ..*span };
        let says = format!("{says:?}");
        let known = said.iter().position(|each| *each == says).unwrap_or(said.len());
        if known == said.len() {
            said.push(says);
            groups.push(Vec::new());
        }
        groups[known].push(row as u32);
    }
    let own = Own {
        start_ns: &spans.iter().map(|span| span.start_ns).collect::<Vec<_>>(),
        duration_ns: &spans.iter().map(|span| span.duration_ns).collect::<Vec<_>>(),
        trace_ids: &spans.iter().map(|span| span.trace_id).collect::<Vec<_>>(),
        span_ids: &spans.iter().map(|span| span.span_id).collect::<Vec<_>>(),
        parent_ids: &spans.iter().map(|span| span.parent_id).collect::<Vec<_>>(),
    };
    let alike = groups.iter().map(|rows| Alike::of(spans[rows[0] as usize], own, rows));
    take(&alike.collect::<Vec<_>>())
}

impl SpanSource for Memory {
    fn spans(&self, wanted: &Wanted<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()> {
        let holds =
            |span: &&Kept| wanted.alternatives.iter().any(|all| all.iter().all(|condition| span.fulfils(condition)));
        let mut found: Vec<&Kept> = self.spans.iter().filter(holds).collect();
        found.sort_by_key(|span| std::cmp::Reverse(span.start_ns));
        let count = takers.len();
        for (number, piece) in found.chunks(3).enumerate() {
            (wanted.interrupted)()?;
            if give(piece, wanted.fields, |spans| give_alike(spans, &mut takers[number % count]))?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn traces(
        &self,
        traces: &[Seen],
        fields: &Fields,
        interrupted: &(dyn Fn() -> Result<()> + Send + Sync),
        visit: &mut dyn FnMut(&[Span<'_>]) -> Result<()>,
    ) -> Result<()> {
        let mut fields = fields.clone();
        fields.intrinsics.extend([Intrinsic::TraceId, Intrinsic::SpanId, Intrinsic::ParentId]);
        for seen in traces {
            interrupted()?;
            let spans: Vec<&Kept> = self.spans.iter().filter(|span| span.trace_id == seen.trace_id).collect();
            assert!(spans.iter().any(|span| span.start_ns == seen.first_ns));
            give(&spans, &fields, &mut *visit)?;
        }
        Ok(())
    }
}
