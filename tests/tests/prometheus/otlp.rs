//! Under which names does PromQL know what OpenTelemetry's SDK sent?

use std::process::Command;

use causeway_tests::Program;

use super::{Api, SETTINGS};
use crate::senders::{laid_out, present};

#[tokio::test]
async fn metrics_of_the_sdk_have_the_names_that_the_specification_gives_them() {
    if !present("python3", "python") {
        return;
    }
    let sender = laid_out("python");
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let mut command = Command::new(sender.join("venv/bin/python"));
    command.arg(sender.join("send.py")).args(["--protocol", "http", "--service", "of-otlp", "--endpoint"]);
    command.arg(format!("http://{}", program.otlp_http));
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(super::PATIENCE, output).await.expect("the sender ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let api = Api::of_program(&program);
    for (query, value) in [
        ("orders_total{job=\"of-otlp\",region=\"eu\"}", 3.0),
        ("sum by (job) (orders_total)", 7.0),
        ("revenue_EUR_total", 12.5),
        ("in_flight", -2.0),
        ("temperature_celsius", 21.0),
        ("load{cpu=\"0\"}", 7.0),
        ("latency_milliseconds_count", 4.0),
        ("latency_milliseconds_sum", 555.5),
        ("latency_milliseconds_bucket{le=\"10\"}", 2.0),
        ("latency_milliseconds_bucket{le=\"+Inf\",route=\"/cart\"}", 4.0),
        ("histogram_quantile(0.5, latency_milliseconds_bucket)", 10.0),
        ("histogram_count(size_bytes)", 5.0),
        ("histogram_sum(size_bytes)", 555_500.0),
        ("count(orders_total{otel_scope_name=\"shop.metrics\",otel_scope_version=\"2.0\"})", 2.0),
    ] {
        assert_eq!(api.number(query).await, Some(value), "{query}");
    }
    let metadata = api.get("metadata", &[("metric", "orders_total")]).await;
    let said = &metadata["orders_total"][0];
    assert!(said["type"] == "counter" && said["help"] == "Orders placed", "{metadata}");
}
