//! How does a service call another without falling with it? Each try is a span; deadline, bulkhead, breaker, retries within a budget.
//!
//! `kit.client("cart", "http://cart:8080").build()`, then `client.get("/items/7").route("/items/{id}").send().await?`.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::metrics::Counter;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::clock::wait;
use crate::init::Kit;
use crate::metrics::Durations;
use crate::operation::Operation;
use crate::propagation::{RequestContext, inject};
use crate::resilience::{Backoff, Breaker, BreakerSettings, BreakerState, Budget, BudgetSettings, CallOutcome, Ticket};
use crate::server::{PATH_BYTES_MAX, clipped};

/// Time for a whole call with its retries, unless told or the caller's deadline is nearer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time for one try.
const TRY_TIMEOUT: Duration = Duration::from_secs(3);
/// Tries of one call: a third retry seldom helps and triples the load.
const TRIES_MAX: u32 = 3;
/// Calls at once to one service: above it the others wait, so that one slow service does not take all memory and sockets.
const CONCURRENT_MAX: usize = 64;
/// How long a call waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);
/// A wait for a turn that is told on the span; shorter ones are noise.
const TURN_TOLD: Duration = Duration::from_millis(5);
/// Largest answer that is read.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Calls one other service. Clones share breaker, budget and bulkhead.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    kit: Kit,
    http: reqwest::Client,
    settings: ClientBuilder,
    scheme: String,
    address: String,
    port: u16,
    breaker: Mutex<Breaker>,
    budget: Mutex<Budget>,
    turns: Semaphore,
    durations: Durations,
    turn_durations: Durations,
    refused: Counter<u64>,
}

/// How another service is called. Each setting has a default.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    kit: Kit,
    name: String,
    base_url: String,
    address: Option<String>,
    timeout: Duration,
    try_timeout: Duration,
    tries_max: u32,
    backoff: Backoff,
    budget: BudgetSettings,
    breaker: Option<BreakerSettings>,
    concurrent_max: usize,
    turn_timeout: Duration,
}

impl Kit {
    /// A client of the service `name` at `base_url`.
    pub fn client(&self, name: impl Into<String>, base_url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            kit: self.clone(),
            name: name.into(),
            base_url: base_url.into(),
            address: None,
            timeout: TIMEOUT,
            try_timeout: TRY_TIMEOUT,
            tries_max: TRIES_MAX,
            backoff: Backoff::default(),
            budget: BudgetSettings::default(),
            breaker: Some(BreakerSettings::default()),
            concurrent_max: CONCURRENT_MAX,
            turn_timeout: TURN_TIMEOUT,
        }
    }
}

impl ClientBuilder {
    /// `server.address` on spans, where it is not the host of the URL: behind a proxy, or a port that was forwarded.
    pub fn server_address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Time for a whole call; 10 s unless told.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Time for one try; 3 s unless told.
    pub fn try_timeout(mut self, timeout: Duration) -> Self {
        self.try_timeout = timeout;
        self
    }

    /// Tries of one call, at least 1; 3 unless told.
    pub fn tries_max(mut self, tries: u32) -> Self {
        self.tries_max = tries.max(1);
        self
    }

    /// Pauses between tries.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Share of retries.
    pub fn budget(mut self, budget: BudgetSettings) -> Self {
        self.budget = budget;
        self
    }

    /// When to stop calling; `None`: never.
    pub fn breaker(mut self, breaker: Option<BreakerSettings>) -> Self {
        self.breaker = breaker;
        self
    }

    /// Calls at once, and how long others wait for their turn; 64 and 1 s unless told.
    pub fn bulkhead(mut self, concurrent_max: usize, turn_timeout: Duration) -> Self {
        self.concurrent_max = concurrent_max.clamp(1, Semaphore::MAX_PERMITS);
        self.turn_timeout = turn_timeout;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// When the base URL is not `http[s]://host[:port][/path]`, or for https no root certificate is known.
    pub fn build(mut self) -> Result<Client, ClientError> {
        let invalid =
            |builder: &Self| ClientError { client: builder.name.clone(), kind: ClientErrorKind::Invalid, source: None };
        let url = reqwest::Url::parse(&self.base_url).map_err(|_| invalid(&self))?;
        let (Some(host), Some(port), "http" | "https") = (url.host_str(), url.port_or_known_default(), url.scheme())
        else {
            return Err(invalid(&self));
        };
        let address = self.address.clone().unwrap_or_else(|| host.to_owned());
        self.base_url.truncate(self.base_url.trim_end_matches('/').len());
        // Redirects would be tries that nobody sees.
        let http = self.kit.http_client(&self.base_url).no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = http.build().map_err(|error| ClientError { source: Some(error.into()), ..invalid(&self) })?;
        let refused = self
            .kit
            .meter()
            .u64_counter("kit.client.refused")
            .with_description("Calls that were not made, by reason.")
            .build();
        let shared = Shared {
            durations: self
                .kit
                .durations("http.client.request.duration", "Duration of HTTP client requests: each try is one."),
            turn_durations: self
                .kit
                .durations("kit.client.turn.duration", "Time that calls waited for their turn at the bulkhead."),
            refused,
            breaker: Mutex::new(Breaker::new(self.breaker.unwrap_or_default())),
            budget: Mutex::new(Budget::new(self.budget)),
            turns: Semaphore::new(self.concurrent_max),
            kit: self.kit.clone(),
            http,
            scheme: url.scheme().to_owned(),
            address,
            port,
            settings: self,
        };
        Ok(Client { shared: Arc::new(shared) })
    }
}

impl Client {
    /// A request with any method; `path` begins with a slash.
    pub fn request(&self, method: Method, path: impl Into<String>) -> RequestBuilder {
        let repeatable = method.is_idempotent();
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        RequestBuilder {
            client: self.clone(),
            method,
            path: path.into(),
            route: None,
            headers,
            body,
            repeatable,
            wrong: None,
        }
    }

    /// A GET.
    pub fn get(&self, path: impl Into<String>) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST. Retried only where `repeatable` says that twice is as good as once.
    pub fn post(&self, path: impl Into<String>) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// What the breaker lets through at this moment.
    pub fn breaker_state(&self) -> BreakerState {
        self.shared.breaker.lock().state()
    }
}

/// A request that is being written.
#[derive(Debug)]
pub struct RequestBuilder {
    client: Client,
    method: Method,
    path: String,
    route: Option<&'static str>,
    headers: HeaderMap,
    body: Bytes,
    repeatable: bool,
    wrong: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl RequestBuilder {
    /// The path's template, such as `/items/{id}`: `url.template`, and in the span's name.
    pub fn route(mut self, route: &'static str) -> Self {
        self.route = Some(route);
        self
    }

    /// A header. One that is not valid fails the call.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => drop(self.headers.insert(name, value)),
            (Err(error), _) => self.wrong = Some(error.into()),
            (_, Err(error)) => self.wrong = Some(error.into()),
        }
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A body of JSON.
    pub fn json<T: Serialize>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => {
                self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                self.body(bytes)
            }
            Err(error) => {
                self.wrong = Some(error.into());
                self
            }
        }
    }

    /// Says that this request may be sent twice, though its method does not say so.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sends it, and again where that is worth it. Any status is an answer; see `Response::successful`.
    ///
    /// # Errors
    /// When there was no answer, in time or at all, or the call was not made.
    pub async fn send(mut self) -> Result<Response, ClientError> {
        let client = self.client.clone();
        let shared = &*client.shared;
        if let Some(wrong) = self.wrong.take() {
            return Err(shared.error(ClientErrorKind::Invalid, Some(wrong)));
        }
        let started = shared.now();
        let own = started.saturating_add(shared.settings.timeout);
        let deadline =
            RequestContext::current().and_then(|request| request.deadline).map_or(own, |callers| callers.min(own));
        let _turn = shared.turn(&self, deadline).await?;
        shared.budget.lock().call();
        let mut tries = 0;
        loop {
            let result = shared.try_once(&self, tries, deadline).await;
            tries += 1;
            let Some(wish) = self.worth_another(&result) else { return result };
            let pause = shared.settings.backoff.pause(tries, shared.kit.rng().unit()).max(wish.unwrap_or_default());
            let in_time = shared.now().saturating_add(pause) < deadline;
            if tries >= shared.settings.tries_max || !in_time {
                return result;
            }
            if !shared.budget.lock().retry() {
                shared.count_refusal("retry_budget");
                return result;
            }
            wait(pause).await;
        }
    }

    /// Whether to try again, and how long to wait at least if the other side says so.
    fn worth_another(&self, result: &Result<Response, ClientError>) -> Option<Option<Duration>> {
        match result {
            Ok(response) if self.repeatable && matches!(response.status.as_u16(), 429 | 502 | 503 | 504) => {
                let seconds =
                    response.headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                Some(seconds.map(Duration::from_secs))
            }
            // What never reached the other side may be sent again, whatever it is.
            Err(error) if error.kind == ClientErrorKind::Connect => Some(None),
            Err(error)
                if self.repeatable && matches!(error.kind, ClientErrorKind::Timeout | ClientErrorKind::Broken) =>
            {
                Some(None)
            }
            _ => None,
        }
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.kit.clock().monotonic()
    }

    fn error(&self, kind: ClientErrorKind, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError { client: self.settings.name.clone(), kind, source }
    }

    fn count_refusal(&self, reason: &'static str) {
        self.refused
            .add(1, &[KeyValue::new("peer.service", self.settings.name.clone()), KeyValue::new("error.type", reason)]);
    }

    /// A call that is not made is a span too: else the trace would blame this service for the other's illness.
    fn refuse(&self, request: &RequestBuilder, kind: ClientErrorKind) -> ClientError {
        let span = self.span(request, 0);
        span.record("otel.status_code", "ERROR");
        span.record("error.type", kind.word());
        self.count_refusal(kind.word());
        self.error(kind, None)
    }

    async fn turn(
        &self,
        request: &RequestBuilder,
        deadline: Duration,
    ) -> Result<tokio::sync::SemaphorePermit<'_>, ClientError> {
        let started = self.now();
        let patience = self.settings.turn_timeout.min(deadline.saturating_sub(started));
        let turn = tokio::time::timeout(patience, self.turns.acquire()).await;
        let waited = self.now().saturating_sub(started);
        Context::map_current(|context| {
            let span = context.span();
            self.turn_durations.record(
                waited,
                &[KeyValue::new("peer.service", self.settings.name.clone())],
                span.span_context(),
            );
            if waited >= TURN_TOLD {
                self.kit.past_span(
                    "bulkhead.wait",
                    waited,
                    vec![KeyValue::new("peer.service", self.settings.name.clone())],
                    context,
                );
            }
        });
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            _ if self.now() >= deadline => Err(self.refuse(request, ClientErrorKind::Deadline)),
            _ => Err(self.refuse(request, ClientErrorKind::BulkheadFull)),
        }
    }

    fn span(&self, request: &RequestBuilder, resend_count: u32) -> Span {
        let method = request.method.as_str();
        let name = request.route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        // Without the query: values in it may be secrets.
        let path = clipped(request.path.split(['?', '#']).next().unwrap_or_default(), PATH_BYTES_MAX);
        tracing::info_span!(
            "call",
            otel.name = name,
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            error.type = tracing::field::Empty,
            http.request.method = method,
            http.request.resend_count = (resend_count > 0).then_some(i64::from(resend_count)),
            http.response.status_code = tracing::field::Empty,
            url.full = format!("{}://{}:{}{path}", self.scheme, self.address, self.port),
            url.template = request.route,
            server.address = self.address,
            server.port = i64::from(self.port),
            peer.service = self.settings.name,
        )
    }

    async fn try_once(
        &self,
        request: &RequestBuilder,
        resend_count: u32,
        deadline: Duration,
    ) -> Result<Response, ClientError> {
        let left = deadline.saturating_sub(self.now());
        if left.is_zero() {
            return Err(self.refuse(request, ClientErrorKind::Deadline));
        }
        let Some(pass) = Pass::enter(self) else {
            return Err(self.refuse(request, ClientErrorKind::BreakerOpen));
        };
        let span = self.span(request, resend_count);
        let mut attributes = vec![
            KeyValue::new("http.request.method", request.method.to_string()),
            KeyValue::new("server.address", self.address.clone()),
            KeyValue::new("server.port", i64::from(self.port)),
        ];
        attributes.extend(request.route.map(|route| KeyValue::new("url.template", route)));
        let mut operation = Operation::begin(&self.kit, &self.durations, &span, attributes);
        let limit = self.settings.try_timeout.min(left);
        let exchange = self.exchange(request, &span, limit).instrument(span.clone());
        let result = match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result,
            Err(_) if limit < self.settings.try_timeout => Err(self.error(ClientErrorKind::Deadline, None)),
            Err(_) => Err(self.error(ClientErrorKind::Timeout, None)),
        };
        match &result {
            Ok(response) => {
                let status = response.status;
                operation.status(status.as_u16());
                operation.end((status.as_u16() >= 400).then_some(status.as_str()));
                // A 4xx is an answer: the other side works.
                pass.leave(if status.is_server_error() { CallOutcome::Failure } else { CallOutcome::Success });
            }
            Err(error) => {
                operation.end(Some(error.word()));
                pass.leave(CallOutcome::Failure);
            }
        }
        result
    }

    async fn exchange(&self, request: &RequestBuilder, span: &Span, limit: Duration) -> Result<Response, ClientError> {
        let mut headers = request.headers.clone();
        inject(&span.context(), limit, &mut headers);
        let url = format!("{}{}", self.settings.base_url, request.path);
        let sent =
            self.http.request(request.method.clone(), url).headers(headers).body(request.body.clone()).send().await;
        let response = sent.map_err(|error| self.broken(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_limited(response, BODY_BYTES_MAX).await.map_err(|error| match error {
            Some(error) => self.broken(error),
            None => self.error(ClientErrorKind::TooLarge, None),
        })?;
        Ok(Response { client: self.settings.name.clone(), status, headers, body })
    }

    fn broken(&self, error: reqwest::Error) -> ClientError {
        let kind = match (error.is_builder(), error.is_connect()) {
            (true, _) => ClientErrorKind::Invalid,
            (_, true) => ClientErrorKind::Connect,
            _ => ClientErrorKind::Broken,
        };
        // The URL's query may hold what is nobody's business.
        self.error(kind, Some(error.without_url().into()))
    }
}

/// A call that the breaker let through; given back also where nobody waits for its end.
struct Pass<'a> {
    shared: &'a Shared,
    ticket: Option<Ticket>,
}

impl<'a> Pass<'a> {
    fn enter(shared: &'a Shared) -> Option<Self> {
        let ticket = match shared.settings.breaker {
            Some(_) => Some(shared.breaker.lock().enter(shared.now())?),
            None => None,
        };
        Some(Self { shared, ticket })
    }

    fn leave(mut self, outcome: CallOutcome) {
        self.give_back(outcome);
    }

    fn give_back(&mut self, outcome: CallOutcome) {
        let Some(ticket) = self.ticket.take() else { return };
        let (before, after) = {
            let mut breaker = self.shared.breaker.lock();
            let before = breaker.state();
            breaker.leave(ticket, outcome, self.shared.now());
            (before, breaker.state())
        };
        let peer = &*self.shared.settings.name;
        match (before, after) {
            (before, BreakerState::Open) if before != BreakerState::Open => {
                tracing::warn!(
                    event = "breaker.opened",
                    peer.service = peer,
                    "calls fail too often: no more are made for a while"
                );
            }
            (before, BreakerState::Closed) if before != BreakerState::Closed => {
                tracing::info!(event = "breaker.closed", peer.service = peer, "calls succeed again");
            }
            _ => {}
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.give_back(CallOutcome::Abandoned);
    }
}

/// Reads a body up to a size; `Err(None)` where it is larger.
pub(crate) async fn read_limited(
    mut response: reqwest::Response,
    bytes_max: usize,
) -> Result<Bytes, Option<reqwest::Error>> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Some)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    client: String,
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Response {
    /// The answer where its status is below 400, else an error.
    ///
    /// # Errors
    /// `ClientErrorKind::Status`.
    pub fn successful(self) -> Result<Self, ClientError> {
        match self.status.as_u16() {
            status @ 400.. => {
                Err(ClientError { client: self.client, kind: ClientErrorKind::Status(status), source: None })
            }
            _ => Ok(self),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `ClientErrorKind::Body`, when it is not what was expected.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        let error = |source: serde_json::Error| ClientError {
            client: self.client.clone(),
            kind: ClientErrorKind::Body,
            source: Some(source.into()),
        };
        serde_json::from_slice(&self.body).map_err(error)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientErrorKind {
    /// The request could not be written.
    Invalid,
    /// No connection.
    Connect,
    /// No answer within the time of one try.
    Timeout,
    /// The time of the whole call, or of the request that this one serves, is over.
    Deadline,
    /// The connection broke before the answer was complete.
    Broken,
    /// The answer is larger than is read.
    TooLarge,
    /// Not called: it fails too often.
    BreakerOpen,
    /// Not called: too many calls run already.
    BulkheadFull,
    /// It answered with this status.
    Status(u16),
    /// Its answer is not what was expected.
    Body,
}

impl ClientErrorKind {
    /// `error.type`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_request",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Deadline => "deadline_exceeded",
            Self::Broken => "connection_broken",
            Self::TooLarge => "too_large",
            Self::BreakerOpen => "breaker_open",
            Self::BulkheadFull => "bulkhead_full",
            Self::Status(_) => "status",
            Self::Body => "unexpected_body",
        }
    }
}

/// A call without the answer that was wished for.
#[derive(Debug)]
pub struct ClientError {
    client: String,
    kind: ClientErrorKind,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ClientError {
    /// What happened.
    pub fn kind(&self) -> ClientErrorKind {
        self.kind
    }

    /// `error.type`.
    pub fn word(&self) -> &'static str {
        self.kind.word()
    }

    /// The status that a service which needed this answer gives to its own caller.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            ClientErrorKind::Timeout | ClientErrorKind::Deadline => StatusCode::GATEWAY_TIMEOUT,
            ClientErrorKind::BreakerOpen | ClientErrorKind::BulkheadFull => StatusCode::SERVICE_UNAVAILABLE,
            ClientErrorKind::Invalid => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let client = &self.client;
        match self.kind {
            ClientErrorKind::Status(status) => write!(formatter, "{client} answered with status {status}"),
            kind => write!(formatter, "call to {client}: {}", kind.word()),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}
