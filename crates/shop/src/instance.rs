//! How is one process of the shop started, told and ended? A child whose standard input is its lifeline: whatever ends us, closes it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::Problem;
use crate::wire::{Order, Ready, Role, Start};

/// A start that takes longer has failed; with its rows written anew it takes a second.
const READY_MAX: Duration = Duration::from_secs(60);
/// Time to finish what runs and to send the last telemetry; then it is killed.
const END_MAX: Duration = Duration::from_secs(20);

/// A running process of the shop; dies with this value.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) role: Role,
    pub(crate) version: String,
    pub(crate) region: Option<String>,
    pub(crate) url: String,
    pub(crate) process_id: u32,
    child: Child,
    orders: ChildStdin,
}

impl Instance {
    /// Starts `program service NAME` and waits until it listens. When it ends by itself, `ended` is told its process id.
    pub(crate) async fn start(
        program: &(PathBuf, Vec<String>),
        name: &str,
        start: &Start,
        ended: mpsc::Sender<u32>,
    ) -> Result<Self, Problem> {
        // A group of its own: Ctrl-C is for the conductor, who then ends all in order.
        let mut child = Command::new(&program.0)
            .args(&program.1)
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(mut orders), Some(said)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        orders.write_all(format!("{}\n", serde_json::to_string(start)?).as_bytes()).await?;
        let mut said = BufReader::new(said).lines();
        let line = timeout(READY_MAX, said.next_line()).await.map_err(|_| format!("{name} does not start"))??;
        let ready = line.and_then(|line| serde_json::from_str::<Ready>(&line).ok());
        let Ready { port } = ready.ok_or_else(|| format!("{name} ended while it started"))?;
        let process_id = child.id().ok_or_else(|| format!("{name} ended as soon as it listened"))?;
        tokio::spawn(async move {
            while let Ok(Some(_)) = said.next_line().await {}
            // Nobody listens any more where all is ending.
            let _told = ended.try_send(process_id);
        });
        let Start { role, version, region, .. } = start.clone();
        Ok(Self { role, version, region, url: format!("http://127.0.0.1:{port}"), process_id, child, orders })
    }

    /// Tells it something.
    pub(crate) async fn order(&mut self, order: &Order) -> Result<(), Problem> {
        Ok(self.orders.write_all(format!("{}\n", serde_json::to_string(order)?).as_bytes()).await?)
    }

    /// Lets it finish; then it is gone.
    pub(crate) async fn end(mut self) {
        drop(self.orders);
        if timeout(END_MAX, self.child.wait()).await.is_err() {
            let _gone_already = self.child.kill().await;
        }
    }
}
