//! What does each request leave behind, and what does it bring along? A tower layer for axum routers.
//!
//! A server span, `http.server.request.duration`, `http.server.active_requests` (semantic conventions for HTTP), the caller's trace,
//! request id and deadline. Use it with `Router::layer`, so that the route is known. The duration ends with the handler; the bytes
//! of a streamed body come after.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures::FutureExt;
use opentelemetry::metrics::UpDownCounter;
use opentelemetry::trace::{FutureExt as _, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use tower::{Layer, Service};
use tracing::instrument::WithSubscriber;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::failure::{ErrorType, Failure};
use crate::init::Kit;
use crate::metrics::Durations;
use crate::operation::{Late, Operation};
use crate::propagation::{REQUEST_ID, RequestContext, extract};

/// Longest time for one request, whatever its caller is ready to wait: what takes longer is not waited for by anyone.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// Longest value taken from a header into a span.
const HEADER_BYTES_MAX: usize = 256;
/// Longest path in a span: it is the caller's, who may send what he likes.
pub(crate) const PATH_BYTES_MAX: usize = 1024;

/// Makes each request visible. From `Kit::server_layer`.
#[derive(Debug, Clone)]
pub struct ServerLayer {
    kit: Kit,
    durations: Durations,
    active: UpDownCounter<i64>,
    timeout_max: Duration,
    quiet: fn(&Request<Body>) -> bool,
}

impl Kit {
    /// The layer for an axum router: `Router::new().route(…).layer(kit.server_layer())`.
    pub fn server_layer(&self) -> ServerLayer {
        let active = self.meter().i64_up_down_counter("http.server.active_requests");
        ServerLayer {
            kit: self.clone(),
            durations: self.durations("http.server.request.duration", "Duration of HTTP server requests."),
            active: active.with_unit("{request}").with_description("Requests that are being answered.").build(),
            timeout_max: REQUEST_TIMEOUT_MAX,
            quiet: |_| false,
        }
    }
}

impl ServerLayer {
    /// Longest time for one request; then it is given up and answered with 504. 30 s unless told.
    pub fn timeout_max(mut self, timeout_max: Duration) -> Self {
        self.timeout_max = timeout_max;
        self
    }

    /// Requests that leave a span only where they fail: those of machines that come by the thousand and say the same each time. Metrics count
    /// them all.
    pub fn quiet(mut self, quiet: fn(&Request<Body>) -> bool) -> Self {
        self.quiet = quiet;
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerService { inner, layer: self.clone() }
    }
}

/// A service that the layer has wrapped.
#[derive(Debug, Clone)]
pub struct ServerService<S> {
    inner: S,
    layer: ServerLayer,
}

impl<S> Service<Request<Body>> for ServerService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone is not ready yet; the one that was asked is.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let work = answer(self.layer.clone(), inner, request);
        match self.layer.kit.scoped() {
            Some(dispatch) => Box::pin(work.with_subscriber(dispatch.clone())),
            None => Box::pin(work),
        }
    }
}

async fn answer<S>(layer: ServerLayer, mut inner: S, request: Request<Body>) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let started = layer.kit.clock().monotonic();
    let rng = layer.kit.rng();
    let new_request_id = || format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64());
    let carried = RequestContext::from_headers(request.headers(), started, layer.timeout_max, new_request_id);
    let mut parent = Context::new().with_value(carried.clone());
    if let Some(caller) = extract(request.headers()) {
        parent = parent.with_remote_span_context(caller);
    }
    let active = Active::begin(&layer.active, &request);
    let mut attributes = active.attributes.to_vec();
    attributes.extend(route(&request).map(|route| KeyValue::new("http.route", route.to_owned())));
    let left = carried.deadline.map_or(layer.timeout_max, |deadline| deadline.saturating_sub(started));
    let quiet = (layer.quiet)(&request);
    let span = if quiet { Span::none() } else { server_span(&request, &carried) };
    let _no_bridge = span.set_parent(parent.clone());
    let late = quiet.then(|| late(&layer.kit, &request, &carried, &parent));
    let operation = Operation::begin(&layer.kit, &layer.durations, &span, attributes).told_late(late);
    let in_time = async {
        // Nobody waits for it any more; a handler that never has to wait itself would be through before any time-out.
        if left.is_zero() { None } else { tokio::time::timeout(left, inner.call(request)).await.ok() }
    };
    let handled = AssertUnwindSafe(in_time).catch_unwind();
    // A span brings its context along; without one it is given.
    let handled = match quiet {
        true => handled.with_context(parent.clone()).await,
        false => handled.instrument(span.clone()).await,
    };
    let answered = match handled {
        Ok(Some(Ok(response))) => Ok(response),
        Ok(Some(Err(never))) => match never {},
        Ok(None) => {
            let failure = Failure::new(StatusCode::GATEWAY_TIMEOUT, "the time for this request is over");
            Err(failure.error_type("deadline_exceeded"))
        }
        // The panic's own message is on standard error and may hold anything.
        Err(_) => Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "a defect").error_type("panic")),
    };
    let mut response = answered.unwrap_or_else(|failure| {
        // Where the request's log records belong, this one does too.
        let _attached = if quiet { parent } else { span.context() }.attach();
        failure.respond(Some(&carried.request_id))
    });
    end(operation, &response);
    if let Ok(value) = HeaderValue::from_str(&carried.request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    Ok(response)
}

fn late(kit: &Kit, request: &Request<Body>, carried: &RequestContext, parent: &Context) -> Late {
    let attributes = vec![
        KeyValue::new("url.path", clipped(request.uri().path(), PATH_BYTES_MAX).to_owned()),
        KeyValue::new("request_id", carried.request_id.clone()),
    ];
    Late { kit: kit.clone(), name: span_name(request), parent: parent.clone(), attributes }
}

fn route(request: &Request<Body>) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Methods by name; an unknown one could be anything and would be a series of its own (semantic conventions, `_OTHER`).
fn method(request: &Request<Body>) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == request.method().as_str()).unwrap_or("_OTHER")
}

fn header_text(request: &Request<Body>, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok().map(|text| clipped(text, HEADER_BYTES_MAX))
}

/// At most so many bytes of a text, in whole characters.
pub(crate) fn clipped(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

fn span_name(request: &Request<Body>) -> String {
    let method = method(request);
    route(request).map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}

fn server_span(request: &Request<Body>, carried: &RequestContext) -> Span {
    let (host, port) = match header_text(request, header::HOST).map(|host| host.rsplit_once(':').unwrap_or((host, "")))
    {
        Some((host, port)) => (Some(host), port.parse::<u16>().ok()),
        None => (None, None),
    };
    tracing::info_span!(
        "request",
        otel.name = span_name(request),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        error.type = tracing::field::Empty,
        http.request.method = method(request),
        http.route = route(request),
        http.response.status_code = tracing::field::Empty,
        rpc.system.name = tracing::field::Empty,
        rpc.response.status_code = tracing::field::Empty,
        url.path = clipped(request.uri().path(), PATH_BYTES_MAX),
        url.scheme = "http",
        server.address = host,
        server.port = port.map(i64::from),
        user_agent.original = header_text(request, header::USER_AGENT),
        request_id = &*carried.request_id,
    )
}

/// One that is being answered, until it is dropped.
struct Active {
    counter: UpDownCounter<i64>,
    attributes: [KeyValue; 2],
}

impl Active {
    fn begin(counter: &UpDownCounter<i64>, request: &Request<Body>) -> Self {
        let attributes = [KeyValue::new("http.request.method", method(request)), KeyValue::new("url.scheme", "http")];
        counter.add(1, &attributes);
        Self { counter: counter.clone(), attributes }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.counter.add(-1, &self.attributes);
    }
}

fn end(mut operation: Operation, response: &Response<Body>) {
    let status = response.status();
    operation.status(status.as_u16());
    if let Some((code, at_fault)) = crate::grpc::failure(response) {
        operation.grpc_status(code);
        return operation.end(at_fault.then_some(code));
    }
    let named = response.extensions().get::<ErrorType>().map_or(status.as_str(), |error_type| &error_type.0);
    // A 4xx is the caller's error, not this service's.
    operation.end(status.is_server_error().then_some(named));
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let request = RequestContext::current();
        self.respond(request.as_ref().map(|request| &*request.request_id))
    }
}
