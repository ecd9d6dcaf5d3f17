//! How are patterns of log lines and groups of errors asked from the command line? One line each; what is new, back or surging says so.

use std::io::Write as _;

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::{Print, Server};
use crate::sql::Failure;
use crate::table::Table;

/// Arguments of `patterns` and `errors`.
#[derive(Debug, Args)]
pub struct KindArguments {
    /// Only those of this service
    pub service: Option<String>,
    /// So far back from now, or from the end
    #[arg(long, default_value = "1h")]
    pub since: crate::config::Age,
    /// The end, as 2026-11-20T09:30:00Z; now when missing
    #[arg(long)]
    pub end: Option<String>,
    /// How far before that to look for the same, so that it is not new
    #[arg(long, default_value = "1d")]
    pub history: String,
    /// So many at most
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

/// `patterns`.
///
/// # Errors
/// See [`Failure`].
pub async fn patterns(arguments: &KindArguments) -> Result<(), Failure> {
    let columns = ["count", "is", "service", "level", "pattern"];
    shown(arguments, "/api/v1/patterns", "patterns", &columns, |_| Map::new()).await
}

/// `errors`.
///
/// # Errors
/// See [`Failure`].
pub async fn errors(arguments: &KindArguments) -> Result<(), Failure> {
    let columns = ["count", "is", "service", "type", "message", "culprit", "versions", "trace"];
    let more = |error: &Value| {
        let versions = error["versions"].as_array().into_iter().flatten().filter_map(|it| it["version"].as_str());
        let versions: Vec<&str> = versions.filter(|version| !version.is_empty()).collect();
        Map::from_iter([
            ("type".to_owned(), error["error_type"].clone()),
            ("versions".to_owned(), json!(versions.join(" "))),
            ("trace".to_owned(), error["traces"][0].clone()),
        ])
    };
    shown(arguments, "/api/v1/errors", "errors", &columns, more).await
}

async fn shown(
    arguments: &KindArguments,
    path: &str,
    list: &str,
    columns: &[&str],
    more: impl Fn(&Value) -> Map<String, Value>,
) -> Result<(), Failure> {
    let since_s = i64::try_from(arguments.since.0.as_secs()).unwrap_or(i64::MAX);
    let mut query = vec![
        ("since", format!("{since_s}s")),
        ("history", arguments.history.clone()),
        ("limit", arguments.limit.to_string()),
    ];
    query.extend(arguments.service.clone().map(|service| ("service", service)));
    query.extend(arguments.end.clone().map(|end| ("end", end)));
    let asked = arguments.server.ask(Method::GET, path, &[], &query, None);
    let answer = crate::sql::with_progress(asked).await?;
    let printed = match arguments.server.format {
        Print::Json => format!("{answer}\n"),
        Print::Table => render(&answer, list, columns, more),
    };
    crate::sql::written(std::io::stdout().write_all(printed.as_bytes())).map(|_| ())
}

fn render(answer: &Value, list: &str, columns: &[&str], more: impl Fn(&Value) -> Map<String, Value>) -> String {
    let rows = answer[list].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        let what = if list == "errors" { "exceptions in spans or logs" } else { list };
        return format!(
            "no {what} were counted in this time. They are counted some 15 s after they come; --since looks further back, and \
             `causeway traces` and `causeway logs` show each span and line.\n"
        );
    }
    let row = |row: &Value| {
        let mut cells = row.as_object().cloned().unwrap_or_default();
        cells.insert("is".to_owned(), json!(remark(row)));
        cells.insert("count".to_owned(), json!(whole(&row["count"])));
        cells.extend(more(row));
        Value::Object(cells)
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    let mut out = Table::of(columns, &rows).render();
    if whole(&answer["others"]) > 0 {
        out.push_str(&format!("{} of {list} beyond the limits\n", whole(&answer["others"])));
    }
    if answer["left_out"].as_u64().unwrap_or(0) > 0 {
        out.push_str(&format!("… {} more\n", answer["left_out"]));
    }
    out
}

/// A count as people write it; one of sampled spans may have a fraction.
fn whole(count: &Value) -> u64 {
    count.as_f64().unwrap_or_default().round() as u64
}

/// What is remarkable.
fn remark(row: &Value) -> String {
    let text = |name: &str| row["regression"][name].as_str().unwrap_or_default().to_owned();
    match text("kind").as_str() {
        "new_in_version" => format!("new in {}", text("version")),
        "back_in_version" => format!("back in {}", text("version")),
        "back_after_silence" => "back".to_owned(),
        _ if row["is_new"] == true => "new".to_owned(),
        _ if row["is_surging"] == true => match row["ratio"].as_f64() {
            Some(ratio) => format!("× {ratio:.1}"),
            // It did not come in as long a time before.
            None => "surging".to_owned(),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remarkable_stands_in_the_table() {
        let answer = json!({
            "patterns": [
                {"count": 7.0, "service": "pay", "level": "info", "pattern": "paid <_>", "is_new": true},
                {"count": 40.0, "service": "pay", "level": "warn", "pattern": "retry <_>", "is_surging": true, "ratio": 8.0},
            ],
            "others": 5.0, "left_out": 2,
        });
        let said = render(&answer, "patterns", &["count", "is", "service", "level", "pattern"], |_| Map::new());
        assert!(said.contains("new") && said.contains("× 8.0") && said.contains("paid <_>"), "{said}");
        assert!(said.contains("… 2 more") && said.contains("5 of patterns beyond the limits"), "{said}");
        assert!(
            render(&json!({"errors": []}), "errors", &[], |_| Map::new())
                .starts_with("no exceptions in spans or logs were")
        );
        assert_eq!(remark(&json!({"is_surging": true, "ratio": null})), "surging");
        let back = json!({"regression": {"kind": "back_in_version", "version": "1.2"}});
        assert_eq!(remark(&back), "back in 1.2");
    }
}
