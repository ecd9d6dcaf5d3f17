//! What belongs together? From the id of a trace, a span or a request: how many spans, logs and exemplars name it, how to look at them, and why
//! there are none. What lies beside it leads on: from a trace to the ids of its requests, from a request or a span to its traces.

use std::fmt::Write as _;

use causeway_model::{Error, Result};
use causeway_query::Answerer;
use causeway_trace::Why;
use serde::Serialize;

use crate::ask::{Inquiry, Rows, at, no_row, quoted};
use crate::reasons::{around, why};
use crate::types::{How, Time, Window};

/// Attributes that hold the id of a request: what `ingest` calls it in lines of JSON, what frameworks write, and what the conventions of
/// OpenTelemetry call the header, of which the value is a list there.
pub const REQUEST_ID_NAMES: [&str; 6] =
    ["request_id", "x-request-id", "http.request.header.x-request-id", "requestId", "request.id", "http.request.id"];
/// Ids that are followed from what was asked for. 10: a trace has one request as a rule, a request with retries some traces.
const LED_TO_MAX: usize = 10;
/// Characters of a request's id: longer ones are no ids, and the question stays short.
const REQUEST_ID_CHARS_MAX: usize = 256;

/// What is asked for; one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// 32 hex digits; leading zeros may be missing.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// Any text.
    pub request_id: String,
}

/// By what records were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The column of traces.
    TraceId,
    /// The column of spans.
    SpanId,
    /// Attributes of a request.
    RequestId,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Correlated {
    /// By what was asked.
    pub by: By,
    /// The id as it was looked for.
    pub id: String,
    /// The first record that names it; null where none does.
    pub start: Option<Time>,
    /// The last one.
    pub end: Option<Time>,
    /// Traces that belong to it, at most ten.
    pub trace_ids: Vec<String>,
    /// Requests that belong to it, at most ten.
    pub request_ids: Vec<String>,
    /// Where to look on, those by what was asked for first.
    pub pivots: Vec<Pivot>,
    /// How it knows.
    pub how: How,
}

/// Records of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pivot {
    /// `spans`, `logs` or `exemplars`.
    pub what: &'static str,
    /// By what they were found.
    pub by: By,
    /// How many.
    pub count: u64,
    /// How many of them failed, or are errors.
    pub errors: u64,
    /// The first.
    pub start: Option<Time>,
    /// The last.
    pub end: Option<Time>,
    /// The question in SQL that shows them.
    pub sql: String,
    /// The same in LogQL, for logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logql: Option<String>,
    /// The same in TraceQL, for spans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceql: Option<String>,
    /// The path of the screen that shows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Where there are none: why, as far as can be told cheaply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Why>,
}

/// Ids of one kind, at least one.
struct Ids {
    by: By,
    ids: Vec<String>,
}

impl Ids {
    /// What is asked for.
    fn asked(asked: &Asked) -> Result<Self> {
        let one = |by, id: String| Ok(Self { by, ids: vec![id] });
        match (asked.trace_id.trim(), asked.span_id.trim(), asked.request_id.trim()) {
            (trace, "", "") if !trace.is_empty() => one(By::TraceId, hex_digits("trace", trace, 32)?),
            ("", span, "") if !span.is_empty() => one(By::SpanId, hex_digits("span", span, 16)?),
            ("", "", request) if request.chars().count() > REQUEST_ID_CHARS_MAX => {
                Err(Error::invalid(format!("a request id has at most {REQUEST_ID_CHARS_MAX} characters")))
            }
            ("", "", request) if !request.is_empty() => one(By::RequestId, request.to_owned()),
            _ => Err(Error::invalid("ask with one of trace_id, span_id and request_id")),
        }
    }

    /// The condition in SQL.
    fn condition(&self) -> String {
        let is_one_of = |column: &str, ids: &[String]| match ids {
            [id] => format!("{column} = {}", quoted(id)),
            ids => format!("{column} IN ({})", ids.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", ")),
        };
        match self.by {
            By::TraceId => is_one_of("trace_id", &self.ids),
            By::SpanId => is_one_of("span_id", &self.ids),
            By::RequestId => {
                let list = |id: &String| serde_json::json!([id]).to_string();
                let lists: Vec<String> = self.ids.iter().map(list).collect();
                let one = |name: &&str| {
                    let ids = if is_header(name) { &lists } else { &self.ids };
                    is_one_of(&format!("attr('{name}')"), ids)
                };
                REQUEST_ID_NAMES.iter().map(one).collect::<Vec<_>>().join(" OR ")
            }
        }
    }

    /// Whether a record carries any id of the kind, in SQL.
    fn naming(&self) -> String {
        match self.by {
            By::TraceId => "trace_id IS NOT NULL".to_owned(),
            By::SpanId => "span_id IS NOT NULL".to_owned(),
            By::RequestId => {
                let one = |name: &&str| format!("attr('{name}') IS NOT NULL");
                REQUEST_ID_NAMES.iter().map(one).collect::<Vec<_>>().join(" OR ")
            }
        }
    }

    fn logql(&self) -> String {
        // LogQL knows attributes by names in which all else is an underscore.
        let named = |name: &str| name.replace(['.', '-'], "_");
        let conditions = match self.by {
            By::TraceId => self.each("trace_id", "=", false),
            By::SpanId => self.each("span_id", "=", false),
            By::RequestId => {
                REQUEST_ID_NAMES.iter().flat_map(|name| self.each(&named(name), "=", is_header(name))).collect()
            }
        };
        format!("{{service_name=~\".+\"}} | {}", conditions.join(" or "))
    }

    fn traceql(&self) -> String {
        let conditions = match self.by {
            By::TraceId => self.each("trace:id", " = ", false),
            By::SpanId => self.each("span:id", " = ", false),
            // Of an attribute that is a list, one of its values is enough.
            By::RequestId => {
                REQUEST_ID_NAMES.iter().flat_map(|name| self.each(&format!("span.\"{name}\""), " = ", false)).collect()
            }
        };
        format!("{{ {} }}", conditions.join(" || "))
    }

    /// A comparison with each id, or with the list of each alone.
    fn each(&self, name: &str, equals: &str, as_list: bool) -> Vec<String> {
        let text = |id: &String| if as_list { serde_json::json!([id]).to_string() } else { id.clone() };
        self.ids.iter().map(|id| format!("{name}{equals}{}", serde_json::Value::from(text(id)))).collect()
    }

    fn noun(&self) -> &'static str {
        match self.by {
            By::TraceId => "trace",
            By::SpanId => "span",
            By::RequestId => "request",
        }
    }
}

/// Whether an attribute is a header as OpenTelemetry's conventions have it: a list of its values.
fn is_header(name: &str) -> bool {
    name.contains(".header.")
}

fn hex_digits(what: &str, text: &str, digits: usize) -> Result<String> {
    if text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(format!("{:0>digits$}", text.to_ascii_lowercase()))
    } else {
        Err(Error::invalid(format!("a {what} id is {digits} hex digits")))
    }
}

/// What belongs to an id.
///
/// # Errors
/// `Invalid` where none or several are asked for, or for what is no id; what the store says otherwise.
pub async fn correlate(answerer: &dyn Answerer, asked: &Asked) -> Result<Correlated> {
    let ids = Ids::asked(asked)?;
    let inquiry = Inquiry::new(answerer);
    let (mut trace_ids, mut request_ids) = (Vec::new(), Vec::new());
    let next = match ids.by {
        By::TraceId => {
            trace_ids.clone_from(&ids.ids);
            request_ids = led_to(&inquiry, &ids, &format!("coalesce({})", request_id_columns())).await?;
            Ids { by: By::RequestId, ids: request_ids.clone() }
        }
        By::SpanId | By::RequestId => {
            trace_ids = led_to(&inquiry, &ids, "hex(trace_id)").await?;
            if ids.by == By::RequestId {
                request_ids.clone_from(&ids.ids);
            }
            Ids { by: By::TraceId, ids: trace_ids.clone() }
        }
    };
    let mut pivots = Vec::new();
    for ids in [&ids, &next].into_iter().filter(|ids| !ids.ids.is_empty()) {
        // Exemplars carry the ids of spans and traces alone.
        let tables: &[&'static str] =
            if ids.by == By::RequestId { &["spans", "logs"] } else { &["spans", "logs", "exemplars"] };
        for table in tables {
            pivots.push(pivot(&inquiry, table, ids).await?);
        }
    }
    let start = pivots.iter().filter_map(|pivot| pivot.start).min();
    let end = pivots.iter().filter_map(|pivot| pivot.end).max();
    let window = Window::new(start.map_or(0, |time| time.0), end.map_or(0, |time| time.0.saturating_add(1)));
    for pivot in &mut pivots {
        let ids = if pivot.by == ids.by { &ids } else { &next };
        if pivot.count == 0 {
            pivot.reasons = vec![reason(&inquiry, pivot.what, ids, start.map(|_| window)).await?];
        } else if let Some(start) = start {
            pivot.link = link(pivot, ids, Window { start, end: window.end });
        }
    }
    let id = ids.ids.into_iter().next().unwrap_or_default();
    Ok(Correlated { by: ids.by, id, start, end, trace_ids, request_ids, pivots, how: inquiry.how(window) })
}

fn request_id_columns() -> String {
    REQUEST_ID_NAMES.map(|name| format!("attr('{name}')")).join(", ")
}

/// The ids in a column of the logs and spans that carry those that were asked for.
async fn led_to(inquiry: &Inquiry<'_>, ids: &Ids, column: &str) -> Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    for table in ["spans", "logs"] {
        let sql = format!(
            "SELECT DISTINCT {column} AS id FROM {table} WHERE ({}) AND {column} IS NOT NULL LIMIT {}",
            ids.condition(),
            LED_TO_MAX + 1
        );
        inquiry
            .each(sql, |rows| {
                let column = rows.text(0)?;
                for id in (0..rows.len()).filter_map(|row| at(&column, row)).map(plain) {
                    if !found.contains(&id) && id.chars().count() <= REQUEST_ID_CHARS_MAX {
                        found.push(id);
                    }
                }
                Ok(())
            })
            .await?;
    }
    found.sort();
    if found.len() > LED_TO_MAX {
        inquiry.note(format!("more than {LED_TO_MAX} ids belong to it; the others were not followed"));
        found.truncate(LED_TO_MAX);
    }
    Ok(found)
}

/// The id that a list of one header holds, or the id as it is.
fn plain(id: &str) -> String {
    let list: Option<[String; 1]> = serde_json::from_str(id).ok();
    list.map_or_else(|| id.to_owned(), |[id]| id)
}

async fn pivot(inquiry: &Inquiry<'_>, table: &'static str, ids: &Ids) -> Result<Pivot> {
    let failed = match table {
        "spans" => "sum(CASE WHEN status_code = 2 THEN 1 ELSE 0 END)",
        "logs" => "sum(CASE WHEN severity_number >= 17 THEN 1 ELSE 0 END)",
        _ => "0",
    };
    let condition = ids.condition();
    let mut counted = None;
    let sql = format!(
        "SELECT count(*) AS records, {failed} AS errors, min(time) AS first, max(time) AS last FROM {table} WHERE {condition}"
    );
    inquiry
        .each(sql, |rows| {
            counted = counts(rows)?.or(counted);
            Ok(())
        })
        .await?;
    let (count, errors, start, end) = counted.ok_or_else(|| no_row(table))?;
    Ok(Pivot {
        what: table,
        by: ids.by,
        count,
        errors,
        start,
        end,
        sql: format!("SELECT * FROM {table} WHERE {condition} ORDER BY time"),
        logql: (table == "logs").then(|| ids.logql()),
        traceql: (table == "spans").then(|| ids.traceql()),
        link: None,
        reasons: Vec::new(),
    })
}

type Counts = (u64, u64, Option<Time>, Option<Time>);

fn counts(rows: Rows<'_>) -> Result<Option<Counts>> {
    use arrow::array::Array;
    if rows.len() == 0 {
        return Ok(None);
    }
    let columns = [rows.integers(0)?, rows.integers(1)?, rows.integers(2)?, rows.integers(3)?];
    let value = |at: usize| columns.get(at).filter(|column| column.is_valid(0)).map(|column| column.value(0));
    let count = |at: usize| value(at).and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    Ok(Some((count(0), count(1), value(2).map(Time), value(3).map(Time))))
}

/// Why a table has no record with these ids, where the time is known in which others have.
async fn reason(inquiry: &Inquiry<'_>, table: &str, ids: &Ids, window: Option<Window>) -> Result<Why> {
    let Some(window) = window else {
        let statement = format!("nothing here names this {}: not sent, not sampled, or expired", ids.noun());
        return Ok(Why { service: String::new(), reason: "unknown_id".to_owned(), statement });
    };
    let sql = format!(
        "SELECT count(*) AS records, sum(CASE WHEN {} THEN 1 ELSE 0 END) AS naming FROM {table} WHERE {}",
        ids.naming(),
        around(window)
    );
    let mut found = (0, 0);
    inquiry
        .each(sql, |rows| {
            let (records, naming) = (rows.integers(0)?, rows.integers(1)?);
            if rows.len() > 0 {
                // A sum of no rows is null, which is read as 0.
                let counts = [&records, &naming].map(|column| u64::try_from(column.value(0)).unwrap_or(0));
                found = (counts[0], counts[1]);
            }
            Ok(())
        })
        .await?;
    Ok(why(table, "", ids.noun(), found.0, found.1))
}

/// The screen that shows the records of a pivot.
fn link(pivot: &Pivot, ids: &Ids, window: Window) -> Option<String> {
    // A moment more on both sides, as what is told may lie at the very edge.
    let margin = |by: i64, time: Time| Time(time.0.saturating_add(by)).to_string();
    let times = format!("from={}&to={}", margin(-1_000_000_000, window.start), margin(1_000_000_000, window.end));
    match (pivot.what, pivot.by, ids.ids.as_slice()) {
        ("spans", By::TraceId, [id]) => Some(format!("/traces/{id}")),
        ("spans", ..) => Some(format!("/traces?{times}&spans=all&own=1&q={}", escaped(&ids.condition()))),
        ("logs", ..) => Some(format!("/logs?{times}&own=1&where={}", escaped(&ids.condition()))),
        // Exemplars have no screen of their own.
        _ => None,
    }
}

/// Text within a query (RFC 3986, section 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
