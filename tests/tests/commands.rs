//! Do commands reach the server that they mean, whatever the environment says about proxies?

use causeway_tests::{Program, binary};
use tokio::process::Command;

const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false")];
/// Each asks by one of the two ways that commands have.
const COMMANDS: [&[&str]; 2] = [&["sql", "SELECT 17 AS n", "--format", "csv"], &["change", "list", "--format", "json"]];

/// What a command prints that asks at `url`, where all that goes by a proxy goes by this one.
async fn printed(arguments: &[&str], url: &str, proxy: &str) -> Result<String, String> {
    let mut command = Command::new(binary());
    command.args(arguments).env("CAUSEWAY_URL", url).env_remove("NO_PROXY").env_remove("no_proxy");
    let proxies = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let output = command.envs(proxies.map(|name| (name, proxy))).kill_on_drop(true).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn a_server_on_this_machine_is_asked_directly_and_others_by_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let (here, port) = (format!("http://{}", program.listen), program.listen.port());
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for arguments in COMMANDS {
        for url in [&here, &format!("http://localhost:{port}")] {
            let answer = printed(arguments, url, &dead).await;
            assert!(answer.as_ref().is_ok_and(|text| text.contains("17") || text.contains("changes")), "{answer:?}");
        }
        // An address that nobody has (RFC 5737); the program itself is the proxy, and takes the request for its own.
        let elsewhere = "http://192.0.2.1:4300";
        let answer = printed(arguments, elsewhere, &here).await;
        assert!(answer.is_ok(), "{answer:?}");
        let refused = printed(arguments, elsewhere, &dead).await;
        assert!(refused.is_err_and(|text| text.contains(elsewhere)));
    }
}
