//! What happens while the receiver is away, slow or picky? Requests don't notice, memory stays bounded, losses are counted and told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use causeway_kit::{Fate, Kit, Settings, Signal};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tower::ServiceExt;

use crate::receiver::{Lines, Receiver, attribute, listen, number, quiet};

const REQUESTS: usize = 200;

fn settings(url: String, lines: &Lines) -> Settings {
    let mut settings = quiet("orders");
    settings.otlp_endpoint = Some(url);
    settings.log_output = Box::new(lines.clone());
    settings
}

async fn serve_requests(kit: &Kit) {
    let router = Router::new()
        .route("/", get(|| async { tracing::info!(event = "order.shown", "shown") }))
        .layer(kit.server_layer());
    for _ in 0..REQUESTS {
        let response = router.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn an_absent_receiver_costs_a_bounded_queue_and_every_loss_is_counted() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lines = Lines::default();
    let mut settings = settings(format!("http://{unused}"), &lines);
    settings.queue_max = 50;
    let kit = causeway_kit::init_scoped(settings).unwrap();
    serve_requests(&kit).await;
    let fates = kit.fates();
    // The sender may hold one batch besides the queue.
    let refused = fates.count(Signal::Spans, Fate::QueueFull);
    assert!((50..=150).contains(&refused), "{refused}");
    kit.shutdown(Duration::from_secs(30)).await;
    let outcome = |signal| (fates.count(signal, Fate::Exported), fates.lost(signal));
    assert_eq!((outcome(Signal::Spans), outcome(Signal::Logs)), ((0, REQUESTS as u64), (0, REQUESTS as u64)));
    assert!(fates.lost(Signal::Metrics) > 0);
    let lines = lines.all();
    let told = lines.iter().rfind(|line| line["event"] == "telemetry.lost").unwrap();
    assert_eq!((&told["lost_spans"], &told["lost_logs"]), (&REQUESTS.into(), &REQUESTS.into()));
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_up_neither_requests_nor_the_end() {
    // It accepts, and that is all.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lines = Lines::default();
    let kit = causeway_kit::init_scoped(settings(url, &lines)).unwrap();
    serve_requests(&kit).await;
    kit.shutdown(Duration::from_millis(50)).await;
    let told = lines.event("telemetry.lost");
    assert_eq!(
        (&told["level"], &told["lost_spans"], &told["lost_logs"]),
        (&"WARN".into(), &REQUESTS.into(), &REQUESTS.into())
    );
    drop(listener);
}

#[tokio::test]
async fn what_could_not_be_sent_is_sent_later_and_what_is_refused_is_counted() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    // First: not now. Then: all but three.
    let traces = move |body: Bytes| async move {
        if counter.fetch_add(1, Ordering::Relaxed) == 0 {
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "3600")]).into_response();
        }
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), REQUESTS);
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too odd".to_owned() };
        ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec().into_response()
    };
    let logs = post(|| async { StatusCode::BAD_REQUEST });
    let receiver = Receiver::default();
    let router = receiver.metrics_router().route("/v1/traces", post(traces)).route("/v1/logs", logs);
    let url = format!("http://{}", listen(router).await);
    let kit = causeway_kit::init_scoped(settings(url, &Lines::default())).unwrap();
    serve_requests(&kit).await;
    kit.flush().await;
    assert_eq!(kit.fates().count(Signal::Spans, Fate::Exported), 0);
    kit.flush().await;
    let fates = kit.fates();
    assert_eq!(
        (fates.count(Signal::Spans, Fate::Exported), fates.count(Signal::Spans, Fate::Rejected)),
        (REQUESTS as u64 - 3, 3)
    );
    assert_eq!(fates.count(Signal::Logs, Fate::Rejected), REQUESTS as u64);
    assert!(asked.load(Ordering::Relaxed) >= 2);
    // The next metrics tell it.
    kit.flush().await;
    let told = |name: &str, fate: &str| {
        let points = receiver.numbers(name);
        number(points.iter().find(|point| attribute(&point.attributes, "error.type") == fate).unwrap())
    };
    assert_eq!(told("otel.sdk.exporter.span.exported", ""), REQUESTS as f64 - 3.0);
    assert_eq!(told("otel.sdk.exporter.span.exported", "rejected"), 3.0);
    assert_eq!(told("otel.sdk.exporter.log.exported", "rejected"), REQUESTS as f64);
}
