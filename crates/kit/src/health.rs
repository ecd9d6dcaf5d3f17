//! Is the service alive, and may it be given work? `/healthz` and `/readyz`, from checks with time-outs and reasons.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::init::Kit;

/// Longest time of a check unless told: an orchestrator's probe usually waits 1 s.
const CHECK_TIMEOUT: Duration = Duration::from_millis(800);
/// Longest reason that is shown.
const REASON_CHARS_MAX: usize = 200;

type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The checks of a service. From `Kit::health`.
#[derive(Clone)]
pub struct Health {
    kit: Kit,
    checks: Vec<(&'static str, Duration, Check)>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.checks.iter().map(|(name, timeout, _)| (name, timeout))).finish()
    }
}

impl Kit {
    /// No checks yet: ready as soon as it listens, until it drains.
    pub fn health(&self) -> Health {
        Health { kit: self.clone(), checks: Vec::new() }
    }
}

impl Health {
    /// Adds a check: it is ready when the future gives `Ok`, else the text says why not.
    pub fn check<F>(self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.check_within(name, CHECK_TIMEOUT, check)
    }

    /// The same with its own time-out.
    pub fn check_within<F>(
        mut self,
        name: &'static str,
        timeout: Duration,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, timeout, Arc::new(move || Box::pin(check()))));
        self
    }

    /// Adds the two routes to a service, outside of its layers: probes are no requests.
    pub fn merge(self, service: Router) -> Router {
        // In this order, as of two routers without a fallback axum takes the second one's, and that has the layers.
        self.router().merge(service)
    }

    /// The two routes alone.
    pub fn router(self) -> Router {
        let alive = get(async || ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#));
        let ready = get(move || async move {
            let (ready, report) = self.report().await;
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, axum::Json(report)).into_response()
        });
        Router::new().route("/healthz", alive).route("/readyz", ready)
    }

    async fn report(&self) -> (bool, Value) {
        let outcomes = join_all(self.checks.iter().map(|(name, timeout, check)| async move {
            let clock = self.kit.clock();
            let started = clock.monotonic();
            let outcome = tokio::time::timeout(*timeout, check()).await;
            let reason = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(reason)) => Some(reason.chars().take(REASON_CHARS_MAX).collect()),
                Err(_) => Some(format!("no answer within {} ms", timeout.as_millis())),
            };
            let elapsed_ms = clock.monotonic().saturating_sub(started).as_secs_f64() * 1000.0;
            let status = if reason.is_none() { "ok" } else { "failed" };
            (reason.is_none(), json!({"name": name, "status": status, "reason": reason, "elapsed_ms": elapsed_ms}))
        }))
        .await;
        let draining = self.kit.is_draining();
        let ready = !draining && outcomes.iter().all(|(ok, _)| *ok);
        let status = match (draining, ready) {
            (true, _) => "draining",
            (false, true) => "ready",
            (false, false) => "not_ready",
        };
        let checks: Vec<Value> = outcomes.into_iter().map(|(_, check)| check).collect();
        (ready, json!({"status": status, "checks": checks}))
    }
}
