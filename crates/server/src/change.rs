//! How is a change told of, and how are changes listed, from the command line?

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::Server;
use crate::sql::Failure;

const PATH: &str = "/api/v1/changes";

/// What to do with changes.
#[derive(Debug, Subcommand)]
pub enum ChangeCommand {
    /// Tell of a change; telling again with the same --id changes nothing
    Add {
        /// What kind of thing changed, such as deploy, config, migration
        #[arg(long)]
        kind: String,
        /// Which one, such as the service's name
        #[arg(long)]
        entity: String,
        /// What it was
        #[arg(long)]
        before: Option<String>,
        /// What it is now
        #[arg(long)]
        after: Option<String>,
        /// Who did it
        #[arg(long, env = "USER")]
        actor: Option<String>,
        /// When, in RFC 3339 [default: now]
        #[arg(long)]
        time: Option<String>,
        /// Who says so [default: api]
        #[arg(long)]
        source: Option<String>,
        /// Names the change, so that it counts once however often it is told
        #[arg(long)]
        id: Option<String>,
        /// Anything else, as KEY=VALUE
        #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = pair)]
        attributes: Vec<(String, String)>,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// List changes, newest first
    List {
        /// Only those of this kind
        #[arg(long)]
        kind: Option<String>,
        /// Only those of this entity
        #[arg(long)]
        entity: Option<String>,
        /// Only those since, in RFC 3339
        #[arg(long)]
        start: Option<String>,
        /// Only those until, in RFC 3339
        #[arg(long)]
        end: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50)]
        limit: u64,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("an attribute is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: &ChangeCommand) -> Result<(), Failure> {
    match command {
        ChangeCommand::Add { kind, entity, before, after, actor, time, source, id, attributes, server } => {
            let attributes: Map<String, Value> =
                attributes.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
            let change = json!({
                "kind": kind, "entity": entity, "before": before, "after": after, "actor": actor,
                "time": time, "source": source, "id": id, "attributes": attributes,
            });
            let kept = server.ask(Method::POST, PATH, &[], &[], Some(&change)).await?;
            server.print(&kept, &["accepted", "known"], std::slice::from_ref(&kept));
        }
        ChangeCommand::List { kind, entity, start, end, limit, server } => {
            let given = [("kind", kind), ("entity", entity), ("start", start), ("end", end)];
            let mut query: Vec<(&str, String)> =
                given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
            query.push(("limit", limit.to_string()));
            let answer = server.ask(Method::GET, PATH, &[], &query, None).await?;
            let rows = answer.get("changes").and_then(Value::as_array).cloned().unwrap_or_default();
            server.print(&answer, &["time", "kind", "entity", "before", "after", "actor", "source"], &rows);
        }
    }
    Ok(())
}
