//! Does each request leave its span, metrics and log, and get its request id back, whatever happens to it?

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use causeway_kit::{Failure, Kit};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::receiver::{Lines, Receiver, attribute, integer, number};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn router(kit: &Kit) -> Router {
    let broken = || async {
        let disk = std::io::Error::other("disk is full");
        Err::<(), _>(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the order was not kept").because(disk))
    };
    let router = Router::new()
        .route(
            "/orders/{id}",
            get(|| async {
                tracing::info!(event = "order.shown", order.items = 3, "shown");
                "ok"
            }),
        )
        .route("/broken", get(broken))
        .route(
            "/panics",
            get(|| async {
                if true {
                    panic!("secret inner workings")
                }
            }),
        )
        .route("/never", get(std::future::pending::<()>))
        .layer(kit.server_layer());
    kit.health().merge(router)
}

async fn ask(router: &Router, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn json(response: Response<Body>) -> serde_json::Value {
    serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_request_leaves_span_log_and_metric_with_its_exemplar() {
    let (receiver, lines) = (Receiver::start().await, Lines::default());
    let mut settings = receiver.settings("orders");
    settings.log_output = Box::new(lines.clone());
    let kit = causeway_kit::init_scoped(settings).unwrap();
    let headers =
        [("traceparent", TRACEPARENT), ("tracestate", "a=1,ot=th:8"), ("x-request-id", "req-7"), ("host", "shop:8080")];
    let response = ask(&router(&kit), "/orders/17?key=secret", &headers).await;
    assert_eq!((response.status(), &response.headers()["x-request-id"]), (StatusCode::OK, &"req-7".parse().unwrap()));
    kit.flush().await;

    let span = receiver.span("GET /orders/{id}");
    assert_eq!(span.kind, SpanKind::Server as i32);
    assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((hex(&span.parent_span_id).as_str(), span.trace_state.as_str()), ("b7ad6b7169203331", "a=1,ot=th:8"));
    let expected = [
        ("http.request.method", "GET"),
        ("http.route", "/orders/{id}"),
        ("http.response.status_code", "200"),
        ("url.path", "/orders/17"),
        ("url.scheme", "http"),
        ("server.address", "shop"),
        ("server.port", "8080"),
        ("request_id", "req-7"),
        ("error.type", ""),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(&span.attributes, key), value, "{key}");
    }
    assert_eq!(integer(&span.attributes, "http.response.status_code"), Some(200));
    assert_eq!(integer(&span.attributes, "server.port"), Some(8080));
    assert!(!format!("{span:?}").contains("secret"));
    for (key, value) in [
        ("service.name", "orders"),
        ("service.version", "1.2.3"),
        ("cloud.region", "eu-1"),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(attribute(&receiver.resource(), key), value);
    }

    let log = receiver.log("order.shown");
    assert_eq!((&log.trace_id, &log.span_id, log.severity_text.as_str()), (&span.trace_id, &span.span_id, "INFO"));
    assert_eq!(
        (attribute(&log.attributes, "order.items"), attribute(&log.attributes, "request_id")),
        ("3".to_owned(), "req-7".to_owned())
    );
    let line = lines.event("order.shown");
    for (key, value) in [
        ("level", "INFO"),
        ("message", "shown"),
        ("service", "orders"),
        ("version", "1.2.3"),
        ("env", "test"),
        ("region", "eu-1"),
        ("request_id", "req-7"),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
    assert_eq!((&line["trace_id"], &line["span_id"]), (&hex(&span.trace_id).into(), &hex(&span.span_id).into()));
    assert!(line["time"].as_str().unwrap().ends_with('Z') && line["order.items"] == 3);

    let points = receiver.histogram("http.server.request.duration");
    assert_eq!((points.len(), points[0].count), (1, 1));
    assert_eq!(attribute(&points[0].attributes, "http.route"), "/orders/{id}");
    let exemplars: Vec<String> = points[0].exemplars.iter().map(|exemplar| hex(&exemplar.trace_id)).collect();
    assert_eq!(exemplars, [hex(&span.trace_id)]);
    assert_eq!(receiver.numbers("http.server.active_requests").iter().map(number).sum::<f64>(), 0.0);
}

#[tokio::test]
async fn a_failure_tells_the_caller_little_and_the_log_all() {
    let (receiver, lines) = (Receiver::start().await, Lines::default());
    let mut settings = receiver.settings("orders");
    settings.log_output = Box::new(lines.clone());
    let kit = causeway_kit::init_scoped(settings).unwrap();
    let response = ask(&router(&kit), "/broken", &[]).await;
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!((response.status(), request_id.len()), (StatusCode::INTERNAL_SERVER_ERROR, 32));
    let body = json(response).await;
    assert_eq!(body["error"]["request_id"], request_id);
    assert!(body["error"]["message"] == "the order was not kept" && !body.to_string().contains("disk"));
    kit.flush().await;
    let line = lines.event("request.failed");
    assert_eq!(
        (&line["request_id"], &line["error"]["causes"]),
        (&request_id.into(), &serde_json::json!(["disk is full"]))
    );
    let log = receiver.log("request.failed");
    assert!(attribute(&log.attributes, "exception.stacktrace").contains("caused by: disk is full"));
    let span = receiver.span("GET /broken");
    assert_eq!(span.status.unwrap().code, SpanStatus::Error as i32);
    assert_eq!((attribute(&span.attributes, "error.type"), log.span_id), ("500".to_owned(), span.span_id));
}

#[tokio::test]
async fn panics_deadlines_unknown_paths_and_probes() {
    let receiver = Receiver::start().await;
    let kit = receiver.kit("orders");
    let router = router(&kit);
    let response = ask(&router, "/panics", &[]).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!json(response).await.to_string().contains("secret"));
    let response = ask(&router, "/never", &[("x-request-timeout-ms", "5")]).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    // It would answer at once, but nobody waits for it any more.
    let response = ask(&router, "/orders/17", &[("x-request-timeout-ms", "0")]).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(ask(&router, "/nowhere", &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(ask(&router, "/healthz", &[]).await.status(), StatusCode::OK);
    kit.flush().await;
    assert_eq!(attribute(&receiver.span("GET /panics").attributes, "error.type"), "panic");
    assert_eq!(attribute(&receiver.span("GET /never").attributes, "error.type"), "deadline_exceeded");
    let unknown = receiver.span("GET");
    assert_eq!(
        (attribute(&unknown.attributes, "http.route"), unknown.status.unwrap().code),
        (String::new(), SpanStatus::Unset as i32)
    );
    assert_eq!(receiver.spans().len(), 4, "probes are no requests");
}

#[tokio::test]
async fn quiet_requests_are_spans_only_where_they_fail() {
    let (receiver, lines) = (Receiver::start().await, Lines::default());
    let mut settings = receiver.settings("orders");
    settings.log_output = Box::new(lines.clone());
    let kit = causeway_kit::init_scoped(settings).unwrap();
    let grpc = |status: &'static str| move || async move { [("grpc-status", status)] };
    let router = Router::new()
        .route(
            "/v1/logs",
            get(|| async { tracing::info!(event = "taken", "taken") }).post(|| async { StatusCode::CONFLICT }),
        )
        .route(
            "/panics",
            get(|| async {
                if true {
                    panic!("secret")
                }
            }),
        )
        .route("/well", get(grpc("0")))
        .route("/refuses", get(grpc("3")))
        .route("/ill", get(grpc("14")))
        .layer(kit.server_layer().quiet(|request| request.uri().path() != "/loud"));
    let headers = [("traceparent", TRACEPARENT), ("x-request-id", "req-7")];
    for path in ["/v1/logs", "/panics", "/well", "/refuses", "/ill"] {
        assert_eq!(ask(&router, path, &headers).await.headers()["x-request-id"], "req-7");
    }
    let request = Request::post("/v1/logs").header("x-request-id", "req-8").body(Body::empty()).unwrap();
    assert_eq!(router.clone().oneshot(request).await.unwrap().status(), StatusCode::CONFLICT);
    kit.flush().await;

    let mut names: Vec<String> = receiver.spans().into_iter().map(|span| span.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["GET /ill", "GET /panics", "GET /refuses", "POST /v1/logs"]);
    let (panicked, refused) = (receiver.span("GET /panics"), receiver.span("POST /v1/logs"));
    assert_eq!(
        (panicked.kind, hex(&panicked.parent_span_id)),
        (SpanKind::Server as i32, "b7ad6b7169203331".to_owned())
    );
    assert!(panicked.end_time_unix_nano >= panicked.start_time_unix_nano && refused.parent_span_id.is_empty());
    assert_eq!(attribute(&panicked.attributes, "error.type"), "panic");
    assert_eq!(integer(&refused.attributes, "http.response.status_code"), Some(409));
    assert_eq!(
        (attribute(&refused.attributes, "request_id"), attribute(&refused.attributes, "http.route")),
        ("req-8".to_owned(), "/v1/logs".to_owned())
    );
    let status = |name: &str| {
        let span = receiver.span(name);
        (attribute(&span.attributes, "rpc.response.status_code"), span.status.unwrap().code)
    };
    assert_eq!(status("GET /refuses"), ("INVALID_ARGUMENT".to_owned(), SpanStatus::Unset as i32), "the caller's fault");
    assert_eq!(status("GET /ill"), ("UNAVAILABLE".to_owned(), SpanStatus::Error as i32));

    // Logs belong to the caller's trace all the same, and metrics count everything.
    let (taken, failed) = (lines.event("taken"), lines.event("request.failed"));
    for line in [taken, failed] {
        assert_eq!((&line["request_id"], &line["span_id"]), (&"req-7".into(), &"b7ad6b7169203331".into()));
    }
    let requests: u64 = receiver.histogram("http.server.request.duration").iter().map(|point| point.count).sum();
    assert_eq!(requests, 6);
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_counted() {
    let receiver = Receiver::start().await;
    let kit = receiver.kit("orders");
    let entered = Arc::new(Notify::new());
    let inside = Arc::clone(&entered);
    let handler = move || async move {
        inside.notify_one();
        std::future::pending::<()>().await;
    };
    let router = Router::new().route("/slow", get(handler)).layer(kit.server_layer());
    tokio::select! {
        _ = ask(&router, "/slow", &[]) => panic!("it never answers"),
        () = entered.notified() => {}
    }
    kit.flush().await;
    assert_eq!(attribute(&receiver.span("GET /slow").attributes, "error.type"), "cancelled");
    assert_eq!(receiver.histogram("http.server.request.duration")[0].count, 1);
    assert_eq!(receiver.numbers("http.server.active_requests").iter().map(number).sum::<f64>(), 0.0);
}

#[tokio::test]
async fn readiness_gives_reasons_and_ends_with_draining() {
    let kit = causeway_kit::init_scoped(crate::receiver::quiet("orders")).unwrap();
    let well = || kit.health().check("cache", || async { Ok(()) });
    let ready = ask(&well().router(), "/readyz", &[]).await;
    assert_eq!((ready.status(), json(ready).await["status"].clone()), (StatusCode::OK, "ready".into()));
    let ill = well().check("database", || async { Err("no connection".to_owned()) }).check_within(
        "stuck",
        std::time::Duration::from_millis(5),
        std::future::pending,
    );
    let response = ask(&ill.router(), "/readyz", &[]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let report = json(response).await;
    assert_eq!(report["checks"][0]["status"], "ok");
    assert_eq!(
        (&report["checks"][1]["reason"], &report["checks"][2]["reason"]),
        (&"no connection".into(), &"no answer within 5 ms".into())
    );
    kit.drain();
    let draining = ask(&well().router(), "/readyz", &[]).await;
    assert_eq!(
        (draining.status(), json(draining).await["status"].clone()),
        (StatusCode::SERVICE_UNAVAILABLE, "draining".into())
    );
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
