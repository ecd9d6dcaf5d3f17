//! How is the debugging loop asked from the command line? Of a running server over HTTP; the answer as text for people, or as the API's JSON.

use std::fmt::Write as _;
use std::io::Write as _;

use causeway_diagnose::Time;
use causeway_model::{Clock, Error, Result, SystemClock};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::{Print, Server};
use crate::config::Age;
use crate::sql::Failure;

/// Lists are cut here in text; `--format json` has all.
const LISTED_MAX: usize = 10;

/// The time that is looked at.
#[derive(Debug, Args)]
pub struct WindowArguments {
    /// Look back this far from the end, such as 15m or 1h
    #[arg(long, default_value = "15m", conflicts_with = "start")]
    pub since: Age,
    /// Look from here, as 2026-11-20T09:30:00Z
    #[arg(long)]
    pub start: Option<String>,
    /// Look until here; now when missing
    #[arg(long)]
    pub end: Option<String>,
}

/// Arguments of `triage`, `where`, `suspects`: a symptom, as far as it is known.
#[derive(Debug, Args)]
pub struct SymptomArguments {
    /// What got worse
    #[arg(long, default_value = "auto", value_parser = ["auto", "latency", "errors", "traffic"])]
    pub signal: String,
    /// The service that shows it; found when missing
    #[arg(long)]
    pub service: Option<String>,
    /// The name of the spans that show it
    #[arg(long)]
    pub operation: Option<String>,
    /// A predicate over spans in SQL
    #[arg(long, value_name = "SQL")]
    pub filter: Option<String>,
    /// When.
    #[command(flatten)]
    pub window: WindowArguments,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// When something was done about it, as 2026-11-20T09:30:00Z
    #[arg(long)]
    pub mitigated_at: String,
    /// The symptom.
    #[command(flatten)]
    pub symptom: SymptomArguments,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// What stands out: a predicate in SQL, such as "duration_ns > 1e9"
    pub selection: String,
    /// What it is compared with: a predicate in SQL; all other rows when missing
    #[arg(long, value_name = "SQL")]
    pub baseline: Option<String>,
    /// Spans or logs
    #[arg(long, default_value = "spans", value_parser = ["spans", "logs"])]
    pub table: String,
    /// When.
    #[command(flatten)]
    pub window: WindowArguments,
    /// Begin of the baseline's time; the same time when missing
    #[arg(long, requires = "baseline_end")]
    pub baseline_start: Option<String>,
    /// End of the baseline's time
    #[arg(long, requires = "baseline_start")]
    pub baseline_end: Option<String>,
    /// Findings at most
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

/// Arguments of `cardinality`.
#[derive(Debug, Args)]
#[command(mut_arg("since", |since| since.default_value("1d")))]
pub struct CardinalityArguments {
    /// Only this metric
    pub metric: Option<String>,
    /// Metrics and senders that are listed
    #[arg(long, default_value_t = 10)]
    pub limit: usize,
    /// When.
    #[command(flatten)]
    pub window: WindowArguments,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

impl WindowArguments {
    fn bounds(&self) -> Result<(Time, Time)> {
        let end = self.end.as_deref().map_or_else(|| Ok(Time(SystemClock::new().now_unix_nano())), Time::parse)?;
        let back = i64::try_from(self.since.0.as_nanos()).unwrap_or(i64::MAX);
        let start = self.start.as_deref().map_or(Ok(Time(end.0.saturating_sub(back))), Time::parse)?;
        Ok((start, end))
    }
}

impl SymptomArguments {
    fn body(&self) -> Result<Value> {
        let (start, end) = self.window.bounds()?;
        let mut body = json!({ "signal": self.signal, "start": start, "end": end });
        for (name, value) in [("service", &self.service), ("operation", &self.operation), ("filter", &self.filter)] {
            if let (Some(value), Some(body)) = (value, body.as_object_mut()) {
                body.insert(name.to_owned(), value.clone().into());
            }
        }
        Ok(body)
    }
}

impl CompareArguments {
    fn body(&self) -> Result<Value> {
        let (start, end) = self.window.bounds()?;
        let time = |text: &Option<String>, other: Time| text.as_ref().map_or(Ok(other), |text| Time::parse(text));
        let (before, until) = (time(&self.baseline_start, start)?, time(&self.baseline_end, end)?);
        Ok(json!({
            "table": self.table,
            "selection": { "filter": self.selection, "start": start, "end": end },
            "baseline": { "filter": self.baseline, "start": before, "end": until },
            "limit": self.limit,
        }))
    }
}

/// `triage`, `where` and `suspects`.
///
/// # Errors
/// See [`Failure`].
pub async fn symptom(method: &str, arguments: &SymptomArguments) -> Result<(), Failure> {
    let body = arguments.body().map_err(wrong)?;
    ask(method, &body, &arguments.server).await
}

/// `validate`.
///
/// # Errors
/// See [`Failure`].
pub async fn validate(arguments: &ValidateArguments) -> Result<(), Failure> {
    let mitigated = Time::parse(&arguments.mitigated_at).map_err(wrong)?;
    let body = json!({ "symptom": arguments.symptom.body().map_err(wrong)?, "mitigated_at": mitigated });
    ask("validate", &body, &arguments.symptom.server).await
}

/// `compare`.
///
/// # Errors
/// See [`Failure`].
pub async fn compare(arguments: &CompareArguments) -> Result<(), Failure> {
    ask("compare", &arguments.body().map_err(wrong)?, &arguments.server).await
}

/// `cardinality`.
///
/// # Errors
/// See [`Failure`].
pub async fn cardinality(arguments: &CardinalityArguments) -> Result<(), Failure> {
    let (start, end) = arguments.window.bounds().map_err(wrong)?;
    let mut body = json!({ "start": start, "end": end, "limit": arguments.limit });
    if let Some(metric) = &arguments.metric {
        body["metric"] = metric.as_str().into();
    }
    ask("cardinality", &body, &arguments.server).await
}

fn wrong(error: Error) -> Failure {
    Failure::Query(error.message)
}

async fn ask(method: &str, body: &Value, server: &Server) -> Result<(), Failure> {
    let path = format!("/api/v1/diagnose/{method}");
    let answer = crate::sql::with_progress(server.ask(Method::POST, &path, &[], &[], Some(body))).await?;
    let printed = match server.format {
        Print::Json => format!("{answer}\n"),
        Print::Table => render(&answer),
    };
    crate::sql::written(std::io::stdout().write_all(printed.as_bytes())).map(|_| ())
}

/// Any answer of the loop as text: what it says in words, and the numbers beside it.
fn render(answer: &Value) -> String {
    let mut out = String::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for statement in [&answer["symptom"]["statement"], &answer["statement"]] {
        if let Some(statement) = statement.as_str() {
            let _ = writeln!(out, "{statement}");
        }
    }
    if let (Some(selected), Some(others)) =
        (answer["selection"]["count"].as_u64(), answer["baseline"]["count"].as_u64())
    {
        let nothing = answer["findings"].as_array().is_some_and(Vec::is_empty);
        let told = if nothing { "; nothing tells them apart" } else { "" };
        let _ = writeln!(out, "{selected} selected, {others} others, {} keys compared{told}", answer["keys_compared"]);
    }
    if let Some(verdict) = answer["verdict"].as_str() {
        let _ = writeln!(out, "verdict: {}", verdict.replace('_', " "));
    }
    if let Some(onset) = answer["onset"].as_object() {
        let bounds = format!("between {} and {}", text(&onset["earliest"]), text(&onset["latest"]));
        let going = if answer["ongoing"] == json!(true) { "still going on" } else { "over" };
        let _ = writeln!(out, "onset: {} ({bounds}), {going}", text(&onset["time"]));
    }
    for (name, red) in ["before", "during", "after"].map(|name| (name, &answer[name])) {
        if let Some(red) = red.as_object() {
            let _ = writeln!(out, "{name:>7}: {}", red_line(red));
        }
    }
    for (title, list) in [("who is hit", &answer["radius"]), ("suspects", &answer["suspects"])] {
        section(
            &mut out,
            title,
            list,
            |out, item| if title == "suspects" { suspect(out, item) } else { radius(out, item) },
        );
    }
    section(&mut out, "changes", &answer["changes"], |out, change| {
        let offset = change["offset_s"].as_f64().map_or(String::new(), |offset| format!(" ({offset:+.0} s)"));
        let (kind, entity) = (text(&change["kind"]), text(&change["entity"]));
        let _ = writeln!(
            out,
            "  {}{offset} {kind} {entity}: {} -> {}",
            text(&change["time"]),
            text(&change["before"]),
            text(&change["after"])
        );
    });
    for (title, list) in [("steps", &answer["steps"]), ("findings", &answer["findings"])] {
        section(&mut out, title, list, |out, item| {
            let _ = writeln!(out, "  {}", text(&item["statement"]));
        });
    }
    section(&mut out, "numbers", &answer["numbers"], |out, number| {
        let _ = writeln!(
            out,
            "  {}: median {} against {}",
            text(&number["key"]),
            number["selection"]["p50"],
            number["baseline"]["p50"]
        );
    });
    if answer["senders"].is_array() {
        cardinality_text(&mut out, answer);
    }
    out.push_str(&how(&answer["how"]));
    // Names and values are anyone's text: control characters could recolour the terminal.
    out.chars().map(|letter| if letter.is_control() && letter != '\n' { '·' } else { letter }).collect()
}

/// What an answer rests on, in a line.
fn how(how: &Value) -> String {
    let queries = how["queries"].as_array().map_or(0, Vec::len);
    let sum = |name: &str| {
        let list = how["queries"].as_array().into_iter().flatten();
        list.filter_map(|query| query[name].as_f64()).sum::<f64>()
    };
    let exact = if how["exact"] == json!(true) { "exact" } else { "sampled or cut" };
    let notes = how["notes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let notes: String = notes.map(|note| format!("  {note}\n")).collect();
    format!("how: {queries} queries, {} rows, {:.0} ms, {exact}\n{notes}", sum("rows_scanned"), sum("elapsed_ms"))
}

fn section(out: &mut String, title: &str, list: &Value, line: impl Fn(&mut String, &Value)) {
    listed(out, title, list, LISTED_MAX, line);
}

fn listed(out: &mut String, title: &str, list: &Value, listed_max: usize, line: impl Fn(&mut String, &Value)) {
    let Some(items) = list.as_array().filter(|items| !items.is_empty()) else { return };
    let _ = writeln!(out, "\n{title}:");
    items.iter().take(listed_max).for_each(|item| line(out, item));
    if items.len() > listed_max {
        let _ = writeln!(out, "  … {} more", items.len() - listed_max);
    }
}

fn cardinality_text(out: &mut String, answer: &Value) {
    let count =
        |item: &Value| format!("{} series, {} of them new{}", item["series"], item["new"], growth(&item["growth"]));
    let _ = writeln!(out, "{}", count(answer));
    // As many as were asked for.
    listed(out, "metrics", &answer["metrics"], usize::MAX, |out, item| {
        let _ = writeln!(out, "  {}: {}", item["metric"].as_str().unwrap_or_default(), count(item));
        // A label that saves nothing is not what makes them many.
        let saving = |label: &&Value| label["saved"].as_f64().is_some_and(|saved| saved >= 0.005);
        for label in item["labels"].as_array().into_iter().flatten().filter(saving).take(3) {
            let _ = writeln!(
                out,
                "     without label {}, which has {} values: {} series, {:.1} % less",
                label["label"].as_str().unwrap_or_default(),
                label["values"],
                label["series_without"],
                label["saved"].as_f64().unwrap_or(0.0) * 100.0
            );
        }
    });
    listed(out, "senders", &answer["senders"], usize::MAX, |out, item| {
        let sender = item["sender"].as_str().filter(|sender| !sender.is_empty()).unwrap_or("(no service, no job)");
        let _ = writeln!(out, "  {sender}: {}", count(item));
    });
}

/// When series were born faster than else, in words.
fn growth(growth: &Value) -> String {
    let Some(since) = growth["since"]["time"].as_str() else { return String::new() };
    let until = growth["until"].as_str().map_or("still going on".to_owned(), |until| format!("until {until}"));
    let rate = growth["series_per_minute"].as_f64().unwrap_or(0.0);
    format!("; {} since {since}, {rate:.0} a minute, {until}", growth["series"])
}

fn red_line(red: &Map<String, Value>) -> String {
    let number = |name: &str| red.get(name).and_then(Value::as_f64);
    let ms = |name: &str| number(name).map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
    format!(
        "{:.1} requests/s, {:.2} % errors, p50 {}, p95 {}, p99 {}",
        number("requests_per_s").unwrap_or(0.0),
        number("error_rate").unwrap_or(0.0) * 100.0,
        ms("p50_ms"),
        ms("p95_ms"),
        ms("p99_ms")
    )
}

fn radius(out: &mut String, radius: &Value) {
    let values = radius["values"].as_array().into_iter().flatten().take(4).map(|value| {
        let (share, ratio) = (value["share"].as_f64().unwrap_or(0.0) * 100.0, value["ratio"].as_f64().unwrap_or(0.0));
        format!("{} {share:.0} % affected, x{ratio:.1}", value["value"].as_str().unwrap_or_default())
    });
    let values: Vec<String> = values.collect();
    let _ = writeln!(out, "  {}: {}", radius["dimension"].as_str().unwrap_or_default(), values.join("; "));
}

fn suspect(out: &mut String, suspect: &Value) {
    let score = suspect["score"].as_f64().unwrap_or(0.0);
    let _ =
        writeln!(out, "  {}. {} (score {score:.2})", suspect["rank"], suspect["title"].as_str().unwrap_or_default());
    for (sign, list) in [("+", &suspect["for"]), ("-", &suspect["against"])] {
        for finding in list.as_array().into_iter().flatten() {
            let _ = writeln!(out, "     {sign} {}", finding["statement"].as_str().unwrap_or_default());
        }
    }
    let _ = writeln!(out, "     refute: {}", suspect["refute"]["statement"].as_str().unwrap_or_default());
}
