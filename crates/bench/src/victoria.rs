//! How are VictoriaLogs and VictoriaMetrics started, loaded and asked?

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use causeway_model::Result;
use serde_json::Value;

use crate::clock;
use crate::http;
use crate::load::{self, Load};
use crate::process::{self, Process};
use crate::program::{Program, Running, Timed};
use crate::prometheus::{not_understood, read_vector};
use crate::query::{Answer, Known, Query};
use crate::workload::Signal;
use crate::workload::files::Dataset;
use crate::workload::logs::{ABSENT, NEEDLE, PATTERN, PHRASE, SUBSTRING};
use crate::workload::metrics::Kind;

/// No question of ours asks for more lines.
const LINES_MAX: u64 = 1_000;

/// Both flush their memory every 5 s.
const SETTLE: Duration = Duration::from_secs(15);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Logs,
    Metrics,
}

/// The program at a path.
pub struct Victoria {
    pub family: Family,
    pub path: PathBuf,
    /// What was installed, where the program itself does not say.
    pub version: String,
}

struct RunningVictoria {
    family: Family,
    process: Process,
    host: SocketAddr,
}

impl Program for Victoria {
    fn name(&self) -> &str {
        match self.family {
            Family::Logs => "VictoriaLogs",
            Family::Metrics => "VictoriaMetrics",
        }
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn takes(&self, signal: Signal) -> bool {
        match self.family {
            Family::Logs => signal == Signal::Logs,
            Family::Metrics => signal == Signal::Metrics,
        }
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    fn start(&self, data: &Path) -> Result<Box<dyn Running>> {
        let host = process::free_address()?;
        let mut command = Command::new(&self.path);
        // The workload's dates are fixed; neither their age nor their future may cost records.
        command
            .arg(format!("-storageDataPath={}", data.display()))
            .arg(format!("-httpListenAddr={host}"))
            .arg("-retentionPeriod=100y");
        if self.family == Family::Logs {
            command.arg("-futureRetention=100y");
        }
        let start = clock::now();
        let mut process = Process::start(self.name(), &mut command, &data.with_extension("log"), false)?;
        process.wait_ready(start, || {
            http::once(host, "GET", "/health", "", b"").is_ok_and(|response| response.status == 200)
        })?;
        Ok(Box::new(RunningVictoria { family: self.family, process, host }))
    }
}

impl Running for RunningVictoria {
    fn process(&self) -> &Process {
        &self.process
    }

    fn load(&mut self, dataset: &Dataset, signal: Signal, connections: usize) -> Result<Load> {
        let path = match self.family {
            Family::Logs => "/insert/opentelemetry/v1/logs",
            Family::Metrics => "/opentelemetry/v1/metrics",
        };
        load::send(&dataset.path(signal), self.host, path, connections)
    }

    fn ask(&mut self, query: Query, known: &Known) -> Result<Option<Timed>> {
        let words = match self.family {
            Family::Logs => logsql(query, known),
            Family::Metrics => metricsql(query, known),
        };
        let Some(words) = words else { return Ok(None) };
        let (path, form) = match self.family {
            Family::Logs => {
                let limit = if query == Query::LastLines { 50 } else { LINES_MAX };
                ("/select/logsql/query", format!("query={}&limit={limit}", http::url_encode(&words)))
            }
            Family::Metrics => {
                let time_s = known.end_ns / 1_000_000_000;
                // Its cache of results would answer the repeated question without looking at a sample.
                ("/api/v1/query", format!("query={}&time={time_s}&nocache=1", http::url_encode(&words)))
            }
        };
        let start = clock::now();
        let response = http::once(self.host, "POST", path, "application/x-www-form-urlencoded", form.as_bytes())?;
        let time = start.elapsed();
        let body = response.success()?;
        let answer = match self.family {
            Family::Logs => read_lines(&body)?,
            Family::Metrics => read_vector(&body, query == Query::OneSeries)?,
        };
        Ok(Some(Timed { time, answer }))
    }

    fn into_process(self: Box<Self>) -> Process {
        self.process
    }
}

fn logsql(query: Query, known: &Known) -> Option<String> {
    Some(match query {
        Query::RareWord => format!("\"{NEEDLE}\""),
        Query::AbsentWord => format!("\"{ABSENT}\""),
        Query::PhraseCount => format!("\"{PHRASE}\" | stats count() n"),
        Query::RegexCount => format!("_msg:~\"{PATTERN}\" | stats count() n"),
        Query::SubstringCount => format!("_msg:~\"{SUBSTRING}\" | stats count() n"),
        Query::CountByService => "* | stats by (\"service.name\") count() n".to_owned(),
        Query::ErrorsPerMinute => "severity_number:>16 | stats by (_time:1m) count() n".to_owned(),
        Query::P99ByRoute => "* | stats by (\"http.route\") quantile(0.99, duration_us) p99".to_owned(),
        Query::TopUsers => "* | stats by (\"user.id\") count() n | sort by (n desc) limit 10".to_owned(),
        Query::DistinctUsers => "* | stats count_uniq(\"user.id\") n".to_owned(),
        Query::LastLines => format!("{{\"service.name\"=\"{}\"}}", known.service),
        Query::LogsOfTrace => format!("trace_id:=\"{}\"", known.trace_id),
        Query::MissingValue => format!("\"user.id\":=\"{}\"", known.missing_user),
        _ => return None,
    })
}

fn metricsql(query: Query, known: &Known) -> Option<String> {
    // `end_ns` leaves an hour to spare after the telemetry, hence three hours back.
    Some(match query {
        Query::OneSeries => {
            format!("count_over_time({{__name__=\"{}\",worker=\"{}\"}}[3h])", Kind::Requests.name(), known.worker)
        }
        Query::AverageByService => {
            format!("avg by (\"service.name\") (avg_over_time({{__name__=\"{}\"}}[3h]))", Kind::Memory.name())
        }
        _ => return None,
    })
}

/// One JSON object a line; numbers come as text.
fn read_lines(body: &[u8]) -> Result<Answer> {
    let mut answer = Answer::rows(0);
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let row: Value = serde_json::from_slice(line).map_err(not_understood)?;
        answer.rows += 1;
        if let Some(number) = row.get("n").and_then(Value::as_str).and_then(|number| number.parse::<u64>().ok()) {
            answer.total = Some(answer.total.unwrap_or_default() + number);
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_counted_and_their_numbers_summed() {
        assert_eq!(read_lines(b"").unwrap(), Answer::rows(0));
        let body = b"{\"a\":\"x\",\"n\":\"3\"}\n{\"a\":\"y\",\"n\":\"4\"}\n";
        assert_eq!(read_lines(body).unwrap(), Answer { rows: 2, total: Some(7) });
        assert!(read_lines(b"oops\n").is_err());
    }
}
