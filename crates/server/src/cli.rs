//! What can be said on the command line?

use std::path::PathBuf;

use causeway_model::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Settings, SettingsSource};
use crate::diagnose::{CardinalityArguments, CompareArguments, SymptomArguments, ValidateArguments};
use crate::kinds::KindArguments;
use crate::use_method::UseArguments;

/// Takes telemetry in over OTLP, keeps it in Parquet, answers SQL.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take telemetry in and answer questions, until SIGTERM or SIGINT
    Serve(Box<ServeArguments>),
    /// Run a program, follow its logs and traces, and tell what is new against its last run
    Dev(crate::dev::DevArguments),
    /// Show a small shop that breaks: find out why
    Demo(Box<crate::demo::DemoArguments>),
    /// Follow log files, and send what is written to them
    #[command(after_help = crate::tail::EXAMPLES)]
    Tail(crate::tail::TailArguments),
    /// Serve what `demo record` kept, read-only
    Open(crate::recording::OpenArguments),
    /// Ask a question
    #[command(
        after_help = "Exit codes: 0 answered; 1 the query failed; 2 wrong usage; 3 no server could be reached, or the \
                            store could not be opened; 4 the answer is partial."
    )]
    Sql(SqlArguments),
    /// What happened in one trace: a waterfall, and what stands out
    Trace(crate::trace::TraceArguments),
    /// What is wrong, since when, for whom, and what changed
    Triage(SymptomArguments),
    /// What do these spans or logs have in common that others don't
    Compare(CompareArguments),
    /// Where does the time go, where do errors begin
    Where(SymptomArguments),
    /// Why: changes and broken parts, for and against
    Suspects(SymptomArguments),
    /// Is it over since something was done about it
    Validate(ValidateArguments),
    /// Which services there are, who calls whom, and how well it goes
    Services(crate::services::ServicesArguments),
    /// Show lines of logs, and with -f what comes
    Logs(crate::logs::LogsArguments),
    /// What names a trace, a span or a request: how much, where to look, and why there is nothing
    Find(crate::find::FindArguments),
    /// The newest traces that a query finds, and with -f spans as they come
    Traces(crate::traces::TracesArguments),
    /// How busy each host and pod is, what waits there, what fails
    Use(UseArguments),
    /// Which kinds of log lines there are, how often, which are new or surge
    Patterns(KindArguments),
    /// Which errors there are, how often, in which versions, which are new or back
    Errors(KindArguments),
    /// Which metrics and senders have the most series, which grow, and which label does it
    Cardinality(CardinalityArguments),
    /// Tell of a change, or list them
    #[command(subcommand)]
    Change(crate::change::ChangeCommand),
    /// Look at feature flags and switch them
    #[command(subcommand)]
    Flag(crate::flag::FlagCommand),
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// A TOML file with the same keys as the flags, `_` for `-`; flags and environment go before it
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print one JSON line with the addresses on stdout once everything is ready
    #[arg(long)]
    pub print_addresses: bool,
    /// Everything else.
    #[command(flatten)]
    pub given: SettingsSource,
}

impl ServeArguments {
    /// The settings: flags before environment before file before defaults.
    ///
    /// # Errors
    /// `Invalid` for a file that can't be read or says what it must not.
    pub fn settings(&self) -> Result<Settings> {
        let file = match &self.config {
            Some(path) => SettingsSource::read(path)?,
            None => SettingsSource::default(),
        };
        Ok(Settings::resolve(self.given.clone(), file))
    }
}

/// Arguments of `sql`.
#[derive(Debug, Args)]
pub struct SqlArguments {
    /// One SELECT or EXPLAIN; $1, $2 … stand for the parameters
    pub query: String,
    /// The server to ask
    #[arg(long, env = "CAUSEWAY_URL", default_value = "http://127.0.0.1:4300", value_name = "URL")]
    pub url: String,
    /// Ask a data directory that no server has open
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub data: Option<PathBuf>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub format: OutputFormat,
    /// A value for the next of $1, $2 …: JSON, or else plain text
    #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    pub params: Vec<String>,
    /// How long it may take, such as 30s or 5m
    #[arg(long, default_value = "30s")]
    pub timeout: crate::config::Age,
    /// End at a limit with what there is (exit code 4) instead of an error
    #[arg(long)]
    pub partial: bool,
}

impl SqlArguments {
    /// The parameters as JSON values.
    pub fn json_params(&self) -> Vec<serde_json::Value> {
        let value = |text: &String| match serde_json::from_str(text) {
            Ok(serde_json::Value::Array(_) | serde_json::Value::Object(_)) | Err(_) => text.clone().into(),
            Ok(scalar) => scalar,
        };
        self.params.iter().map(value).collect()
    }
}

/// How to print an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns for people.
    Table,
    /// One object with columns, rows and stats.
    Json,
    /// One object a line.
    Ndjson,
    /// RFC 4180.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_refused() {
        let wrong: [&[&str]; 18] = [
            &["causeway", "dev"],
            &["causeway", "dev", "node", "app.js"],
            &["causeway", "dev", "--quiet", "--follow", "logs", "--", "node"],
            &["causeway", "demo", "--scenario", "no-such"],
            &["causeway", "demo", "--speed", "0"],
            &["causeway", "demo", "record", "campaign"],
            &["causeway", "open"],
            &["causeway", "sql"],
            &["causeway", "sql", "SELECT 1", "--format", "xml"],
            &["causeway", "sql", "SELECT 1", "--timeout", "soon"],
            &["causeway", "sql", "SELECT 1", "--data", "d", "--url", "http://x"],
            &["causeway", "serve", "--listen", "nowhere"],
            &["causeway", "serve", "--logs-bytes-max", "many"],
            &["causeway", "dance"],
            &["causeway", "tail"],
            &["causeway", "change", "add", "--kind", "deploy"],
            &["causeway", "flag", "set"],
            &["causeway", "flag", "set", "f", "--state", "maybe"],
        ];
        for arguments in wrong {
            assert_eq!(Cli::try_parse_from(arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
        }
    }

    #[test]
    fn parameters_are_json_or_text() {
        let cli = Cli::try_parse_from([
            "causeway", "sql", "q", "--param", "5", "--param", "cart", "--param", "\"5\"", "--param", "-1.5",
            "--param", "null", "--param", "[1]",
        ]);
        let Command::Sql(arguments) = cli.unwrap().command else { panic!("not sql") };
        let expected = serde_json::json!([5, "cart", "5", -1.5, null, "[1]"]);
        assert_eq!(serde_json::Value::from(arguments.json_params()), expected);
    }
}
