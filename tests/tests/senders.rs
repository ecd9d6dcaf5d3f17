//! Does SQL give back exactly what real senders sent? The SDKs of Python and Node and the Collector's `telemetrygen`, also
//! through a Collector, compared record by record.
//!
//! A sender prints `{"table", "row"}` for each record that its exporter got accepted; each row must be found once, with every
//! column that it names, and nothing else of that service may be there. Rows of metrics are samples joined with their series.
//! The maps show attributes as text, so that their kinds are compared apart, with what `attribute_keys` says.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use causeway_tests::Program;
use serde_json::{Map, Value};
use tokio::io::AsyncBufReadExt as _;

type Row = Map<String, Value>;

/// Columns of type double: `1` and `1.0` are the same there.
const DOUBLES: &[&str] = &["value", "sum", "min", "max", "zero_threshold", "explicit_bounds"];

/// Columns that hold times, shown as RFC 3339 and compared as nanoseconds.
const TIMES: &[&str] = &["time", "observed_time", "start_time"];

/// Columns that hold attributes, with the family that `attribute_keys` calls them by: maps from key to text, or (in events
/// and links) a JSON object as text.
const ATTRIBUTES: &[(&str, &str)] =
    &[("attributes", "attr"), ("resource_attributes", "resource"), ("scope_attributes", "scope")];

/// `OTLP`'s number of a string among the kinds of a body; any other kind is JSON text.
const STRING: i64 = 1;

/// The types of metrics that each SDK must have sent, lest a view that no longer applies goes unnoticed.
const METRIC_TYPES: &[&str] = &["gauge", "sum", "histogram", "exponential_histogram"];

/// The program's own telemetry stays out of the tables that have no service.
const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false")];

fn parsed(text: &Value) -> Value {
    let Some(text) = text.as_str() else { return text.clone() };
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text:?} is no JSON: {error}"))
}

fn double(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(double).collect(),
        Value::Number(number) => Value::from(number.as_f64()),
        other => other,
    }
}

fn is_attributes(column: &str) -> bool {
    ATTRIBUTES.iter().any(|(known, _)| *known == column)
}

/// The text that the maps show of a value given as in `docs/formats/value.md`; lists and maps without regard to the order of keys.
fn shown(value: &Value) -> Value {
    let text = match (value.get("$bytes").or_else(|| value.get("$double")), value) {
        (Some(Value::String(text)), _) | (None, Value::String(text)) => text.clone(),
        (None, Value::Null) => String::new(),
        _ => value.to_string(),
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(nested @ (Value::Array(_) | Value::Object(_))) => Value::from(nested.to_string()),
        _ => Value::from(text),
    }
}

/// The kind of a value given as in `docs/formats/value.md`.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "double",
        Value::Number(_) => "int",
        Value::Array(_) => "array",
        Value::Object(object) if object.contains_key("$bytes") => "bytes",
        Value::Object(object) if object.contains_key("$double") => "double",
        Value::Object(_) => "map",
    }
}

/// One column in the form that expected and stored rows share.
fn comparable(column: &str, value: &Value) -> Value {
    if DOUBLES.contains(&column) {
        return double(value.clone());
    }
    match value {
        Value::String(text) if TIMES.contains(&column) && text.contains('T') => {
            Value::from(string_to_timestamp_nanos(text).unwrap().to_string())
        }
        Value::Object(attributes) if is_attributes(column) => {
            attributes.iter().map(|(key, value)| (key.clone(), shown(value))).collect::<Row>().into()
        }
        Value::Array(items) => items.iter().map(|item| item.as_object().map_or(item.clone(), nested)).collect(),
        other => other.clone(),
    }
}

/// An event or a link; their attributes stand as JSON, with their kinds.
fn nested(row: &Row) -> Value {
    let compared = |(column, value): (&String, &Value)| {
        let value = if is_attributes(column) { parsed(value) } else { comparable(column, value) };
        (column.clone(), value)
    };
    row.iter().map(compared).collect::<Row>().into()
}

/// A row as SQL shows it, in the form of the expected ones.
fn stored(row: &Row) -> Row {
    let mut row: Row = row.clone();
    if row.get("body_kind").and_then(Value::as_i64).is_some_and(|kind| kind != STRING) {
        let body = parsed(&row["body"]);
        row.insert("body".to_owned(), body);
    }
    row.iter().map(|(column, value)| (column.clone(), comparable(column, value))).collect()
}

/// The columns in which two rows differ.
fn differences(expected: &Row, found: &Row) -> Vec<String> {
    let differs = |(column, value): (&String, &Value)| {
        let there = found.get(column).unwrap_or(&Value::Null);
        (comparable(column, value) != *there).then(|| format!("{column}: sent {value}, found {there}"))
    };
    expected.iter().filter_map(differs).collect()
}

/// Pairs each expected row with a stored one; all failures at once.
fn compare(table: &str, expected: &[Row], mut found: Vec<Row>) -> Vec<String> {
    let mut failures = Vec::new();
    for row in expected {
        let nearest = (0..found.len()).min_by_key(|index| differences(row, &found[*index]).len());
        let Some(nearest) = nearest else {
            failures.push(format!("{table}: missing {row:?}"));
            continue;
        };
        let differences = differences(row, &found[nearest]);
        if differences.is_empty() {
            found.swap_remove(nearest);
        } else {
            failures.push(format!("{table}: {row:?}\n    {}", differences.join("\n    ")));
        }
    }
    failures.extend(found.iter().map(|row| format!("{table}: left over {row:?}")));
    failures
}

/// Rows of samples or exemplars with the columns of their series; those of other services fall out.
async fn with_series(program: &Program, service: &str, table: &str) -> Vec<Row> {
    let series = program.sql(&format!("SELECT * FROM metric_series WHERE service_name = '{service}'")).await;
    let series: HashMap<String, Row> =
        series.into_iter().map(|row| (row["series_id"].as_str().unwrap().to_owned(), row)).collect();
    let rows = program.sql(&format!("SELECT * FROM {table}")).await;
    let joined = rows.into_iter().filter_map(|row| {
        let mut joined = series.get(row["series_id"].as_str()?)?.clone();
        // The labels of a sample are its series'; an exemplar has attributes of its own.
        joined.extend(row.into_iter().filter(|(column, _)| table == "exemplars" || !is_attributes(column)));
        Some(stored(&joined))
    });
    joined.collect()
}

async fn rows_of(program: &Program, service: &str, table: &str) -> Vec<Row> {
    match table {
        "metric_samples" | "exemplars" => with_series(program, service, table).await,
        _ => {
            let rows = program.sql(&format!("SELECT * FROM {table} WHERE service_name = '{service}'")).await;
            rows.iter().map(stored).collect()
        }
    }
}

/// Family, key and kind of each attribute; only of the columns that the sender's rows name.
fn kinds_sent(rows: &[Row]) -> BTreeSet<[String; 3]> {
    let attributes = rows.iter().flat_map(|row| {
        ATTRIBUTES.iter().filter_map(|(column, family)| Some((*family, row.get(*column)?.as_object()?)))
    });
    let kinds = attributes.flat_map(|(family, set)| {
        set.iter().map(move |(key, value)| [family.to_owned(), key.clone(), kind(value).to_owned()])
    });
    kinds.collect()
}

/// The kinds of attributes that differ between what was sent and what the statistics say.
async fn kinds_differ(program: &Program, table: &str, sent: &[Row]) -> Vec<String> {
    let table = if table == "metric_samples" { "metric_series" } else { table };
    let named = |(column, _): &&(&str, &str)| sent.iter().any(|row| row.contains_key(*column));
    let families: BTreeSet<&str> = ATTRIBUTES.iter().filter(named).map(|(_, family)| *family).collect();
    let text = |row: &Row, column: &str| row[column].as_str().unwrap().to_owned();
    let stored = program.sql(&format!("SELECT family, key, kind FROM attribute_keys('{table}')")).await;
    let stored: BTreeSet<[String; 3]> = stored
        .iter()
        .map(|row| ["family", "key", "kind"].map(|column| text(row, column)))
        .filter(|[family, ..]| families.contains(family.as_str()))
        .collect();
    let sent = kinds_sent(sent);
    stored.symmetric_difference(&sent).map(|kind| format!("{table}: only sent or only stored: {kind:?}")).collect()
}

/// The senders' folder beside the target directory's `release`, so that it outlives a checkout.
pub fn prepared(sender: &str) -> Result<PathBuf, String> {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.ancestors().nth(3).unwrap().join("senders");
    let prepare = Path::new(env!("CARGO_MANIFEST_DIR")).join("senders/prepare");
    let prepared = Command::new(prepare).arg(sender).arg(&folder).output().unwrap();
    match prepared.status.success() {
        true => Ok(folder.join(sender)),
        false => Err(format!("prepare {sender}: {}", String::from_utf8_lossy(&prepared.stderr))),
    }
}

pub fn laid_out(sender: &str) -> PathBuf {
    prepared(sender).unwrap_or_else(|said| panic!("{said}"))
}

/// Says, past the test harness, why a sender did not send.
pub fn skipped(sender: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: the sender {sender}: {why}");
}

/// Whether a program is there; says so when it is not.
pub fn present(program: &str, sender: &str) -> bool {
    // Go has a word of its own for its version.
    let asked = if program == "go" { "version" } else { "--version" };
    let there = Command::new(program).arg(asked).output().is_ok_and(|output| output.status.success());
    if !there {
        skipped(sender, &format!("needs {program}, which is not here"));
    }
    there
}

/// The rows of each table that a sender sent.
type Sent = HashMap<String, Vec<Row>>;

/// Runs a sender and compares what it says with what SQL says, before and after a kill.
async fn check(sender: Command, service: &str, data: &Path, program: Program, tables: &[&str]) {
    let sent = send(sender, service, &program).await;
    check_sent(&sent, service, data, program, tables).await;
}

/// Runs a sender; answers what it says it sent.
async fn send(sender: Command, service: &str, program: &Program) -> Sent {
    let output = tokio::process::Command::from(sender).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(std::time::Duration::from_secs(120), output).await.expect("the sender ends").unwrap();
    assert!(output.status.success(), "{service}: {}\n{}", String::from_utf8_lossy(&output.stderr), program.said());
    let mut expected = Sent::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let row = line["row"].as_object().unwrap().clone();
        expected.entry(line["table"].as_str().unwrap().to_owned()).or_default().push(row);
    }
    if let Some(samples) = expected.get("metric_samples") {
        let types: BTreeSet<&str> = samples.iter().filter_map(|row| row["type"].as_str()).collect();
        assert!(METRIC_TYPES.iter().all(|known| types.contains(known)), "{service} sent only {types:?}");
    }
    expected
}

async fn check_sent(expected: &Sent, service: &str, data: &Path, mut program: Program, tables: &[&str]) {
    for moment in ["after the ack", "after a kill"] {
        let mut failures = Vec::new();
        for table in tables {
            let sent = expected.get(*table).unwrap_or_else(|| panic!("{service} sent no {table}"));
            failures.extend(compare(table, sent, rows_of(&program, service, table).await));
            failures.extend(kinds_differ(&program, table, sent).await);
        }
        assert!(failures.is_empty(), "{service}, {moment}:\n  {}", failures.join("\n  "));
        program.kill_after(std::time::Duration::ZERO).await;
        program = Program::start(data, SETTINGS).await;
    }
}

async fn python(protocol: &str) {
    if !present("python3", "python") {
        return;
    }
    let folder = laid_out("python");
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let program = Program::start(&data, SETTINGS).await;
    let address = if protocol == "grpc" { program.otlp_grpc } else { program.otlp_http };
    let service = format!("sender-python-{protocol}");
    let mut sender = Command::new(folder.join("venv/bin/python"));
    sender.arg(folder.join("send.py")).args(["--protocol", protocol, "--service", &service]);
    sender.arg("--endpoint").arg(format!("http://{address}"));
    check(sender, &service, &data, program, &["logs", "spans", "metric_samples", "exemplars"]).await;
}

#[tokio::test]
async fn python_over_http() {
    python("http").await;
}

#[tokio::test]
async fn python_over_grpc() {
    python("grpc").await;
}

async fn node(script: &str, service: &str, tables: &[&str]) {
    if !present("node", "node") || !present("npm", "node") {
        return;
    }
    let folder = laid_out("node");
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let program = Program::start(&data, SETTINGS).await;
    let mut sender = Command::new("node");
    sender.arg(folder.join(script)).arg(format!("http://{}", program.otlp_http)).arg(service);
    check(sender, service, &data, program, tables).await;
}

#[tokio::test]
async fn node_with_its_sdk() {
    node("send.cjs", "sender-node", &["logs", "spans", "metric_samples"]).await;
}

#[tokio::test]
async fn node_with_the_transport_of_pino() {
    node("transport.cjs", "sender-pino", &["logs"]).await;
}

/// A sender that Go builds, or nothing, said aloud: unlike the SDKs it is no part of what `make test` promises to bring along, and
/// a proxy that hangs is waited for only once.
fn built_by_go(sender: &str, built: &'static OnceLock<Result<PathBuf, String>>) -> Option<&'static Path> {
    if !present("python3", sender) || !present("go", sender) {
        return None;
    }
    match built.get_or_init(|| prepared(sender)) {
        Ok(folder) => Some(folder),
        Err(said) => {
            skipped(sender, said);
            None
        }
    }
}

/// Sends all that `telemetrygen` can over a protocol to an address.
fn telemetrygen(protocol: &str, address: &str, service: &str) -> Option<Command> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let mut sender = Command::new("python3");
    sender.arg(built_by_go("telemetrygen", &BUILT)?.join("send.py"));
    sender.args(["--protocol", protocol, "--service", service, "--endpoint", address]);
    Some(sender)
}

const TELEMETRYGEN_TABLES: &[&str] = &["logs", "spans", "metric_samples", "exemplars"];

async fn telemetrygen_directly(protocol: &str) {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let program = Program::start(&data, SETTINGS).await;
    let address = if protocol == "grpc" { program.otlp_grpc } else { program.otlp_http };
    let service = format!("sender-telemetrygen-{protocol}");
    let Some(sender) = telemetrygen(protocol, &address.to_string(), &service) else { return };
    check(sender, &service, &data, program, TELEMETRYGEN_TABLES).await;
}

#[tokio::test]
async fn telemetrygen_over_http() {
    telemetrygen_directly("http").await;
}

#[tokio::test]
async fn telemetrygen_over_grpc() {
    telemetrygen_directly("grpc").await;
}

/// The configuration that the Collector's guide advises for a protocol, between these addresses.
fn advised(protocol: &str, receiver: &str, program: &Program) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/collector.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let mut blocks = vec![String::new()];
    for line in guide.lines() {
        match (line.strip_prefix("    "), blocks.last_mut().unwrap()) {
            (Some(line), block) => *block += &format!("{line}\n"),
            (None, block) if block.is_empty() => {}
            (None, _) => blocks.push(String::new()),
        }
    }
    let mut configuration = blocks[0].clone();
    if protocol == "http" {
        let of_grpc = configuration.find("exporters:\n").unwrap()..configuration.find("service:\n").unwrap();
        configuration.replace_range(of_grpc, &blocks[1]);
        configuration = configuration.replace("otlp_grpc/", "otlp_http/");
    }
    let ports = [("127.0.0.1:4317", program.otlp_grpc), ("127.0.0.1:4318", program.otlp_http)];
    for (port, address) in ports {
        configuration = configuration.replace(port, &address.to_string());
    }
    configuration.replace("127.0.0.1:143", &format!("{receiver}:143"))
}

/// A running Collector; dies with this value.
struct Collector {
    child: tokio::process::Child,
    log: tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStderr>>,
}

impl Collector {
    /// Starts it with a configuration and waits until it listens.
    async fn start(program: &Path, configuration: &str, folder: &Path) -> Self {
        std::fs::write(folder.join("collector.yaml"), configuration).unwrap();
        // Its own metrics would want a port of their own.
        let quiet = "service: {telemetry: {metrics: {level: none}}}";
        std::fs::write(folder.join("quiet.yaml"), quiet).unwrap();
        let mut command = tokio::process::Command::new(program);
        command.args(["--config=collector.yaml", "--config=quiet.yaml"]).current_dir(folder);
        let mut child = command.stderr(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let log = tokio::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let mut collector = Self { child, log };
        let said = collector.said_until("Everything is ready").await;
        assert!(said.contains("Everything is ready"), "the Collector does not start:\n{said}\nwith\n{configuration}");
        collector
    }

    /// What it logs up to a line with these words, or to its end.
    async fn said_until(&mut self, words: &str) -> String {
        let mut said = String::new();
        while let Some(line) = self.log.next_line().await.unwrap() {
            said += &format!("{line}\n");
            if line.contains(words) {
                break;
            }
        }
        said
    }

    /// Lets it pass on all that it has taken, which it does before it exits.
    async fn stop(mut self) {
        let id = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let said = self.said_until("Shutdown complete").await;
        assert!(
            self.child.wait().await.unwrap().success() && !said.contains("\terror\t"),
            "the Collector says:\n{said}"
        );
    }
}

async fn through_a_collector(protocol: &str) {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let Some(built) = built_by_go("collector", &BUILT) else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(&data, SETTINGS).await;
    let service = format!("sender-collector-{protocol}");
    let (network, port) = if protocol == "grpc" { (43, 14317) } else { (44, 14318) };
    // A loopback address of its own for each test and process: the guide's ports are free there.
    let id = std::process::id();
    let receiver = &format!("127.{network}.{}.{}", (id >> 8) & 255, id & 255);
    let Some(sender) = telemetrygen(protocol, &format!("{receiver}:{port}"), &service) else { return };
    let configuration = advised(protocol, receiver, &program);
    let collector = Collector::start(&built.join("collector"), &configuration, folder.path()).await;
    let sent = send(sender, &service, &program).await;
    collector.stop().await;
    check_sent(&sent, &service, &data, program, TELEMETRYGEN_TABLES).await;
}

#[tokio::test]
async fn the_collector_of_the_guide_passes_all_on_over_http() {
    through_a_collector("http").await;
}

#[tokio::test]
async fn the_collector_of_the_guide_passes_all_on_over_grpc() {
    through_a_collector("grpc").await;
}

#[test]
fn a_difference_is_named_and_an_extra_row_too() {
    let row = |text: &str| serde_json::from_str::<Row>(text).unwrap();
    let sent = [row(r#"{"time": "1000000001", "value": 1, "attributes": {"a": 1.0, "b": {"y": [1], "x": null}}}"#)];
    let found = |a: &str| {
        let time = "1970-01-01T00:00:01.000000001Z";
        let attributes = serde_json::json!({"a": a, "b": r#"{"y":[1],"x":null}"#});
        stored(&row(&serde_json::json!({"time": time, "value": 1.0, "attributes": attributes, "x": 1}).to_string()))
    };
    let (same, other) = (found("1.0"), found("1"));
    assert_eq!(compare("t", &sent, vec![same.clone()]), Vec::<String>::new());
    assert_eq!(compare("t", &sent, vec![same.clone(), same]).len(), 1);
    let failures = compare("t", &sent, vec![other]);
    assert!(failures.len() == 2 && failures[0].contains("attributes: sent"), "{failures:?}");
}

#[test]
fn kinds_are_told_apart_where_texts_are_not() {
    let row = |text: &str| serde_json::from_str::<Row>(text).unwrap();
    let (number, text) = (row(r#"{"attributes": {"a": 1}}"#), row(r#"{"attributes": {"a": "1"}}"#));
    assert_eq!(differences(&number, &stored(&text)), Vec::<String>::new());
    assert_ne!(kinds_sent(&[number]), kinds_sent(&[text]));
    let all =
        row(r#"{"scope_attributes": {"a": {"$bytes": ""}, "b": {"$double": "NaN"}, "c": [], "d": {}, "e": null}}"#);
    let kinds: Vec<String> = kinds_sent(&[all]).into_iter().map(|[_, _, kind]| kind).collect();
    assert_eq!(kinds, ["bytes", "double", "array", "map", "empty"]);
}
