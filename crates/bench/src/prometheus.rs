//! How is Prometheus started, loaded and asked? By remote write: Debian's 2.42 takes no OTLP yet, and its own API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use causeway_model::Result;

use crate::clock;
use crate::http;
use crate::load::{self, Door, Load};
use crate::process::{self, Process};
use crate::program::{Program, Running, Timed};
use crate::promql::Api;
use crate::query::{Known, Query};
use crate::workload::Signal;
use crate::workload::files::Dataset;

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

    /// PromQL is what it answers.
    fn defines(&self, signal: Signal) -> bool {
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

    fn load(&mut self, dataset: &Dataset, signal: Signal, connections: usize) -> Result<Load> {
        load::send(dataset, Door { host: self.host, path: "/api/v1/write", signal }, connections)
    }

    fn ask(&mut self, query: Query, known: &Known) -> Result<Option<Timed>> {
        Api { host: self.host, path: "/api/v1", parameter: "" }.ask(query, known)
    }

    fn into_process(self: Box<Self>) -> Process {
        self.process
    }
}
