//! Which traces are kept whatever else they are? Those of which a span passes a filter, in TraceQL's words.

use std::str::FromStr;

use arrow::array::{Array, StringArray};
use causeway_model::{Batch, Error, Family, Result, Value};
use causeway_traceql::ast::{Kind, Scope, Status};
use causeway_traceql::{Span, SpanFilter};

use crate::spans::{Columns, text_of};

/// A filter of spans, such as `{ resource.service.name = "pay" && span.customer.tier = "gold" }`.
#[derive(Debug, Clone)]
pub struct Rule {
    text: String,
    filter: SpanFilter,
}

impl Rule {
    /// Reads one.
    ///
    /// # Errors
    /// `Invalid` where it can't be read, or asks for more than attributes and intrinsics of a span.
    pub fn parse(text: &str) -> Result<Self> {
        let filter = SpanFilter::parse(text).map_err(|error| error.context(text))?;
        if filter.fields().events || filter.fields().links {
            return Err(Error::invalid(format!("{text}: events and links of spans are not looked at")));
        }
        Ok(Self { text: text.to_owned(), filter })
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.message)
    }
}

/// Where a batch has an attribute: whose it is and the number of its key.
type Place = Option<(Family, u32)>;

/// Rules and where a batch has what they read.
pub(crate) struct Reading<'a> {
    batch: &'a Batch,
    rules: Vec<(&'a Rule, Vec<Place>)>,
    services: Option<&'a StringArray>,
    scope_names: Option<&'a StringArray>,
    scope_versions: Option<&'a StringArray>,
    status_messages: Option<&'a StringArray>,
}

impl<'a> Reading<'a> {
    pub fn of(rules: &'a [Rule], batch: &'a Batch) -> Self {
        let place = |(scope, key): &(Scope, String)| {
            let family = match scope {
                Scope::Resource => Family::Resource,
                Scope::Instrumentation => Family::Scope,
                _ => Family::Record,
            };
            Some((family, batch.keys().find(key)?))
        };
        let places = |rule: &'a Rule| (rule, rule.filter.fields().attributes.iter().map(place).collect());
        Self {
            batch,
            rules: rules.iter().map(places).collect(),
            services: text_of(batch.resources().column_by_name("service_name")),
            scope_names: text_of(batch.scopes().column_by_name("scope_name")),
            scope_versions: text_of(batch.scopes().column_by_name("scope_version")),
            status_messages: text_of(batch.records().column_by_name("status_message")),
        }
    }

    /// Whether the span of a row passes one of the rules.
    pub fn holds(&self, columns: &Columns<'a>, row: usize) -> bool {
        if self.rules.is_empty() {
            return false;
        }
        let (Ok(trace_id), Ok(span_id)) = (columns.traces.value(row).try_into(), columns.ids.value(row).try_into())
        else {
            return false;
        };
        let row_of = |family: Family| self.batch.row_of(family).map_or(row, |of| of.value(row) as usize);
        let (resource, scope) = (row_of(Family::Resource), row_of(Family::Scope));
        let span = |values: &[Value<'_>], filter: &SpanFilter| {
            filter.holds(&Span {
                trace_id,
                span_id,
                parent_id: columns.parent(row),
                start_ns: columns.times.value(row),
                duration_ns: columns.duration_ns(row).unwrap_or(0),
                name: columns.names.value(row),
                kind: kind(columns.kinds.value(row)),
                status: status(columns.statuses.value(row)),
                status_message: text_at(self.status_messages, row),
                service: text_at(self.services, resource),
                trace_state: columns.state(row),
                instrumentation_name: text_at(self.scope_names, scope),
                instrumentation_version: text_at(self.scope_versions, scope),
                values,
                events: &[],
                links: &[],
                attributes: &[],
            })
        };
        self.rules.iter().any(|(rule, places)| {
            let value = |place: &Place| {
                let (family, key) = (*place)?;
                let mut entries = self.batch.attributes(family).row(row_of(family));
                entries.find(|entry| entry.key == key).map(|entry| entry.value)
            };
            let values: Vec<Value<'_>> = places.iter().map(|place| value(place).unwrap_or(Value::Empty)).collect();
            span(&values, &rule.filter)
        })
    }
}

fn text_at(column: Option<&StringArray>, row: usize) -> &str {
    column.filter(|it| row < it.len() && it.is_valid(row)).map_or("", |it| it.value(row))
}

fn kind(number: i32) -> Kind {
    match number {
        1 => Kind::Internal,
        2 => Kind::Server,
        3 => Kind::Client,
        4 => Kind::Producer,
        5 => Kind::Consumer,
        _ => Kind::Unspecified,
    }
}

fn status(number: i32) -> Status {
    match number {
        1 => Status::Ok,
        2 => Status::Error,
        _ => Status::Unset,
    }
}
