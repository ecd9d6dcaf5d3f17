//! Does a question see all that was acknowledged before it, in memory and after the flush?

use std::sync::Arc;

use causeway_model::{Appender, Delivery, LedgerEntry, Signal, SystemClock, Table};
use causeway_query::{Answerer, Limits, Question};
use causeway_store::{Store, StoreOptions};
use serde_json::json;

use super::fixture::{batch, collect};
use crate::{Engine, EngineOptions};

async fn count(engine: &Engine, sql: &str) -> String {
    let question = Question { sql: sql.into(), parameters: vec![], limits: Limits::default() };
    let batches = collect(engine.ask(question).await.unwrap()).await.unwrap();
    datafusion::arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_answered_before_and_after_the_flush() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(directory.path()), Arc::new(SystemClock::new())).await.unwrap();
    let engine = Engine::new(store.clone(), EngineOptions::new(directory.path().join("spill"))).unwrap();
    let row = |n: u64| json!({"time": n, "service_name": "a", "body": format!("word{n}"), "attributes": {"n": n}});
    let rows: Vec<_> = (0..10).map(|n| row(n).as_object().unwrap().clone()).collect();
    let delivery = Delivery {
        sender: "test".into(),
        received_unix_nano: 0,
        batches: vec![batch(Table::Logs, &rows)],
        ledger: vec![LedgerEntry {
            signal: Signal::Logs,
            received: 12,
            stored: 10,
            dropped: vec![("invalid_trace_id".into(), 2)],
        }],
    };
    store.append(delivery).await.unwrap();
    for parts in ["0", "1"] {
        assert_eq!(count(&engine, "SELECT count(*) FROM logs").await, "10");
        assert_eq!(count(&engine, "SELECT count(*) FROM logs WHERE attr_int('n') > 6").await, "3");
        assert_eq!(count(&engine, "SELECT count(*) FROM logs WHERE has_token(body, 'word3')").await, "1");
        let lost = "SELECT sum(received - stored - dropped) FROM ledger WHERE signal = 'logs'";
        assert_eq!(count(&engine, lost).await, "0");
        assert_eq!(count(&engine, "SELECT count(id) FROM parts WHERE table_name = 'logs'").await, parts);
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
}
