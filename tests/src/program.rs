//! How is the real program started, asked and ended? By its process id alone, on ports that it chooses itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// A start that takes longer than this has hung: replay of what these tests write takes well under a second.
const READY_MAX: Duration = Duration::from_secs(60);

/// A question that takes longer has hung; the server's own limit of 30 s comes first.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The product word of our requests, by which the ledger knows them.
pub const USER_AGENT: &str = "causeway-tests/1";

/// A client that keeps connections; the ledger knows it.
pub fn client() -> Client {
    causeway_kit::http_client("http:").user_agent(USER_AGENT).no_proxy().build().unwrap()
}

/// The binary that cargo put beside the tests' own folder.
pub fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.ancestors().nth(2).unwrap().join("causeway");
    assert!(binary.is_file(), "{} is missing: `make test` builds it first", binary.display());
    binary
}

/// The program on its way up; it dies with this value.
#[derive(Debug)]
pub struct Starting {
    child: Child,
    stdout: ChildStdout,
    errors: PathBuf,
}

impl Starting {
    /// Starts `causeway serve` on a data directory; what it logs goes to a file beside it. `settings` are environment variables.
    pub fn spawn(data: &Path, settings: &[(&str, &str)]) -> Self {
        let errors = data.with_extension("stderr");
        let log = std::fs::File::options().create(true).append(true).open(&errors).unwrap();
        let mut child = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"])
            .args(["--print-addresses", "--data"])
            .arg(data)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        Self { child, stdout, errors }
    }

    /// Waits until it says where it listens.
    pub async fn ready(self) -> Program {
        let Self { child, stdout, errors } = self;
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        timeout(READY_MAX, stdout.read_line(&mut line)).await.expect("it says where it listens").unwrap();
        let Ok(addresses) = serde_json::from_str::<Value>(&line) else {
            panic!("no addresses but {line:?}; it said:\n{}", tail(&errors));
        };
        let address = |name: &str| -> SocketAddr { addresses[name].as_str().unwrap().parse().unwrap() };
        Program {
            listen: address("listen"),
            otlp_grpc: address("otlp_grpc"),
            otlp_http: address("otlp_http"),
            addresses: addresses.clone(),
            client: client(),
            child,
            _stdout: stdout,
            errors,
        }
    }

    /// Lets it run for at most `moment`, then kills it (SIGKILL) and waits until it is gone.
    pub async fn kill_after(mut self, moment: Duration) {
        end_after(&mut self.child, moment, &self.errors).await;
    }
}

/// The program, ready; it dies with this value.
#[derive(Debug)]
pub struct Program {
    /// Where all HTTP APIs are.
    pub listen: SocketAddr,
    /// Where OTLP/gRPC is.
    pub otlp_grpc: SocketAddr,
    /// Where OTLP/HTTP is.
    pub otlp_http: SocketAddr,
    /// A client that keeps connections.
    pub client: Client,
    addresses: Value,
    child: Child,
    _stdout: BufReader<ChildStdout>,
    errors: PathBuf,
}

impl Program {
    /// Starts it and waits until it is ready.
    pub async fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        Starting::spawn(data, settings).ready().await
    }

    /// An address by the name of its setting, such as `syslog_tcp`.
    pub fn address(&self, name: &str) -> SocketAddr {
        let address = self.addresses[name].as_str();
        address.unwrap_or_else(|| panic!("it does not listen for {name}")).parse().unwrap()
    }

    /// Lets it run for `moment`, then kills it (SIGKILL) and waits until it is gone.
    pub async fn kill_after(mut self, moment: Duration) {
        end_after(&mut self.child, moment, &self.errors).await;
    }

    /// Tells it to stop (SIGTERM) and waits until it has.
    pub async fn end(mut self) {
        let id = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        let status = timeout(READY_MAX, self.child.wait()).await.expect("it stops").unwrap();
        assert!(status.success(), "{status}; it said:\n{}", self.said());
    }

    /// Calls an API of our own with a JSON body; status and answer.
    pub async fn call(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("http://{}{path}", self.listen)).json(body);
        let answer = request.timeout(ANSWER_MAX).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Runs a command against it, such as `change list`; what it printed. Fails the test when the command fails.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary());
        command.args(arguments).env("CAUSEWAY_URL", format!("http://{}", self.listen));
        let output = timeout(ANSWER_MAX, command.kill_on_drop(true).output()).await.expect("it ends").unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends an export request of logs as protobuf.
    pub async fn send_logs(&self, body: Vec<u8>) -> reqwest::Result<Response> {
        send_logs(&self.client, self.otlp_http, body).await
    }

    /// Asks in SQL; the rows as objects. Fails the test when there is no answer.
    pub async fn sql(&self, query: &str) -> Vec<Map<String, Value>> {
        let url = format!("http://{}/api/v1/sql", self.listen);
        let asked = self.client.post(url).json(&json!({ "query": query })).timeout(ANSWER_MAX).send().await.unwrap();
        let status = asked.status();
        let answer: Value = asked.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{query}: {answer}");
        assert!(answer.get("error").is_none(), "{query}: {answer}");
        let names: Vec<&str> =
            answer["columns"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
        let object = |row: &Value| {
            let values = row.as_array().unwrap().iter().cloned();
            names.iter().map(|name| (*name).to_owned()).zip(values).collect()
        };
        answer["rows"].as_array().unwrap().iter().map(object).collect()
    }

    /// The one integer that a query answers with; a sum of nothing is 0.
    pub async fn number(&self, query: &str) -> i64 {
        let rows = self.sql(query).await;
        let value = rows.first().and_then(|row| row.values().next()).unwrap_or(&Value::Null);
        if value.is_null() { 0 } else { value.as_i64().unwrap_or_else(|| panic!("{query}: {value} is no integer")) }
    }

    /// The most memory that it ever held (`VmHWM` of /proc/PID/status), in bytes.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The end of what it logged.
    pub fn said(&self) -> String {
        tail(&self.errors)
    }
}

/// Sends an export request of logs as protobuf.
pub async fn send_logs(client: &Client, otlp_http: SocketAddr, body: Vec<u8>) -> reqwest::Result<Response> {
    let request = client.post(format!("http://{otlp_http}/v1/logs")).header("content-type", "application/x-protobuf");
    request.body(body).timeout(ANSWER_MAX).send().await
}

async fn end_after(child: &mut Child, moment: Duration, errors: &Path) {
    let ended: Result<std::io::Result<ExitStatus>, _> = timeout(moment, child.wait()).await;
    assert!(ended.is_err(), "it ended by itself with {ended:?}; it said:\n{}", tail(errors));
    child.start_kill().unwrap();
    child.wait().await.unwrap();
}

fn tail(errors: &Path) -> String {
    let said = std::fs::read(errors).unwrap_or_default();
    String::from_utf8_lossy(&said[said.len().saturating_sub(4096)..]).into_owned()
}
