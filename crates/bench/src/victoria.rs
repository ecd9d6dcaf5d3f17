//! How are VictoriaLogs and VictoriaMetrics started, loaded and asked?

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use causeway_model::{Error, Result};
use serde_json::Value;

use crate::clock;
use crate::http;
use crate::load::{self, Door, Load};
use crate::process::{self, Process};
use crate::program::{Program, Running, Timed};
use crate::promql::Api;
use crate::query::{Answer, Compared, Known, Query};
use crate::workload::Signal;
use crate::workload::files::Dataset;
use crate::workload::logs::{ABSENT, NEEDLE, PATTERN, PHRASE, SUBSTRING};

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
            Family::Metrics => matches!(signal, Signal::Metrics | Signal::OtlpMetrics),
        }
    }

    /// Its rates look at the last sample before the window and are not extrapolated to the window's ends.
    fn compared(&self, query: Query) -> Compared {
        match query {
            Query::RateByJob | Query::HistogramQuantile | Query::TopRates | Query::Ratio => Compared::Rows,
            _ => Compared::Whole,
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
        let path = match signal {
            Signal::Metrics => "/api/v1/write",
            Signal::OtlpMetrics => "/opentelemetry/v1/metrics",
            Signal::Logs | Signal::Spans => "/insert/opentelemetry/v1/logs",
        };
        load::send(dataset, Door { host: self.host, path, signal }, connections)
    }

    fn ask(&mut self, query: Query, known: &Known) -> Result<Option<Timed>> {
        if self.family == Family::Metrics {
            // Its cache of results would answer the repeated question without looking at a sample.
            return Api { host: self.host, path: "/api/v1", parameter: "&nocache=1" }.ask(query, known);
        }
        let Some(words) = logsql(query, known) else { return Ok(None) };
        let limit = if query == Query::LastLines { 50 } else { LINES_MAX };
        let form = format!("query={}&limit={limit}", http::url_encode(&words));
        let kind = "application/x-www-form-urlencoded";
        let start = clock::now();
        let response = http::once(self.host, "POST", "/select/logsql/query", kind, form.as_bytes())?;
        let time = start.elapsed();
        Ok(Some(Timed { time, answer: read_lines(&response.success()?)? }))
    }

    fn merge(&mut self) -> Result<bool> {
        if self.family == Family::Logs {
            return Ok(false);
        }
        http::once(self.host, "GET", "/internal/force_merge", "text/plain", b"")?.success()?;
        Ok(true)
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

/// One JSON object a line; numbers come as text.
fn read_lines(body: &[u8]) -> Result<Answer> {
    let mut answer = Answer::rows(0);
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let row: Value = serde_json::from_slice(line)
            .map_err(|error| Error::invalid(format!("the answer is not understood: {error}")))?;
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
        assert_eq!(read_lines(body).unwrap(), Answer { rows: 2, total: Some(7), values: None });
        assert!(read_lines(b"oops\n").is_err());
    }
}
