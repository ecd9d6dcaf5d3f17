//! How are flags looked at and switched from the command line?

use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value};

use crate::client::{Print, Server};
use crate::sql::Failure;

const PATH: &str = "/api/v1/flags";

/// What to do with flags.
#[derive(Debug, Subcommand)]
pub enum FlagCommand {
    /// List the flags
    List {
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Switch a flag: its default variant, its state, its targeting
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Set {
        /// The flag
        key: String,
        /// The variant that counts where no targeting chooses another
        #[arg(long, group = "what")]
        variant: Option<String>,
        /// Whether the flag is evaluated at all; callers' own defaults count where it isn't
        #[arg(long, value_enum, group = "what")]
        state: Option<State>,
        /// The rule as JSON; null removes it
        #[arg(long, value_name = "JSON", group = "what", value_parser = json)]
        targeting: Option<Value>,
        /// Who does it
        #[arg(long, env = "USER")]
        actor: Option<String>,
        /// Why
        #[arg(long)]
        reason: Option<String>,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Who edited a flag, when, from what to what, and why
    History {
        /// The flag
        key: String,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
}

/// Whether a flag is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// It is.
    Enabled,
    /// It isn't.
    Disabled,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: &FlagCommand) -> Result<(), Failure> {
    match command {
        FlagCommand::List { server } => {
            let answer = server.ask(Method::GET, PATH, &[], &[], None).await?;
            let flags = answer.get("flags").and_then(Value::as_array).cloned().unwrap_or_default();
            server.print(&answer, COLUMNS, &flags);
            if let (Some(problem), Print::Table) = (answer.get("problem").and_then(Value::as_str), server.format) {
                eprintln!("causeway: the file of flags is broken, the last good flags are in force: {problem}");
            }
        }
        FlagCommand::Set { key, variant, state, targeting, actor, reason, server } => {
            let state = state.map(|state| if state == State::Enabled { "ENABLED" } else { "DISABLED" });
            let given: [(&str, Option<Value>); 5] = [
                ("defaultVariant", variant.as_deref().map(Value::from)),
                ("state", state.map(Value::from)),
                ("targeting", targeting.clone()),
                ("actor", actor.as_deref().map(Value::from)),
                ("reason", reason.as_deref().map(Value::from)),
            ];
            let patch: Map<String, Value> =
                given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            let flag = server.ask(Method::PATCH, PATH, &[key], &[], Some(&patch.into())).await?;
            server.print(&flag, COLUMNS, std::slice::from_ref(&flag));
        }
        FlagCommand::History { key, server } => {
            let answer = server.ask(Method::GET, PATH, &[key, "audit"], &[], None).await?;
            let mut edits = answer.get("edits").and_then(Value::as_array).cloned().unwrap_or_default();
            edits.iter_mut().for_each(say_what);
            server.print(&answer, &["time", "version", "way", "actor", "what", "reason"], &edits);
        }
    }
    Ok(())
}

/// Puts into an edit, in words, what it changed.
fn say_what(edit: &mut Value) {
    let part = |side: &str, name: &str| match edit.get(side).and_then(|flag| flag.get(name)) {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let is_there = |side: &str| edit.get(side).is_some_and(Value::is_object);
    let changed = ["state", "defaultVariant", "targeting"].iter().filter_map(|name| {
        let (before, after) = (part("before", name), part("after", name));
        (before != after).then(|| format!("{name}: {before} -> {after}"))
    });
    let what = match (is_there("before"), is_there("after")) {
        (false, _) => "created".to_owned(),
        (_, false) => "removed".to_owned(),
        _ => changed.collect::<Vec<_>>().join("; "),
    };
    if let Some(edit) = edit.as_object_mut() {
        let what = if what.is_empty() { "definition".to_owned() } else { what };
        edit.insert("what".to_owned(), what.into());
    }
}

/// What a flag is shown with.
const COLUMNS: &[&str] = &["key", "state", "defaultVariant", "targeting", "version", "changed_at", "changed_by"];
