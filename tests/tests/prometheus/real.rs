//! How is a real Prometheus had? Of Debian's package, unpacked and not installed, on a port of its own, ended by process id.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use tokio::process::{Child, Command};

use super::{Api, until};
use crate::senders::prepared;

/// A program of the package; `None` where it can't be had, which is told.
pub fn program(name: &str) -> Option<PathBuf> {
    static UNPACKED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match UNPACKED.get_or_init(|| prepared("prometheus")) {
        Ok(folder) => Some(folder.join("usr/bin").join(name)),
        Err(said) => {
            crate::senders::skipped("prometheus", said);
            None
        }
    }
}

/// A Prometheus that runs; it ends with this value.
pub struct Prometheus {
    /// What it answers.
    pub api: Api,
    _child: Child,
}

impl Prometheus {
    /// Starts it with its files in `folder`, and waits until it is ready.
    pub async fn start(program: &Path, configuration: &str, folder: &Path) -> Self {
        let (file, log) = (folder.join("prometheus.yml"), folder.join("prometheus.stderr"));
        std::fs::write(&file, configuration).unwrap();
        // It can't choose one itself. Nobody else is given this one so soon after.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.arg("--config.file").arg(&file).arg("--storage.tsdb.path").arg(folder.join("tsdb"));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(["--log.level=warn"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let api = Api::of(format!("http://127.0.0.1:{port}"));
        until("Prometheus is ready", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("Prometheus ended with {status}: {}", std::fs::read_to_string(&log).unwrap());
            }
            let asked = api.client.get(format!("{}/-/ready", api.base)).send().await;
            asked.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        Self { api, _child: child }
    }
}
