//! How is Prometheus started, loaded and asked? By remote write: Debian's 2.42 takes no OTLP yet.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use causeway_model::{Error, Result};
use serde_json::Value;

use crate::clock;
use crate::http;
use crate::load::{self, Load};
use crate::process::{self, Process};
use crate::program::{Program, Running, Timed};
use crate::query::{Answer, Known, Query};
use crate::workload::Signal;
use crate::workload::files::Dataset;
use crate::workload::metrics::Kind;

/// It has no flush timer: the log is written at once, and blocks only once two hours are past.
const SETTLE: Duration = Duration::from_secs(5);

/// Four connections may overtake each other by an interval; without this, what comes late is refused.
const CONFIGURATION: &str = "storage: {tsdb: {out_of_order_time_window: 30m}}\n";

/// The program at a path.
pub struct Prometheus {
    pub path: PathBuf,
}

struct RunningPrometheus {
    process: Process,
    host: SocketAddr,
}

impl Program for Prometheus {
    fn name(&self) -> &str {
        "Prometheus"
    }

    fn version(&self) -> String {
        process::version_line(Command::new(&self.path).arg("--version"))
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Metrics
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    fn start(&self, data: &Path) -> Result<Box<dyn Running>> {
        let host = process::free_address()?;
        let configuration = data.with_extension("yml");
        std::fs::write(&configuration, CONFIGURATION)?;
        let mut command = Command::new(&self.path);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={host}"))
            .args(["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=100y"]);
        let start = clock::now();
        let mut process = Process::start(self.name(), &mut command, &data.with_extension("log"), false)?;
        process.wait_ready(start, || {
            http::once(host, "GET", "/-/ready", "", b"").is_ok_and(|response| response.status == 200)
        })?;
        Ok(Box::new(RunningPrometheus { process, host }))
    }
}

impl Running for RunningPrometheus {
    fn process(&self) -> &Process {
        &self.process
    }

    fn load(&mut self, dataset: &Dataset, _signal: Signal, connections: usize) -> Result<Load> {
        load::send(&dataset.remote_write()?, self.host, "/api/v1/write", connections)
    }

    fn ask(&mut self, query: Query, known: &Known) -> Result<Option<Timed>> {
        let Some(words) = promql(query, known) else { return Ok(None) };
        let form = format!("query={}&time={}", http::url_encode(&words), known.end_ns / 1_000_000_000);
        let kind = "application/x-www-form-urlencoded";
        let start = clock::now();
        let response = http::once(self.host, "POST", "/api/v1/query", kind, form.as_bytes())?;
        let time = start.elapsed();
        Ok(Some(Timed { time, answer: read_vector(&response.success()?, query == Query::OneSeries)? }))
    }

    fn into_process(self: Box<Self>) -> Process {
        self.process
    }
}

fn promql(query: Query, known: &Known) -> Option<String> {
    // `end_ns` leaves an hour to spare after the telemetry, hence three hours back.
    Some(match query {
        Query::OneSeries => {
            format!("count_over_time({}{{worker=\"{}\"}}[3h])", Kind::Requests.prometheus_name(), known.worker)
        }
        Query::AverageByService => {
            format!("avg by (job) (avg_over_time({}[3h]))", Kind::Memory.prometheus_name())
        }
        _ => return None,
    })
}

/// An instant vector of the Prometheus API; `counted` sums its values.
pub fn read_vector(body: &[u8], counted: bool) -> Result<Answer> {
    let body: Value = serde_json::from_slice(body).map_err(not_understood)?;
    let result = body.pointer("/data/result").and_then(Value::as_array);
    let result = result.ok_or_else(|| Error::invalid("the answer has no result"))?;
    let values = result.iter().filter_map(|one| one.pointer("/value/1")?.as_str()?.parse::<f64>().ok());
    Ok(Answer { rows: result.len() as u64, total: counted.then(|| values.sum::<f64>() as u64) })
}

/// What came is no JSON of the expected kind.
pub fn not_understood(error: serde_json::Error) -> Error {
    Error::invalid(format!("the answer is not understood: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn vectors_are_counted() {
        let body = br#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"24"]}]}}"#;
        assert_eq!(read_vector(body, true).unwrap(), Answer::count(24));
        assert_eq!(read_vector(body, false).unwrap(), Answer::rows(1));
        assert!(read_vector(b"{}", true).is_err());
    }
}
