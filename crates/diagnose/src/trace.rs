//! What happened in this trace? Its spans, read by SQL and taken apart by `causeway_trace`, with what logs and exemplars there are of each,
//! or why there are none.

use std::collections::BTreeMap;

use arrow::array::{Array, StringArray};
use causeway_model::{CALL_SYSTEMS, CALL_TARGETS, Error, ErrorKind, Result};
use causeway_query::Answerer;
use causeway_trace::{
    Counted, ERROR_TYPES, EXCEPTION_EVENT, GRPC_STATUSES, HTTP_STATUSES, POOL, RESENDS, STATEMENTS, Span, Texts,
    TraceView, Why, says_refused, says_timeout, status_says_timeout, understand,
};
use hashbrown::HashMap;
use serde::Serialize;

use crate::ask::{Inquiry, Rows, at, quoted};
use crate::reasons::{around, why};
use crate::types::{How, Time, Window};

/// Spans that are looked at. 200,000: as many as the screens show.
const SPANS_MAX: usize = 200_000;
/// Services that are looked into for why they have no logs. 20: the rest is told of together.
const SERVICES_MAX: usize = 20;
/// Columns of the question for spans.
const COLUMNS: &[&str] = &[
    "span_id",
    "parent_span_id",
    "time",
    "duration_ns",
    "name",
    "kind",
    "status_code",
    "service_name",
    "status_message",
    "events",
];
/// What tells a clock from another, shared by all services there …
const HOSTS: &[&str] = &["host.id", "host.name", "k8s.node.name"];
/// … or by one alone.
const INSTANCES: &[&str] = &["service.instance.id", "k8s.pod.name", "container.id"];

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Traced {
    /// The trace.
    #[serde(flatten)]
    pub trace: TraceView,
    /// How it knows.
    pub how: How,
}

/// Looks at one trace. `trace_id` is in hex; leading zeros may be missing.
///
/// # Errors
/// `Invalid` for what is no id, `NotFound` where no span of it is here, what the store says otherwise.
pub async fn trace(answerer: &dyn Answerer, trace_id: &str) -> Result<Traced> {
    let id = parsed(trace_id)?;
    let inquiry = Inquiry::new(answerer);
    let mut read = Read::default();
    read.spans(&inquiry, &id).await?;
    let logs = of_spans(&inquiry, "logs", &id).await?;
    if read.spans.is_empty() {
        return Err(not_found(&id, logs.iter().map(|of| of.count).sum()));
    }
    let exemplars = of_spans(&inquiry, "exemplars", &id).await?;
    let by_span = |counts: &[OfSpan]| -> HashMap<[u8; 8], u64> {
        let mut sums = HashMap::new();
        for of in counts {
            if let Some(span) = of.span {
                *sums.entry(span).or_default() += of.count;
            }
        }
        sums
    };
    let (logs_by_span, exemplars_by_span) = (by_span(&logs), by_span(&exemplars));
    let count = |sums: &HashMap<[u8; 8], u64>, span: &Span| sums.get(&span.id).copied().unwrap_or(0);
    let understood = understand(&read.spans, &read.texts);
    let mut view = TraceView::of(&understood, &read.spans, &read.texts, |span| {
        (count(&logs_by_span, span), count(&exemplars_by_span, span))
    });
    let start = TraceView::start_of(&understood);
    let window = Window::new(start, start.saturating_add(view.duration_ns).saturating_add(1));
    (view.trace_id, view.start) = (id.clone(), Time(start).to_string());
    view.logs = counted("logs", &id, &logs);
    view.exemplars = counted("exemplars", &id, &exemplars);
    why_no_logs(&inquiry, &mut view, &logs, window).await?;
    why_no_exemplars(&inquiry, &mut view, window).await?;
    if read.left_out > 0 {
        let note = format!("{} spans beyond {SPANS_MAX} were left out", read.left_out);
        inquiry.note(note.clone());
        view.notes.push(note);
    }
    Ok(Traced { trace: view, how: inquiry.how(window) })
}

fn parsed(trace_id: &str) -> Result<String> {
    let is_hex = (1..=32).contains(&trace_id.len()) && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex {
        Ok(format!("{:0>32}", trace_id.to_ascii_lowercase()))
    } else {
        Err(Error::invalid("a trace id is 32 hex digits"))
    }
}

fn not_found(id: &str, logs: u64) -> Error {
    let message = match logs {
        0 => format!("no span of trace {id} is here: not sent, not sampled, or expired"),
        logs => format!("no span of trace {id} is here, though {logs} log records name it: not sampled, or expired"),
    };
    Error::new(ErrorKind::NotFound, message)
}

/// The spans of a trace as they are read.
#[derive(Default)]
struct Read {
    spans: Vec<Span>,
    texts: Texts,
    left_out: usize,
}

/// Attributes of a row of spans, by key.
struct Told<'a> {
    columns: &'a BTreeMap<&'static str, StringArray>,
    row: usize,
}

impl<'a> Told<'a> {
    fn first(&self, keys: &[&str]) -> Option<&'a str> {
        let (columns, row) = (self.columns, self.row);
        let mut texts = keys.iter().map(|key| columns.get(*key).and_then(|column| at(column, row)));
        texts.find(|text| text.is_some_and(|text| !text.is_empty())).flatten()
    }
}

/// Keys of attributes that the question reads, then keys of resources.
fn attribute_keys() -> Vec<&'static str> {
    let lists = [STATEMENTS, RESENDS, ERROR_TYPES, HTTP_STATUSES, GRPC_STATUSES, CALL_TARGETS, CALL_SYSTEMS, &[POOL]];
    lists.concat()
}

fn question(id: &str) -> String {
    let attributes = attribute_keys().into_iter().map(|key| format!("attr({})", quoted(key)));
    let resources = HOSTS.iter().chain(INSTANCES).map(|key| format!("resource({})", quoted(key)));
    let columns: Vec<String> =
        COLUMNS.iter().map(|column| (*column).to_owned()).chain(attributes).chain(resources).collect();
    format!("SELECT {} FROM spans WHERE trace_id = {}", columns.join(", "), quoted(id))
}

impl Read {
    async fn spans(&mut self, inquiry: &Inquiry<'_>, id: &str) -> Result<()> {
        inquiry.each(question(id), |rows| self.take(rows)).await
    }

    fn take(&mut self, rows: Rows<'_>) -> Result<()> {
        let keys = attribute_keys().into_iter().chain(HOSTS.iter().chain(INSTANCES).copied()).enumerate();
        let column = |(place, key)| Ok((key, rows.text(COLUMNS.len() + place)?));
        let columns: BTreeMap<&str, StringArray> = keys.map(column).collect::<Result<_>>()?;
        let (ids, parents, names, services) = (rows.ids(0)?, rows.ids(1)?, rows.text(4)?, rows.text(7)?);
        let (times, durations, kinds, statuses) =
            (rows.integers(2)?, rows.integers(3)?, rows.integers(5)?, rows.integers(6)?);
        let (messages, events) = (rows.text(8)?, rows.events(9)?);
        for row in 0..rows.len() {
            if self.spans.len() >= SPANS_MAX {
                self.left_out += 1;
                continue;
            }
            let service = self.texts.number(at(&services, row).unwrap_or_default());
            let mut span = Span {
                id: ids.value(row).try_into().unwrap_or_default(),
                parent_id: (!parents.is_null(row)).then(|| parents.value(row).try_into().unwrap_or_default()),
                service,
                name: self.texts.number(at(&names, row).unwrap_or_default()),
                kind: i32::try_from(kinds.value(row)).unwrap_or(0),
                start: times.value(row),
                duration_ns: (!durations.is_null(row)).then(|| durations.value(row)),
                failed: statuses.value(row) == 2,
                ..Span::default()
            };
            let told = Told { columns: &columns, row };
            self.attributes(&mut span, &told, at(&messages, row), events.get(row).map_or(&[], Vec::as_slice));
            self.spans.push(span);
        }
        Ok(())
    }

    fn attributes(&mut self, span: &mut Span, told: &Told<'_>, message: Option<&str>, events: &[(String, String)]) {
        let exceptions = || events.iter().filter(|(name, _)| name == EXCEPTION_EVENT).map(|(_, text)| text.as_str());
        let error_type = told.first(ERROR_TYPES);
        let says = |what: fn(&str) -> bool| message.into_iter().chain(error_type).chain(exceptions()).any(what);
        span.says_timeout =
            says(says_timeout) || status_says_timeout(told.first(HTTP_STATUSES), told.first(GRPC_STATUSES));
        span.says_refused = says(says_refused);
        let texts = &mut self.texts;
        let of_exception = exceptions().find_map(exception_type);
        span.error_type = error_type.map(str::to_owned).or(of_exception).map(|text| texts.number(&text));
        span.status_message = message.filter(|text| !text.is_empty()).map(|text| texts.number(text));
        span.system = told.first(CALL_SYSTEMS).map(|text| texts.number(text));
        span.target = told.first(CALL_TARGETS).map(|text| texts.number(text));
        span.pool = told.first(&[POOL]).map(|text| texts.number(text));
        span.resend_count = told.first(RESENDS).and_then(|count| count.parse().ok()).unwrap_or(0);
        // A database's span without a statement is named after it, as the conventions have it.
        let database = told.first(&["db.system.name", "db.system"]).map(|_| span.name);
        span.statement = told.first(STATEMENTS).map(|text| texts.number(text)).or(database);
        let host = told.first(HOSTS).map(|host| format!("host {host}"));
        let instance = || told.first(INSTANCES).map(|it| format!("instance {it} of {}", span.service));
        span.host = host.or_else(instance).map(|text| texts.number(&text));
    }
}

fn exception_type(attributes: &str) -> Option<String> {
    let attributes: serde_json::Value = serde_json::from_str(attributes).ok()?;
    attributes.get("exception.type").and_then(serde_json::Value::as_str).map(str::to_owned)
}

/// Records of one service with one span's id, or without any.
struct OfSpan {
    service: String,
    span: Option<[u8; 8]>,
    count: u64,
}

/// How many records of a table belong to the trace. Exemplars stand without their series' service.
async fn of_spans(inquiry: &Inquiry<'_>, table: &str, id: &str) -> Result<Vec<OfSpan>> {
    let service = if table == "logs" { "service_name" } else { "''" };
    let sql = format!(
        "SELECT {service} AS service, span_id, count(*) AS records FROM {table} WHERE trace_id = {} GROUP BY 1, 2",
        quoted(id)
    );
    let mut counts = Vec::new();
    inquiry
        .each(sql, |rows| {
            let (services, spans, records) = (rows.text(0)?, rows.ids(1)?, rows.integers(2)?);
            counts.extend((0..rows.len()).map(|row| OfSpan {
                service: at(&services, row).unwrap_or_default().to_owned(),
                span: (!spans.is_null(row)).then(|| spans.value(row).try_into().unwrap_or_default()),
                count: u64::try_from(records.value(row)).unwrap_or(0),
            }));
            Ok(())
        })
        .await?;
    Ok(counts)
}

fn counted(table: &str, id: &str, counts: &[OfSpan]) -> Counted {
    Counted {
        count: counts.iter().map(|of| of.count).sum(),
        sql: format!("SELECT * FROM {table} WHERE trace_id = {} ORDER BY time", quoted(id)),
        reasons: Vec::new(),
    }
}

/// For each service without logs in the trace.
async fn why_no_logs(inquiry: &Inquiry<'_>, view: &mut TraceView, logs: &[OfSpan], window: Window) -> Result<()> {
    let has = |service: &str| logs.iter().any(|of| of.service == service);
    let silent: Vec<&str> = view.services.iter().map(String::as_str).filter(|it| !it.is_empty() && !has(it)).collect();
    let asked = silent.get(..SERVICES_MAX).unwrap_or(&silent);
    if asked.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = asked.iter().map(|service| quoted(service)).collect();
    let sql = format!(
        "SELECT service_name, count(*) AS records, count(trace_id) AS traced FROM logs \
         WHERE {} AND service_name IN ({}) GROUP BY service_name",
        around(window),
        names.join(", ")
    );
    let mut found: HashMap<String, (u64, u64)> = HashMap::new();
    inquiry
        .each(sql, |rows| {
            let (services, records, traced) = (rows.text(0)?, rows.integers(1)?, rows.integers(2)?);
            for row in 0..rows.len() {
                let counts = [&records, &traced].map(|column| u64::try_from(column.value(row)).unwrap_or(0));
                found.insert(at(&services, row).unwrap_or_default().to_owned(), (counts[0], counts[1]));
            }
            Ok(())
        })
        .await?;
    let reason = |service: &&str| {
        let (records, traced) = found.get(*service).copied().unwrap_or_default();
        why("logs", service, "trace", records, traced)
    };
    let mut reasons: Vec<Why> = asked.iter().map(reason).collect();
    if silent.len() > asked.len() {
        let statement = format!("{} more services have none", silent.len() - asked.len());
        reasons.push(Why { service: String::new(), reason: "not_asked".to_owned(), statement });
    }
    view.logs.reasons = reasons;
    Ok(())
}

async fn why_no_exemplars(inquiry: &Inquiry<'_>, view: &mut TraceView, window: Window) -> Result<()> {
    if view.exemplars.count > 0 {
        return Ok(());
    }
    let sql = format!("SELECT count(*) AS records, count(trace_id) AS traced FROM exemplars WHERE {}", around(window));
    let mut found = (0, 0);
    inquiry
        .each(sql, |rows| {
            let (records, traced) = (rows.integers(0)?, rows.integers(1)?);
            if rows.len() > 0 {
                let counts = [&records, &traced].map(|column| u64::try_from(column.value(0)).unwrap_or(0));
                found = (counts[0], counts[1]);
            }
            Ok(())
        })
        .await?;
    view.exemplars.reasons = vec![why("exemplars", "", "trace", found.0, found.1)];
    Ok(())
}
