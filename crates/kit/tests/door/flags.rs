//! Do flags follow their server, outlive it, and stand on the spans of the requests that they decided?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use causeway_kit::Flags;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::receiver::{Lines, Receiver, attribute, listen, quiet};

/// An OFREP server: what it answers, and what it was asked.
#[derive(Clone)]
struct Server {
    flags: Arc<Mutex<Result<Value, StatusCode>>>,
    asked: Arc<Mutex<Vec<Value>>>,
    unchanged: Arc<AtomicUsize>,
    answers: watch::Sender<usize>,
}

impl Server {
    async fn start(flags: Value) -> (Self, String) {
        let server = Self {
            flags: Arc::new(Mutex::new(Ok(flags))),
            asked: Arc::default(),
            unchanged: Arc::default(),
            answers: watch::Sender::new(0),
        };
        let router = Router::new().route("/ofrep/v1/evaluate/flags", post(Self::answer)).with_state(server.clone());
        (server, format!("http://{}", listen(router).await))
    }

    async fn answer(State(server): State<Self>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
        server.asked.lock().push(asked);
        let flags = server.flags.lock().clone();
        server.answers.send_modify(|answers| *answers += 1);
        let Ok(flags) = flags else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
        let etag = format!("\"{}\"", flags.to_string().len());
        if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == etag) {
            server.unchanged.fetch_add(1, Ordering::Relaxed);
            return StatusCode::NOT_MODIFIED.into_response();
        }
        ([(header::ETAG, etag)], Json(json!({"flags": flags}))).into_response()
    }

    /// Waits until two further questions were answered: the client has then read the first of the answers.
    async fn asked_again(&self) {
        let mut answers = self.answers.subscribe();
        let target = *answers.borrow() + 2;
        answers.wait_for(|answers| *answers >= target).await.unwrap();
    }
}

fn flag(key: &str, value: impl Into<Value>, variant: &str) -> Value {
    json!({"key": key, "value": value.into(), "variant": variant, "reason": "STATIC"})
}

#[tokio::test]
async fn a_switch_is_followed_and_an_absent_server_outlived() {
    let lines = Lines::default();
    let mut settings = quiet("payment");
    settings.log_output = Box::new(lines.clone());
    let kit = causeway_kit::init_scoped(settings).unwrap();
    let (server, url) =
        Server::start(json!([flag("fallback", true, "on"), flag("limit", 7, "few"), flag("color", "red", "red")]))
            .await;
    let flags =
        kit.flags(url).context("targetingKey", "payment-1").poll_interval(Duration::from_millis(1)).start().await;
    assert_eq!(server.asked.lock()[0], json!({"context": {"targetingKey": "payment-1"}}));
    assert!(flags.boolean("fallback", false));
    assert_eq!((flags.number("limit", 0.0), flags.string("color", "blue")), (7.0, "red".to_owned()));
    assert!(flags.boolean("color", true), "another type is no value");
    assert!(!flags.boolean("unknown", false));

    server.asked_again().await;
    assert!(server.unchanged.load(Ordering::Relaxed) > 0, "by ETag");
    *server.flags.lock() = Ok(json!([flag("fallback", false, "off")]));
    server.asked_again().await;
    assert!(!flags.boolean("fallback", true));
    assert_eq!(lines.event("flags.changed")["feature_flag.result.variant"], "off");

    *server.flags.lock() = Err(StatusCode::SERVICE_UNAVAILABLE);
    server.asked_again().await;
    assert!(flags.is_stale());
    let last_known = flags.value("fallback", Value::Bool(true));
    assert_eq!((last_known.value, last_known.reason.as_str()), (Value::Bool(false), "stale"));
    assert_eq!(lines.all().iter().filter(|line| line["event"] == "flags.unreachable").count(), 1, "told once");
    *server.flags.lock() = Ok(json!([flag("fallback", true, "on")]));
    server.asked_again().await;
    assert!(flags.boolean("fallback", false) && !flags.is_stale());
}

#[tokio::test]
async fn no_server_at_all_leaves_the_defaults() {
    let kit = causeway_kit::init_scoped(quiet("payment")).unwrap();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let flags = kit.flags(format!("http://{unused}")).start().await;
    assert!(flags.boolean("fallback", true) && !flags.boolean("fallback", false));
}

fn handler(flags: Flags) -> Router {
    Router::new().route(
        "/pay",
        get(move || async move { format!("{} {}", flags.boolean("fallback", false), flags.boolean("fast", false)) }),
    )
}

#[tokio::test]
async fn evaluations_stand_on_the_request_that_they_decided() {
    let receiver = Receiver::start().await;
    let kit = receiver.kit("payment");
    let (_server, url) = Server::start(json!([flag("fallback", true, "on"), flag("fast", false, "off")])).await;
    let flags = kit.flags(url).provider("causeway").context("targetingKey", "payment-1").start().await;
    let router = handler(flags).layer(kit.server_layer());
    let request = axum::http::Request::get("/pay").body(axum::body::Body::empty()).unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::OK);
    kit.flush().await;
    let span = receiver.span("GET /pay");
    let expected = [
        ("feature_flag.key", "fallback"),
        ("feature_flag.result.variant", "on"),
        ("feature_flag.provider.name", "causeway"),
    ];
    for (key, value) in expected {
        let times = span.attributes.iter().filter(|attribute| attribute.key == key).count();
        assert_eq!((attribute(&span.attributes, key).as_str(), times), (value, 1), "the request's first flag, once");
        assert_eq!(attribute(&span.events[0].attributes, key), value);
    }
    assert_eq!((span.events.len(), span.events[1].name.as_str()), (2, "feature_flag.evaluation"));
    assert_eq!(attribute(&span.events[1].attributes, "feature_flag.result.reason"), "static");
    assert_eq!(attribute(&span.events[1].attributes, "feature_flag.context.id"), "payment-1");
}
