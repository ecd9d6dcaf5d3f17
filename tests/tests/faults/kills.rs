//! Is every acknowledged record there exactly once, whenever the process is killed? SIGKILL under load, again and again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway_tests::{Program, Random, Starting, client, log, logs_request, send_logs};
use reqwest::StatusCode;

/// Kills in all, unless CAUSEWAY_KILLS says otherwise.
const KILLS: u64 = 200;

/// Each seed has a data directory of its own, so that the kills meet young and old ones.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// Connections that send at the same time: enough that deliveries share a sync.
const WRITERS: u64 = 4;

/// Records in a request at most.
const RECORDS_MAX: u64 = 20;

/// Kills come within this time after it is ready.
const LIFE_MICROS_MAX: u64 = 60_000;

/// Every so many lives ends before it is ready: replay is killed too.
const KILL_WHILE_STARTING_EVERY: u64 = 5;

const SERVICE: &str = "kills";

/// Small memory, so that kills also meet flushes, merges and cuts of the log.
const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_MEMTABLE_BYTES_MAX", "65536"), ("CAUSEWAY_SELF_TELEMETRY", "false")];

/// 2026-01-01, from where the records' times count.
const START_UNIX_NANO: u64 = 1_767_225_600_000_000_000;

/// What the sender knows of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// 200: every record must be there once.
    Acknowledged,
    /// 429 or 503: nothing was kept.
    Refused,
    /// The connection broke: kept whole or not at all.
    Unknown,
}

/// A request: its records are numbered `first..first + count`.
#[derive(Debug, Clone, Copy)]
struct Sent {
    first: i64,
    count: i64,
    outcome: Outcome,
}

/// Sends until the connection breaks.
async fn write(address: SocketAddr, next: Arc<AtomicI64>, sent: Arc<Mutex<Vec<Sent>>>, mut random: Random) {
    let client = client();
    loop {
        let count = i64::try_from(1 + random.below(RECORDS_MAX)).unwrap();
        let first = next.fetch_add(count, Ordering::Relaxed);
        let records = (first..first + count).map(|id| log(id, START_UNIX_NANO + u64::try_from(id).unwrap())).collect();
        let outcome = match send_logs(&client, address, logs_request(SERVICE, records)).await {
            Err(_) => Outcome::Unknown,
            Ok(response) => match response.status() {
                StatusCode::OK => Outcome::Acknowledged,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Outcome::Refused,
                status => panic!("the sender was told {status}"),
            },
        };
        sent.lock().unwrap().push(Sent { first, count, outcome });
        if outcome == Outcome::Unknown {
            return;
        }
    }
}

/// Everything that must be true of a restarted program; the count of records that it holds.
async fn check(program: &Program, sent: &[Sent], context: &str) -> i64 {
    let mut stored: HashMap<i64, i64> = HashMap::new();
    let query = format!("SELECT attr_int('test.id') AS id FROM logs WHERE service_name = '{SERVICE}'");
    for row in program.sql(&query).await {
        *stored.entry(row["id"].as_i64().unwrap()).or_default() += 1;
    }
    let total: i64 = stored.values().sum();
    for request in sent {
        let found: Vec<i64> =
            (request.first..request.first + request.count).map(|id| stored.remove(&id).unwrap_or_default()).collect();
        let whole = found.iter().all(|times| *times == 1);
        let absent = found.iter().all(|times| *times == 0);
        let holds = match request.outcome {
            Outcome::Acknowledged => whole,
            Outcome::Refused => absent,
            Outcome::Unknown => whole || absent,
        };
        assert!(holds, "{context}: {request:?} is there {found:?} times");
    }
    assert!(stored.is_empty(), "{context}: never sent: {stored:?}");
    let ledger = |column: &str| {
        format!(
            "SELECT CAST(sum({column}) AS BIGINT) AS n FROM ledger WHERE signal = 'logs' AND sender LIKE '%causeway-tests%'"
        )
    };
    assert_eq!(program.number(&ledger("received")).await, total, "{context}: received in the ledger");
    assert_eq!(program.number(&ledger("stored")).await, total, "{context}: stored in the ledger");
    total
}

/// Lives and deaths on one data directory; the number of records that it held in the end.
async fn lives(data: &Path, seed: u64, kills: u64) -> i64 {
    let mut random = Random::new(seed);
    let next = Arc::new(AtomicI64::new(0));
    let sent = Arc::new(Mutex::new(Vec::new()));
    for kill in 0..kills {
        let context = format!("seed {seed}, before kill {kill} of {kills}");
        let moment = Duration::from_micros(random.below(LIFE_MICROS_MAX));
        let starting = Starting::spawn(data, SETTINGS);
        if kill % KILL_WHILE_STARTING_EVERY == KILL_WHILE_STARTING_EVERY - 1 {
            starting.kill_after(moment).await;
            continue;
        }
        let program = starting.ready().await;
        let known = sent.lock().unwrap().clone();
        check(&program, &known, &context).await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| tokio::spawn(write(program.otlp_http, next.clone(), sent.clone(), Random::new(random.next_u64()))))
            .collect();
        program.kill_after(moment).await;
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let program = Program::start(data, SETTINGS).await;
    let known = sent.lock().unwrap().clone();
    check(&program, &known, &format!("seed {seed}, in the end")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_doubled_at_sigkill() {
    let kills = std::env::var("CAUSEWAY_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut held = 0;
    for seed in SEEDS {
        let folder = tempfile::tempdir().unwrap();
        held += lives(&folder.path().join("data"), seed, kills.div_ceil(SEEDS.len() as u64)).await;
    }
    assert!(kills < 10 || held > 0, "no record outlived {kills} kills: the load never came through");
}
