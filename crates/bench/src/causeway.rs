//! How is Causeway started, loaded and asked? Over its public doors: OTLP/HTTP and remote write in, SQL and PromQL over HTTP out.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use causeway_model::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::clock;
use crate::http;
use crate::languages;
use crate::load::{self, Door, Load};
use crate::process::Process;
use crate::program::{Program, Running, Timed};
use crate::promql::Api;
use crate::query::{Answer, Known, Query};
use crate::workload::Signal;
use crate::workload::files::Dataset;
use crate::workload::logs::{ABSENT, NEEDLE, PATTERN, PHRASE, SUBSTRING};

/// Its memory is flushed once it is 60 s old.
const SETTLE: Duration = Duration::from_secs(75);

const PROMETHEUS_PATH: &str = "/prometheus/api/v1";
const REMOTE_WRITE_PATH: &str = "/prometheus/api/v1/write";

/// The program at a path.
pub struct Causeway {
    pub path: PathBuf,
    /// Whether it is asked about logs and traces in LogQL and TraceQL instead of SQL.
    pub in_languages: bool,
}

/// The line that `--print-addresses` prints.
#[derive(Deserialize)]
struct Addresses {
    listen: SocketAddr,
    otlp_http: SocketAddr,
}

/// The program while it runs.
pub struct RunningCauseway {
    process: Process,
    addresses: Addresses,
    in_languages: bool,
}

impl RunningCauseway {
    /// Where it takes OTLP over HTTP.
    pub fn otlp_http(&self) -> SocketAddr {
        self.addresses.otlp_http
    }

    /// Posts JSON to its own door.
    pub fn post(&self, path: &str, body: &str) -> Result<Vec<u8>> {
        http::once(self.addresses.listen, "POST", path, "application/json", body.as_bytes())?.success()
    }
}

impl Causeway {
    /// Starts it on a data directory and waits until it is ready.
    pub fn start_on(&self, data: &Path) -> Result<RunningCauseway> {
        let mut command = Command::new(&self.path);
        command.arg("serve").arg("--data").arg(data).arg("--print-addresses");
        for door in ["--listen", "--otlp-grpc", "--otlp-http"] {
            command.arg(door).arg("127.0.0.1:0");
        }
        // Its own telemetry would be counted among the rows sent; the peers keep none of theirs.
        command.args(["--self-telemetry", "false"]);
        let start = clock::now();
        let mut process = Process::start(self.name(), &mut command, &data.with_extension("log"), true)?;
        let output = process.child().stdout.take().ok_or_else(|| Error::internal("no pipe"))?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let addresses: Addresses = serde_json::from_str(&line)
            .map_err(|error| Error::invalid(format!("the addresses are not understood: {error}")))?;
        // What it may print later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        process.wait_ready(start, || {
            http::once(addresses.listen, "GET", "/readyz", "", b"").is_ok_and(|response| response.status == 200)
        })?;
        Ok(RunningCauseway { process, addresses, in_languages: self.in_languages })
    }
}

impl Program for Causeway {
    fn name(&self) -> &str {
        if self.in_languages { "Causeway, in LogQL and TraceQL" } else { "Causeway" }
    }

    fn version(&self) -> String {
        super::process::version_line(Command::new(&self.path).arg("--version"))
    }

    fn takes(&self, signal: Signal) -> bool {
        !self.in_languages || matches!(signal, Signal::Logs | Signal::Spans)
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    fn start(&self, data: &Path) -> Result<Box<dyn Running>> {
        Ok(Box::new(self.start_on(data)?))
    }
}

impl Running for RunningCauseway {
    fn process(&self) -> &Process {
        &self.process
    }

    fn load(&mut self, dataset: &Dataset, signal: Signal, connections: usize) -> Result<Load> {
        let Addresses { listen, otlp_http } = self.addresses;
        let door = match signal {
            Signal::Metrics => Door { host: listen, path: REMOTE_WRITE_PATH, signal },
            _ => Door { host: otlp_http, path: signal.otlp_path(), signal },
        };
        load::send(dataset, door, connections)
    }

    fn ask(&mut self, query: Query, known: &Known) -> Result<Option<Timed>> {
        if self.in_languages {
            return languages::ask(self.addresses.listen, query, known);
        }
        let Some(sql) = sql(query, known) else {
            let api = Api { host: self.addresses.listen, path: PROMETHEUS_PATH, parameter: "" };
            return api.ask(query, known);
        };
        let body = serde_json::json!({ "query": sql }).to_string();
        let start = clock::now();
        let answer = self.post("/api/v1/sql", &body)?;
        let time = start.elapsed();
        let answer = read_answer(&answer)?;
        Ok(Some(Timed { time, answer }))
    }

    fn into_process(self: Box<Self>) -> Process {
        self.process
    }
}

fn sql(query: Query, known: &Known) -> Option<String> {
    let Known { trace_id, missing_trace_id, service, route, duration_min_ns, missing_user, .. } = known;
    let line = "time, service_name, severity_number, body, trace_id";
    let span = "time, duration_ns, trace_id, span_id, parent_span_id, name, service_name, status_code";
    Some(match query {
        Query::RareWord => format!("SELECT {line} FROM logs WHERE has_token(body, '{NEEDLE}')"),
        Query::AbsentWord => format!("SELECT {line} FROM logs WHERE has_token(body, '{ABSENT}')"),
        Query::PhraseCount => format!("SELECT count(*) AS n FROM logs WHERE body LIKE '%{PHRASE}%'"),
        Query::RegexCount => format!("SELECT count(*) AS n FROM logs WHERE body ~ '{PATTERN}'"),
        Query::SubstringCount => format!("SELECT count(*) AS n FROM logs WHERE body LIKE '%{SUBSTRING}%'"),
        Query::CountByService => "SELECT service_name, count(*) AS n FROM logs GROUP BY service_name".to_owned(),
        Query::ErrorsPerMinute => "SELECT date_trunc('minute', time) AS minute, count(*) AS n FROM logs \
             WHERE severity_number >= 17 GROUP BY 1 ORDER BY 1"
            .to_owned(),
        Query::P99ByRoute => "SELECT attr('http.route') AS route, \
             approx_percentile_cont(attr_int('duration_us'), 0.99) AS p99 FROM logs GROUP BY 1"
            .to_owned(),
        Query::TopUsers => {
            "SELECT attr('user.id') AS user_id, count(*) AS n FROM logs GROUP BY 1 ORDER BY 2 DESC LIMIT 10".to_owned()
        }
        Query::DistinctUsers => "SELECT count(DISTINCT attr('user.id')) AS n FROM logs".to_owned(),
        Query::LastLines => {
            format!("SELECT {line} FROM logs WHERE service_name = '{service}' ORDER BY time DESC LIMIT 50")
        }
        Query::LogsOfTrace => format!("SELECT {line} FROM logs WHERE trace_id = '{trace_id}' ORDER BY time"),
        Query::MissingValue => format!("SELECT {line} FROM logs WHERE attr('user.id') = '{missing_user}'"),
        Query::TraceById => format!("SELECT {span} FROM spans WHERE trace_id = '{trace_id}'"),
        Query::MissingTrace => format!("SELECT {span} FROM spans WHERE trace_id = '{missing_trace_id}'"),
        Query::SlowTraces => format!(
            "SELECT {span} FROM spans WHERE trace_id IN (SELECT trace_id FROM spans WHERE service_name = '{service}' \
             AND attr('http.route') = '{route}' AND duration_ns > {duration_min_ns} AND kind = 2 \
             ORDER BY time DESC LIMIT 20)"
        ),
        Query::P99ByService => {
            "SELECT service_name, approx_percentile_cont(duration_ns, 0.99) AS p99 FROM spans GROUP BY 1".to_owned()
        }
        _ => return None,
    })
}

/// `{"columns": [{"name"}], "rows": [[…]]}`.
fn read_answer(body: &[u8]) -> Result<Answer> {
    #[derive(Deserialize)]
    struct Column {
        name: String,
    }
    #[derive(Deserialize)]
    struct Table {
        columns: Vec<Column>,
        rows: Vec<Vec<Value>>,
    }
    let table: Table = serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("the answer is not understood: {error}")))?;
    let counted = table.columns.iter().position(|column| column.name == "n");
    let total = counted.map(|at| table.rows.iter().filter_map(|row| row.get(at)?.as_u64()).sum());
    Ok(Answer { total, ..Answer::rows(table.rows.len() as u64) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn counts_are_summed_and_rows_counted() {
        let body = br#"{"columns":[{"name":"a","type":"Utf8"},{"name":"n","type":"Int64"}],"rows":[["x",3],["y",4]],"stats":{}}"#;
        assert_eq!(read_answer(body).unwrap(), Answer { rows: 2, total: Some(7), values: None });
        let body = br#"{"columns":[{"name":"a","type":"Utf8"}],"rows":[]}"#;
        assert_eq!(read_answer(body).unwrap(), Answer::rows(0));
        assert!(read_answer(b"{}").is_err());
    }
}
