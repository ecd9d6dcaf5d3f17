//! Which variant does a feature flag have here? An OFREP client (OpenFeature Remote Evaluation Protocol 0.2) that outlives its server.
//!
//! All flags are fetched at once for the service's own context and again every few seconds, by ETag. Each evaluation is told on the current span
//! as the event `feature_flag.evaluation` (semantic conventions for feature flags).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{ETAG, IF_NONE_MATCH};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::instrument::WithSubscriber;

use crate::clock::wait;
use crate::init::Kit;
use crate::propagation::RequestContext;

/// How often flags are fetched: a switch that was turned acts within seconds.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Time for one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait between fetches while the server is away.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(15);
/// Largest answer: thousands of flags.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// `feature_flag.provider.name` unless told.
const PROVIDER: &str = "ofrep";

/// The flags of a service. Clones share what was fetched; with the last one the fetching ends.
#[derive(Debug, Clone)]
pub struct Flags {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    provider: String,
    context_id: String,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    flags: BTreeMap<String, Flag>,
    /// The last fetch failed: what is known may be old.
    stale: bool,
    fetched: bool,
}

/// One flag as OFREP gives it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Flag {
    key: String,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default, rename = "errorCode")]
    error_code: Option<String>,
}

#[derive(Deserialize)]
struct Bulk {
    flags: Vec<Flag>,
}

/// What a flag came out as.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Its value, or the default.
    pub value: Value,
    /// Name of the variant, where the server gave one.
    pub variant: Option<String>,
    /// `static`, `targeting_match`, `split`, `disabled`, `stale`, `default`, `error` …
    pub reason: String,
}

/// Where flags come from.
#[derive(Debug, Clone)]
pub struct FlagsBuilder {
    kit: Kit,
    base_url: String,
    provider: String,
    context: serde_json::Map<String, Value>,
    poll_interval: Duration,
}

impl Kit {
    /// Flags of an OFREP server at `base_url`, without `/ofrep/v1`.
    pub fn flags(&self, base_url: impl Into<String>) -> FlagsBuilder {
        let (base_url, provider) = (base_url.into(), PROVIDER.to_owned());
        FlagsBuilder {
            kit: self.clone(),
            base_url,
            provider,
            context: serde_json::Map::new(),
            poll_interval: POLL_INTERVAL,
        }
    }
}

impl FlagsBuilder {
    /// An attribute of the evaluation's context; `targetingKey` is the one that fractions go by.
    pub fn context(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.context.insert(key.into(), value.into());
        self
    }

    /// `feature_flag.provider.name`; `ofrep` unless told.
    pub fn provider(mut self, name: impl Into<String>) -> Self {
        self.provider = name.into();
        self
    }

    /// How often flags are fetched; 2 s unless told.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Fetches once, within its time-out, and from then on in the background. Where the server is away the defaults count until it comes.
    pub async fn start(self) -> Flags {
        let context_id = self.context.get("targetingKey").and_then(Value::as_str).unwrap_or_default().to_owned();
        let shared = Arc::new(Shared { provider: self.provider.clone(), context_id, known: RwLock::default() });
        let weak = Arc::downgrade(&shared);
        let url = format!("{}/ofrep/v1/evaluate/flags", self.base_url.trim_end_matches('/'));
        let http = self.kit.http_client(&url).no_proxy().timeout(FETCH_TIMEOUT).build();
        let mut fetcher =
            Fetcher { http, url, body: json!({"context": self.context}), etag: None, failures: 0, shared: weak };
        let kit = self.kit.clone();
        kit.run(fetcher.fetch()).await;
        let interval = self.poll_interval;
        let work = async move {
            while fetcher.shared.strong_count() > 0 {
                wait((interval * 2u32.saturating_pow(fetcher.failures.min(8))).min(POLL_INTERVAL_MAX.max(interval)))
                    .await;
                fetcher.fetch().await;
            }
        };
        match kit.scoped() {
            Some(dispatch) => drop(tokio::spawn(work.with_subscriber(dispatch.clone()))),
            None => drop(tokio::spawn(work)),
        }
        Flags { shared }
    }
}

/// Asks the server.
struct Fetcher {
    /// Or why there is no client.
    http: Result<reqwest::Client, reqwest::Error>,
    url: String,
    body: Value,
    etag: Option<http::HeaderValue>,
    failures: u32,
    shared: std::sync::Weak<Shared>,
}

impl Fetcher {
    async fn fetch(&mut self) {
        let outcome = self.ask().await;
        let Some(shared) = self.shared.upgrade() else { return };
        match outcome {
            Ok(news) => {
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(event = "flags.reachable", "the flags' server answers again");
                }
                shared.learn(news);
            }
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                // Once, not with every poll.
                if self.failures == 1 {
                    tracing::warn!(
                        event = "flags.unreachable",
                        reason,
                        "the flags' server does not answer: the last known values count"
                    );
                }
                shared.known.write().stale = true;
            }
        }
    }

    /// `None`: nothing is new.
    async fn ask(&mut self) -> Result<Option<Vec<Flag>>, String> {
        let http = self.http.as_ref().map_err(ToString::to_string)?;
        let mut request = http.post(&self.url).json(&self.body);
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(|error| error.without_url().to_string())?;
        match response.status() {
            StatusCode::NOT_MODIFIED => return Ok(None),
            StatusCode::OK => {}
            status => return Err(format!("status {status}")),
        }
        let etag = response.headers().get(ETAG).cloned();
        let body = crate::client::read_limited(response, ANSWER_BYTES_MAX).await;
        let body = body.map_err(|error| {
            error.map_or_else(|| "the answer is too large".to_owned(), |error| error.without_url().to_string())
        })?;
        let bulk: Bulk = serde_json::from_slice(&body).map_err(|error| format!("not OFREP: {error}"))?;
        self.etag = etag;
        Ok(Some(bulk.flags))
    }
}

impl Shared {
    fn learn(&self, news: Option<Vec<Flag>>) {
        let mut known = self.known.write();
        known.stale = false;
        let Some(flags) = news else { return };
        let flags: BTreeMap<String, Flag> = flags.into_iter().map(|flag| (flag.key.clone(), flag)).collect();
        let before = std::mem::replace(&mut known.flags, flags);
        let first = !std::mem::replace(&mut known.fetched, true);
        let changed = known
            .flags
            .values()
            .filter(|flag| !first && before.get(&flag.key).map(|old| &old.value) != Some(&flag.value));
        let changed: Vec<(String, Option<String>)> =
            changed.map(|flag| (flag.key.clone(), flag.variant.clone())).collect();
        drop(known);
        for (key, variant) in changed {
            tracing::info!(
                event = "flags.changed",
                feature_flag.key = key,
                feature_flag.result.variant = variant,
                "a flag has another value here"
            );
        }
    }
}

impl Flags {
    /// A flag that is on or off; `default` where the server does not know it or has another type for it.
    pub fn boolean(&self, key: &str, default: bool) -> bool {
        self.evaluate(key, Value::Bool(default), Value::is_boolean).value.as_bool().unwrap_or(default)
    }

    /// A flag with texts.
    pub fn string(&self, key: &str, default: &str) -> String {
        let evaluation = self.evaluate(key, Value::from(default), Value::is_string);
        evaluation.value.as_str().unwrap_or(default).to_owned()
    }

    /// A flag with numbers.
    pub fn number(&self, key: &str, default: f64) -> f64 {
        self.evaluate(key, Value::from(default), Value::is_number).value.as_f64().unwrap_or(default)
    }

    /// A flag with anything, in full.
    pub fn value(&self, key: &str, default: Value) -> Evaluation {
        self.evaluate(key, default, |_| true)
    }

    /// Whether the last fetch failed: values are the last known ones, or the defaults.
    pub fn is_stale(&self) -> bool {
        self.shared.known.read().stale
    }

    fn evaluate(&self, key: &str, default: Value, fits: impl Fn(&Value) -> bool) -> Evaluation {
        let (evaluation, error_type) = self.look_up(key, default, fits);
        self.tell(key, &evaluation, error_type);
        evaluation
    }

    /// And `error.type`, where there is no value to be had.
    fn look_up(&self, key: &str, default: Value, fits: impl Fn(&Value) -> bool) -> (Evaluation, Option<String>) {
        let known = self.shared.known.read();
        let without = |value, reason: String| Evaluation { value, variant: None, reason };
        let error = |value, word: &str| (without(value, "error".to_owned()), Some(word.to_ascii_lowercase()));
        match known.flags.get(key) {
            Some(Flag { error_code: Some(code), .. }) => error(default, code),
            Some(flag) if !flag.value.is_null() && !fits(&flag.value) => error(default, "type_mismatch"),
            // A flag that is disabled or has no variant leaves the value to the code.
            Some(flag) if flag.value.is_null() => (without(default, reason(flag, "default")), None),
            Some(flag) => {
                let reason = if known.stale { "stale".to_owned() } else { reason(flag, "unknown") };
                (Evaluation { value: flag.value.clone(), variant: flag.variant.clone(), reason }, None)
            }
            None if known.fetched => error(default, "flag_not_found"),
            None => (without(default, "default".to_owned()), None),
        }
    }

    /// On the current span: an event for each evaluation, and attributes for the request's first, so that requests can be compared by it.
    fn tell(&self, key: &str, evaluation: &Evaluation, error_type: Option<String>) {
        Context::map_current(|context| {
            let span = context.span();
            if !span.span_context().is_sampled() {
                return;
            }
            // Without a variant the value stands for it, as the conventions allow.
            let variant = evaluation.variant.clone().unwrap_or_else(|| evaluation.value.to_string());
            let mut attributes = vec![
                KeyValue::new("feature_flag.key", key.to_owned()),
                KeyValue::new("feature_flag.result.variant", variant),
                KeyValue::new("feature_flag.provider.name", self.shared.provider.clone()),
            ];
            if context.get::<RequestContext>().is_some_and(RequestContext::first_flag) {
                span.set_attributes(attributes.iter().cloned());
            }
            attributes.push(KeyValue::new("feature_flag.result.reason", evaluation.reason.clone()));
            attributes.extend(error_type.map(|error_type| KeyValue::new("error.type", error_type)));
            if !self.shared.context_id.is_empty() {
                attributes.push(KeyValue::new("feature_flag.context.id", self.shared.context_id.clone()));
            }
            span.add_event("feature_flag.evaluation", attributes);
        });
    }
}

/// OFREP writes reasons in capitals, the semantic conventions in small letters.
fn reason(flag: &Flag, otherwise: &str) -> String {
    flag.reason.as_deref().map_or_else(|| otherwise.to_owned(), str::to_ascii_lowercase)
}
