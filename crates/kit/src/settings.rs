//! What is this service called, and where does its telemetry go? From the program's arguments and OpenTelemetry's variables.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Rng, SystemClock};
use crate::log::LogFormat;
use crate::sampling::Sampling;
use crate::transport::Transport;

/// Where OTLP/HTTP receivers listen (OpenTelemetry Protocol Exporter, "Endpoint URLs").
const OTLP_ENDPOINT: &str = "http://localhost:4318";
/// Spans, and logs, that wait to be sent. A second of a busy service; a few megabytes.
const QUEUE_MAX: usize = 8192;
/// How long spans and logs wait at most for company before they are sent.
const EXPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often metrics are sent: Prometheus' usual step.
const METRICS_INTERVAL: Duration = Duration::from_secs(15);
/// One sending of one batch; OpenTelemetry's default.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that `init` wants to know.
pub struct Settings {
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// `cloud.region`.
    pub region: String,
    /// Further attributes of the resource.
    pub attributes: BTreeMap<String, String>,
    /// Base URL of the OTLP/HTTP receiver; `None` sends nothing.
    pub otlp_endpoint: Option<String>,
    /// Headers of each sending, such as a key.
    pub otlp_headers: Vec<(String, String)>,
    /// Roots in PEM by which the receiver is believed, beside the system's; else `root_certificates`.
    pub otlp_certificate: Option<PathBuf>,
    /// Another way than OTLP/HTTP; the endpoint then does not count.
    pub transport: Option<Arc<dyn Transport>>,
    /// Roots in PEM by which clients believe other services, beside the system's.
    pub root_certificates: Option<PathBuf>,
    /// Time for one sending.
    pub export_timeout: Duration,
    /// How long spans and logs wait at most for company.
    pub export_interval: Duration,
    /// How often metrics are sent.
    pub metrics_interval: Duration,
    /// Most spans, and most logs, that wait; further ones are dropped and counted.
    pub queue_max: usize,
    /// Which traces are kept.
    pub sampling: Sampling,
    /// Which logs are written, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// Where log lines go.
    pub log_output: Box<dyn Write + Send>,
    /// How they look.
    pub log_format: LogFormat,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for jitter and request ids.
    pub rng: Rng,
    /// Variables that could not be understood; told in the log at the start.
    pub(crate) complaints: Vec<String>,
}

impl Settings {
    /// The defaults for a service of this name and version, read by no variable.
    pub fn new(service: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            version: version.into(),
            environment: String::new(),
            region: String::new(),
            attributes: BTreeMap::new(),
            otlp_endpoint: Some(OTLP_ENDPOINT.to_owned()),
            otlp_headers: Vec::new(),
            otlp_certificate: None,
            transport: None,
            root_certificates: None,
            export_timeout: EXPORT_TIMEOUT,
            export_interval: EXPORT_INTERVAL,
            metrics_interval: METRICS_INTERVAL,
            queue_max: QUEUE_MAX,
            sampling: Sampling::default(),
            log_filter: "info".to_owned(),
            log_output: Box::new(std::io::stdout()),
            log_format: LogFormat::default(),
            clock: Arc::new(SystemClock::new()),
            rng: Rng::from_entropy(),
            complaints: Vec::new(),
        }
    }

    /// The deployment environment, such as `production`.
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = environment.into();
        self
    }

    /// The region, such as `eu-west-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Another attribute of the resource.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(key.into(), value.into());
        self
    }

    /// Overrides by the process' `OTEL_*` and `RUST_LOG` variables: who deploys knows better than who compiled.
    pub fn from_environment(self) -> Self {
        self.from_variables(|name| std::env::var(name).ok())
    }

    /// The same, from any source of variables.
    pub fn from_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable =
            |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        for (key, value) in pairs(variable("OTEL_RESOURCE_ATTRIBUTES")) {
            match key.as_str() {
                "service.name" => self.service = value,
                "service.version" => self.version = value,
                "deployment.environment.name" | "deployment.environment" => self.environment = value,
                "cloud.region" => self.region = value,
                _ => drop(self.attributes.insert(key, value)),
            }
        }
        self.service = variable("OTEL_SERVICE_NAME").unwrap_or(self.service);
        self.otlp_endpoint = variable("OTEL_EXPORTER_OTLP_ENDPOINT").or(self.otlp_endpoint);
        self.otlp_headers.extend(pairs(variable("OTEL_EXPORTER_OTLP_HEADERS")));
        self.otlp_certificate = variable("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from).or(self.otlp_certificate);
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            (self.otlp_endpoint, self.transport) = (None, None);
        }
        if let Some(protocol) = variable("OTEL_EXPORTER_OTLP_PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
            self.complaints.push(format!("OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: only http/protobuf is spoken"));
        }
        for name in [
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        ] {
            if variable(name).is_some() {
                self.complaints
                    .push(format!("{name} is set: all signals go to the one of OTEL_EXPORTER_OTLP_ENDPOINT"));
            }
        }
        self.log_filter = variable("RUST_LOG").unwrap_or(self.log_filter);
        self.sampling = self.sampler(variable("OTEL_TRACES_SAMPLER"), variable("OTEL_TRACES_SAMPLER_ARG"));
        self.numbers(variable)
    }

    fn numbers(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut number = |name: &str| {
            let text = variable(name)?;
            let number: Option<u64> = text.parse().ok().filter(|number| *number > 0);
            if number.is_none() {
                self.complaints.push(format!("{name} is not a whole number above 0"));
            }
            number
        };
        let (queue, export, metrics, timeout) = (
            number("OTEL_BSP_MAX_QUEUE_SIZE"),
            number("OTEL_BSP_SCHEDULE_DELAY"),
            number("OTEL_METRIC_EXPORT_INTERVAL"),
            number("OTEL_EXPORTER_OTLP_TIMEOUT"),
        );
        self.queue_max = queue.and_then(|queue| usize::try_from(queue).ok()).unwrap_or(self.queue_max);
        self.export_interval = export.map_or(self.export_interval, Duration::from_millis);
        self.metrics_interval = metrics.map_or(self.metrics_interval, Duration::from_millis);
        self.export_timeout = timeout.map_or(self.export_timeout, Duration::from_millis);
        self
    }

    fn sampler(&mut self, name: Option<String>, ratio: Option<String>) -> Sampling {
        let Some(name) = name else { return self.sampling };
        let parsed =
            ratio.as_deref().map_or(Some(1.0), |text| text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)));
        if parsed.is_none() {
            self.complaints.push("OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1".to_owned());
        }
        let ratio = parsed.unwrap_or(1.0);
        match name.as_str() {
            "always_on" => Sampling::Probability(1.0),
            "always_off" => Sampling::Probability(0.0),
            "traceidratio" => Sampling::Probability(ratio),
            "parentbased_always_on" => Sampling::ParentBased(1.0),
            "parentbased_always_off" => Sampling::ParentBased(0.0),
            "parentbased_traceidratio" => Sampling::ParentBased(ratio),
            _ => {
                self.complaints.push(format!("OTEL_TRACES_SAMPLER={name} is not known"));
                self.sampling
            }
        }
    }
}

impl std::fmt::Debug for Settings {
    /// Without the headers: keys travel in them.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { service, version, environment, region, otlp_endpoint, sampling, .. } = self;
        let mut out = formatter.debug_struct("Settings");
        out.field("service", service)
            .field("version", version)
            .field("environment", environment)
            .field("region", region);
        out.field("otlp_endpoint", otlp_endpoint).field("sampling", sampling).finish_non_exhaustive()
    }
}

/// `key=value,key=value`, percent-encoded (W3C Baggage, as OpenTelemetry prescribes for these variables).
fn pairs(text: Option<String>) -> Vec<(String, String)> {
    let text = text.unwrap_or_default();
    let split = text.split(',').filter_map(|pair| pair.split_once('='));
    split
        .map(|(key, value)| (key.trim().to_owned(), percent_decoded(value.trim())))
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
