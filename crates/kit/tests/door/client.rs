//! Does a call carry what it should, try again only where that is right, and stop where the other side is ill?

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, get};
use causeway_kit::resilience::{Backoff, BreakerSettings, BreakerState, BudgetSettings};
use causeway_kit::{Client, ClientBuilder, ClientErrorKind, Failure, Kit};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tower::ServiceExt;
use tracing::Instrument;

use crate::receiver::{Receiver, attribute, integer, listen};

/// A service that answers with these statuses, then with 200; it counts what reaches it.
#[derive(Clone, Default)]
struct Script {
    statuses: Arc<Mutex<VecDeque<u16>>>,
    calls: Arc<AtomicUsize>,
}

impl Script {
    async fn start(statuses: &[u16]) -> (Self, String) {
        let script = Self { statuses: Arc::new(Mutex::new(statuses.iter().copied().collect())), ..Self::default() };
        let answer = any(|State(script): State<Script>| async move {
            script.calls.fetch_add(1, Ordering::Relaxed);
            StatusCode::from_u16(script.statuses.lock().pop_front().unwrap_or(200)).unwrap()
        });
        let address = listen(Router::new().fallback_service(answer.with_state(script.clone()))).await;
        (script, format!("http://{address}"))
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

fn fast(kit: &Kit, url: &str) -> ClientBuilder {
    kit.client("stock", url).backoff(Backoff { first: Duration::from_millis(1), max: Duration::from_millis(1) })
}

async fn status(kit: &Kit, client: &Client) -> Result<u16, ClientErrorKind> {
    let call = client.get("/items/7?key=secret").route("/items/{id}").send();
    kit.run(call).await.map(|response| response.status.as_u16()).map_err(|error| error.kind())
}

#[tokio::test]
async fn one_trace_one_request_id_and_less_time_from_service_to_service() {
    let receiver = Receiver::start().await;
    let (front, back) = (receiver.kit("front"), receiver.kit("back"));
    let seen: Arc<Mutex<Option<HeaderMap>>> = Arc::default();
    let keep = Arc::clone(&seen);
    let inner =
        Router::new().route("/stock/{id}", get(move |headers: HeaderMap| async move { *keep.lock() = Some(headers) }));
    let inner = listen(inner.layer(back.server_layer())).await;
    let client = front.client("stock", format!("http://{inner}")).server_address("stock.example").build().unwrap();
    let outer = Router::new().route(
        "/cart",
        get(move || async move {
            client.get("/stock/7").route("/stock/{id}").send().await?.successful()?;
            Ok::<_, Failure>(())
        }),
    );
    let outer = listen(outer.layer(front.server_layer())).await;
    let request = causeway_kit::http_client("http:").build().unwrap().get(format!("http://{outer}/cart"));
    let response =
        request.header("x-request-id", "user-1").header("x-request-timeout-ms", "2000").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    front.flush().await;
    back.flush().await;

    let (cart, stock) = (receiver.span("GET /cart"), receiver.spans_named("GET /stock/{id}"));
    let call = stock.iter().find(|span| span.kind == SpanKind::Client as i32).unwrap();
    let served = stock.iter().find(|span| span.kind == SpanKind::Server as i32).unwrap();
    assert!(cart.parent_span_id.is_empty() && cart.trace_state == "ot=th:0");
    assert_eq!((&call.parent_span_id, &served.parent_span_id), (&cart.span_id, &call.span_id));
    assert_eq!((&cart.trace_id, &call.trace_id), (&call.trace_id, &served.trace_id));
    assert_eq!(attribute(&served.attributes, "request_id"), "user-1");
    let expected = [
        ("server.address", "stock.example"),
        ("peer.service", "stock"),
        ("http.response.status_code", "200"),
        ("http.request.resend_count", ""),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(&call.attributes, key), value, "{key}");
    }
    assert_eq!(integer(&call.attributes, "http.response.status_code"), Some(200));
    assert_eq!(integer(&call.attributes, "server.port"), Some(i64::from(inner.port())));
    assert_eq!(attribute(&call.attributes, "url.full"), format!("http://stock.example:{}/stock/7", inner.port()));
    let headers = seen.lock().clone().unwrap();
    let left: u64 = headers["x-request-timeout-ms"].to_str().unwrap().parse().unwrap();
    assert!(left <= 2000, "{left}");
    assert!(headers["traceparent"].to_str().unwrap().ends_with("-03"), "sampled, and its id is random");
    let points = receiver.histogram("http.client.request.duration");
    assert_eq!(points[0].exemplars[0].span_id, call.span_id);
}

#[tokio::test]
async fn each_try_is_a_span_and_only_the_repeatable_is_tried_again() {
    let receiver = Receiver::start().await;
    let kit = receiver.kit("front");
    let (script, url) = Script::start(&[503, 503]).await;
    let client = fast(&kit, &url).build().unwrap();
    assert_eq!((status(&kit, &client).await, script.calls()), (Ok(200), 3));
    kit.flush().await;
    let mut counts: Vec<(String, String)> = receiver
        .spans_named("GET /items/{id}")
        .iter()
        .map(|span| {
            assert!(attribute(&span.attributes, "url.full").ends_with("/items/7"), "no query");
            (attribute(&span.attributes, "http.request.resend_count"), attribute(&span.attributes, "error.type"))
        })
        .collect();
    counts.sort();
    assert_eq!(
        counts,
        [("", "503"), ("1", "503"), ("2", "")].map(|(count, error)| (count.to_owned(), error.to_owned()))
    );

    for (repeatable, statuses, expected, calls) in
        [(false, [503], 503, 1), (true, [503], 200, 2), (true, [500], 500, 1), (true, [404], 404, 1)]
    {
        let (script, url) = Script::start(&statuses).await;
        let request = fast(&kit, &url).build().unwrap().post("/orders");
        let request = if repeatable { request.repeatable() } else { request };
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status.as_u16(), script.calls()), (expected, calls), "{repeatable} {statuses:?}");
        assert_eq!(answer.successful().is_ok(), expected < 400);
    }
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let kit = causeway_kit::init_scoped(crate::receiver::quiet("front")).unwrap();
    let (script, url) = Script::start(&[503; 100]).await;
    let client = fast(&kit, &url).budget(BudgetSettings { ratio: 0.0, tokens_max: 4.0 }).breaker(None).build().unwrap();
    for _ in 0..10 {
        assert_eq!(status(&kit, &client).await, Ok(503));
    }
    assert_eq!(script.calls(), 10 + 4);
}

#[tokio::test]
async fn an_open_breaker_calls_nobody_and_says_so_in_the_trace() {
    let receiver = Receiver::start().await;
    let kit = receiver.kit("front");
    let (script, url) = Script::start(&[500; 4]).await;
    let settings = BreakerSettings { calls_min: 4, open_for: Duration::from_secs(3600), ..BreakerSettings::default() };
    let client = fast(&kit, &url).breaker(Some(settings)).build().unwrap();
    for _ in 0..4 {
        assert_eq!(status(&kit, &client).await, Ok(500));
    }
    assert_eq!((status(&kit, &client).await, script.calls()), (Err(ClientErrorKind::BreakerOpen), 4));
    assert_eq!(client.breaker_state(), BreakerState::Open);
    kit.flush().await;
    let refused =
        receiver.spans().into_iter().filter(|span| attribute(&span.attributes, "error.type") == "breaker_open");
    assert_eq!(refused.count(), 1);
    assert_eq!(attribute(&receiver.log("breaker.opened").attributes, "peer.service"), "stock");
}

#[tokio::test]
async fn a_slow_service_costs_no_more_than_its_bulkhead_and_time() {
    let receiver = Receiver::start().await;
    let kit = receiver.kit("front");
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, gate) = (Arc::clone(&entered), Arc::clone(&leave));
    let handler = get(move || async move {
        inside.notify_one();
        gate.notified().await;
    });
    let address = listen(Router::new().route("/items/{id}", handler)).await;
    let url = format!("http://{address}");
    let client = fast(&kit, &url).bulkhead(1, Duration::from_millis(20)).build().unwrap();
    let (first, second) = tokio::join!(status(&kit, &client), async {
        entered.notified().await;
        let refused =
            kit.run(async { client.get("/items/8").send().instrument(tracing::info_span!("outer")).await }).await;
        leave.notify_one();
        refused.map_err(|error| error.kind()).map(|_| ())
    });
    assert_eq!((first, second), (Ok(200), Err(ClientErrorKind::BulkheadFull)));
    let hurried = fast(&kit, &url).try_timeout(Duration::from_millis(5)).tries_max(1).build().unwrap();
    assert_eq!(status(&kit, &hurried).await, Err(ClientErrorKind::Timeout));
    kit.flush().await;
    let error_types: Vec<String> =
        receiver.spans().iter().map(|span| attribute(&span.attributes, "error.type")).collect();
    assert!(
        error_types.contains(&"bulkhead_full".to_owned()) && error_types.contains(&"timeout".to_owned()),
        "{error_types:?}"
    );
    let (outer, wait) = (receiver.span("outer"), receiver.span("bulkhead.wait"));
    assert_eq!((wait.parent_span_id, wait.trace_id), (outer.span_id, outer.trace_id));
    assert!(wait.end_time_unix_nano - wait.start_time_unix_nano >= 20_000_000, "as long as the wait was");
    let turn = receiver.histogram("kit.client.turn.duration");
    assert_eq!(turn.iter().map(|point| point.count).sum::<u64>(), 3);
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_no_answer() {
    let kit = causeway_kit::init_scoped(crate::receiver::quiet("front")).unwrap();
    // A port that was just free.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = fast(&kit, &format!("http://{unused}")).build().unwrap();
    assert_eq!(status(&kit, &client).await, Err(ClientErrorKind::Connect));
    let ends = [("ftp://x", true), ("no url", true), ("http://ok", false)];
    for (url, wrong) in ends {
        assert_eq!(kit.client("x", url).build().is_err(), wrong, "{url}");
    }
    let invalid = client.get("/").header("x", "a\nb").send().await.unwrap_err();
    assert_eq!(invalid.kind(), ClientErrorKind::Invalid);
}

#[tokio::test]
async fn a_call_that_outlives_its_request_is_told_as_given_up() {
    let receiver = Receiver::start().await;
    let kit = receiver.kit("front");
    let inner = listen(Router::new().route("/stuck", get(std::future::pending::<()>))).await;
    let client = kit.client("stuck", format!("http://{inner}")).build().unwrap();
    let outer = Router::new().route(
        "/cart",
        get(move || async move {
            client.get("/stuck").route("/stuck").send().await?;
            Ok::<_, Failure>(())
        }),
    );
    let request = axum::http::Request::get("/cart").header("x-request-timeout-ms", "30");
    let request = request.body(axum::body::Body::empty()).unwrap();
    let response = outer.layer(kit.server_layer()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    kit.flush().await;
    // Which of the two clocks strikes first is chance.
    let given_up = attribute(&receiver.span("GET /stuck").attributes, "error.type");
    assert!(["cancelled", "deadline_exceeded"].contains(&given_up.as_str()), "{given_up}");
    assert_eq!(attribute(&receiver.span("GET /cart").attributes, "error.type"), "deadline_exceeded");
    assert_eq!(receiver.histogram("http.client.request.duration")[0].count, 1);
}
