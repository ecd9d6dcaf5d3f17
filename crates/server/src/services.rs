//! How are services asked for from the command line? One line each with its requests, failures and durations; of one, what it does and whom it calls.

use std::io::Write as _;

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::{Print, Server};
use crate::sql::Failure;
use crate::table::Table;

/// What is said where nothing was counted.
const NOTHING: &str = "nothing of this was counted in this time. Spans are counted some 15 s after they come; --since looks further back, and without a \
                       name all services are listed.\n";

/// Arguments of `services`.
#[derive(Debug, Args)]
pub struct ServicesArguments {
    /// One service, with its operations and calls; all when missing
    pub service: Option<String>,
    /// So far back from now, or from the end
    #[arg(long, default_value = "1h")]
    pub since: crate::config::Age,
    /// The end, as 2026-11-20T09:30:00Z; now when missing
    #[arg(long)]
    pub end: Option<String>,
    /// Only what failed
    #[arg(long)]
    pub failed: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

/// `services`.
///
/// # Errors
/// See [`Failure`].
pub async fn run(arguments: &ServicesArguments) -> Result<(), Failure> {
    let mut query =
        vec![("since", format!("{}s", arguments.since.0.as_secs())), ("failed", arguments.failed.to_string())];
    query.extend(arguments.service.clone().map(|service| ("service", service)));
    query.extend(arguments.end.clone().map(|end| ("end", end)));
    let asked = arguments.server.ask(Method::GET, "/api/v1/services", &[], &query, None);
    let answer = crate::sql::with_progress(asked).await?;
    let printed = match arguments.server.format {
        Print::Json => format!("{answer}\n"),
        Print::Table => render(&answer),
    };
    crate::sql::written(std::io::stdout().write_all(printed.as_bytes())).map(|_| ())
}

fn render(answer: &Value) -> String {
    let lists = [
        ("services", &["service", "kind", "versions", "instances"][..]),
        ("operations", &["operation", "kind"][..]),
        ("calls", &["client", "server", "kind"][..]),
    ];
    let mut out = String::new();
    for (list, names) in lists {
        let rows: Vec<Value> = answer[list].as_array().into_iter().flatten().map(row).collect();
        if rows.is_empty() {
            continue;
        }
        let columns = [names, &["requests", "failed", "p50", "p95", "p99"]].concat();
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&Table::of(&columns, &rows).render());
    }
    if out.is_empty() {
        return NOTHING.to_owned();
    }
    if answer["left_out"].as_u64().unwrap_or(0) > 0 {
        out.push_str(&format!("… {} more\n", answer["left_out"]));
    }
    out
}

fn row(told: &Value) -> Value {
    let mut cells: Map<String, Value> = told.as_object().cloned().unwrap_or_default();
    let number = |name: &str| told[name].as_f64().unwrap_or_default();
    let milliseconds = |name: &str| told[name].as_f64().map_or(Value::Null, |ms| json!(format!("{ms:.1} ms")));
    let share = if number("requests") > 0.0 { number("failed") / number("requests") * 100.0 } else { 0.0 };
    let failed = if share > 0.0 { format!("{} ({share:.1} %)", number("failed").round()) } else { "0".to_owned() };
    let versions = told["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let named: Vec<&str> = versions.iter().filter_map(|version| version["version"].as_str()).collect();
    let instances: usize = versions.iter().filter_map(|version| version["instances"].as_array()).map(Vec::len).sum();
    cells.extend([
        ("service".to_owned(), told["name"].clone()),
        ("versions".to_owned(), json!(named.join(" "))),
        ("instances".to_owned(), if instances > 0 { json!(instances) } else { Value::Null }),
        ("requests".to_owned(), json!(number("requests").round())),
        ("failed".to_owned(), json!(failed)),
        ("p50".to_owned(), milliseconds("p50_ms")),
        ("p95".to_owned(), milliseconds("p95_ms")),
        ("p99".to_owned(), milliseconds("p99_ms")),
    ]);
    Value::Object(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_calls_stand_one_below_the_other() {
        let answer = json!({
            "services": [{"name": "pay", "kind": "service", "requests": 200.0, "failed": 3.0, "p50_ms": 1.25, "p95_ms": null,
                "versions": [{"version": "1.0", "instances": ["a", "b"]}, {"version": "1.1", "instances": ["c"]}]}],
            "calls": [{"client": "shop", "server": "pay", "kind": "service", "requests": 200.0, "failed": 0.0}],
            "operations": [], "left_out": 2,
        });
        let said = render(&answer);
        assert!(said.contains("3 (1.5 %)") && said.contains("1.2 ms") && said.contains("1.0 1.1"), "{said}");
        assert!(said.contains("shop") && said.contains("… 2 more"), "{said}");
        assert!(render(&json!({})).starts_with("nothing of this was counted"));
    }
}
