//! Does the whole service of the documentation start, serve, tell of it, and end when it is told to?

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::routing::post;
use causeway_kit::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};

use crate::receiver::{Receiver, attribute, listen};

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

// A thread besides the one that waits for the service's output, for the receiver.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_service_runs() {
    assert!(include_str!("../../examples/service.rs").lines().count() <= 60, "a whole service is small");
    let _same_type_as_the_exported: Option<KeyValue> = None;
    let receiver = Receiver::start().await;
    let stock = listen(Router::new().route("/reservations", post(|| async {}))).await;
    // Cargo builds examples beside tests.
    let binary = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/service");
    let mut command = Command::new(binary);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url)
        .env("LISTEN", "127.0.0.1:0")
        .env("STOCK_URL", format!("http://{stock}"));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    command.env("FLAGS_URL", "http://127.0.0.1:1").env("OTEL_SERVICE_NAME", "orders").stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let started = lines.find(|line| line["event"] == "service.started").unwrap();
    let base = format!("http://127.0.0.1:{}", started["server.port"]);

    let client = causeway_kit::http_client("http:").build().unwrap();
    let placed =
        client.post(format!("{base}/orders")).json(&json!({"item": "book", "tenant": "acme"})).send().await.unwrap();
    assert_eq!(placed.status().as_u16(), 200);
    let id = placed.json::<Value>().await.unwrap()["id"].clone();
    let shown: Value = client.get(format!("{base}/orders/{id}")).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["item"], "book");
    assert_eq!(client.get(format!("{base}/orders/999")).send().await.unwrap().status().as_u16(), 404);
    assert_eq!(client.get(format!("{base}/readyz")).send().await.unwrap().status().as_u16(), 200);

    // SQLite's thread answers before it lets go of the request's span: that may come later than all of this.
    let of_acme = |span: &Span| span.name == "POST /orders" && attribute(&span.attributes, "tenant.id") == "acme";
    receiver.until(|spans| spans.iter().any(of_acme)).await;
    assert_eq!(client.post(format!("{base}/orders")).json(&json!({})).send().await.unwrap().status().as_u16(), 400);

    let told = Command::new("kill").arg(running.0.id().to_string()).status().unwrap();
    assert!(told.success());
    assert_eq!(lines.last().unwrap()["event"], "service.stopped", "and nothing was lost");
    assert!(running.0.wait().unwrap().success());
    let placed = receiver.spans_named("POST /orders");
    assert_eq!(placed.len(), 2, "also the last one");
    let placed = placed.iter().find(|span| of_acme(span)).unwrap();
    let children = receiver.spans().into_iter().filter(|span| span.parent_span_id == placed.span_id);
    // A busy machine may make it wait for its connection.
    let children: Vec<String> = children.map(|span| span.name).filter(|name| name != "db.pool.wait").collect();
    assert_eq!(children, ["POST /reservations", "INSERT orders", "COMMIT"]);
    assert_eq!((placed.kind, receiver.log("order.placed").span_id), (SpanKind::Server as i32, placed.span_id.clone()));
}
