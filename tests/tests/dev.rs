//! Does `causeway dev` tell what a change did? Real programs under their real instrumentation, run twice with a change between.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use causeway_tests::{Program, binary};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::senders::{laid_out, present};

/// A program that does not start, answer or end in this time has hung.
const MOMENT_MAX: Duration = Duration::from_secs(120);

/// Where no store can be: the command starts one of its own.
const NOWHERE: &str = "http://127.0.0.1:0";

/// `causeway dev` at work; it dies with this value.
struct Session {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<String>,
}

/// How it ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Session {
    fn start(folder: &Path, options: &[&str], command: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary())
            .arg("dev")
            .args(options)
            .arg("--")
            .args(command)
            .current_dir(folder)
            .env("NO_PROXY", "127.0.0.1")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut errors = child.stderr.take().unwrap();
        let stderr = tokio::spawn(async move {
            let mut said = Vec::new();
            errors.read_to_end(&mut said).await.unwrap();
            String::from_utf8(said).unwrap()
        });
        Self { child, stdout, stderr }
    }

    /// The next line that the program itself prints.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(MOMENT_MAX, self.stdout.read_line(&mut line)).await.expect("a line").unwrap();
        line.trim_end().to_owned()
    }

    /// Sends a signal to `causeway` alone, as no terminal is there to send it to the program too.
    fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }

    async fn end(mut self) -> Ended {
        let mut stdout = String::new();
        let read = tokio::time::timeout(MOMENT_MAX, self.stdout.read_to_string(&mut stdout)).await;
        read.expect("the program ends").unwrap();
        let status = tokio::time::timeout(MOMENT_MAX, self.child.wait()).await.expect("it ends").unwrap();
        Ended { code: status.code(), stdout, stderr: self.stderr.await.unwrap() }
    }
}

/// Runs a program, makes these requests one after the other, and ends it by Ctrl-C.
async fn requested(mut session: Session, paths: &[String]) -> Ended {
    let line = session.line().await;
    let Some(port) = line.strip_prefix("listening ") else {
        panic!("the program says {line:?}; {}", session.end().await.stderr);
    };
    let client = causeway_tests::client();
    for path in paths {
        client.get(format!("http://127.0.0.1:{port}{path}")).timeout(MOMENT_MAX).send().await.unwrap();
    }
    // Neither program waits for a connection that nobody uses.
    drop(client);
    session.signal(Signal::INT);
    session.end().await
}

fn assert_said(said: &str, expected: &[&str]) {
    for words in expected {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
}

fn repeated(count: usize, path: impl Fn(usize) -> String) -> Vec<String> {
    (1..=count).map(path).collect()
}

#[tokio::test]
async fn a_node_service_and_what_its_change_did() {
    if !present("node", "dev-node") || !present("npm", "dev-node") {
        return;
    }
    let folder = laid_out("dev-node");
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let options = ["--url", NOWHERE, "--data", data.to_str().unwrap(), "--service", "shop"];
    let app = ["node", "app.cjs"];
    let mut paths = repeated(20, |number| format!("/orders/{number}?verbose=1"));
    paths.extend(repeated(15, |_| "/report".to_owned()));
    paths.push("/legacy".to_owned());

    let first = requested(Session::start(&folder, &options, &app, &[]), &paths).await;
    assert_eq!(first.code, Some(7), "{}", first.stderr);
    assert_said(
        &first.stderr,
        &[
            "exit code 7",
            "36 spans and 20 log records arrived",
            "first run: nothing to compare with",
            " 0 dropped",
            "INFO  shop  order 3 was read",
            "TRACE shop  GET /orders/3  200",
            "/traces/",
        ],
    );
    // Its own words come through as it wrote them.
    assert_said(&first.stdout, &["\"msg\":\"order 20 was read\"}\n"]);

    paths.pop();
    let second = requested(Session::start(&folder, &options, &app, &[("NEXT", "1")]), &paths).await;
    assert_eq!(second.code, Some(7), "{}", second.stderr);
    assert_said(
        &second.stderr,
        &[
            "new error      shop: order * has no address (4 times)  http://",
            "new status     shop: GET /orders/* answered 500 in 4 of 20 requests, in none of 20 before",
            "slower         shop: GET /report took ",
            "gone           shop: GET /legacy (once)",
            "ERROR shop  order 10 has no address",
            "TRACE shop  GET /orders/10  500",
        ],
    );
    assert!(!second.stderr.contains("new message"), "the same message of another order is not new: {}", second.stderr);

    let store = Program::start(&data, &[("CAUSEWAY_SELF_TELEMETRY", "false")]).await;
    let run = "resource('causeway.dev.run')";
    assert_eq!(store.number(&format!("SELECT count(DISTINCT {run}) FROM logs")).await, 2);
    let inside = "SELECT count(*) FROM logs l JOIN spans s ON l.trace_id = s.trace_id AND l.span_id = s.span_id \
                  WHERE l.service_name = 'shop'";
    assert_eq!(store.number(inside).await, 40, "each record stands in its request");
}

/// The Python of the app's own environment, and its programs.
fn python(folder: &Path, program: &str) -> PathBuf {
    folder.join("venv/bin").join(program)
}

#[tokio::test]
async fn a_python_service_and_what_its_change_did_in_a_store_that_runs() {
    if !present("python3", "dev-python") {
        return;
    }
    let folder = laid_out("dev-python");
    let place = tempfile::tempdir().unwrap();
    let store = Program::start(&place.path().join("data"), &[("CAUSEWAY_SELF_TELEMETRY", "false")]).await;
    let url = format!("http://{}", store.listen);
    let options = ["--url", &url, "--explain"];
    let words =
        [python(&folder, "opentelemetry-instrument"), python(&folder, "python")].map(|it| it.display().to_string());
    let app = [words[0].as_str(), words[1].as_str(), "app.py"];
    let given = [("OTEL_SERVICE_NAME", "orders"), ("OTEL_RESOURCE_ATTRIBUTES", "team=blue")];
    let paths = repeated(20, |number| format!("/orders/{number}"));

    let first = requested(Session::start(&folder, &options, &app, &given), &paths).await;
    assert_eq!(first.code, Some(7), "{}", first.stderr);
    assert_said(
        &first.stderr,
        &["first run", "INFO  orders  order 3 was read", "TRACE orders  GET /orders/<int:number>  200"],
    );

    let next = [given[0], given[1], ("NEXT", "1")];
    let second = requested(Session::start(&folder, &options, &app, &next), &paths).await;
    assert_eq!(second.code, Some(7), "{}", second.stderr);
    assert_said(
        &second.stderr,
        &[
            "new error      orders: GET /orders/<int:number> failed: ValueError: order * has no address (4 times)",
            "new error      orders: Exception on /orders/* [GET] (4 times)",
            "new status     orders: GET /orders/<int:number> answered 500 in 4 of 20 requests, in none of 20 before",
            "repeated       orders: SELECT item up to 12 times below one span",
            "failed at orders: GET /orders/<int:number>: ValueError: order 10 has no address",
            " 0 dropped",
        ],
    );
    for not in ["  gone ", "  new message "] {
        assert!(!second.stderr.contains(not), "{}", second.stderr);
    }

    // What `--explain` printed is what was asked: it can be asked again.
    let questions = second.stderr.split("\nSELECT ").skip(1).map(|rest| rest.split(";\n").next().unwrap());
    let mut asked = 0;
    for question in questions {
        store.sql(&format!("SELECT {question}")).await;
        asked += 1;
    }
    assert_eq!(asked, 6, "{}", second.stderr);
    let inside = "SELECT count(*) FROM logs l JOIN spans s ON l.trace_id = s.trace_id AND l.span_id = s.span_id \
                  WHERE l.body LIKE 'order % was read' AND resource(l, 'team') = 'blue'";
    assert_eq!(store.number(inside).await, 40, "each record stands in its request");
}

#[tokio::test]
async fn a_command_ends_as_it_would_alone() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let options = ["--url", NOWHERE, "--data", data.to_str().unwrap(), "--quiet"];
    let run = |command: &[&str]| Session::start(place.path(), &options, command, &[]);
    let three = run(&["sh", "-c", "echo \"$OTEL_EXPORTER_OTLP_PROTOCOL $OTEL_LOGS_EXPORTER\"; exit 3"]).end().await;
    assert_eq!((three.code, three.stdout.as_str()), (Some(3), "http/protobuf otlp\n"), "{}", three.stderr);
    assert_said(&three.stderr, &["0 spans and 0 log records arrived", "is the program instrumented?"]);
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).end().await.code, Some(143));
    let missing = run(&["no-such-program-anywhere"]).end().await;
    assert_eq!(missing.code, Some(127), "{}", missing.stderr);
    // It may take its time, and end as it likes.
    let mut trapping = run(&["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do :; done"]);
    assert_eq!(trapping.line().await, "ready");
    trapping.signal(Signal::TERM);
    assert_eq!(trapping.end().await.code, Some(9));
    let elsewhere = Session::start(place.path(), &["--url", "nowhere"], &["true"], &[]).end().await;
    assert_eq!(elsewhere.code, Some(125), "{}", elsewhere.stderr);
}
