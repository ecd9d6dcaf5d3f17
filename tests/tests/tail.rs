//! Does `causeway tail` bring every line of real files once, through rotation, restarts of the server and of itself?

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use causeway_tests::{Program, binary};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false")];
/// Lines that have not come by then are lost: a look takes a quarter of a second, a record waits for a second.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

fn tail(program: &Program, folder: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.arg("tail").args(arguments).arg("--state").arg(folder.join("state")).current_dir(folder);
    command.env("CAUSEWAY_URL", format!("http://{}", program.listen));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

async fn end(mut child: Child) {
    let id = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    assert!(timeout(ARRIVAL_MAX, child.wait()).await.expect("it stops").unwrap().success());
}

async fn arrived(program: &Program, count: i64) {
    let asked = async {
        let mut pauses = interval(Duration::from_millis(100));
        while program.number("SELECT count(*) FROM logs").await < count {
            pauses.tick().await;
        }
    };
    timeout(ARRIVAL_MAX, asked).await.expect("the lines arrive");
}

fn append(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn files_are_followed_through_rotation_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("shop.log"));
    let program = Program::start(&data, SETTINGS).await;
    append(&log, "old line\n");
    let child = tail(&program, folder.path(), &["*.log", "--from-start"]);
    arrived(&program, 1).await;
    append(&log, "ERROR failed\njava.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\n");
    append(&log, "{\"level\":\"warn\",\"msg\":\"json\",\"n\":7}\n");
    std::fs::rename(&log, folder.path().join("shop.log.1")).unwrap();
    append(&log, "after rotation\n");
    arrived(&program, 4).await;
    end(child).await;
    append(&log, "while away\n");
    let child = tail(&program, folder.path(), &["*.log", "--from-start"]);
    arrived(&program, 5).await;
    end(child).await;
    let rows = program
        .sql("SELECT body, severity_number, service_name, attr('log.file.name') AS file, attr('n') AS n FROM logs ORDER BY body")
        .await;
    let bodies: Vec<&str> = rows.iter().map(|row| row["body"].as_str().unwrap()).collect();
    let trace = "ERROR failed\njava.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)";
    assert_eq!(bodies, [trace, "after rotation", "json", "old line", "while away"]);
    assert!(rows.iter().all(|row| row["service_name"] == "shop" && row["file"] == "shop.log"), "{rows:?}");
    assert_eq!(rows[2]["severity_number"], 13);
    program.end().await;
}

#[tokio::test]
async fn standard_input_is_sent_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let mut child = tail(&program, folder.path(), &["-", "--service", "job", "--host", "box"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\n\ttwo\nlast without an end").await.unwrap();
    drop(input);
    assert!(timeout(ARRIVAL_MAX, child.wait()).await.expect("it ends with its input").unwrap().success());
    let rows = program.sql("SELECT body, service_name, resource('host.name') AS host FROM logs ORDER BY body").await;
    let bodies: Vec<&str> = rows.iter().map(|row| row["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["last without an end", "one\n\ttwo"]);
    assert!(rows.iter().all(|row| row["service_name"] == "job" && row["host"] == "box"), "{rows:?}");
    program.end().await;
}
