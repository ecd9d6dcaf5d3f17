//! Are OpenTelemetry's variables understood, and what is not understood told?

use std::time::Duration;

use causeway_kit::{Sampling, Settings};

use crate::receiver::Lines;

fn settings(variables: &[(&str, &str)]) -> Settings {
    let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Settings::new("compiled", "1").from_variables(find)
}

#[test]
fn variables_override_what_was_compiled() {
    let settings = settings(&[
        ("OTEL_SERVICE_NAME", "orders"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=other, service.version=2.0,deployment.environment.name=prod,cloud.region=eu%2D1,team=a%20b",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "99"),
        ("OTEL_BSP_SCHEDULE_DELAY", "250"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("RUST_LOG", "debug"),
    ]);
    assert_eq!((settings.service.as_str(), settings.version.as_str()), ("orders", "2.0"));
    assert_eq!(
        (settings.environment.as_str(), settings.region.as_str(), settings.attributes["team"].as_str()),
        ("prod", "eu-1", "a b")
    );
    assert_eq!(settings.otlp_endpoint.as_deref(), Some("http://collector:4318/"));
    assert_eq!(settings.otlp_headers, [("authorization".to_owned(), "Bearer x".to_owned())]);
    let millis = [settings.export_timeout, settings.export_interval, settings.metrics_interval];
    assert_eq!(millis, [1500, 250, 5000].map(Duration::from_millis));
    assert_eq!(
        (settings.queue_max, settings.sampling, settings.log_filter.as_str()),
        (99, Sampling::ParentBased(0.25), "debug")
    );
    assert!(!format!("{settings:?}").contains("Bearer"));
}

#[test]
fn samplers_by_name() {
    let samplers = [
        ("always_on", Sampling::Probability(1.0)),
        ("always_off", Sampling::Probability(0.0)),
        ("traceidratio", Sampling::Probability(0.5)),
        ("parentbased_always_on", Sampling::ParentBased(1.0)),
        ("parentbased_always_off", Sampling::ParentBased(0.0)),
        ("parentbased_traceidratio", Sampling::ParentBased(0.5)),
    ];
    for (name, sampling) in samplers {
        assert_eq!(
            settings(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "0.5")]).sampling,
            sampling,
            "{name}"
        );
    }
    assert!(settings(&[("OTEL_SDK_DISABLED", "true")]).otlp_endpoint.is_none());
}

#[test]
fn what_is_not_understood_is_told_and_the_default_stays() {
    let lines = Lines::default();
    let mut settings = settings(&[
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_TRACES_SAMPLER", "fair"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_SDK_DISABLED", "true"),
        ("RUST_LOG", "a=b=c"),
    ]);
    assert_eq!(
        (settings.queue_max, settings.metrics_interval, settings.sampling),
        (8192, Duration::from_secs(15), Sampling::ParentBased(1.0))
    );
    settings.log_output = Box::new(lines.clone());
    let _kit = causeway_kit::init_scoped(settings).unwrap();
    let told: Vec<String> = lines.all().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect();
    for word in ["OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_METRIC_EXPORT_INTERVAL", "fair", "grpc", "RUST_LOG"] {
        assert!(told.iter().any(|message| message.contains(word)), "{word} in {told:?}");
    }
}
