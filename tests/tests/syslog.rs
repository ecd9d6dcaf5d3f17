//! Do real senders of syslog reach the store? Debian's rsyslog and `logger`, over TCP and UDP.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use causeway_tests::Program;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

const SETTINGS: &[(&str, &str)] = &[
    ("CAUSEWAY_SELF_TELEMETRY", "false"),
    ("CAUSEWAY_SYSLOG_TCP", "127.0.0.1:0"),
    ("CAUSEWAY_SYSLOG_UDP", "127.0.0.1:0"),
];
/// Messages that have not come by then are lost: they take a tenth of a second.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);

/// Asks until so many rows are there; they come without an acknowledgement, so there is nothing else to wait for.
async fn rows(program: &Program, service: &str, count: usize) -> Vec<serde_json::Map<String, Value>> {
    let query = format!(
        "SELECT body, severity_number, service_name, attr('syslog.procid') AS process, attr('n') AS n, resource('host.name') AS host \
         FROM logs WHERE service_name = '{service}' ORDER BY body"
    );
    let asked = async {
        let mut pauses = interval(Duration::from_millis(50));
        loop {
            pauses.tick().await;
            let rows = program.sql(&query).await;
            if rows.len() >= count {
                return rows;
            }
        }
    };
    timeout(ARRIVAL_MAX, asked).await.expect("the messages arrive")
}

async fn logger(arguments: &[&str]) {
    let status = Command::new("logger").args(arguments).status().await.expect("logger is part of every Debian");
    assert!(status.success(), "{arguments:?}");
}

#[tokio::test]
async fn logger_is_understood_over_tcp_and_udp() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let port = |name: &str| program.address(name).port().to_string();
    let (tcp, udp) = (port("syslog_tcp"), port("syslog_udp"));
    let tagged = ["--server", "127.0.0.1", "--tag", "shop", "--priority", "user.err"];
    for (more, text) in [
        (&["--port", &tcp, "--tcp", "--rfc5424"][..], "1 tcp"),
        (&["--port", &tcp, "--tcp", "--octet-count", "--rfc5424"][..], "2 octets"),
        (&["--port", &tcp, "--tcp", "--rfc3164"][..], "3 old"),
        (&["--port", &udp, "--udp", "--rfc5424"][..], "4 udp"),
        (&["--port", &udp, "--udp", "--rfc3164"][..], "5 old udp"),
    ] {
        logger(&[&tagged[..], more, &[text]].concat()).await;
    }
    let found = rows(&program, "shop", 5).await;
    let bodies: Vec<&str> = found.iter().map(|row| row["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["1 tcp", "2 octets", "3 old", "4 udp", "5 old udp"]);
    assert!(found.iter().all(|row| row["severity_number"] == 17 && !row["host"].is_null()), "{found:?}");
    program.end().await;
}

/// An rsyslog that forwards what is written to a socket in its folder; `None` where it is not installed, which is told.
fn rsyslog(folder: &Path, port: u16) -> Option<Child> {
    let configuration = format!(
        "global(workDirectory=\"{folder}\" parser.escapeControlCharactersOnReceive=\"off\")\n\
         module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{folder}/log.sock\")\n\
         action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\" \
         template=\"RSYSLOG_SyslogProtocol23Format\")\n",
        folder = folder.display()
    );
    let file = folder.join("rsyslog.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new("rsyslogd");
    command.arg("-n").arg("-f").arg(&file).arg("-i").arg(folder.join("rsyslog.pid"));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
    if child.is_err() {
        eprintln!("skipped: rsyslog is not installed (make tools-test)");
    }
    child.ok()
}

#[tokio::test]
async fn rsyslog_forwards_to_us() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let Some(mut rsyslog) = rsyslog(folder.path(), program.address("syslog_tcp").port()) else { return };
    let socket = folder.path().join("log.sock");
    let there = async {
        let mut pauses = interval(Duration::from_millis(20));
        while !socket.exists() {
            pauses.tick().await;
        }
    };
    timeout(ARRIVAL_MAX, there).await.expect("rsyslog makes its socket");
    let socket = socket.to_str().unwrap().to_owned();
    for text in ["a plain text", "b\n\tat two", r#"{"level":"warn","msg":"c json","n":7}"#] {
        logger(&["--socket", &socket, "--tag", "shop", "--id=77", text]).await;
    }
    let found = rows(&program, "shop", 3).await;
    let bodies: Vec<&str> = found.iter().map(|row| row["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["a plain text", "b\n\tat two", "c json"]);
    assert_eq!(found.iter().map(|row| row["severity_number"].as_i64().unwrap()).collect::<Vec<_>>(), [10, 10, 13]);
    assert!(found.iter().all(|row| row["process"] == "77"), "{found:?}");
    rsyslog.start_kill().unwrap();
    rsyslog.wait().await.unwrap();
    program.end().await;
}
