//! How is ClickHouse's engine (chdb) started, loaded and asked? In a Python process, over lines of JSON on its pipes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command};
use std::time::Duration;

use causeway_model::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::load::Load;
use crate::process::{self, Process};
use crate::program::{Program, Running, Timed};
use crate::query::{Answer, Known, Query};
use crate::workload::Signal;
use crate::workload::files::Dataset;
use crate::workload::logs::{ABSENT, NEEDLE, PATTERN, PHRASE, SUBSTRING};

/// An insert is a part when it is acked; merges in the background begin within seconds.
const SETTLE: Duration = Duration::from_secs(15);
const PEER: &str = include_str!("../chdb_peer.py");

/// chdb in the virtual environment of this interpreter.
pub struct Chdb {
    pub python: PathBuf,
}

struct RunningChdb {
    process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Request<'a> {
    Insert { table: &'a str, file: &'a Path },
    Query { sql: &'a str },
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    rows: u64,
    total: Option<u64>,
    error: Option<String>,
}

impl Program for Chdb {
    fn name(&self) -> &str {
        "chdb"
    }

    fn version(&self) -> String {
        let says = "import importlib.metadata as m; print(m.version('chdb'), 'core', m.version('chdb-core'))";
        process::version_line(Command::new(&self.python).arg("-c").arg(says))
    }

    fn takes(&self, signal: Signal) -> bool {
        matches!(signal, Signal::Logs | Signal::Spans)
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    fn start(&self, data: &Path) -> Result<Box<dyn Running>> {
        let start = clock::now();
        let mut command = Command::new(&self.python);
        command.arg("-c").arg(PEER).arg(data);
        let mut process = Process::start(self.name(), &mut command, &data.with_extension("log"), true)?;
        let input = process.child().stdin.take().ok_or_else(|| Error::internal("no pipe"))?;
        let output = process.child().stdout.take().ok_or_else(|| Error::internal("no pipe"))?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        if line.trim() != "ready" {
            return Err(Error::unavailable("chdb did not start; its log lies beside its data"));
        }
        process.wait_ready(start, || true)?;
        Ok(Box::new(RunningChdb { process, input, output }))
    }
}

impl RunningChdb {
    fn exchange(&mut self, request: &Request) -> Result<(Reply, Duration)> {
        let mut line = serde_json::to_string(request).map_err(|error| Error::internal(error.to_string()))?;
        line.push('\n');
        let start = clock::now();
        self.input.write_all(line.as_bytes())?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let time = start.elapsed();
        let reply: Reply =
            serde_json::from_str(&line).map_err(|error| Error::invalid(format!("chdb's reply: {error}")))?;
        match reply.error {
            Some(error) => Err(Error::unavailable(format!("chdb: {}", error.chars().take(300).collect::<String>()))),
            None => Ok((reply, time)),
        }
    }
}

impl Running for RunningChdb {
    fn process(&self) -> &Process {
        &self.process
    }

    fn load(&mut self, dataset: &Dataset, signal: Signal, _connections: usize) -> Result<Load> {
        let file = dataset.columns_path(signal);
        let (reply, time) = self.exchange(&Request::Insert { table: signal.name(), file: &file })?;
        Ok(Load { records: reply.rows, retries: 0, time })
    }

    fn ask(&mut self, query: Query, known: &Known) -> Result<Option<Timed>> {
        let Some(sql) = sql(query, known) else { return Ok(None) };
        let (reply, time) = self.exchange(&Request::Query { sql: &sql })?;
        Ok(Some(Timed { time, answer: Answer { total: reply.total, ..Answer::rows(reply.rows) } }))
    }

    fn into_process(self: Box<Self>) -> Process {
        self.process
    }
}

fn sql(query: Query, known: &Known) -> Option<String> {
    let Known { trace_id, missing_trace_id, service, route, duration_min_ns, missing_user, .. } = known;
    let line = "time, service_name, severity_number, body, hex(trace_id)";
    let span = "time, duration_ns, hex(trace_id), hex(span_id), hex(parent_span_id), name, service_name, status_code";
    Some(match query {
        Query::RareWord => format!("SELECT {line} FROM logs WHERE hasToken(body, '{NEEDLE}')"),
        Query::AbsentWord => format!("SELECT {line} FROM logs WHERE hasToken(body, '{ABSENT}')"),
        Query::PhraseCount => format!("SELECT count() AS n FROM logs WHERE body LIKE '%{PHRASE}%'"),
        Query::RegexCount => format!("SELECT count() AS n FROM logs WHERE match(body, '{PATTERN}')"),
        Query::SubstringCount => format!("SELECT count() AS n FROM logs WHERE body LIKE '%{SUBSTRING}%'"),
        Query::CountByService => "SELECT service_name, count() AS n FROM logs GROUP BY 1".to_owned(),
        Query::ErrorsPerMinute => "SELECT toStartOfMinute(time) AS minute, count() AS n FROM logs \
             WHERE severity_number >= 17 GROUP BY 1 ORDER BY 1"
            .to_owned(),
        Query::P99ByRoute => "SELECT `http.route`, quantileTDigest(0.99)(duration_us) FROM logs GROUP BY 1".to_owned(),
        Query::TopUsers => "SELECT `user.id`, count() AS n FROM logs GROUP BY 1 ORDER BY 2 DESC LIMIT 10".to_owned(),
        Query::DistinctUsers => "SELECT uniqExact(`user.id`) AS n FROM logs".to_owned(),
        Query::LastLines => {
            format!("SELECT {line} FROM logs WHERE service_name = '{service}' ORDER BY time DESC LIMIT 50")
        }
        Query::LogsOfTrace => format!("SELECT {line} FROM logs WHERE trace_id = unhex('{trace_id}') ORDER BY time"),
        Query::MissingValue => format!("SELECT {line} FROM logs WHERE `user.id` = '{missing_user}'"),
        Query::TraceById => format!("SELECT {span} FROM spans WHERE trace_id = unhex('{trace_id}')"),
        Query::MissingTrace => format!("SELECT {span} FROM spans WHERE trace_id = unhex('{missing_trace_id}')"),
        Query::SlowTraces => format!(
            "SELECT {span} FROM spans WHERE trace_id IN (SELECT trace_id FROM spans WHERE service_name = '{service}' \
             AND `http.route` = '{route}' AND duration_ns > {duration_min_ns} AND kind = 2 \
             ORDER BY time DESC LIMIT 20)"
        ),
        Query::P99ByService => {
            "SELECT service_name, quantileTDigest(0.99)(duration_ns) FROM spans GROUP BY 1".to_owned()
        }
        _ => return None,
    })
}
