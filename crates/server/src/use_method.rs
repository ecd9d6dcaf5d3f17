//! How is the USE method asked from the command line? One line a host or pod and resource; what is high comes first.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::client::{Print, Server};
use crate::sql::Failure;

/// Arguments of `use`.
#[derive(Debug, Args)]
pub struct UseArguments {
    /// Only hosts and pods with this in their name
    pub entity: Option<String>,
    /// The time that rates are taken over
    #[arg(long, default_value = "5m")]
    pub window: String,
    /// At this time, as 2026-11-20T09:30:00Z; now when missing
    #[arg(long)]
    pub time: Option<String>,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

/// `use`.
///
/// # Errors
/// See [`Failure`].
pub async fn used(arguments: &UseArguments) -> Result<(), Failure> {
    let mut query = vec![("window", arguments.window.clone())];
    query.extend(arguments.time.clone().map(|time| ("time", time)));
    let asked = arguments.server.ask(Method::GET, "/api/v1/use", &[], &query, None);
    let mut answer = crate::sql::with_progress(asked).await?;
    if let (Some(part), Some(entities)) = (&arguments.entity, answer["entities"].as_array_mut()) {
        entities.retain(|entity| entity["entity"].as_str().is_some_and(|name| name.contains(part.as_str())));
    }
    let printed = match arguments.server.format {
        Print::Json => format!("{answer}\n"),
        Print::Table => render(&answer),
    };
    crate::sql::written(std::io::stdout().write_all(printed.as_bytes())).map(|_| ())
}

fn render(answer: &Value) -> String {
    let mut out = String::new();
    let entities = answer["entities"].as_array().map_or(&[][..], Vec::as_slice);
    if entities.is_empty() {
        out.push_str("no host or pod is known: send metrics of node_exporter, cAdvisor, the collector's kubelet stats or host metrics (these with host.name, by its \
             resourcedetection processor)\n");
    }
    for entity in entities {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let _ = writeln!(out, "{} {}", text(&entity["kind"]), text(&entity["entity"]));
        for used in entity["uses"].as_array().into_iter().flatten() {
            let part: Vec<&str> =
                used["part"].as_object().into_iter().flat_map(|part| part.values()).filter_map(Value::as_str).collect();
            let value = value(used["value"].as_f64().unwrap_or(f64::NAN), used["unit"].as_str().unwrap_or_default());
            let (resource, aspect) = (text(&used["resource"]), text(&used["aspect"]));
            let line = format!("  {resource:<11}{aspect:<12}{value:>10}  {}", part.join(" "));
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    if answer["left_out"].as_u64().unwrap_or(0) > 0 {
        let _ = writeln!(out, "… {} more", answer["left_out"]);
    }
    for failed in answer["failed"].as_array().into_iter().flatten() {
        let text = |name: &str| failed[name].as_str().unwrap_or_default();
        let _ =
            writeln!(out, "failed: {} {} of {}: {}", text("resource"), text("aspect"), text("sender"), text("error"));
    }
    // Names are anyone's text: control characters could recolour the terminal.
    out.chars().map(|letter| if letter.is_control() && letter != '\n' { '·' } else { letter }).collect()
}

fn value(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => format!("{:.1} %", value * 100.0),
        "per_second" => format!("{value:.2}/s"),
        _ => format!("{value:.2}"),
    }
}
